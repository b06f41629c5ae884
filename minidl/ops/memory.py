"""Where elements lie: strides, storage, copies of views, and shapes changed in place."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..device import Array, xp
from ..errors import GraphError, ShapeError
from ..makers import op
from ..promotion import need_tensors
from ..tape import Tensor, bump, named_like, wrap
from ..views import edge_of, write
from .elementwise import clone
from .index import _index, _unindex
from .joins import split_with_sizes
from .rearrange import ravel, swapaxes, swapdims, unfold
from .shape import (
    Shape,
    diagonal,
    expand,
    narrow,
    permute,
    reshape,
    shape_of,
    squeeze,
    t,
    transpose,
    unbind,
    unsqueeze,
    view,
)

__all__ = """
    as_strided as_strided_copy as_strided_scatter
    alias_copy diagonal_copy expand_copy narrow_copy permute_copy split_with_sizes_copy squeeze_copy
    t_copy transpose_copy unbind_copy unfold_copy unsqueeze_copy view_copy
""".split()
METHODS = """
    as_strided as_strided_scatter storage_offset resize_ resize_as_
    squeeze_ unsqueeze_ transpose_ t_ swapaxes_ swapdims_ as_strided_
""".split()  # also methods of Tensor


# ---------------------------------------------------------------------------------- storage


def _address(array: Array) -> int:
    interface = getattr(array, "__cuda_array_interface__", None) or array.__array_interface__
    return interface["data"][0]


def _storage(array: Array) -> tuple[Array, int]:
    """The elements of the memory that an array lies on, in their order there, and where it begins.

    What PyTorch calls the storage is here the array that owns the memory.
    """
    owner = array
    while isinstance(owner.base, array.__class__):
        owner = owner.base
    if not (owner.flags.c_contiguous or owner.flags.f_contiguous) or owner.dtype != array.dtype:
        owner = array  # it lies on memory that NumPy does not describe
    start = (_address(array) - _address(owner)) // array.itemsize
    flat = xp(array).lib.stride_tricks.as_strided(
        owner, shape=(owner.size,), strides=(owner.itemsize,)
    )
    return flat, start


def storage_offset(input: Tensor) -> int:
    """Which element of the memory below it is its first one."""
    return _storage(input._array)[1]


def _places(like: Array, size: Shape, stride: Shape, start: int) -> Array:
    """start + i * stride[0] + j * stride[1] + ...: where the elements of a strided tensor lie."""
    grid = xp(like).full(size, start, "int64")
    for d, (n, step) in enumerate(zip(size, stride, strict=True)):
        grid += xp(like).arange(n).reshape((n,) + (1,) * (len(size) - d - 1)) * step
    return grid


@op(view=True, aux=True)
def _strided(
    input: Array, size: Shape, stride: Shape, start: int, count: int
) -> tuple[Array, tuple]:
    """y[i, j, ...] = storage[start + i * stride[0] + j * stride[1] + ...], storage under input

    count: how many elements the storage has, which the rule needs to know on the host.
    """
    storage, own = _storage(input)
    last = start + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 not in size and not (start >= 0 and last < count):
        raise ShapeError(
            f"as_strided: size {size}, stride {stride} and offset {start} reach element {last} "
            f"of memory that holds {count}."
        )
    steps = tuple(s * input.itemsize for s in stride)
    inside = storage[start:] if 0 not in size else storage[:0]
    out = xp(input).lib.stride_tricks.as_strided(inside, shape=size, strides=steps)
    have = _places(input, input.shape, [s // input.itemsize for s in input.strides], own)
    picked = _places(input, size, stride, start)
    return out, (have, picked)


@_strided.vjp_all
def _strided_rule(g: Tensor, aux: tuple, count: int) -> list:
    have, picked = (a._array for a in aux)
    return [_index(_unindex(g, (picked,), (count,)), (have,))]


def as_strided(
    input: Tensor, size: Shape, stride: Shape, storage_offset: int | None = None
) -> Tensor:
    """y[i, j, ...] = storage[offset + i * stride[0] + j * stride[1] + ...]: a view of the memory.

    It has a derivative, but a write into it cannot be recorded: it raises GraphError.
    https://docs.pytorch.org/docs/stable/generated/torch.as_strided.html
    """
    need_tensors("as_strided", input=input)
    size, stride = tuple(size), tuple(stride)
    if len(size) != len(stride) or min((*size, *stride), default=0) < 0:
        raise ShapeError(
            f"as_strided: expected as many strides as sizes, none negative, got {size}, {stride}."
        )
    storage, own = _storage(input._array)
    start = own if storage_offset is None else storage_offset
    out = _strided(input, size, stride, start, storage.size)
    if out._view is not None:
        out._view.tracked = False  # a recorded write would replay it on other memory
    return out


def as_strided_scatter(
    input: Tensor, src: Tensor, size: Shape, stride: Shape, storage_offset: int | None = None
) -> Tensor:
    """y = input, with src in place of `as_strided(input, size, stride, storage_offset)`.

    https://docs.pytorch.org/docs/stable/generated/torch.as_strided_scatter.html
    """
    out = ravel(input).clone()
    places = _places(out._array, tuple(size), tuple(stride), storage_offset or 0)
    if places.size and int(places.max()) >= out._array.size:
        raise ShapeError(f"as_strided_scatter: {size}, {stride} reach beyond {out._array.size}.")
    if src._array.shape != places.shape:
        raise ShapeError(
            f"as_strided_scatter: src must have shape {places.shape}, got {src._array.shape}."
        )
    write(out, (places,), src)
    return reshape(out, input._array.shape)


# -------------------------------------------------------------------------- copies of views


def _copying(view: Callable, name: str) -> Callable:
    def copy(*args: Any, **kwargs: Any) -> Any:
        out = view(*args, **kwargs)
        return tuple(clone(o) for o in out) if isinstance(out, tuple) else clone(out)

    named_like(view, copy)
    copy.__name__ = copy.__qualname__ = name
    copy.__module__ = __name__
    copy.__doc__ = f"`{name.removesuffix('_copy')}`, as a copy."
    return copy


def alias_copy(input: Tensor) -> Tensor:
    """A copy: `clone`."""
    return clone(input)


as_strided_copy = _copying(as_strided, "as_strided_copy")
diagonal_copy = _copying(diagonal, "diagonal_copy")
expand_copy = _copying(expand, "expand_copy")
narrow_copy = _copying(narrow, "narrow_copy")
permute_copy = _copying(permute, "permute_copy")
split_with_sizes_copy = _copying(split_with_sizes, "split_with_sizes_copy")
squeeze_copy = _copying(squeeze, "squeeze_copy")
t_copy = _copying(t, "t_copy")
transpose_copy = _copying(transpose, "transpose_copy")
unbind_copy = _copying(unbind, "unbind_copy")
unfold_copy = _copying(unfold, "unfold_copy")
unsqueeze_copy = _copying(unsqueeze, "unsqueeze_copy")
view_copy = _copying(view, "view_copy")


# ----------------------------------------------------------------- shapes changed in place


def resize_(input: Tensor, *sizes: int, memory_format: object = None) -> Tensor:
    """Its memory in another shape; where that needs more elements, they may hold anything.

    Raises GraphError for a tensor that requires a gradient.
    https://docs.pytorch.org/docs/stable/generated/torch.Tensor.resize_.html
    """
    if edge_of(input) is not None:
        raise GraphError("resize_: a tensor that requires a gradient cannot be resized; detach it.")
    shape = shape_of(sizes)
    if shape == input._array.shape:
        return input
    storage, start = _storage(input._array)
    count = math.prod(shape)
    if start + count > storage.size:
        larger = xp(storage).zeros(start + count, storage.dtype)
        larger[: storage.size] = storage
        storage = larger
        input._view, input._version = None, [0]  # it left the memory that it shared
    input._array = storage[start : start + count].reshape(shape)
    bump(input)
    return input


def resize_as_(input: Tensor, the_template: Tensor, *, memory_format: object = None) -> Tensor:
    """`resize_` to the shape of another tensor."""
    return resize_(input, the_template._array.shape)


def _in_place(view: Callable, name: str) -> Callable:
    """`view` as a change of the tensor itself: it becomes a view of what it was."""

    def change(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if edge_of(input) is not None and input.is_leaf:
            raise GraphError(f"{name}: a leaf that requires a gradient keeps its shape.")
        before = wrap(input._array)
        before._node, before._version, before._view = input._node, input._version, input._view
        after = view(before, *args, **kwargs)
        input._array, input._node, input._view = after._array, after._node, after._view
        return input

    named_like(view, change)
    change.__name__ = change.__qualname__ = name
    change.__doc__ = f"`{name.removesuffix('_')}`, as a change of this tensor's own shape."
    return change


squeeze_ = _in_place(squeeze, "squeeze_")
unsqueeze_ = _in_place(unsqueeze, "unsqueeze_")
transpose_ = _in_place(transpose, "transpose_")
t_ = _in_place(t, "t_")
swapaxes_ = _in_place(swapaxes, "swapaxes_")
swapdims_ = _in_place(swapdims, "swapdims_")
as_strided_ = _in_place(as_strided, "as_strided_")
