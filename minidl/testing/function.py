"""What is differentiated: a function of minidl, or NumPy code with its derivative."""

from collections.abc import Callable
from functools import cached_property, partial

import numpy as np

import minidl
from minidl import autograd
from minidl.tape import all_ops
from minidl.testing import trees
from minidl.testing.code import call_as_code
from minidl.testing.compare import to_numpy
from minidl.testing.errors import CheckError


class GradientError(CheckError):
    """A derivative is wrong or missing, or cannot be checked. Fields as in CheckError."""


class Function:
    """`func(*inputs)` as a function of those of its tensors that require a gradient.

    `point` are their values, `names` their names, `shapes` those of the outputs; `others` are the
    tensors that are not differentiated and `numbers` the float arguments, by name.
    """

    def __init__(self, func: Callable, inputs, name: str = "", written: Callable | None = None):
        """name: instead of the function's own; written: whose parameters name the inputs."""
        self.func, self.written = func, written or func
        self.inputs = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
        self.name = name or trees.function_name(self.written)
        self.tensors = trees.tensors(self.inputs)
        self.checked = [i for i, t in enumerate(self.tensors) if t.requires_grad]
        self.point = [to_numpy(self.tensors[i]).copy() for i in self.checked]
        names = trees.input_names(self.written, self.inputs)
        self.names = [names[i] for i in self.checked]
        if not self.checked:
            raise ValueError(
                f"gradcheck: no input of {self.name} requires a gradient: make one with "
                "requires_grad=True"
            )
        for name, array in zip(self.names, self.point, strict=True):
            if array.dtype != np.float64:
                raise ValueError(
                    f"gradcheck: finite differences need float64, input {name} of {self.name} is "
                    f"{array.dtype}: pass {name}.double()"
                )
        constant = [i for i in range(len(names)) if i not in self.checked]
        self.others = {names[i]: to_numpy(self.tensors[i]) for i in constant}
        self.numbers = trees.numbers(self.written, self.inputs)

    @cached_property
    def shapes(self) -> list[tuple]:
        return [tuple(o.shape) for o in self.call(self.point)[1]]

    def at(self, point):
        """The inputs with the differentiated tensors at `point`, and all their tensors."""
        fresh = [t.detach().clone() for t in self.tensors]
        for i, array in zip(self.checked, point, strict=True):
            fresh[i] = minidl.tensor(array, device=self.tensors[i].device)
        return trees.replace(self.inputs, iter(fresh)), fresh

    def call(self, point, wanted=()):
        """Call on fresh tensors; returns the differentiated ones and the float outputs.

        wanted: the numbers of those that require a gradient.
        """
        inputs, fresh = self.at(point)
        leaves = [fresh[i].requires_grad_(k in wanted) for k, i in enumerate(self.checked)]
        before = [to_numpy(t).copy() for t in fresh]
        result = self.func(*inputs)
        try:
            trees.check_result(result)
        except CheckError as error:
            code = partial(self.as_code, point)
            raise GradientError(self.name, error.what, code=code) from None
        outputs = float_tensors(result)
        if not all(equal(to_numpy(t), b) for t, b in zip(fresh, before, strict=True)):
            raise GradientError(
                self.name,
                "an input was changed in place: work on a copy of it",
                code=lambda: self.as_code(point),
            )
        return leaves, outputs

    def value(self, point) -> np.ndarray:
        """All outputs in one flat array."""
        return flat(self.call(point)[1])

    def puller(self, point, k) -> Callable:
        """v -> the gradient of v . outputs for input k; None if it is not reached."""
        leaves, outputs = self.call(point, [k])

        def pull(v):
            (gradient,) = pulled(outputs, [leaves[k]], split(v, outputs), retain_graph=True)
            return None if gradient is None else to_numpy(gradient).copy()

        return pull

    def output_name(self, n: int, count: int) -> str:
        return "out" if count == 1 else f"output {n}"

    def as_code(self, point) -> str:
        """The call at `point`, as Python to paste."""
        name, args, keywords = trees.call(self.func, self.at(point)[0])
        return call_as_code(name, args, keywords, trees.parameters(trees.unwrapped(self.func)))

    def rule_of(self, name) -> str:
        """The derivative rule of an input with its line, empty if it is not known."""
        op = getattr(all_ops().get(self.name), "op", None)
        rule = op.rules[op.inputs.index(name)] if op is not None and name in op.inputs else None
        if rule is not None:
            return f"'{name}' of {self.name} ({trees.line_of(rule.function)})"
        owner = trees.custom_function(self.func)
        return f"{owner.__name__}.backward ({trees.line_of(owner.backward)})" if owner else ""


