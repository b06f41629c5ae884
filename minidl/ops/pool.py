"""Pooling: one number for each window of an image."""

from __future__ import annotations

import math

from ..device import Array, xp
from ..errors import ShapeError
from ..makers import op
from ..promotion import need_tensors
from ..tape import Tensor, wrap
from .conv import Pair, Size, _check_windows, padded, pair_of, windows
from .shape import cat
from .shape import pad as _pad

__all__ = [
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "max_pool2d",
]


def _ceil_extra(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Rows to add at the end so that ceil_mode's last window fits; it must start inside."""
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    count = -(-span // stride) + 1
    if (count - 1) * stride >= size + padding:
        count -= 1
    return max((count - 1) * stride - span, 0)


def _geometry(
    name: str, input: Tensor, kernel_size: Size, stride: Size | None, padding: Size, dilation: Size
) -> tuple[Pair, Pair, Pair, Pair]:
    kernel = pair_of(kernel_size, f"{name}: kernel_size", 1)
    stride = pair_of(kernel if stride is None or stride == () else stride, f"{name}: stride", 1)
    padding = pair_of(padding, f"{name}: padding", 0)
    dilation = pair_of(dilation, f"{name}: dilation", 1)
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise ShapeError(
            f"{name}: padding {padding} is more than half of the kernel {kernel}: some windows "
            "would see nothing but padding."
        )
    if input._array.ndim != 4:
        raise ShapeError(f"{name}: expected images (N, C, H, W), got {input._array.shape}.")
    _check_windows(name, input._array.shape, kernel, padding, dilation)
    if max(dilation) > 1:
        _check_dilated(name, input._array.shape, kernel, stride, padding, dilation)
    return kernel, stride, padding, dilation


def _check_dilated(
    name: str, shape: tuple, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
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
    input: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, extra: Pair
) -> tuple[Array, Array]:
    """y = the largest element of each window, the first one if several; aux: where it was"""
    low = -math.inf if input.dtype.kind == "f" else xp(input).iinfo(input.dtype).min
    border = ((0, 0), (0, 0), *((p, p + e) for p, e in zip(padding, extra, strict=True)))
    x = xp(input).pad(input, border, "constant", constant_values=low)
    w = windows(x, kernel, stride, dilation)
    best = w[..., 0, 0].copy()
    where = xp(input).zeros(best.shape, "int32")  # number of the winner inside its window
    # nan wins, and padding loses even against -inf: both are rare, and cost two more passes
    careful = input.size > 0 and not bool(xp(input).isfinite(input.sum()))
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
            where[better] = k * kernel[1] + j
    return best, _flat_positions(where, input.shape, kernel, stride, padding, dilation)


def _inside(input: Array, border: tuple) -> Array:
    """True for pixels, False for the border: (1, 1, padded H, padded W)."""
    pixels = xp(input).ones((1, 1, *input.shape[2:]), bool)
    return xp(input).pad(pixels, border, "constant", constant_values=False)


def _flat_positions(
    where: Array, shape: tuple, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
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
    n, c, h, w = shape
    planes = xp(input).arange(n * c).reshape(n, c, 1, 1) * (h * w)
    flat = xp(input).bincount(
        (planes + positions).ravel(), weights=input.ravel(), minlength=n * c * h * w
    )
    return flat.astype(input.dtype).reshape(shape)


@op(result="mixed")
def _pick_pixels(input: Array, positions: Array) -> Array:
    """y[n,c,i,j] = pixel positions[n,c,i,j] of plane input[n,c]"""
    n, c, h, w = input.shape
    flat = positions.reshape(n, c, -1)
    picked = xp(input).take_along_axis(input.reshape(n, c, h * w), flat, 2)
    return picked.reshape(positions.shape)


_spread_pixels.vjp(input=lambda g, positions: _pick_pixels(g, positions))
_pick_pixels.vjp(input=lambda g, positions, input_shape: _spread_pixels(g, positions, input_shape))


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
    need_tensors("max_pool2d", input=input)
    if input._array.ndim == 3:
        out = max_pool2d(
            input.unsqueeze(0), kernel_size, stride, padding, dilation, ceil_mode, return_indices
        )
        return tuple(o.squeeze(0) for o in out) if return_indices else out.squeeze(0)
    kernel, stride, padding, dilation = _geometry(
        "max_pool2d", input, kernel_size, stride, padding, dilation
    )
    extra = (0, 0)
    if ceil_mode:
        sizes = zip(input._array.shape[2:], kernel, stride, padding, dilation, strict=True)
        extra = tuple(_ceil_extra(*s) for s in sizes)
    if not return_indices:
        return _max_pool2d(input, kernel, stride, padding, dilation, extra)
    forward = _max_pool2d.op.forward
    positions = wrap(forward(input._array, kernel, stride, padding, dilation, extra)[1])
    return _pick_pixels(input, positions), positions


# --------------------------------------------------------------------------------------- averages


@op
def _sum_pool2d(input: Array, kernel: Pair, stride: Pair) -> Array:
    """y = the sum of each window"""
    return windows(input, kernel, stride, (1, 1)).sum((4, 5))


@op
def _spread_windows(input: Array, kernel: Pair, stride: Pair, size: Pair) -> Array:
    """y = each element added to all pixels of its window: the derivative of _sum_pool2d"""
    n, c, oh, ow = input.shape
    out = xp(input).zeros((n, c, *size), input.dtype)
    for k in range(kernel[0]):
        for j in range(kernel[1]):
            rows = slice(k, k + stride[0] * (oh - 1) + 1, stride[0])
            cols = slice(j, j + stride[1] * (ow - 1) + 1, stride[1])
            out[:, :, rows, cols] += input
    return out


_sum_pool2d.vjp(
    input=lambda g, input_shape, kernel, stride: _spread_windows(g, kernel, stride, input_shape[2:])
)
_spread_windows.vjp(input=lambda g, kernel, stride: _sum_pool2d(g, kernel, stride))


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
    if input._array.ndim == 3:
        return avg_pool2d(input.unsqueeze(0), *options).squeeze(0)
    kernel, stride, padding, _ = _geometry(
        "avg_pool2d", input, kernel_size, stride, padding, (1, 1)
    )
    if divisor_override == 0:
        raise ValueError("avg_pool2d: divisor_override must not be 0.")
    extra = (0, 0)
    if ceil_mode:
        sizes = zip(input._array.shape[2:], kernel, stride, padding, (1, 1), strict=True)
        extra = tuple(_ceil_extra(*s) for s in sizes)
    left, right = (padding[1], padding[1] + extra[1]), (padding[0], padding[0] + extra[0])
    x = _pad(input, (*left, *right)) if any((*left, *right)) else input
    total = _sum_pool2d(x, kernel, stride)
    if divisor_override is not None:
        return total / float(divisor_override)
    if (count_include_pad or padding == (0, 0)) and extra == (0, 0):
        return total / float(kernel[0] * kernel[1])
    counted = xp(input._array).ones((1, 1, *input._array.shape[2:]), input._array.dtype)
    counted = padded(counted, padding, 1.0 if count_include_pad else 0.0)
    counted = xp(counted).pad(counted, ((0, 0), (0, 0), (0, extra[0]), (0, extra[1])))
    return total / wrap(windows(counted, kernel, stride, (1, 1)).sum((4, 5)))


def adaptive_avg_pool2d(input: Tensor, output_size: Size | tuple[int | None, ...]) -> Tensor:
    """y = means over a grid of output_size windows, [floor(i H / OH), ceil((i + 1) H / OH)).

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_avg_pool2d.html
    """
    h, w = input._array.shape[-2:]
    wanted = (output_size,) * 2 if isinstance(output_size, int) else tuple(output_size)
    oh, ow = (have if n is None else n for n, have in zip(wanted, (h, w), strict=True))
    if (oh, ow) == (1, 1):
        return input.mean((-2, -1), True)
    rows = cat([input.narrow(-2, a, n).mean(-2, True) for a, n in _cuts(h, oh)], -2)
    return cat([rows.narrow(-1, a, n).mean(-1, True) for a, n in _cuts(w, ow)], -1)


def _cuts(size: int, out: int) -> list[tuple[int, int]]:
    """(start, length) of window i: from floor(i size / out) to ceil((i + 1) size / out)."""
    ends = [(i * size // out, -(-(i + 1) * size // out)) for i in range(out)]
    return [(begin, end - begin) for begin, end in ends]
