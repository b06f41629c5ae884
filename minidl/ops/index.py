"""Picking elements by position: x[...], gather, scatter. The gradient of picking is scattering."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy import broadcast_to, ndarray, zeros

from .. import kernels
from ..autocasting import widest
from ..device import Array, copied, device_of, moved, of, on, xp
from ..dtypes import F32
from ..errors import DeviceError, DTypeError, ShapeError
from ..makers import op
from ..promotion import cast, need_tensors, values_are_checked
from ..tape import Tensor, named, wrap
from ..views import is_basic, write
from .compare import _lifted, _where
from .shape import Shape, axis_of, cat
from .ufuncs import combine_at

__all__ = """
    gather scatter_add index_select masked_fill nonzero sort argsort topk one_hot
""".split()
METHODS = """
    gather scatter_add index_select masked_fill nonzero sort argsort topk
""".split()  # also methods of Tensor
IN_PLACE = ["masked_fill", "scatter_add"]  # also methods that write into their tensor: name_


# ------------------------------------------------------------------------------------- x[index]


@op(view=True)
def _index(input: Array, index: Any) -> Array:
    """y = input[index], index already plain: ints, slices, None, ..., integer or bool arrays"""
    out = _taken(input, index)
    if out is not None:
        return out
    try:
        _check_places(input, index)
        out = input[index]
    except IndexError as error:
        raise IndexError(
            f"{_described(index)} into a tensor of shape {input.shape}: {error}"
        ) from None
    if out.__class__ is not input.__class__:  # NumPy gave a scalar; with ... it is a 0-d view
        out = input[(*(index if isinstance(index, tuple) else (index,)), ...)]
    return out


def _check_places(array: Array, index: Any) -> None:
    """In anomaly mode on a GPU: raises NumPy's IndexError where CuPy would wrap positions."""
    if array.__class__ is ndarray or not values_are_checked(array):
        return
    parts = index if isinstance(index, tuple) else (index,)
    host = [of(p).to_numpy(p) if hasattr(p, "ndim") else p for p in parts]
    broadcast_to(zeros(()), array.shape)[tuple(host)]


def _taken(input: Array, index: Any) -> Array | None:
    """input[index] by a kernel, for a large table on the CPU and an array of positions; or None."""
    large = input.__class__ is ndarray and input.dtype is F32 and input.size >= kernels.LARGE
    if not large or is_basic(index):
        return None
    take = kernels.function("take")
    return None if take is None else take(input, index)


_index.vjp(input=lambda g, input_shape, index: _unindex(g, index, input_shape))


@op
def _unindex(input: Array, index: Any, shape: Shape) -> Array:
    """y = zeros of `shape` with input added at [index]: the derivative of index"""
    out = xp(input).zeros_like(input, shape=shape)  # where it can, in the memory order of input
    if is_basic(index):
        out[index] = input
    else:
        combine_at("add", out, index, input)
    return out


_unindex.vjp(input=lambda g, index: _index(g, index))


def _described(index: Any) -> str:
    parts = index if isinstance(index, tuple) else (index,)
    said = [
        f"a {p.dtype} tensor of shape {p.shape}" if hasattr(p, "ndim") else repr(p) for p in parts
    ]
    return f"index [{', '.join(said)}]"


def getitem(input: Tensor, where: Any) -> Tensor:
    """x[where]: a view for ints, slices, None and ..., a copy where a tensor, list or mask picks.

    As in PyTorch, ints are applied before tensors, and steps must be positive.
    """
    basic, advanced = _plain(input, where)
    out = _index(input, basic) if basic != () or advanced is None else input
    return out if advanced is None else _index(out, advanced)


def setitem(input: Tensor, where: Any, value: Any) -> None:
    """x[where] = value, recorded. `value` broadcasts to the picked shape."""
    basic, advanced = _plain(input, where)
    if not isinstance(value, (Tensor, int, float, bool)):
        with on(device_of(input._array)) as home:
            value = wrap(home.module.asarray(value))
    if isinstance(value, Tensor):
        value = _droppable_ones(value, input, basic, advanced)
    if advanced is None:
        write(input, basic if basic != () else Ellipsis, value)
        return
    target = input if basic == () else _index(input, basic)
    _check_places(target._array, advanced)
    write(target, advanced, value)


def _droppable_ones(value: Tensor, input: Tensor, basic: Any, advanced: Any) -> Tensor:
    """PyTorch lets a value have extra leading dimensions of size 1; NumPy's arrays too, but the
    gradient must then lose them again."""
    if value._array.shape[:1] != (1,):
        return value
    target = input._array[basic] if basic != () else input._array
    with on(device_of(target)):
        ndim = (target if advanced is None else target[advanced]).ndim
    extra = value._array.ndim - ndim
    if extra > 0 and set(value._array.shape[:extra]) == {1}:
        return value.reshape(value._array.shape[extra:])
    return value


