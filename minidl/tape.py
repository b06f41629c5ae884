"""The tape: what a Tensor is, what a Node remembers, and how the makers tie them together.

    op call -> maker -> forward on arrays -> a new Tensor, and a Node if any input needs a gradient
    backward -> `minidl/backward.py` walks the nodes newest first and asks each op for its rules

A Tensor is a value (an array) with a pointer to the Node it came from. A Node is what one op call
remembers: the nodes its inputs came from (`edges`), what its derivative rules will read (`saved`,
with version numbers), a sequence number. Tensor and Node are two things because a tensor that is
changed in place moves on to a new node, while those who used the old value still need the old one.
"""

from __future__ import annotations

import inspect
import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

import numpy as np

from . import device, dtypes, kernels
from .errors import DeviceError, DTypeError, GraphError, ShapeError

F32 = dtypes.F32
ndarray = np.ndarray
_next_sequence = count(1).__next__


class _Mode(threading.local):
    """Per-thread switches, read by attribute."""

    grad = True
    anomaly = False


mode = _Mode()


# ---------------------------------------------------------------------------------------- values


class Tensor:
    """An n-dimensional array that can remember how it was computed.

    `_array`    the value: always an array, 0-d included
    `_node`     None, the `Leaf` of a tensor that requires a gradient, or the `Node` it came from
    `_version`  one number in a list, shared by all tensors on the same memory; a write raises it
    `_view`     None, or what part of which tensor this is
    Methods and operators are attached in `minidl/tensor.py`.
    """

    __slots__ = ("__weakref__", "_array", "_node", "_version", "_view", "grad")

    __array_ufunc__ = None  # makes `array * tensor` reach `Tensor.__rmul__`

    _array: Any
    _node: Node | Leaf | None
    _version: list[int]
    _view: View | None
    grad: Tensor | None


