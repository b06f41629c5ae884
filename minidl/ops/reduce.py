"""Ops that take many elements to one: sums, means, extremes.

`dim` is None (all dimensions), an int, or a tuple; `keepdim` leaves the reduced ones with size 1.
"""

from __future__ import annotations

import math
from typing import Any

from .. import dtypes
from ..device import Array, xp
from ..errors import DTypeError
from ..makers import definition, op
from ..promotion import cast, refuse_half
from ..tape import Tensor
from .compare import where
from .elementwise import maximum as _maximum
from .elementwise import minimum as _minimum
from .elementwise import sqrt
from .index import ValuesAndIndices, gather
from .shape import Dim, axes_of, axis_of, cat, flatten, flip, narrow

__all__ = """
    sum mean var std prod cumsum amax amin argmax argmin max min all any
""".split()
METHODS = """
    sum mean var std prod cumsum amax amin argmax argmin max min all any
""".split()  # also methods of Tensor


max_ = max  # Python's own; `max` below is the op


def _spread(g: Tensor, shape: tuple[int, ...], dim: Dim, keepdim: bool) -> Tensor:
    """Gives a reduced tensor its reduced dimensions back, with size 1."""
    if keepdim or not shape:
        return g
    axes = axes_of(dim, len(shape), "sum")
    return g.reshape(tuple(1 if i in axes else n for i, n in enumerate(shape)))


def _refuse_empty(input: Array, axes: tuple[int, ...], name: str) -> None:
    if 0 in [input.shape[a] for a in axes]:
        raise IndexError(f"{name}: cannot reduce a dimension of size 0 (shape {input.shape}).")


def _need_bool(keepdim: object, name: str) -> None:
    """Catches sum(x, 0, 1), which means keepdim=1 and not dim=(0, 1)."""
    if not isinstance(keepdim, bool):
        raise TypeError(
            f"{name}: keepdim must be True or False, got {keepdim!r}; for several dimensions write "
            "dim=(0, 1)."
        )


def _need_float(input: Array, name: str) -> None:
    if input.dtype.kind != "f":
        raise DTypeError(f"{name}: expected a float tensor, got {input.dtype}; use .float().")


# ------------------------------------------------------------------------------- sums and products


def _sum_type(input: Array, name: str) -> Any:
    """The type that elements are added up in."""
    refuse_half(name, input)
    return input.dtype if input.dtype.kind == "f" else dtypes.I64


_LONG = 128


def _summed(input: Array, axes: tuple[int, ...], keepdim: bool) -> Array:
    """input.sum(axes), in float32 without losing digits over long dimensions.

    NumPy adds pairwise only along the dimension that is contiguous in memory; along others it adds
    one by one, and in float32 the error grows with their size.
    """
    kind = _sum_type(input, "sum")
    long = [a for a in axes if input.strides[a] != input.itemsize and input.shape[a] > _LONG]
    if input.dtype != dtypes.F32 or not long:
        return input.sum(axis=axes, keepdims=keepdim, dtype=kind)
    for axis in long:
        input = _sum_in_blocks(input, axis)
    out = input.sum(axis=axes, keepdims=True)
    return out if keepdim else out.squeeze(axes)


def _sum_in_blocks(input: Array, axis: int) -> Array:
    """The sum along `axis`, kept with size 1, in blocks, and blocks of blocks."""
    before, after = (slice(None),) * axis, input.shape[axis + 1 :]
    rest = 0
    while (n := input.shape[axis]) > _LONG:
        blocks = n // _LONG
        whole = input[(*before, slice(blocks * _LONG))]
        rest = rest + input[(*before, slice(blocks * _LONG, None))].sum(axis=axis, keepdims=True)
        input = whole.reshape(*input.shape[:axis], blocks, _LONG, *after).sum(axis=axis + 1)
    return input.sum(axis=axis, keepdims=True) + rest


@op
def _sum(input: Array, dim: Dim = None, keepdim: bool = False) -> Array:
    """y = sum of input over dim; integers and bools add up in int64"""
    return _summed(input, axes_of(dim, input.ndim, "sum"), keepdim)


_sum.vjp(input=lambda g, input_shape, dim, keepdim: _spread(g, input_shape, dim, keepdim))


