"""Convolution and its two derivatives: which method takes which shape, and the way in and out.

A method is chosen by shape alone:

    1 x 1 kernels             one matrix product of pixels and filters (gemm.py)
    3 x 3, 16 n channels      Winograd: a quarter of the multiplications (winograd.py)
    everything else           direct: tiles of the output in registers (conv_direct.py)

Images come in and go out channels-last; weights and their gradients are contiguous (O, C / groups,
KH, KW). Definition and derivatives: minidl/ops/conv.py.
"""

from __future__ import annotations

import math

import numpy as np

from .. import Kernel
from . import conv_direct, gemm, layout, winograd
from .conv_plan import Plan, Sizes, plan, volume
from .vector import LANES


def _new(n: int, channels: int, size: Sizes) -> np.ndarray:
    return np.empty((n, *size, channels), np.float32)


def _is_product(kernel: Sizes, stride: Sizes, padding: Sizes, groups: int) -> bool:
    return groups == 1 and max(kernel) == max(stride) == 1 and not any(padding)


def _is_winograd(
    channels: int,
    filters: int,
    out: Sizes,
    kernel: Sizes,
    stride: Sizes,
    dilation: Sizes,
    groups: int,
) -> bool:
    """3 x 3, stride 1, whole vectors of channels. (At 16 channels it is already twice as fast.)"""
    if tuple(kernel) != (3, 3) or max(*stride, *dilation, groups) > 1:
        return False
    if channels % LANES or filters % LANES:
        return False
    tiles = math.prod(-(-n // winograd.TILE) for n in out)
    return math.prod(out) >= 9 * tiles  # of 16: the rest of a tile at the edge is thrown away


def _out_sizes(
    size: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> tuple[int, ...]:
    each = zip(size, kernel, stride, padding, dilation, strict=True)
    return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in each)


def _plan(
    n: int,
    source: Sizes,
    out: Sizes,
    channels: tuple[int, int],
    groups: int,
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    turned: bool,
) -> Plan:
    steps = volume(stride, 1), volume(padding, 0), volume(dilation, 1)
    sizes = volume(source, 1), volume(out, 1), channels, groups, volume(kernel, 1)
    return plan(n, *sizes, *steps, turned)


def _convolve(
    x: np.ndarray,
    weight: np.ndarray,
    y: np.ndarray,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
    turned: bool,
) -> np.ndarray:
    """Writes the convolution of x into y, both (N, ..., channels), and returns y as images.

    turned: the map the other way, from outputs to inputs, which is the input's gradient.
    """
    n, *source, channels = x.shape
    out, filters = y.shape[1:-1], y.shape[-1]
    kernel = weight.shape[2:]
    if _is_product(kernel, stride, padding, groups):
        matrix = weight.reshape(weight.shape[:2])  # (O, C)
        matrix = matrix if turned else matrix.T
        gemm.multiply(x.reshape(-1, channels), matrix, y.reshape(-1, filters))
    elif _is_winograd(channels, filters, out, kernel, stride, dilation, groups):
        winograd.convolve(x, weight, padding, turned, y)
    else:
        steps = stride, padding, dilation
        places = _plan(n, source, out, (channels, filters), groups, kernel, *steps, turned)
        conv_direct.convolve(x, weight, places, groups, turned, y)
    return layout.from_pixels(y)


def convolution(
    input: np.ndarray,
    weight: np.ndarray,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> np.ndarray:
    x = layout.pixels(input)  # (N, ..., C)
    out = _out_sizes(x.shape[1:-1], weight.shape[2:], stride, padding, dilation)
    y = _new(len(x), len(weight), out)
    return _convolve(x, weight, y, stride, padding, dilation, groups, False)


def convolution_input(
    weight: np.ndarray,
    grad_output: np.ndarray,
    size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> np.ndarray:
    g = layout.pixels(grad_output)  # (N, ..., O)
    x = _new(len(g), weight.shape[1] * groups, size)
    return _convolve(g, weight, x, stride, padding, dilation, groups, True)


def convolution_weight(
    input: np.ndarray,
    grad_output: np.ndarray,
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> np.ndarray:
    x, g = layout.pixels(input), layout.pixels(grad_output)
    n, *source, channels = x.shape
    out, filters = g.shape[1:-1], g.shape[-1]
    weight = np.empty((filters, channels // groups, *kernel), np.float32)
    if _is_product(kernel, stride, padding, groups):
        turned = g.reshape(-1, filters).T
        gemm.multiply(turned, x.reshape(-1, channels), weight.reshape(filters, channels))
        return weight
    if _is_winograd(channels, filters, out, kernel, stride, dilation, groups):
        winograd.weight_gradient(x, g, padding, weight)
        return weight
    steps = stride, padding, dilation
    places = _plan(n, source, out, (channels, filters), groups, kernel, *steps, False)
    conv_direct.weight_gradient(x, g, places, groups, weight)
    return weight


def _eligible(a: np.ndarray, b: np.ndarray, *rest: object, **keywords: object) -> bool:
    """Floats, and something to do."""
    return a.dtype == b.dtype == np.float32 and a.size > 0 and b.size > 0


KERNELS = {
    "convolution": Kernel(convolution, eligible=_eligible),
    "convolution_input": Kernel(convolution_input, eligible=_eligible),
    "convolution_weight": Kernel(convolution_weight, eligible=_eligible),
}
