"""`minidl.autograd`: gradients as functions, your own functions with gradients, anomaly mode."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import Any

from .. import anomaly, device, tape
from ..backward import backward, grad
from ..errors import GraphError
from ..promotion import cast
from ..tape import Node, Op, Tensor, grad_mode, mode, wrap
from ..views import edge_of

__all__ = [
    "Function",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]


class _Switch(grad_mode):
    """A grad mode that also works as a bare decorator, `@no_grad` for `@no_grad()`."""

    to = True

    def __new__(cls, mode: Any = True) -> Any:
        if callable(mode):
            return grad_mode(cls.to)(mode)
        return super().__new__(cls)

    def __init__(self, mode: bool = True):
        super().__init__(self.to if mode else tape.mode.grad)


class no_grad(_Switch):
    """Records nothing inside: `with no_grad():`, or `@no_grad()` on a function."""

    to = False


class inference_mode(_Switch):
    """As no_grad. (PyTorch's also forbids to use the results in autograd; minidl's does not.)"""

    to = False


class enable_grad(_Switch):
    """Records inside, also within no_grad."""


class set_grad_enabled(grad_mode):
    """Switches recording at once; as a context manager it switches back at the end."""

    def __init__(self, mode: bool):
        super().__init__(mode)
        self.before = tape.mode.grad
        tape.mode.grad = mode

    def __call__(self, function: Callable) -> Callable:
        tape.mode.grad = self.before  # the switch is meant for the function, not for now
        return super().__call__(function)

    def __enter__(self) -> set_grad_enabled:
        self.previous.append(self.before)
        tape.mode.grad = self.enabled
        return self


def is_grad_enabled() -> bool:
    """Whether operations are recorded in this thread."""
    return mode.grad


# ------------------------------------------------------------------------------------ anomaly mode


class set_detect_anomaly:
    """Switches anomaly mode at once; as a context manager it switches back at the end."""

    def __init__(self, mode: bool):
        self.before = tape.mode.anomaly
        _set_anomaly(mode)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        _set_anomaly(self.before)


class detect_anomaly:
    """Inside, each recorded op notes the user's line. A backward from a nan, or that meets one,
    raises a GraphError that names the op which made the first nan, and that line. Slow.

    https://docs.pytorch.org/docs/stable/autograd.html#anomaly-detection
    """

    def __enter__(self) -> None:
        self.before = tape.mode.anomaly
        _set_anomaly(True)

    def __exit__(self, *exc: object) -> None:
        _set_anomaly(self.before)


def _set_anomaly(on: bool) -> None:
    mode.anomaly = on
    if on:
        tape.set_recorder(anomaly.record_with_line)  # stays: it does nothing more in other threads


# --------------------------------------------------------------------------------------- Function


class Context:
    """What forward leaves for backward: tensors by save_for_backward, anything by attribute."""

    def __init__(self, needs_input_grad: tuple[bool, ...]):
        self.needs_input_grad = needs_input_grad
        self.to_save: tuple = ()
        self.non_differentiable: set[int] = set()
        self.materialize = True
        self.restore: Callable | None = None

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keeps inputs or outputs; a change in place before backward will be noticed."""
        self.to_save = tensors

    def mark_non_differentiable(self, *outputs: Tensor) -> None:
        """Says that these outputs carry no gradient."""
        self.non_differentiable = {id(t) for t in outputs}

    def set_materialize_grads(self, value: bool) -> None:
        """False: backward gets None instead of zeros for outputs that were not used."""
        self.materialize = value

    @property
    def saved_tensors(self) -> tuple:
        """What save_for_backward kept, connected to the graph. Only inside backward."""
        if self.restore is None:
            raise GraphError("saved_tensors can be read only while backward runs.")
        return self.restore()


class Function:
    """Your own differentiable function: static methods forward(ctx, ...) and backward(ctx, *g).

        class Cube(Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * x * x

            @staticmethod
            def backward(ctx, g):
                (x,) = ctx.saved_tensors
                return 3 * x * x * g

        y = Cube.apply(x)

    backward returns one gradient (or None) per argument of forward. Written with differentiable
    operations, it can be differentiated again.
    https://docs.pytorch.org/docs/stable/autograd.html#function
    """

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Runs forward without recording, and records one node for the whole."""
        edges = tuple([edge_of(a) for a in args])
        recorded = mode.grad and any(edge is not None for edge in edges)
        ctx = Context(tuple(edge is not None for edge in edges))
        with grad_mode(False):
            if cls.setup_context is Function.setup_context:
                result = cls.forward(ctx, *args)
            else:
                result = cls.forward(*args)
                cls.setup_context(ctx, args, result)
        several = isinstance(result, tuple)
        outputs = [_fresh(t) for t in (result if several else (result,))]
        if recorded:
            _record(cls, ctx, edges, args, result if several else (result,), outputs)
        return tuple(outputs) if several else outputs[0]

    @staticmethod
    def forward(ctx: Context, *args: Any) -> Any:
        """Computes the outputs."""
        raise NotImplementedError("a Function needs a static method forward(ctx, ...)")

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple, output: Any) -> None:
        """Where it is given, forward takes no ctx, and this keeps what backward will need."""

    @staticmethod
    def backward(ctx: Context, *grads: Any) -> Any:
        """Computes the gradients of forward's arguments."""
        raise NotImplementedError("a Function needs a static method backward(ctx, *grads)")


