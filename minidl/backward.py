"""The walk: gradients flow from the outputs back along the tape, newest node first.

A node may only run after everything that used its output has paid in. Sequence numbers make that
easy: whoever used an output was recorded later, so the largest number waiting is always ready.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from typing import Any

from . import anomaly, device, tape
from .autocasting import suspended
from .errors import DeviceError, DTypeError, GraphError, ShapeError
from .promotion import cast, kind_of
from .tape import PICK, Leaf, Node, Tensor, grad_mode, mode, named, wrap
from .views import Retain, edge_of

Edge = Node | Leaf
TensorOrTensors = Tensor | Sequence[Tensor]


def backward(
    tensors: TensorOrTensors,
    grad_tensors: TensorOrTensors | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: TensorOrTensors | None = None,
) -> None:
    """Adds d(sum of tensors * grad_tensors)/d(leaf) to the `grad` of every leaf (or of `inputs`).

    grad_tensors: one cotangent per tensor, of its shape; may be left out for one-element tensors.
    retain_graph: keep what the nodes saved, so that backward can run again (default: create_graph).
    create_graph: record the derivative itself, so that it can be differentiated.
    Raises GraphError for tensors without history, or when the graph was freed or overwritten.
    https://docs.pytorch.org/docs/stable/generated/torch.autograd.backward.html
    """
    roots = _roots("backward", _listed(tensors), grad_tensors)
    if inputs is not None and not _listed(inputs):
        raise GraphError("backward: `inputs` is empty; leave it out to reach all leaves.")
    wanted = None if inputs is None else _wanted("backward", _listed(inputs))
    leaves, found = walk(roots, wanted, _keep(retain_graph, create_graph), create_graph)
    with grad_mode(create_graph):
        for leaf in list(leaves):
            held = [leaves.pop(leaf)]
            _accumulate(leaf.tensor(), held, create_graph)
        if inputs is not None:
            for t in _listed(inputs):
                node = edge_of(t)
                if node.__class__ is Node and node in found:
                    _accumulate(t, [found[node]], create_graph)


def grad(
    outputs: TensorOrTensors,
    inputs: TensorOrTensors,
    grad_outputs: TensorOrTensors | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """d(sum of outputs * grad_outputs)/d(inputs), one tensor per input; no `grad` is touched.

    Only nodes between the outputs and the inputs run, and only those are freed.
    allow_unused: give None for an input that the outputs do not depend on, instead of an error.
    only_inputs: always so, as in PyTorch. is_grads_batched: not supported; use func.vmap.
    https://docs.pytorch.org/docs/stable/generated/torch.autograd.grad.html
    """
    if is_grads_batched:
        raise NotImplementedError("grad: is_grads_batched is not supported; use func.vmap.")
    roots = _roots("grad", _listed(outputs), grad_outputs)
    sources = _listed(inputs)
    wanted = _wanted("grad", sources)
    leaves, found = walk(roots, wanted, _keep(retain_graph, create_graph), create_graph)
    results = []
    for i, t in enumerate(sources):
        edge = edge_of(t)
        gradient = leaves.get(edge) if edge.__class__ is Leaf else found.get(edge)
        if gradient is None and materialize_grads:
            gradient = wrap(device.xp(t._array).zeros(t._array.shape, t._array.dtype))
        if gradient is None and not allow_unused:
            raise GraphError(
                f"grad: input {i} was not used to compute the outputs. "
                "Pass allow_unused=True to get None for it."
            )
        results.append(gradient)
    return tuple(results)


def walk(
    roots: list[tuple[Edge, Tensor]],
    wanted: set[Edge] | None,
    keep: bool,
    create_graph: bool,
    beyond: bool = True,
) -> tuple[dict[Leaf, Tensor], dict[Node, Tensor]]:
    """Runs the nodes newest first. Returns the gradients of leaves, and of the wanted nodes.

    beyond=False: a wanted node does not run, so that what it came from gets nothing through it.

    One long loop on purpose: each call in it would cost a fiftieth of a small op's backward.
    """
    needed = None if wanted is None else _leading_to(wanted, [edge for edge, _ in roots])
    pending: dict[Edge, Tensor | list] = {}
    heap: list[tuple[int, Node]] = []
    found: dict[Node, Tensor] = {}
    # In a chain one node waits at a time: it and its gradient are here, and the heap is empty.
    upcoming: Node | None = None
    waiting: Tensor | None = None
    add, suspicious = named("add"), mode.anomaly
    with grad_mode(create_graph), suspended():
        while roots:  # emptied, so that the first gradients can be freed as the walk goes on
            edge, gradient = roots.pop()
            if needed is None or edge in needed:
                _pay(pending, heap, edge, gradient)
        while heap or upcoming is not None:
            # Take the newest node: all that used its output has paid in.
            if upcoming is not None:
                node, g = upcoming, waiting
                upcoming = waiting = None
            else:
                node = heappop(heap)[1]
                g = pending.pop(node)
            if node.hooks:
                g = _hooked(node, g)
            if wanted is not None and node in wanted:
                found[node] = g
                if not beyond:
                    continue
            # Ask its op for the gradients of its inputs.
            edges = node.edges
            if needed is not None:
                edges = tuple([edge if edge in needed else None for edge in edges])
                if not any(edge is not None for edge in edges):
                    continue
            op = node.op
            if op is PICK:
                _pay_part(pending, heap, node, g)
                continue
            if node.saved is None:
                tape.raise_freed(node)
            gradients = op.pull(node, g, edges, create_graph)
            if suspicious:
                _check_finite(node, gradients)
            # Pay them to the nodes and leaves that the inputs came from.
            i = 0
            for gradient in gradients:
                edge = edges[i]
                i += 1
                if edge is None or gradient is None:
                    continue
                try:
                    whole = gradient._array.shape == edge.shape
                except AttributeError:
                    raise TypeError(
                        f"a rule of {op.name}{tape.at(node)} returned {kind_of(gradient)}, "
                        "expected a Tensor."
                    ) from None
                if not whole:
                    gradient = fit(gradient, edge.shape, node)
                if edge.__class__ is Node and not heap:
                    if upcoming is None:
                        upcoming, waiting = edge, gradient
                        continue
                    if upcoming is edge:
                        waiting = add(waiting, gradient)
                        continue
                    _pay(pending, heap, upcoming, waiting)
                    upcoming = waiting = None
                _pay(pending, heap, edge, gradient)
            if not keep and (node.saved or node.out is not None):
                node.saved = node.out = node.aux = None
        for leaf in pending:
            if leaf.hooks:
                pending[leaf] = _hooked(leaf, pending[leaf])
    return pending, found


def _pay(pending: dict, heap: list, edge: Edge, gradient: Tensor) -> None:
    held = pending.get(edge)
    if held is not None:
        pending[edge] = named("add")(held, gradient)
        return
    pending[edge] = gradient
    if edge.__class__ is Node:
        heappush(heap, (-edge.sequence, edge))


def _pay_part(pending: dict, heap: list, pick: Node, gradient: Tensor) -> None:
    """A node with several outputs gets a list of gradients, None where an output was not used."""
    source = pick.edges[0]
    if source not in pending:
        pending[source] = [None] * pick.kwargs["of"]
        heappush(heap, (-source.sequence, source))
    pending[source][pick.kwargs["index"]] = gradient


def _leading_to(wanted: set[Edge], roots: list[Edge]) -> set[Edge]:
    """The wanted edges and every node from which one of them can be reached."""
    seen, stack = set(roots), list(roots)
    while stack:
        edge = stack.pop()
        if edge.__class__ is Node:
            for below in edge.edges:
                if below is not None and below not in seen:
                    seen.add(below)
                    stack.append(below)
    needed = set(wanted)
    for node in sorted((e for e in seen if e.__class__ is Node), key=lambda n: n.sequence):
        if any(edge in needed for edge in node.edges):
            needed.add(node)
    return needed


def fit(gradient: Tensor, shape: tuple[int, ...], node: Node) -> Tensor:
    """A gradient in its input's shape: summed over broadcast axes, or spread over summed ones."""
    have = gradient._array.shape
    lead = len(have) - len(shape)
    if lead >= 0:
        axes = tuple(range(lead)) + tuple(
            lead + i for i, n in enumerate(shape) if n == 1 and have[lead + i] != 1
        )
        if axes:
            gradient = named("sum")(gradient, axes, True)
        if lead:
            gradient = named("reshape")(gradient, gradient._array.shape[lead:])
        have = gradient._array.shape
    if have != shape:
        try:
            gradient = named("expand")(gradient, shape)
        except ShapeError:
            raise ShapeError(
                f"a rule of {node.op.name}{tape.at(node)} returned a gradient of shape {have} "
                f"for an input of shape {shape}."
            ) from None
    return gradient


