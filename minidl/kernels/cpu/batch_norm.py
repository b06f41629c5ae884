"""Batch, group and instance normalisation: the same three passes over the memory.

    y = (x - mean) / sqrt(var + eps) * weight + bias

They differ only in whose mean it is. Take images as (blocks, pixels, C), channels last. Group
normalisation has a mean for each block (an example) and each group of channels; instance
normalisation is that with groups of one channel; batch normalisation has one block only, which
holds the pixels of all examples. So there is one code for the three: a pass for the statistics, a
pass that writes (x - mean) * a + b, and for the way back a pass for two sums and one for dx.

A pass takes rows of C numbers. With few channels a row is too short for the loop over it to pay,
so several pixels are *folded* into one row of about 128 numbers: memory does not change, and column
j belongs to channel j % C. The rows are cut into chunks that stay in the cache, a size fixed by the
shape: threads take chunks, and the sums of the chunks are put together afterwards in one order, so
that the bits do not depend on the number of threads.

The variance as mean(x^2) - mean(x)^2 loses all its digits when the mean is large: with mean 10^4
and variance 1, both are 10^8, and float32 has 7 digits. So each chunk finds its own means m first,
then sums d = x - m and d^2 (the second time x comes from the cache): d would add up to 0, were m
not rounded, and so says what was lost. The chunks are joined in float64, each moved from its m to
the common mean M: sum (x - M)^2 = sum d^2 + 2 (m - M) sum d + n (m - M)^2 (Chan, Golub, LeVeque
1983, "Algorithms for computing the sample variance"). M does not fit into float32 either:
x - shift, with shift the rounded M, is exact for x nearby, and what was rounded off goes into b.
Source: https://arxiv.org/abs/1502.03167 (batch), https://arxiv.org/abs/1803.08494 (group).
"""

from __future__ import annotations

import math

import numpy as np

from ... import dtypes
from .. import Kernel
from . import jit, parallel, prange
from .layout import from_pixels, pixels

ZERO = np.float32(0)
WIDE = 128  # numbers in a folded row
CHUNK = 16384  # numbers in a chunk: 32 KB
SINGLE, DOUBLE = np.float32, np.float64


