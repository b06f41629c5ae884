"""The tape: what a Tensor is, what a Node remembers, and how an op call is recorded.

    op call  -> a maker (makers.py) runs its forward on arrays -> a new Tensor,
                and `make_node` records the call if any input needs a gradient
    backward -> the walk (backward.py) takes the nodes newest first and asks each op to `pull`

A Tensor is a value (an array) with a pointer to the Node it came from. A Node is what one op call
remembers: the nodes its inputs came from (`edges`), what its derivative rules will read (`saved`,
with version numbers), a sequence number. Tensor and Node are two things because a tensor that is
changed in place (views.py) moves on to a new node, while those who used the old value still need
the old one.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from inspect import isgeneratorfunction, signature, unwrap
from itertools import count
from typing import Any

from . import kernels
from .device import Array
from .errors import GraphError

_next_sequence = count(1).__next__


class _Mode(threading.local):
    """Per-thread switches, read by attribute."""

    grad = True
    anomaly = False
    autocast: Any = None  # the type of products in `amp.autocast`


mode = _Mode()


# ---------------------------------------------------------------------------------------- values


class Tensor:
    """An n-dimensional array that can remember how it was computed.

    `_array`    the value: always an array, 0-d included
    `_node`     None, the `Leaf` of a tensor that requires a gradient, or the `Node` it came from
    `_version`  one number in a list, shared by all tensors on the same memory; a write raises it
    `_view`     None, or what part of which tensor this is
    `_grad`     the accumulated gradient, or None; users read and set it as `grad`
    `minidl/tensor.py` attaches methods and operators; no `__getattr__`, which slows slots.
    """

    __slots__ = ("__weakref__", "_array", "_grad", "_node", "_version", "_view")

    __array_ufunc__ = None  # makes `array * tensor` reach `Tensor.__rmul__`

    _array: Any
    _node: Node | Leaf | None
    _version: list[int]
    _view: View | None
    _grad: Tensor | None


class Node:
    """What one recorded op call remembers.

    `edges`  per input, the Node or Leaf it came from, or None
    `saved`  per input three things in a row: array, version cell, version then; None, None, None
             if no rule reads it. (One flat tuple: the garbage collector's time grows with tuples.)
    `out`    such a triple for the output, or None `kwargs`    the other arguments of the call
    `shape`  of the output                         `sequence`  its place on the tape
    Set only where used: `shapes` of the inputs, `aux`, and in anomaly mode `where`, `made_nan`.
    """

    __slots__ = (
        "__weakref__",
        "aux",
        "edges",
        "hooks",
        "kwargs",
        "made_nan",
        "op",
        "out",
        "saved",
        "sequence",
        "shape",
        "shapes",
        "where",
    )


class Leaf:
    """Where the graph ends: stands for a tensor that requires a gradient, without owning it."""

    __slots__ = ("__weakref__", "hooks", "shape", "tensor")

    sequence = 0

    def __init__(self, tensor: Tensor):
        self.tensor = weakref.ref(tensor)
        self.shape = tensor._array.shape
        self.hooks = None


class View:
    """A tensor that shares memory with `root`, reached by `steps` = (earlier steps, op, kwargs)."""

    __slots__ = ("root", "root_node", "share", "steps", "tracked", "version")


new = object.__new__


def wrap(array: Any, kind: type[Tensor] = Tensor) -> Tensor:
    """A tensor on this array (not copied), without history."""
    t = new(kind)
    t._array = array
    t._node = None
    t._version = [0]
    t._view = None
    t._grad = None
    return t


def bump(t: Tensor) -> None:
    """Says that the memory of `t` was written: a backward that needs the old value will raise."""
    t._version[0] += 1


class grad_mode:
    """Switches recording for this thread; a context manager and a decorator."""

    def __init__(self, enabled: bool):
        self.enabled = enabled
        self.previous: list[bool] = []

    def __enter__(self) -> grad_mode:
        self.previous.append(mode.grad)
        mode.grad = self.enabled
        return self

    def __exit__(self, *exc: object) -> None:
        mode.grad = self.previous.pop()

    def __call__(self, function: Callable) -> Callable:
        enabled = self.enabled

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with grad_mode(enabled):
                return function(*args, **kwargs)

        def generator(*args: Any, **kwargs: Any) -> Any:
            running, sent = function(*args, **kwargs), None
            while True:
                with grad_mode(enabled):  # only while the body runs, not while it waits
                    try:
                        value = running.send(sent)
                    except StopIteration as end:
                        return end.value
                sent = yield value

        return named_like(function, generator if isgeneratorfunction(function) else wrapped)


def named_like(function: Callable, wrapper: Callable) -> Callable:
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(wrapper, name, getattr(function, name, None))
    wrapper.__wrapped__ = function  # type: ignore[attr-defined]
    return wrapper


def parameter_names(function: Callable) -> tuple[str, ...]:
    """The names of a function's parameters (ten times faster than `inspect.signature`)."""
    code = unwrap(function).__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


# ------------------------------------------------------------------------------------------- ops


class Rule:
    """A derivative rule. Its parameter names after `g` say what it reads, and so what is saved."""

    __slots__ = ("function", "reads")

    def __init__(self, op: Op, function: Callable):
        self.function = function
        self.reads = [op.reader(name) for name in parameter_names(function)[1:]]


OUT, NEEDS, AUX, ALL = "out", "needs", "aux", "all"


class Op:
    """An operation: a forward (array code or a definition on Tensors) and its derivative rules.

    `rules[i]` is the rule of input i or None. `rule_of_all`, if given, returns all gradients.
    """

    def __init__(
        self,
        forward: Callable,
        definition: bool = False,
        view: bool = False,
        result: str = "same",
        outputs: int = 1,
        aux: bool = False,
    ):
        self.forward = forward
        self.name = forward.__name__.strip("_")
        self.definition = definition
        self.view = view
        self.result = result
        self.outputs = outputs
        self.has_aux = aux
        self.kernels = self.name in kernels.OPS
        parameters = signature(forward).parameters.values()
        # Annotations are read as text: Array.. or Tensor.. is an input, `.. | None` may be left
        # out, a plural is a list of inputs.
        kind = {p.name: str(p.annotation) for p in parameters}
        self.inputs = [n for n, k in kind.items() if k.startswith(("Array", "Tensor"))]
        self.optional = {n for n, k in kind.items() if k.endswith("None")}
        self.variadic = len(self.inputs) == 1 and kind[self.inputs[0]].endswith("s")
        self.parameters = list(kind)
        self.keywords = self.parameters[len(self.inputs) :]
        if self.parameters[: len(self.inputs)] != self.inputs:
            raise TypeError(f"{self.name}: its tensors must come before its other parameters.")
        self.defaults = {
            p.name: p.default
            for p in parameters
            if p.name not in self.inputs and p.default is not p.empty
        }
        self.rules: list[Rule | None] = [None] * len(self.inputs)
        self.rule_of_all: Rule | None = None
        self.has_rules = False
        self.differentiable = definition
        self.plans: dict[int, tuple[list[bool], bool, bool]] = {}

    def reader(self, name: str) -> Any:
        """What a rule's parameter name stands for: an input's number, a shape, or a keyword."""
        if name in self.inputs:
            return ALL if self.variadic else self.inputs.index(name)
        stem = name.removesuffix("_shape")
        if stem in self.inputs and stem != name:
            return ("shape", None if self.variadic else self.inputs.index(stem))
        if name in (OUT, NEEDS, AUX):
            return sys.intern(name)  # the constant itself, so that `is` finds it
        if name in self.parameters:
            return name
        raise TypeError(
            f"a rule of {self.name} names {name!r}, which is neither out, aux, needs, "
            f"an input {self.inputs}, INPUT_shape, nor a keyword of the op."
        )

    def declare(self, rules: dict[str, Callable]) -> None:
        self.has_rules = self.differentiable = True
        for name, function in rules.items():
            if name not in self.inputs:
                raise TypeError(f"{self.name} has no input {name!r}; inputs: {self.inputs}.")
            self.rules[self.inputs.index(name)] = Rule(self, function)
        self.plans.clear()

    def declare_all(self, function: Callable) -> None:
        self.has_rules = self.differentiable = True
        self.rule_of_all = Rule(self, function)
        self.plans.clear()

    def plan(self, needs: int, count: int) -> tuple[list[bool], bool, bool]:
        """What to save of a call: which of its `count` inputs, whether the output, the shapes.

        needs: bit i says that input i needs a gradient. Worked out once for each case.
        """
        if needs not in self.plans:
            reads = self.reads(needs)
            keep = [ALL in reads or i in reads for i in range(count)]
            shapes = any(r.__class__ is tuple for r in reads)
            if self.variadic:  # the next call may have another number of inputs
                return keep, OUT in reads, shapes
            self.plans[needs] = keep, OUT in reads, shapes
        return self.plans[needs]

    def reads(self, needs: int) -> list:
        """All that the rules read which run for these inputs."""
        if self.rule_of_all is not None:
            return self.rule_of_all.reads
        needed = [rule for i, rule in enumerate(self.rules) if needs >> i & 1 and rule is not None]
        return [r for rule in needed for r in rule.reads]

    def pull(self, node: Node, g: Tensor, edges: Iterable, create_graph: bool) -> Iterable:
        """The gradients of the inputs whose edge is not None, from the gradient of the output."""
        if self.rule_of_all is not None:
            rule = self.rule_of_all
            return rule.function(g, *[argument(node, r, edges, create_graph) for r in rule.reads])
        gradients = []
        i = 0
        for edge in edges:
            if edge is None:
                gradients.append(None)
            else:
                rule = self.rules[i]
                if rule is None:
                    raise_missing_rule(self, i)
                reads = rule.reads
                if not reads:
                    gradients.append(rule.function(g))
                elif len(reads) == 1:
                    value = argument(node, reads[0], edges, create_graph)
                    gradients.append(rule.function(g, value))
                else:
                    values = [argument(node, r, edges, create_graph) for r in reads]
                    gradients.append(rule.function(g, *values))
            i += 1  # noqa: SIM113 (enumerate costs a fifth of this loop)
        return gradients


def argument(node: Node, read: Any, edges: Iterable, create_graph: bool) -> Any:
    """The value for one parameter of a rule (see `Op.reader`).

    Saved arrays come back as tensors: bare in a plain backward, on their edge under create_graph.
    """
    if read.__class__ is int:
        saved = node.saved
        if saved is None:
            raise_freed(node)
        at = 3 * read
        array = saved[at]
        cell = saved[at + 1]
        if cell is None:
            return array
        version = saved[at + 2]
        if cell[0] != version:
            raise_stale(node, f"its input '{node.op.inputs[read]}'", cell[0] - version)
        origin = node.edges[read] if create_graph else None
    elif read is OUT:
        if node.out is None:
            raise_freed(node)
        array, cell, version = node.out
        if cell[0] != version:
            raise_stale(node, "its output", cell[0] - version)
        origin = node if create_graph else None
    else:
        return _fact(node, read, edges, create_graph)
    t = new(Tensor)
    t._array = array
    t._node = origin
    t._version = cell
    t._view = None
    t._grad = None
    return t


def raise_missing_rule(op: Op, i: int) -> None:
    name = op.inputs[i]
    raise GraphError(f"{op.name} has no rule for '{name}'; add {op.name}.vjp({name}=...).")


def _fact(node: Node, read: Any, edges: Iterable, create_graph: bool) -> Any:
    """The rarer things that a rule reads: a shape, which inputs need a gradient, aux, a keyword,
    or all inputs of an op that takes a list."""
    if read is ALL:
        return [argument(node, i, edges, create_graph) for i in range(len(node.edges))]
    if read.__class__ is tuple:
        return node.shapes if read[1] is None else node.shapes[read[1]]
    if read is NEEDS:
        return tuple([edge is not None for edge in edges])
    if read is AUX:
        several = isinstance(node.aux, tuple)
        return tuple([wrap(a) for a in node.aux]) if several else wrap(node.aux)
    return node.kwargs[read]


def input_name(op: Op, i: int) -> str:
    return f"{op.inputs[0]}[{i}]" if op.variadic else op.inputs[i]


def raise_freed(node: Node) -> None:
    raise GraphError(
        f"backward through {node.op.name}{at(node)} a second time: what it saved was freed by "
        "the first. Pass retain_graph=True to the first backward, or compute the loss again."
    )


def raise_stale(node: Node, what: str, writes: int) -> None:
    hint = "" if mode.anomaly else " autograd.detect_anomaly() names the line."
    raise GraphError(
        f"backward of {node.op.name}{at(node)} needs {what}, which was changed in place after "
        f"the forward ({writes} write{'s' if writes != 1 else ''} since). Use the operation "
        f"that is not in place, or clone() before the change.{hint}"
    )


def at(node: Node) -> str:
    where = getattr(node, "where", None)
    return f" (recorded at {where})" if where else ""


# ------------------------------------------------------------------------------------- recording


def make_node(
    op: Op, edges: tuple, saved: Any, saves_out: bool, out: Tensor, kwargs: dict | None
) -> Node:
    """Records one op call on the tape and hangs `out` on it. Called only if some edge exists.

    saved: what `entry` gives, or NOTHING, of one input after the other; may end early.
    """
    node = Node()
    node.op = op
    node.edges = edges
    node.saved = saved
    node.kwargs = kwargs
    node.sequence = _next_sequence()
    node.hooks = None
    array = out._array
    node.shape = array.shape
    if saves_out:
        cell = out._version
        node.out = (array, cell, cell[0])
    else:
        node.out = None
    out._node = node
    return node


NOTHING = (None, None, None)


def entry(value: Any) -> tuple:
    """What is kept of an input: its array, its version cell, and the version now; or the number."""
    if isinstance(value, Tensor):
        cell = value._version
        return (value._array, cell, cell[0])
    return (value, None, None)


record = make_node  # the one hook: anomaly mode (and a profiler, a viewer) puts its own here


def now() -> int:
    """A place on the tape after all that is recorded, and before all that will be."""
    return _next_sequence()


def set_recorder(recorder: Callable) -> None:
    """Replaces what the makers call for every recorded op; `make_node` puts it back."""
    global record
    record = recorder


# --------------------------------------------------------------------------------- ops by name

_functions: dict[str, Callable] = {}


def named(name: str) -> Callable:
    """The function of an op, by name. The tape needs a few ops itself, and they are built on it."""
    return _functions[name]


def register(name: str, function: Callable) -> None:
    """Adds an op's function to the table. Raises ValueError for a name that minidl itself uses:
    the walk looks up its own ops there, and kernels go by the name."""
    known = _functions.get(name)
    if known is not None and known.__module__.startswith("minidl."):
        raise ValueError(f"there is an op {name!r} in minidl already; give yours another name.")
    _functions[name] = function


def all_ops() -> dict[str, Callable]:
    """Every op by name. `function.op` is its `Op`."""
    return dict(_functions)


class _Pick(Op):
    """Output i of a node with several outputs; the walk hands its gradient to that node."""

    def __init__(self) -> None:
        def pick(source: Array, index: int, of: int) -> None: ...

        super().__init__(pick)


PICK = _Pick()
