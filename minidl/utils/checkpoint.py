"""Checkpointing: forget what a part of a model saved, and compute it again in the backward.

Memory for time: of a checkpointed part only its inputs stay alive between forward and backward.
https://docs.pytorch.org/docs/stable/checkpoint.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .. import tape, tree
from ..backward import walk
from ..device import Array
from ..errors import GraphError
from ..random import default_generator
from ..tape import PICK, Leaf, Node, Op, Tensor, grad_mode, mode, wrap
from ..views import edge_of

__all__ = ["checkpoint", "checkpoint_sequential"]


def checkpoint(
    function: Callable,
    *args: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """function(*args, **kwargs), of which the tape keeps the inputs only.

    The backward calls the function again, under the autocast of the first call and, if
    preserve_rng_state, with its random numbers; it walks back through what that recorded. Whatever
    the function reads may need gradients: arguments, parameters, tensors of the code around it.
    use_reentrant chooses between PyTorch's two ways; here there is one, which does all that both
    do. determinism_check, debug and early_stop change nothing: the second call is always checked.
    Raises GraphError if the second call does not use the same tensors as the first.
    """
    if not mode.grad:
        return function(*args, **kwargs)
    before = default_generator.get_state()
    start = tape.now()
    out = function(*args, **kwargs)
    outputs = [t for t in tree.leaves(out) if isinstance(t, Tensor)]
    edges = _frontier([edge_of(t) for t in outputs], start)
    if not edges:
        return out
    state = before if preserve_rng_state else None
    node_of = _Recomputed(function, args, kwargs, state, edges, len(outputs))
    fresh = [wrap(t._array) for t in outputs]
    node = tape.record(node_of, tuple(edges), (), False, fresh[0], {})
    for i, (t, old) in enumerate(zip(fresh, outputs, strict=True)):
        t._node = None
        if edge_of(old) is not None:
            tape.record(PICK, (node,), (), False, t, {"index": i, "of": len(fresh)})
    rest = iter(fresh)
    return tree.replace(lambda t: next(rest) if isinstance(t, Tensor) else t, out)


def checkpoint_sequential(
    functions: Sequence[Callable], segments: int, input: Any, **options: Any
) -> Any:
    """The functions one after the other, in `segments` parts, all but the last checkpointed."""
    functions = list(functions)
    size = len(functions) // segments

    def part(chosen: list[Callable]) -> Callable:
        def run(x: Any) -> Any:
            for function in chosen:
                x = function(x)
            return x

        return run

    for i in range(segments - 1):
        input = checkpoint(part(functions[i * size : (i + 1) * size]), input, **options)
    return part(functions[(segments - 1) * size :])(input)


def _frontier(edges: Iterable, start: int) -> list[Node | Leaf]:
    """Where a graph leaves what was recorded since `start`: older nodes, and leaves, in order."""
    found: dict[Node | Leaf, None] = {}
    seen, stack = set(), [edge for edge in edges if edge is not None]
    while stack:
        edge = stack.pop()
        if edge in seen:
            continue
        seen.add(edge)
        if isinstance(edge, Leaf) or edge.sequence <= start:
            found[edge] = None
        else:
            stack.extend(below for below in edge.edges if below is not None)
    return list(found)


class _Recomputed(Op):
    """The op of a checkpointed call: its gradients come from a second call."""

    def __init__(
        self, function: Callable, args: tuple, kwargs: dict, state: Any, edges: list, outputs: int
    ):
        def checkpointed(input: Array) -> None: ...

        super().__init__(checkpointed, outputs=outputs)
        self.again = lambda: function(*args, **kwargs)
        self.state, self.count = state, len(edges)
        self.autocast = mode.autocast

    def pull(self, node: Node, g: Any, edges: Iterable, create_graph: bool) -> list:
        now = default_generator.get_state()
        if self.state is not None:
            default_generator.set_state(self.state)
        start = tape.now()
        before, mode.autocast = mode.autocast, self.autocast
        try:
            with grad_mode(True):
                out = self.again()
        finally:
            mode.autocast = before
            if self.state is not None:
                default_generator.set_state(now)
        outputs = [t for t in tree.leaves(out) if isinstance(t, Tensor)]
        if len(outputs) != self.outputs:
            raise GraphError(
                f"checkpoint: the function returned {self.outputs} tensors, and {len(outputs)} "
                "when it was called again."
            )
        pairs = [(edge_of(t), v) for t, v in zip(outputs, g, strict=True) if v is not None]
        own = _frontier([edge for edge, _ in pairs], start)
        unknown = [edge for edge in own if edge not in node.edges]
        if unknown:
            raise GraphError(
                "checkpoint: called again, the function used tensors that need a gradient and "
                "that it did not use the first time: it must do the same both times."
            )
        wanted = {edge for edge in edges if edge is not None}
        roots = [(edge, v) for edge, v in pairs if edge is not None]
        leaves, found = walk(roots, wanted, create_graph, create_graph, beyond=False)
        return [None if e is None else leaves.get(e, found.get(e)) for e in edges]