def _plain(input: Tensor, where: Any) -> tuple[Any, Any]:
    """An index as (basic part, advanced part or None); () as basic part picks everything."""
    kind = where.__class__
    if kind is int or kind is slice:
        return (where if kind is int else _checked_slice(where)), None
    parts = list(where) if kind is tuple or _means_a_tuple(where) else [where]
    parts = [_part(p, input._array) for p in parts]
    if is_basic(tuple(parts)):
        return tuple(parts), None
    return _split(parts, input._array.ndim)


def _means_a_tuple(where: Any) -> bool:
    """PyTorch reads a short list with a sequence, tensor, slice, None or ... in it as a tuple."""
    return (
        isinstance(where, list)
        and len(where) < 32
        and any(
            part is None or part is Ellipsis or isinstance(part, (list, tuple, slice, Tensor))
            for part in where
        )
    )


def _part(part: Any, like: Array) -> Any:
    if isinstance(part, slice):
        return _checked_slice(part)
    if part is None or part is Ellipsis or part.__class__ is int:
        return part
    if isinstance(part, Tensor):
        part = _position(part._array, like)
    elif isinstance(part, (list, tuple, range, bool)):
        with on(device_of(like)) as home:
            part = home.module.asarray(part, "int64" if part == [] else None)
    elif hasattr(part, "__index__") and not hasattr(part, "ndim"):
        return part.__index__()
    if getattr(part, "dtype", None) == "uint8":
        raise DTypeError("a uint8 index could be positions or a mask: use .long() or .bool().")
    if not hasattr(part, "dtype") or part.dtype.kind not in "biu":
        raise DTypeError(
            f"an index must be an int, a slice, None, ..., or a tensor of ints or bools, got "
            f"{getattr(part, 'dtype', type(part).__name__)}."
        )
    if part.ndim == 0 and part.dtype.kind != "b":
        return int(part)
    return part


def _position(part: Array, like: Array) -> Array:
    """A copy of a tensor that is an index, on the device of `like`: backward needs it as it is now.

    As in PyTorch it may come from the CPU, and a single position from anywhere.
    """
    if part.__class__ is ndarray is like.__class__:
        return part.copy()
    here, there = device_of(like), device_of(part)
    if not part.ndim and part.dtype.kind != "b":
        return part
    if there not in (here, "cpu"):
        raise DeviceError(
            f"x[index]: an index on {there} for a tensor on {here}; it must be on the tensor's "
            "device or on the CPU."
        )
    return copied(part) if here == there else moved(part, here)


def _checked_slice(part: slice) -> slice:
    step = part.step
    if step is not None and step <= 0:
        raise ValueError(f"a slice's step must be positive, got {step}; use flip().")
    bounds = [b._array.item() if isinstance(b, Tensor) else b for b in (part.start, part.stop)]
    return slice(*bounds, step)


def _split(parts: list, ndim: int) -> tuple[Any, Any]:
    """Ints, slices and None first (basic), then arrays on what is left (advanced).

    NumPy would count the ints as arrays and move the picked dimensions to the front.
    """
    used = sum(
        p.ndim if getattr(getattr(p, "dtype", None), "kind", "") == "b" else 1
        for p in parts
        if p is not None and p is not Ellipsis
    )
    if used > ndim:
        raise IndexError(f"{used} indices for a tensor with {ndim} dimensions.")
    basic: list = []
    advanced: list = []
    for p in parts:
        if p is Ellipsis:
            basic += [slice(None)] * (ndim - used)
            advanced += [slice(None)] * (ndim - used)
        elif hasattr(p, "ndim"):
            basic += [slice(None)] * (p.ndim if p.dtype.kind == "b" else 1)
            advanced.append(p)
        else:
            basic.append(p)
            if not isinstance(p, int):
                advanced.append(slice(None))
    trivial = all(isinstance(p, slice) and p == slice(None) for p in basic)
    return () if trivial else tuple(basic), tuple(advanced)


# ------------------------------------------------------------------- what an in-place write records


@op
def overwrite(base: Array, value: Array, steps: list, order: tuple) -> Array:
    """y = base with the part reached by `steps` replaced by value: what a write to a view did"""
    return _assigned(base, steps, order, value)


overwrite.vjp(
    base=lambda g, steps, order: _blank(g, steps, order),
    value=lambda g, steps: _through(g, steps),
)


@op
def _blank(input: Array, steps: list, order: tuple) -> Array:
    """y = input with the part reached by `steps` set to 0"""
    return _assigned(input, steps, order, 0)


