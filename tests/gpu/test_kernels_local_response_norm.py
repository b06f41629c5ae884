"""The CUDA kernels of local response normalisation, run by the shim."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import ops
from minidl.testing import standin
from tests.gpu.parity import SPECIAL, check, layouts, on_shim
from tests.gpu.sources import needs_gxx
from tests.parity import kernels_used

pytestmark = needs_gxx
NAME = "local_response_norm"


@given(
    shape=st.tuples(st.integers(1, 3), st.sampled_from([1, 2, 5, 17]), st.integers(1, 9)),
    more=st.sampled_from([(), (3,), (2, 2)]),
    size=st.sampled_from([1, 2, 3, 5, 40]),
    beta=st.sampled_from([0.75, 0.5]),
    special=st.sampled_from([1.0, *SPECIAL]),
    layout=layouts,
)
def test_as_the_definition(shape, more, size, beta, special, layout):
    x = np.random.default_rng(0).standard_normal(shape + more)
    x.flat[x.size // 2] = special

    def call(x):
        return ops.local_response_norm(x, size, 0.5, beta, 2.0)

    check(call, x, kernel=NAME, layout=layout)


@pytest.mark.parametrize("size", [31, 32, 33, 255, 256, 257])
def test_sizes_around_a_block(size):
    x = np.random.default_rng(0).standard_normal((1, size, 1))
    check(lambda x: ops.local_response_norm(x, 5, 0.5), x, kernel=NAME)


def test_a_step_neither_transfers_nor_waits():
    with on_shim() as device, kernels_used() as used:
        x = minidl.randn(2, 3, 6, 8, device=device).requires_grad_()
        with standin.counted() as counts:
            ops.local_response_norm(x, 3).sum().backward()
    assert (counts.transfers, counts.synchronisations) == (0, 0)
    assert NAME in used
