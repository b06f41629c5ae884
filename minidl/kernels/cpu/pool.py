"""Pooling, a whole pixel at a time.

A pooling takes the largest or the sum of each window of an image, in every channel by itself. The
obvious loop walks over the outputs and searches one window in one channel: its steps depend on each
other, and its memory accesses jump. Here images are channels-last (layout.py), so the C numbers of
a pixel are neighbours, and the innermost loop runs over them:

    for every output pixel, for every place of its window, for c in range(C): compare or add

This inner loop is the same instruction on neighbours, which the compiler turns into instructions on
16 channels at once. What a branch would decide (which of two is larger, and where it was) becomes
two selections by one mask.

The backward of the maximum goes the same way round: every place of the window is visited and gets
the gradient in those channels whose winner it was, 0 in the others. That is more work than jumping
to the winner, but without a jump: 4 to 9 vector steps are faster than 16 scattered additions.

Nearest-neighbour enlargement by whole factors is the derivative of the sum over windows that lie
side by side, and has no code of its own.
What is computed: https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxPool2d.html
"""

from __future__ import annotations

import numpy as np

from ... import dtypes
from .. import Kernel
from . import jit, parallel, prange
from .layout import from_pixels, pixels

ZERO = np.float32(0)


# ------------------------------------------------------------------------------------------- max


@jit(inline="always")
def _won(value, place, best, where):
    """The better of two and its place: the first of equal ones, and the first nan."""
    wins = ((value > best) | (value != value)) & (best == best)
    return (value if wins else best), (place if wins else where)


@jit
def _max_of_pairs(upper, lower, place, width, best, where):
    """Windows of 2 x 2 side by side, in two rows of pixels (W, C), in one go."""
    for j in range(best.shape[0]):
        a, b, c, d = upper[2 * j], upper[2 * j + 1], lower[2 * j], lower[2 * j + 1]
        first = np.int32(place + 2 * j)
        second, third = np.int32(first + 1), np.int32(first + width)
        fourth = np.int32(third + 1)
        for k in range(best.shape[1]):
            value, at = _won(b[k], second, a[k], first)
            value, at = _won(c[k], third, value, at)
            value, at = _won(d[k], fourth, value, at)
            best[j, k], where[j, k] = value, at


@jit
def _max_of_windows(x, top, kernel, stride, padding, dilation, best, where):
    """One row of windows of an image (H, W, C), whose first row of pixels is `top`."""
    height, width = x.shape[0], x.shape[1]
    for j in range(best.shape[0]):
        left = j * stride[1] - padding[1]
        empty = True
        for k in range(kernel[0]):
            h = top + k * dilation[0]
            if h < 0 or h >= height:
                continue
            for m in range(kernel[1]):
                w = left + m * dilation[1]
                if w < 0 or w >= width:
                    continue
                place, values = np.int32(h * width + w), x[h, w]
                if empty:
                    for c in range(values.size):
                        best[j, c], where[j, c] = values[c], place
                    empty = False
                else:
                    for c in range(values.size):
                        best[j, c], where[j, c] = _won(values[c], place, best[j, c], where[j, c])


@parallel
def _max(x, kernel, stride, padding, dilation, pairs, best, where):
    """x (N, H, W, C) -> best, where (N, OH, OW, C)"""
    rows, width = best.shape[1], x.shape[2]
    for q in prange(best.shape[0] * rows):
        n, i = q // rows, q % rows
        if pairs:
            _max_of_pairs(
                x[n, 2 * i], x[n, 2 * i + 1], 2 * i * width, width, best[n, i], where[n, i]
            )
        else:
            top = i * stride[0] - padding[0]
            _max_of_windows(x[n], top, kernel, stride, padding, dilation, best[n, i], where[n, i])


@jit
def _give_to_winners(g, where, top, kernel, stride, padding, dilation, tiled, dx):
    """The gradients g (OW, C) of one row of windows, added to the image dx (H, W, C)."""
    height, width = dx.shape[0], dx.shape[1]
    for j in range(g.shape[0]):
        left = j * stride[1] - padding[1]
        values, winners = g[j], where[j]
        for k in range(kernel[0]):
            h = top + k * dilation[0]
            if h < 0 or h >= height:
                continue
            for m in range(kernel[1]):
                w = left + m * dilation[1]
                if w < 0 or w >= width:
                    continue
                place, into = np.int32(h * width + w), dx[h, w]
                if tiled:
                    for c in range(values.size):
                        into[c] = values[c] if winners[c] == place else ZERO
                else:
                    for c in range(values.size):
                        into[c] += values[c] if winners[c] == place else ZERO


@parallel
def _max_backward(g, where, kernel, stride, padding, dilation, tiled, dx):
    for n in prange(g.shape[0]):
        if not tiled:
            _clear(dx[n])
        for i in range(g.shape[1]):
            top = i * stride[0] - padding[0]
            _give_to_winners(
                g[n, i], where[n, i], top, kernel, stride, padding, dilation, tiled, dx[n]
            )


@jit
def _clear(x):
    for h in range(x.shape[0]):
        for w in range(x.shape[1]):
            for c in range(x.shape[2]):
                x[h, w, c] = ZERO


def _tiled(size: tuple, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple) -> bool:
    """Whether every pixel lies in exactly one window: then nothing is added, only written."""
    fits = all(n % k == 0 for n, k in zip(size, kernel, strict=True))
    return fits and kernel == stride and not any(padding) and max(dilation) == 1


