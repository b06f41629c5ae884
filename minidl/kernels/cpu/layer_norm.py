"""layer_norm and rms_norm: a row at a time while it is in the cache.

    h = (x - mean) / sqrt(var + eps)        layer_norm
    h = x / sqrt(mean(x^2) + eps)           rms_norm: the same with 0 for the mean
    y = h * weight + bias

In the definition each operation goes through the whole array. A row is a few hundred numbers: it is
read from memory once, and its three passes (mean, variance, result) find it in the nearest cache.

The variance is the mean of squared distances from the mean, not mean(x^2) - mean(x)^2: with a mean
of 10^4 and a variance of 1 the latter subtracts 10^8 from 10^8, and float32 has 7 digits. A mean of
10^4 itself has an error of about 10^-3 in float32. So the rounded mean is only a `shift`: x - shift
is exact, and the mean of what is left, the `rest`, is taken off the result:

    h = (x - shift) * scale + offset,   scale = 1 / sqrt(var + eps),   offset = -rest * scale

These three numbers of each row are all that the backward needs besides x:

    a = g * weight
    dx = scale * (a - mean(a) - h * mean(a * h))      rms_norm: without mean(a)
    dweight = sum over rows of g * h,   dbias = sum over rows of g

The sums over rows are taken by blocks of rows, whose number depends on the shape alone.
Source: https://arxiv.org/abs/1607.06450 (layer norm), https://arxiv.org/abs/1910.07467 (RMS norm).
"""

from __future__ import annotations

import math

import numpy as np

from ... import dtypes
from .. import Kernel
from . import jit, parallel, prange

F = np.float32
DOUBLE = np.float64
ZERO = F(0)
ROWS, FEWEST, MOST = 32, 4, 64  # rows to a block; and between 4 and 64 blocks
F32 = dtypes.F32


@jit
def _statistics(x, eps, centred, statistics):
    """The shift, scale and offset of one row."""
    n, shift = F(x.size), ZERO
    if centred:
        total = ZERO
        for c in range(x.size):
            total += x[c]
        shift = total / n
    rest = squares = ZERO
    for c in range(x.size):
        distance = x[c] - shift
        rest += distance
        squares += distance * distance
    rest = rest / n if centred else ZERO
    # In double precision: the fast reciprocal root of a float32 is nan for infinity.
    scale = F(1 / math.sqrt(DOUBLE(squares / n - rest * rest) + eps))
    statistics[0], statistics[1], statistics[2] = shift, scale, -rest * scale


@jit
def _row(x, weight, bias, statistics, out):
    shift, scale, offset = statistics[0], statistics[1], statistics[2]
    for c in range(x.size):
        out[c] = ((x[c] - shift) * scale + offset) * weight[c] + bias[c]


@parallel
def _forward(x, weight, bias, eps, centred, statistics, out):
    for r in prange(x.shape[0]):
        _statistics(x[r], eps, centred, statistics[r])
        _row(x[r], weight, bias, statistics[r], out[r])


@jit
def _row_backward(g, x, weight, centred, statistics, dx):
    shift, scale, offset = statistics[0], statistics[1], statistics[2]
    mean = slope = ZERO
    for c in range(x.size):
        a = g[c] * weight[c]
        mean += a
        slope += a * ((x[c] - shift) * scale + offset)
    mean = mean / F(x.size) if centred else ZERO
    slope /= F(x.size)
    for c in range(x.size):
        h = (x[c] - shift) * scale + offset
        dx[c] = scale * (g[c] * weight[c] - mean - h * slope)


@jit
def _add_row(g, x, statistics, dweight, dbias):
    shift, scale, offset = statistics[0], statistics[1], statistics[2]
    for c in range(x.size):
        dweight[c] += g[c] * ((x[c] - shift) * scale + offset)
        dbias[c] += g[c]


@parallel
def _backward(g, x, weight, centred, affine, statistics, dx, dweight, dbias):
    blocks, rows = dweight.shape[0], x.shape[0]
    for block in prange(blocks):
        for r in range(rows * block // blocks, rows * (block + 1) // blocks):
            _row_backward(g[r], x[r], weight, centred, statistics[r], dx[r])
            if affine:
                _add_row(g[r], x[r], statistics[r], dweight[block], dbias[block])


# ------------------------------------------------------------------------------------- the ops


def _normalise(input, weight, bias, dims, eps, centred):
    out = np.empty(input.shape, np.float32)
    x = _rows(input, dims)
    weight, bias = _or_full(weight, 1, x), _or_full(bias, 0, x)
    statistics = np.empty((x.shape[0], 3), np.float32)
    _forward(4 * x.size, x, weight, bias, eps, centred, statistics, out.reshape(x.shape))
    return out, statistics


def _differentiate(g, input, weight, dims, statistics, needs, centred):
    """The gradients of the input, the weight and the bias; `needs` has no bias in rms_norm."""
    x, affine = _rows(input, dims), any(needs[1:])
    dx = np.empty(input.shape, np.float32)
    blocks = min(x.shape[0], max(FEWEST, min(x.shape[0] // ROWS, MOST)))
    dweight, dbias = np.zeros((2, blocks, x.shape[1]), np.float32)
    _backward(
        6 * x.size, _rows(g, dims), x, _or_full(weight, 1, x), centred, affine, statistics,
        dx.reshape(x.shape), dweight, dbias,
    )  # fmt: skip
    grads = [dx]
    for part, need in zip((dweight, dbias), needs[1:], strict=False):
        total = part.reshape(blocks, *input.shape[input.ndim - dims :]).sum(0) if need else None
        grads.append(total)
    return grads


def _rows(x: np.ndarray, dims: int) -> np.ndarray:
    """A row for all that is normalised together."""
    return np.ascontiguousarray(x).reshape(-1, math.prod(x.shape[x.ndim - dims :]))


def _or_full(vector: np.ndarray | None, value: float, x: np.ndarray) -> np.ndarray:
    """The weights or biases of one row, or where there are none, ones or zeros."""
    if vector is None:
        return np.full(x.shape[1], value, np.float32)
    return np.ascontiguousarray(vector).reshape(-1)


def layer_norm(
    input: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, dims: int, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    return _normalise(input, weight, bias, dims, float(eps), True)


def layer_norm_backward(
    g: np.ndarray,
    input: np.ndarray,
    weight: np.ndarray | None,
    dims: int,
    aux: np.ndarray,
    needs: tuple,
) -> list[np.ndarray | None]:
    return _differentiate(g, input, weight, dims, aux, needs, True)


def rms_norm(
    input: np.ndarray, weight: np.ndarray | None, dims: int, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    return _normalise(input, weight, None, dims, float(eps), False)


def rms_norm_backward(
    g: np.ndarray,
    input: np.ndarray,
    weight: np.ndarray | None,
    dims: int,
    aux: np.ndarray,
    needs: tuple,
) -> list[np.ndarray | None]:
    return _differentiate(g, input, weight, dims, aux, needs, False)


def _fits(input: np.ndarray, *affine: np.ndarray | None, dims: int, eps: float) -> bool:
    floats = all(x is None or x.dtype is F32 for x in (input, *affine))
    return floats and input.size > 0


KERNELS = {
    "layer_norm": Kernel(layer_norm, layer_norm_backward, _fits, has_aux=True),
    "rms_norm": Kernel(rms_norm, rms_norm_backward, _fits, has_aux=True),
}
