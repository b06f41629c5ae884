"""layer_norm, rms_norm, group_norm, batch_norm: a block of threads for each mean (norms.cu)."""

from __future__ import annotations

import math

import numpy as np

from ... import dtypes
from ...device import Array, xp
from .. import Kernel
from . import THREADS, TYPES, Source, blocks, contiguous
from .softmax import threads

MOST = 512  # threads for a mean of many numbers
ROWS, PARTS = 32, 256  # sums over rows: at least so many rows in a part, at most so many parts
COMPUTED = {np.dtype("float16"): dtypes.F32, dtypes.F32: dtypes.F32, dtypes.F64: dtypes.F64}
SOURCE = Source(
    "norms.cu",
    dict.fromkeys(
        (
            "normalise",
            "group_gradient",
            "channel_gradient",
            "column_sums",
            "plane_sums",
            "fixed_norm",
            "fixed_norm_gradient",
        ),
        TYPES.values(),
    ),
)


def _rows(x: Array, dims: int) -> tuple[int, int, int]:
    """The sizes (N, C, P) of x as rows, which are images of one pixel."""
    columns = math.prod(x.shape[x.ndim - dims :])
    return x.size // columns, columns, 1


def _images(x: Array) -> tuple[int, int, int]:
    n, channels, *size = x.shape
    return n, channels, math.prod(size)


def _or_null(vector: Array | None) -> Array | None:
    return None if vector is None else contiguous(vector)


# ---------------------------------------------------------------- the same code for four kinds


def _normalise(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    sizes: tuple[int, int, int],
    per_group: int,
    images: int,
    eps: float,
    centred: bool = True,
    seen: bool = True,
) -> tuple[tuple[Array, Array | None, Array | None], Array]:
    """(y, mean, var), and the statistics (groups, 3). seen: whether mean and var are outputs."""
    xs, (n, channels, pixels) = xp(x), sizes
    groups = n * channels // (images * per_group)
    y = xs.empty(x.shape, x.dtype)
    statistics = xs.empty((groups, 3), COMPUTED[x.dtype])
    mean, var = (xs.empty(groups, x.dtype) if seen else None for _ in range(2))
    args = contiguous(x), _or_null(weight), _or_null(bias), channels, pixels, per_group, images
    block = threads(images * per_group * pixels, MOST)
    results = y, statistics, mean, var
    SOURCE.launch("normalise", TYPES[x.dtype], (groups,), block, *args, eps, centred, *results)
    return (y, mean, var), statistics


