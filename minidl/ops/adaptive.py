"""Pooling to a given size, with powers, and back: adaptive_*, lp_pool*, max_unpool*."""

from __future__ import annotations

import math
from itertools import product

from ..device import Array, xp
from ..errors import ShapeError
from ..promotion import need_tensors
from ..tape import Tensor, wrap
from .conv import IMAGES, Size, Sizes, sizes_of
from .elementwise import abs, relu, sign
from .pool import _pick_pixels, avg_pool1d, avg_pool2d, avg_pool3d
from .reduce import _need_float
from .scatter_reduce import scatter
from .shape import cat, narrow, reshape

__all__ = """
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
    lp_pool1d lp_pool2d lp_pool3d max_unpool1d max_unpool2d max_unpool3d
""".split()

Wanted = int | tuple[int | None, ...]


def _cuts(size: int, out: int) -> list[tuple[int, int]]:
    """(start, length) of window i: from floor(i size / out) to ceil((i + 1) size / out)."""
    ends = [(i * size // out, -(-(i + 1) * size // out)) for i in range(out)]
    return [(begin, end - begin) for begin, end in ends]


def _wanted(name: str, dims: int, input: Tensor, output_size: Wanted) -> Sizes:
    """output_size with None replaced by what is there."""
    need_tensors(name, input=input)
    shape = input._array.shape
    if len(shape) not in (dims + 1, dims + 2):
        raise ShapeError(f"{name}: expected images {IMAGES[dims]}, got {shape}.")
    sizes = (output_size,) * dims if isinstance(output_size, int) else tuple(output_size)
    sizes = sizes * dims if len(sizes) == 1 else sizes
    if len(sizes) != dims or any(n is not None and n < 0 for n in sizes):
        raise ShapeError(f"{name}: output_size must be {dims} sizes, got {output_size}.")
    if 0 in shape[len(shape) - dims - 1 :]:
        raise ShapeError(f"{name}: there is nothing to pool in {shape}.")
    return tuple(have if n is None else n for n, have in zip(sizes, shape[-dims:], strict=True))


def _adaptive_avg(name: str, dims: int, input: Tensor, output_size: Wanted) -> Tensor:
    wanted = _wanted(name, dims, input, output_size)
    each = list(zip(wanted, input._array.shape[-dims:], strict=True))
    if dims == 2 and all(n and size % n == 0 for n, size in each):
        _need_float(input._array, name)
        return avg_pool2d(input, tuple(size // n for n, size in each))
    if set(wanted) == {1}:
        return input.mean(tuple(range(-dims, 0)), True)
    for dim, out in enumerate(wanted, -dims):
        size = input._array.shape[dim]
        if out and size % out == 0:
            input = _in_blocks(input, dim, out).mean(dim)
        elif out:
            parts = [narrow(input, dim, a, n).mean(dim, True) for a, n in _cuts(size, out)]
            input = cat(parts, dim)
        else:
            input = narrow(input, dim, 0, 0)
    return input


def _in_blocks(input: Tensor, dim: int, count: int) -> Tensor:
    """Dimension `dim` cut into `count` blocks of equal length, which is then at `dim`."""
    shape = input._array.shape
    axis = len(shape) + dim
    return reshape(input, (*shape[:axis], count, shape[axis] // count, *shape[axis + 1 :]))


def adaptive_avg_pool1d(input: Tensor, output_size: Wanted) -> Tensor:
    """y = means over output_size windows, [floor(i L / OL), ceil((i + 1) L / OL)).

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_avg_pool1d.html
    """
    return _adaptive_avg("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: Wanted) -> Tensor:
    """y = means over a grid of output_size windows, [floor(i H / OH), ceil((i + 1) H / OH)).

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_avg_pool2d.html
    """
    return _adaptive_avg("adaptive_avg_pool2d", 2, input, output_size)


def adaptive_avg_pool3d(input: Tensor, output_size: Wanted) -> Tensor:
    """y = means over a grid of output_size windows, cut as in adaptive_avg_pool2d.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_avg_pool3d.html
    """
    return _adaptive_avg("adaptive_avg_pool3d", 3, input, output_size)


def _adaptive_max(
    name: str, dims: int, input: Tensor, output_size: Wanted, return_indices: bool
) -> Tensor | tuple[Tensor, Tensor]:
    wanted = _wanted(name, dims, input, output_size)
    if input._array.ndim == dims + 1:
        out = _adaptive_max(name, dims, input.unsqueeze(0), wanted, True)
        values, positions = (o.squeeze(0) for o in out)
        return (values, positions) if return_indices else values
    positions = wrap(_largest(input._array, wanted))
    out = _pick_pixels(input, positions)
    return (out, positions) if return_indices else out


def _largest(x: Array, wanted: Sizes) -> Array:
    """Where the first largest element of each window is, as a flat position in its image."""
    m = xp(x)
    size = x.shape[2:]
    flat = m.arange(math.prod(size)).reshape(size)
    out = m.zeros((*x.shape[:2], *wanted), "int64")
    each = product(*[enumerate(_cuts(n, count)) for n, count in zip(size, wanted, strict=True)])
    for window in each:
        box = tuple(slice(start, start + length) for _, (start, length) in window)
        inside = x[(..., *box)]
        best = inside.reshape(*x.shape[:2], -1).argmax(-1)  # nan counts as the largest
        out[(..., *[i for i, _ in window])] = flat[box].reshape(-1)[best]
    return out


def adaptive_max_pool1d(
    input: Tensor, output_size: Wanted, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """y = the largest of each window; windows as in adaptive_avg_pool1d.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_max_pool1d.html
    """
    return _adaptive_max("adaptive_max_pool1d", 1, input, output_size, return_indices)


def adaptive_max_pool2d(
    input: Tensor, output_size: Wanted, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """y = the largest of each window; windows as in adaptive_avg_pool2d.

    return_indices: also where each winner was, as h * W + w.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_max_pool2d.html
    """
    return _adaptive_max("adaptive_max_pool2d", 2, input, output_size, return_indices)


def adaptive_max_pool3d(
    input: Tensor, output_size: Wanted, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """y = the largest of each window; windows as in adaptive_avg_pool2d.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_max_pool3d.html
    """
    return _adaptive_max("adaptive_max_pool3d", 3, input, output_size, return_indices)


def _lp_pool(pool, dims: int, input: Tensor, norm_type: float, kernel_size: Size, *rest) -> Tensor:
    stride, ceil_mode = rest
    count = math.prod(sizes_of(kernel_size, dims, f"lp_pool{dims}d: kernel_size", 1))
    mean = pool(input**norm_type, kernel_size, stride, 0, ceil_mode)
    return (sign(mean) * relu(abs(mean)) * float(count)) ** (1.0 / norm_type)


def lp_pool1d(
    input: Tensor,
    norm_type: float,
    kernel_size: Size,
    stride: Size | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """y = (sum of x^norm_type over each window)^(1 / norm_type).

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.lp_pool1d.html
    """
    return _lp_pool(avg_pool1d, 1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor,
    norm_type: float,
    kernel_size: Size,
    stride: Size | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """y = (sum of x^norm_type over each window)^(1 / norm_type).

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.lp_pool2d.html
    """
    return _lp_pool(avg_pool2d, 2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor,
    norm_type: float,
    kernel_size: Size,
    stride: Size | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """y = (sum of x^norm_type over each window)^(1 / norm_type).

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.lp_pool3d.html
    """
    return _lp_pool(avg_pool3d, 3, input, norm_type, kernel_size, stride, ceil_mode)


def _max_unpool(
    name: str,
    dims: int,
    input: Tensor,
    indices: Tensor,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    output_size: tuple[int, ...] | None,
) -> Tensor:
    need_tensors(name, input=input, indices=indices)
    shape = input._array.shape
    if shape != indices._array.shape or len(shape) not in (dims + 1, dims + 2):
        raise ShapeError(
            f"{name}: expected images {IMAGES[dims]} and indices of the same shape, got {shape} "
            f"and {indices._array.shape}."
        )
    kernel = sizes_of(kernel_size, dims, f"{name}: kernel_size", 1)
    stride = sizes_of(stride if stride else kernel, dims, f"{name}: stride", 1)
    padding = sizes_of(padding, dims, f"{name}: padding", 0)
    each = list(zip(shape[-dims:], kernel, stride, padding, strict=True))
    size = tuple((n - 1) * s - 2 * p + k for n, k, s, p in each)
    if output_size is not None:
        given = tuple(output_size)[-dims:]
        near = zip(given, size, stride, strict=True)
        if len(given) != dims or not all(n - s < g < n + s for g, n, s in near):
            raise ShapeError(f"{name}: output_size {given} is not within a stride of {size}.")
        size = given
    lead, pixels = shape[:-dims], math.prod(size)
    rows = (*lead, math.prod(shape[-dims:]))
    empty = wrap(xp(input._array).zeros((*lead, pixels), input._array.dtype))
    return scatter(empty, -1, indices.reshape(rows), input.reshape(rows)).reshape((*lead, *size))


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: tuple[int, ...] | None = None,
) -> Tensor:
    """y = zeros, with each element of input where max_pool1d found it (its `indices`).

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.max_unpool1d.html
    """
    options = (kernel_size, stride, padding, output_size)
    return _max_unpool("max_unpool1d", 1, input, indices, *options)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: tuple[int, ...] | None = None,
) -> Tensor:
    """y = zeros, with each element of input where max_pool2d found it (its `indices`).

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.max_unpool2d.html
    """
    options = (kernel_size, stride, padding, output_size)
    return _max_unpool("max_unpool2d", 2, input, indices, *options)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: tuple[int, ...] | None = None,
) -> Tensor:
    """y = zeros, with each element of input where max_pool3d found it (its `indices`).

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.max_unpool3d.html
    """
    options = (kernel_size, stride, padding, output_size)
    return _max_unpool("max_unpool3d", 3, input, indices, *options)