class Node:
    """What one recorded op call remembers. `shape` is the shape of its output."""

    __slots__ = (
        "__weakref__",
        "aux",
        "edges",
        "hooks",
        "kwargs",
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

    __slots__ = ("root", "root_node", "steps", "tracked", "version")


_new = object.__new__


def wrap(array: Any) -> Tensor:
    """A tensor on this array (not copied), without history."""
    t = _new(Tensor)
    t._array = array
    t._node = None
    t._version = [0]
    t._view = None
    t.grad = None
    return t


def alias(t: Tensor) -> Tensor:
    """A second tensor on the same memory, with the same history and version."""
    other = wrap(t._array)
    other._node = t._node if t._view is None else synced(t)
    other._version = t._version
    return other


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

        return _named_like(function, wrapped)


def _named_like(function: Callable, wrapper: Callable) -> Callable:
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(wrapper, name, getattr(function, name, None))
    wrapper.__wrapped__ = function  # type: ignore[attr-defined]
    return wrapper


# ------------------------------------------------------------------------------------------- ops


class Rule:
    """A derivative rule. Its parameter names after `g` say what it reads, and so what is saved."""

    __slots__ = ("function", "reads")

    def __init__(self, op: Op, function: Callable):
        self.function = function
        self.reads = [op.reader(name) for name in list(inspect.signature(function).parameters)[1:]]


OUT, NEEDS, AUX, ALL = "out", "needs", "aux", "all"


def _plan(op: Op, needs: Any, reads: list) -> tuple[tuple[int, ...], bool, bool]:
    keep = {r for r in reads if r.__class__ is int}
    if ALL in reads:
        keep = set(range(len(needs)))
    return tuple(sorted(keep)), OUT in reads, any(r.__class__ is tuple for r in reads)


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
        self.kernels = self.name in kernels.CPU
        parameters = inspect.signature(forward).parameters.values()
        kind = {p.name: str(p.annotation) for p in parameters}
        self.inputs = [n for n, k in kind.items() if k.startswith(("Array", "Tensor"))]
        self.optional = {n for n, k in kind.items() if k.endswith("None")}
        self.variadic = len(self.inputs) == 1 and kind[self.inputs[0]].endswith("s")
        self.parameters = list(kind)
        self.defaults = {
            p.name: p.default
            for p in parameters
            if p.name not in self.inputs and p.default is not p.empty
        }
        self.rules: list[Rule | None] = [None] * len(self.inputs)
        self.rule_of_all: Rule | None = None
        self.has_rules = False
        self.differentiable = definition
        self.plans: dict[Any, tuple] = {}

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

    def plan(self, needs: Any) -> tuple[tuple[int, ...], bool, bool]:
        """What to save when the inputs in `needs` need a gradient, and no other does:
        (numbers of inputs, whether the output, whether the shapes). Worked out once per case."""
        reads: list = []
        for i, rule in enumerate(self.rules):
            needed = needs >> i & 1 if isinstance(needs, int) else needs[i]
            reads += rule.reads if rule is not None and needed else []
        if self.rule_of_all is not None:
            reads += self.rule_of_all.reads
        self.plans[needs] = _plan(self, needs, reads)
        return self.plans[needs]

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
                reads = rule.reads
                if not reads:
                    gradients.append(rule.function(g))
                elif len(reads) == 1:
                    value = argument(node, reads[0], edges, create_graph)
                    gradients.append(rule.function(g, value))
                else:
                    values = [argument(node, r, edges, create_graph) for r in reads]
                    gradients.append(rule.function(g, *values))
            i += 1
        return gradients


def argument(node: Node, read: Any, edges: Iterable, create_graph: bool) -> Any:
    """The value for one parameter of a rule (see `Op.reader`).

    Saved arrays come back as tensors: bare in a plain backward, on their edge under create_graph.
    """
    if read.__class__ is int:
        saved = node.saved
        if saved is None:
            raise_freed(node)
        array, cell, version = saved[read]
        if cell is None:
            return array
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
    t = _new(Tensor)
    t._array = array
    t._node = origin
    t._version = cell
    t._view = None
    t.grad = None
    return t


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
    op: Op, edges: tuple, needs: Any, inputs: tuple, out: Tensor, kwargs: dict | None
) -> Node:
    """Records one op call on the tape and hangs `out` on it. Called only if some edge exists.

    needs: which inputs need a gradient, as the key of `op.plans`: bit i for input i, or a tuple.
    """
    node = _new(Node)
    node.op = op
    node.edges = edges
    node.kwargs = kwargs
    node.sequence = _next_sequence()
    array = out._array
    node.shape = array.shape
    node.hooks = None
    try:
        keep, keep_out, keep_shapes = op.plans[needs]
    except KeyError:
        keep, keep_out, keep_shapes = op.plan(needs)
    if keep:
        node.saved = saved = [None] * len(edges)
        for i in keep:
            x = inputs[i]
            if isinstance(x, Tensor):
                cell = x._version
                saved[i] = (x._array, cell, cell[0])
            else:
                saved[i] = (x, None, 0)  # a Python scalar, or None
    else:
        node.saved = ()
    if keep_out:
        cell = out._version
        node.out = (array, cell, cell[0])
    else:
        node.out = None
    if keep_shapes:
        node.shapes = [x._array.shape if isinstance(x, Tensor) else () for x in inputs]
    out._node = node
    return node


record = make_node  # the one hook: anomaly mode (and a profiler, a viewer) puts its own here


def set_recorder(recorder: Callable) -> None:
    """Replaces what the makers call for every recorded op; `make_node` puts it back."""
    global record
    record = recorder


def edge_of(t: Any) -> Node | Leaf | None:
    if not isinstance(t, Tensor):
        return None
    return t._node if t._view is None else synced(t)


# ------------------------------------------------------------------------------------ the makers


def unary(op: Op) -> Callable:
    """Maker for one tensor in, one tensor out, no keywords."""
    forward = op.forward
    to_float = op.result == "float"
    recorded = op.result != "bool"

    def call(input: Tensor) -> Tensor:
        if not isinstance(input, Tensor):
            raise TypeError(_not_a_tensor(op, op.inputs[0], input))
        array = input._array
        if array.dtype is not F32:
            input = _prepared(op, input, to_float)
            array = input._array
        out = forward(array)
        if out.__class__ is not ndarray:
            out = device.as_array(out, array)
        t = _new(Tensor)
        t._array = out
        t._node = None
        t._version = [0]
        t._view = None
        t.grad = None
        edge = input._node if input._view is None else synced(input)
        if edge is not None and recorded and mode.grad:
            record(op, (edge,), 1, (input,), t, None)
        return t

    return call


