"""Order: medians and quantiles, the most frequent, what occurs, where a number belongs."""

from __future__ import annotations

import math
from typing import Any

from ..device import Array, as_array, xp
from ..errors import DTypeError, ShapeError
from ..makers import op
from ..promotion import need_tensors, promoted, refuse_half
from ..tape import Tensor, wrap
from .compare import isnan, logical_and, logical_or, where
from .index import ValuesAndIndices, argsort, gather, sort
from .reduce import _need_float, sum
from .shape import axis_of, flatten, movedim, reshape
from .ufuncs import accumulate

METHODS = """
    median nanmedian kthvalue mode quantile nanquantile msort unique unique_consecutive
""".split()  # also methods of Tensor
__all__ = [*METHODS, "bucketize", "isin", "searchsorted"]


# ------------------------------------------------------------------------------ by rank along a dim


def median(
    input: Tensor, dim: int | None = None, keepdim: bool = False
) -> Tensor | ValuesAndIndices:
    """median(input): the element in the middle, the lower of two; equal ones share the gradient.
    median(input, dim): (values, indices) along dim. Where there is a nan, it is the median.

    https://docs.pytorch.org/docs/stable/generated/torch.median.html
    """
    return _median_of("median", input, dim, keepdim, pass_nan=False)


def nanmedian(
    input: Tensor, dim: int | None = None, keepdim: bool = False
) -> Tensor | ValuesAndIndices:
    """As median, of the elements that are not nan.

    https://docs.pytorch.org/docs/stable/generated/torch.nanmedian.html
    """
    return _median_of("nanmedian", input, dim, keepdim, pass_nan=True)


def _median_of(
    name: str, input: Tensor, dim: int | None, keepdim: bool, pass_nan: bool
) -> Tensor | ValuesAndIndices:
    need_tensors(name, input=input)
    refuse_half(name, input._array)
    if input._array.dtype.kind == "b":
        raise DTypeError(f"{name}: expected numbers, got a bool tensor.")
    if dim is None:
        return _flat_median(input, pass_nan)
    axis = _axis_with_elements(name, input, dim)
    if input._array.ndim == 0:
        return _picked(input, 0, axis, keepdim)
    return _picked(input, _median_rank(input._array, axis, pass_nan), axis, keepdim)