def check_grad(t: Tensor, value: Any) -> None:
    """Raises unless `value` can be the gradient of `t`."""
    if not isinstance(value, Tensor):
        raise TypeError(f"grad must be a Tensor or None, got a {type(value).__name__}.")
    if value._array.shape != t._array.shape or value._array.dtype != t._array.dtype:
        raise ShapeError(
            f"grad must have the tensor's shape {t._array.shape} and type {t._array.dtype}, got "
            f"{value._array.shape} and {value._array.dtype}."
        )
    here, there = device.device_of(t._array), device.device_of(value._array)
    if here != there:
        raise DeviceError(
            f"grad must be on the tensor's device, {here}, got one on {there}; move it with "
            f".to('{here}')."
        )


def _hooked(edge: Edge, gradient: Tensor) -> Tensor:
    """Runs the hooks of a complete gradient; retain_grad comes last and sees what they made."""
    for hook in sorted(edge.hooks.values(), key=lambda hook: hook.__class__ is Retain):
        changed = hook(gradient)
        if changed is not None:
            _check_hooked(gradient, changed)
            gradient = changed
    return gradient


def _check_hooked(gradient: Tensor, changed: Any) -> None:
    if not isinstance(changed, Tensor):
        raise TypeError(f"a hook must return a Tensor or None, got a {type(changed).__name__}.")
    if changed._array.shape != gradient._array.shape:
        raise ShapeError(
            f"a hook returned a gradient of shape {changed._array.shape} for one of shape "
            f"{gradient._array.shape}."
        )


