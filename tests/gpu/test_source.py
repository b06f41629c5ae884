"""How kernels are chosen, and what `launch` refuses before a GPU would read wrong numbers."""

import numpy as np
import pytest

import minidl
from minidl import kernels
from minidl.kernels.cuda import TYPES, Source, inverse, memory_order
from minidl.kernels.cuda.elementwise import SOURCE
from minidl.testing import standin, standin_module
from tests.gpu import shim
from tests.gpu.parity import on_shim
from tests.gpu.sources import FILES, needs_gxx, source
from tests.parity import kernels_used

F32 = TYPES[np.dtype("float32")]


def launch(*args, arguments=f"{F32}, Tanh"):
    args = [standin.ndarray(a) if isinstance(a, np.ndarray) else a for a in args]
    with on_shim():
        SOURCE.launch("values", arguments, (1,), (32,), *args)


X = np.ones((4, 6), np.float32)


@needs_gxx
def test_numbers_come_in_the_type_of_the_parameter():
    out = np.empty_like(X)
    launch(X, out, X.size, 0, np.float64(1))  # long long, float, float
    np.testing.assert_allclose(out, np.tanh(1), rtol=1e-6)


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        ((X, X.astype(float), 24, 0.0, 0.0), TypeError, "'out' must be float32, .* float64 came"),
        ((X[:, ::2], X, 12, 0.0, 0.0), ValueError, "'x' must be contiguous, .* shape \\(4, 3\\)"),
        ((X.T, X, 24, 0.0, 0.0), ValueError, "'x' must be contiguous"),
        ((X, X, 24, 0.0), TypeError, "5 arguments expected, 4 came"),
        ((X, X, 24.0, 0.0, 0.0), TypeError, "integer"),
        ((X, X, 2**63, 0.0, 0.0), OverflowError, "too large"),
    ],
)
@needs_gxx
def test_wrong_arguments_are_refused(args, error, message):
    with pytest.raises(error, match=message):
        launch(*args)


@needs_gxx
def test_only_declared_instances_are_launched():
    with pytest.raises(KeyError, match=r"not compiled for values<float, float, Sin>: add it"):
        launch(X, X, 24, 0.0, 0.0, arguments=f"{F32}, Sin")


def test_nothing_is_launched_for_no_blocks():
    before = len(shim.launched)
    with on_shim():
        SOURCE.launch("values", f"{F32}, Tanh", (0,), (32,), standin.ndarray(X))
    assert len(shim.launched) == before


@needs_gxx
@pytest.mark.parametrize("file", FILES)
def test_python_and_cpp_agree_about_the_parameters(file):
    """`launch` reads them from the text; g++ knows them from the function's type."""
    found = source(file)
    module = shim.RawModule(
        code=found.code, options=("-std=c++17",), name_expressions=found.instances
    )
    for instance in found.instances:
        kernel, _, arguments = instance.removesuffix(">").partition("<")
        read = [p.dtype.str[1:] + "*" * p.is_array for p in found.parameters(kernel, arguments)]
        known = [kind.removeprefix("const ") for kind in module.get_function(instance).signature]
        assert read == known, instance


def test_an_unknown_kernel():
    with pytest.raises(KeyError, match=r"softmax\.cu has no kernel 'hardmax'"):
        Source("softmax.cu", {}).parameters("hardmax")


def test_memory_order_and_back():
    x = np.empty((2, 3, 4, 5), np.float32).transpose(2, 0, 3, 1)
    order = memory_order(x)
    assert x.transpose(order).flags.c_contiguous
    assert x.transpose(order).transpose(inverse(order)).strides == x.strides


# ---------------------------------------------------------------------------- the registry's choice


def test_a_module_without_raw_module_is_offered_no_kernels():
    x = standin.ndarray(X)
    with shim.device():
        assert kernels.has_cuda(x)
    assert not hasattr(standin_module.MODULE, "RawModule")


@needs_gxx
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_kernels_take_three_types(dtype):
    with on_shim() as device, kernels_used() as used:
        x = minidl.ones(3, 4, device=device, dtype=getattr(minidl, dtype))
        assert minidl.softmax(x, 1).dtype == x.dtype
    assert used == {"softmax"}


def test_half_is_left_to_the_definition_where_a_kernel_cannot_store_it():
    with on_shim() as device:
        x = minidl.ones(3, 4, device=device, dtype=minidl.float16)
        op = minidl.tape.named("mse_loss").op
        assert kernels.choose(op, (x, x, None), {"reduction": "sum"}) is None


def test_two_types_of_floats_are_left_to_the_definition():
    with on_shim() as device:
        x = minidl.ones(3, 4, device=device)
        op = minidl.tape.named("mse_loss").op
        assert kernels.choose(op, (x, x, None), {"reduction": "sum"}) is not None
        assert kernels.choose(op, (x, x.double(), None), {"reduction": "sum"}) is None


def test_disabled():
    with on_shim() as device, kernels.disabled(), kernels_used() as used:
        minidl.softmax(minidl.ones(3, 4, device=device), 1)
        assert kernels.function("words", standin.ndarray(X)) is None
    assert not used


@needs_gxx
def test_second_derivatives_go_through_the_rules():
    def second(device):
        x = minidl.linspace(-1, 1, 7, device=device).requires_grad_()
        y = minidl.softmax(x, 0).tanh() * minidl.arange(7, device=device)
        (first,) = minidl.autograd.grad(y.sum(), x, create_graph=True)
        return minidl.testing.to_numpy(minidl.autograd.grad((first * first).sum(), x)[0])

    with on_shim() as device:
        fast = second(device)
    np.testing.assert_allclose(fast, second("cpu"), rtol=1e-5, atol=1e-7)