def binary(op: Op) -> Callable:
    """Maker for two operands that broadcast; one of them may be a Python scalar.

    Written out flat: it runs once for every `+` and `*` of every model.
    """
    forward = op.forward

    recorded = op.result != "bool"

    def call(input: Tensor | float, other: Tensor | float) -> Tensor:
        left = right = None
        if isinstance(input, Tensor):
            a = input._array
            fast = a.dtype is F32
            left = input._node if input._view is None else synced(input)
        else:
            a = input
            fast = input.__class__ is float
        if isinstance(other, Tensor):
            b = other._array
            fast = fast and b.dtype is F32
            right = other._node if other._view is None else synced(other)
        else:
            b = other
            fast = fast and other.__class__ is float
        if not fast:  # another type than float32: bring both to one type first
            input, other = promoted(op.name, input, other, op.result)
            a, left = _operand(input)
            b, right = _operand(other)
        try:
            out = forward(a, b)
        except (ValueError, TypeError) as error:
            raise explained(op, (a, b), error) from error
        if out.__class__ is not ndarray:
            out = device.as_array(out, b if input is a else a)
        t = _new(Tensor)
        t._array = out
        t._node = None
        t._version = [0]
        t._view = None
        t.grad = None
        if left is not None:
            if recorded and mode.grad:
                record(op, (left, right), 1 if right is None else 3, (input, other), t, None)
        elif right is not None and recorded and mode.grad:
            record(op, (left, right), 2, (input, other), t, None)
        return t

    return call


def _operand(value: Any) -> tuple[Any, Node | Leaf | None]:
    """The array (or number) and the edge of an operand."""
    if isinstance(value, Tensor):
        return value._array, value._node if value._view is None else synced(value)
    return value, None


def general(op: Op) -> Callable:
    """Maker for everything else: any number of inputs, keywords, views, several outputs, kernels.

    A call with a kernel records one node. A definition without one just runs.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        inputs, kwargs = _bind(op, args, kwargs)
        kernel = None
        if op.definition or op.kernels:
            kernel = kernels.choose(op, inputs, kwargs)
        if kernel is not None:
            return _fused(op, kernel, inputs, kwargs)
        if op.definition:
            return op.forward(*inputs, **kwargs)
        arrays = tuple([x._array if isinstance(x, Tensor) else x for x in inputs])
        try:
            out = op.forward(*([arrays] if op.variadic else arrays), **kwargs)
        except (ValueError, TypeError) as error:
            raise explained(op, arrays, error) from error
        out, aux = out if op.has_aux else (out, None)
        return _recorded(op, inputs, arrays, out, aux, kwargs)

    return call


def _recorded(
    op: Op, inputs: tuple, arrays: tuple, out: Any, aux: Any, kwargs: dict
) -> Tensor | tuple[Tensor, ...]:
    """Wraps the arrays that a forward returned, and records the call if an input needs it."""
    edges = tuple([edge_of(x) for x in inputs])
    needs = tuple([edge is not None for edge in edges])
    needed = mode.grad and op.differentiable and True in needs
    like = next(a for a in arrays if a is not None and a.__class__ not in (int, float, bool))
    if op.outputs == 1:
        t = wrap(device.as_array(out, like))
        if op.view and device.xp(like).may_share_memory(t._array, like):
            _make_view(op, inputs[0], t, kwargs)
        if needed:
            record(op, edges, needs, inputs, t, kwargs).aux = aux
        return t
    results = tuple([wrap(device.as_array(o, like)) for o in out])
    if needed:
        node = record(op, edges, needs, inputs, results[0], kwargs)
        node.aux = aux
        for i, t in enumerate(results):
            t._node = None
            if t._array.dtype.kind == "f":
                record(PICK, (node,), 1, (), t, {"index": i, "of": len(results)})
    return results


def _bind(op: Op, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """Sorts the arguments of a call into the op's tensor inputs and its complete keywords."""
    if len(args) > len(op.parameters):
        raise TypeError(
            f"{op.name}() takes {len(op.parameters)} arguments ({', '.join(op.parameters)}), "
            f"got {len(args)}."
        )
    values = dict(zip(op.parameters, args, strict=False))
    for name, value in kwargs.items():
        if name not in op.parameters or name in values:
            problem = "got two values for" if name in values else "has no argument"
            raise TypeError(
                f"{op.name}() {problem} {name!r}; arguments: {', '.join(op.parameters)}."
            )
        values[name] = value
    inputs = tuple([values.pop(name, None) for name in op.inputs])
    if op.variadic:
        inputs = _tensors(op, inputs[0])
    else:
        for name, x in zip(op.inputs, inputs, strict=True):
            if not isinstance(x, Tensor) and not (x is None and name in op.optional):
                raise TypeError(_not_a_tensor(op, name, x))
    bound = op.defaults | values
    if len(bound) + len(op.inputs) < len(op.parameters):
        missing = [n for n in op.parameters if n not in bound and n not in op.inputs]
        raise TypeError(f"{op.name}() is missing {', '.join(missing)}.")
    return inputs, bound


