"""Convolution: one trilinear form, seen from three sides.

    <g, conv2d(x, w)>  =  <x, conv2d_input(w, g)>  =  <w, conv2d_weight(x, g)>

Each of the three is linear in both its arguments, so the derivative of each is the other two, and
derivatives of every order follow. Each is one matrix product on columns (im2col): the windows of
the image laid out as rows.
"""

from __future__ import annotations

from ..device import Array, xp
from ..errors import ShapeError
from ..makers import op
from ..promotion import need_tensors
from ..tape import Tensor
from .linalg import check_same_type
from .shape import pad

__all__ = [
    "conv2d",
]


Pair = tuple[int, int]
Size = int | Pair


def pair_of(value: Size, name: str, least: int) -> Pair:
    """(height, width) from an int or a pair; raises if either is below `least`."""
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) == 1:
        pair = pair * 2
    if len(pair) != 2 or not all(isinstance(n, int) and n >= least for n in pair):
        raise ShapeError(f"{name} must be an int or two ints of at least {least}, got {value!r}.")
    return pair


def out_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """How many windows fit: floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def windows(x: Array, kernel: Pair, stride: Pair, dilation: Pair) -> Array:
    """All windows of images (N, C, H, W), without a copy: (N, C, OH, OW, KH, KW)."""
    n, c, h, w = x.shape
    sn, sc, sh, sw = x.strides
    oh = out_size(h, kernel[0], stride[0], 0, dilation[0])
    ow = out_size(w, kernel[1], stride[1], 0, dilation[1])
    return xp(x).lib.stride_tricks.as_strided(
        x,
        (n, c, oh, ow, *kernel),
        (sn, sc, sh * stride[0], sw * stride[1], sh * dilation[0], sw * dilation[1]),
    )


def padded(x: Array, padding: Pair, value: float = 0.0) -> Array:
    """Images (N, C, H, W) with a border."""
    if padding == (0, 0):
        return x
    border = ((0, 0), (0, 0), (padding[0], padding[0]), (padding[1], padding[1]))
    return xp(x).pad(x, border, "constant", constant_values=value)


def _columns(x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int):
    """im2col: (groups, N * OH * OW, KH * KW * C / groups).

    Channels come last, so that what is copied lies in long runs.
    """
    n, c, _, _ = x.shape
    x = xp(x).ascontiguousarray(padded(x, padding).transpose(0, 2, 3, 1))  # (N, H, W, C)
    w = windows(x.transpose(0, 3, 1, 2), kernel, stride, dilation)  # (N, C, OH, OW, KH, KW)
    oh, ow = w.shape[2:4]
    w = w.transpose(0, 2, 3, 4, 5, 1)  # (N, OH, OW, KH, KW, C)
    rows, size = n * oh * ow, kernel[0] * kernel[1]
    if groups == 1:
        return w.reshape(1, rows, size * c)
    w = w.reshape(rows, size, groups, c // groups).transpose(2, 0, 1, 3)
    return w.reshape(groups, rows, size * (c // groups))


def _filters(weight: Array, groups: int) -> Array:
    """(O, C / groups, KH, KW) -> (groups, KH * KW * C / groups, O / groups)"""
    o, per_group, kh, kw = weight.shape
    split = weight.reshape(groups, o // groups, per_group, kh, kw).transpose(0, 3, 4, 2, 1)
    return split.reshape(groups, kh * kw * per_group, o // groups)


def _rows(g: Array, groups: int) -> Array:
    """(N, O, OH, OW) -> (groups, N * OH * OW, O / groups)"""
    n, o, oh, ow = g.shape
    rows = g.transpose(0, 2, 3, 1).reshape(n * oh * ow, groups, o // groups)
    return xp(g).ascontiguousarray(rows.transpose(1, 0, 2))


def _images(rows: Array, n: int, size: Pair) -> Array:
    """(groups, N * OH * OW, O / groups) -> (N, O, OH, OW): the inverse of _rows."""
    groups, _, per_group = rows.shape
    out = rows.reshape(groups, n, *size, per_group).transpose(1, 0, 4, 2, 3)
    return xp(rows).ascontiguousarray(out).reshape(n, groups * per_group, *size)


@op
def _conv2d(
    input: Array, weight: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    """y[n,o,i,j] = sum_{c,k,l} input[n, c, i s + k d - p, j s + l d - p] * weight[o,c,k,l]"""
    n, _, h, w = input.shape
    kernel = weight.shape[2:]
    oh = out_size(h, kernel[0], stride[0], padding[0], dilation[0])
    ow = out_size(w, kernel[1], stride[1], padding[1], dilation[1])
    columns = _columns(input, kernel, stride, padding, dilation, groups)
    return _images(columns @ _filters(weight, groups), n, (oh, ow))


@op
def _conv2d_input(
    weight: Array,
    grad_output: Array,
    size: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Array:
    """x[n,c] = the sum of weight * grad_output over every window x[n,c,h,w] is in (col2im)"""
    n, _, oh, ow = grad_output.shape
    _, per_group, kh, kw = weight.shape
    columns = _rows(grad_output, groups) @ _filters(weight, groups).swapaxes(1, 2)
    columns = columns.reshape(groups, n, oh, ow, kh, kw, per_group)
    h, w = size[0] + 2 * padding[0], size[1] + 2 * padding[1]
    out = xp(weight).zeros((groups, n, h, w, per_group), weight.dtype)
    for k in range(kh):
        for j in range(kw):
            rows = slice(k * dilation[0], k * dilation[0] + stride[0] * (oh - 1) + 1, stride[0])
            cols = slice(j * dilation[1], j * dilation[1] + stride[1] * (ow - 1) + 1, stride[1])
            out[:, :, rows, cols] += columns[:, :, :, :, k, j]
    inner = out[:, :, padding[0] : h - padding[0], padding[1] : w - padding[1]]
    return _images(inner.reshape(groups, -1, per_group), n, size)


@op
def _conv2d_weight(
    input: Array,
    grad_output: Array,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Array:
    """w[o,c,k,l] = sum over n, i, j of grad_output[n,o,i,j] * the input element under it"""
    columns = _columns(input, kernel, stride, padding, dilation, groups)
    out = columns.swapaxes(1, 2) @ _rows(grad_output, groups)  # (groups, KH * KW * C, O)
    o, per_group = grad_output.shape[1], input.shape[1] // groups
    out = out.reshape(groups, *kernel, per_group, o // groups).transpose(0, 4, 3, 1, 2)
    return out.reshape(o, per_group, *kernel)


_conv2d.vjp(
    input=lambda g, weight, input_shape, stride, padding, dilation, groups: _conv2d_input(
        weight, g, input_shape[2:], stride, padding, dilation, groups
    ),
    weight=lambda g, input, weight_shape, stride, padding, dilation, groups: _conv2d_weight(
        input, g, weight_shape[2:], stride, padding, dilation, groups
    ),
)
_conv2d_input.vjp(
    weight=lambda g, grad_output, weight_shape, stride, padding, dilation, groups: _conv2d_weight(
        g, grad_output, weight_shape[2:], stride, padding, dilation, groups
    ),
    grad_output=lambda g, weight, stride, padding, dilation, groups: _conv2d(
        g, weight, stride, padding, dilation, groups
    ),
)
_conv2d_weight.vjp(
    input=lambda g, grad_output, input_shape, stride, padding, dilation, groups: _conv2d_input(
        g, grad_output, input_shape[2:], stride, padding, dilation, groups
    ),
    grad_output=lambda g, input, stride, padding, dilation, groups: _conv2d(
        input, g, stride, padding, dilation, groups
    ),
)


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
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv2d.html
    """
    need_tensors("conv2d", input=input, weight=weight)
    if input._array.ndim == 3:
        return conv2d(input.unsqueeze(0), weight, bias, stride, padding, dilation, groups)[0]
    stride = pair_of(stride, "conv2d: stride", 1)
    dilation = pair_of(dilation, "conv2d: dilation", 1)
    check_same_type("conv2d", input=input._array, weight=weight._array, bias=_array(bias))
    _check_channels(input._array.shape, weight._array.shape, groups)
    if isinstance(padding, str):
        input, padding = _named_padding(input, weight, padding, stride, dilation)
    padding = pair_of(padding, "conv2d: padding", 0)
    _check_windows("conv2d", input._array.shape, weight._array.shape[2:], padding, dilation)
    out = _conv2d(input, weight, stride, padding, dilation, groups)
    if bias is None:
        return out
    if bias._array.shape != weight._array.shape[:1]:
        raise ShapeError(
            f"conv2d: bias has shape {bias._array.shape}, expected {weight._array.shape[:1]}."
        )
    return out + bias.reshape((-1, 1, 1))


