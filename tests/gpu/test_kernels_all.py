"""Every kernel that the registry has for CUDA is compiled and run, with all of its instances."""

import numpy as np
import pytest

import minidl
from minidl import kernels
from minidl.testing import standin, to_numpy
from tests.gpu import shim
from tests.gpu.cases import CASES, FUNCTIONS
from tests.gpu.parity import check, check_function, on_shim
from tests.gpu.sources import FILES, needs_gxx, source

X = np.random.default_rng(0).standard_normal((24, 40))


def types(name):
    return ["float32", "float64", *["float16"] * kernels.load_cuda(name).half]


def test_every_kernel_has_cases():
    assert set(CASES) == set(kernels.CUDA)
    assert set(FUNCTIONS) == set(kernels.CUDA_FUNCTIONS)


@needs_gxx
@pytest.mark.parametrize("name", kernels.CUDA)
def test_the_kernel_is_as_the_definition(name):
    for call in CASES[name]:
        check(call, X, kernel=name, types=types(name))


@needs_gxx
@pytest.mark.parametrize("name", kernels.CUDA)
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_special_values_are_as_in_the_definition(name, special):
    x = X.copy()
    x[3, 7] = special
    for call in CASES[name]:
        check(call, x, kernel=name)


@needs_gxx
@pytest.mark.parametrize("name", kernels.CUDA)
def test_whole_numbers_are_as_on_the_cpu(name):
    """Kernels are for floats; what an op does with other numbers, or says, is up to its rule."""
    x = np.arange(960).reshape(24, 40) % 7

    def outcome(call, tensor):
        try:
            return to_numpy(call(tensor))
        except (TypeError, ValueError, RuntimeError, IndexError) as error:
            return type(error)

    for call in CASES[name]:
        expected = outcome(call, minidl.from_numpy(x))
        with on_shim():
            found = outcome(call, minidl.from_numpy(x).cuda())
        if isinstance(expected, type):
            assert found is expected
        else:
            assert found.dtype == expected.dtype
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@needs_gxx
@pytest.mark.parametrize("name", kernels.CUDA_FUNCTIONS)
def test_the_kernel_of_a_plain_function_is_as_on_the_cpu(name):
    for call in FUNCTIONS[name]:
        with on_shim():
            check_function(call, X)


@needs_gxx
@pytest.mark.parametrize("file", FILES)
def test_every_instance_is_launched(file):
    """By the cases; another instance would only cost the time to compile it."""
    shim.launched.clear()
    for name in [op for op, where in kernels.CUDA.items() if where == file]:
        for call in CASES[name]:
            check(call, X, kernel=name, types=types(name))
    with on_shim():
        for name in [f for f, where in kernels.CUDA_FUNCTIONS.items() if where == file]:
            for call in FUNCTIONS[name]:
                call(standin.ndarray(X.copy()))
    code = source(file).code
    assert {instance for text, instance in shim.launched if text == code} == set(
        source(file).instances
    )
