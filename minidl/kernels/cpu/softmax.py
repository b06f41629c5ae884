"""softmax, its logarithm and logsumexp: a row at a time, while it is in the core's own cache.

Each needs the largest number of a row, then a sum over the row, then a last pass that uses both.
NumPy makes each of these steps for all rows before it begins the next, so the whole array comes
from memory four or five times. Done row by row it comes once: 512 float32 are 2 KB, and even a row
of 50,000 (a vocabulary) fits into the second cache.

Rows go to different threads, and every sum stays within a row: the bits do not depend on how many
threads there are. The largest number is found with `larger`, which a vector register can do (a
Python `if` in a loop cannot), and which forgets nan; nan comes back through e^(nan - largest).

Milakov and Gimelshein 2018, "Online normalizer calculation for softmax",
https://arxiv.org/abs/1805.02867, count the passes over memory.
"""

from __future__ import annotations

import math

import numpy as np

from .. import Kernel
from . import jit, parallel, prange
from .functions import INFINITY, ONE, ZERO, F, exp, exp_below, larger

# ------------------------------------------------------------------------------------------ one row


@jit
def largest(x):
    """The largest number of a row, nan left out; -infinity if there is none."""
    top = -INFINITY
    for c in range(x.size):
        top = larger(top, x[c])
    return top


@jit
def exp_sum(x, top):
    """sum e^(x - top)"""
    total = ZERO
    for c in range(x.size):
        total += exp_below(x[c] - top)
    return total


@jit
def softmax_row(x, out):
    top = largest(x)
    total = ZERO
    for c in range(x.size):
        e = exp_below(x[c] - top)
        out[c] = e
        total += e
    share = ONE / total
    for c in range(x.size):
        out[c] *= share


@jit
def softmax_row_gradient(g, out, dx):
    dot = ZERO
    for c in range(g.size):
        dot += g[c] * out[c]
    for c in range(g.size):
        dx[c] = out[c] * (g[c] - dot)


@jit
def log_softmax_row(x, out):
    top = largest(x)
    total = ZERO
    for c in range(x.size):
        shifted = x[c] - top
        out[c] = shifted
        total += exp_below(shifted)
    log_total = np.float32(math.log(total))
    # From memory: in one expression, x - top - log_total, the compiler may add up the last two,
    # and next to a top of 300 the logarithm would lose its last digits.
    for c in range(x.size):
        out[c] -= log_total


@jit
def log_softmax_row_gradient(g, out, dx):
    total = ZERO
    for c in range(g.size):
        total += g[c]
    for c in range(g.size):
        dx[c] = g[c] - exp_below(out[c]) * total


@jit
def logsumexp_row(x):
    top = largest(x)
    shift = top if abs(top) < INFINITY else ZERO  # infinity - infinity would be nan
    total = ZERO
    for c in range(x.size):
        total += exp(x[c] - shift)
    return np.float32(math.log(total)) + shift


@jit
def logsumexp_row_gradient(g, x, out, dx):
    for c in range(x.size):
        dx[c] = g * exp(x[c] - out)


# ----------------------------------------------------------------------------------------- all rows


@parallel
def _softmax(x, out):
    for r in prange(x.shape[0]):
        softmax_row(x[r], out[r])


@parallel
def _softmax_gradient(g, out, dx):
    for r in prange(g.shape[0]):
        softmax_row_gradient(g[r], out[r], dx[r])


@parallel
def _log_softmax(x, out):
    for r in prange(x.shape[0]):
        log_softmax_row(x[r], out[r])


@parallel
def _log_softmax_gradient(g, out, dx):
    for r in prange(g.shape[0]):
        log_softmax_row_gradient(g[r], out[r], dx[r])


@parallel
def _logsumexp(x, out):
    for r in prange(x.shape[0]):
        out[r] = logsumexp_row(x[r])


@parallel
def _logsumexp_gradient(g, x, out, dx):
    for r in prange(x.shape[0]):
        logsumexp_row_gradient(g[r], x[r], out[r], dx[r])


# --------------------------------------------------------------------------- rows of any dimension


def rows(x: np.ndarray, dim: int) -> np.ndarray:
    """x with dimension `dim` last, as contiguous rows (R, C): a view where memory allows it."""
    if dim not in (-1, x.ndim - 1):
        x = np.moveaxis(x, dim, -1)
    return np.ascontiguousarray(x).reshape(-1, x.shape[-1])


def from_rows(x: np.ndarray, like: np.ndarray, dim: int) -> np.ndarray:
    """Rows (R, C) in the shape of `like`, and in its order in memory."""
    if dim in (-1, like.ndim - 1):
        return x.reshape(like.shape)
    moved = np.moveaxis(like, dim, -1)
    x = np.moveaxis(x.reshape(moved.shape), -1, dim)
    if moved.flags.c_contiguous:
        return x
    out = np.empty_like(like)
    out[...] = x
    return out


def softmax(x: np.ndarray, dim: int) -> np.ndarray:
    row = rows(x, dim)
    out = np.empty_like(row)
    _softmax(8 * x.size, row, out)
    return from_rows(out, x, dim)


def softmax_gradient(g: np.ndarray, out: np.ndarray, dim: int) -> tuple[np.ndarray]:
    row = rows(out, dim)
    dx = np.empty_like(row)
    _softmax_gradient(2 * g.size, rows(g, dim), row, dx)
    return (from_rows(dx, out, dim),)


def log_softmax(x: np.ndarray, dim: int) -> np.ndarray:
    row = rows(x, dim)
    out = np.empty_like(row)
    _log_softmax(8 * x.size, row, out)
    return from_rows(out, x, dim)


def log_softmax_gradient(g: np.ndarray, out: np.ndarray, dim: int) -> tuple[np.ndarray]:
    row = rows(out, dim)
    dx = np.empty_like(row)
    _log_softmax_gradient(8 * g.size, rows(g, dim), row, dx)
    return (from_rows(dx, out, dim),)


def logsumexp(x: np.ndarray, dim: int, keepdim: bool) -> np.ndarray:
    out = np.empty(x.size // x.shape[dim], np.float32)
    _logsumexp(8 * x.size, rows(x, dim), out)
    shape = list(x.shape)
    shape[dim] = 1
    out = out.reshape(shape)
    return out if keepdim else out.squeeze(dim)


def logsumexp_gradient(
    g: np.ndarray, input: np.ndarray, out: np.ndarray, dim: int, keepdim: bool
) -> tuple[np.ndarray]:
    row = rows(input, dim)
    dx = np.empty_like(row)
    g, out = np.ascontiguousarray(g).reshape(-1), np.ascontiguousarray(out).reshape(-1)
    _logsumexp_gradient(8 * input.size, g, row, out, dx)
    return (from_rows(dx, input, dim),)


def _takes(x: np.ndarray, dim: int, keepdim: bool = False) -> bool:
    if not isinstance(dim, int) or not -x.ndim <= dim < x.ndim or x.size == 0 or x.dtype != F:
        return False
    # Along columns NumPy's passes, whose inner loop runs along memory, are faster than turning.
    return dim in (-1, x.ndim - 1) or np.moveaxis(x, dim, -1).flags.c_contiguous


KERNELS = {
    "softmax": Kernel(softmax, softmax_gradient, _takes),
    "log_softmax": Kernel(log_softmax, log_softmax_gradient, _takes),
    "logsumexp": Kernel(logsumexp, logsumexp_gradient, _takes),
}
