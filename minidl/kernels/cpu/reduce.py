"""Sums over dimensions, on all threads, and with less rounding than one number after the other.

Whatever the dimensions are called, in memory the array is (A, R, B): R numbers, B apart, are to be
added, for each of A * B results. If several dimensions that do not lie side by side are summed
(0, 2 and 3 of images), that is done for one of them after the other, the innermost first.

With B = 1 the numbers of a sum lie side by side: a vector register adds 16 partial sums. With B > 1
a register holds 16 neighbouring results, and rows are added to rows. Either way R is cut into
pieces of a fixed size, whose sums are added in a second round, and so on. That gives the threads
something to share, it does not depend on how many they are, and it is why the error stays small:
a float32 sum of n numbers one by one is off by up to n roundings, this one by a few times the size
of a piece. (Higham 1993, "The accuracy of floating point summation",
https://doi.org/10.1137/0914050)
"""

from __future__ import annotations

import math

import numpy as np

from .. import Kernel
from . import jit, parallel, prange
from .functions import ZERO, F

ALONG, ACROSS = 1024, 128  # numbers of a piece for B = 1, rows of a piece for B > 1
WIDTH = 512  # columns that one thread adds at a time
ENOUGH = 32768  # NumPy is as fast on fewer numbers


@jit
def _sum(x):
    total = ZERO
    for i in range(x.size):
        total += x[i]
    return total


@parallel
def _sum_along(x, out):
    """x (A, R), out (A, pieces)"""
    pieces = out.shape[1]
    for p in prange(out.size):
        a = p // pieces
        first = (p - a * pieces) * ALONG
        out[a, p - a * pieces] = _sum(x[a, first : first + ALONG])


@jit
def _add_rows(x, first, out):
    """out (W,) = x (R, B) summed over its rows, from column `first` on"""
    for b in range(out.size):
        out[b] = ZERO
    for r in range(x.shape[0]):
        row = x[r, first : first + WIDTH]
        for b in range(out.size):
            out[b] += row[b]


@parallel
def _sum_across(x, out):
    """x (A, R, B), out (A, pieces, B)"""
    pieces, widths = out.shape[1], (out.shape[2] + WIDTH - 1) // WIDTH
    for p in prange(out.shape[0] * pieces * widths):
        a = p // (pieces * widths)
        piece = p // widths - a * pieces
        first = (p % widths) * WIDTH
        rows = x[a, piece * ACROSS : (piece + 1) * ACROSS]
        _add_rows(rows, first, out[a, piece, first : first + WIDTH])


def _sum_middle(x: np.ndarray) -> np.ndarray:
    """x (A, R, B) -> (A, B)"""
    while x.shape[1] > 1:
        a, r, b = x.shape
        if b == 1:
            out = np.empty((a, (r + ALONG - 1) // ALONG), np.float32)
            _sum_along(x.size, x.reshape(a, r), out)
            x = out.reshape(a, -1, 1)
        else:
            fold = _fold(r, b)
            x = x.reshape(a, r // fold, b * fold)
            out = np.empty((a, (r // fold + ACROSS - 1) // ACROSS, b * fold), np.float32)
            _sum_across(x.size, x, out)
            x = out.reshape(a, -1, b)
    return x.reshape(x.shape[0], x.shape[2])


def _fold(rows: int, columns: int) -> int:
    """How many rows to see as one, so that a register is full although there are few columns."""
    fold = 1
    while columns * fold < 128 and rows > 2 * fold and rows % (2 * fold) == 0:
        fold *= 2
    return fold


def _axes(dim: object, ndim: int) -> tuple[int, ...] | None:
    """The dimensions summed over; None if they are not plain or not there."""
    given = range(ndim) if dim is None or dim == () else (dim,) if isinstance(dim, int) else dim
    if not isinstance(given, (tuple, list, range)):
        return None
    if not all(isinstance(d, int) and -ndim <= d < ndim for d in given):
        return None
    axes = tuple(d % ndim for d in given)
    return axes if len(set(axes)) == len(axes) else None


def forward(input: np.ndarray, dim: object, keepdim: bool) -> np.ndarray:
    axes = _axes(dim, input.ndim)
    order = _order(input)
    x = input.transpose(order)
    shape = list(x.shape)
    for i in reversed(range(len(order))):
        if order[i] in axes:
            first = i
            while first and order[first - 1] in axes and shape[first - 1] > 1:
                first -= 1
            middle = math.prod(shape[first : i + 1])
            if middle != 1:
                x = _sum_middle(x.reshape(math.prod(shape[:first]), middle, -1))
                shape[first : i + 1] = [1] * (i + 1 - first)
    back = sorted(range(len(order)), key=lambda i: order[i])
    out = x.reshape(shape).transpose(back)
    return out if keepdim else out.squeeze(axes)


def _order(x: np.ndarray) -> list[int]:
    """The dimensions from the outermost in memory to the innermost."""
    return sorted(range(x.ndim), key=lambda axis: -x.strides[axis])


def _takes(input: np.ndarray, dim: object, keepdim: bool) -> bool:
    if input.dtype != F or input.size < ENOUGH or _axes(dim, input.ndim) is None:
        return False
    return input.flags.c_contiguous or input.transpose(_order(input)).flags.c_contiguous


KERNELS = {"sum": Kernel(forward, None, _takes)}
