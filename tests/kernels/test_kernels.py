"""Kernels on large inputs and special values; on small ones: `kernel` of test_op_checks.py."""

import numpy as np
import pytest

import minidl
from minidl import kernels, ops
from minidl.testing.checks.call import as_tensor, gradients, leaf

RTOL, ATOL = 1e-5, 1e-6


def close(actual, expected, tolerance=RTOL):
    """max |a - b| <= rtol max |b| + atol, element by element only for values of equal size."""
    assert actual.shape == expected.shape
    if not expected.size:
        return
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(np.isfinite(actual), finite)
    np.testing.assert_array_equal(actual[~finite], expected[~finite])
    gap = np.abs(actual[finite] - expected[finite]).max(initial=0.0)
    assert gap <= tolerance * np.abs(expected[finite]).max(initial=0.0) + ATOL


@pytest.mark.parametrize("name", kernels.CPU)
def test_a_kernel_is_offered(name):
    """The registry names an op that exists, and loads its kernel."""
    assert ops.all_ops()[name].op.kernels
    assert kernels.load(name) is not None


LARGE = {
    "softmax": lambda x: minidl.softmax(x, 1),
    "log_softmax": lambda x: minidl.log_softmax(x, 1),
    "local_response_norm": lambda x: ops.local_response_norm(x.reshape(8, 12, 10, 25), 5, 1e-2),
    "max_pool2d": lambda x: ops.max_pool2d(x.reshape(8, 12, 10, 25), 3, 2, 1),
}


@pytest.mark.parametrize("name", kernels.CPU)
def test_kernel_on_a_large_input(name, device):
    """Sizes at which the work is cut into blocks and threads."""
    array = np.random.default_rng(0).standard_normal((24, 1000))
    values, grads = gradients(LARGE[name], (leaf(array, device, np.float32),))
    with kernels.disabled():
        exact, exact_grads = gradients(
            LARGE[name], (leaf(np.float32(array).astype(float), device),)
        )
    for a, b in zip(values + grads, exact + exact_grads, strict=True):
        close(a, b)


@pytest.mark.parametrize("name", kernels.CPU)
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_special_values_are_as_in_the_definition(name, special, device):
    array = np.random.default_rng(0).standard_normal((24, 1000)).astype(np.float32)
    array[3, 7] = special
    x = as_tensor(array, device, np.float32)
    with kernels.disabled():
        expected = LARGE[name](x)
    np.testing.assert_allclose(
        minidl.testing.to_numpy(LARGE[name](x)),
        minidl.testing.to_numpy(expected),
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("name", kernels.CPU)
def test_same_bits_twice(name, device):
    x = as_tensor(np.random.default_rng(0).standard_normal((24, 1000)), device, np.float32)
    first, second = (minidl.testing.to_numpy(LARGE[name](x)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_every_kernel_has_a_large_case():
    assert set(LARGE) == set(kernels.CPU)
