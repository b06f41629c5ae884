"""The CUDA kernels of softmax, log_softmax and logsumexp, run by the shim."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl.kernels.cuda import FOLDER, OPTIONS
from minidl.testing import to_numpy
from minidl.testing.standin import ndarray
from tests.gpu import shim
from tests.gpu.parity import arrays, check, layouts, on_shim
from tests.gpu.sources import needs_gxx
from tests.parity import kernels_used

pytestmark = needs_gxx
OPS = {
    "softmax": minidl.softmax,
    "log_softmax": minidl.log_softmax,
    "logsumexp": minidl.logsumexp,
}


@pytest.mark.parametrize("name", OPS)
@given(x=arrays(min_dims=1), data=st.data(), layout=layouts)
def test_as_the_definition(name, x, data, layout):
    dim = data.draw(st.integers(-x.ndim, x.ndim - 1))
    check(lambda x: OPS[name](x, dim), x, kernel=name, layout=layout)


@pytest.mark.parametrize("name", OPS)
def test_half(name):
    x = np.random.default_rng(0).standard_normal((5, 70)) * 3
    check(lambda x: OPS[name](x, 1), x, kernel=name, types=["float16"])


@pytest.mark.parametrize("name", OPS)
def test_far_from_zero(name):
    x = 1000 + np.random.default_rng(0).standard_normal((3, 300)).astype(np.float32).astype(float)
    check(lambda x: OPS[name](x, 1), x, kernel=name)


def test_empty_arrays_are_left_to_the_definition():
    with on_shim() as device, kernels_used() as used:
        assert minidl.softmax(minidl.zeros(0, 3, device=device), 1).shape == (0, 3)
    assert "softmax" not in used


LARGEST = """
%s
__global__ void largest_of_all(const float* x, float* out) {
  out[threadIdx.x] = over_block<Largest>(x[threadIdx.x]);
}
"""


@pytest.mark.parametrize("place", [0, 1, 31, 32, 63])
def test_the_largest_number_leaves_nan_out_and_every_thread_gets_it(place):
    """Wherever the nan stands: `>` alone would give one thread this and another that."""
    code = LARGEST % (FOLDER / "common.cuh").read_text()
    x, out = np.arange(64, dtype=np.float32)[::-1].copy(), np.zeros(64, np.float32)
    x[place] = np.nan
    module = shim.RawModule(code=code, options=OPTIONS, name_expressions=["largest_of_all"])
    module.get_function("largest_of_all")((1,), (64,), (ndarray(x), ndarray(out)))
    np.testing.assert_array_equal(out, np.nanmax(x))


def test_gradients_of_halves_are_added_up_in_float():
    """1 and many numbers of which none changes a half's 1, but all together do."""
    g = np.where(np.arange(64 * 1024) < 1024, 1, 4e-4).astype("f2")
    with on_shim() as device:
        x = minidl.tensor(np.eye(1, g.size, dtype="f2") * 40, device=device, requires_grad=True)
        (dx,) = minidl.autograd.grad(
            minidl.log_softmax(x, 1), [x], minidl.tensor(g[None], device=device)
        )
        found = to_numpy(dx)[0, 0]
    np.testing.assert_allclose(found, 1 - g.sum(dtype="f8"), rtol=2e-3)