def _tensors(op: Op, value: Any) -> tuple:
    if isinstance(value, Tensor) or not isinstance(value, Iterable):
        raise TypeError(f"{op.name}() expects a list or tuple of tensors, got {_kind(value)}.")
    tensors = tuple(value)
    if not tensors:
        raise ShapeError(f"{op.name}() expects at least one tensor, got none.")
    for i, t in enumerate(tensors):
        if not isinstance(t, Tensor):
            raise TypeError(_not_a_tensor(op, f"{op.inputs[0]}[{i}]", t))
    return tensors


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _not_a_tensor(op: Op, name: str, value: Any) -> str:
    return (
        f"{op.name}(): '{name}' must be a Tensor, got {_kind(value)}. "
        "minidl.tensor(data) makes one from a list, a number or an array."
    )


def explained(op: Op, arrays: tuple, error: Exception) -> Exception:
    """NumPy's complaint about arrays, as an error that names the op and the shapes."""
    if error.__class__ not in (ValueError, TypeError):
        return error  # minidl's own errors say it all
    real = [a for a in arrays if hasattr(a, "shape")]
    if len({device.of(a).type for a in real}) > 1:
        where = ", ".join(
            f"'{n}' on {device.device_of(a)}"
            for n, a in zip(op.inputs, arrays, strict=False)
            if hasattr(a, "shape")
        )
        return DeviceError(f"{op.name}: all tensors must be on one device, got {where}.")
    if isinstance(error, TypeError):
        return DTypeError(f"{op.name}: {error}")
    shapes = " and ".join(str(a.shape) for a in real)
    if "broadcast" in str(error):
        return ShapeError(
            f"{op.name}: shapes {shapes} do not broadcast: counted from the right, each pair "
            "of sizes must be equal or one of them 1."
        )
    return ShapeError(f"{op.name}: {error} (shapes {shapes})")


# ------------------------------------------------------------------------------------- promotion


def promoted(name: str, a: Any, b: Any, result: str = "same") -> tuple[Any, Any]:
    """Both operands in PyTorch's common type. Tensors are converted by a recorded op.

    Python scalars stay scalars (they take the tensor's type), arrays become tensors.
    """
    a, b = _tensor_or_number(name, a), _tensor_or_number(name, b)
    if result == "strict":
        _check_strict(name, a, b)
    common = dtypes.result_type([_ranked(a), _ranked(b)])
    if result == "float" and common.kind != "f":
        common = dtypes.default_float()
    return _converted(name, a, common), _converted(name, b, common)


def _tensor_or_number(name: str, value: Any) -> Any:
    if isinstance(value, Tensor) or value.__class__ in (float, int, bool):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, ndarray):
        return wrap(value)
    raise TypeError(f"{name}() expects a Tensor or a number, got {_kind(value)}.")


def _check_strict(name: str, a: Any, b: Any) -> None:
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)):
        raise TypeError(f"{name}() expects two tensors, got {_kind(a)} and {_kind(b)}.")
    if a._array.dtype != b._array.dtype:
        raise DTypeError(
            f"{name}: the tensors must have one type, got {a._array.dtype} and {b._array.dtype}; "
            "convert one with .to()."
        )


