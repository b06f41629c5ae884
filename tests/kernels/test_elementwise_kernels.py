"""Kernels of functions of one number: exactness, special values, layouts, threads."""

import numpy as np
import pytest
from scipy import special as scipy

import minidl
from minidl import kernels, ops
from minidl.nn import functional as F
from tests import parity

FUNCTIONS = {
    "exp": ops.exp,
    "tanh": ops.tanh,
    "sigmoid": ops.sigmoid,
    "relu": ops.relu,
    "erf": ops.erf,
    "logsigmoid": ops.logsigmoid,
    "silu": ops.silu,
    "mish": ops.mish,
    "hardswish": ops.hardswish,
    "gelu": ops.gelu,
    "leaky_relu": lambda x: ops.leaky_relu(x, 0.2),
    "elu": lambda x: ops.elu(x, 1.5),
    "softplus": lambda x: ops.softplus(x, 2.0, 15.0),
}
FORMS = FUNCTIONS | {"gelu tanh": lambda x: ops.gelu(x, "tanh")}
EACH = pytest.mark.parametrize("name", FORMS)
SIZES = [(2048,), (2049,), (3, 683), (1, 8191), (8193,), (2, 3, 37, 41), (70001,)]


def kernel_of(name):
    return name.split()[0]


def numbers(*shape, scale=3.0):
    return scale * np.random.default_rng(1).standard_normal(shape)


def test_all_kernels_of_the_file_are_here():
    assert list(FUNCTIONS) == kernels._FILES["elementwise"]


@EACH
@pytest.mark.parametrize("shape", SIZES)
def test_as_the_definition(name, shape):
    parity.check(FORMS[name], numbers(*shape), kernel=kernel_of(name))


@EACH
def test_in_any_layout(name):
    for x in parity.layouts(numbers(3, 5, 16, 13)):
        parity.check(FORMS[name], x, kernel=kernel_of(name))


@EACH
def test_the_layout_of_the_input_stays(name):
    images = np.ascontiguousarray(numbers(2, 16, 9, 11).astype("f4").transpose(0, 2, 3, 1))
    x = minidl.from_numpy(images.transpose(0, 3, 1, 2)).requires_grad_()
    out = FORMS[name](x)
    assert out._array.strides == x._array.strides
    (dx,) = minidl.autograd.grad(out, x, minidl.ones(x.shape))  # whose own layout is another
    assert dx._array.strides == x._array.strides


@EACH
def test_same_bits_on_any_number_of_threads(name):
    parity.same_bits(FORMS[name], numbers(40001))


@EACH
def test_nan_and_infinity_as_in_the_definition(name):
    x = np.tile([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-30, -1e-30, 60.0, -60.0, 1.0], 300)
    parity.check(FORMS[name], x, kernel=kernel_of(name))


def gradient_for(name, g):
    x = minidl.from_numpy(np.tile(np.float32([-120.0, -1.0, 0.0, 2.0, 80.0]), 600))
    x.requires_grad_()
    return minidl.autograd.grad(FORMS[name](x), x, minidl.full((3000,), g))[0].numpy()


@EACH
def test_nan_does_not_end_in_a_gradient(name):
    assert np.isnan(gradient_for(name, np.nan)).all()


@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid", "relu", "erf", "logsigmoid"])
@pytest.mark.parametrize("g", [np.inf, -np.inf])
def test_an_infinite_gradient_as_in_the_rule(name, g):
    """Infinity times a slope of 0 is nan. (A composition may add inf - inf where a kernel, which
    has the slope as one number, does not.)"""
    with kernels.disabled():
        expected = gradient_for(name, g)
    np.testing.assert_array_equal(gradient_for(name, g), expected)


@EACH
def test_second_derivative(name):
    x = numbers(2050)

    def slope(x):
        (first,) = minidl.autograd.grad(FORMS[name](x).sum(), x, create_graph=True)
        return first * 1.0

    parity.check(slope, x, kernel=kernel_of(name))


@pytest.mark.parametrize(
    ("name", "exact", "low", "high"),
    [
        ("exp", np.exp, -86.9, 88.7),
        ("tanh", np.tanh, -12, 12),
        ("sigmoid", scipy.expit, -86, 30),
        ("erf", scipy.erf, -6, 6),
        ("logsigmoid", scipy.log_expit, -80, 80),
        ("silu", lambda x: x * scipy.expit(x), -80, 80),
        ("gelu", lambda x: x * scipy.ndtr(x), -5, 40),
        ("gelu tanh", lambda x: x * scipy.expit(1.5957691216 * (x + 0.044715 * x**3)), -3, 40),
        ("mish", lambda x: x * np.tanh(np.logaddexp(0, x)), -80, 80),
        ("elu", lambda x: np.where(x > 0, x, 1.5 * np.expm1(x)), -80, 80),
        ("softplus", lambda x: np.where(2 * x > 15, x, np.logaddexp(0, 2 * x) / 2), -30, 30),
    ],
)
def test_every_digit_in_the_tails(name, exact, low, high):
    """Relative to the value itself, not only to the largest one."""
    x = np.concatenate([np.linspace(low, high, 100001), np.geomspace(1e-20, 0.1, 1001)])
    x = np.concatenate([x, -x[-1001:]]).astype(np.float32)
    out = FORMS[name](minidl.from_numpy(x)).numpy()
    expected = exact(x.astype(float))
    gap = np.abs(out - expected) / np.maximum(np.abs(expected), 1e-30)
    assert gap.max() < RELATIVE.get(name, 4e-7), (gap.max(), x[gap.argmax()])


# These multiply or square their input before an exponential: its rounding grows with it.
RELATIVE = {"gelu": 4e-6, "gelu tanh": 4e-6, "softplus": 1e-6}


@pytest.mark.parametrize("name", ["leaky_relu", "elu", "softplus", "gelu", "silu"])
def test_numbers_that_the_kernel_refuses(name):
    with parity.kernels_used() as used:
        FUNCTIONS[name](minidl.zeros(0))
        FUNCTIONS[name](minidl.zeros(5000, dtype=minidl.float64))
    assert not used


def test_integers_become_float():
    x = minidl.arange(-3, 4)
    np.testing.assert_allclose(F.silu(x).numpy(), F.silu(x.float()).numpy(), rtol=1e-6)


def test_very_large_numbers():
    """Products inside must not overflow where the result does not."""
    x = np.full(3000, 2e21, np.float32)
    np.testing.assert_array_equal(F.mish(minidl.from_numpy(x)).numpy(), x)
    x = minidl.tensor([1e13, 2e13, 1e15, -1e15] * 1000, requires_grad=True)
    F.gelu(x, approximate="tanh").sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [1, 1, 1, 0] * 1000)
