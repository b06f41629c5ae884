"""The makers: they turn a forward into the function that users call.

`unary` and `binary` are written out flat, because they run for every `+` of every model; `general`
takes the rest. Each runs the forward on arrays, wraps the result, and records the call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from . import device, dtypes, kernels, tape
from .autocasting import brought
from .errors import DeviceError, DTypeError, ShapeError
from .fused import run_fused
from .promotion import kind_of, not_a_tensor, prepared, promoted
from .tape import NOTHING, PICK, Leaf, Node, Op, Tensor, entry, mode, named_like, new, wrap
from .views import edge_of, make_view, synced

F32 = dtypes.F32
ndarray = np.ndarray

# ------------------------------------------------------------------------------------ decorators


def op(forward: Callable | None = None, **options: Any) -> Any:
    """Makes an op from array code. Parameters annotated `Array` (or `Arrays`) are its inputs.

    view: its result may share memory with its input.
    result: what the operands of an op of one or two tensors without keywords are brought to first:
        "same" (their common type), "float" (integers become the default float), "strict"
        (different types are refused), "bool" (common type; the result is bool, so the call is
        never recorded), or "mixed" (they keep their own types: an array and positions in it).
    outputs: how many arrays it returns.
    aux: it returns (value, aux); rules may read aux, users never see it.
    """
    if forward is None:
        return lambda function: op(function, **options)
    made = Op(forward, **options)
    _check_inputs(made)
    plain = made.parameters == made.inputs and not (made.view or made.variadic or made.has_aux)
    plain = plain and made.result != "mixed" and not made.optional
    if plain and made.outputs == 1:
        maker = {1: unary, 2: binary}.get(len(made.inputs), general)
        return _attached(made, maker(made))
    if made.result not in ("same", "mixed"):
        raise TypeError(f"{made.name}: result= is only for one or two tensors without keywords.")
    return _attached(made, general(made))


def _check_inputs(made: Op) -> None:
    if not made.inputs:
        raise TypeError(
            f"{made.name}: no parameter is annotated Array (or, in a definition, Tensor). The file "
            "needs 'from __future__ import annotations'."
        )


def definition(forward: Callable | None = None, *, outputs: int = 1) -> Any:
    """Makes an op from a composition of other ops on Tensors. Parameters annotated `Tensor` are
    its inputs. It must be pure: no random numbers, no buffers written, no modes read."""
    if forward is None:
        return lambda function: definition(function, outputs=outputs)
    made = Op(forward, definition=True, outputs=outputs)
    _check_inputs(made)
    return _attached(made, general(made))


def _attached(made: Op, call: Callable) -> Callable:
    def vjp(**rules: Callable) -> Callable:
        made.declare(rules)
        return call

    def vjp_all(function: Callable) -> Callable:
        made.declare_all(function)
        return function

    named_like(made.forward, call)
    call.__name__ = call.__qualname__ = made.name
    call.op, call.vjp, call.vjp_all = made, vjp, vjp_all  # type: ignore[attr-defined]
    tape.register(made.name, call)
    return call


# ------------------------------------------------------------------------------------ the makers


def unary(op: Op) -> Callable:
    """Maker for one tensor in, one tensor out, no keywords."""
    forward = op.forward
    to_float = op.result == "float"
    recorded = op.result != "bool"
    fast = op.kernels
    plans = op.plans

    def call(input: Tensor) -> Tensor:
        if not isinstance(input, Tensor):
            raise TypeError(not_a_tensor(op.name, op.inputs[0], input))
        array = input._array
        if array.dtype is not F32:
            input = prepared(op, input, to_float)
            array = input._array
        if (
            fast
            and array.size >= kernels.LARGE
            and (
                array.dtype is F32
                or array.__class__ is not ndarray  # kernels for GPUs take float64
            )
        ):
            kernel = kernels.choose(op, (input,), {})
            if kernel is not None:
                return _recorded(*run_fused(op, kernel, (input,), {}), {})
        out = forward(array)
        if out.__class__ is not ndarray:
            out = device.as_array(out, array)
        t = new(Tensor)
        t._array = out
        t._node = None
        t._version = [0]
        t._view = None
        t._grad = None
        edge = input._node if input._view is None else synced(input)
        if edge is not None and recorded and mode.grad:
            keep, saves_out, saves_shapes = plans.get(1) or op.plan(1, 1)
            node = tape.record(op, (edge,), entry(input) if keep[0] else (), saves_out, t, None)
            if saves_shapes:
                node.shapes = (array.shape,)
        return t

    return call


def binary(op: Op) -> Callable:
    """Maker for two operands that broadcast; one of them may be a Python scalar."""
    forward = op.forward
    recorded = op.result != "bool"
    numbers = op.result != "strict"
    kernelled = op.kernels
    plans = op.plans

    def call(input: Tensor | float, other: Tensor | float) -> Tensor:
        left = right = cell_a = cell_b = None
        if isinstance(input, Tensor):
            a, cell_a = input._array, input._version
            left = input._node if input._view is None else synced(input)
            fast = a.dtype is F32
        else:
            a = input
            fast = numbers and input.__class__ is float
        if isinstance(other, Tensor):
            b, cell_b = other._array, other._version
            right = other._node if other._view is None else synced(other)
            fast = fast and b.dtype is F32
        else:
            b = other
            fast = fast and numbers and other.__class__ is float
        if not fast:  # another type than float32: bring both to one type first
            input, other = promoted(op.name, input, other, op.result)
            a, cell_a, left = _operand(input)
            b, cell_b, right = _operand(other)
        elif kernelled and cell_a is not None and cell_b is not None:
            kernel = None
            if a.size + b.size >= kernels.LARGE:
                kernel = kernels.choose(op, (input, other), {})
            if kernel is not None:
                return _recorded(*run_fused(op, kernel, (input, other), {}), {})
        try:
            out = forward(a, b)
        except (ValueError, TypeError) as error:
            together = _on_one_device(input, other)
            if together is not None:
                return call(*together)
            raise explained(op, (a, b), error) from error
        if out.__class__ is not ndarray:
            if cell_a is None and cell_b is None:
                raise TypeError(not_a_tensor(op.name, op.inputs[0], input))
            out = device.as_array(out, a if cell_b is None else b)
        t = new(Tensor)
        t._array = out
        t._node = None
        t._version = [0]
        t._view = None
        t._grad = None
        if left is None:
            if right is None:
                return t
            needs = 2  # bit i is set if input i needs a gradient, see Op.plan
        else:
            needs = 1 if right is None else 3
        if recorded and mode.grad:
            try:
                (keep_a, keep_b), saves_out, saves_shapes = plans[needs]
            except KeyError:
                (keep_a, keep_b), saves_out, saves_shapes = op.plan(needs, 2)
            if keep_a and keep_b:
                saved = (a, cell_a, cell_a and cell_a[0], b, cell_b, cell_b and cell_b[0])
            elif keep_a:
                saved = (a, cell_a, cell_a and cell_a[0])
            elif keep_b:
                saved = (None, None, None, b, cell_b, cell_b and cell_b[0])
            else:
                saved = ()
            node = tape.record(op, (left, right), saved, saves_out, t, None)
            if saves_shapes:
                node.shapes = (getattr(a, "shape", ()), getattr(b, "shape", ()))
        return t

    return call


def _on_one_device(a: Any, b: Any) -> tuple[Tensor, Tensor] | None:
    """A 0-d tensor of the CPU beside a tensor of a GPU goes there, as in PyTorch; else None."""
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)) or a.is_cuda == b.is_cuda:
        return None
    if a._array.ndim == 0 and not a.is_cuda:
        return a.to(b.device), b
    return (a, b.to(a.device)) if b._array.ndim == 0 and not b.is_cuda else None


def _operand(value: Any) -> tuple[Any, list[int] | None, Node | Leaf | None]:
    """An operand's array (or number), version cell and edge."""
    if isinstance(value, Tensor):
        return value._array, value._version, edge_of(value)
    return value, None, None


