"""Scattering: values put, added, multiplied, averaged or compared into positions of a tensor.

As `scatter_add` of `index.py`, these work on a copy; the methods with `_` write into their tensor.
"""

from __future__ import annotations

from typing import Any

from ..device import Array, xp
from ..errors import ShapeError
from ..makers import op
from ..tape import Tensor, wrap
from .elementwise import clone
from .index import _check_positions, _grid, _index, check_type, scatter_add
from .reduce import prod
from .scatter import _add_at, _as_vector, _check_source, _slices, _written
from .shape import axis_of, expand, reshape
from .ufuncs import accumulate, combine_at

__all__ = ["index_reduce", "scatter", "scatter_reduce"]
METHODS = __all__  # also methods of Tensor
IN_PLACE = __all__  # also methods that write into their tensor: name_


def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Tensor | float | None = None,
    *,
    value: float | None = None,
    reduce: str | None = None,
) -> Tensor:
    """y = input, with src (a tensor or a number) put at the places that the index names.

    A number may also be called `value`. reduce="add" adds it to what is there, "multiply"
    multiplies: older names for `scatter_reduce`.
    https://docs.pytorch.org/docs/stable/generated/torch.Tensor.scatter_.html
    """
    src = value if src is None else src
    if src is None:
        raise TypeError("scatter() needs src, a tensor or a number.")
    if reduce is not None:
        if reduce not in ("add", "multiply"):
            raise ValueError(f"scatter: reduce must be 'add' or 'multiply', got {reduce!r}.")
        if not isinstance(src, Tensor):
            like = input._array
            src = wrap(xp(like).full(index._array.shape, src, like.dtype))
        return scatter_reduce(input, dim, index, src, "sum" if reduce == "add" else "prod")
    shape = input._array.shape
    axis = axis_of(dim, len(shape), "scatter")
    input, index = _as_vector(input, index)
    if not index._array.size:
        return clone(reshape(input, shape))
    _check_positions(input._array, axis, index._array, "scatter")
    if isinstance(src, Tensor):
        check_type(input, src, "scatter")
        src = _part_of(*_as_vector(src), index, "scatter")
    return reshape(_written(input, _grid(index._array.copy(), axis), src), shape)


def _part_of(src: Tensor, index: Tensor, name: str) -> Tensor:
    """The corner of src that an index uses."""
    have, used = src._array.shape, index._array.shape
    if len(have) != len(used) or any(n > m for n, m in zip(used, have, strict=True)):
        raise ShapeError(f"{name}: an index of shape {used} does not fit src of shape {have}.")
    return _index(src, tuple(slice(n) for n in used))


def index_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    source: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> Tensor:
    """y = input, each slice index[i] along dim reduced with source[..., i, ...].

    reduce: "prod", "mean", "amax" or "amin"; include_self=False leaves out what was there.
    https://docs.pytorch.org/docs/stable/generated/torch.Tensor.index_reduce_.html
    """
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise ValueError(
            f"index_reduce: reduce must be 'prod', 'mean', 'amax' or 'amin', got {reduce!r}."
        )
    shape = input._array.shape
    if not shape:
        vector = reshape(input, (1,))
        return reshape(
            index_reduce(vector, dim, index, source, reduce, include_self=include_self), ()
        )
    axis = axis_of(dim, len(shape), "index_reduce")
    _slices("index_reduce", input, dim, index)
    source = _check_source("index_reduce", input, dim, index, source)
    column = reshape(index, (index._array.size,) + (1,) * (len(shape) - axis - 1))
    places = expand(column, source._array.shape)
    return _reduced(input, axis, places, source, reduce, include_self)


