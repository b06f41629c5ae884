"""Convolution: one trilinear form, seen from three sides.

    <g, convolution(x, w)>  =  <x, convolution_input(w, g)>  =  <w, convolution_weight(x, g)>

Each of the three is linear in both its arguments, so the derivative of each is the other two, and
derivatives of every order follow. Each is one matrix product on columns (im2col): the windows of
the image laid out as rows. Nothing here counts dimensions: (N, C, L), (N, C, H, W) and
(N, C, D, H, W) are one. A transposed convolution is the second of the three.
"""

from __future__ import annotations

import math
from itertools import product

from ..device import Array, xp
from ..errors import ShapeError
from ..makers import op
from ..promotion import need_tensors
from ..tape import Tensor
from .linalg import check_same_type
from .shape import crop, pad_pairs

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
]


Sizes = tuple[int, ...]
Size = int | Sizes


def sizes_of(value: Size, count: int, name: str, least: int) -> Sizes:
    """`count` ints from one int or a sequence; raises if one is below `least`."""
    sizes = (value,) * count if isinstance(value, int) else tuple(value)
    if len(sizes) == 1:
        sizes = sizes * count
    if len(sizes) != count or not all(isinstance(n, int) and n >= least for n in sizes):
        several = {1: "one int", 2: "two ints", 3: "three ints"}[count]
        raise ShapeError(f"{name} must be an int or {several} of at least {least}, got {value!r}.")
    return sizes


