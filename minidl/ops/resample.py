"""Images in another size: interpolate and its kin, pixel_shuffle, channel_shuffle.

Interpolation is linear and separable: along each dimension it is one matrix (out, in), whose row i
holds the weights of the few inputs that output i is mixed from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..device import Array, xp
from ..errors import ShapeError
from ..promotion import need_tensors
from ..tape import Tensor, wrap
from .adaptive import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from .index import index_select
from .linalg import matmul
from .pool import _spread_windows
from .shape import permute, reshape, transpose
from .ufuncs import combine_at

__all__ = """
    interpolate upsample upsample_nearest upsample_bilinear
    pixel_shuffle pixel_unshuffle channel_shuffle
""".split()

LINEAR = {"linear": 1, "bilinear": 2, "trilinear": 3}
MODES = ("nearest", "nearest-exact", "area", *LINEAR, "bicubic")


def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """y = input in another size: (N, C, L), (N, C, H, W) or (N, C, D, H, W).

    size, or scale_factor (the size is then floor(size * scale_factor)).
    mode: "nearest", "nearest-exact", "area" (means), "linear", "bilinear", "trilinear", "bicubic".
    align_corners: first and last pixels meet at their centres, not at their edges.
    antialias (bilinear, bicubic): when made smaller, the mixing reaches as far as pixels are apart.
    Each dimension is a matrix product, so an inf or nan spreads over its row and column.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.interpolate.html
    """
    need_tensors("interpolate", input=input)
    shape = input._array.shape
    dims = len(shape) - 2
    if mode not in MODES:
        raise NotImplementedError(f"interpolate: mode {mode!r} is none of {', '.join(MODES)}.")
    if dims not in (1, 2, 3) or LINEAR.get(mode, dims) != dims or (mode == "bicubic" and dims != 2):
        raise NotImplementedError(f"interpolate: mode {mode!r} does not take shape {shape}.")
    cornered = mode in LINEAR or mode == "bicubic"
    if align_corners is not None and not cornered:
        raise ValueError(f"interpolate: align_corners is not for mode {mode!r}.")
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueError("interpolate: antialias is for modes 'bilinear' and 'bicubic' only.")
    sizes, factors = _targets(shape[2:], size, scale_factor, recompute_scale_factor)
    if mode == "area":
        pool = (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[dims - 1]
        return pool(input, sizes)
    if not cornered and _whole(shape[2:], sizes, factors):  # each pixel becomes a block of pixels
        blocks = tuple(n // have for n, have in zip(sizes, shape[2:], strict=True))
        return _spread_windows(input, blocks, blocks, tuple(sizes))
    for d, (n, factor) in enumerate(zip(sizes, factors, strict=True), 2):
        if not cornered:
            input = _nearest(input, d, n, factor, 0.5 if mode == "nearest-exact" else 0.0)
        elif antialias:
            input = _mixed(input, d, _antialiased(input._array, d, n, factor, align_corners, mode))
        elif n != shape[d] or factor not in (None, 1.0):
            weights = _cubic if mode == "bicubic" else _linear
            input = _mixed(input, d, weights(input._array, d, n, factor, bool(align_corners)))
    return input


def _targets(
    have: tuple, size: Any, scale_factor: Any, recompute: bool | None
) -> tuple[list[int], list[float | None]]:
    """The sizes wanted, and for each the factor that positions are computed with, or None."""
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: give either size or scale_factor.")
    given = scale_factor if size is None else size
    given = list(given) if isinstance(given, (tuple, list)) else [given] * len(have)
    if len(given) != len(have):
        raise ShapeError(f"interpolate: expected {len(have)} sizes or factors, got {given}.")
    if size is not None:
        if recompute:
            raise ValueError("interpolate: recompute_scale_factor needs scale_factor.")
        sizes, factors = [int(n) for n in given], [None] * len(have)
    else:
        sizes = [math.floor(n * float(f)) for n, f in zip(have, given, strict=True)]
        factors = [None if recompute else float(f) for f in given]
    if min(have) < 1 or min(sizes) < 1:
        raise ShapeError(f"interpolate: sizes must be positive, got {tuple(have)} to {sizes}.")
    return sizes, factors


def _whole(have: tuple, sizes: list[int], factors: list[float | None]) -> bool:
    """Whether every size is a multiple of what is there, and the factors say the same."""
    return all(
        n % size == 0 and factor in (None, n / size)
        for n, size, factor in zip(sizes, have, factors, strict=True)
    )


def _nearest(x: Tensor, d: int, n: int, factor: float | None, shift: float) -> Tensor:
    """y[i] = x[floor((i + shift) / factor)]"""
    size = x._array.shape[d]
    if n == size and factor in (None, 1.0):
        return x
    m = xp(x._array)
    step = size / n if factor is None else 1 / factor
    kind = "float64" if x._array.dtype == "float64" else "float32"  # rounded as PyTorch does
    at = (m.arange(n).astype(kind) + shift) * step
    positions = m.minimum(m.floor(at).astype("int64"), size - 1)
    return index_select(x, d, wrap(positions))


def _mixed(x: Tensor, d: int, weights: Array) -> Tensor:
    """y[.., i, ..] = sum_j weights[i, j] x[.., j, ..] along dimension d"""
    table = wrap(weights.astype(x._array.dtype))
    if d == x._array.ndim - 1:
        return matmul(x, transpose(table, 0, 1))
    if d == x._array.ndim - 2:
        return matmul(table, x)
    return transpose(matmul(table, transpose(x, d, -2)), d, -2)


def _sources(x: Array, d: int, n: int, factor: float | None, corners: bool) -> Array:
    """Where each of n outputs lies among the inputs of dimension d, in pixels (not rounded)."""
    places = xp(x).arange(n).astype("float64")
    if corners:
        return places * ((x.shape[d] - 1) / (n - 1) if n > 1 else 0.0)
    step = x.shape[d] / n if factor is None else 1 / factor
    return (places + 0.5) * step - 0.5


def _matrix(x: Array, positions: list[Array], weights: list[Array], size: int) -> Array:
    """(out, size): weights[k][i] added at column positions[k][i] of row i."""
    m = xp(x)
    rows = m.arange(len(weights[0]))
    out = m.zeros((len(rows), size))
    for position, weight in zip(positions, weights, strict=True):
        combine_at("add", out, (rows, m.clip(position, 0, size - 1)), weight)
    return out


def _linear(x: Array, d: int, n: int, factor: float | None, corners: bool) -> Array:
    m = xp(x)
    at = m.maximum(_sources(x, d, n, factor, corners), 0.0)
    low = m.minimum(m.floor(at).astype("int64"), x.shape[d] - 1)
    part = m.clip(at - low, 0.0, 1.0)
    return _matrix(x, [low, low + 1], [1 - part, part], x.shape[d])


def cubic_weight(m: Any, t: Array, a: float) -> Array:
    """Keys' cubic: (a + 2)|t|^3 - (a + 3)|t|^2 + 1 up to 1, a (|t|^3 - 5|t|^2 + 8|t| - 4) up to 2.

    Keys 1981, "Cubic convolution interpolation for digital image processing".
    """
    t = abs(t)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = (((t - 5) * t + 8) * t - 4) * a
    return m.where(t <= 1, near, m.where(t < 2, far, 0.0))


def _cubic(x: Array, d: int, n: int, factor: float | None, corners: bool) -> Array:
    m = xp(x)
    at = _sources(x, d, n, factor, corners)
    low = m.floor(at).astype("int64")
    taps = [low + k for k in (-1, 0, 1, 2)]
    return _matrix(x, taps, [cubic_weight(m, at - tap, -0.75) for tap in taps], x.shape[d])


def _triangle(m: Any, t: Array) -> Array:
    return m.maximum(1 - abs(t), 0.0)


def _antialiased(
    x: Array, d: int, n: int, factor: float | None, corners: bool | None, mode: str
) -> Array:
    """The rows of weights of a filter that is stretched when the image shrinks; they sum to 1."""
    m, size = xp(x), x.shape[d]
    reach, weight = (2, _keys) if mode == "bicubic" else (1, _triangle)
    if corners:
        step = (size - 1) / (n - 1) if n > 1 else 0.0
    else:
        step = size / n if factor is None else 1 / factor
    stretch = max(step, 1.0)
    centres = (m.arange(n) + 0.5) * step
    low = m.maximum((centres - reach * stretch + 0.5).astype("int64"), 0)
    high = m.minimum((centres + reach * stretch + 0.5).astype("int64"), size)
    columns = m.arange(size)
    table = weight(m, (columns + 0.5 - centres[:, None]) / stretch)
    table = table * ((columns >= low[:, None]) & (columns < high[:, None]))
    return table / table.sum(1, keepdims=True)


def _keys(m: Any, t: Array) -> Array:
    return cubic_weight(m, t, -0.5)


def upsample(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """`interpolate` under its old name.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.upsample.html
    """
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
) -> Tensor:
    """`interpolate` with mode="nearest".

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.upsample_nearest.html
    """
    return interpolate(input, size, scale_factor)


def upsample_bilinear(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
) -> Tensor:
    """`interpolate` with mode="bilinear" and align_corners=True.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.upsample_bilinear.html
    """
    return interpolate(input, size, scale_factor, "bilinear", True)


# --------------------------------------------------------------------------------- pixels, channels


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(..., C r^2, H, W) -> (..., C, H r, W r): y[c, h r + i, w r + j] = x[c r^2 + i r + j, h, w].

    Shi et al. 2016, https://arxiv.org/abs/1609.05158;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.pixel_shuffle.html
    """
    lead, c, h, w = _image("pixel_shuffle", input, upscale_factor)
    r = upscale_factor
    if c % (r * r):
        raise ShapeError(f"pixel_shuffle: {c} channels are not divisible by {r} squared.")
    cut = reshape(input, (*lead, c // (r * r), r, r, h, w))
    return reshape(_reordered(cut, 0, 3, 1, 4, 2), (*lead, c // (r * r), h * r, w * r))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(..., C, H r, W r) -> (..., C r^2, H, W): undoes pixel_shuffle.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.pixel_unshuffle.html
    """
    lead, c, h, w = _image("pixel_unshuffle", input, downscale_factor)
    r = downscale_factor
    if h % r or w % r:
        raise ShapeError(f"pixel_unshuffle: {h} x {w} pixels are not divisible by {r}.")
    cut = reshape(input, (*lead, c, h // r, r, w // r, r))
    return reshape(_reordered(cut, 0, 2, 4, 1, 3), (*lead, c * r * r, h // r, w // r))


def _image(name: str, input: Tensor, factor: int) -> tuple[tuple, int, int, int]:
    need_tensors(name, input=input)
    shape = input._array.shape
    if len(shape) < 3:
        raise ShapeError(f"{name}: expected (..., C, H, W), got shape {shape}.")
    if factor < 1:
        raise ShapeError(f"{name}: the factor must be positive, got {factor}.")
    return shape[:-3], *shape[-3:]


def _reordered(x: Tensor, *order: int) -> Tensor:
    """Its last dimensions in another order."""
    lead = x._array.ndim - len(order)
    return permute(x, (*range(lead), *[lead + d for d in order]))


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """The channels of (N, C, ...) dealt from `groups` piles in turn.

    Zhang et al. 2017, https://arxiv.org/abs/1707.01083;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.channel_shuffle.html
    """
    need_tensors("channel_shuffle", input=input)
    shape = input._array.shape
    if len(shape) < 3 or groups < 1 or shape[1] % groups:
        raise ShapeError(
            f"channel_shuffle: expected (N, C, ...) with C divisible by groups, got shape {shape} "
            f"and groups {groups}."
        )
    piles = reshape(input, (shape[0], groups, shape[1] // groups, *shape[2:]))
    return reshape(transpose(piles, 1, 2), shape)
