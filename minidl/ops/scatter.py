"""Writing and adding at positions: index_add, put, masked_scatter, ... and their kin that read.

Each works on a copy and returns it; the methods with `_` write into their tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..autocasting import widest
from ..device import Array, xp
from ..errors import DTypeError, ShapeError
from ..makers import op
from ..promotion import need_tensors
from ..tape import Tensor, wrap
from ..views import write
from .elementwise import clone
from .index import (
    _index,
    check_range,
    check_type,
    gather,
    getitem,
    masked_fill,
    nonzero,
    setitem,
)
from .rearrange import ravel, select
from .shape import axis_of, broadcast_shapes, cat, diagonal, expand, reshape
from .ufuncs import combine_at

__all__ = """
    index_add index_copy index_fill index_put put take take_along_dim masked_select masked_scatter
    argwhere nonzero_static select_scatter slice_scatter diagonal_scatter fill
""".split()
METHODS = """
    index_add index_copy index_fill index_put put take take_along_dim masked_select masked_scatter
    argwhere nonzero_static select_scatter slice_scatter diagonal_scatter
""".split()  # also methods of Tensor
IN_PLACE = """
    index_add index_copy index_fill index_put put masked_scatter
""".split()  # also methods that write into their tensor: name_


# ------------------------------------------------------------------------ along one dimension


def _slices(name: str, input: Tensor, dim: int, index: Tensor) -> tuple:
    """The full index that picks the slices of input along dim at a 1-d index."""
    need_tensors(name, input=input, index=index)
    axis = axis_of(dim, input._array.ndim, name)
    places = index._array
    if places.dtype.kind not in "iu":
        raise DTypeError(f"{name}: the index must be integers, got {places.dtype}.")
    if places.ndim > 1:
        raise ShapeError(f"{name}: the index must be a vector, got shape {places.shape}.")
    check_range(places, 0, input._array.shape[axis], name)
    return (slice(None),) * axis + (places.reshape(-1).copy(),)


def _check_source(name: str, input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """`source`, refused unless it has the shape and type of the slices that it goes to."""
    need_tensors(name, source=source)
    check_type(input, source, name)
    axis = axis_of(dim, input._array.ndim, name)
    shape = list(input._array.shape)
    shape[axis] = index._array.size
    if not source._array.ndim and shape.count(1) == len(shape):
        return reshape(source, tuple(shape))
    if source._array.shape != tuple(shape):
        raise ShapeError(
            f"{name}: source must have shape {tuple(shape)} (input {input._array.shape}, "
            f"{index._array.size} positions along dimension {dim}), got {source._array.shape}."
        )
    return source


def _as_vector(input: Tensor, *others: Tensor) -> list[Tensor]:
    """0-d tensors as vectors of one element: then they have a dimension to index."""
    return [t if t._array.ndim else reshape(t, (1,)) for t in (input, *others)]


def index_add(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1
) -> Tensor:
    """y = input, with alpha * source[..., i, ...] added to the slice index[i] along dim.

    https://docs.pytorch.org/docs/stable/generated/torch.index_add.html
    """
    if not input._array.ndim:
        return reshape(index_add(*_as_vector(input), dim, index, source, alpha=alpha), ())
    places = _slices("index_add", input, dim, index)
    source = _check_source("index_add", input, dim, index, source)
    return _add_at(input, source if alpha == 1 else source * alpha, places)


@op
def _add_at(input: Array, values: Array, index: Any) -> Array:
    """y = input with values added at [index], as often as a place is named"""
    out = input.copy()
    combine_at("add", out, index, values)
    return out


_add_at.vjp(input=lambda g: g, values=lambda g, index: _index(g, index))


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """y = input, with source[..., i, ...] in place of the slice index[i] along dim.

    https://docs.pytorch.org/docs/stable/generated/torch.index_copy.html
    """
    if not input._array.ndim:
        return reshape(index_copy(*_as_vector(input), dim, index, source), ())
    places = _slices("index_copy", input, dim, index)
    return _written(input, places, _check_source("index_copy", input, dim, index, source))


def index_fill(input: Tensor, dim: int, index: Tensor, value: float | Tensor) -> Tensor:
    """y = input, with value in the slices index[i] along dim.

    https://docs.pytorch.org/docs/stable/generated/torch.Tensor.index_fill_.html
    """
    if not input._array.ndim:
        return reshape(index_fill(*_as_vector(input), dim, index, value), ())
    if isinstance(value, Tensor) and value._array.ndim:
        raise ShapeError(f"index_fill: value must be a number, got shape {value._array.shape}.")
    *before, places = _slices("index_fill", input, dim, index)
    hit = xp(places).zeros(input._array.shape[len(before)], bool)
    hit[places] = True
    mask = hit.reshape((hit.size,) + (1,) * (input._array.ndim - len(before) - 1))
    return masked_fill(input, wrap(mask), value)


def _written(input: Tensor, places: Any, value: Any) -> Tensor:
    """A copy of input with value at [places]."""
    out = clone(input)
    write(out, places, value)
    return out


# ------------------------------------------------------------------------------ anywhere


def _flat_places(name: str, input: Tensor, index: Tensor) -> Array:
    """Positions in row-major order, counted from the front."""
    need_tensors(name, input=input, index=index)
    places, size = index._array, input._array.size
    if places.dtype.kind not in "iu":
        raise DTypeError(f"{name}: the index must be integers, got {places.dtype}.")
    check_range(places, -size, size, name)
    return xp(places).where(places < 0, places + size, places)


def take(input: Tensor, index: Tensor) -> Tensor:
    """y[i] = the element index[i] of input in row-major order; the shape is that of index.

    https://docs.pytorch.org/docs/stable/generated/torch.take.html
    """
    return _index(ravel(input), (_flat_places("take", input, index),))


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """y = input, with source put at (or added to) the elements index[i] in row-major order.

    https://docs.pytorch.org/docs/stable/generated/torch.Tensor.put_.html
    """
    places = (_flat_places("put", input, index).reshape(-1),)
    need_tensors("put", source=source)
    if source._array.size != index._array.size:
        raise ShapeError(
            f"put: index {index._array.shape} and source {source._array.shape} must have equally "
            "many elements."
        )
    check_type(input, source, "put")
    flat = (_add_at if accumulate else _put_at)(ravel(input), ravel(source), index=places)
    return reshape(flat, input._array.shape)


def _put_at(input: Tensor, values: Tensor, index: Any) -> Tensor:
    return _written(input, index, values)


@widest
def index_put(
    input: Tensor, indices: Sequence[Tensor], values: Tensor, accumulate: bool = False
) -> Tensor:
    """y = input, with values put at (or added to) input[indices].

    https://docs.pytorch.org/docs/stable/generated/torch.Tensor.index_put_.html
    """
    where_ = tuple(slice(None) if i is None else i for i in indices)
    if not accumulate:
        out = clone(input)
        setitem(out, where_, values)
        return out
    numbers = wrap(xp(input._array).arange(input._array.size).reshape(input._array.shape))
    places = getitem(numbers, where_)._array
    check_type(input, values, "index_put")
    flat = _add_at(ravel(input), ravel(expand(values, places.shape)), (places.reshape(-1),))
    return reshape(flat, input._array.shape)


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """`gather` whose input and indices broadcast in the other dimensions; without dim, of all.

    Negative indices count from the end.

    https://docs.pytorch.org/docs/stable/generated/torch.take_along_dim.html
    """
    if dim is None:
        return take_along_dim(ravel(input), ravel(indices), 0)
    if input._array.ndim != indices._array.ndim:
        raise ShapeError(
            f"take_along_dim: input {input._array.shape} and indices {indices._array.shape} must "
            "have equally many dimensions."
        )
    axis = axis_of(dim, input._array.ndim, "take_along_dim")
    sizes = [list(t._array.shape) for t in (input, indices)]
    own = [s[axis : axis + 1] for s in sizes]
    for s in sizes:
        s[axis : axis + 1] = [1] if s else []
    common = broadcast_shapes(*map(tuple, sizes))
    places = indices._array
    if (places < 0).any():
        indices = wrap(xp(places).where(places < 0, places + input._array.shape[axis], places))
    wide = [common[:axis] + tuple(n) + common[axis + 1 :] for n in own]
    return gather(expand(input, wide[0]), axis, expand(indices, wide[1]))


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """y = the elements of input where mask, as a vector; the two broadcast.

    https://docs.pytorch.org/docs/stable/generated/torch.masked_select.html
    """
    input, mask = _masked("masked_select", input, mask)
    return _index(input, mask._array.copy())


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """y = input, with the elements of source, in order, where mask; the first two broadcast.

    https://docs.pytorch.org/docs/stable/generated/torch.Tensor.masked_scatter_.html
    """
    input, mask = _masked("masked_scatter", input, mask)
    check_type(input, source, "masked_scatter")
    count = int(mask._array.sum())
    if source._array.size < count:
        raise ShapeError(
            f"masked_scatter: the mask has {count} true elements, source only "
            f"{source._array.size} (shape {source._array.shape})."
        )
    return _written(input, mask._array.copy(), _index(ravel(source), slice(count)))


def _masked(name: str, input: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Both in their common shape."""
    need_tensors(name, input=input, mask=mask)
    if mask._array.dtype.kind != "b":
        raise DTypeError(f"{name}: the mask must be bool, got {mask._array.dtype}.")
    shape = broadcast_shapes(input._array.shape, mask._array.shape)
    return expand(input, shape), expand(mask, shape)


