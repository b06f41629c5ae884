"""Attention: shapes that are no multiples of a tile, masks, memory layouts, special values."""

import numpy as np
import pytest

import minidl
from minidl import kernels
from minidl.nn import functional as F
from minidl.testing import gradgradcheck, to_numpy
from tests import parity

# batch, heads, queries, keys, features of a key, of a value
SHAPES = [
    (1, 1, 1, 1, 1, 1),
    (2, 3, 64, 64, 32, 32),
    (1, 2, 7, 45, 20, 5),
    (2, 1, 33, 8, 16, 48),
    (1, 2, 65, 131, 64, 33),
    (1, 1, 40, 31, 128, 17),
]


def inputs(batch, heads, length, source, features, width):
    draw = np.random.default_rng(0).standard_normal
    return (
        draw((batch, heads, length, features)),
        draw((batch, heads, source, features)),
        draw((batch, heads, source, width)),
    )


def check(function, *arrays):
    parity.check(function, *arrays, kernel="attention")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("is_causal", [False, True])
def test_any_shape(shape, is_causal):
    call = F.scaled_dot_product_attention
    check(lambda q, k, v: call(q, k, v, is_causal=is_causal), *inputs(*shape))


@pytest.mark.parametrize("shape", SHAPES[1:5])
@pytest.mark.parametrize("broadcast", ["whole", "heads", "batch", "keys", "queries", "one"])
def test_masks(shape, broadcast):
    """Bool and float, broadcast in every way; a mask that learns; a query that sees nothing."""
    batch, heads, length, source, _, _ = shape
    size = {
        "whole": (batch, heads, length, source),
        "heads": (batch, 1, length, source),
        "batch": (length, source),
        "keys": (source,),
        "queries": (batch, 1, length, 1),
        "one": (1, 1),
    }[broadcast]
    draw = np.random.default_rng(1)
    seen = draw.random(size) < 0.6
    q, k, v = inputs(*shape)
    attend = F.scaled_dot_product_attention
    check(lambda q, k, v: attend(q, k, v, minidl.tensor(seen)), q, k, v)
    added = draw.standard_normal(size)
    # What is added to a whole row changes nothing: a gradient of 0, that is, of rounding.
    atol = 1e-5 if size[-1] == 1 else parity.ATOL
    parity.check(attend, q, k, v, added, kernel="attention", atol=atol)
    added = np.where(seen, added, -np.inf)
    check(lambda q, k, v: attend(q, k, v, minidl.tensor(added, dtype=q.dtype)), q, k, v)


def test_a_query_that_sees_nothing_gives_zero():
    q, k, v = (minidl.tensor(x, dtype=minidl.float32) for x in inputs(1, 2, 40, 40, 16, 16))
    seen = np.ones((40, 40), bool)
    seen[[0, 13, 39]] = False
    out = F.scaled_dot_product_attention(q.requires_grad_(), k, v, minidl.tensor(seen))
    out.sum().backward()
    for rows in (to_numpy(out.detach()), to_numpy(q.grad)):
        assert not rows[:, :, [0, 13, 39]].any()
        assert rows[:, :, 1].any()


@pytest.mark.parametrize("ndim", [2, 3, 4])
def test_two_to_four_dimensions(ndim):
    arrays = [x[(0,) * (4 - ndim)] for x in inputs(2, 3, 20, 36, 16, 24)]
    check(F.scaled_dot_product_attention, *arrays)


def test_five_dimensions_run_from_the_definition():
    arrays = [minidl.tensor(x[None], dtype=minidl.float32) for x in inputs(1, 2, 9, 9, 4, 4)]
    with parity.kernels_used() as used:
        F.scaled_dot_product_attention(*arrays)
    assert "attention" not in used


@pytest.mark.parametrize("which", range(3))
def test_memory_layouts(which):
    arrays = list(inputs(2, 2, 17, 35, 16, 16))
    for laid in parity.layouts(arrays[which]):
        arrays[which] = laid
        check(F.scaled_dot_product_attention, *arrays)


