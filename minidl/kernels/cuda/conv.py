"""Convolution and its two derivatives: columns (im2col) and a matrix product, or direct sums where
a filter sees one channel.

The array module's `matmul` is cuBLAS. Lines (N, C, L) are images of height 1. Columns are written
for so many images at a time that they fit PIECE numbers; parts are added in their order.
https://inria.hal.science/inria-00112631 (High Performance Convolutional Neural Networks for
Document Processing, 2006)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ...device import Array, xp
from ...ops.conv import Sizes, out_sizes
from .. import Kernel
from . import THREADS, TYPES, Source, blocks, contiguous

LARGEST = 2**30  # of the sizes together; so twice as much is an int
PIECE = 1 << 26  # numbers in the columns: 256 MB of float32
STORED = {dtype: types.partition(",")[0] for dtype, types in TYPES.items()}
SOURCE = Source(
    "conv.cu",
    {
        "im2col": STORED.values(),
        **dict.fromkeys(
            ("col2im", "depthwise", "depthwise_input", "depthwise_weight"), TYPES.values()
        ),
    },
)


def _windows(
    size: Sizes, kernel: Sizes, out: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> tuple[int, ...]:
    """The last arguments of every kernel: how windows lie in an image."""
    sizes = [pair(s, 1) for s in (size, kernel, out, stride)]
    return sum([*sizes, pair(padding, 0), pair(dilation, 1)], ())


def pair(sizes: Sizes, first: int) -> tuple[int, ...]:
    """A larger step is never taken: there is one window only, or one number in it."""
    return (first,) * (2 - len(sizes)) + tuple([min(n, LARGEST) for n in sizes])


def _launch(kernel: str, types: dict, threads: int, written: Array, *args: Any) -> None:
    SOURCE.launch(kernel, types[written.dtype], blocks(threads, THREADS), (THREADS,), *args)


def _parts(images: int, per_image: int) -> Iterator[slice]:
    """The images, in parts whose columns fit into PIECE numbers."""
    step = max(1, PIECE // per_image)
    for first in range(0, images, step):
        yield slice(first, first + step)


def _columns(x: Array, kernel: Sizes, out: Sizes, windows: tuple, groups: int) -> Array:
    """The windows of x (N, C, H, W) as columns: (groups, C / groups * KH * KW, N * OH * OW)"""
    n, c = x.shape[:2]
    count = n * math.prod(out)
    columns = xp(x).empty((groups, c // groups * math.prod(kernel), count), x.dtype)
    _launch("im2col", STORED, c * count, columns, x, columns, n, c, *windows)
    return columns


def _rows(g: Array, groups: int) -> Array:
    """(N, O, OH, OW) -> (groups, O / groups, N * OH * OW)"""
    n, filters = g.shape[:2]
    g = contiguous(g.reshape(n, filters, -1).swapaxes(0, 1))
    return g.reshape(groups, filters // groups, -1)


def _filters(weight: Array, groups: int) -> Array:
    """(O, C / groups, KH, KW) -> (groups, O / groups, C / groups * KH * KW)"""
    return contiguous(weight).reshape(groups, len(weight) // groups, -1)


def _product(a: Array, b: Array) -> Array:
    """a @ b, group by group; for one group as matrices, which may be transposed without a copy."""
    return xp(a).matmul(a[0], b[0])[None] if len(a) == 1 else xp(a).matmul(a, b)


def convolution(
    input: Array, weight: Array, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Array:
    n, channels, *size = input.shape
    filters, per_group, *kernel = weight.shape
    out = out_sizes(size, kernel, stride, padding, dilation)
    windows = _windows(size, kernel, out, stride, padding, dilation)
    x, y = contiguous(input), xp(input).empty((n, filters, *out), input.dtype)
    if per_group == 1:
        sizes = n, channels, filters // channels, *windows
        _launch("depthwise", TYPES, y.size, y, x, contiguous(weight), y, *sizes)
        return y
    matrix = _filters(weight, groups)
    for part in _parts(n, channels * math.prod((*kernel, *out))):
        columns = _columns(x[part], kernel, out, windows, groups)
        y[part] = _product(matrix, columns).reshape(filters, -1, *out).swapaxes(0, 1)
    return y


def convolution_input(
    weight: Array,
    grad_output: Array,
    size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> Array:
    n, filters, *out = grad_output.shape
    _, per_group, *kernel = weight.shape
    channels = per_group * groups
    windows = _windows(size, kernel, out, stride, padding, dilation)
    x = xp(weight).empty((n, channels, *size), weight.dtype)
    if per_group == 1:
        sizes = n, channels, filters // channels, *windows
        given = contiguous(weight), contiguous(grad_output)
        _launch("depthwise_input", TYPES, x.size, x, *given, x, *sizes)
        return x
    matrix = _filters(weight, groups).swapaxes(1, 2)
    for part in _parts(n, channels * math.prod((*kernel, *out))):
        columns = contiguous(_product(matrix, _rows(grad_output[part], groups)))
        images = x[part]
        _launch("col2im", TYPES, images.size, x, columns, images, len(images), channels, *windows)
    return x


def convolution_weight(
    input: Array,
    grad_output: Array,
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> Array:
    n, channels, *size = input.shape
    filters, *out = grad_output.shape[1:]
    per_group = channels // groups
    windows = _windows(size, kernel, out, stride, padding, dilation)
    x, shape = contiguous(input), (filters, per_group, *kernel)
    if per_group == 1:
        weight = xp(x).empty(shape, x.dtype)
        sizes = n, channels, filters // channels, *windows
        given = x, contiguous(grad_output), weight
        SOURCE.launch(
            "depthwise_weight", TYPES[x.dtype], (weight.size,), (THREADS,), *given, *sizes
        )
        return weight
    total = xp(x).zeros((groups, filters // groups, per_group * math.prod(kernel)), x.dtype)
    for part in _parts(n, channels * math.prod((*kernel, *out))):
        columns = _columns(x[part], kernel, out, windows, groups)
        total += _product(_rows(grad_output[part], groups), columns.swapaxes(1, 2))
    return total.reshape(shape)


def _takes(a: Array, b: Array, stride: Sizes, dilation: Sizes, groups: int, **sizes: Sizes) -> bool:
    """Lines or images of floats, and something to do; an int can count the channels, and all
    positions in an image: none is further from 0 than twice the sizes together."""
    floats = a.dtype == b.dtype and a.dtype in TYPES and a.ndim in (3, 4) and a.size * b.size > 0
    return floats and sum(map(sum, (a.shape, b.shape, *sizes.values()))) < LARGEST


def _takes_size(weight: Array, grad_output: Array, size: Sizes, **keywords: Any) -> bool:
    return _takes(weight, grad_output, size=size, **keywords) and min(size) > 0


KERNELS = {
    "convolution": Kernel(convolution, eligible=_takes, half=True),
    "convolution_input": Kernel(convolution_input, eligible=_takes_size, half=True),
    "convolution_weight": Kernel(convolution_weight, eligible=_takes, half=True),
}