def _check_finite(node: Node, gradients: Iterable) -> None:
    for i, gradient in enumerate(gradients):
        if gradient is not None and anomaly.has_nan(gradient):
            raise GraphError(
                f"backward of {node.op.name}{tape.at(node)} returned nan for its input "
                f"'{tape.input_name(node.op, i)}'."
            )


# ------------------------------------------------------------------------------ into the leaves


def _accumulate(t: Tensor | None, held: list[Tensor], create_graph: bool) -> None:
    """t.grad += the gradient in `held`. The first is adopted if nobody else has it, else copied."""
    if t is None:  # the leaf itself is gone: nobody can ask for its gradient
        return
    if held[0]._array.dtype != t._array.dtype:
        held[0] = cast(held[0], t._array.dtype)
    if t._grad is not None:
        if create_graph:
            t._grad = named("add")(t._grad, held[0])
        else:
            t._grad._array += held[0]._array
            tape.bump(t._grad)
    elif create_graph:
        t._grad = named("clone")(held[0])
    else:
        t._grad = wrap(_own(held))


_ALONE = 2  # what getrefcount says of an object in one place: that place, and its own argument


def _own(held: list[Tensor]) -> device.Array:
    """The gradient's array itself if it is whole and in no other place, else a copy."""
    alone = sys.getrefcount(held[0]) == _ALONE and sys.getrefcount(held[0]._array) == _ALONE
    whole = held[0]._array.base is None and held[0]._array.flags.c_contiguous
    return held[0]._array if alone and whole else held[0]._array.copy()


# ----------------------------------------------------------------------------------- arguments


def _keep(retain_graph: bool | None, create_graph: bool) -> bool:
    return create_graph if retain_graph is None else retain_graph


def _listed(tensors: TensorOrTensors) -> list[Tensor]:
    if isinstance(tensors, Tensor):
        return [tensors]
    if not isinstance(tensors, (list, tuple)) and not hasattr(tensors, "__next__"):
        raise TypeError(f"expected a Tensor or a list of them, got {kind_of(tensors)}.")
    return list(tensors)


def _roots(
    name: str, tensors: list[Tensor], cotangents: TensorOrTensors | None
) -> list[tuple[Edge, Tensor]]:
    given = [None] * len(tensors) if cotangents is None else _listed(cotangents)
    if len(given) != len(tensors):
        raise GraphError(f"{name}: {len(tensors)} outputs, but {len(given)} cotangents.")
    roots = []
    for t, g in zip(tensors, given, strict=True):
        edge = edge_of(t)
        if edge is None:
            raise GraphError(
                f"{name}: the tensor does not require a gradient: no input of its computation "
                "has requires_grad=True, or it was computed under no_grad or detached."
            )
        if mode.anomaly:
            anomaly.check_value(t, edge)
        roots.append((edge, _cotangent(name, t, g)))
    return roots


def _cotangent(name: str, t: Tensor, g: Tensor | None) -> Tensor:
    array = t._array
    if g is None:
        if array.size != 1:
            raise GraphError(
                f"{name}: a gradient can be left out only for a tensor with one element, this "
                f"one has shape {array.shape}. Reduce it first (.sum(), .mean()), or pass a "
                "cotangent of its shape."
            )
        return wrap(device.xp(array).ones(array.shape, array.dtype))
    if g._array.shape != array.shape:
        raise ShapeError(
            f"{name}: the cotangent has shape {g._array.shape}, the tensor {array.shape}."
        )
    if g._array.dtype.kind != "f":
        raise DTypeError(f"{name}: the cotangent has type {g._array.dtype}, expected a float.")
    return g if g._array.dtype == array.dtype else cast(g, array.dtype)


def _wanted(name: str, inputs: list[Tensor]) -> set[Edge]:
    edges = [edge_of(t) for t in inputs]
    for i, edge in enumerate(edges):
        if edge is None:
            raise GraphError(f"{name}: input {i} does not require a gradient.")
    return set(edges)