def _ranked(value: Any) -> tuple[np.dtype, int]:
    if isinstance(value, Tensor):
        return value._array.dtype, 2 if value._array.ndim else 1
    return dtypes.of_scalar(value), 0


def _converted(name: str, value: Any, to: np.dtype) -> Any:
    if not isinstance(value, Tensor):
        return float(value) if to.kind == "f" else value
    _refuse_half(name, value)
    return value if value._array.dtype == to else cast(value, to)


def cast(t: Tensor, to: np.dtype) -> Tensor:
    """`t` in another type, by a recorded op whose rule casts the gradient back."""
    return named("cast")(t, to, t._array.dtype)


def _prepared(op: Op, input: Tensor, to_float: bool) -> Tensor:
    """The input of a unary op in a type that it computes in."""
    _refuse_half(op.name, input)
    if to_float and input._array.dtype.kind != "f":
        return cast(input, dtypes.default_float())
    return input


def _refuse_half(name: str, t: Tensor) -> None:
    if t._array.dtype == dtypes.F16 and device.of(t._array).type == "cpu":
        raise DTypeError(
            f"{name}: float16 is for storage on the CPU; compute in float32: x.float()."
        )


# ------------------------------------------------------------------------------------ decorators

_functions: dict[str, Callable] = {}


def named(name: str) -> Callable:
    """The function of an op, by name. The tape needs a few ops itself, and they are built on it."""
    return _functions[name]


def all_ops() -> dict[str, Callable]:
    """Every op by name. `function.op` is its `Op`."""
    return dict(_functions)


def op(forward: Callable | None = None, **options: Any) -> Any:
    """Makes an op from array code. Parameters annotated `Array` (or `Arrays`) are its inputs.

    view: its result may share memory with its input.
    result: what one or two plain operands are brought to first: "same" (their common type),
        "float" (integers become the default float), "strict" (different types are refused), or
        "bool" (common type; the result is bool, so the call is never recorded), or "mixed"
        (the inputs keep their own types, as an array and positions in it).
    outputs: how many arrays it returns.
    aux: it returns (value, aux); rules may read aux, users never see it.
    """
    if forward is None:
        return lambda function: op(function, **options)
    made = Op(forward, **options)
    plain = made.parameters == made.inputs and not (made.view or made.variadic or made.has_aux)
    plain = plain and made.result != "mixed" and not (made.kernels or made.optional)
    if plain and made.outputs == 1:
        maker = {1: unary, 2: binary}.get(len(made.inputs), general)
        return _attached(made, maker(made))
    return _attached(made, general(made))


def definition(forward: Callable | None = None, *, outputs: int = 1) -> Any:
    """Makes an op from a composition of other ops on Tensors. Parameters annotated `Tensor` are
    its inputs. It must be pure: no random numbers, no buffers written, no modes read."""
    if forward is None:
        return lambda function: definition(function, outputs=outputs)
    made = Op(forward, definition=True, outputs=outputs)
    return _attached(made, general(made))


def _attached(made: Op, call: Callable) -> Callable:
    def vjp(**rules: Callable) -> Callable:
        made.declare(rules)
        return call

    def vjp_all(function: Callable) -> Callable:
        made.declare_all(function)
        return function

    _named_like(made.forward, call)
    call.__name__ = call.__qualname__ = made.name
    call.op, call.vjp, call.vjp_all = made, vjp, vjp_all  # type: ignore[attr-defined]
    _functions[made.name] = call
    return call


class _Pick(Op):
    """Output i of a node with several outputs; the walk hands its gradient to that node."""

    def __init__(self) -> None:
        def pick(source: Array, index: int, of: int) -> None: ...

        super().__init__(pick)


Array = device.Array
PICK = _Pick()


# ------------------------------------------------------------------------- kernels of whole ops