def sum(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: object = None) -> Tensor:
    """y = sum of input over dim; integers and bools add up in int64.

    https://docs.pytorch.org/docs/stable/generated/torch.sum.html
    """
    _need_bool(keepdim, "sum")
    if dtype is None:
        return _sum(input, dim, keepdim)
    input = cast(input, dtypes.to_numpy(dtype))
    return _sum(input, dim, keepdim).to(dtype)  # small integers are computed with in int64


def _count(input: Tensor, dim: Dim, name: str) -> int:
    shape = input._array.shape
    return math.prod(shape[a] for a in axes_of(dim, len(shape), name))


@definition
def _mean(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """y = sum of input over dim / number of elements summed"""
    _need_float(input._array, "mean")
    n = _count(input, dim, "mean")
    return _sum(input, dim, keepdim) / float(n)


def mean(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: object = None) -> Tensor:
    """y = sum of input over dim / number of elements summed; of nothing, nan.

    https://docs.pytorch.org/docs/stable/generated/torch.mean.html
    """
    _need_bool(keepdim, "mean")
    if dtype is not None:
        input = cast(input, dtypes.to_numpy(dtype))
    return _mean(input, dim, keepdim)


@definition
def _var(input: Tensor, dim: Dim = None, correction: float = 1, keepdim: bool = False) -> Tensor:
    """y = sum (input - mean)^2 over dim / (n - correction)"""
    _need_float(input._array, "var")
    degrees = max_(0.0, float(_count(input, dim, "var") - correction))
    centred = input - _mean(input, dim, True)
    total = _sum(centred * centred, dim, keepdim)
    return total / degrees


def var(
    input: Tensor,
    dim: Dim = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """y = sum (input - mean)^2 over dim / (n - correction); correction is 1 unless given.

    unbiased=False is the older spelling of correction=0.
    https://docs.pytorch.org/docs/stable/generated/torch.var.html
    """
    return _var(*_variance_arguments(input, dim, unbiased, correction), keepdim)


def std(
    input: Tensor,
    dim: Dim = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """y = sqrt(var(input)); its derivative is 0 where the variance is 0.

    https://docs.pytorch.org/docs/stable/generated/torch.std.html
    """
    _need_float(input._array, "std")
    _count(input, None if isinstance(dim, bool) else dim, "std")  # raises for a bad dim
    v = _var(*_variance_arguments(input, dim, unbiased, correction), keepdim)
    return where(v == 0, 0.0, sqrt(where(v == 0, 1.0, v)))


def _variance_arguments(
    input: Tensor, dim: Dim | bool, unbiased: bool | None, correction: float | None
) -> tuple[Tensor, Dim, float]:
    if isinstance(dim, bool):  # PyTorch's older form var(input, unbiased)
        dim, unbiased = None, dim
    if correction is None:
        correction = 0 if unbiased is False else 1
    return input, dim, correction


@op
def _prod(input: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    """y = product of input over dim; integers and bools multiply in int64"""
    axes = axes_of(dim, input.ndim, "prod")
    return input.prod(axis=axes, keepdims=keepdim, dtype=_sum_type(input, "prod"))


def _prod_others(g: Tensor, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    """g times the product of all *other* elements: right for zeros too, where out / input is not"""
    shape = input._array.shape
    g = _spread(g, shape, dim, keepdim)
    rows = flatten(input) if dim is None else input.movedim(dim, -1)
    n = rows._array.shape[-1] if rows._array.ndim else 1
    rows = rows.reshape(rows._array.shape or (1,))
    pieces = []
    for i in range(n):
        rest = cat([narrow(rows, -1, 0, i), narrow(rows, -1, i + 1, n - i - 1)], -1)
        pieces.append(_prod(rest, -1, True))
    others = cat(pieces, -1) if pieces else rows
    return g * (others.reshape(shape) if dim is None else others.movedim(-1, dim))


_prod.vjp(input=_prod_others)


def prod(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: object = None
) -> Tensor:
    """y = product of input over dim.

    https://docs.pytorch.org/docs/stable/generated/torch.prod.html
    """
    _need_bool(keepdim, "prod")
    if dtype is None:
        return _prod(input, dim, keepdim)
    input = cast(input, dtypes.to_numpy(dtype))
    return _prod(input, dim, keepdim).to(dtype)  # small integers are computed with in int64


@op
def _cumsum(input: Array, dim: int) -> Array:
    """y_i = input_0 + ... + input_i along dim"""
    kind = _sum_type(input, "cumsum")
    if input.ndim == 0:
        return input.astype(kind)
    return xp(input).cumsum(input, axis=axis_of(dim, input.ndim, "cumsum"), dtype=kind)


_cumsum.vjp(input=lambda g, dim: _reversed_cumsum(g, dim))


def _reversed_cumsum(g: Tensor, dim: int) -> Tensor:
    return flip(_cumsum(flip(g, (dim,)), dim), (dim,)) if g._array.ndim else g


def cumsum(input: Tensor, dim: int, *, dtype: object = None) -> Tensor:
    """y_i = input_0 + ... + input_i along dim.

    https://docs.pytorch.org/docs/stable/generated/torch.cumsum.html
    """
    if dtype is None:
        return _cumsum(input, dim)
    return _cumsum(cast(input, dtypes.to_numpy(dtype)), dim).to(dtype)


# --------------------------------------------------------------------------------------- extremes


@op
def amax(input: Array, dim: Dim = (), keepdim: bool = False) -> Array:
    """y = the largest element over dim; equal largest elements share the gradient evenly"""
    axes = axes_of(dim, input.ndim, "amax")
    _refuse_empty(input, axes, "amax")
    return input.max(axis=axes, keepdims=keepdim)


@op
def amin(input: Array, dim: Dim = (), keepdim: bool = False) -> Array:
    """y = the smallest element over dim; equal smallest elements share the gradient evenly"""
    axes = axes_of(dim, input.ndim, "amin")
    _refuse_empty(input, axes, "amin")
    return input.min(axis=axes, keepdims=keepdim)


def _shared(g: Tensor, input: Tensor, out: Tensor, dim: Dim, keepdim: bool) -> Tensor:
    """g / (how many are equal to the extreme) on each of those."""
    shape = input._array.shape
    equal = cast(input == _spread(out, shape, dim, keepdim), input._array.dtype)
    return _spread(g, shape, dim, keepdim) * equal / _sum(equal, dim, True)


amax.vjp(input=_shared)
amin.vjp(input=_shared)


@op
def argmax(input: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    """y = position of the largest element along dim (the first one), or in the flat tensor"""
    return _position(input, dim, keepdim, "argmax")


@op
def argmin(input: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    """y = position of the smallest element along dim (the first one), or in the flat tensor"""
    return _position(input, dim, keepdim, "argmin")


def _position(input: Array, dim: int | None, keepdim: bool, name: str) -> Array:
    axes = axes_of(dim, input.ndim, name)
    _refuse_empty(input, axes, name)
    axis = None if dim is None or input.ndim == 0 else axes[0]
    return getattr(xp(input), name)(input, axis=axis, keepdims=keepdim)


def max(
    input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False
) -> Tensor | ValuesAndIndices:
    """max(input): the largest element, ties share the gradient.
    max(input, dim): (values, indices) along dim, the first of equal ones, which gets the gradient.
    max(input, other): elementwise, see maximum.

    https://docs.pytorch.org/docs/stable/generated/torch.max.html
    """
    if isinstance(dim, Tensor):
        return _maximum(input, dim)
    return amax(input) if dim is None else _extreme(input, argmax(input, dim, True), dim, keepdim)


def min(
    input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False
) -> Tensor | ValuesAndIndices:
    """As max, for the smallest.

    https://docs.pytorch.org/docs/stable/generated/torch.min.html
    """
    if isinstance(dim, Tensor):
        return _minimum(input, dim)
    return amin(input) if dim is None else _extreme(input, argmin(input, dim, True), dim, keepdim)


def _extreme(input: Tensor, indices: Tensor, dim: int, keepdim: bool) -> ValuesAndIndices:
    values = gather(input, dim, indices)
    if not keepdim and input._array.ndim:
        values, indices = values.squeeze(dim), indices.squeeze(dim)
    return ValuesAndIndices(values, indices)


@op
def all(input: Array, dim: Dim = None, keepdim: bool = False) -> Array:
    """y = no element over dim is 0"""
    return input.all(axis=axes_of(dim, input.ndim, "all"), keepdims=keepdim)


@op
def any(input: Array, dim: Dim = None, keepdim: bool = False) -> Array:
    """y = some element over dim is not 0"""
    return input.any(axis=axes_of(dim, input.ndim, "any"), keepdims=keepdim)