def out_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """How many windows fit: floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def out_sizes(size: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> Sizes:
    """`out_size` for each dimension."""
    return tuple(map(out_size, size, kernel, stride, padding, dilation))


def windows(x: Array, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Array:
    """All windows of images (N, C, H, W), without a copy: (N, C, OH, OW, KH, KW)."""
    none = (0,) * len(kernel)
    steps = x.strides[2:]
    return xp(x).lib.stride_tricks.as_strided(
        x,
        (*x.shape[:2], *out_sizes(x.shape[2:], kernel, stride, none, dilation), *kernel),
        (
            *x.strides[:2],
            *[n * s for n, s in zip(steps, stride, strict=True)],
            *[n * d for n, d in zip(steps, dilation, strict=True)],
        ),
    )


def padded(x: Array, padding: Sizes, value: float = 0.0) -> Array:
    """Images (N, C, H, W) with a border."""
    if not any(padding):
        return x
    border = ((0, 0), (0, 0), *[(p, p) for p in padding])
    return xp(x).pad(x, border, "constant", constant_values=value)


def channels_last(x: Array) -> Array:
    """(N, C, H, W) -> (N, H, W, C)"""
    return x.transpose(0, *range(2, x.ndim), 1)


def _columns(
    x: Array, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Array:
    """im2col: (groups, N * OH * OW, KH * KW * C / groups).

    Channels come last, so that what is copied lies in long runs.
    """
    c = x.shape[1]
    x = xp(x).ascontiguousarray(channels_last(padded(x, padding)))  # (N, H, W, C)
    x = x.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))
    w = channels_last(windows(x, kernel, stride, dilation))  # (N, OH, OW, KH, KW, C)
    rows, size = math.prod(w.shape[: 1 + len(kernel)]), math.prod(kernel)
    if groups == 1:
        return w.reshape(1, rows, size * c)
    w = w.reshape(rows, size, groups, c // groups).transpose(2, 0, 1, 3)
    return w.reshape(groups, rows, size * (c // groups))


def _filters(weight: Array, groups: int) -> Array:
    """(O, C / groups, KH, KW) -> (groups, KH * KW * C / groups, O / groups)"""
    o, per_group, *kernel = weight.shape
    split = weight.reshape(groups, o // groups, per_group, *kernel)
    split = split.transpose(0, *range(3, split.ndim), 2, 1)
    return split.reshape(groups, math.prod(kernel) * per_group, o // groups)


def _rows(g: Array, groups: int) -> Array:
    """(N, O, OH, OW) -> (groups, N * OH * OW, O / groups)"""
    n, o, *size = g.shape
    rows = channels_last(g).reshape(n * math.prod(size), groups, o // groups)
    return xp(g).ascontiguousarray(rows.transpose(1, 0, 2))


def _images(rows: Array, n: int, size: Sizes) -> Array:
    """(groups, N * OH * OW, O / groups) -> (N, O, OH, OW): the inverse of _rows."""
    groups, _, per_group = rows.shape
    out = rows.reshape(groups, n, *size, per_group)
    out = out.transpose(1, 0, out.ndim - 1, *range(2, out.ndim - 1))
    return xp(rows).ascontiguousarray(out).reshape(n, groups * per_group, *size)


@op
def _convolution(
    input: Array, weight: Array, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Array:
    """y[n,o,i,j] = sum_{c,k,l} input[n, c, i s + k d - p, j s + l d - p] * weight[o,c,k,l]"""
    kernel = weight.shape[2:]
    size = out_sizes(input.shape[2:], kernel, stride, padding, dilation)
    columns = _columns(input, kernel, stride, padding, dilation, groups)
    return _images(columns @ _filters(weight, groups), input.shape[0], size)


@op
def _convolution_input(
    weight: Array,
    grad_output: Array,
    size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> Array:
    """x[n,c] = the sum of weight * grad_output over every window x[n,c,h,w] is in (col2im)"""
    n, _, *out = grad_output.shape
    _, per_group, *kernel = weight.shape
    columns = _rows(grad_output, groups) @ _filters(weight, groups).swapaxes(1, 2)
    columns = columns.reshape(groups, n, *out, *kernel, per_group)
    large = [have + 2 * p for have, p in zip(size, padding, strict=True)]
    x = xp(weight).zeros((groups, n, *large, per_group), weight.dtype)
    for place in product(*map(range, kernel)):
        begins = [k * d for k, d in zip(place, dilation, strict=True)]
        x[(slice(None), slice(None), *strided(begins, out, stride))] += columns[
            (..., *place, slice(None))
        ]
    inner = [slice(p, have - p) for p, have in zip(padding, large, strict=True)]
    x = x[(slice(None), slice(None), *inner)]
    return _images(x.reshape(groups, n * math.prod(size), per_group), n, size)


def strided(begins: list[int], counts: Sizes, stride: Sizes) -> tuple[slice, ...]:
    """Per dimension the slice of `count` places from `begin` on, `stride` apart."""
    each = zip(begins, counts, stride, strict=True)
    return tuple([slice(b, b + s * (n - 1) + 1, s) for b, n, s in each])


@op
def _convolution_weight(
    input: Array,
    grad_output: Array,
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> Array:
    """w[o,c,k,l] = sum over n, i, j of grad_output[n,o,i,j] * the input element under it"""
    columns = _columns(input, kernel, stride, padding, dilation, groups)
    out = columns.swapaxes(1, 2) @ _rows(grad_output, groups)  # (groups, KH * KW * C, O)
    o, per_group = grad_output.shape[1], input.shape[1] // groups
    out = out.reshape(groups, *kernel, per_group, o // groups)
    out = out.transpose(0, out.ndim - 1, out.ndim - 2, *range(1, out.ndim - 2))
    return out.reshape(o, per_group, *kernel)


_convolution.vjp(
    input=lambda g, weight, input_shape, stride, padding, dilation, groups: _convolution_input(
        weight, g, input_shape[2:], stride, padding, dilation, groups
    ),
    weight=lambda g, input, weight_shape, stride, padding, dilation, groups: _convolution_weight(
        input, g, weight_shape[2:], stride, padding, dilation, groups
    ),
)
_convolution_input.vjp(
    weight=lambda g, grad_output, weight_shape, stride, padding, dilation, groups: (
        _convolution_weight(g, grad_output, weight_shape[2:], stride, padding, dilation, groups)
    ),
    grad_output=lambda g, weight, stride, padding, dilation, groups: _convolution(
        g, weight, stride, padding, dilation, groups
    ),
)
_convolution_weight.vjp(
    input=lambda g, grad_output, input_shape, stride, padding, dilation, groups: _convolution_input(
        g, grad_output, input_shape[2:], stride, padding, dilation, groups
    ),
    grad_output=lambda g, input, stride, padding, dilation, groups: _convolution(
        input, g, stride, padding, dilation, groups
    ),
)


def _conv(
    name: str,
    dims: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Size,
    padding: Size | str,
    dilation: Size,
    groups: int,
) -> Tensor:
    need_tensors(name, input=input, weight=weight)
    if input._array.ndim == dims + 1:
        batch = input.unsqueeze(0)
        return _conv(name, dims, batch, weight, bias, stride, padding, dilation, groups).squeeze(0)
    stride = sizes_of(stride, dims, f"{name}: stride", 1)
    dilation = sizes_of(dilation, dims, f"{name}: dilation", 1)
    shape, weights = input._array.shape, weight._array.shape
    check_same_type(name, input=input._array, weight=weight._array, bias=_array(bias))
    _check_channels(name, dims, shape, weights, groups)
    if shape[1] != weights[1] * groups:
        raise ShapeError(
            f"{name}: weight expects {weights[1] * groups} input channels, input has {shape[1]} "
            f"(input {shape}, weight {weights}, groups {groups})."
        )
    if isinstance(padding, str):
        input, padding = _named_padding(name, input, weight, padding, stride, dilation)
    padding = sizes_of(padding, dims, f"{name}: padding", 0)
    check_windows(name, input._array.shape, weights[2:], padding, dilation)
    out = _convolution(input, weight, stride, padding, dilation, groups)
    return _with_bias(name, out, bias, weights[0])


def _with_bias(name: str, out: Tensor, bias: Tensor | None, filters: int) -> Tensor:
    if bias is None:
        return out
    if bias._array.shape != (filters,):
        raise ShapeError(f"{name}: bias has shape {bias._array.shape}, expected {(filters,)}.")
    return out + bias.reshape((-1,) + (1,) * (out._array.ndim - 2))


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """y[n,o] = bias[o] + sum_c input[n,c] * weight[o,c] (cross-correlation).

    input (N, C, L) or (C, L), weight (O, C / groups, K), bias (O,) -> (N, O, OL)
    with OL = floor((L + 2 padding - dilation (K - 1) - 1) / stride) + 1.
    padding: sizes, "valid" (none) or "same" (keeps L; stride 1 only).
    groups: channels and filters are cut into so many independent convolutions.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv1d.html
    """
    return _conv("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """y[n,o] = bias[o] + sum_c input[n,c] * weight[o,c] (cross-correlation).

    input (N, C, H, W) or (C, H, W), weight (O, C / groups, KH, KW), bias (O,) -> (N, O, OH, OW)
    with OH = floor((H + 2 padding - dilation (KH - 1) - 1) / stride) + 1.
    padding: sizes, "valid" (none) or "same" (keeps H and W; stride 1 only).
    groups: channels and filters are cut into so many independent convolutions.
    In float32 on the CPU, 3 x 3 kernels with stride 1 may be computed in tiles of 4 x 4 outputs
    (Winograd): the error is about 1e-5 of the largest number that its tile sees, which is much for
    a small output beside huge ones; and an infinity or nan in a window makes nan of the whole
    tile, as does a number so large (1e37) that a sum of a few overflows.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv2d.html
    """
    return _conv("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """y[n,o] = bias[o] + sum_c input[n,c] * weight[o,c] (cross-correlation).

    input (N, C, D, H, W) or (C, D, H, W), weight (O, C / groups, KD, KH, KW), bias (O,) ->
    (N, O, OD, OH, OW)
    sizes as in conv2d.
    padding: sizes, "valid" (none) or "same" (keeps D, H and W; stride 1 only).
    groups: channels and filters are cut into so many independent convolutions.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv3d.html
    """
    return _conv("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


def _conv_transpose(
    name: str,
    dims: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Size,
    padding: Size,
    output_padding: Size,
    groups: int,
    dilation: Size,
) -> Tensor:
    need_tensors(name, input=input, weight=weight)
    if input._array.ndim == dims + 1:
        options = (stride, padding, output_padding, groups, dilation)
        return _conv_transpose(name, dims, input.unsqueeze(0), weight, bias, *options).squeeze(0)
    stride = sizes_of(stride, dims, f"{name}: stride", 1)
    padding = sizes_of(padding, dims, f"{name}: padding", 0)
    extra = sizes_of(output_padding, dims, f"{name}: output_padding", 0)
    dilation = sizes_of(dilation, dims, f"{name}: dilation", 1)
    shape, weights = input._array.shape, weight._array.shape
    check_same_type(name, input=input._array, weight=weight._array, bias=_array(bias))
    _check_channels(name, dims, shape, weights, groups)
    if shape[1] != weights[0]:
        raise ShapeError(
            f"{name}: weight expects {weights[0]} input channels, input has {shape[1]} "
            f"(input {shape}, weight {weights})."
        )
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise ShapeError(
            f"{name}: output_padding {extra} must be smaller than stride {stride} or dilation "
            f"{dilation}."
        )
    each = zip(shape[2:], weights[2:], stride, dilation, strict=True)
    full = [(n - 1) * s + d * (k - 1) + 1 for n, k, s, d in each]
    size = tuple(n - 2 * p + e for n, p, e in zip(full, padding, extra, strict=True))
    if min(size) < 1:
        raise ShapeError(f"{name}: padding {padding} leaves nothing of the output {tuple(full)}.")
    if all(e < s for e, s in zip(extra, stride, strict=True)):
        out = _convolution_input(weight, input, size, stride, padding, dilation, groups)
    else:  # more windows would fit than there are: lay them out first, then cut
        none = (0,) * dims
        out = _convolution_input(weight, input, tuple(full), stride, none, dilation, groups)
        out = pad_pairs(out, ((0, 0), (0, 0), *[(0, e) for e in extra]))
        out = crop(out, (0, 0, *padding), (*out._array.shape[:2], *size))
    return _with_bias(name, out, bias, weights[1] * groups)


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """y = what conv1d's derivative makes of `input`: each element spreads over its window.

    input (N, C, L) or (C, L), weight (C, O / groups, K), bias (O,) -> (N, O, OL)
    with OL = (L - 1) stride - 2 padding + dilation (K - 1) + output_padding + 1.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv_transpose1d.html
    """
    options = (stride, padding, output_padding, groups, dilation)
    return _conv_transpose("conv_transpose1d", 1, input, weight, bias, *options)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """y = what conv2d's derivative makes of `input`: each element spreads over its window.

    input (N, C, H, W) or (C, H, W), weight (C, O / groups, KH, KW), bias (O,) -> (N, O, OH, OW)
    with OH = (H - 1) stride - 2 padding + dilation (KH - 1) + output_padding + 1.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv_transpose2d.html
    """
    options = (stride, padding, output_padding, groups, dilation)
    return _conv_transpose("conv_transpose2d", 2, input, weight, bias, *options)


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """y = what conv3d's derivative makes of `input`: each element spreads over its window.

    input (N, C, D, H, W) or (C, D, H, W), weight (C, O / groups, KD, KH, KW), bias (O,) ->
    (N, O, OD, OH, OW)
    sizes as in conv_transpose2d.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv_transpose3d.html
    """
    options = (stride, padding, output_padding, groups, dilation)
    return _conv_transpose("conv_transpose3d", 3, input, weight, bias, *options)


def _array(t: Tensor | None) -> Array | None:
    return None if t is None else t._array


IMAGES = {1: "(N, C, L)", 2: "(N, C, H, W)", 3: "(N, C, D, H, W)"}


def _check_channels(name: str, dims: int, input: Sizes, weight: Sizes, groups: int) -> None:
    if len(input) != dims + 2 or len(weight) != dims + 2:
        raise ShapeError(
            f"{name}: expected a batch {IMAGES[dims]} and a {dims + 2}-d weight (input {input}, "
            f"weight {weight}, groups {groups})."
        )
    if groups < 1 or weight[0] % groups or input[1] % groups:
        raise ShapeError(
            f"{name}: channels and filters must be divisible by groups (input {input}, weight "
            f"{weight}, groups {groups})."
        )


def check_windows(name: str, shape: Sizes, kernel: Sizes, padding: Sizes, dilation: Sizes) -> None:
    """Raises ShapeError if not even one window fits."""
    for axis, (size, k, p, d) in enumerate(zip(shape[2:], kernel, padding, dilation, strict=True)):
        have, need = size + 2 * p, d * (k - 1) + 1
        if have < need:
            raise ShapeError(
                f"{name}: the window ({need}) is larger than the padded input ({have}) in "
                f"dimension {2 + axis} (input {shape}, kernel {tuple(kernel)})."
            )


def _named_padding(
    name: str, input: Tensor, weight: Tensor, padding: str, stride: Sizes, dilation: Sizes
) -> tuple[Tensor, Sizes]:
    """ "same" may need one row more at the end than at the beginning, which is padded here."""
    if padding == "valid":
        return input, (0,) * len(stride)
    if padding != "same" or max(stride) > 1:
        raise ShapeError(
            f"{name}: padding is a size, 'valid' or 'same' (stride 1 only), got {padding!r} with "
            f"stride {stride}."
        )
    total = [d * (k - 1) for d, k in zip(dilation, weight._array.shape[2:], strict=True)]
    if any(n % 2 for n in total):
        input = pad_pairs(input, ((0, 0), (0, 0), *[(0, n % 2) for n in total]))
    return input, tuple(n // 2 for n in total)
