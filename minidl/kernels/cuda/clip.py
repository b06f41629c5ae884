"""Clipping of gradients, without waiting for the GPU: arrays are float32 or float64, contiguous."""

from __future__ import annotations

from ...device import Array, xp
from . import Source, blocks

THREADS, EACH = 256, 16  # EACH: as in clip.cu
KINDS = {"float32": "float", "float64": "double"}
SOURCE = Source("clip.cu", dict.fromkeys(("square_sum", "scale", "clamp"), KINDS.values()))


def square_sum(*arrays: Array) -> Array:
    """The sum of the squares of all arrays: a 0-d float64 array."""
    counts = [blocks(x.size, THREADS * EACH)[0] for x in arrays]
    partial = xp(arrays[0]).empty(sum(counts), "float64")
    start = 0
    for x, count in zip(arrays, counts, strict=True):
        own = partial[start : start + count]
        SOURCE.launch("square_sum", KINDS[x.dtype.name], (count,), (THREADS,), x, own, x.size)
        start += count
    return partial.sum()


def scale(x: Array, factor: Array) -> None:
    """x = factor * x, in place; factor: a 0-d array of x's type."""
    grid = blocks(x.size, THREADS)
    SOURCE.launch("scale", KINDS[x.dtype.name], grid, (THREADS,), x, factor, x.size)


def clamp(x: Array, low: float, high: float) -> None:
    """x = min(max(x, low), high), in place; nan stays."""
    grid = blocks(x.size, THREADS)
    SOURCE.launch("clamp", KINDS[x.dtype.name], grid, (THREADS,), x, low, high, x.size)
