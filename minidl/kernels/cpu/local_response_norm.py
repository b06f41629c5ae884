"""Local response normalisation: a window that slides over the channels of one pixel."""

from __future__ import annotations

import numpy as np

from .. import Kernel
from . import jit


@jit
def _forward(x, half_low, half_high, scale, k, base):
    """base = k + scale * sum of x_j^2 over the channels around c; x is (N, C, pixels)"""
    channels = x.shape[1]
    for n in range(x.shape[0]):
        for c in range(channels):
            first, last = max(0, c - half_low), min(channels - 1, c + half_high)
            for p in range(x.shape[2]):
                base[n, c, p] = x[n, first, p] * x[n, first, p]
            for j in range(first + 1, last + 1):
                for p in range(x.shape[2]):
                    base[n, c, p] += x[n, j, p] * x[n, j, p]
            for p in range(x.shape[2]):
                base[n, c, p] = k + scale * base[n, c, p]


@jit
def _backward(g, x, base, factor, half_low, half_high, weight, dx, ratio):
    """dx_i = g_i factor_i - weight x_i sum_c g_c x_c factor_c / base_c, over the c that see i"""
    channels = x.shape[1]
    for n in range(x.shape[0]):
        for c in range(channels):
            for p in range(x.shape[2]):
                dx[n, c, p] = g[n, c, p] * factor[n, c, p]
                ratio[c, p] = dx[n, c, p] * x[n, c, p] / base[n, c, p]
        for i in range(channels):
            for c in range(max(0, i - half_high), min(channels - 1, i + half_low) + 1):
                for p in range(x.shape[2]):
                    dx[n, i, p] -= weight * x[n, i, p] * ratio[c, p]


def _planes(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x).reshape(x.shape[0], x.shape[1], -1)


def forward(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> tuple:
    flat = _planes(x)
    base = np.empty_like(flat)
    _forward(flat, size // 2, (size - 1) // 2, np.float32(alpha / size), np.float32(k), base)
    factor = base ** np.float32(-beta)  # NumPy's power is vectorised, Numba's is not
    return (flat * factor).reshape(x.shape), (base, factor)


def backward(
    g: np.ndarray, input: np.ndarray, aux: tuple, size: int, alpha: float, beta: float
) -> tuple[np.ndarray]:
    base, factor = aux
    x = _planes(input)
    dx, ratio = np.empty_like(x), np.empty(x.shape[1:], np.float32)
    weight = np.float32(2 * beta * alpha / size)
    _backward(_planes(g), x, base, factor, size // 2, (size - 1) // 2, weight, dx, ratio)
    return (dx.reshape(input.shape),)


def _images(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> bool:
    return x.ndim >= 3 and size >= 1 and x.size > 0


KERNELS = {"local_response_norm": Kernel(forward, backward, _images, has_aux=True)}
