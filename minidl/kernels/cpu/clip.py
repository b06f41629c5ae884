"""Gradients kept small: the sum of all squares, a factor for all values, bounds for all values.

The norm of a model's gradients is one number out of millions of float32 values. Their squares are
added in double precision: no square of a float32 is too large or too small for it, and the sum is
exact to more digits than the result can show. An addition of two doubles takes as long as one of
floats, and half as many fit a register; still the loop waits for the memory.

Blocks of a long gradient are summed into numbers of their own, which are added up at the end: the
order depends on the size alone, and the sum not on the number of threads.
"""

from __future__ import annotations

import numpy as np

from . import jit, parallel, prange

BLOCK = 4096
DOUBLE = np.float64


@jit
def _squares(x):
    total = DOUBLE(0)
    for i in range(x.size):
        total += DOUBLE(x[i]) * DOUBLE(x[i])
    return total


@parallel
def _sums(x, sums):
    for i in prange(sums.size):
        sums[i] = _squares(x[i * BLOCK : (i + 1) * BLOCK])


def square_sum(*arrays: np.ndarray) -> float:
    """The sum of the squares of contiguous float32 arrays."""
    return sum([_square_sum(x.reshape(-1)) for x in arrays])


def _square_sum(x: np.ndarray) -> float:
    if x.size <= BLOCK:
        return _squares(x)
    sums = np.empty((x.size + BLOCK - 1) // BLOCK)
    _sums(x.size, x, sums)
    return float(sums.sum())


@parallel
def _scale(x, factor):
    factor = np.float32(factor)
    for i in prange(x.size):
        x[i] *= factor


def scale(x: np.ndarray, factor: float) -> None:
    """x = factor * x, in place, contiguous."""
    if factor != 1:
        _scale(x.size, x.reshape(-1), factor)


@parallel
def _clamp(x, low, high):
    low, high = np.float32(low), np.float32(high)
    for i in prange(x.size):
        value = low if x[i] < low else x[i]
        x[i] = high if value > high else value


def clamp(x: np.ndarray, low: float, high: float) -> None:
    """x = min(max(x, low), high), in place, contiguous; nan stays."""
    _clamp(x.size, x.reshape(-1), low, high)
