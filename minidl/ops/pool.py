"""Pooling: one number for each window of an image."""

from __future__ import annotations

import math
from itertools import product

from ..device import Array, of, xp
from ..errors import ShapeError
from ..makers import op
from ..promotion import cast, need_tensors
from ..tape import Tensor, wrap
from .conv import IMAGES, Size, Sizes, check_windows, sizes_of, strided, windows
from .elementwise import trunc
from .shape import pad_pairs
from .ufuncs import sums_at

__all__ = [
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
]


def _ceil_extra(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Rows to add at the end so that ceil_mode's last window fits; it must start inside."""
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    count = -(-span // stride) + 1
    if (count - 1) * stride >= size + padding:
        count -= 1
    return max((count - 1) * stride - span, 0)


def _geometry(
    name: str,
    dims: int,
    input: Tensor,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    dilation: Size,
    ceil_mode: bool,
) -> tuple[Sizes, Sizes, Sizes, Sizes, Sizes]:
    """kernel, stride, padding, dilation, and the rows that ceil_mode adds at the end."""
    kernel = sizes_of(kernel_size, dims, f"{name}: kernel_size", 1)
    stride = kernel if stride is None or stride in ((), []) else stride
    stride = sizes_of(stride, dims, f"{name}: stride", 1)
    padding = sizes_of(padding, dims, f"{name}: padding", 0)
    dilation = sizes_of(dilation, dims, f"{name}: dilation", 1)
    shape = input._array.shape
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise ShapeError(
            f"{name}: padding {padding} is more than half of the kernel {kernel}: some windows "
            "would see nothing but padding."
        )
    if len(shape) != dims + 2:
        raise ShapeError(f"{name}: expected images {IMAGES[dims]}, got {shape}.")
    check_windows(name, shape, kernel, padding, dilation)
    if max(dilation) > 1:
        _check_dilated(name, shape, kernel, stride, padding, dilation)
    extra = (0,) * dims
    if ceil_mode:
        extra = tuple(map(_ceil_extra, shape[2:], kernel, stride, padding, dilation))
    return kernel, stride, padding, dilation, extra


def _check_dilated(
    name: str, shape: tuple, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> None:
    """With dilation a window can step over a small image and see only padding."""
    for size, k, s, p, d in zip(shape[2:], kernel, stride, padding, dilation, strict=True):
        for start in range(-p, size + p - d * (k - 1), s):
            if not any(0 <= start + i * d < size for i in range(k)):
                raise ShapeError(
                    f"{name}: a window sees nothing but padding (input {shape}, kernel {kernel}, "
                    f"padding {padding}, dilation {dilation})."
                )


# ------------------------------------------------------------------------------------------- max


@op(aux=True)
def _max_pool2d(
    input: Array, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, extra: Sizes
) -> tuple[Array, Array]:
    """y = the largest element of each window, the first one if several; aux: where it was"""
    low = -math.inf if input.dtype.kind == "f" else xp(input).iinfo(input.dtype).min
    border = ((0, 0), (0, 0), *((p, p + e) for p, e in zip(padding, extra, strict=True)))
    x = xp(input).pad(input, border, "constant", constant_values=low)
    w = windows(x, kernel, stride, dilation)
    best = w[..., 0, 0].copy()
    where = xp(input).zeros(best.shape, "int32")  # number of the winner inside its window
    # nan wins, and padding loses even against -inf: both are rare, and cost two more
    # passes; to look for them, a program would have to wait for the GPU
    on_cpu = of(input).type == "cpu"
    careful = input.size > 0 and not (on_cpu and xp(input).isfinite(input.sum()))
    inside = windows(_inside(input, border), kernel, stride, dilation) if careful else None
    seen = inside[..., 0, 0].copy() if careful else None
    for k in range(kernel[0]):
        for j in range(kernel[1]):
            candidate = w[..., k, j]
            better = candidate > best
            if careful:
                better |= (candidate != candidate) & (best == best)
                better |= inside[..., k, j] & ~seen
                seen |= inside[..., k, j]
            xp(input).copyto(best, candidate, where=better)
            xp(input).copyto(where, k * kernel[1] + j, where=better)
    return best, _flat_positions(where, input.shape, kernel, stride, padding, dilation)


def _inside(input: Array, border: tuple) -> Array:
    """True for pixels, False for the border: (1, 1, padded H, padded W)."""
    pixels = xp(input).ones((1, 1, *input.shape[2:]), bool)
    return xp(input).pad(pixels, border, "constant", constant_values=False)


def _flat_positions(
    where: Array, shape: tuple, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Array:
    """Winners' numbers inside their windows as positions h * W + w in the unpadded image."""
    _, _, oh, ow = where.shape
    rows = xp(where).arange(oh)[:, None] * stride[0] - padding[0]
    cols = xp(where).arange(ow)[None, :] * stride[1] - padding[1]
    inside_rows, inside_cols = where // kernel[1], where % kernel[1]
    return (rows + inside_rows * dilation[0]) * shape[3] + (cols + inside_cols * dilation[1])


_max_pool2d.vjp(input=lambda g, aux, input_shape: _spread_pixels(g, aux, input_shape))


@op
def _spread_pixels(input: Array, positions: Array, shape: tuple) -> Array:
    """y = zeros of `shape` (N, C, H, W) with input added at the flat positions"""
    n, c, *size = shape
    pixels = math.prod(size)
    planes = xp(input).arange(n * c).reshape(n, c, *[1] * (input.ndim - 2)) * pixels
    flat = sums_at((planes + positions).ravel(), input.ravel(), n * c * pixels)
    return flat.astype(input.dtype).reshape(shape)


@op(result="mixed")
def _pick_pixels(input: Array, positions: Array) -> Array:
    """y[n,c,i,j] = pixel positions[n,c,i,j] of plane input[n,c]"""
    n, c, *size = input.shape
    flat = positions.reshape(n, c, math.prod(positions.shape[2:]))
    picked = xp(input).take_along_axis(input.reshape(n, c, math.prod(size)), flat, 2)
    return picked.reshape(positions.shape)


_spread_pixels.vjp(input=lambda g, positions: _pick_pixels(g, positions))
_pick_pixels.vjp(input=lambda g, positions, input_shape: _spread_pixels(g, positions, input_shape))


def _max_pool(
    name: str,
    dims: int,
    input: Tensor,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    dilation: Size,
    ceil_mode: bool,
    return_indices: bool,
) -> Tensor | tuple[Tensor, Tensor]:
    need_tensors(name, input=input)
    if input._array.ndim == dims + 1:
        options = (kernel_size, stride, padding, dilation, ceil_mode, return_indices)
        out = _max_pool(name, dims, input.unsqueeze(0), *options)
        return tuple(o.squeeze(0) for o in out) if return_indices else out.squeeze(0)
    geometry = _geometry(name, dims, input, kernel_size, stride, padding, dilation, ceil_mode)
    if return_indices:
        positions = wrap(_winners(input._array, *geometry))
        return _pick_pixels(input, positions), positions
    if dims == 2:
        return _max_pool2d(input, *geometry)
    if dims == 1:
        return _max_pool2d(input.unsqueeze(2), *_in_a_row(geometry)).squeeze(2)
    return _over_depth(_over_planes(input, geometry), geometry)


def _in_a_row(geometry: tuple[Sizes, ...]) -> tuple[Sizes, ...]:
    """The 1-d geometry of sequences as images of height 1."""
    kernel, stride, padding, dilation, extra = geometry
    return (1, *kernel), (1, *stride), (0, *padding), (1, *dilation), (0, *extra)


def _over_planes(input: Tensor, geometry: tuple[Sizes, ...]) -> Tensor:
    """The first half of a 3-d pooling: every depth for itself."""
    n, c, d, h, w = input._array.shape
    planes = _max_pool2d(input.reshape((n, c * d, h, w)), *[part[1:] for part in geometry])
    return planes.reshape((n, c, d, *planes._array.shape[2:]))


def _over_depth(planes: Tensor, geometry: tuple[Sizes, ...]) -> Tensor:
    """The second half: the largest of the planes in reach."""
    n, c, d, h, w = planes._array.shape
    out = _max_pool2d(planes.reshape((n, c, d, h * w)), *_of_depth(geometry))
    return out.reshape((n, c, out._array.shape[2], h, w))


def _of_depth(geometry: tuple[Sizes, ...]) -> tuple[Sizes, ...]:
    return tuple((part[0], rest) for part, rest in zip(geometry, (1, 1, 0, 1, 0), strict=True))


def _winners(x: Array, *geometry: Sizes) -> Array:
    """Where each window's winner is, as a flat position in its image."""
    forward = _max_pool2d.op.forward
    if x.ndim == 4:
        return forward(x, *geometry)[1]
    if x.ndim == 3:
        return forward(x[:, :, None], *_in_a_row(geometry))[1][:, :, 0]
    n, c, d, h, w = x.shape
    planes, inside = forward(x.reshape(n, c * d, h, w), *[part[1:] for part in geometry])
    oh, ow = planes.shape[2:]
    _, best = forward(planes.reshape(n, c, d, oh * ow), *_of_depth(geometry))
    pixels = inside.reshape(n, c, d * oh * ow)
    pixels = xp(x).take_along_axis(pixels, best.reshape(n, c, best[0, 0].size), 2)
    flat = best // max(oh * ow, 1) * (h * w) + pixels.reshape(best.shape)
    return flat.reshape(n, c, best.shape[2], oh, ow)


def max_pool1d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """y = the largest element of each window; its gradient goes to the first largest element.

    (N, C, L) or (C, L). stride: kernel_size unless given; smaller, the windows overlap.
    return_indices: also where each winner was, as its position.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.max_pool1d.html
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, return_indices)
    return _max_pool("max_pool1d", 1, input, *options)


def max_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """y = the largest element of each window; its gradient goes to the first largest element.

    (N, C, H, W) or (C, H, W). stride: kernel_size unless given; smaller, the windows overlap.
    return_indices: also where each winner was, as h * W + w.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.max_pool2d.html
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, return_indices)
    return _max_pool("max_pool2d", 2, input, *options)


def max_pool3d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """y = the largest element of each window; its gradient goes to the first largest element.

    (N, C, D, H, W) or (C, D, H, W). stride: kernel_size unless given; smaller, the windows overlap.
    return_indices: also where each winner was, as (d * H + h) * W + w.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.max_pool3d.html
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, return_indices)
    return _max_pool("max_pool3d", 3, input, *options)


# --------------------------------------------------------------------------------------- averages


@op
def _sum_pool(input: Array, kernel: Sizes, stride: Sizes) -> Array:
    """y = the sum of each window"""
    dims = len(kernel)
    return windows(input, kernel, stride, (1,) * dims).sum(tuple(range(-dims, 0)))


@op
def _spread_windows(input: Array, kernel: Sizes, stride: Sizes, size: Sizes) -> Array:
    """y = each element added to all pixels of its window: the derivative of _sum_pool"""
    out = xp(input).zeros((*input.shape[:2], *size), input.dtype)
    for place in product(*map(range, kernel)):
        out[(..., *strided(place, input.shape[2:], stride))] += input
    return out


_sum_pool.vjp(
    input=lambda g, input_shape, kernel, stride: _spread_windows(g, kernel, stride, input_shape[2:])
)
_spread_windows.vjp(input=lambda g, kernel, stride: _sum_pool(g, kernel, stride))


def _avg_pool(
    name: str,
    dims: int,
    input: Tensor,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None = None,
) -> Tensor:
    need_tensors(name, input=input)
    if input._array.ndim == dims + 1:
        options = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
        return _avg_pool(name, dims, input.unsqueeze(0), *options).squeeze(0)
    kernel, stride, padding, _, extra = _geometry(
        name, dims, input, kernel_size, stride, padding, 1, ceil_mode
    )
    if divisor_override == 0:
        raise ValueError(f"{name}: divisor_override must not be 0.")
    border = tuple((p, p + e) for p, e in zip(padding, extra, strict=True))
    x = pad_pairs(input, ((0, 0), (0, 0), *border)) if any(padding) or any(extra) else input
    total = _sum_pool(x, kernel, stride)
    if divisor_override is not None:
        return _divided(total, float(divisor_override))
    if (count_include_pad or not any(padding)) and not any(extra):
        return _divided(total, float(math.prod(kernel)))
    m = xp(input._array)
    counted = m.ones((1, 1, *input._array.shape[2:]), input._array.dtype)
    around = ((0, 0), (0, 0), *[(p, p) for p in padding])
    counted = m.pad(counted, around, "constant", constant_values=float(count_include_pad))
    counted = m.pad(counted, ((0, 0), (0, 0), *[(0, e) for e in extra]))
    return _divided(total, wrap(_sum_pool.op.forward(counted, kernel, stride)))


def _divided(total: Tensor, count: Tensor | float) -> Tensor:
    """Integers are rounded towards zero."""
    kind = total._array.dtype
    return total / count if kind.kind == "f" else cast(trunc(total / count), kind)


def avg_pool1d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """y = the mean of each window. (N, C, L) or (C, L).

    count_include_pad: padding zeros count as elements.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.avg_pool1d.html
    """
    options = (kernel_size, stride, padding, ceil_mode, count_include_pad)
    return _avg_pool("avg_pool1d", 1, input, *options)


def avg_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """y = the mean of each window. (N, C, H, W) or (C, H, W).

    count_include_pad: padding zeros count as elements. divisor_override: divide by this instead.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.avg_pool2d.html
    """
    options = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return _avg_pool("avg_pool2d", 2, input, *options)


def avg_pool3d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """y = the mean of each window. (N, C, D, H, W) or (C, D, H, W).

    count_include_pad: padding zeros count as elements. divisor_override: divide by this instead.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.avg_pool3d.html
    """
    options = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return _avg_pool("avg_pool3d", 3, input, *options)
