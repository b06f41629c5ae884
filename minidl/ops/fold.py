"""Patches of images: unfold lays them out as columns, fold adds them up again.

    <g, unfold(x)>  =  <fold(g), x>

Each is the derivative of the other.
"""

from __future__ import annotations

import math
from itertools import product

from ..device import Array, xp
from ..errors import ShapeError
from ..makers import op
from ..promotion import need_tensors
from ..tape import Tensor
from .conv import Size, Sizes, check_windows, out_sizes, sizes_of, strided, windows
from .shape import crop, pad_pairs

__all__ = ["fold"]  # unfold is in nn.functional: the method of that name is another function


@op
def _patches(input: Array, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Array:
    """y[n, c, k, l, i, j] = x[n, c, i s + k d, j s + l d]: (N, C, KH, KW, OH, OW)"""
    dims = len(kernel)
    w = windows(input, kernel, stride, dilation)
    return w.transpose(0, 1, *range(2 + dims, 2 + 2 * dims), *range(2, 2 + dims)).copy()


@op
def _add_patches(input: Array, size: Sizes, stride: Sizes, dilation: Sizes) -> Array:
    """(N, C, KH, KW, OH, OW) -> (N, C, *size), each element added where it came from"""
    dims = len(size)
    kernel, out = input.shape[2 : 2 + dims], input.shape[2 + dims :]
    x = xp(input).zeros((*input.shape[:2], *size), input.dtype)
    for place in product(*map(range, kernel)):
        begins = [k * d for k, d in zip(place, dilation, strict=True)]
        x[(..., *strided(begins, out, stride))] += input[(slice(None), slice(None), *place)]
    return x


_patches.vjp(
    input=lambda g, input_shape, stride, dilation: _add_patches(
        g, input_shape[2:], stride, dilation
    )
)
_add_patches.vjp(
    input=lambda g, input_shape, size, stride, dilation: _patches(
        g, input_shape[2 : 2 + len(size)], stride, dilation
    )
)


def _geometry(name: str, *sizes: Size) -> list[Sizes]:
    """kernel, dilation, padding, stride as pairs."""
    names = ("kernel_size", "dilation", "padding", "stride")
    each = zip(sizes, names, (1, 1, 0, 1), strict=True)
    return [sizes_of(size, 2, f"{name}: {key}", least) for size, key, least in each]


def unfold(
    input: Tensor, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
) -> Tensor:
    """y = the patches of images as columns: (N, C, H, W) -> (N, C KH KW, OH OW), im2col.

    Or (C, H, W) -> (C KH KW, OH OW). (`Tensor.unfold` is another function.)
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.unfold.html
    """
    need_tensors("unfold", input=input)
    kernel, dilation, padding, stride = _geometry("unfold", kernel_size, dilation, padding, stride)
    if input._array.ndim == 3:
        return unfold(input.unsqueeze(0), kernel, dilation, padding, stride).squeeze(0)
    if input._array.ndim != 4:
        raise ShapeError(f"unfold: expected images (N, C, H, W), got {input._array.shape}.")
    check_windows("unfold", input._array.shape, kernel, padding, dilation)
    if any(padding):
        input = pad_pairs(input, ((0, 0), (0, 0), *[(p, p) for p in padding]))
    patches = _patches(input, kernel, stride, dilation)
    n, c, *rest = patches._array.shape
    return patches.reshape((n, c * math.prod(kernel), math.prod(rest[2:])))


def fold(
    input: Tensor,
    output_size: Size,
    kernel_size: Size,
    dilation: Size = 1,
    padding: Size = 0,
    stride: Size = 1,
) -> Tensor:
    """y = columns added up to images: (N, C KH KW, L) -> (N, C, *output_size), col2im.

    L is the number of patches that unfold finds in such an image.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.fold.html
    """
    need_tensors("fold", input=input)
    kernel, dilation, padding, stride = _geometry("fold", kernel_size, dilation, padding, stride)
    size = sizes_of(output_size, 2, "fold: output_size", 1)
    if input._array.ndim == 2:
        return fold(input.unsqueeze(0), size, kernel, dilation, padding, stride).squeeze(0)
    shape = input._array.shape
    out = out_sizes(size, kernel, stride, padding, dilation)
    if len(shape) != 3 or shape[1] % math.prod(kernel) or shape[2] != math.prod(out):
        raise ShapeError(
            f"fold: expected columns (N, C * {math.prod(kernel)}, {math.prod(out)}) from images of "
            f"size {size}, got {shape}."
        )
    channels = shape[1] // math.prod(kernel)
    large = tuple(n + 2 * p for n, p in zip(size, padding, strict=True))
    patches = input.reshape((shape[0], channels, *kernel, *out))
    image = _add_patches(patches, large, stride, dilation)
    return crop(image, (0, 0, *padding), (shape[0], channels, *size))