_blank.vjp(input=lambda g, steps, order: _blank(g, steps, order))


def _assigned(array: Array, steps: list, order: tuple, value: Any) -> Array:
    """A copy of `array` with `value` at the place that `steps` lead to.

    order: the dimensions as they lay in memory when the write happened, outermost first. The copy
    is laid out in the same way: where a reshape was a view then, it is one now.
    """
    laid_out = xp(array).empty([array.shape[d] for d in order], array.dtype)
    out = laid_out.transpose([order.index(d) for d in range(array.ndim)])
    out[...] = array
    *views, (last, keywords) = steps
    target = out
    for step, options in views:
        target = step.forward(target, **options)
    if last.name == "index":  # which may pick by arrays: a copy, not a view to write into
        target[keywords["index"]] = value
    else:
        last.forward(target, **keywords)[...] = value
    return out


def _through(g: Tensor, steps: list) -> Tensor:
    for step, keywords in steps:
        name = "reshape" if step.name == "view" else step.name  # g may lie otherwise in memory
        g = named(name)(g, **keywords)
    return g


# -------------------------------------------------------------------------- along one dimension


def _grid(positions: Array, axis: int) -> tuple:
    """The full index that picks, for each place in `positions`, that position along `axis`."""
    arange, last = xp(positions).arange, positions.ndim - 1
    return tuple(
        positions if d == axis else arange(n).reshape((n,) + (1,) * (last - d))
        for d, n in enumerate(positions.shape)
    )


def _check_positions(input: Array, axis: int, positions: Array, name: str) -> None:
    if positions.dtype.kind not in "iu":
        raise DTypeError(f"{name}: the index must be an integer tensor, got {positions.dtype}.")
    if positions.ndim != input.ndim or any(
        d != axis and n > input.shape[d] for d, n in enumerate(positions.shape)
    ):
        raise ShapeError(
            f"{name}: index shape {positions.shape} does not fit input shape {input.shape} "
            f"(as many dimensions, no larger except in dimension {axis})."
        )
    check_range(positions, 0, input.shape[axis], name)


def check_range(positions: Array, low: int, high: int, name: str) -> None:
    """Raises IndexError naming the first index outside [low, high): CuPy would wrap it silently,
    and does so unless anomaly mode is on: see `values_are_checked`."""
    if not values_are_checked(positions):
        return
    bad = (positions < low) | (positions >= high)
    if bad.any():
        raise IndexError(
            f"{name}: index {int(positions[bad][0])} is out of range; expected {low} to {high - 1}."
        )


def check_type(input: Tensor, src: Tensor, name: str) -> None:
    """Raises DTypeError unless what is put into input has its type."""
    need_tensors(name, input=input, src=src)
    if src._array.dtype != input._array.dtype:
        raise DTypeError(
            f"{name}: src must have the type of input, {input._array.dtype}, got "
            f"{src._array.dtype}; convert it with .to()."
        )


@op
def _gather(input: Array, index: Array, dim: int) -> Array:
    """y[i][j] = input[index[i][j]][j] for dim 0, and so on"""
    if input.ndim == 0:
        return input.reshape(1)[index.reshape(-1)].reshape(index.shape)
    axis = axis_of(dim, input.ndim, "gather")
    if index.size == 0:
        return input.reshape(-1)[:0].reshape(index.shape)
    _check_positions(input, axis, index, "gather")
    return input[_grid(index, axis)]


_gather.vjp(input=lambda g, index, input_shape, dim: _scattered(g, index, dim, input_shape))


def _scattered(g: Tensor, index: Tensor, dim: int, shape: Shape) -> Tensor:
    zeros = wrap(xp(g._array).zeros(shape, g._array.dtype))
    return scatter_add(zeros, dim, index, g)


def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """y[i][j] = input[index[i][j]][j] for dim 0, input[i][index[i][j]] for dim 1, and so on.

    https://docs.pytorch.org/docs/stable/generated/torch.gather.html
    """
    return _gather(input, index, dim)


@op
def _scatter_add(input: Array, index: Array, src: Array, dim: int) -> Array:
    """y = input, with src[i][j] added at [index[i][j]][j] for dim 0, and so on"""
    out = input.copy()
    if input.ndim == 0:
        combine_at("add", out.reshape(1), index.reshape(-1), src.reshape(-1))
        return out
    axis = axis_of(dim, input.ndim, "scatter_add")
    if index.size == 0:
        return out
    _check_positions(input, axis, index, "scatter_add")
    combine_at("add", out, _grid(index, axis), src[tuple(slice(n) for n in index.shape)])
    return out


_scatter_add.vjp(
    input=lambda g: g,
    src=lambda g, index, src_shape, dim: _gather_into(g, index, dim, src_shape),
)


