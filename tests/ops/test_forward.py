"""Every op's values against an independent reference, from its record."""

import inspect

import numpy as np
import pytest
from calls import RECORDS, arguments, as_tensor, each_record, function_of, outputs
from hypothesis import given
from hypothesis import strategies as st

from minidl import ops, testing
from minidl.testing import assert_close, to_numpy


def public_ops():
    """The registered ops, and the functions of minidl.ops on tensors that are built from them.

    What makes tensors (`create`, `random`) has its own tests: it is not a function of tensors.
    """
    names = {"getitem", "setitem", *ops.all_ops()}
    for name in ops.__all__:
        function = getattr(ops, name)
        if inspect.isfunction(function) and function.__module__ not in MAKERS:
            annotations = [p.annotation for p in inspect.signature(function).parameters.values()]
            names |= {name} if any("Tensor" in str(a) for a in annotations) else set()
    return names


MAKERS = ("minidl.ops.create", "minidl.ops.random")


@pytest.mark.smoke
def test_every_op_has_a_record():
    missing = sorted(public_ops() - set(RECORDS))
    assert not missing, f"no record for {missing}: add one in minidl/testing/records/FAMILY.py"


@pytest.mark.smoke
def test_every_record_is_of_an_op():
    assert sorted(set(RECORDS) - public_ops()) == []
    assert len(RECORDS) == sum(1 for _ in testing.ops())  # no name twice


def results(value):
    return list(value) if isinstance(value, tuple) else [value]


@each_record(lambda record: record.reference is not None)
@given(data=st.data())
def test_values_match_the_reference(record, device, data):
    sample = data.draw(record.samples)
    args = arguments(record, sample, lambda a: as_tensor(a, device))
    got = outputs(function_of(record, sample, device)(*args))
    expected = results(record.reference(*sample.args, **sample.kwargs))
    assert len(got) == len(expected)
    for g, e in zip(got, expected, strict=True):
        assert_close(g, e, rtol=1e-9, atol=1e-11, equal_nan=True, check_dtype=False)


@each_record()
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(data=st.data())
def test_a_call_is_pure(record, dtype, device, data):
    """The same again for the same inputs, the inputs unchanged, the declared type of result."""
    sample = data.draw(record.samples)
    args = arguments(record, sample, lambda a: as_tensor(a, device, dtype))
    function = function_of(record, sample, device, dtype)
    before = [to_numpy(t).copy() for t in testing.trees.tensors(args)]
    first = outputs(function(*args))
    first_values = [to_numpy(t).copy() for t in first]
    again = outputs(function(*args))
    for t, b in zip(testing.trees.tensors(args), before, strict=True):
        np.testing.assert_array_equal(to_numpy(t), b)
    for a, b in zip(first_values, again, strict=True):
        np.testing.assert_array_equal(a, to_numpy(b))
    if record.result != "given":
        expected = {"bool": bool, "index": np.int64}.get(record.result, dtype)
        assert first[0].dtype == expected
