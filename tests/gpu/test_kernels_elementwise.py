"""The CUDA kernels of functions of one number, run by the shim."""

import numpy as np
import pytest
from hypothesis import given

import minidl
from minidl import ops
from minidl.testing import standin, to_numpy
from tests.gpu.cases import CASES
from tests.gpu.parity import arrays, check, layouts, on_shim
from tests.gpu.sources import needs_gxx
from tests.parity import kernels_used

pytestmark = needs_gxx
CALLS = {
    f"{name}-{i}": (name, call)
    for name in CASES
    if minidl.kernels.CUDA[name] == "elementwise"
    for i, call in enumerate(CASES[name])
}


@pytest.mark.parametrize("case", CALLS)
@given(x=arrays(), layout=layouts)
def test_as_the_definition(case, x, layout):
    name, call = CALLS[case]
    check(call, x, kernel=name, layout=layout)


@pytest.mark.parametrize("case", CALLS)
def test_over_the_whole_range(case):
    """Where functions saturate, kink, or begin to be computed in another way."""
    name, call = CALLS[case]
    x = np.concatenate([np.linspace(-110, 110, 441), np.linspace(-8, 8, 321), [0.0, -0.0, 1e-8]])
    x = x[x < 60] if name == "exp" else x
    check(call, x, kernel=name)


def test_results_lie_in_memory_as_the_input():
    x = np.zeros((2, 5, 3, 4), np.float32).transpose(0, 3, 1, 2)  # channels-last
    with on_shim():
        t = minidl.tape.wrap(standin.ndarray(x)).requires_grad_()
        y = minidl.ops.silu(t)
        dx = minidl.autograd.grad(y.sum(), t)[0]
    assert y._array.strides == dx._array.strides == x.strides


def test_integers_become_floats_first():
    with on_shim() as device, kernels_used() as used:
        y = minidl.tensor([0, 1], device=device).sigmoid()
    assert "sigmoid" in used and y.dtype == minidl.float32


def test_empty_arrays_are_left_to_the_definition():
    with on_shim() as device, kernels_used() as used:
        assert minidl.zeros(0, 3, device=device).tanh().shape == (0, 3)
    assert not used


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_logarithms_near_1_keep_their_digits(kind):
    """ln(1 + e^-20): 1 + e^-20 is 1 in float32."""
    with on_shim() as device, kernels_used() as used:
        x = minidl.tensor([-20.0, -10.0], dtype=getattr(minidl, kind), device=device)
        zeros = minidl.zeros_like(x)
        pairs = ops.binary_cross_entropy_with_logits(x[:1], zeros[:1])
        found = [to_numpy(y) for y in (ops.softplus(x), -ops.logsigmoid(-x), pairs)]
    expected = np.log1p(np.exp([-20.0, -10.0]))
    for values, exact in zip(found, [expected, expected, expected[0]], strict=True):
        np.testing.assert_allclose(values, exact, rtol=1e-5)
    assert used >= {"softplus", "logsigmoid", "binary_cross_entropy_with_logits"}