def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """`nonzero` in a shape that is known beforehand: the first `size` positions, then fill_value.

    https://docs.pytorch.org/docs/stable/generated/torch.Tensor.nonzero_static.html
    """
    found = nonzero(input)[:size]
    missing = size - found._array.shape[0]
    rest = wrap(xp(found._array).full((missing, input._array.ndim), fill_value, "int64"))
    return cat([found, rest])


def argwhere(input: Tensor) -> Tensor:
    """The positions of the elements that are not 0, (n, ndim): `nonzero`.

    https://docs.pytorch.org/docs/stable/generated/torch.argwhere.html
    """
    return nonzero(input)


# ------------------------------------------------------------------------- a part replaced


def _replaced(name: str, out: Tensor, part: Tensor, src: Tensor) -> Tensor:
    """`out` after `src` was written into `part`, a view of it."""
    need_tensors(name, src=src)
    if src._array.shape != part._array.shape:
        raise ShapeError(
            f"{name}: src must have the shape of what it replaces, {part._array.shape}, got "
            f"{src._array.shape}."
        )
    write(part, ..., src)
    return out


def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """y = input, with src in place of `select(input, dim, index)`.

    https://docs.pytorch.org/docs/stable/generated/torch.select_scatter.html
    """
    out = clone(input)
    return _replaced("select_scatter", out, select(out, dim, index), src)


def slice_scatter(
    input: Tensor,
    src: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Tensor:
    """y = input, with src in place of input[start:end:step] along dim.

    https://docs.pytorch.org/docs/stable/generated/torch.slice_scatter.html
    """
    axis = axis_of(dim, input._array.ndim, "slice_scatter")
    out = clone(input)
    part = getitem(out, (slice(None),) * axis + (slice(start, end, step),))
    return _replaced("slice_scatter", out, part, src)


def diagonal_scatter(
    input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """y = input, with src in place of `diagonal(input, offset, dim1, dim2)`.

    https://docs.pytorch.org/docs/stable/generated/torch.diagonal_scatter.html
    """
    out = clone(input)
    return _replaced("diagonal_scatter", out, diagonal(out, offset, dim1, dim2), src)


def fill(input: Tensor, value: float | Tensor) -> Tensor:
    """y = value in the shape and type of input.

    https://docs.pytorch.org/docs/stable/generated/torch.Tensor.fill_.html
    """
    return _written(input, ..., value)
