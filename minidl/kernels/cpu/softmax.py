"""softmax and log_softmax over the last dimension, a row at a time while it is in the cache."""

from __future__ import annotations

import math

import numpy as np

from .. import Kernel
from . import jit

ZERO = np.float32(0)


@jit
def _softmax(x, out):
    for r in range(x.shape[0]):
        top = x[r, 0]
        for c in range(1, x.shape[1]):
            if x[r, c] > top or x[r, c] != x[r, c]:  # a nan stays the top
                top = x[r, c]
        total = ZERO
        for c in range(x.shape[1]):
            out[r, c] = math.exp(x[r, c] - top)
            total += out[r, c]
        for c in range(x.shape[1]):
            out[r, c] /= total


@jit
def _softmax_backward(g, out, dx):
    for r in range(g.shape[0]):
        dot = ZERO
        for c in range(g.shape[1]):
            dot += g[r, c] * out[r, c]
        for c in range(g.shape[1]):
            dx[r, c] = out[r, c] * (g[r, c] - dot)


@jit
def _log_softmax(x, out):
    for r in range(x.shape[0]):
        top = x[r, 0]
        for c in range(1, x.shape[1]):
            if x[r, c] > top or x[r, c] != x[r, c]:
                top = x[r, c]
        total = ZERO
        for c in range(x.shape[1]):
            total += math.exp(x[r, c] - top)
        log_total = math.log(total)
        for c in range(x.shape[1]):
            out[r, c] = x[r, c] - top - log_total


@jit
def _log_softmax_backward(g, out, dx):
    for r in range(g.shape[0]):
        total = ZERO
        for c in range(g.shape[1]):
            total += g[r, c]
        for c in range(g.shape[1]):
            dx[r, c] = g[r, c] - math.exp(out[r, c]) * total


def _rows(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x).reshape(-1, x.shape[-1])


def softmax(x: np.ndarray, dim: int) -> np.ndarray:
    out = np.empty(x.shape, np.float32)
    _softmax(_rows(x), out.reshape(-1, x.shape[-1]))
    return out


def softmax_backward(g: np.ndarray, out: np.ndarray) -> tuple[np.ndarray]:
    dx = np.empty(g.shape, np.float32)
    _softmax_backward(_rows(g), _rows(out), dx.reshape(-1, g.shape[-1]))
    return (dx,)


def log_softmax(x: np.ndarray, dim: int) -> np.ndarray:
    out = np.empty(x.shape, np.float32)
    _log_softmax(_rows(x), out.reshape(-1, x.shape[-1]))
    return out


def log_softmax_backward(g: np.ndarray, out: np.ndarray) -> tuple[np.ndarray]:
    dx = np.empty(g.shape, np.float32)
    _log_softmax_backward(_rows(g), _rows(out), dx.reshape(-1, g.shape[-1]))
    return (dx,)


def _last(x: np.ndarray, dim: int) -> bool:
    return x.size > 0 and x.ndim > 0 and dim in (-1, x.ndim - 1)


KERNELS = {
    "softmax": Kernel(softmax, softmax_backward, _last),
    "log_softmax": Kernel(log_softmax, log_softmax_backward, _last),
}