def _array(t: Tensor | None) -> Array | None:
    return None if t is None else t._array


def _check_channels(input: tuple, weight: tuple, groups: int) -> None:
    shapes = f"(input {input}, weight {weight}, groups {groups})"
    if len(input) != 4 or len(weight) != 4:
        raise ShapeError(f"conv2d: expected an image batch (N, C, H, W) and a 4-d weight {shapes}.")
    if groups < 1 or weight[0] % groups or input[1] % groups:
        raise ShapeError(f"conv2d: channels and filters must be divisible by groups {shapes}.")
    if input[1] != weight[1] * groups:
        raise ShapeError(
            f"conv2d: weight expects {weight[1] * groups} input channels, input has {input[1]} "
            f"{shapes}."
        )


def _check_windows(name: str, shape: tuple, kernel: tuple, padding: Pair, dilation: Pair) -> None:
    for axis in (0, 1):
        have = shape[2 + axis] + 2 * padding[axis]
        need = dilation[axis] * (kernel[axis] - 1) + 1
        if have < need:
            raise ShapeError(
                f"{name}: the window ({need}) is larger than the padded input ({have}) in "
                f"dimension {2 + axis} (input {shape}, kernel {tuple(kernel)})."
            )


def _named_padding(
    input: Tensor, weight: Tensor, padding: str, stride: Pair, dilation: Pair
) -> tuple[Tensor, Pair]:
    """ "same" may need one row more at the end than at the beginning, which is padded here."""
    if padding == "valid":
        return input, (0, 0)
    if padding != "same" or stride != (1, 1):
        raise ShapeError(
            f"conv2d: padding is a size, 'valid' or 'same' (stride 1 only), got {padding!r} with "
            f"stride {stride}."
        )
    total = [d * (k - 1) for d, k in zip(dilation, weight._array.shape[2:], strict=True)]
    extra_h, extra_w = (n % 2 for n in total)
    if extra_h or extra_w:
        input = pad(input, (0, extra_w, 0, extra_h))
    return input, (total[0] // 2, total[1] // 2)