class ArrayFunction(Function):
    """NumPy code `forward(*xs) -> y` with `vjp(g, y, *xs)`, as a function of its float arrays."""

    def __init__(self, forward: Callable, vjp: Callable, inputs: tuple):
        self.forward, self.vjp = forward, vjp
        self.takes = len(trees.parameters(vjp)) or 2 + len(inputs)
        names = trees.parameters(forward)
        self.called = [names[i] if i < len(names) else f"input {i}" for i in range(len(inputs))]
        leaves = tuple(_as_leaf(x) for x in inputs)
        self.places = [i for i, x in enumerate(leaves) if getattr(x, "requires_grad", False)]
        if not self.places:
            name = trees.function_name(forward)
            raise ValueError(f"assert_vjp: {name} was given no array of floats to differentiate by")

        class Recorded(autograd.Function):
            @staticmethod
            def forward(ctx, *inputs):
                arrays = [_as_array(x) for x in inputs]
                y = np.asarray(forward(*arrays))
                ctx.arrays = y, arrays
                return minidl.tensor(y)

            @staticmethod
            def backward(ctx, g):
                y, arrays = ctx.arrays
                result = [None] * len(arrays)
                for i, gradient in zip(
                    self.places, self.gradients(to_numpy(g), y, arrays), strict=True
                ):
                    if gradient is not None:
                        self.check_shape(i, gradient.shape, arrays)
                        result[i] = minidl.tensor(gradient)
                return tuple(result)

        super().__init__(Recorded.apply, leaves, written=forward)

    def gradients(self, g, y, arrays) -> list:
        """What vjp returns for the inputs that are differentiated."""
        given = {
            "the incoming gradient": g,
            "the output": y,
            **dict(zip(self.called, arrays, strict=True)),
        }
        before = [a.copy() if isinstance(a, np.ndarray) else None for a in given.values()]
        result = self.vjp(*(g, y, *arrays)[: self.takes])
        for (name, a), b in zip(given.items(), before, strict=True):
            if b is not None and not equal(a, b):
                what = f"backward changed {name} in place: work on a copy of it"
                raise GradientError(
                    self.name,
                    what,
                    code=lambda: self.as_code([arrays[i] for i in self.places]),
                    rule=self.rule_of(name),
                )
        result = list(result) if isinstance(result, tuple | list) else [result]
        if len(result) == len(arrays):
            result = [result[i] for i in self.places]
        if len(result) != len(self.places):
            raise GradientError(
                self.name,
                f"the derivative returns {len(result)} gradients, the inputs are "
                f"{', '.join(self.names)}: return one for each",
            )
        return [None if d is None else np.asarray(d, np.float64) for d in result]

    def check_shape(self, i, shape, arrays):
        name = self.names[self.places.index(i)]
        if shape != arrays[i].shape:
            raise GradientError(
                self.name,
                f"the gradient of {name} has the wrong shape",
                input=name,
                gap=f"the gradient has shape {shape}, {name} has {arrays[i].shape}",
                code=lambda: self.as_code([arrays[i] for i in self.places]),
                words=lambda: words(self, name),
                rule=self.rule_of(name),
            )

    def arrays(self, point) -> list:
        """The arguments of forward, with the differentiated arrays at `point`."""
        arrays = [np.array(_as_array(x)) if hasattr(x, "dtype") else x for x in self.inputs]
        for i, array in zip(self.places, point, strict=True):
            arrays[i] = array.copy()
        return arrays

    def value(self, point) -> np.ndarray:
        return np.asarray(self.forward(*self.arrays(point))).ravel()

    def puller(self, point, k) -> Callable:
        arrays = self.arrays(point)
        y = np.asarray(self.forward(*arrays))
        return lambda v: self.gradients(v.reshape(y.shape), y, arrays)[k]

    def as_code(self, point) -> str:
        name = self.name if self.name.isidentifier() else "function"
        return call_as_code(name, self.arrays(point), None, trees.parameters(self.forward))

    def rule_of(self, name) -> str:
        return f"{trees.function_name(self.vjp)} ({trees.line_of(self.vjp)})"


def words(function: Function, name: str) -> str:
    """The sentence for a wrong derivative with respect to input `name`; empty if none is known."""
    from minidl.testing.explain import findings

    try:
        found = findings(function)
    except Exception:  # what failed must be told, also if user code raises at another point
        return ""
    return next((f.sentence for f in found if f.input == name), "")


def _as_leaf(x):
    """Arrays as tensors; those of floats are differentiated."""
    if not isinstance(x, np.ndarray):
        return x
    return (
        minidl.tensor(x.astype(np.float64)).requires_grad_()
        if x.dtype.kind == "f"
        else minidl.tensor(x)
    )


def _as_array(x):
    return to_numpy(x) if isinstance(x, minidl.Tensor) else x


def pulled(outputs, leaves, cotangents, **options) -> list:
    """The gradients of the leaves, None where there is none."""
    pairs = [(o, v) for o, v in zip(outputs, cotangents, strict=True) if o.requires_grad]
    if not pairs:
        return [None] * len(leaves)
    outputs, cotangents = zip(*pairs, strict=True)
    return autograd.grad(outputs, leaves, cotangents, allow_unused=True, **options)


def split(v, outputs) -> list:
    """The flat array `v` as a tensor for each output, in its shape."""
    pieces, start = [], 0
    for o in outputs:
        piece = v[start : start + o.numel()].reshape(tuple(o.shape))
        pieces.append(minidl.tensor(piece, device=o.device))
        start += o.numel()
    return pieces


def float_tensors(result) -> list:
    return [t for t in trees.tensors([result]) if to_numpy(t).dtype.kind == "f"]


def flat(tensors) -> np.ndarray:
    return np.concatenate([np.zeros(0), *(to_numpy(t).ravel() for t in tensors)])


def equal(a, b, tolerance=0.0) -> bool:
    return np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