def general(op: Op) -> Callable:
    """Maker for everything else: any number of inputs, keywords, views, several outputs, kernels.

    A call with a kernel records one node. A definition without one just runs.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        inputs, kwargs = _bind(op, args, kwargs)
        if mode.autocast is not None:
            inputs = brought(op.name, inputs)
        kernel = None
        if op.definition or op.kernels:
            kernel = kernels.choose(op, inputs, kwargs)
        if kernel is not None:
            return _recorded(*run_fused(op, kernel, inputs, kwargs), kwargs)
        if op.definition:
            return op.forward(*inputs, **kwargs)
        arrays = tuple([None if x is None else x._array for x in inputs])
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
    like = arrays[0] if arrays[0] is not None else next(a for a in arrays if a is not None)
    if op.outputs == 1:
        results = [wrap(out if out.__class__ is ndarray else device.as_array(out, like))]
        if op.view and _on_memory_of(like, results[0]._array):
            make_view(op, inputs[0], results[0], kwargs)
    else:
        results = [wrap(device.as_array(o, like)) for o in out]
    if mode.grad and op.differentiable:
        needs, edges = 0, []
        for i, x in enumerate(inputs):
            edge = None if x is None else x._node if x._view is None else synced(x)
            edges.append(edge)
            if edge is not None:
                needs |= 1 << i
        if needs:
            _record(op, tuple(edges), needs, inputs, results, aux, kwargs)
    return results[0] if op.outputs == 1 else tuple(results)


def _on_memory_of(array: Any, result: Any) -> bool:
    """Whether the result of a view op is a view of `array`, and not a copy."""
    base = result.base
    if base is None or base is array or base is array.base:
        return base is not None
    return device.xp(array).may_share_memory(result, array)


def _record(
    op: Op, edges: tuple, needs: int, inputs: tuple, results: list, aux: Any, kwargs: dict
) -> None:
    keep, saves_out, saves_shapes = op.plans.get(needs) or op.plan(needs, len(inputs))
    saved: list = []
    if any(keep):
        for x, k in zip(inputs, keep, strict=True):
            saved += entry(x) if k else NOTHING
    node = tape.record(op, edges, tuple(saved), saves_out, results[0], kwargs)
    node.aux = aux
    if saves_shapes:
        node.shapes = [None if x is None else x._array.shape for x in inputs]
    if op.outputs > 1:
        for i, t in enumerate(results):
            t._node = None
            if t._array.dtype.kind == "f":
                tape.record(PICK, (node,), (), False, t, {"index": i, "of": len(results)})


def _bind(op: Op, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """Sorts the arguments of a call into the op's tensor inputs and its complete keywords."""
    count = len(op.inputs)
    inputs = args[:count]
    if len(args) == len(op.parameters) and not kwargs:
        keywords = dict(zip(op.keywords, args[count:], strict=True)) if op.keywords else {}
    elif kwargs or len(inputs) < count or len(args) > len(op.parameters):
        inputs, keywords = _bind_by_name(op, args, kwargs)
    else:
        keywords = op.defaults | dict(zip(op.keywords, args[count:], strict=False))
    if op.variadic:
        inputs = tensors_of(op, inputs[0])
    for i, x in enumerate(inputs):
        if not isinstance(x, Tensor) and not (x is None and op.inputs[i] in op.optional):
            raise TypeError(not_a_tensor(op.name, op.inputs[i], x))
    if len(keywords) < len(op.keywords):
        missing = [n for n in op.keywords if n not in keywords]
        raise TypeError(f"{op.name}() is missing {', '.join(missing)}.")
    return inputs, keywords


