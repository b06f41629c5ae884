"""Views, and changes in place.

A view shares memory with its root, and with it the version number. Every change in place is one
function: run the operation out of place, copy the result into the memory, raise the version, and
move the tensor to the new node. If the tensor is a view, the root moves to an `overwrite` node, and
other views of it replay their steps from there when they are next used.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import Any

from numpy import ndarray

from . import tape
from .device import Array, device_of, on
from .errors import DeviceError, DTypeError, GraphError, ShapeError
from .hooks import hooks_of
from .promotion import cast
from .tape import Leaf, Node, Op, Tensor, View, bump, grad_mode, mode, named, new, wrap


def edge_of(t: Any) -> Node | Leaf | None:
    """Where the gradient of `t` goes: its Node, its Leaf, or None if it needs none."""
    if not isinstance(t, Tensor):
        return None
    return t._node if t._view is None else synced(t)


def alias(t: Tensor) -> Tensor:
    """A second tensor on the same memory, with the same history and version."""
    other = wrap(t._array)
    other._node = t._node if t._view is None else synced(t)
    other._version = t._version
    return other


def make_view(op: Op, source: Tensor, t: Tensor, kwargs: dict) -> None:
    """Marks `t` as the part `op` of `source`. A view of a view points at the first root."""
    cell = t._version = source._version
    if len(cell) == 1:
        cell.append(object())
    view = new(View)
    parent = source._view
    view.root = source if parent is None else parent.root
    view.steps = (None if parent is None else parent.steps, op, kwargs)
    view.root_node = view.root._node
    view.version = t._version[0]
    view.tracked = mode.grad and (parent is None or parent.tracked)
    view.share = cell[1]
    t._view = view


# ----------------------------------------------------------------------- who else is on the memory

# Behind the version number stands, once there are views, an object that all of them hold: so the
# number of its references says whether one is still there.
OUTSIDE = object()  # instead of it, when tensors that are no views, or arrays, lie on the memory
_ALONE = 2  # what getrefcount says of an object in one place: that place, and its own argument


def share(t: Tensor) -> None:
    """Says that somebody got hold of the memory of `t` who is not a view of it."""
    t._version[1:] = [OUTSIDE]


def is_shared(t: Tensor) -> bool:
    """Whether another tensor, or an array, lies on the memory of `t`."""
    cell = t._version
    return len(cell) > 1 and (cell[1] is OUTSIDE or sys.getrefcount(cell[1]) > _ALONE)


def in_rows(t: Tensor) -> Tensor:
    """Moves `t` into new memory, in row-major order; gives a tensor on that memory through which
    gradients come back in the old order."""
    order = memory_order(t._array)
    laid = named("laid")(t, tuple(range(len(order))), order)
    t._array, t._version = laid._array, laid._version
    return laid


def memory_order(array: Array) -> tuple[int, ...]:
    """The dimensions of an array, the one with the largest steps in memory first."""
    return tuple(sorted(range(array.ndim), key=lambda d: -abs(array.strides[d])))


def steps_of(view: View) -> list[tuple[Op, dict]]:
    """The ops that lead from the root to this view, first one first."""
    steps, chain = [], view.steps
    while chain is not None:
        chain, op, kwargs = chain
        steps.append((op, kwargs))
    return steps[::-1]


def synced(t: Tensor) -> Node | Leaf | None:
    """The node of a view, replayed on its root's node if the root was changed in place since."""
    view, cell = t._view, t._version
    if view.version != cell[0]:
        if view.root_node is not view.root._node:
            if view.root._view is not None:  # t_, unsqueeze_ and their like made it a view
                raise GraphError(
                    "a view was used after its base changed its shape in place (t_, unsqueeze_, "
                    "...) and then its values: make the view again."
                )
            view.root_node = view.root._node
            source = alias(view.root)
            with grad_mode(True):
                for op, kwargs in steps_of(view):
                    source = named(op.name)(source, **kwargs)
            t._node = source._node
        view.version = cell[0]
    return t._node


def in_place(name: str, function: Callable, t: Tensor, args: tuple, kwargs: dict) -> Tensor:
    """Every in-place operation: run it out of place, copy the result in, move `t` to its node."""
    check_writable(name, t)
    start = tape.now()
    result = function(alias(t), *args, **kwargs)
    array = result._array
    if array.shape != t._array.shape:
        raise ShapeError(
            f"{name}: the result has shape {array.shape}, but the tensor that it would be "
            f"written into has shape {t._array.shape}."
        )
    kinds = "biuf".replace("u", "i")
    have, want = (kinds.index(d.kind.replace("u", "i")) for d in (t._array.dtype, array.dtype))
    if have < want:
        raise DTypeError(
            f"{name}: the result has type {array.dtype}, which cannot be stored in a tensor of "
            f"type {t._array.dtype}."
        )
    node = result._node
    if node is None and mode.grad and edge_of(t) is not None:
        write(t, ..., result)  # a constant now: what it was before gets no gradient through it
        return t
    if node is not None:
        _check_tracked(name, t)
        _keep_old_values(node, t, start)
    t._array[...] = array
    bump(t)
    if node is not None:
        if t._array.dtype != array.dtype:
            node = cast(result, t._array.dtype)._node
        elif node.out is not None:  # the rule reads the output: it now lives in t's memory
            node.out = (t._array, t._version, t._version[0])
        move(t, node)
    return t


