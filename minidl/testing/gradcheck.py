"""Derivatives against finite differences.

For a function with Jacobian J, a cotangent v and a direction u, two numbers must agree: v . (J u)
by finite differences and (J^T v) . u by `autograd.grad`. Cotangents are random: with ones, what
sums to zero passes (a softmax gradient 100 times too large does). Small functions are compared
entry by entry. At a kink the check moves to a point nearby.
"""

from collections.abc import Callable
from functools import partial
from operator import methodcaller

import numpy as np

import minidl
from minidl.errors import ShapeError
from minidl.testing import trees
from minidl.testing.code import as_code
from minidl.testing.compare import to_numpy
from minidl.testing.errors import CheckError
from minidl.testing.finite import Kink, slope
from minidl.testing.function import (
    Function,
    GradientError,
    equal,
    flat,
    float_tensors,
    pulled,
    split,
    words,
)

# pytest shows a failed check without the frames of this file.
__tracebackhide__ = methodcaller("errisinstance", CheckError)

FULL_JACOBIAN = 64  # up to this many input elements and output elements every entry is compared
RANDOM_COTANGENTS = 3
MOVES = 12  # how often the check moves away from a kink


def gradcheck(
    func: Callable,
    inputs,
    *,
    eps: float = 1e-3,
    atol: float = 1e-6,
    rtol: float = 1e-5,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    seed: int = 0,
) -> bool:
    """Compare the first derivatives of `func(*inputs)` with finite differences.

    inputs: a tensor, or a tuple of tensors, lists of tensors and other arguments. Tensors that
        require a gradient are checked: float64, values of order one (steps are absolute).
    eps: the largest step; smaller ones follow where it is too large.
    atol, rtol: analytic a and numeric n agree if |a - n| <= atol + rtol |n| + estimated error of n.
    nondet_tol: how far two calls with equal inputs may differ.

    Also checked: every input is used, and connected to the outputs that change with it; outputs and
    gradients are float64, gradients have their input's shape, are linear in the incoming gradient
    and do not depend on its memory layout; nothing is changed in place; equal calls give equal
    results.

    Returns True. Raises GradientError, or returns False with raise_exception=False. After PyTorch:
    https://pytorch.org/docs/stable/generated/torch.autograd.gradcheck.gradcheck.html
    """
    check = _Check(Function(func, inputs), eps, atol, rtol, nondet_tol, seed)
    return check.run(raise_exception)


def gradgradcheck(
    func: Callable,
    inputs,
    grad_outputs=None,
    *,
    eps: float = 1e-3,
    atol: float = 1e-6,
    rtol: float = 1e-5,
    raise_exception: bool = True,
    nondet_tol: float = 1e-9,
    seed: int = 0,
) -> bool:
    """Compare the second derivatives of `func(*inputs)` with finite differences of the first ones.

    Checked is the function from inputs and incoming gradients to the gradients that
    `autograd.grad(create_graph=True)` gives; without create_graph they must be equal to nondet_tol.
    grad_outputs: the incoming gradients, random if None. The rest as in `gradcheck`.
    """
    first = Function(func, inputs)
    if grad_outputs is None:
        rng = np.random.default_rng([seed, 1])
        outputs = first.call(first.point)[1]
        grad_outputs = [minidl.tensor(_random(rng, o.shape), device=o.device) for o in outputs]
    grad_outputs = [v.detach().requires_grad_() for v in trees.tensors([grad_outputs])]

    second = _Derivative(first, grad_outputs)
    check = _Check(second, eps, atol, rtol, nondet_tol, seed, every_input_used=False)
    return check.run(raise_exception)


def check_function(function: Function) -> None:
    """`gradcheck` with its own tolerances, for a function that is already prepared."""
    _Check(function, eps=1e-3, atol=1e-6, rtol=1e-5, nondet_tol=0.0, seed=0).check()


