"""local_response_norm: a thread for each number (local_response_norm.cu)."""

from __future__ import annotations

import math

from ... import dtypes
from ...device import Array, xp
from .. import Kernel
from . import TYPES, Source, contiguous

SOURCE = Source(
    "local_response_norm.cu",
    dict.fromkeys(
        ("normalise_locally", "local_ratios", "local_gradient"),
        (TYPES[dtypes.F32], TYPES[dtypes.F64]),
    ),
)


def _windows(x: Array, size: int) -> tuple[int, ...]:
    """How many numbers, channels and pixels; channels of a window before its middle, and after."""
    return x.size, x.shape[1], math.prod(x.shape[2:]), size // 2, (size - 1) // 2


def forward(x: Array, size: int, alpha: float, beta: float, k: float) -> tuple[Array, Array]:
    y, base = (xp(x).empty(x.shape, x.dtype) for _ in range(2))
    numbers = alpha / size, beta, k
    SOURCE.launch_each("normalise_locally", y, contiguous(x), *_windows(x, size), *numbers, y, base)
    return y, base


def backward(
    g: Array, input: Array, aux: Array, size: int, alpha: float, beta: float
) -> tuple[Array]:
    g, x = contiguous(g), contiguous(input)
    ratio, dx = (xp(x).empty(x.shape, x.dtype) for _ in range(2))
    SOURCE.launch_each("local_ratios", ratio, g, x, aux, x.size, beta, ratio)
    windows = _windows(x, size)
    SOURCE.launch_each("local_gradient", dx, g, x, aux, ratio, *windows, alpha / size, beta, dx)
    return (dx,)


def _takes(x: Array, size: int, alpha: float, beta: float, k: float) -> bool:
    ints = x.ndim >= 3 and size >= 1 and max(size, x.shape[1]) < 2**31
    return ints and x.dtype in TYPES and x.size > 0


KERNELS = {"local_response_norm": Kernel(forward, backward, _takes, has_aux=True)}
