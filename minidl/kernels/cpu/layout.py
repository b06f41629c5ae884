"""How the elements of an array lie in memory, and the two orders that kernels work in.

Images are (N, C, H, W) for whoever uses them. Kernels keep them channels-last: the C values of one
pixel side by side, which is what a vector register wants. Such an array is a view of a contiguous
(N, H, W, C) one with its axes moved.
"""

from __future__ import annotations

import numpy as np

reorders = 0  # images copied from one order into another: none in a well-written network


def images(n: int, c: int, h: int, w: int) -> np.ndarray:
    """New images (N, C, H, W), channels-last in memory."""
    return np.empty((n, h, w, c), np.float32).transpose(0, 3, 1, 2)


def pixels(x: np.ndarray) -> np.ndarray:
    """Images (N, C, H, W) as contiguous (N, H, W, C): a view if they are channels-last."""
    global reorders
    x = x.transpose(0, 2, 3, 1)
    if not x.flags.c_contiguous:
        reorders += 1
        x = np.ascontiguousarray(x)
    return x


def is_channels_last(x: np.ndarray) -> bool:
    """Whether images (N, C, H, W) lie channels-last."""
    return x.ndim == 4 and x.transpose(0, 2, 3, 1).flags.c_contiguous


def empty_like(x: np.ndarray) -> np.ndarray:
    """A new array in the memory order of `x` (without its gaps)."""
    return np.empty_like(x, subok=False)


def flat(x: np.ndarray, like: np.ndarray) -> np.ndarray:
    """The elements of `x` in the memory order of `like` (dense, same shape), as one long row."""
    order = sorted(range(like.ndim), key=lambda axis: -like.strides[axis])
    return np.ascontiguousarray(x.transpose(order)).reshape(-1)
