"""PyTorch's other names of functions are the functions themselves, and work in place."""

import pytest

import minidl
from minidl import ops
from minidl.ops.long_names import ALIASES

pytestmark = pytest.mark.smoke


@pytest.mark.parametrize("name", sorted(ALIASES))
def test_is_the_function(name):
    function = getattr(minidl, name)
    assert function.__name__ != name
    assert function is getattr(minidl, function.__name__)
    assert getattr(minidl.Tensor, name) is getattr(minidl.Tensor, function.__name__)


@pytest.mark.parametrize("family", ops.FAMILIES, ids=lambda family: family.__name__)
def test_in_place_methods_have_their_function(family):
    for name in getattr(family, "IN_PLACE", ()):
        assert callable(getattr(ops, name))
        assert callable(getattr(minidl.Tensor, f"{name}_"))


def test_some_write_in_place():
    x = minidl.tensor([0.5, -0.25], dtype=minidl.float64)
    expected = minidl.asin(x)
    assert x.arcsin_() is x
    assert x.tolist() == expected.tolist()
    assert x.less_(0).tolist() == [0.0, 1.0]


def test_operators_on_bits():
    x = minidl.tensor([6, 3])
    assert [(x & 3).tolist(), (4 | x).tolist(), (x ^ x).tolist()] == [[2, 3], [6, 7], [0, 0]]
    assert [(x << 1).tolist(), (x >> 1).tolist(), (~x).tolist()] == [[12, 6], [3, 1], [-7, -4]]
    x &= 2
    assert x.tolist() == [2, 2]


def test_powers_of_integers_to_negative_integers_are_rounded_to_zero():
    base, exponent = minidl.tensor([1, -1, -1, 3]), minidl.tensor([-2, -3, -2, -1])
    assert (base**exponent).tolist() == [1, -1, 1, 0]


def test_nan_and_infinity_become_numbers():
    x = minidl.tensor([float("nan"), float("inf"), -float("inf"), 1.0], requires_grad=True)
    y = minidl.nan_to_num(x, 2.0, posinf=3.0, neginf=-4.0)
    assert y.tolist() == [2.0, 3.0, -4.0, 1.0]
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 0.0, 1.0]


def test_the_other_operand_stands_in_for_nan():
    x = minidl.tensor([float("nan"), 1.0], requires_grad=True)
    y = minidl.fmax(x, minidl.tensor([2.0, 1.0]))
    assert y.tolist() == [2.0, 1.0]
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 1.0]