def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """y = input, with src[i][j] reduced into [index[i][j]][j] for dim 0, and so on.

    reduce: "sum", "prod", "mean", "amax" or "amin"; include_self=False leaves out what was there.
    Equal extremes share the gradient. Integer means are rounded down.
    https://docs.pytorch.org/docs/stable/generated/torch.Tensor.scatter_reduce_.html
    """
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise ValueError(
            "scatter_reduce: reduce must be 'sum', 'prod', 'mean', 'amax' or 'amin', got "
            f"{reduce!r}."
        )
    check_type(input, src, "scatter_reduce")
    shape = input._array.shape
    input, index, src = _as_vector(input, index, src)
    axis = axis_of(dim, len(shape), "scatter_reduce")
    if not index._array.size:
        return clone(reshape(input, shape))
    _check_positions(input._array, axis, index._array, "scatter_reduce")
    src = _part_of(src, index, "scatter_reduce")
    return reshape(_reduced(input, axis, index, src, reduce, include_self), shape)


def _reduced(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, include_self: bool
) -> Tensor:
    """scatter_reduce of a src in the shape of the index."""
    places = _grid(index._array.copy(), dim)
    if not include_self:  # what was there gives way to what changes nothing
        input = _written(input, places, _neutral(input._array, reduce))
    if reduce == "prod":
        return _product(input, dim, index, src)
    if reduce in ("amax", "amin"):
        return _extreme_at(input, src, places, reduce == "amax")
    total = _add_at(input, src, places)
    if reduce == "sum":
        return total
    ones = wrap(xp(src._array).ones(src._array.shape, "int64"))
    start = wrap(xp(src._array).full(input._array.shape, int(include_self), "int64"))
    count = scatter_add(start, dim, index, ones).clamp(min=1)
    return total / count if total.is_floating_point() else (total // count).to(total.dtype)


def _neutral(like: Array, reduce: str) -> Any:
    """What leaves the other operand as it is: 0, 1, or the end of the number line."""
    if reduce in ("sum", "mean", "prod"):
        return int(reduce == "prod")
    if like.dtype.kind == "f":
        return float("-inf") if reduce == "amax" else float("inf")
    if like.dtype.kind == "b":
        return reduce == "amin"
    limits = xp(like).iinfo(like.dtype)
    return int(limits.min if reduce == "amax" else limits.max)


@op
def _extreme_at(input: Array, src: Array, index: Any, largest: bool) -> Array:
    """y = input, and where [index] names a place the largest (smallest) of it and src"""
    out = input.copy()
    combine_at("maximum" if largest else "minimum", out, index, src)
    return out


@_extreme_at.vjp_all
def _extreme_rule(g: Tensor, input: Tensor, src: Tensor, out: Tensor, index: Any) -> list:
    kept = (input == out).to(g.dtype)  # all that equal the extreme share its gradient
    won = (src == _index(out, index)).to(g.dtype)
    share = g / _add_at(kept, won, index)  # nan, which equals nothing, gets nan
    return [share * kept, _index(share, index) * won]


def _product(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """input times all of src that goes to each place: `prod` over a rectangle padded with ones.

    prod's derivative is exact where factors are 0. The rectangle has a row for each time that the
    most named place is named.
    """
    places = _grid(index._array.copy(), dim)
    turn = _turns(input._array, index._array, dim)
    rows = int(turn.max()) + 1 if turn.size else 0
    ones = wrap(xp(turn).ones((rows, *input._array.shape), input._array.dtype))
    factors = _written(ones, (turn, *places), src)
    return input * prod(factors, 0, dtype=input.dtype)


def _turns(input: Array, index: Array, dim: int) -> Array:
    """For each element of index: how many before it (along dim) name the same place."""
    order = index.argsort(dim, kind="stable")
    ordered = index[_grid(order, dim)]
    steps = xp(index).arange(index.shape[dim]).reshape((-1,) + (1,) * (index.ndim - dim - 1))
    first = xp(index).ones(index.shape, bool)
    tail = (slice(None),) * dim + (slice(1, None),)
    head = (slice(None),) * dim + (slice(-1),)
    first[tail] = ordered[tail] != ordered[head]
    start = accumulate("maximum", xp(index).where(first, steps, 0), dim)
    turn = xp(index).empty(index.shape, "int64")
    turn[_grid(order, dim)] = steps - start
    return turn