class _Derivative(Function):
    """The gradients of a function, as a function of its inputs and of the incoming gradients."""

    def __init__(self, first: Function, grad_outputs: list):
        def gradients(arguments, cotangents):
            tensors = trees.tensors((arguments, cotangents))
            create_graph = any(t.requires_grad for t in tensors)
            leaves = [tensors[i].requires_grad_() for i in first.checked]
            outputs = float_tensors(first.func(*arguments))
            grads = pulled(outputs, leaves, cotangents, create_graph=create_graph)
            return [
                minidl.zeros_like(x) if g is None else g for x, g in zip(leaves, grads, strict=True)
            ]

        self.first = first
        super().__init__(gradients, (first.inputs, grad_outputs), f"derivative of {first.name}")
        several = len(grad_outputs) > 1
        incoming = [f"g[{n}]" if several else "g" for n in range(len(grad_outputs))]
        self.names = [*first.names, *incoming]
        self.numbers = first.numbers

    def output_name(self, n: int, count: int) -> str:
        return f"{self.first.names[n]}.grad"

    def as_code(self, point) -> str:
        count = len(self.first.names)
        incoming = zip(self.names[count:], point[count:], strict=True)
        lines = [f"{name} = {as_code(minidl.tensor(v))}" for name, v in incoming]
        return "\n".join([*lines, self.first.as_code(point[:count])])

    def rule_of(self, name: str) -> str:
        return self.first.rule_of(name)


