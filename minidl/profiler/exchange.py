"""What a profile exchanges while it runs, so that no op needs a test for it.

Every op's forward, `run_fused` (which runs a kernel), `pull` (which runs derivative rules), the
walk and the tape's recorder give way to versions that take the time, and come back at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import backward, dtypes, fused, kernels, makers, tape
from ..device import CPU, of, xp
from ..optim.hooks import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from ..tape import Node, Op, Tensor
from .events import Event, Events


def exchange(events: Events) -> list[Callable[[], None]]:
    """Puts the timing versions in place. Returns what takes them away again, last one first."""
    undo = [
        *_exchange_forwards(events),
        _exchange(makers, "run_fused", _timed_kernel(events, makers.run_fused)),
    ]
    for kind in (Op, *Op.__subclasses__()):
        if "pull" in kind.__dict__:
            undo.append(_exchange(kind, "pull", _timed_pull(events, kind.pull)))
    undo.append(_exchange(backward, "walk", _timed_walk(events, backward.walk)))
    return [*undo, _exchange_recorder(events), *_time_optimizers(events)]


def _exchange(owner: Any, name: str, new: Callable) -> Callable[[], None]:
    old = getattr(owner, name)
    setattr(owner, name, new)
    return lambda: setattr(owner, name, old)


def _exchange_forwards(events: Events) -> list[Callable[[], None]]:
    originals: dict[Callable, Callable] = {}
    functions = tape.all_ops().values()
    for function in functions:
        timed = _timed_forward(events, function.op, function.op.forward)
        originals[timed] = function.op.forward
        _set_forward(function, timed)

    def restore() -> None:
        for function in functions:
            _set_forward(function, originals[function.op.forward])
        for op in fused._fused_ops.values():  # those made meanwhile copied the timing version
            op.forward = originals.get(op.forward, op.forward)

    return [restore]


def _set_forward(function: Callable, forward: Callable) -> None:
    """Gives an op another forward, also where its maker keeps it at hand, in a closure's cell."""
    function.op.forward = forward  # type: ignore[attr-defined]
    names = function.__code__.co_freevars
    if "forward" in names:
        function.__closure__[names.index("forward")].cell_contents = forward  # type: ignore[index]


def _timed_forward(events: Events, op: Op, forward: Callable) -> Callable:
    def timed(*args: Any, **kwargs: Any) -> Any:
        event = Event(op.name, "forward", "definition" if op.definition else "")
        if op.kernels:
            event.missed = _why_no_kernel(op, args)
        events.begin(event)
        try:
            result = forward(*args, **kwargs)
        finally:
            events.finish(event)
        event.ran = event.ran or xp(result[0] if isinstance(result, tuple) else result).__name__
        if not (op.view and makers._on_memory_of(args[0], result)):
            event.bytes = _bytes(result)
        return result

    timed.__wrapped__ = forward  # type: ignore[attr-defined]
    return timed


def _timed_kernel(events: Events, run: Callable) -> Callable:
    def timed(source: Op, kernel: kernels.Kernel, inputs: tuple, kwargs: dict) -> tuple:
        ran = "definition" if kernel.forward is None else "kernel"
        event = events.begin(Event(source.name, "forward", ran))
        try:
            found = run(source, kernel, inputs, kwargs)
        finally:
            events.finish(event)
        event.bytes = _bytes(found[-2:])  # the result, and what it leaves to the backward
        return found

    return timed


def _timed_pull(events: Events, pull: Callable) -> Callable:
    def timed(op: Op, node: Node, *args: Any) -> Any:
        here = events.here
        if here.node is node:  # one class's pull calls another's
            return pull(op, node, *args)
        before, here.node = here.node, node
        event = events.begin(Event(op.name, "backward"), events.recorded_in.get(node))
        try:
            return pull(op, node, *args)
        finally:
            events.finish(event)
            here.node = before

    return timed


def _timed_walk(events: Events, walk: Callable) -> Callable:
    def timed(*args: Any, **kwargs: Any) -> Any:
        event = events.begin(Event("backward", "walk"))
        try:
            return walk(*args, **kwargs)
        finally:
            events.finish(event)

    return timed


def _exchange_recorder(events: Events) -> Callable[[], None]:
    """Notes inside of which definition each node was recorded."""
    before = tape.record

    def noted(*args: Any) -> Node:
        node = before(*args)
        if events.here.open:
            events.recorded_in[node] = events.here.open[-1]
        return node

    def restore() -> None:
        if tape.record is noted:  # not if anomaly mode has put its own there since
            tape.set_recorder(before)

    tape.set_recorder(noted)
    return restore


def _time_optimizers(events: Events) -> list[Callable[[], None]]:
    """Each step of an optimizer becomes a range, under the name that PyTorch gives it."""
    steps: dict[Any, Event] = {}

    def start(optimizer: Any, *call: Any) -> None:
        name = f"Optimizer.step#{type(optimizer).__name__}.step"
        steps[optimizer] = events.begin(Event(name, "range"))

    def end(optimizer: Any, *call: Any) -> None:
        events.finish(steps.pop(optimizer))

    before, after = register_optimizer_step_pre_hook(start), register_optimizer_step_post_hook(end)
    return [before.remove, after.remove]


def _bytes(value: Any) -> int:
    if isinstance(value, (tuple, list)):
        return sum([_bytes(v) for v in value])
    return getattr(value._array if isinstance(value, Tensor) else value, "nbytes", 0)


def _why_no_kernel(op: Op, args: tuple) -> str:
    """Why these arguments run without the op's kernel; "" where it would not be faster."""
    inputs = args[0] if op.variadic and not op.definition else args[: len(op.inputs)]
    arrays = [x._array if isinstance(x, Tensor) else x for x in inputs if x is not None]
    if max([array.size for array in arrays]) < kernels.LARGE:
        return ""
    if not kernels.enabled():
        return "kernels are off"
    for array in arrays:
        if of(array) is not CPU:
            return ""
        if array.dtype.kind == "f" and array.dtype is not dtypes.F32:
            return f"it takes float32, the input is {array.dtype}"
    if op.name in kernels.CPU and kernels.load(op.name) is None:
        return "it needs numba, which is not installed"
    return "it does not take these shapes or options"
