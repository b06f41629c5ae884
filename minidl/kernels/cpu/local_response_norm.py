"""Local response normalisation: a window that slides over the channels of one pixel.

    y_c = x_c factor_c,   factor_c = base_c^-beta,   base_c = k + alpha / size * sum of x_j^2

The sum is over the `size` channels around c. With the channels of a pixel side by side (layout.py)
a window needs no bookkeeping: the sum is the row of squares, added up `size` times with a shift of
one channel more each time, and what is shifted out of the row is cut off. Each addition is a loop
over neighbours, so it runs on 16 channels at once; a running sum (add what enters the window,
subtract what leaves) would do fewer additions, but one after the other, and lose digits.

The power is what costs: beta = 3/4, which everybody uses, is made of two square roots, which the
processor has an instruction for; any other beta is left to NumPy, whose power is vectorised.

Back, x_i is in the windows of all c around it, so ratio_c = g_c x_c factor_c / base_c is added up
in the same way, with the shifts reversed:

    dx_i = g_i factor_i - 2 alpha beta / size * x_i * sum of ratio_c
Source: Krizhevsky et al. 2012, section 3.3.
"""

from __future__ import annotations

import math

import numpy as np

from ... import dtypes
from .. import Kernel
from . import jit, parallel, prange
from .layout import from_pixels, pixels

ONE = np.float32(1)
CHUNK = 64  # rows that a thread takes at once


@jit
def _add_shifted(x, before, after, out):
    """out[c] = x[c - before] + ... + x[c + after], as far as there are channels"""
    channels = x.size
    for c in range(channels):
        out[c] = x[c]
    for shift in range(1, min(before, channels - 1) + 1):
        source, into = x[: channels - shift], out[shift:]
        for c in range(source.size):
            into[c] += source[c]
    for shift in range(1, min(after, channels - 1) + 1):
        source, into = x[shift:], out[: channels - shift]
        for c in range(source.size):
            into[c] += source[c]


@jit
def _bases(x, before, after, scale, k, base):
    """base = k + scale * sum of x^2 over the window, for rows of channels."""
    squares = np.empty(x.shape[1], np.float32)
    for r in range(x.shape[0]):
        for c in range(squares.size):
            squares[c] = x[r, c] * x[r, c]
        _add_shifted(squares, before, after, base[r])
        for c in range(squares.size):
            base[r, c] = k + scale * base[r, c]


@jit(fastmath={"contract", "nsz"})  # an approximate root of infinity would be nan
def _three_quarters(x, base, factor, out):
    """factor = base^(-3/4), out = x * factor"""
    for r in range(x.shape[0]):
        for c in range(x.shape[1]):
            root = math.sqrt(base[r, c])
            factor[r, c] = ONE / (root * math.sqrt(root))
            out[r, c] = x[r, c] * factor[r, c]


@parallel
def _forward(x, before, after, scale, k, common, base, factor, out):
    for q in prange((x.shape[0] + CHUNK - 1) // CHUNK):
        first, last = q * CHUNK, min((q + 1) * CHUNK, x.shape[0])
        _bases(x[first:last], before, after, scale, k, base[first:last])
        if common:
            _three_quarters(x[first:last], base[first:last], factor[first:last], out[first:last])


@jit
def _gradients(g, x, base, factor, before, after, weight, dx):
    ratio, total = np.empty((2, x.shape[1]), np.float32)
    for r in range(x.shape[0]):
        for c in range(ratio.size):
            ratio[c] = g[r, c] * factor[r, c] * x[r, c] / base[r, c]
        _add_shifted(ratio, after, before, total)
        for c in range(ratio.size):
            dx[r, c] = g[r, c] * factor[r, c] - weight * x[r, c] * total[c]


@parallel
def _backward(g, x, base, factor, before, after, weight, dx):
    for q in prange((x.shape[0] + CHUNK - 1) // CHUNK):
        i, j = q * CHUNK, min((q + 1) * CHUNK, x.shape[0])
        _gradients(g[i:j], x[i:j], base[i:j], factor[i:j], before, after, weight, dx[i:j])


def forward(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> tuple:
    x = pixels(x)
    rows = x.reshape(-1, x.shape[-1])
    base, factor, out = (np.empty_like(rows) for _ in range(3))
    scale, common = np.float32(alpha / size), beta == 0.75
    work = rows.size * (size + 4)
    before, after = size // 2, (size - 1) // 2
    _forward(work, rows, before, after, scale, np.float32(k), common, base, factor, out)
    if not common:
        np.power(base, np.float32(-beta), out=factor)
        np.multiply(rows, factor, out=out)
    return from_pixels(out.reshape(x.shape)), (base, factor)


def backward(
    g: np.ndarray, input: np.ndarray, aux: tuple, size: int, alpha: float, beta: float
) -> tuple[np.ndarray]:
    base, factor = aux
    x = pixels(input)
    rows, dx = x.reshape(base.shape), np.empty_like(base)
    weight = np.float32(2 * beta * alpha / size)
    work = rows.size * (size + 4)
    before, after = size // 2, (size - 1) // 2
    g = pixels(g).reshape(base.shape)
    _backward(work, g, rows, base, factor, before, after, weight, dx)
    return (from_pixels(dx.reshape(x.shape)),)


def _images(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> bool:
    return x.dtype == dtypes.F32 and x.ndim >= 3 and size >= 1 and x.size > 0


KERNELS = {"local_response_norm": Kernel(forward, backward, _images, has_aux=True)}
