"""What derivatives are at ties and kinks, where there is more than one right answer.

The table: max_pool2d and max(dim) give all to the first of equal elements; max(), amax and
maximum share evenly; relu'(0) = 0, abs'(0) = 0, sign' = 0; clamp's derivative at an edge is 1;
norm and std have gradient 0 where they are 0. PyTorch's answers, except where said.
"""

import numpy as np
import pytest

import minidl
from minidl import kernels, ops
from minidl.testing import to_numpy

pytestmark = pytest.mark.smoke


def gradient(function, *arrays, device, dtype=minidl.float64):
    leaves = [
        minidl.tensor(np.array(a), dtype=dtype, device=device, requires_grad=True) for a in arrays
    ]
    out = function(*leaves)
    grads = minidl.autograd.grad(out.sum(), leaves)
    return [to_numpy(g).tolist() for g in grads]


@pytest.mark.parametrize(
    ("function", "at", "expected"),
    [
        (minidl.relu, 0.0, 0.0),
        (minidl.relu, -0.0, 0.0),
        (minidl.abs, 0.0, 0.0),
        (minidl.sign, 0.0, 0.0),
        (minidl.floor, 1.0, 0.0),
        (lambda x: minidl.clamp(x, 0.0, 1.0), 0.0, 1.0),
        (lambda x: minidl.clamp(x, 0.0, 1.0), 1.0, 1.0),
        (lambda x: minidl.clamp(x, min=0.0), 0.0, 1.0),
        (lambda x: minidl.clamp(x, max=0.0), 0.0, 1.0),
        (lambda x: minidl.clamp(x, 0.0, 1.0), 1.5, 0.0),
        (lambda x: x**0, 0.0, 0.0),
        (lambda x: x**1, 0.0, 1.0),
        (lambda x: x**2, 0.0, 0.0),
        (lambda x: minidl.norm(x.reshape(1)), 0.0, 0.0),
        (lambda x: minidl.std(x.expand(3)), 1.0, 0.0),
        (lambda x: minidl.gelu(x), 0.0, 0.5),
    ],
)
def test_kinks_of_one_number(function, at, expected, device):
    assert gradient(function, at, device=device) == [expected]


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_maximum_and_minimum_share_evenly(name, device):
    function = getattr(minidl, name)
    x, y = gradient(function, [1.0, 2.0, 3.0], [1.0, 5.0, 0.0], device=device)
    larger = [0.5, 0.0, 1.0] if name == "maximum" else [0.5, 1.0, 0.0]
    assert x == larger
    assert y == [1 - n for n in larger]