def _median_rank(array: Array, axis: int, pass_nan: bool) -> Array:
    """Where the median is when the elements along `axis` are in order, nan at the end."""
    numbers = (array == array).sum(axis, keepdims=True)
    n = array.shape[axis]
    if pass_nan:
        return (numbers - 1).clip(0) // 2
    return xp(array).where(numbers < n, numbers, (n - 1) // 2)


@op
def _flat_median(input: Array, pass_nan: bool) -> Array:
    """y = the lower median of all elements"""
    flat = input.reshape(-1)
    if flat.size == 0:
        return xp(input).full((), xp(input).nan).astype(input.dtype)
    return xp(input).sort(flat)[_median_rank(flat, 0, pass_nan)].reshape(())


@_flat_median.vjp_all
def _flat_median_rule(g: Tensor, input: Tensor, out: Tensor) -> list:
    equal = logical_or(input == out, logical_and(isnan(input), isnan(out))).to(g.dtype)
    return [g * equal / sum(equal)]


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> ValuesAndIndices:
    """(values, indices) of the k-th smallest element along dim, k = 1, 2, ...

    https://docs.pytorch.org/docs/stable/generated/torch.kthvalue.html
    """
    need_tensors("kthvalue", input=input)
    axis = _axis_with_elements("kthvalue", input, dim)
    size = input._array.shape[axis] if input._array.ndim else 1
    if not 1 <= k <= size:
        raise ShapeError(f"kthvalue: k = {k}, but dimension {dim} has {size} elements.")
    return _picked(input, k - 1, axis, keepdim)


def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> ValuesAndIndices:
    """(values, indices) of the most frequent element along dim, the smallest of such ones.

    https://docs.pytorch.org/docs/stable/generated/torch.mode.html
    """
    need_tensors("mode", input=input)
    axis = _axis_with_elements("mode", input, dim)
    if input._array.ndim == 0:
        return _picked(input, 0, axis, keepdim)
    array = xp(input._array).sort(input._array, axis)
    before = (slice(None),) * axis
    steps = xp(array).arange(array.shape[axis]).reshape((-1,) + (1,) * (array.ndim - axis - 1))
    first = xp(array).ones(array.shape, bool)
    head, tail = (*before, slice(-1)), (*before, slice(1, None))
    first[tail] = array[tail] != array[head]
    start = accumulate("maximum", xp(array).where(first, steps, 0), axis)
    return _picked(input, (steps - start).argmax(axis, keepdims=True), axis, keepdim)


def _axis_with_elements(name: str, input: Tensor, dim: int) -> int:
    axis = axis_of(dim, input._array.ndim, name)
    if input._array.ndim and input._array.shape[axis] == 0:
        raise IndexError(f"{name}: dimension {dim} has size 0 (shape {input._array.shape}).")
    return axis


def _picked(input: Tensor, rank: Array | int, axis: int, keepdim: bool) -> ValuesAndIndices:
    """The elements that have this rank along `axis`."""
    order = argsort(input, axis)._array
    if order.ndim:
        if isinstance(rank, int):
            order = order[(slice(None),) * axis + (slice(rank, rank + 1),)]
        else:
            order = xp(order).take_along_axis(order, rank, axis)
    values, indices = gather(input, axis, wrap(order)), wrap(order)
    if keepdim or not order.ndim:
        return ValuesAndIndices(values, indices)
    return ValuesAndIndices(values.squeeze(axis), indices.squeeze(axis))


def quantile(
    input: Tensor,
    q: float | Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """y = the number below which the fraction q of the elements along dim lies.

    q: in [0, 1]; several give a new first dimension. interpolation between two elements: "linear",
    "lower", "higher", "midpoint" or "nearest". Where there is a nan the result is nan.
    https://docs.pytorch.org/docs/stable/generated/torch.quantile.html
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation)


def nanquantile(
    input: Tensor,
    q: float | Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """As quantile, of the elements that are not nan.

    https://docs.pytorch.org/docs/stable/generated/torch.nanquantile.html
    """
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation)


def _quantile(
    name: str,
    input: Tensor,
    q: float | Tensor,
    dim: int | None,
    keepdim: bool,
    interpolation: str,
) -> Tensor:
    need_tensors(name, input=input)
    _need_float(input._array, name)
    ways = ("linear", "lower", "higher", "midpoint", "nearest")
    if interpolation not in ways:
        raise ValueError(f"{name}: interpolation is one of {ways}, not {interpolation!r}.")
    array = input._array
    q = q if isinstance(q, Tensor) else wrap(xp(array).asarray(q, array.dtype))
    fractions = q._array
    if fractions.dtype != array.dtype:
        raise DTypeError(f"{name}: input is {array.dtype}, q {fractions.dtype}; convert one.")
    if fractions.ndim > 1 or not bool(((fractions >= 0) & (fractions <= 1)).all()):
        raise ValueError(f"{name}: q must be in [0, 1], a number or a vector of them.")
    axis = None if dim is None else _axis_with_elements(name, input, dim)
    if array.size == 0:
        raise IndexError(f"{name}: the tensor has no elements (shape {array.shape}).")
    rows = flatten(input) if axis is None else movedim(input, axis, -1)
    rows = rows if rows._array.ndim else reshape(rows, (1,))
    out = movedim(_between(rows, q.reshape(-1), name, interpolation), -1, 0)
    if keepdim:
        kept = [1 if axis in (None, i) else n for i, n in enumerate(array.shape)]
        out = reshape(out, (fractions.size, *kept))
    return out if fractions.ndim else out.squeeze(0)


def _between(rows: Tensor, q: Tensor, name: str, interpolation: str) -> Tensor:
    """The quantiles of each row (the last dimension), one after the other."""
    array, module = rows._array, xp(rows._array)
    numbers = (array == array).sum(-1, keepdims=True)
    last = (numbers - 1).clip(0) if name == "nanquantile" else array.shape[-1] - 1
    rank = q * wrap(module.asarray(last, array.dtype))
    if name == "quantile":  # the last one is nan
        rank = where(wrap(numbers < array.shape[-1]), float(last), rank)
    whole = {"lower": module.floor, "higher": module.ceil, "nearest": module.rint}
    low = whole.get(interpolation, module.floor)(rank._array)
    order = argsort(rows, -1)._array

    def at(place: Array) -> Tensor:
        place = module.broadcast_to(place, (*array.shape[:-1], place.shape[-1])).astype("int64")
        return gather(rows, -1, wrap(module.take_along_axis(order, place, -1)))

    if interpolation in whole:
        return at(low)
    weight = 0.5 if interpolation == "midpoint" else rank - wrap(low)
    return at(low) + (at(module.ceil(rank._array)) - at(low)) * weight


def msort(input: Tensor) -> Tensor:
    """y = input in order along its first dimension.

    https://docs.pytorch.org/docs/stable/generated/torch.msort.html
    """
    return sort(input, 0).values


# ----------------------------------------------------------------------------------- what occurs


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The different elements (or slices along dim) in order; each nan is one.

    With return_inverse also where each element went, with return_counts how often each occurs.
    https://docs.pytorch.org/docs/stable/generated/torch.unique.html
    """
    need_tensors("unique", input=input)
    array = input._array
    axis = None if dim is None else axis_of(dim, array.ndim, "unique")
    found, inverse, counts = xp(array).unique(
        array, return_inverse=True, return_counts=True, axis=axis, equal_nan=False
    )
    inverse = inverse.reshape(array.shape if axis is None else -1)
    return _different(found, inverse, counts, return_inverse, return_counts)


def unique_consecutive(
    input: Tensor,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The elements (or slices along dim) that differ from the one before; results as of unique.

    https://docs.pytorch.org/docs/stable/generated/torch.unique_consecutive.html
    """
    need_tensors("unique_consecutive", input=input)
    array, module = input._array, xp(input._array)
    axis = 0 if dim is None else axis_of(dim, array.ndim, "unique_consecutive")
    rows = array.reshape(-1) if dim is None else module.moveaxis(array, axis, 0)
    n = rows.shape[0]
    first = module.ones(n, bool)
    first[1:] = (rows[1:] != rows[:-1]).any(tuple(range(1, rows.ndim)))
    starts = module.nonzero(first)[0]
    counts = module.diff(module.append(starts, n))
    inverse = module.cumsum(first) - 1
    found = module.moveaxis(rows[first], 0, axis)
    inverse = inverse.reshape(array.shape if dim is None else -1)
    return _different(found, inverse, counts, return_inverse, return_counts)


def _different(
    found: Array, inverse: Array, counts: Array, return_inverse: bool, return_counts: bool
) -> Any:
    asked = [(found, True), (inverse, return_inverse), (counts, return_counts)]
    results = tuple([wrap(x) for x, wanted in asked if wanted])
    return results if len(results) > 1 else results[0]


def isin(
    elements: Tensor | float,
    test_elements: Tensor | float,
    *,
    assume_unique: bool = False,
    invert: bool = False,
) -> Tensor:
    """y = whether each of `elements` occurs in test_elements; with invert, whether it does not.

    https://docs.pytorch.org/docs/stable/generated/torch.isin.html
    """
    a, b = promoted("isin", elements, test_elements)
    like = a if isinstance(a, Tensor) else b
    a, b = (x._array if isinstance(x, Tensor) else x for x in (a, b))
    found = xp(like._array).isin(a, b, assume_unique=assume_unique, invert=invert)
    return wrap(as_array(found, like._array))


# ------------------------------------------------------------------------------ where it belongs


def searchsorted(
    sorted_sequence: Tensor,
    input: Tensor | float,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """y = how many elements of sorted_sequence are < input (right=True or side="right": <=).

    sorted_sequence: in order along its last dimension; its other dimensions are those of input.
    sorter: the positions that put it in order.
    https://docs.pytorch.org/docs/stable/generated/torch.searchsorted.html
    """
    need_tensors("searchsorted", sorted_sequence=sorted_sequence)
    if side not in (None, "left", "right") or (right and side == "left"):
        raise ValueError(f"searchsorted: side is 'left' or 'right', got {side!r}, right={right}.")
    edges = sorted_sequence._array
    module = xp(edges)
    values = input._array if isinstance(input, Tensor) else module.asarray(input)
    if edges.ndim != 1 and edges.shape[:-1] != values.shape[:-1]:
        raise ShapeError(
            f"searchsorted: all but the last sizes must be equal, got {edges.shape} and "
            f"{values.shape}."
        )
    if sorter is not None:
        edges = module.take_along_axis(edges, sorter._array, -1)
    side = "right" if right else side or "left"
    if edges.ndim == 1:
        found = as_array(module.searchsorted(edges, values, side), edges)
    else:
        count = math.prod(edges.shape[:-1])
        rows = zip(*[x.reshape(count, x.shape[-1]) for x in (edges, values)], strict=True)
        places = [module.searchsorted(row, wanted, side) for row, wanted in rows]
        found = module.stack(places).reshape(values.shape) if places else values
    return wrap(found.astype("int32" if out_int32 else "int64"))


def bucketize(
    input: Tensor | float, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """y = how many of the boundaries, a vector in order, are < input (right=True: <=).

    https://docs.pytorch.org/docs/stable/generated/torch.bucketize.html
    """
    need_tensors("bucketize", boundaries=boundaries)
    if boundaries._array.ndim != 1:
        raise ShapeError(f"bucketize: boundaries have shape {boundaries._array.shape}, not (n,).")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)
