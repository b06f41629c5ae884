"""The CUDA kernels of softmax, log_softmax and logsumexp, run by the shim."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
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