class _Check:
    def __init__(self, function, eps, atol, rtol, nondet_tol, seed, every_input_used=True):
        self.function, self.eps, self.atol, self.rtol = function, eps, atol, rtol
        self.nondet_tol, self.every_input_used = nondet_tol, every_input_used
        self.rng = np.random.default_rng(seed)

    def run(self, raise_exception):
        try:
            self.check()
        except GradientError:
            if raise_exception:
                raise
            return False
        return True

    def check(self):
        point = self.point = self.function.point
        for move in range(1, MOVES + 1):
            try:
                return self.check_at(point)
            except Kink as kink:
                reason = kink
            point = [
                x + 0.02 * move * _random(self.rng, x.shape) * np.maximum(np.abs(x), 0.05)
                for x in self.function.point
            ]
        self.fail_coarse()
        self.fail(
            f"no derivative to compare with, here and at {MOVES - 1} points nearby: {reason}. The "
            "function has kinks, jumps or NaN close together, or is random: choose other inputs"
        )

    def fail_coarse(self):
        """Fails if something in the function is float32: along a short way an output goes straight,
        but for a few jumps of that size."""
        ways = np.arange(100) * 3e-9
        steps = np.array([self.value([x + t * np.abs(x) for x in self.point]) for t in ways])
        bends = np.abs(np.diff(steps, 2, axis=0))
        jumps = bends.max(0, initial=0.0)
        is_coarse = (jumps > 1e-10 * np.abs(steps[0])) & (np.median(bends, 0) < 1e-3 * jumps)
        if is_coarse.any():
            self.fail(
                "no derivative to compare with: the output has the digits of float32 only, for "
                "float64 inputs: compute in the type of the inputs"
            )

    def check_at(self, point):
        self.point = point
        self.leaves, self.outputs = self.function.call(point, range(len(point)))
        self.f0 = self.value(point)
        if np.isnan(self.f0).any():
            raise Kink("the output is NaN")
        if not equal(self.f0, flat(self.outputs), self.nondet_tol):
            self.fail(
                "two calls with equal inputs differ: only the values of the inputs may decide the "
                "result; seed random numbers inside the function"
            )
        for o in self.outputs:
            if o.dtype != self.leaves[0].dtype:
                self.fail(f"the output is {o.dtype} for float64 inputs")
        if not any(o.requires_grad for o in self.outputs):
            self.fail(
                "no output requires a gradient: the result is constant, or was cut off from the "
                "inputs by detach, no_grad, item, numpy or a new tensor made from numbers"
            )
        self.check_backward()
        small = max(self.f0.size, sum(x.size for x in point)) <= FULL_JACOBIAN
        for k in range(len(point)):
            (self.check_entries if small else self.check_directions)(k)
        for leaf, array in zip(self.leaves, point, strict=True):
            if not equal(to_numpy(leaf), array):
                self.fail("backward changed an input in place: work on a copy of it")

    def fail(self, what, cause=None, **fields):
        function, point = self.function, self.point
        code = partial(function.as_code, point)
        raise GradientError(function.name, what, code=code, **fields) from cause

    # The two sides.

    def value(self, point):
        return flat(self.function.call(point)[1])

    def slopes(self, k, direction):
        """d outputs / d t for input k + t direction, and the estimated error, by differences."""

        def along(t):
            return self.value(
                [x + t * direction if i == k else x for i, x in enumerate(self.point)]
            )

        return slope(along, self.f0, self.eps, self.tolerance)

    def gradient(self, v, layout=lambda t: t):
        """d (v . outputs) / d inputs by autograd, as arrays; None for an input not reached."""
        cotangents = [layout(piece) for piece in split(v, self.outputs)]
        before = [to_numpy(c).copy() for c in cotangents]
        try:
            grads = pulled(self.outputs, self.leaves, cotangents, retain_graph=True)
        except ShapeError as error:
            self.fail(f"backward fails: {error}", cause=error)
        if not all(equal(to_numpy(c), b) for c, b in zip(cotangents, before, strict=True)):
            self.fail("backward changed the incoming gradient in place: work on a copy of it")
        for name, leaf, grad in zip(self.function.names, self.leaves, grads, strict=True):
            if grad is not None and (grad.dtype, grad.shape) != (leaf.dtype, leaf.shape):
                self.fail(
                    f"the gradient of {name} is {grad.dtype} {tuple(grad.shape)}, {name} is "
                    f"{leaf.dtype} {tuple(leaf.shape)}: they must be the same",
                    input=name,
                )
        return [None if g is None else to_numpy(g).copy() for g in grads]

    # The comparisons.

    def tolerance(self, numeric):
        return self.atol + self.rtol * np.abs(numeric)

    def check_backward(self):
        """Backward gives the same again, also for an incoming gradient with gaps in memory."""
        v = _random(self.rng, self.f0.shape)
        plain, again = self.gradient(v), self.gradient(v)
        strided = self.gradient(v, lambda t: minidl.stack([t, 7 * t + 1], -1)[..., 0])
        self.connected = [g is not None for g in plain]
        for name, a, b, c in zip(self.function.names, plain, again, strided, strict=True):
            if a is not None and not equal(a, b, self.nondet_tol):
                self.fail(
                    f"two equal backward calls give different gradients of {name}", input=name
                )
            if a is not None and not equal(a, c, 1e-9):
                self.fail(
                    f"the gradient of {name} changes when the incoming gradient is not contiguous: "
                    "read it through its strides, or make it contiguous first",
                    input=name,
                )

    def check_entries(self, k):
        """Every entry of the Jacobian, then random combinations of its rows."""
        x, n_out = self.point[k], self.f0.size
        numeric, error = np.zeros((2, n_out, x.size))
        for i in range(x.size):
            numeric[:, i], error[:, i] = self.slopes(k, _one_hot(x.shape, i))
        if not self.is_connected(k, numeric, error):
            return
        analytic = np.zeros((n_out, x.size))
        for o in range(n_out):
            scale = _random(self.rng, ())
            grad = self.gradient(scale * _one_hot((n_out,), o))[k]
            analytic[o] = 0.0 if grad is None else grad.ravel() / scale
        allowed = self.tolerance(numeric) + error
        worse = _ratio(analytic - numeric, allowed)
        if (worse > 1).any():
            o, i = np.unravel_index(worse.argmax(), worse.shape)
            self.fail_at(k, i, analytic[o, i], numeric[o, i], self.output_name(o))
        for _ in range(RANDOM_COTANGENTS):
            v = _random(self.rng, (n_out,))
            combined, expected = self.gradient(v)[k].ravel(), v @ numeric
            worse = _ratio(combined - expected, np.abs(v) @ allowed)
            if (worse > 1).any():
                i = worse.argmax()
                self.fail_at(k, i, combined[i], expected[i], "(v . out), v random,")

    def check_directions(self, k):
        """Random projections of the Jacobian."""
        for _ in range(RANDOM_COTANGENTS):
            u, v = _random(self.rng, self.point[k].shape), _random(self.rng, self.f0.shape)
            numeric, error = self.slopes(k, u)
            if not self.is_connected(k, numeric, error):
                return
            grad = self.gradient(v)[k]
            if self.projection_gap(grad, u, v, numeric, error) > 1:
                i, numeric = self.locate(k, grad, v)
                self.fail_at(k, i, grad.flat[i], numeric, "(v . out), v random,")

    def projection_gap(self, grad, u, v, numeric, error):
        analytic_terms, numeric_terms = grad * u, v * numeric
        size = np.hypot(np.linalg.norm(analytic_terms), np.linalg.norm(numeric_terms))
        return _ratio(
            analytic_terms.sum() - numeric_terms.sum(), self.tolerance(size) + np.abs(v) @ error
        )

    def locate(self, k, grad, v):
        """A wrong element of the gradient, by halving, and its numeric value."""
        u = _random(self.rng, grad.shape)
        elements = np.arange(grad.size)
        while elements.size > 1:
            gaps = []
            halves = np.array_split(elements, 2)
            for half in halves:
                part = np.zeros_like(u)
                part.flat[half] = u.flat[half]
                gaps.append(self.projection_gap(grad, part, v, *self.slopes(k, part)))
            elements = halves[int(gaps[1] > gaps[0])]
        i = int(elements[0])
        return i, v @ self.slopes(k, _one_hot(grad.shape, i))[0]

    def is_connected(self, k, numeric, error):
        name = self.function.names[k]
        if self.connected[k] or not numeric.size:
            return self.connected[k]
        if (np.abs(numeric) > self.tolerance(0.0) + error).any():
            self.fail(
                f"no gradient reaches {name}, but the output changes with it: {name} is detached "
                "on the way, or has no derivative rule",
                input=name,
            )
        if self.every_input_used:
            self.fail(f"the output does not depend on {name}: use it or leave it out", input=name)
        return False

    def output_name(self, flat):
        for n, o in enumerate(self.outputs):
            if flat < o.numel():
                output = self.function.output_name(n, len(self.outputs))
                return output + _brackets(_index(flat, tuple(o.shape)))
            flat -= o.numel()

    def fail_at(self, k, i, analytic, numeric, of):
        self.fail_coarse()
        function, name = self.function, self.function.names[k]
        index = _index(i, self.point[k].shape)
        element = name + _brackets(index)
        self.fail(
            f"wrong derivative with respect to {name}",
            input=name,
            index=index,
            analytic=float(analytic),
            numeric=float(numeric),
            gap=f"d {of} / d {element}:  backward {analytic:.9g}, finite differences {numeric:.9g}",
            words=partial(words, function, name),
            rule=function.rule_of(name),
        )


def _random(rng, shape):
    """Numbers of both signs, none near zero."""
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 2.0, shape)


def _one_hot(shape, i):
    array = np.zeros(shape)
    array.flat[i] = 1.0
    return array


def _ratio(gap, allowed):
    """How many times larger than allowed; infinite for NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.nan_to_num(np.abs(gap) / allowed, nan=np.inf)
    return np.where(gap == 0, 0.0, ratio)


def _index(flat, shape):
    return tuple(int(i) for i in np.unravel_index(flat, shape))


def _brackets(index):
    return str(list(index)) if index else ""