def _group_gradients(
    g: Array,
    x: Array,
    weight: Array | None,
    statistics: Array,
    sizes: tuple[int, int, int],
    per_group: int,
    needs: tuple,
    centred: bool = True,
) -> list[Array | None]:
    """The gradients of x, the weight and (in its shape) the bias; a group lies in one image."""
    _, channels, pixels = sizes
    g, x, dx = contiguous(g), contiguous(x), None
    if needs[0]:
        dx = xp(x).empty(x.shape, x.dtype)
        args = g, x, _or_null(weight), statistics, channels, pixels, per_group, centred, dx
        grid, block = (len(statistics),), threads(per_group * pixels, MOST)
        SOURCE.launch("group_gradient", TYPES[x.dtype], grid, block, *args)
    if not any(needs[1:]):
        return [dx, *[None] * len(needs[1:])]
    sums, products = _channel_sums(g, x, statistics, sizes, per_group, channels // per_group)
    totals = zip((products, sums), needs[1:], strict=False)
    return [dx, *[total.astype(x.dtype) if need else None for total, need in totals]]


def _channel_sums(
    g: Array,
    x: Array,
    statistics: Array,
    sizes: tuple[int, int, int],
    per_group: int,
    per_image: int,
) -> Array:
    """Sums of g, and of g times normalised x, (2, C) in the type that is computed with."""
    n, channels, pixels = sizes
    parts = n if pixels > 1 else min(max(n // ROWS, 1), PARTS)
    sums = xp(x).empty((2, parts, channels), COMPUTED[x.dtype])
    if pixels > 1:
        args = channels, pixels, per_group, per_image, sums
        grid, block, kernel = (n * channels,), threads(pixels, MOST), "plane_sums"
    else:
        args = n, channels, per_group, per_image, sums
        grid, block, kernel = (*blocks(channels, THREADS), parts), (THREADS,), "column_sums"
    SOURCE.launch(kernel, TYPES[x.dtype], grid, block, g, x, statistics, *args)
    return sums.sum(1)


# ------------------------------------------------------------------------------------- the ops


def layer_norm(
    input: Array, weight: Array | None, bias: Array | None, dims: int, eps: float
) -> tuple[Array, Array]:
    sizes = _rows(input, dims)
    (y, *_), aux = _normalise(input, weight, bias, sizes, sizes[1], 1, eps, seen=False)
    return y, aux


def layer_norm_backward(
    g: Array, input: Array, weight: Array | None, dims: int, aux: Array, needs: tuple
) -> list[Array | None]:
    sizes, own = _rows(input, dims), input.shape[input.ndim - dims :]
    dx, *grads = _group_gradients(g, input, weight, aux, sizes, sizes[1], needs)
    return [dx, *[None if grad is None else grad.reshape(own) for grad in grads]]


def rms_norm(input: Array, weight: Array | None, dims: int, eps: float) -> tuple[Array, Array]:
    sizes = _rows(input, dims)
    (y, *_), aux = _normalise(input, weight, None, sizes, sizes[1], 1, eps, False, seen=False)
    return y, aux


def rms_norm_backward(
    g: Array, input: Array, weight: Array | None, dims: int, aux: Array, needs: tuple
) -> list[Array | None]:
    sizes, own = _rows(input, dims), input.shape[input.ndim - dims :]
    dx, *grads = _group_gradients(g, input, weight, aux, sizes, sizes[1], needs, False)
    return [dx, *[None if grad is None else grad.reshape(own) for grad in grads]]


def group_norm(
    input: Array, weight: Array | None, bias: Array | None, groups: int, eps: float
) -> tuple[tuple[Array, Array, Array], Array]:
    sizes = _images(input)
    (y, mean, var), aux = _normalise(input, weight, bias, sizes, sizes[1] // groups, 1, eps)
    n = len(input)
    return (y, mean.reshape(n, groups), var.reshape(n, groups)), aux


def group_norm_backward(
    g: list[Array], input: Array, weight: Array | None, groups: int, aux: Array, needs: tuple
) -> list[Array | None]:
    sizes = _images(input)
    return _group_gradients(g[0], input, weight, aux, sizes, sizes[1] // groups, needs)


def batch_norm(
    input: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[tuple[Array, Array, Array], Array]:
    sizes = _images(input)
    return _normalise(input, weight, bias, sizes, 1, sizes[0], eps)


def batch_norm_backward(
    g: list[Array], input: Array, weight: Array | None, aux: Array, needs: tuple
) -> list[Array | None]:
    n, channels, pixels = _images(input)
    shapes = input.shape, (channels,), (channels,)
    grads = [
        xp(input).empty(shape, input.dtype) if need else None
        for shape, need in zip(shapes, needs, strict=True)
    ]
    args = contiguous(g[0]), contiguous(input), _or_null(weight), aux, channels, pixels, n, *grads
    grid, block = (channels,), threads(n * pixels, MOST)
    SOURCE.launch("channel_gradient", TYPES[input.dtype], grid, block, *args)
    return grads


def fixed_norm(
    input: Array, mean: Array, var: Array, weight: Array | None, bias: Array | None, eps: float
) -> Array:
    _, channels, pixels = _images(input)
    y = xp(input).empty(input.shape, input.dtype)
    columns = contiguous(mean), contiguous(var), _or_null(weight), _or_null(bias)
    args = contiguous(input), *columns, channels, pixels, y.size, eps, y
    SOURCE.launch_each("fixed_norm", y, *args)
    return y


def fixed_norm_backward(
    g: Array, input: Array, mean: Array, var: Array, weight: Array | None, eps: float, needs: tuple
) -> list[Array | None]:
    sizes, kind = _images(input), input.dtype
    _, channels, pixels = sizes
    g, wide = contiguous(g), COMPUTED[kind]
    scale = 1 / xp(g).sqrt(var.astype(wide) + eps)
    factor = scale if weight is None else weight * scale
    dx, grads = None, [None] * 4
    if needs[0]:
        dx = xp(g).empty(input.shape, kind)
        args = g, contiguous(factor), channels, pixels, dx.size, dx
        SOURCE.launch_each("fixed_norm_gradient", dx, *args)
    if any(needs[1:]):
        statistics = xp(g).stack([mean.astype(wide), scale, xp(g).zeros_like(scale)], 1)
        sums, products = _channel_sums(g, contiguous(input), contiguous(statistics), sizes, 1, 0)
        grads = [-factor * sums, -0.5 * factor * scale * products, products, sums]
    return [
        dx,
        *[x.astype(kind) if need else None for x, need in zip(grads, needs[1:], strict=True)],
    ]


def _takes_images(x: Array, *others: Array | None, **keywords: object) -> bool:
    return _takes_rows(x, *others) and x.ndim >= 2


def _takes_rows(x: Array, *others: Array | None, **keywords: object) -> bool:
    floats = all(a is None or a.dtype == x.dtype for a in others)
    return floats and x.dtype in TYPES and 0 < x.size < 2**31


KERNELS = {
    "layer_norm": Kernel(layer_norm, layer_norm_backward, _takes_rows, True, True),
    "rms_norm": Kernel(rms_norm, rms_norm_backward, _takes_rows, True, True),
    "group_norm": Kernel(group_norm, group_norm_backward, _takes_images, True, True),
    "batch_norm": Kernel(batch_norm, batch_norm_backward, _takes_images, True, True),
    "fixed_norm": Kernel(fixed_norm, fixed_norm_backward, _takes_images, half=True),
}
