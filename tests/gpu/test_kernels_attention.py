"""The CUDA kernels of attention, run by the shim."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl.nn import functional as F
from minidl.testing import standin
from tests.gpu.parity import TOLERANCES, check, layouts, on_shim
from tests.gpu.sources import needs_gxx
from tests.parity import kernels_used

pytestmark = needs_gxx
attend = F.scaled_dot_product_attention
LENGTHS = st.sampled_from([1, 2, 31, 32, 33, 65])
FEATURES = st.sampled_from([1, 5, 32, 33, 64])


def inputs(batch, heads, length, source, features, width, seed=0):
    draw = np.random.default_rng(seed).standard_normal
    return (
        draw((batch, heads, length, features)),
        draw((batch, heads, source, features)),
        draw((batch, heads, source, width)),
    )


# dS = P (dP - delta) cancels where one key takes all of the weight: what is left of numbers
# around 10 is their rounding.
ROUNDING = {kind: (relative, 20 * least) for kind, (relative, least) in TOLERANCES.items()}


def compare(function, *arrays, **options):
    check(function, *arrays, kernel="attention", tolerances=ROUNDING, **options)


@given(LENGTHS, LENGTHS, FEATURES, FEATURES, st.booleans(), st.integers(1, 2), layouts)
def test_as_the_definition(length, source, features, width, is_causal, heads, layout):
    arrays = inputs(1, heads, length, source, features, width)
    compare(lambda q, k, v: attend(q, k, v, is_causal=is_causal), *arrays, layout=layout)


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("kind", ["float16", "float32"])
def test_types_and_the_most_features(kind, is_causal):
    arrays = [x / 2 for x in inputs(1, 1, 34, 40, 128, 97)]
    compare(lambda q, k, v: attend(q, k, v, is_causal=is_causal), *arrays, types=[kind])


MASKS = {
    "whole": (2, 2, 5, 37),
    "heads": (2, 1, 5, 37),
    "batch": (5, 37),
    "keys": (37,),
    "queries": (2, 1, 5, 1),
    "one": (1, 1),
}


@pytest.mark.parametrize("size", MASKS.values(), ids=MASKS)
def test_masks(size):
    """Bool and float, broadcast in every way; a mask that learns; a query that sees nothing."""
    draw = np.random.default_rng(1)
    seen, added = draw.random(size) < 0.6, draw.standard_normal(size)
    seen.flat[0] = False
    q, k, v = inputs(2, 2, 5, 37, 8, 5)
    compare(lambda q, k, v, m: attend(q, k, v, m), q, k, v, seen)
    compare(attend, q, k, v, added)
    added = np.where(seen, added, -np.inf)
    compare(lambda q, k, v, m: attend(q, k, v, m.detach()), q, k, v, added)


@pytest.mark.parametrize("ndim", [2, 3])
def test_fewer_dimensions(ndim):
    arrays = [x[(0,) * (4 - ndim)] for x in inputs(2, 3, 20, 36, 16, 24)]
    compare(attend, *arrays)
    mask = np.random.default_rng(0).random((20, 36)) < 0.5
    compare(lambda q, k, v, m: attend(q, k, v, m), *arrays, mask)


def test_large_scores_do_not_overflow():
    q, k, v = (x.astype(np.float32).astype(float) for x in inputs(1, 1, 24, 70, 16, 16))
    compare(lambda *qkv: attend(*[x.detach() for x in qkv], scale=30.0), q, k, v)


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", range(3))
def test_special_values(special, which):
    arrays = list(inputs(1, 2, 20, 70, 16, 16))
    arrays[which][0, 1, 3, 5] = special
    with minidl.no_grad():
        compare(lambda *qkv: attend(*qkv), *arrays)


def test_scores_of_minus_infinity_only_are_no_mask():
    """Their softmax is nan, whereas a query from which a mask hides everything gives 0."""
    q, k, v = inputs(1, 1, 3, 40, 4, 4)
    q[0, 0, 1], k = -np.inf, np.abs(k)
    compare(lambda *qkv: attend(*qkv).detach(), q, k, v)


def test_a_step_neither_transfers_nor_waits():
    with on_shim() as device:
        q, k, v = (minidl.randn(2, 40, 8, device=device, requires_grad=True) for _ in range(3))
        with standin.counted() as counts:
            attend(q, k, v, is_causal=True).sum().backward()
    assert (counts.transfers, counts.synchronisations) == (0, 0)


def test_other_calls_are_left_to_the_definition():
    with on_shim() as device, kernels_used() as used:
        for shape in [(1, 1, 1, 3, 4), (0, 3, 4), (2, 3, 129)]:
            x = minidl.ones(shape, device=device)
            assert attend(x, x, x).shape == shape
    assert "attention" not in used