class _FunctionOp(Op):
    """The op of one recorded call of a Function."""

    def __init__(self, function: type[Function], ctx: Context, count: int):
        def forward() -> None: ...

        super().__init__(forward)
        self.name = function.__name__
        self.function, self.ctx = function, ctx
        self.inputs = [f"argument {i}" for i in range(count)]

    def pull(self, node: Node, g: Any, edges: Iterable, create_graph: bool) -> list:
        grads = g if isinstance(g, list) else [g]
        if self.ctx.materialize:
            grads = [zeros() if x is None else x for x, zeros in zip(grads, node.aux, strict=True)]
        self.ctx.restore = lambda: _restored(node, create_graph)
        try:
            result = self.function.backward(self.ctx, *grads)
        finally:
            self.ctx.restore = None  # it holds the node, which holds the context
        result = result if isinstance(result, tuple) else (result,)
        for x in result:
            if x is not None and not isinstance(x, Tensor):
                raise TypeError(
                    f"{self.name}.backward must return tensors or None, got a {type(x).__name__}."
                )
        while len(result) > len(edges) and result[-1] is None:
            result = result[:-1]
        if len(result) != len(edges):
            raise GraphError(
                f"{self.name}.backward returned {len(result)} gradients, forward takes "
                f"{len(edges)} arguments."
            )
        return [
            x if x is None or x._array.dtype == kind else cast(x, kind)
            for x, kind in zip(result, node.kwargs["kinds"], strict=True)
        ]


def _fresh(t: Any) -> Any:
    """An output as a tensor of its own: forward may return one of its arguments as it is."""
    return t.detach() if isinstance(t, Tensor) else t


def _record(
    cls: type[Function], ctx: Context, edges: tuple, args: tuple, raw: tuple, outputs: list
) -> None:
    op = _FunctionOp(cls, ctx, len(args))
    kinds = [a._array.dtype if isinstance(a, Tensor) else None for a in args]
    first = next((t for t in outputs if isinstance(t, Tensor)), None)
    if first is None:
        return
    node = tape.record(op, edges, (), False, first, {"kinds": kinds})
    first._node = None
    node.aux = [_zeros_like(t) for t in outputs]
    several = len(outputs) > 1
    for i, (t, given) in enumerate(zip(outputs, raw, strict=True)):
        if not isinstance(t, Tensor):
            continue
        if t._array.dtype.kind != "f" or id(given) in ctx.non_differentiable:
            continue
        if several:
            tape.record(tape.PICK, (node,), (), False, t, {"index": i, "of": len(outputs)})
        else:
            t._node = node
    node.saved = [_entry(t, raw, outputs) for t in ctx.to_save]
    ctx.to_save = ()


def _zeros_like(t: Any) -> Callable[[], Tensor | None]:
    """Makes zeros in the shape of an output, without keeping the output."""
    if not isinstance(t, Tensor):
        return lambda: None
    xp, shape, dtype = device.xp(t._array), t._array.shape, t._array.dtype
    return lambda: wrap(xp.zeros(shape, dtype))


def _entry(t: Tensor | None, raw: tuple, outputs: list) -> tuple:
    """(array, version cell, version, edge or output number) of a saved tensor.

    A saved output must not point at its own node: that would be a cycle."""
    if t is None:
        return None, None, 0, None
    for i, given in enumerate(raw):
        if t is given:
            return t._array, t._version, t._version[0], i if len(outputs) > 1 else -1
    return t._array, t._version, t._version[0], edge_of(t)


def _restored(node: Node, create_graph: bool) -> tuple:
    if node.saved is None:
        tape.raise_freed(node)
    tensors: list[Tensor | None] = []
    for array, cell, version, edge in node.saved:
        if cell is None:
            tensors.append(None)
            continue
        if cell[0] != version:
            tape.raise_stale(node, "a tensor it saved", cell[0] - version)
        t = wrap(array)
        if create_graph and edge.__class__ is not int:
            t._node = edge
        elif create_graph and edge == -1:
            t._node = node
        elif create_graph:
            which = {"index": edge, "of": len(node.aux)}
            tape.record(tape.PICK, (node,), (), False, t, which)
        tensors.append(t)
    return tuple(tensors)


def Variable(data: Tensor, requires_grad: bool = False) -> Tensor:
    """The tensor itself: PyTorch's wrapper of its first years, which code still calls."""
    return data.detach().requires_grad_() if requires_grad else data


def __getattr__(name: str) -> Any:
    if name == "functional":  # imported when first used: it stands on the ops
        return importlib.import_module(".functional", __name__)
    raise AttributeError(f"minidl.autograd has no {name!r}.")