def _gather_into(g: Tensor, index: Tensor, dim: int, shape: Shape) -> Tensor:
    """g at the index, in the shape of src, which may be larger than the index."""
    picked = gather(g, dim, index)
    if picked._array.shape == shape:
        return picked
    return _unindex(picked, tuple(slice(n) for n in picked._array.shape), shape)


@widest
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """y = input, with src[i][j] added at [index[i][j]][j] for dim 0, and so on.

    https://docs.pytorch.org/docs/stable/generated/torch.Tensor.scatter_add_.html
    """
    check_type(input, src, "scatter_add")
    return _scatter_add(input, index, src, dim)


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """y = the slices of input along dim at the positions in a 1-d index.

    https://docs.pytorch.org/docs/stable/generated/torch.index_select.html
    """
    axis = axis_of(dim, input._array.ndim, "index_select")
    if input._array.ndim == 0:
        return index_select(input.reshape(1), 0, index).reshape(())
    if index._array.dtype.kind not in "iu":
        raise DTypeError(f"index_select: the index must be integers, got {index._array.dtype}.")
    check_range(index._array, 0, input._array.shape[axis], "index_select")
    return _index(input, (slice(None),) * axis + (index._array,))


def masked_fill(input: Tensor, mask: Tensor, value: float | Tensor) -> Tensor:
    """y = value where mask, else input, in the type of input.

    https://docs.pytorch.org/docs/stable/generated/torch.Tensor.masked_fill_.html
    """
    if isinstance(value, Tensor) and value._array.ndim:
        raise ShapeError(f"masked_fill: value must be a number, got shape {value._array.shape}.")
    value = _lifted(input, value, input)
    if value._array.dtype != input._array.dtype:
        value = cast(value, input._array.dtype)
    return _where(mask, value, input)


def nonzero(input: Tensor, as_tuple: bool = False) -> Tensor | tuple[Tensor, ...]:
    """The positions (n, ndim) of the elements that are not 0, or one tensor per dimension."""
    array = input._array
    if array.ndim == 0:
        found = nonzero(input.reshape(1), as_tuple)
        return found if as_tuple else found[:, :0]
    found = [wrap(a) for a in xp(array).nonzero(array)]
    return tuple(found) if as_tuple else cat([f.unsqueeze(1) for f in found], 1)


class ValuesAndIndices(NamedTuple):
    """Result of max(dim), min(dim), sort and topk."""

    values: Tensor
    indices: Tensor


def sort(
    input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False
) -> ValuesAndIndices:
    """(values, indices) in order along dim. The order of equal elements is kept.

    https://docs.pytorch.org/docs/stable/generated/torch.sort.html
    """
    indices = argsort(input, dim, descending)
    return ValuesAndIndices(gather(input, dim, indices), indices)


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The positions that put input in order along dim. The order of equal elements is kept."""
    array = input._array
    if array.ndim == 0:
        return wrap(xp(array).zeros((), "int64"))
    axis = axis_of(dim, array.ndim, "argsort")
    if not descending:
        return wrap(xp(array).argsort(array, axis, kind="stable"))
    backwards = xp(array).flip(array, axis)  # so that equal elements keep their order
    order = xp(array).flip(xp(array).argsort(backwards, axis, kind="stable"), axis)
    return wrap(array.shape[axis] - 1 - order)


def topk(
    input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> ValuesAndIndices:
    """(values, indices) of the k largest (or smallest) along dim, in order.

    https://docs.pytorch.org/docs/stable/generated/torch.topk.html
    """
    if input._array.ndim == 0:
        found = topk(input.reshape(1), k, dim, largest)
        return ValuesAndIndices(*[x.reshape(()) if k == 1 else x for x in found])
    axis = axis_of(dim, input._array.ndim, "topk")
    if not 0 <= k <= input._array.shape[axis]:
        raise ShapeError(f"topk: k = {k}, but dimension {dim} has {input._array.shape[axis]}.")
    order = argsort(input, axis, descending=largest)._array
    indices = wrap(order[(slice(None),) * axis + (slice(k),)])
    return ValuesAndIndices(gather(input, axis, indices), indices)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """y[..., c] = 1 where tensor == c, else 0, as int64.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.one_hot.html
    """
    labels = tensor._array
    if labels.dtype.kind not in "iu":
        raise DTypeError(f"one_hot: expected integer labels, got {labels.dtype}.")
    if num_classes == -1:
        if labels.size == 0:
            raise ShapeError("one_hot: an empty tensor needs num_classes.")
        num_classes = int(labels.max()) + 1
    check_range(labels, 0, num_classes, "one_hot")
    classes = xp(labels).arange(num_classes)
    return wrap((labels[..., None] == classes).astype("int64"))