def _fold(x: np.ndarray, blocks: int) -> np.ndarray:
    """Contiguous images (N, H, W, C) as (blocks, rows, C times some pixels)."""
    channels = x.shape[-1]
    count = x.size // (blocks * channels)
    most = 1 << (max(WIDE // channels, 1).bit_length() - 1)
    fold = math.gcd(count, most)
    return x.reshape(blocks, count // fold, fold * channels)


def _chunk_rows(x: np.ndarray) -> int:
    return max(CHUNK // x.shape[2], 16)


def _chunk_count(x: np.ndarray) -> int:
    return -(-x.shape[1] // _chunk_rows(x))


# ------------------------------------------------------------------------------------- statistics


@jit
def _moments_of(x, mean, rest, squares):
    """Means of the columns of x, and sums of the distances from them, and of their squares."""
    for c in range(mean.size):
        mean[c] = rest[c] = squares[c] = ZERO
    for r in range(x.shape[0]):
        for c in range(mean.size):
            mean[c] += x[r, c]
    share = SINGLE(1 / x.shape[0])
    for c in range(mean.size):
        mean[c] *= share
    for r in range(x.shape[0]):
        for c in range(mean.size):
            d = x[r, c] - mean[c]
            rest[c] += d
            squares[c] += d * d


@parallel
def _moments(x, rows, mean, rest, squares):
    """x (blocks, rows, C') -> mean, rest, squares (blocks, chunks, C')"""
    chunks = mean.shape[1]
    for q in prange(x.shape[0] * chunks):
        b, k = q // chunks, q % chunks
        part = x[b, k * rows : min((k + 1) * rows, x.shape[1])]
        _moments_of(part, mean[b, k], rest[b, k], squares[b, k])


@parallel
def _joined(part_mean, part_rest, part_squares, rows, total, channels, mean, var):
    """The chunks' moments put together: mean, var (blocks, groups), float64.

    total: rows in all. channels: in one group.
    """
    for b in prange(mean.shape[0]):
        parts = part_mean[b], part_rest[b], part_squares[b]
        _join(parts, rows, total, channels, mean[b], var[b])


@jit
def _join(parts, rows, total, channels, mean, var):
    part_mean, part_rest, part_squares = parts
    wide = part_mean.shape[1]
    column_mean, column_squares = np.zeros(wide), np.zeros(wide)  # float64
    for k in range(part_mean.shape[0]):
        share = min(rows, total - k * rows) / total
        for j in range(wide):
            column_mean[j] += share * part_mean[k, j] + part_rest[k, j] / total
    for k in range(part_mean.shape[0]):
        n = DOUBLE(min(rows, total - k * rows))
        for j in range(wide):
            d = part_mean[k, j] - column_mean[j]
            column_squares[j] += part_squares[k, j] + d * (2 * part_rest[k, j] + n * d)
    # Columns of one group: `channels` neighbours, and again every `channels` times groups.
    period, folds = mean.size * channels, wide // (mean.size * channels)
    for g in range(mean.size):
        mean[g] = var[g] = 0.0
        for f in range(folds):
            for c in range(channels):
                mean[g] += column_mean[f * period + g * channels + c]
        mean[g] /= folds * channels
        for f in range(folds):
            for c in range(channels):
                j = f * period + g * channels + c
                d = column_mean[j] - mean[g]
                var[g] += column_squares[j] / total + d * d
        var[g] /= folds * channels


def _statistics(x: np.ndarray, channels: int, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance (blocks, groups) of folded x, in float64."""
    rows = _chunk_rows(x)
    part_mean = np.empty((x.shape[0], _chunk_count(x), x.shape[2]), np.float32)
    part_rest, part_squares = np.empty_like(part_mean), np.empty_like(part_mean)
    _moments(2 * x.size, x, rows, part_mean, part_rest, part_squares)
    mean = np.empty((x.shape[0], groups))
    var = np.empty_like(mean)
    parts = part_mean, part_rest, part_squares
    _joined(4 * part_mean.size, *parts, rows, x.shape[1], channels // groups, mean, var)
    return mean, var


# ------------------------------------------------------------------------------------------ forward


@jit
def _coefficients(mean, var, weight, bias, eps, shift, scale, offset):
    """shift, scale, offset (blocks, C') of y = (x - shift) * scale + offset"""
    channels = weight.size
    per_group = channels // mean.shape[1]
    for b in range(mean.shape[0]):
        for g in range(mean.shape[1]):
            s = 1 / math.sqrt(var[b, g] + eps)
            lost = mean[b, g] - SINGLE(mean[b, g])
            for c in range(g * per_group, (g + 1) * per_group):
                shift[b, c] = mean[b, g]
                scale[b, c] = weight[c] * s
                offset[b, c] = bias[c] - lost * (weight[c] * s)
        _repeat(shift[b], channels)
        _repeat(scale[b], channels)
        _repeat(offset[b], channels)


@jit
def _repeat(row, period):
    """Copies the first `period` numbers of a row into the rest of it."""
    for j in range(row.size - period):
        row[period + j] = row[j]


@parallel
def _apply(x, rows, shift, scale, offset, out):
    chunks = (x.shape[1] + rows - 1) // rows
    for q in prange(x.shape[0] * chunks):
        b, k = q // chunks, q % chunks
        last = min((k + 1) * rows, x.shape[1])
        part, into = x[b, k * rows : last], out[b, k * rows : last]
        _apply_to(part, shift[b], scale[b], offset[b], into)


@jit
def _apply_to(x, shift, scale, offset, out):
    for r in range(x.shape[0]):
        for c in range(shift.size):
            out[r, c] = (x[r, c] - shift[c]) * scale[c] + offset[c]


def _normalized(x, mean, var, weight, bias, eps) -> np.ndarray:
    """Folded x with the given statistics (blocks, groups) -> y, folded."""
    shift, scale, offset = np.empty((3, x.shape[0], x.shape[2]), np.float32)
    _coefficients(mean, var, weight, bias, eps, shift, scale, offset)
    out = np.empty_like(x)
    _apply(x.size, x, _chunk_rows(x), shift, scale, offset, out)
    return out


def _affine(weight, bias, channels: int) -> tuple[np.ndarray, np.ndarray]:
    weight = np.ones(channels, np.float32) if weight is None else np.ascontiguousarray(weight)
    bias = np.zeros(channels, np.float32) if bias is None else np.ascontiguousarray(bias)
    return weight, bias


def _forward(input, weight, bias, blocks: int, groups: int, eps: float) -> tuple:
    """(y, mean, var), and mean and var in float64 for the way back."""
    x = pixels(input)
    channels = x.shape[-1]
    weight, bias = _affine(weight, bias, channels)
    folded = _fold(x, blocks)
    mean, var = _statistics(folded, channels, groups)
    y = _normalized(folded, mean, var, weight, bias, eps).reshape(x.shape)
    return (from_pixels(y), SINGLE(mean), SINGLE(var)), (mean, var)


# ----------------------------------------------------------------------------------------- backward


@jit
def _two_sums_of(g, x, shift, plain, product):
    """plain = sum of the rows of g, product = sum of g * (x - shift)"""
    for c in range(shift.size):
        plain[c] = product[c] = ZERO
    for r in range(g.shape[0]):
        for c in range(shift.size):
            v = g[r, c]
            plain[c] += v
            product[c] += v * (x[r, c] - shift[c])


@parallel
def _two_sums(g, x, rows, shift, plain, product):
    chunks = plain.shape[1]
    for q in prange(x.shape[0] * chunks):
        b, k = q // chunks, q % chunks
        last = min((k + 1) * rows, x.shape[1])
        _two_sums_of(
            g[b, k * rows : last], x[b, k * rows : last], shift[b], plain[b, k], product[b, k]
        )


@parallel
def _sums_of_channels(plain, product, mean, shift, sums, products):
    """Sums over chunks and folds: of g, and of g * (x - mean). (blocks, C), float64"""
    for b in prange(sums.shape[0]):
        _sum_of_parts(plain[b], sums[b])
        _sum_of_parts(product[b], products[b])
        per_group = sums.shape[1] // mean.shape[1]
        for c in range(sums.shape[1]):
            products[b, c] -= sums[b, c] * (mean[b, c // per_group] - shift[b, c])


@jit
def _sum_of_parts(parts, out):
    """parts (chunks, C') -> out (C), float64"""
    channels = out.size
    columns = np.zeros(parts.shape[1])
    for k in range(parts.shape[0]):
        for j in range(columns.size):
            columns[j] += parts[k, j]
    for c in range(channels):
        out[c] = 0.0
    for f in range(columns.size // channels):
        for c in range(channels):
            out[c] += columns[f * channels + c]


@jit
def _backward_coefficients(sums, products, mean, var, weight, eps, count, shift, by_g, by_x, rest):
    """dx = g * by_g + (x - shift) * by_x + rest, (blocks, C') each

    With s = 1 / sqrt(var + eps), and means over the n = `count` elements of a group,
    dx = s (w g - mean(w g) - (x - mean) s^2 mean(w g (x - mean)))
    """
    channels = weight.size
    per_group = channels // mean.shape[1]
    for b in range(mean.shape[0]):
        for group in range(mean.shape[1]):
            first = group * per_group
            total = product = 0.0
            for c in range(first, first + per_group):
                total += weight[c] * sums[b, c]
                product += weight[c] * products[b, c]
            s = 1 / math.sqrt(var[b, group] + eps)
            slope = -s * s * s * product / count
            for c in range(first, first + per_group):
                by_g[b, c] = weight[c] * s
                by_x[b, c] = slope
                rest[b, c] = -s * total / count - slope * (mean[b, group] - shift[b, c])
        _repeat(by_g[b], channels)
        _repeat(by_x[b], channels)
        _repeat(rest[b], channels)


@parallel
def _combine(g, x, rows, shift, by_g, by_x, rest, dx):
    chunks = (x.shape[1] + rows - 1) // rows
    for q in prange(x.shape[0] * chunks):
        b, k = q // chunks, q % chunks
        last = min((k + 1) * rows, x.shape[1])
        part, into = x[b, k * rows : last], dx[b, k * rows : last]
        _combine_to(g[b, k * rows : last], part, shift[b], by_g[b], by_x[b], rest[b], into)


@jit
def _combine_to(g, x, shift, by_g, by_x, rest, dx):
    for r in range(x.shape[0]):
        for c in range(shift.size):
            dx[r, c] = g[r, c] * by_g[c] + (x[r, c] - shift[c]) * by_x[c] + rest[c]


def _channel_sums(g, x, mean, shift, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums of g and of g * (x - mean), (blocks, channels)."""
    plain = np.empty((x.shape[0], _chunk_count(x), x.shape[2]), np.float32)
    product = np.empty_like(plain)
    _two_sums(2 * x.size, g, x, _chunk_rows(x), shift, plain, product)
    sums, products = np.empty((2, x.shape[0], channels))
    _sums_of_channels(4 * plain.size, plain, product, mean, shift, sums, products)
    return sums, products


def _columns(values: np.ndarray, wide: int, channels: int) -> np.ndarray:
    """Values (blocks, groups) for each column of a folded row (blocks, wide), in float32."""
    each = np.repeat(SINGLE(values), channels // values.shape[1], axis=1)
    return np.tile(each, wide // channels)


def _backward(g, input, weight, mean, var, eps: float, needs: tuple) -> list:
    """The gradients of input, weight and bias."""
    blocks, groups = mean.shape
    x, g = pixels(input), pixels(g)
    shape, channels = x.shape, x.shape[-1]
    weight, _ = _affine(weight, None, channels)
    x, g = _fold(x, blocks), _fold(g, blocks)
    shift = _columns(mean, x.shape[2], channels)
    sums, products = _channel_sums(g, x, mean, shift, channels)
    dx = None
    if needs[0]:
        by_g, by_x, rest = np.empty((3, *shift.shape), np.float32)
        count = x.size / mean.size
        _backward_coefficients(
            sums, products, mean, var, weight, eps, count, shift, by_g, by_x, rest
        )
        dx = np.empty_like(x)
        _combine(x.size, g, x, _chunk_rows(x), shift, by_g, by_x, rest, dx)
        dx = from_pixels(dx.reshape(shape))
    scale = np.repeat(1 / np.sqrt(var + eps), channels // groups, axis=1)
    return [
        dx,
        SINGLE((products * scale).sum(0)) if needs[1] else None,
        SINGLE(sums.sum(0)) if needs[2] else None,
    ]


# ---------------------------------------------------------------------------------------- the ops


def batch_norm(input: np.ndarray, weight, bias, eps: float) -> tuple:
    (y, mean, var), aux = _forward(input, weight, bias, 1, input.shape[1], eps)
    return (y, mean[0], var[0]), aux


def batch_norm_backward(
    g: list, input: np.ndarray, weight, aux: tuple, eps: float, needs: tuple
) -> list:
    return _backward(g[0], input, weight, *aux, eps, needs)


def group_norm(input: np.ndarray, weight, bias, groups: int, eps: float) -> tuple:
    return _forward(input, weight, bias, input.shape[0], groups, eps)


def fixed_norm(input: np.ndarray, mean, var, weight, bias, eps: float) -> np.ndarray:
    x = pixels(input)
    weight, bias = _affine(weight, bias, x.shape[-1])
    mean, var = DOUBLE(mean)[None], DOUBLE(var)[None]
    y = _normalized(_fold(x, 1), mean, var, weight, bias, eps)
    return from_pixels(y.reshape(x.shape))


def fixed_norm_backward(
    g: np.ndarray, input: np.ndarray, mean, var, weight, eps: float, needs: tuple
) -> list:
    g = pixels(g)
    shape, channels = g.shape, g.shape[-1]
    g = _fold(g, 1)
    weight, _ = _affine(weight, None, channels)
    mean, s = DOUBLE(mean)[None], 1 / np.sqrt(DOUBLE(var)[None] + eps)
    dx, grads = None, [None] * 4
    if needs[0]:  # g * weight * s + 0
        scale = _columns(weight * s, g.shape[2], channels)
        zero = np.zeros_like(scale)
        dx = np.empty_like(g)
        _apply(g.size, g, _chunk_rows(g), zero, scale, zero, dx)
        dx = from_pixels(dx.reshape(shape))
    if any(needs[1:]):
        shift = _columns(mean, g.shape[2], channels)
        x = _fold(pixels(input), 1)
        sums, products = _channel_sums(g, x, mean, shift, channels)
        of_mean, of_var = -weight * sums * s, -0.5 * weight * products * s**3
        grads = [SINGLE(grad[0]) for grad in (of_mean, of_var, products * s, sums)]
    return [dx, *[x if need else None for x, need in zip(grads, needs[1:], strict=True)]]


def _single(input: np.ndarray, *others, **keywords) -> bool:
    return input.dtype == dtypes.F32 and input.ndim >= 2 and input.size > 0


KERNELS = {
    "batch_norm": Kernel(batch_norm, batch_norm_backward, _single, has_aux=True),
    "group_norm": Kernel(group_norm, batch_norm_backward, _single, has_aux=True),
    "fixed_norm": Kernel(fixed_norm, fixed_norm_backward, _single),
}
