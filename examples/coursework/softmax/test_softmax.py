"""The properties of softmax and cross-entropy, as tasks with points.

`ops` is the file of the student, see pytest.ini. It is imported in a fixture, so that a file that
cannot be imported fails the tasks one by one, and the report has them all.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.testing import assert_close, assert_vjp, task
from minidl.testing.strategies import arrays, integer_arrays, shapes

rows = arrays(shapes(min_dims=1, empty=False))
matrices = arrays(shapes(min_dims=2, max_dims=2, empty=False))


@st.composite
def batches(draw):
    """Logits and labels."""
    count, classes = draw(st.integers(1, 4)), draw(st.integers(2, 4))
    return draw(arrays((count, classes))), draw(integer_arrays((count,), 0, classes))


@pytest.fixture(scope="module")
def ops():
    import ops

    return ops


softmax_values = task("1.1", points=2, title="softmax")


@softmax_values
@given(x=rows)
def test_softmax(ops, x):
    """softmax(x) is exp(x), divided by its sum over the last axis"""
    assert_close(ops.softmax(x.copy()), np.exp(x) / np.exp(x).sum(-1, keepdims=True))


@softmax_values
@given(x=rows)
def test_softmax_keeps_x(ops, x):
    """softmax(x) leaves x as it is"""
    before = x.copy()
    ops.softmax(x)
    assert_close(x, before)


@task("1.2", points=1, title="softmax of large numbers", needs=["1.1"])
@given(x=rows)
def test_softmax_of_large_numbers(ops, x):
    """softmax(x + 1000) is softmax(x)"""
    assert_close(ops.softmax(x + 1000.0), ops.softmax(x))


@task("1.3", points=3, title="derivative of softmax", needs=["1.1"])
@given(x=matrices)
def test_softmax_vjp(ops, x):
    assert_vjp(ops.softmax, ops.softmax_vjp, x)


@task("2.1", points=2, title="cross-entropy")
@given(batch=batches())
def test_cross_entropy(ops, batch):
    """the loss is the mean of -log(the softmax at the label)"""
    logits, labels = batch
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    losses = [-np.log(p[i, label]) for i, label in enumerate(labels)]
    assert_close(ops.cross_entropy(logits, labels), np.mean(losses))


@task("2.2", points=1, title="cross-entropy of large numbers", needs=["2.1"])
@given(batch=batches())
def test_cross_entropy_of_large_numbers(ops, batch):
    """the loss is right for logits a thousand times larger"""
    logits, labels = batch
    large = 1000.0 * logits
    picked = large[np.arange(len(labels)), labels]
    expected = (np.logaddexp.reduce(large, axis=1) - picked).mean()
    assert_close(ops.cross_entropy(large, labels), expected)


@task("2.3", points=3, title="derivative of cross-entropy", needs=["1.1", "2.1"])
@given(batch=batches())
def test_cross_entropy_vjp(ops, batch):
    assert_vjp(ops.cross_entropy, ops.cross_entropy_vjp, *batch)
