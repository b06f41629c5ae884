"""Cases that random samples of the records meet too rarely: each was missed by them when
`python -m minidl.testing mutate` damaged a rule or a kernel."""

import numpy as np
import pytest

import minidl
from minidl import kernels, ops
from minidl.testing import gradcheck, to_numpy
from minidl.testing.checks import call


def leaf(array, device, dtype=np.float64):
    return minidl.tensor(np.asarray(array), dtype=dtype, device=device).requires_grad_()


def box(device):
    """(2, 3, 4): no two sides are equal."""
    return leaf(np.random.default_rng(0).permutation(24).reshape(2, 3, 4) / 8 - 1, device)


def doubled_in_place(x):
    """A write to a view; its gradient comes back with its dimensions in another order."""
    y = x.clone()
    y.view(24).mul_(2)
    return y.permute(2, 0, 1)


INNER = [1, -2, 2, (0, 2), (1, 2)]


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("dim", INNER, ids=str)
@pytest.mark.parametrize("name", ["sum", "mean", "amax", "amin", "logsumexp", "var"])
def test_reductions_over_inner_dimensions(name, dim, keepdim, device):
    gradcheck(lambda x: getattr(ops, name)(x, dim, keepdim=keepdim), box(device))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.permute(1, 2, 0),
        lambda x: x.permute(-1, 0, 1),
        lambda x: x.movedim(0, -1),
        lambda x: x.narrow(-1, -3, 2),
        lambda x: x.narrow(1, -2, 1),
        lambda x: ops.roll(x, (1, -1), (1, 2)),
        lambda x: ops.prod(x, 1),
        lambda x: ops.cumsum(x, -2),
        lambda x: x[:, minidl.tensor([0, 2, 0, 0], device=x.device)],
        lambda x: x[1, [0, 0], [3, 3]],
        lambda x: ops.index_select(x, 2, minidl.tensor([3, 3, 1], device=x.device)),
        lambda x: x[0][0][0],
        lambda x: ops.flatten(x)[5],
        doubled_in_place,
    ],
)
def test_positions_and_orders(function, device):
    gradcheck(function, box(device))


@pytest.mark.parametrize("base", [0.5, 1.0, 3])
def test_powers_of_a_number(base, device):
    gradcheck(lambda x: base**x, box(device))


def test_powers_of_zero_are_flat(device):
    x = leaf([1.0, 2.5], device)
    (0.0**x).sum().backward()
    np.testing.assert_array_equal(to_numpy(x.grad), [0.0, 0.0])


# ----------------------------------------------------------------------------------------- kernels


def both(function, *arrays, device):
    """Values and gradients in float32 with kernels, and of the definition in float64."""
    arrays = [np.float32(a) for a in arrays]
    fast = call.gradients(function, tuple(leaf(a, device, np.float32) for a in arrays))
    with kernels.disabled():
        slow = call.gradients(function, tuple(leaf(a, device) for a in arrays))
    return fast, slow


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("shift", [300.0, -300.0])
def test_rows_far_from_zero(name, shift, device):
    """e^100 is more than float32 holds; the largest element may be at any place."""
    x = np.concatenate([np.eye(4) * 200, [[2.0, 1, 0, -1], [-1, 0, 1, 2], [1, 1, 1, 1]]])
    x[:-1] += shift
    x[1] -= 2 * shift
    function = getattr(ops, name)
    for columns in (1, 2, 3, 4):
        fast, slow = both(lambda x: function(x, -1), x[:, :columns], device=device)
        for a, b in zip(fast[0] + fast[1], slow[0] + slow[1], strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("padding", [0, 1, (1, 0), (0, 1)], ids=str)
@pytest.mark.parametrize("dilation", [1, (1, 2), (2, 1)], ids=str)
@pytest.mark.parametrize("stride", [1, 2, (2, 1)], ids=str)
def test_windows_of_max_pool2d(stride, dilation, padding, device):
    x = np.random.default_rng(0).permutation(2 * 3 * 5 * 6).reshape(2, 3, 5, 6)
    fast, slow = both(lambda x: ops.max_pool2d(x, 2, stride, padding, dilation), x, device=device)
    for a, b in zip(fast[0] + fast[1], slow[0] + slow[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


SMALL = {
    "softmax": lambda x: ops.softmax(x, -1),
    "log_softmax": lambda x: ops.log_softmax(x, -1),
    "local_response_norm": lambda x: ops.local_response_norm(x, 3, 0.5),
    "max_pool2d": lambda x: ops.max_pool2d(x, 2, 1),
}


@pytest.mark.parametrize("name", SMALL)
def test_gradient_that_is_recorded_equals_the_kernels(name, device):
    """Under create_graph the rules run, on what the kernel's forward left them."""
    x = leaf(np.random.default_rng(0).standard_normal((2, 3, 4, 5)), device, np.float32)
    y = SMALL[name](x)
    g = minidl.tensor(
        np.random.default_rng(1).standard_normal(y.shape), dtype=minidl.float32, device=device
    )
    (plain,) = minidl.autograd.grad(y, x, g, retain_graph=True)
    (recorded,) = minidl.autograd.grad(y, x, g, create_graph=True)
    np.testing.assert_allclose(to_numpy(recorded), to_numpy(plain), rtol=1e-5, atol=1e-6)


def test_gradient_of_narrow_counted_from_the_end(device):
    x = minidl.arange(5.0, device=device).requires_grad_()
    (minidl.narrow(x, 0, -2, 2) * minidl.tensor([2.0, 3.0], device=device)).sum().backward()
    assert x.grad.tolist() == [0, 0, 0, 2, 3]