class Fused(Op):
    """An op run by a kernel: one node, whose plain backward is the kernel's."""

    def __init__(self, source: Op, kernel: kernels.Kernel):
        self.__dict__.update(source.__dict__)
        self.kernel = kernel
        reads = {r for rule in (*source.rules, source.rule_of_all) if rule for r in rule.reads}
        if kernel.backward is not None:
            self.kernel_rule = Rule(source, kernel.backward)
            reads |= set(self.kernel_rule.reads)
        if not source.has_rules:
            reads |= set(range(len(source.inputs)))  # the definition will be replayed on them
        self.all_reads = list(reads)
        self.plans = {}

    def plan(self, needs: Any) -> tuple[tuple[int, ...], bool, bool]:
        self.plans[needs] = _plan(self, needs, self.all_reads)
        return self.plans[needs]

    def pull(self, node: Node, g: Any, edges: Iterable, create_graph: bool) -> Iterable:
        if self.kernel.backward is not None and not create_graph:
            return self._kernel_pull(node, g, edges)
        if self.has_rules:
            return super().pull(node, g, edges, create_graph)
        return self._replayed(node, g, edges, create_graph)

    def _kernel_pull(self, node: Node, g: Any, edges: Iterable) -> list:
        values = [argument(node, r, edges, False) for r in self.kernel_rule.reads]
        raw = [_raw(v) for v in values]
        g = g._array if isinstance(g, Tensor) else [x if x is None else x._array for x in g]
        grads = self.kernel.backward(g, *raw)
        return [None if x is None else wrap(x) for x in grads]

    def _replayed(self, node: Node, g: Any, edges: Iterable, create_graph: bool) -> list:
        """Without rules: runs the definition again on the saved inputs and differentiates that.

        Each input becomes a fresh alias node first, so that an input which was computed from
        another one does not pass its gradient on to it here.
        """
        from .backward import grad

        with grad_mode(True):
            saved = [argument(node, i, edges, create_graph) for i in range(len(node.edges))]
            inputs = [_fresh_source(x) for x in saved]
            out = self.forward(*inputs, **node.kwargs)
            wanted = [x for x, edge in zip(inputs, edges, strict=True) if edge is not None]
            pairs = [(out, g)] if self.outputs == 1 else list(zip(out, g, strict=True))
            pairs = [(o, x) for o, x in pairs if x is not None and o._node is not None]
            found = iter(
                grad(
                    [o for o, _ in pairs],
                    wanted,
                    [x for _, x in pairs],
                    create_graph=create_graph,
                    allow_unused=True,
                )
            )
        return [None if edge is None else next(found) for edge in edges]