def max_pool(x, kernel, stride, padding, dilation, extra) -> tuple[np.ndarray, np.ndarray]:
    x = pixels(x)
    n, h, w, c = x.shape
    size = _out_size((h, w), kernel, stride, padding, dilation, extra)
    best = np.empty((n, *size, c), np.float32)
    where = np.empty(best.shape, np.int32)  # h * W + w
    pairs = kernel == stride == (2, 2) and dilation == (1, 1)
    pairs = pairs and padding == extra == (0, 0)
    _max(x.size, x, kernel, stride, padding, dilation, pairs, best, where)
    return from_pixels(best), from_pixels(where)


def _out_size(size, kernel, stride, padding, dilation, extra) -> list[int]:
    return [
        (have + 2 * p + e - d * (k - 1) - 1) // s + 1
        for have, k, s, p, d, e in zip(size, kernel, stride, padding, dilation, extra, strict=True)
    ]


def max_pool_backward(
    g: np.ndarray, aux: np.ndarray, input_shape: tuple, kernel, stride, padding, dilation
) -> tuple[np.ndarray]:
    n, c, *size = input_shape
    dx = np.empty((n, *size, c), np.float32)
    tiled = _tiled(tuple(size), kernel, stride, padding, dilation)
    where = pixels(aux)
    _max_backward(dx.size, pixels(g), where, kernel, stride, padding, dilation, tiled, dx)
    return (from_pixels(dx),)


def _some_images(x: np.ndarray, *geometry: tuple, **options: tuple) -> bool:
    return x.dtype == dtypes.F32 and x.ndim == 4 and x.size > 0 and x[0, 0].size < 2**31


# ------------------------------------------------------------------------------------------- sums


@jit
def _sum_of_pairs(upper, lower, out):
    """Windows of 2 x 2 side by side, in two rows of pixels (W, C), in one go."""
    for j in range(out.shape[0]):
        a, b, c, d = upper[2 * j], upper[2 * j + 1], lower[2 * j], lower[2 * j + 1]
        for k in range(out.shape[1]):
            out[j, k] = (a[k] + b[k]) + (c[k] + d[k])


@jit
def _sum_of_window(x, top, left, kernel, row, out):
    """out (C) = sum of a window of the image x (H, W, C); `row` (C) holds one row's sum, so that
    large windows are not added up one by one."""
    for h in range(kernel[0]):
        first = x[top + h, left]
        for c in range(out.size):
            row[c] = first[c]
        for w in range(kernel[1] - 1):
            pixel = x[top + h, left + 1 + w]
            for c in range(out.size):
                row[c] += pixel[c]
        if h == 0:
            for c in range(out.size):
                out[c] = row[c]
        else:
            for c in range(out.size):
                out[c] += row[c]


@parallel
def _sums(x, kernel, stride, pairs, row, out):
    """x (N, H, W, C) -> out (N, OH, OW, C); row (N * OH, C) is scratch"""
    rows = out.shape[1]
    for q in prange(out.shape[0] * rows):
        n, i = q // rows, q % rows
        if pairs:
            _sum_of_pairs(x[n, 2 * i], x[n, 2 * i + 1], out[n, i])
        else:
            for j in range(out.shape[2]):
                top, left = i * stride[0], j * stride[1]
                _sum_of_window(x[n], top, left, kernel, row[q], out[n, i, j])


@jit
def _spread_over(value, top, left, kernel, tiled, dx):
    """value (C) written into, or added to, all pixels of a window of the image dx (H, W, C)"""
    for h in range(kernel[0]):
        for w in range(kernel[1]):
            pixel = dx[top + h, left + w]
            if tiled:
                for c in range(value.size):
                    pixel[c] = value[c]
            else:
                for c in range(value.size):
                    pixel[c] += value[c]


@parallel
def _spread(g, kernel, stride, tiled, dx):
    for n in prange(g.shape[0]):
        if not tiled:
            _clear(dx[n])
        for i in range(g.shape[1]):
            for j in range(g.shape[2]):
                top, left = i * stride[0], j * stride[1]
                _spread_over(g[n, i, j], top, left, kernel, tiled, dx[n])


def sum_pool(x: np.ndarray, kernel: tuple, stride: tuple) -> np.ndarray:
    x = pixels(x)
    n, h, w, c = x.shape
    size = _out_size((h, w), kernel, stride, (0, 0), (1, 1), (0, 0))
    out = np.empty((n, *size, c), np.float32)
    row = np.empty((n * size[0], c), np.float32)
    _sums(max(x.size, out.size), x, kernel, stride, kernel == stride == (2, 2), row, out)
    return from_pixels(out)


def spread_windows(g: np.ndarray, kernel: tuple, stride: tuple, size: tuple) -> np.ndarray:
    g = pixels(g)
    n, _, _, c = g.shape
    dx = np.empty((n, *size, c), np.float32)
    tiled = _tiled(tuple(size), kernel, stride, (0, 0), (1, 1))
    _spread(dx.size, g, kernel, stride, tiled, dx)
    return from_pixels(dx)


def _some_windows(x: np.ndarray, *geometry: tuple, **options: tuple) -> bool:
    return x.dtype == dtypes.F32 and x.ndim == 4 and x.size > 0


KERNELS = {
    "max_pool2d": Kernel(max_pool, max_pool_backward, _some_images, has_aux=True),
    "sum_pool": Kernel(sum_pool, eligible=_some_windows),
    "spread_windows": Kernel(spread_windows, eligible=_some_windows),
}
