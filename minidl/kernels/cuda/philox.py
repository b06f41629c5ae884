"""Random words, uniform and normal numbers: those of `minidl.random`, made on the GPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...device import Array, xp
from . import TYPES, Source, blocks

THREADS = 256
SOURCE = Source("philox.cu", {"words": [""], "uniforms": TYPES.values(), "normals": TYPES.values()})


def words(seed: int, offset: int, n: int, like: Array, stream: int) -> Array:
    """uint32 words offset .. offset + n - 1 of a seed's sequence."""
    out = xp(like).empty(n, np.uint32)
    SOURCE.launch("words", "", _grid(n), (THREADS,), out, n, seed, offset, stream)
    return out


def uniforms(seed: int, offset: int, n: int, dtype: Any, like: Array) -> Array:
    """n numbers in [0, 1)."""
    return _drawn("uniforms", seed, offset, n, dtype, like)


def normals(seed: int, offset: int, n: int, dtype: Any, like: Array) -> Array:
    """n numbers of the standard normal distribution."""
    return _drawn("normals", seed, offset, n, dtype, like)


def _drawn(kernel: str, seed: int, offset: int, n: int, dtype: Any, like: Array) -> Array:
    dtype = np.dtype(dtype)
    out = xp(like).empty(n, dtype)
    SOURCE.launch(kernel, TYPES[dtype], _grid(n), (THREADS,), out, n, seed, offset)
    return out


def _grid(n: int) -> tuple[int]:
    """A thread for each counter, of two numbers at least; the first one may begin within."""
    return blocks(n // 2 + 1, THREADS) if n else (0,)