def _raw(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return type(value)(_raw(v) for v in value)
    return value._array if isinstance(value, Tensor) else value


def _fresh_source(x: Any) -> Any:
    if not isinstance(x, Tensor):
        return x
    if x._node is not None:
        return named("identity")(x)
    source = wrap(x._array)
    if x._array.dtype.kind == "f":
        source._node = Leaf(source)
    return source


_fused_ops: dict[tuple[str, int], Fused] = {}


def _fused(source: Op, kernel: kernels.Kernel, inputs: tuple, kwargs: dict) -> Any:
    key = (source.name, id(kernel))
    if key not in _fused_ops:
        _fused_ops[key] = Fused(source, kernel)
    arrays = tuple([x._array if isinstance(x, Tensor) else x for x in inputs])
    aux = None
    if kernel.forward is None:  # forced(reference=True): the definition stands in for the kernel
        with grad_mode(False), kernels.disabled():
            out = source.forward(*inputs, **kwargs)
        out = out._array if source.outputs == 1 else [o._array for o in out]
    else:
        out = kernel.forward(*arrays, **kwargs)
        if kernel.has_aux:
            out, aux = out
    return _recorded(_fused_ops[key], inputs, arrays, out, aux, kwargs)


# ------------------------------------------------------------------------------- views, in place


def _make_view(op: Op, source: Tensor, t: Tensor, kwargs: dict) -> None:
    """Marks `t` as the part `op` of `source`. A view of a view points at the first root."""
    t._version = source._version
    view = _new(View)
    parent = source._view
    view.root = source if parent is None else parent.root
    view.steps = (None if parent is None else parent.steps, op, kwargs)
    view.root_node = view.root._node
    view.version = t._version[0]
    view.tracked = mode.grad and (parent is None or parent.tracked)
    t._view = view


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
        view.version = cell[0]
        if view.root_node is not view.root._node and view.tracked:
            view.root_node = view.root._node
            source = alias(view.root)
            with grad_mode(True):
                for op, kwargs in steps_of(view):
                    source = named(op.name)(source, **kwargs)
            t._node = source._node
    return t._node


def in_place(name: str, function: Callable, t: Tensor, args: tuple, kwargs: dict) -> Tensor:
    """Every in-place operation: run it out of place, copy the result in, move `t` to its node."""
    check_writable(name, t)
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
    t._array[...] = array
    bump(t)
    node = result._node
    if node is not None:
        if t._array.dtype != array.dtype:
            node = cast(result, t._array.dtype)._node
        elif node.out is not None:  # the rule reads the output: it now lives in t's memory
            node.out = (t._array, t._version, t._version[0])
        move(t, node)
    return t


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
        if view is not None and not view.tracked and root._node is not None:
            raise GraphError(
                f"{name}: this view was made under no_grad, so its base would not learn of the "
                "change. Make the view with recording on, or change it under no_grad."
            )
    array = t._array
    if 0 in array.strides and any(
        s == 0 and n > 1 for s, n in zip(array.strides, array.shape, strict=True)
    ):
        raise ShapeError(
            f"{name}: several elements of this expanded tensor share one place in memory; "
            "clone() it before changing it in place."
        )


def move(t: Tensor, node: Node) -> None:
    """`t` was overwritten by the output of `node`; if it is a view, its root gets a write node."""
    t._node, old = node, t._node
    if old is not None and old.hooks:
        _move_retained(old, node)
    view = t._view
    if view is None:
        return
    root = view.root
    shell = wrap(root._array)
    edges = (root._node, node)
    needs = tuple([edge is not None for edge in edges])
    record(named("overwrite").op, edges, needs, (), shell, {"steps": steps_of(view)})
    if root._node is not None and root._node.hooks:
        _move_retained(root._node, shell._node)
    root._node = view.root_node = shell._node
    view.version = t._version[0]


class Retain:
    """A hook that stores the gradient in the tensor's `grad`; it moves with the tensor."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Tensor):
        self.tensor = weakref.ref(tensor)

    def __call__(self, gradient: Tensor) -> None:
        t = self.tensor()
        if t is not None:
            t.grad = gradient if mode.grad else wrap(gradient._array.copy())


def _move_retained(old: Node, new: Node) -> None:
    kept = {k: h for k, h in old.hooks.items() if h.__class__ is Retain}
    for k in kept:
        del old.hooks[k]
    if kept:
        new.hooks = {**(new.hooks or {}), **kept}


def write(t: Tensor, index: Any, value: Any) -> None:
    """`t[index] = value`: written at once, recorded as one `overwrite` node."""
    check_writable("t[...] = value", t)
    value_edge = None
    array = t._array
    if isinstance(value, Tensor):
        value_edge = edge_of(value)
        if value_edge is not None and value._array.dtype != array.dtype:
            value_edge = cast(value, array.dtype)._node
        value = value._array
    own = edge_of(t)
    try:
        array[index] = value
    except ValueError as error:
        shape = getattr(value, "shape", None)
        raise ShapeError(f"assignment to a tensor of shape {array.shape}: {error}") from error
    except IndexError as error:
        raise IndexError(f"index into a tensor of shape {array.shape}: {error}") from error
    bump(t)
    if mode.grad and (own is not None or value_edge is not None):
        shell = wrap(array)
        steps = [(named("index").op, {"index": index})]
        needs = (own is not None, value_edge is not None)
        record(named("overwrite").op, (own, value_edge), needs, (), shell, {"steps": steps})
        move(t, shell._node)


# ----------------------------------------------------------------------------------- anomaly mode


def record_with_line(
    op: Op, edges: tuple, needs: Any, inputs: tuple, out: Tensor, kwargs: dict | None
) -> Node:
    """`make_node` for anomaly mode: notes the user's line and stops at the first bad value."""
    node = make_node(op, edges, needs, inputs, out, kwargs)
    if mode.anomaly:
        node.where = user_line()
        if has_nan(out) and not any(isinstance(x, Tensor) and has_nan(x) for x in inputs):
            raise GraphError(f"{op.name} at {node.where} computed nan from inputs without nan.")
    return node


def has_nan(t: Tensor) -> bool:
    array = t._array
    return array.dtype.kind == "f" and bool(device.xp(array).isnan(array).any())


def user_line() -> str:
    """file:line of the newest frame outside minidl."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("minidl."):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
