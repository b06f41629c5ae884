"""Dropout: the random words are drawn, compared and used block by block, and never stored.

The definition draws a word for each element, makes a number in [0, 1) of it, compares that with p,
makes 0 or 1 / (1 - p) of the answer, and multiplies: five arrays of the size of the input. Here a
block of words lives in the core's own cache just long enough to be used. The mask is not kept for
the gradient either: Philox gives word number i again when it is asked again (see `philox.py`).

The uniform number is word >> 8, as a multiple of 2^-24. It is compared as that integer, which gives
the same answer as the definition's comparison of float32 numbers, since both are exact.

Srivastava et al. 2014, "Dropout", https://jmlr.org/papers/v15/srivastava14a.html
"""

from __future__ import annotations

import math

import numpy as np

from .. import Kernel
from . import jit, parallel, prange
from .functions import ZERO, F
from .philox import COUNTERS, WORDS, keys_of, words_of_block

EIGHT = np.uint32(8)


@jit
def _drop(x, words, threshold, scale, out):
    for i in range(x.size):
        out[i] = x[i] * (scale if words[i] >> EIGHT >= threshold else ZERO)  # keeps nan


@parallel
def _dropout(x, keys, first, skipped, threshold, scale, out):
    """Element i takes word skipped + i, counted from counter `first`."""
    for block in prange((skipped + x.size + WORDS - 1) // WORDS):
        words = words_of_block(keys, first + np.uint64(block * COUNTERS), np.uint64(0))
        begin, end = max(block * WORDS - skipped, 0), (block + 1) * WORDS - skipped
        into = begin + skipped - block * WORDS  # only the first block begins within
        _drop(x[begin:end], words[into:], threshold, scale, out[begin:end])


def forward(input: np.ndarray, p: float, seed: int, offset: int, channels: bool) -> np.ndarray:
    x = np.ascontiguousarray(input)
    out = np.empty(x.shape, np.float32)
    threshold = np.uint32(math.ceil(float(F(p)) * 2**24))
    scale = F(1 / (1 - p)) if p < 1 else ZERO
    first, skipped = np.uint64(offset // 4), offset % 4
    rows = x.reshape(-1), out.reshape(-1)
    _dropout(8 * x.size, rows[0], keys_of(seed), first, skipped, threshold, scale, rows[1])
    return out


def backward(g: np.ndarray, p: float, seed: int, offset: int, channels: bool) -> tuple[np.ndarray]:
    return (forward(g, p, seed, offset, channels),)


def _takes(input: np.ndarray, p: float, seed: int, offset: int, channels: bool) -> bool:
    return input.dtype == F and input.size > 0 and not channels


KERNELS = {"dropout": Kernel(forward, backward, _takes)}