@pytest.mark.parametrize("name", ["amax", "amin"])
def test_amax_and_amin_share_evenly(name, device):
    sign = 1 if name == "amax" else -1
    x = [[2.0, 2.0, 1.0], [5.0, 5.0, 5.0], [0.0, 1.0, 7.0]]
    function = getattr(minidl, name)
    (grad,) = gradient(lambda x: function(sign * x, 1), x, device=device)
    third = 1 / 3
    expected = np.array([[0.5, 0.5, 0.0], [third, third, third], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(grad, sign * expected)


@pytest.mark.parametrize("name", ["max", "min"])
def test_max_and_min_of_everything_share_evenly(name, device):
    (grad,) = gradient(getattr(minidl, name), [[3.0, 3.0], [3.0, 3.0]], device=device)
    assert grad == [[0.25, 0.25], [0.25, 0.25]]


@pytest.mark.parametrize("name", ["max", "min"])
def test_max_and_min_along_a_dimension_take_the_first(name, device):
    x = minidl.tensor([[2.0, 2.0, 2.0], [1.0, 1.0, 1.0]], device=device, requires_grad=True)
    values, indices = getattr(minidl, name)(x, 1)
    assert to_numpy(indices).tolist() == [0, 0]
    values.sum().backward()
    assert to_numpy(x.grad).tolist() == [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]


def test_argmax_and_argmin_take_the_first(device):
    x = minidl.tensor([1.0, 3.0, 3.0, 1.0], device=device)
    assert (x.argmax().item(), x.argmin().item()) == (1, 0)
    x = minidl.tensor([1.0, float("nan"), 3.0], device=device)
    assert (x.argmax().item(), x.argmin().item()) == (1, 1)


@pytest.mark.parametrize("dtype", [minidl.float32, minidl.float64])
@pytest.mark.parametrize("use_kernels", [True, False])
def test_max_pool2d_takes_the_first(dtype, use_kernels, device):
    x = np.ones((1, 1, 4, 4))
    context = kernels.forced(reference=False) if use_kernels else kernels.disabled()
    with context:
        (grad,) = gradient(lambda x: ops.max_pool2d(x, 2), x, device=device, dtype=dtype)
    assert grad == [[[[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]]]


@pytest.mark.parametrize("value", [-np.inf, np.nan])
def test_max_pool2d_of_special_values_stays_inside_the_image(value, device):
    """The padding never wins, not even over -inf, and nan wins."""
    x = minidl.tensor(np.full((1, 1, 2, 2), value), device=device, requires_grad=True)
    out, index = ops.max_pool2d(x, 2, stride=1, padding=1, return_indices=True)
    np.testing.assert_array_equal(to_numpy(out), np.full((1, 1, 3, 3), value))
    assert ((to_numpy(index) >= 0) & (to_numpy(index) < 4)).all()
    (grad,) = minidl.autograd.grad(ops.max_pool2d(x, 2, stride=1, padding=1).sum(), x)
    assert to_numpy(grad).sum() == 9


def test_sorting_keeps_the_order_of_equal_elements(device):
    x = minidl.tensor([2.0, 1.0, 2.0, 1.0], device=device)
    assert to_numpy(minidl.argsort(x)).tolist() == [1, 3, 0, 2]
    assert to_numpy(minidl.argsort(x, descending=True)).tolist() == [0, 2, 1, 3]


def test_products_with_zeros(device):
    assert gradient(minidl.prod, [2.0, 0.0, 3.0], device=device) == [[0.0, 6.0, 0.0]]
    assert gradient(minidl.prod, [2.0, 0.0, 0.0], device=device) == [[0.0, 0.0, 0.0]]


def test_powers_at_zero(device):
    """Exponent 0: d/dy of the derivative y x^(y-1) is 1/x. Base 0: the derivative is 0, not nan."""
    x = minidl.tensor(4.0, dtype=minidl.float64, device=device, requires_grad=True)
    y = minidl.tensor(0.0, dtype=minidl.float64, device=device, requires_grad=True)
    (first,) = minidl.autograd.grad(x**y, x, create_graph=True)
    assert first.item() == 0.0
    assert minidl.autograd.grad(first, y)[0].item() == 0.25
    assert gradient(lambda x, y: x**y, [0.0, 0.0, 0.0], [2.0, 1.0, 0.0], device=device) == [
        [0.0, 1.0, 0.0],
        [0.0, 0.0, 0.0],
    ]


def test_where_does_not_mix_in_the_branch_not_taken(device):
    """The gradient of the branch not taken is 0 even where its own derivative is infinite."""
    x = minidl.tensor([0.0, 4.0], device=device, requires_grad=True)
    safe = minidl.where(x > 0, x, 1.0)
    minidl.where(x > 0, minidl.sqrt(safe), 0.0).sum().backward()
    assert to_numpy(x.grad).tolist() == [0.0, 0.25]


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"min": 0.0}, [0, 1, 1, 1, 1]),
        ({"max": 1.0}, [1, 1, 1, 1, 0]),
        ({"min": 0.0, "max": 1.0}, [0, 1, 1, 1, 0]),
    ],
)
def test_clamp_passes_gradients_inside_and_at_its_bounds(bounds, expected, device):
    x = minidl.tensor([-1.0, 0.0, 0.5, 1.0, 2.0], requires_grad=True, device=device)
    minidl.clamp(x, **bounds).sum().backward()
    assert x.grad.tolist() == expected
