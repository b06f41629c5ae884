"""Pooling: a thread for each window, and on the way back one for each pixel (pool.cu).

Lines (N, C, L) are images of height 1.
"""

from __future__ import annotations

import math

from ...device import Array, xp
from ...ops.conv import Sizes, out_sizes
from .. import Kernel
from . import TYPES, Source, contiguous
from .conv import LARGEST, pair

SOURCE = Source("pool.cu", dict.fromkeys(("max_pool", "sum_pool", "spread"), TYPES.values()))


def _windows(x_shape: tuple, kernel: Sizes, out: Sizes, stride: Sizes) -> tuple[int, ...]:
    """How many planes there are, and how windows lie in one."""
    planes = x_shape[0] * x_shape[1]
    sizes = [pair(sizes, 1) for sizes in (x_shape[2:], kernel, out, stride)]
    return sum(sizes, (planes,))


def max_pool(
    x: Array, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, extra: Sizes
) -> tuple[Array, Array]:
    size = [have + more for have, more in zip(x.shape[2:], extra, strict=True)]
    out = out_sizes(size, kernel, stride, padding, dilation)
    best = xp(x).empty((*x.shape[:2], *out), x.dtype)
    where = xp(x).empty(best.shape, "int32")
    windows = _windows(x.shape, kernel, out, stride)
    SOURCE.launch_each(
        "max_pool", best, contiguous(x), *windows, *padding, *pair(dilation, 1), best, where
    )
    return best, where


def max_pool_backward(
    g: Array,
    aux: Array,
    input_shape: tuple,
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
) -> tuple[Array]:
    dx = xp(g).empty(input_shape, g.dtype)
    windows = _windows(input_shape, kernel, g.shape[2:], stride)
    steps = *padding, *pair(dilation, 1)
    SOURCE.launch_each("spread", dx, contiguous(g), contiguous(aux), *windows, *steps, dx)
    return (dx,)


def sum_pool(x: Array, kernel: Sizes, stride: Sizes) -> Array:
    none, one = (0,) * len(kernel), (1,) * len(kernel)
    sizes = out_sizes(x.shape[2:], kernel, stride, none, one)
    out = xp(x).empty((*x.shape[:2], *sizes), x.dtype)
    SOURCE.launch_each(
        "sum_pool", out, contiguous(x), *_windows(x.shape, kernel, sizes, stride), out
    )
    return out


def spread_windows(g: Array, kernel: Sizes, stride: Sizes, size: Sizes) -> Array:
    x = xp(g).empty((*g.shape[:2], *size), g.dtype)
    windows = _windows(x.shape, kernel, g.shape[2:], stride)
    SOURCE.launch_each("spread", x, contiguous(g), None, *windows, 0, 0, 1, 1, x)
    return x


def _takes(x: Array, stride: Sizes, dilation: Sizes = (), **sizes: Sizes) -> bool:
    """Lines or images of floats, whose pixels an int can count, and all positions in them: none is
    further from 0 than twice the sizes together."""
    floats = x.dtype in TYPES and x.ndim in (3, 4) and x.size > 0
    small = sum(map(sum, (x.shape[2:], *sizes.values()))) < LARGEST
    return floats and small and math.prod(x.shape[2:]) < 2**31


def _takes_size(g: Array, kernel: Sizes, stride: Sizes, size: Sizes) -> bool:
    given = _takes(g, kernel=kernel, stride=stride, size=size)
    return given and 0 < math.prod(size) < 2**31


KERNELS = {
    "max_pool2d": Kernel(max_pool, max_pool_backward, _takes, has_aux=True, half=True),
    "sum_pool": Kernel(sum_pool, eligible=_takes, half=True),
    "spread_windows": Kernel(spread_windows, eligible=_takes_size, half=True),
}
