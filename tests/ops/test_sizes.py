"""Tensors without elements and without dimensions: PyTorch's answers."""

import math

import numpy as np
import pytest

import minidl
from minidl import ops
from minidl.testing import gradcheck, to_numpy

pytestmark = pytest.mark.smoke
nan, inf = math.nan, math.inf


def empty(*shape, device, requires_grad=False):
    return minidl.zeros(*shape, device=device, requires_grad=requires_grad)


# What each op gives for a tensor of shape (2, 0).
OF_NOTHING = {
    "sum": (lambda x: x.sum(), 0.0),
    "sum dim": (lambda x: x.sum(1), [0.0, 0.0]),
    "sum other dim": (lambda x: x.sum(0), []),
    "mean": (lambda x: x.mean(), nan),
    "mean dim": (lambda x: x.mean(1), [nan, nan]),
    "var": (lambda x: x.var(), nan),
    "prod": (lambda x: x.prod(), 1.0),
    "prod dim": (lambda x: x.prod(1), [1.0, 1.0]),
    "cumsum": (lambda x: x.cumsum(1), [[], []]),
    "all": (lambda x: x.all(), True),
    "any": (lambda x: x.any(1), [False, False]),
    "amax of the other dim": (lambda x: x.amax(0), []),
    "logsumexp": (lambda x: x.logsumexp(1), [-inf, -inf]),
    "softmax": (lambda x: x.softmax(1), [[], []]),
    "log_softmax": (lambda x: x.log_softmax(0), [[], []]),
    "norm": (lambda x: x.norm(), 0.0),
    "x + 1": (lambda x: x + 1, [[], []]),
    "x + a row": (lambda x: x + x.new_zeros(2, 1), [[], []]),
    "exp": (lambda x: x.exp(), [[], []]),
    "t": (lambda x: x.t(), []),
    "reshape": (lambda x: x.reshape(0, 5), []),
    "flatten": (lambda x: x.flatten(), []),
    "x[1]": (lambda x: x[1], []),
    "x[x > 0]": (lambda x: x[x > 0], []),
    "flip": (lambda x: x.flip(1), [[], []]),
    "sort": (lambda x: x.sort(1)[0], [[], []]),
    "nonzero": (lambda x: x.nonzero(), []),
    "cat": (lambda x: minidl.cat([x, x.new_ones(2, 1)], 1), [[1.0], [1.0]]),
    "stack": (lambda x: minidl.stack([x, x]), [[[], []], [[], []]]),
    "pad": (lambda x: ops.pad(x, (1, 0), value=2.0), [[2.0], [2.0]]),
    "x @ x.t()": (lambda x: x @ x.t(), [[0.0, 0.0], [0.0, 0.0]]),
    "x.t() @ x": (lambda x: x.t() @ x, []),
    "einsum": (lambda x: minidl.einsum("ij->i", x), [0.0, 0.0]),
    "linear": (lambda x: ops.linear(x, x.new_zeros(3, 0), x.new_ones(3)), [[1.0] * 3] * 2),
    "layer_norm": (lambda x: ops.layer_norm(x.t(), (2,)), []),
    "embedding": (lambda x: ops.embedding(x.long(), x.new_zeros(3, 4)), [[], []]),
    "one_hot": (lambda x: ops.one_hot(x.long(), 3), [[], []]),
    "gather": (lambda x: x.gather(1, x.long()), [[], []]),
    "mse_loss sum": (lambda x: ops.mse_loss(x, x, reduction="sum"), 0.0),
    "conv2d of no images": (
        lambda x: ops.conv2d(x.new_zeros(0, 1, 3, 3), x.new_zeros(2, 1, 3, 3)),
        [],
    ),
    "max_pool2d of no images": (lambda x: ops.max_pool2d(x.new_zeros(0, 1, 4, 4), 2), []),
    "avg_pool2d of no images": (lambda x: ops.avg_pool2d(x.new_zeros(0, 1, 4, 4), 2), []),
}


@pytest.mark.parametrize("name", OF_NOTHING)
def test_no_elements(name, device):
    function, expected = OF_NOTHING[name]
    out = function(empty(2, 0, device=device))
    np.testing.assert_array_equal(np.array(out.tolist()), np.array(expected))


DIFFERENTIABLE = [
    name for name in OF_NOTHING
    if name not in ("all", "any", "nonzero", "embedding", "one_hot")
    and " of no images" not in name
]  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_the_gradient_of_nothing_has_its_shape(name, device):
    x = empty(2, 0, device=device, requires_grad=True)
    OF_NOTHING[name][0](x).sum().backward()
    assert x.grad.shape == (2, 0)


