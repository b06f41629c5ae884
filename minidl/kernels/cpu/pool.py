"""Max pooling: the winner of each window and where it was, in one pass."""

from __future__ import annotations

import numpy as np

from .. import Kernel
from . import jit


@jit
def _forward(x, kernel, stride, padding, dilation, out, positions):
    """x (planes, H, W) -> out (planes, OH, OW), positions h * W + w; the first largest wins."""
    height, width = x.shape[1], x.shape[2]
    for q in range(x.shape[0]):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                found = False
                best, where = np.float32(0), 0
                for k in range(kernel[0]):
                    h = i * stride[0] - padding[0] + k * dilation[0]
                    if h < 0 or h >= height:
                        continue
                    for m in range(kernel[1]):
                        w = j * stride[1] - padding[1] + m * dilation[1]
                        if w < 0 or w >= width:
                            continue
                        v = x[q, h, w]
                        if not found or v > best or (v != v and best == best):  # nan wins
                            found, best, where = True, v, h * width + w
                out[q, i, j], positions[q, i, j] = best, where


@jit
def _backward(g, positions, dx):
    """dx (planes, H * W) gets each g added where its winner was."""
    for q in range(g.shape[0]):
        for i in range(g.shape[1]):
            for j in range(g.shape[2]):
                dx[q, positions[q, i, j]] += g[q, i, j]


def forward(x, kernel, stride, padding, dilation, extra) -> tuple[np.ndarray, np.ndarray]:
    n, c, h, w = x.shape
    size = [
        (have + 2 * p + e - d * (k - 1) - 1) // s + 1
        for have, k, s, p, d, e in zip(
            (h, w), kernel, stride, padding, dilation, extra, strict=True
        )
    ]
    out = np.empty((n * c, *size), np.float32)
    positions = np.empty((n * c, *size), np.int64)
    planes = np.ascontiguousarray(x).reshape(n * c, h, w)
    _forward(planes, kernel, stride, padding, dilation, out, positions)
    return out.reshape(n, c, *size), positions.reshape(n, c, *size)


def backward(g: np.ndarray, aux: np.ndarray, input_shape: tuple) -> tuple[np.ndarray]:
    n, c, h, w = input_shape
    dx = np.zeros((n * c, h * w), np.float32)
    planes = (n * c, *g.shape[2:])
    _backward(np.ascontiguousarray(g).reshape(planes), aux.reshape(planes), dx)
    return (dx.reshape(input_shape),)


KERNELS = {"max_pool2d": Kernel(forward, backward, has_aux=True)}