def _bind_by_name(op: Op, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
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
    return tuple([values.pop(name, None) for name in op.inputs]), op.defaults | values


def tensors_of(op: Op, value: Any) -> tuple:
    """The inputs of an op that takes a list of tensors."""
    if isinstance(value, Tensor) or not isinstance(value, Iterable):
        raise TypeError(f"{op.name}() expects a list or tuple of tensors, got {kind_of(value)}.")
    tensors = tuple(value)
    if not tensors:
        raise ShapeError(f"{op.name}() expects at least one tensor, got none.")
    for i, t in enumerate(tensors):
        if not isinstance(t, Tensor):
            raise TypeError(not_a_tensor(op.name, f"{op.inputs[0]}[{i}]", t))
    return tensors


def explained(op: Op, arrays: tuple, error: Exception) -> Exception:
    """NumPy's complaint about arrays, as an error that names the op and the shapes."""
    if error.__class__ not in (ValueError, TypeError):
        return error  # minidl's own errors say it all
    real = [a for a in arrays if hasattr(a, "shape")]
    places = {str(device.device_of(a)) for a in real}
    if len(places) > 1:
        where = ", ".join(
            f"'{tape.input_name(op, i)}' on {device.device_of(a)}"
            for i, a in enumerate(arrays)
            if hasattr(a, "shape")
        )
        return DeviceError(f"{op.name}: all tensors must be on one device, got {where}.")
    if "current device" in str(error):
        return DeviceError(
            f"{op.name}: its tensors are on {places.pop()}, which is not the current device: use "
            "`with minidl.cuda.device(index):`."
        )
    if isinstance(error, TypeError):
        return DTypeError(f"{op.name}: {error}")
    shapes = " and ".join(str(a.shape) for a in real)
    if "broadcast" in str(error):
        return ShapeError(
            f"{op.name}: shapes {shapes} do not broadcast: counted from the right, each pair "
            "of sizes must be equal or one of them 1."
        )
    return ShapeError(f"{op.name}: {error} (shapes {shapes})")