def test_the_mean_loss_of_an_empty_batch_is_refused(device):
    """PyTorch gives nan, which is found long after."""
    x = empty(0, 3, device=device)
    labels = empty(0, device=device).long()
    for call in (
        lambda: ops.cross_entropy(x, labels),
        lambda: ops.nll_loss(x, labels),
        lambda: ops.mse_loss(x, x),
        lambda: ops.l1_loss(x, x),
    ):
        with pytest.raises(ValueError, match=r"batch is empty.*reduction='sum'"):
            call()
    assert ops.cross_entropy(x, labels, reduction="sum").item() == 0.0
    assert ops.cross_entropy(x, labels, reduction="none").shape == (0,)


@pytest.mark.parametrize("name", ["amax", "amin", "argmax", "argmin"])
def test_extremes_of_nothing_are_refused(name, device):
    with pytest.raises(IndexError, match=name):
        getattr(minidl, name)(empty(2, 0, device=device), 1)


@pytest.mark.parametrize("name", ["max", "min"])
def test_max_of_nothing_is_refused(name, device):
    function = getattr(minidl, name)
    for call in (lambda x: function(x), lambda x: function(x, 1)):
        with pytest.raises((IndexError, RuntimeError), match=name):
            call(empty(2, 0, device=device))


# What each op gives for the 0-d tensor 2.0, whose only dimension may be called 0 or -1.
OF_A_NUMBER = {
    "sum": (lambda x: x.sum(), 2.0),
    "sum 0": (lambda x: x.sum(0), 2.0),
    "sum -1": (lambda x: x.sum(-1, keepdim=True), 2.0),
    "mean": (lambda x: x.mean(0), 2.0),
    "var": (lambda x: x.var(0, correction=0), 0.0),
    "prod": (lambda x: x.prod(0), 2.0),
    "cumsum": (lambda x: x.cumsum(0), 2.0),
    "amax": (lambda x: x.amax(0), 2.0),
    "max": (lambda x: x.max(0)[0], 2.0),
    "argmax": (lambda x: x.argmax(), 0),
    "sort": (lambda x: x.sort(0)[0], 2.0),
    "argsort": (lambda x: x.argsort(), 0),
    "logsumexp": (lambda x: x.logsumexp(0), 2.0),
    "softmax": (lambda x: x.softmax(0), 1.0),
    "log_softmax": (lambda x: x.log_softmax(-1), 0.0),
    "squeeze": (lambda x: x.squeeze(), 2.0),
    "squeeze 0": (lambda x: x.squeeze(0), 2.0),
    "unsqueeze": (lambda x: x.unsqueeze(0), [2.0]),
    "reshape": (lambda x: x.reshape(1, 1), [[2.0]]),
    "reshape to nothing": (lambda x: x.reshape(1).reshape(()), 2.0),
    "flatten": (lambda x: x.flatten(), [2.0]),
    "expand": (lambda x: x.expand(2), [2.0, 2.0]),
    "t": (lambda x: x.t(), 2.0),
    "permute": (lambda x: x.permute(()), 2.0),
    "transpose": (lambda x: x.transpose(0, -1), 2.0),
    "x[...]": (lambda x: x[...], 2.0),
    "x[None]": (lambda x: x[None], [2.0]),
    "stack": (lambda x: minidl.stack([x, x]), [2.0, 2.0]),
    "gather": (lambda x: x.gather(0, x.new_zeros().long()), 2.0),
    "norm": (lambda x: x.norm(), 2.0),
    "where": (lambda x: minidl.where(x > 1, x, 0.0), 2.0),
    "masked_fill": (lambda x: x.masked_fill(x > 1, 7.0), 7.0),
}


@pytest.mark.parametrize("name", OF_A_NUMBER)
def test_no_dimensions(name, device):
    function, expected = OF_A_NUMBER[name]
    out = function(minidl.tensor(2.0, device=device))
    assert out.tolist() == expected
    if out.is_floating_point() and name != "masked_fill":
        x = minidl.tensor(2.0, dtype=minidl.float64, device=device, requires_grad=True)
        assert gradcheck(function, x)


def test_a_0d_tensor_has_no_rows(device):
    x = minidl.tensor(2.0, device=device)
    with pytest.raises(IndexError):
        x[0]
    with pytest.raises(TypeError):
        len(x)
    with pytest.raises(TypeError):
        iter(x)
    with pytest.raises(RuntimeError, match="cat"):
        minidl.cat([x, x])


def test_item_gives_python_numbers(device):
    assert type(minidl.tensor(2, device=device).item()) is int
    assert type(minidl.tensor(2.0, device=device).item()) is float
    assert type(minidl.tensor(True, device=device).item()) is bool
    with pytest.raises(RuntimeError, match="one element"):
        minidl.zeros(2, device=device).item()


def test_results_are_always_arrays(device):
    """No NumPy scalar gets into a tensor, whatever the reduction or index."""
    x = minidl.ones(2, 2, device=device)
    for out in (
        x.sum(),
        x[0, 0],
        x.max(),
        x.mean(),
        x.var(),
        x.norm(),
        x.all(),
        x @ x,
        x[0] @ x[0],
    ):
        assert out._array.__class__ is x._array.__class__
        assert to_numpy(out).shape == tuple(out.shape)
