"""How the elements of an array lie in memory, and the two orders that kernels work in.

Images are (N, C, H, W) for whoever uses them, and that order is what NumPy and PyTorch store: all
pixels of one channel side by side. Kernels keep them channels-last, (N, H, W, C) in memory: the C
values of one pixel side by side. Then a convolution is a matrix product on rows of C numbers, a
pooling compares rows, a normalisation has one coefficient for each element of a row: always a loop
over neighbours in memory with nothing to look up, which is what a vector register wants.

Such an array is a view of a contiguous (N, H, W, C) one with its axes moved, so nobody who indexes
it can tell: layout never shows in values. NumPy's functions keep the order of their operands. A
kernel calls `pixels`, which costs nothing on channels-last images and one copy on others; what it
makes is channels-last, so a network pays for one copy, of its first input.

The copy is a transposition, in tiles of 64 x 64: a tile is read along the rows, turned in a small
array that stays in the cache, and written along the columns. Without that array the writes would be
a whole row of pixels apart, often a power of two, and such addresses push each other out of the
cache.
https://docs.pytorch.org/tutorials/intermediate/memory_format_tutorial.html
"""

from __future__ import annotations

import numpy as np

from ... import dtypes
from .. import Kernel
from . import jit, parallel, prange

reorders = 0  # arrays copied from one order into another: none in a well-written network

TILE = 64


@jit
def _turn(x, out):
    """x (A, B) -> out (B, A)"""
    tile = np.empty((TILE, TILE), np.float32)
    for left in range(0, x.shape[1], TILE):
        width = min(TILE, x.shape[1] - left)
        for top in range(0, x.shape[0], TILE):
            height = min(TILE, x.shape[0] - top)
            for a in range(height):
                row = x[top + a, left : left + width]
                for b in range(width):
                    tile[b, a] = row[b]
            for b in range(width):
                row = out[left + b, top : top + height]
                for a in range(height):
                    row[a] = tile[b, a]


@parallel
def _turned(x, out):
    """x (N, A, B) -> out (N, B, A)"""
    for n in prange(x.shape[0]):
        _turn(x[n], out[n])


def images(n: int, c: int, h: int, w: int) -> np.ndarray:
    """New images (N, C, H, W), channels-last in memory."""
    return np.empty((n, h, w, c), np.float32).transpose(0, 3, 1, 2)


def pixels(x: np.ndarray) -> np.ndarray:
    """Images (N, C, H, W) as contiguous (N, H, W, C): a view if they are channels-last.

    Likewise (N, C, L) as (N, L, C), and (N, C, D, H, W).
    """
    global reorders
    turned = x.transpose(0, *range(2, x.ndim), 1)
    if turned.flags.c_contiguous:
        return turned
    if 0 not in x.strides:  # what is spread over pixels by broadcasting has no order yet
        reorders += 1
    if not (x.flags.c_contiguous and x.dtype == dtypes.F32):
        return np.ascontiguousarray(turned)
    n, c = x.shape[:2]
    out = np.empty(turned.shape, np.float32)
    _turned(x.size, x.reshape(n, c, -1), out.reshape(n, -1, c))
    return out


def row_order(x: np.ndarray) -> np.ndarray:
    """Channels-last images (N, C, H, W) as a copy in row-major order."""
    global reorders
    reorders += 1
    n, c = x.shape[:2]
    out = np.empty(x.shape, np.float32)
    _turned(x.size, pixels(x).reshape(n, -1, c), out.reshape(n, c, -1))
    return out


def from_pixels(x: np.ndarray) -> np.ndarray:
    """Contiguous (N, H, W, C) as images (N, C, H, W): a view."""
    return x.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


def is_channels_last(x: np.ndarray) -> bool:
    """Whether images (N, C, H, W) lie channels-last."""
    return x.ndim == 4 and x.transpose(0, 2, 3, 1).flags.c_contiguous


def empty_like(x: np.ndarray) -> np.ndarray:
    """A new array in the memory order of `x` (without its gaps)."""
    return np.empty_like(x, subok=False)


def flat(x: np.ndarray, like: np.ndarray) -> np.ndarray:
    """The elements of `x` in the memory order of `like` (dense, same shape), as one long row."""
    global reorders
    laid = x.transpose(sorted(range(like.ndim), key=lambda axis: -like.strides[axis]))
    if not laid.flags.c_contiguous and 0 not in x.strides:
        reorders += 1
    return np.ascontiguousarray(laid).reshape(-1)


ROWS, LAST = (0, 1, 2, 3), (0, 2, 3, 1)


def laid(x: np.ndarray, order: tuple, back: tuple) -> np.ndarray:
    return row_order(x) if order == ROWS else from_pixels(pixels(x))


def _between_the_two(x: np.ndarray, order: tuple, back: tuple) -> bool:
    return x.dtype == dtypes.F32 and x.size > 0 and (order, back) in ((ROWS, LAST), (LAST, ROWS))


KERNELS = {"laid": Kernel(laid, eligible=_between_the_two)}
