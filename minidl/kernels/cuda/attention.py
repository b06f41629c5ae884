"""Attention in tiles of 32 queries and 32 keys; no array has a number for each pair of them."""

from __future__ import annotations

import math
from typing import Any

from ...device import Array, xp
from .. import Kernel
from . import TYPES, Source, blocks, contiguous

SIDE, WARPS, FEATURES = 32, 8, 128  # FEATURES: the most that a query, key or value may have
KERNEL_NAMES = ("attention", "attention_queries", "attention_keys")
SOURCE = Source("attention.cu", dict.fromkeys(KERNEL_NAMES, TYPES.values()))


def _launch(kernel: str, rows: Array, *args: Any) -> None:
    """With a block for each 32 of the rows (..., rows, features)."""
    grid = (math.prod(rows.shape[:-2]) * blocks(rows.shape[-2], SIDE)[0],)
    SOURCE.launch(kernel, TYPES[rows.dtype], grid, (SIDE, WARPS), *args)


def _masks(query: Array, mask: Array | None) -> tuple[Array | None, Array | None, list[int]]:
    """The mask if it is of bools, if it is of floats; the heads, and its four strides."""
    heads = query.shape[-3] if query.ndim > 2 else 1
    if mask is None:
        return None, None, [heads, 0, 0, 0, 0]
    mask = contiguous(mask)
    shape = (1,) * (4 - mask.ndim) + mask.shape
    strides = [0 if shape[d] == 1 else math.prod(shape[d + 1 :]) for d in range(4)]
    of_bools = mask.dtype.kind == "b"
    return (mask if of_bools else None), (None if of_bools else mask), [heads, *strides]


def _sizes(query: Array, value: Array) -> tuple[int, ...]:
    return query.shape[-2], value.shape[-2], query.shape[-1], value.shape[-1]


def attention(
    query: Array,
    key: Array,
    value: Array,
    attn_mask: Array | None,
    is_causal: bool,
    scale: float,
) -> tuple[Array, tuple[Array, Array]]:
    """y, and for the backward the largest score m and 1 / t of each row."""
    q, k, v = (contiguous(x) for x in (query, key, value))
    seen, added, strides = _masks(q, attn_mask)
    out = xp(q).empty((*q.shape[:-1], v.shape[-1]), q.dtype)
    kept = "float64" if q.dtype.itemsize == 8 else "float32"
    tops, shares = (xp(q).empty(q.shape[:-1], kept) for _ in range(2))
    numbers = *strides, is_causal, *_sizes(q, v), scale
    _launch("attention", q, q, k, v, seen, added, *numbers, out, tops, shares)
    return out, (tops, shares)


def attention_backward(
    g: Array,
    query: Array,
    key: Array,
    value: Array,
    attn_mask: Array | None,
    out: Array,
    aux: tuple[Array, Array],
    is_causal: bool,
    scale: float,
    needs: tuple[bool, ...],
) -> tuple[Array | None, ...]:
    g, q, k, v, out = (contiguous(x) for x in (g, query, key, value, out))
    seen, added, strides = _masks(q, attn_mask)
    given = g, q, k, v, seen, added, *strides, is_causal, *_sizes(q, v), scale
    tops, shares = aux
    dq, dk, dv = (xp(x).empty_like(x) for x in (q, k, v))
    deltas = xp(tops).empty_like(tops)
    # A mask that learns takes the gradient of every score; its broadcasting is summed by the tape.
    dmask = xp(q).empty((*q.shape[:-1], k.shape[-2]), q.dtype) if needs[3] else None
    _launch("attention_queries", q, *given, out, tops, shares, deltas, dq, dmask)
    _launch("attention_keys", k, *given, tops, shares, deltas, dk, dv)
    return dq, dk, dv, dmask


def _takes(
    query: Array,
    key: Array,
    value: Array,
    attn_mask: Array | None,
    is_causal: bool,
    scale: float,
) -> bool:
    inputs = query, key, value
    if any(not x.size or not 2 <= x.ndim <= 4 or x.shape[-1] > FEATURES for x in inputs):
        return False
    if not query.shape[:-2] == key.shape[:-2] == value.shape[:-2]:
        return False
    if attn_mask is None:
        return True
    scores, mask = (*query.shape[:-1], key.shape[-2]), attn_mask.shape
    broadcasts = all(n in (1, size) for n, size in zip(mask[::-1], scores[::-1], strict=False))
    return 0 < len(mask) <= len(scores) and broadcasts and not is_causal


KERNELS = {"attention": Kernel(attention, attention_backward, _takes, has_aux=True, half=True)}