def test_views_of_one_projection_are_not_copied_and_keep_its_order():
    draw = np.random.default_rng(0).standard_normal
    projected = draw((2, 19, 3, 4, 16))  # (B, L, 3, heads, D)

    def attend(projected):
        q, k, v = projected.permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    check(attend, projected)
    y = attend(minidl.tensor(projected, dtype=minidl.float32))
    assert y.transpose(1, 2).is_contiguous()


def test_broadcast_keys():
    """An expanded tensor has strides of 0."""
    q, k, v = inputs(2, 3, 20, 20, 16, 16)
    attend = F.scaled_dot_product_attention
    check(lambda q, k, v: attend(q, k.expand(2, 3, 20, 16), v), q, k[:1, :1], v)


def test_shared_heads():
    q, _, _ = inputs(2, 6, 20, 20, 16, 16)
    _, k, v = inputs(2, 2, 20, 20, 16, 16)
    check(lambda *qkv: F.scaled_dot_product_attention(*qkv, enable_gqa=True), q, k, v)


def test_large_scores_do_not_overflow():
    q, k, v = inputs(1, 1, 24, 40, 16, 16)

    def attend(q, k, v):
        return F.scaled_dot_product_attention(q, k, v, scale=1.0)

    # One weight is 1, and dP - delta cancels to 0. What is left are a few roundings of dP (about 5,
    # 5e-7 each) times 30, from the queries, summed over some rows.
    parity.check(attend, 30 * q, k, v, kernel="attention", atol=2e-4)
    with minidl.no_grad():
        parity.close(
            to_numpy(attend(*[minidl.tensor(np.float32(x)) for x in (30 * q, k, v)])),
            to_numpy(attend(*[minidl.tensor(np.float32(x).astype(float)) for x in (30 * q, k, v)])),
        )


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", range(3))
def test_special_values(special, which):
    arrays = [np.float32(x) for x in inputs(1, 2, 20, 36, 16, 16)]
    arrays[which][0, 1, 3, 5] = special
    tensors = [minidl.tensor(x) for x in arrays]
    got = F.scaled_dot_product_attention(*tensors)
    with kernels.disabled():
        expected = F.scaled_dot_product_attention(*tensors)
    np.testing.assert_allclose(to_numpy(got), to_numpy(expected), rtol=1e-5, atol=1e-6)


def test_same_bits_on_any_number_of_threads():
    arrays = inputs(2, 3, 45, 45, 16, 16)
    parity.same_bits(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), *arrays
    )


def test_empty_inputs_run_from_the_definition():
    q, k, v = (minidl.zeros(0, 2, 5, 4) for _ in range(3))
    with parity.kernels_used() as used:
        assert F.scaled_dot_product_attention(q, k, v).shape == (0, 2, 5, 4)
    assert "attention" not in used


def test_second_derivative():
    """Under create_graph the definition is replayed, after a forward by the kernel."""
    arrays = inputs(1, 2, 5, 6, 4, 3)
    found = []
    for dtype in (minidl.float32, minidl.float64):
        q, k, v = (minidl.tensor(x, dtype=dtype, requires_grad=True) for x in arrays)
        y = F.scaled_dot_product_attention(q, k, v)
        (first,) = minidl.autograd.grad((y * y).sum(), q, create_graph=True)
        found.append(minidl.autograd.grad((first * first).sum(), [q, k, v]))
    for a, b in zip(*found, strict=True):
        parity.close(to_numpy(a), to_numpy(b), 1e-4)
    with kernels.forced(reference=True):
        gradgradcheck(F.scaled_dot_product_attention, (q[:, :1, :2], k[:, :1, :2], v[:, :1, :2]))


def test_backward_twice_with_retain_graph():
    q, k, v = (
        minidl.tensor(x, dtype=minidl.float32, requires_grad=True)
        for x in inputs(1, 1, 9, 9, 16, 16)
    )
    y = F.scaled_dot_product_attention(q, k, v).sum()
    first, second = (minidl.autograd.grad(y, [q, k, v], retain_graph=True) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))