def _keep_old_values(node: Node, t: Tensor, start: int) -> None:
    """The rules of this very operation, of all nodes that it recorded since `start`, may read what
    it is about to overwrite: they get a copy."""
    seen, stack = {node}, [node]
    while stack:
        at = stack.pop()
        if t._version in at.saved[1::3]:
            saved = list(at.saved)
            for i in range(0, len(saved), 3):
                if saved[i + 1] is t._version:
                    saved[i : i + 3] = saved[i].copy(), [0], 0
            at.saved = tuple(saved)
        for below in at.edges:
            if below.__class__ is Node and below.sequence > start and below not in seen:
                seen.add(below)
                stack.append(below)


def check_writable(name: str, t: Tensor) -> None:
    """Refuses writes that autograd could not follow, or that would hit one element many times."""
    view = t._view
    if mode.grad:
        root = t if view is None else view.root
        if root._node.__class__ is Leaf:
            what = "a leaf tensor" if view is None else "a view of a leaf tensor"
            raise GraphError(
                f"{name}: {what} that requires a gradient cannot be changed in place while "
                "recording; use `with minidl.no_grad():` or work on a clone()."
            )
        if root._node is not None:
            _check_tracked(name, t)
    array = t._array
    if array.size and any(
        s == 0 and n > 1 for s, n in zip(array.strides, array.shape, strict=True)
    ):
        raise ShapeError(
            f"{name}: several elements of this expanded tensor share one place in memory; "
            "clone() it before changing it in place."
        )
    if not getattr(array.flags, "writeable", True):
        raise ValueError(f"{name}: the tensor lies on a read-only NumPy array; clone() it first.")


def _check_tracked(name: str, t: Tensor) -> None:
    if t._view is not None and not t._view.tracked:
        raise GraphError(
            f"{name}: this view was made under no_grad, so its base would not learn of the "
            "change. Make the view with recording on, or change it under no_grad."
        )


def move(t: Tensor, node: Node) -> None:
    """`t` was overwritten by the output of `node`; if it is a view, its root gets a write node,
    and `t` becomes a new view of that."""
    view, old = t._view, t._node
    if view is None:
        t._node = node
    else:
        root = view.root
        shell = wrap(root._array)
        edges = (root._node, node)
        _record_write(edges, shell, steps_of(view))
        _move_retained(root._node, shell._node)
        root._node = shell._node
        synced(t)
    _move_retained(old, t._node)


def _record_write(edges: tuple, shell: Tensor, steps: list) -> None:
    """Records that the part reached by `steps` of the first edge's value became the second's."""
    kwargs = {"steps": steps, "order": memory_order(shell._array)}
    tape.record(named("overwrite").op, edges, (), False, shell, kwargs)


class Retain:
    """A hook that stores the gradient in the tensor's `grad`; it moves with the tensor."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Tensor):
        self.tensor = weakref.ref(tensor)

    def __call__(self, gradient: Tensor) -> None:
        t = self.tensor()
        if t is not None:
            t._grad = named("clone")(gradient) if t._grad is None else t._grad + gradient


def _move_retained(old: Node | None, new: Node) -> None:
    if old is None or not old.hooks:
        return
    kept = {k: h for k, h in old.hooks.items() if h.__class__ is Retain}
    for k in kept:
        del old.hooks[k]
    if kept:
        hooks_of(new).update(kept)


def write(t: Tensor, index: Any, value: Any) -> None:
    """`t[index] = value`: written at once, recorded as one `overwrite` node. `value` is brought to
    the device of `t`, where all this happens."""
    if t._array.__class__ is ndarray:
        _write(t, index, value)
    else:
        with on(device_of(t._array)):
            _write(t, index, value)


def _write(t: Tensor, index: Any, value: Any) -> None:
    check_writable("t[...] = value", t)
    value_edge = None
    array = t._array
    if isinstance(value, Tensor):
        if array.__class__ is not ndarray or value._array.__class__ is not ndarray:
            value = _brought(value, array, index)
        value_edge = edge_of(value)
        if value_edge is not None and value._array.dtype != array.dtype:
            value_edge = cast(value, array.dtype)._node
        value = value._array
    own = edge_of(t)
    recorded = mode.grad and (own is not None or value_edge is not None)
    if recorded:
        _check_tracked("t[...] = value", t)
    try:
        array[index] = value
    except ValueError as error:
        raise ShapeError(f"assignment to a tensor of shape {array.shape}: {error}") from error
    except IndexError as error:
        raise IndexError(f"index into a tensor of shape {array.shape}: {error}") from error
    bump(t)
    if recorded:
        shell = wrap(array)
        steps = [(named("index").op, {"index": index})]
        _record_write((own, value_edge), shell, steps)
        move(t, shell._node)


def _brought(value: Tensor, array: Array, index: Any) -> Tensor:
    """`value` on the device of `array`. As in PyTorch an assignment copies from anywhere, but where
    tensors are the index, only a number comes from another device."""
    here, there = device_of(array), device_of(value._array)
    if here == there:
        return value
    if value._array.ndim and not is_basic(index):
        raise DeviceError(
            f"t[index] = value: where a tensor is the index, t on {here} does not take a value of "
            f"shape {value._array.shape} on {there}; use value.to('{here}')."
        )
    return named("transferred")(value, str(here), str(there))


def is_basic(index: Any) -> bool:
    """Whether an index has no arrays in it: then it picks a view."""
    return not any(hasattr(i, "ndim") for i in (index if isinstance(index, tuple) else (index,)))
