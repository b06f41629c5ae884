"""Dropout, with the bits that the definition draws."""

from __future__ import annotations

import math

from ... import dtypes
from ...device import Array, xp
from .. import Kernel
from . import TYPES, Source, blocks, contiguous

THREADS = 256
SOURCE = Source("dropout.cu", {"dropout": TYPES.values()})


def forward(input: Array, p: float, seed: int, offset: int, channels: bool) -> Array:
    x = contiguous(input)
    out = xp(x).empty_like(x)
    # The uniform number is a multiple of 2^-24: comparing it with p is comparing integers.
    threshold = math.ceil(float(dtypes.F32.type(p)) * 2**24)
    scale = 1 / (1 - p) if p < 1 else 0.0
    grid = blocks(x.size // 4 + 2, THREADS)  # the first and the last counter may be used in part
    args = x, out, x.size, seed, offset, threshold, scale
    SOURCE.launch("dropout", TYPES[x.dtype], grid, (THREADS,), *args)
    return out


def backward(g: Array, p: float, seed: int, offset: int, channels: bool) -> tuple[Array]:
    return (forward(g, p, seed, offset, channels),)


def _takes(input: Array, p: float, seed: int, offset: int, channels: bool) -> bool:
    return input.size > 0 and not channels


KERNELS = {"dropout": Kernel(forward, backward, _takes, half=True)}
