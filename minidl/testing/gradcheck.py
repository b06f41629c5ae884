"""Derivatives against finite differences.

For a function with Jacobian J, a cotangent v and a direction u, two numbers must agree: v . (J u)
by finite differences and (J^T v) . u by `autograd.grad`. Cotangents are random: with ones, what
sums to zero passes (a softmax gradient 100 times too large does). Small functions are compared
entry by entry. At a kink the check moves to a point nearby.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

import minidl
from minidl.tape import all_ops
from minidl.testing import trees
from minidl.testing.compare import to_numpy
from minidl.testing.finite import Kink, slope

FULL_JACOBIAN = 64  # up to this many input elements and output elements every entry is compared
RANDOM_COTANGENTS = 3
MOVES = 12  # how often the check moves away from a kink


class GradientError(AssertionError):
    """A derivative is wrong or missing, or cannot be checked.

    `op`, `input`: names; `index`: the element of the input; `analytic`, `numeric`: the two values;
    None where they do not apply.
    """

    def __init__(self, op, what, input=None, index=None, analytic=None, numeric=None):
        super().__init__(f"{op}: {what}")
        self.op, self.input, self.index = op, input, index
        self.analytic, self.numeric = analytic, numeric


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
    function = _Function(func, inputs)
    return _Check(function, eps, atol, rtol, nondet_tol, seed).run(raise_exception)


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
    first = _Function(func, inputs)
    if grad_outputs is None:
        rng = np.random.default_rng([seed, 1])
        outputs = first.call(first.point)[1]
        grad_outputs = [minidl.tensor(_random(rng, o.shape), device=o.device) for o in outputs]
    grad_outputs = [v.detach().requires_grad_() for v in trees.tensors([grad_outputs])]

    def gradients(arguments, cotangents):
        arguments_and_cotangents = trees.tensors((arguments, cotangents))
        create_graph = any(t.requires_grad for t in arguments_and_cotangents)
        leaves = [arguments_and_cotangents[i].requires_grad_() for i in first.checked]
        outputs = _float_tensors(func(*arguments))
        grads = _grad(outputs, leaves, cotangents, create_graph=create_graph)
        return [
            minidl.zeros_like(x) if g is None else g for x, g in zip(leaves, grads, strict=True)
        ]

    second = _Function(gradients, (first.inputs, grad_outputs), f"derivative of {first.name}")
    second.names[: len(first.names)] = first.names
    check = _Check(second, eps, atol, rtol, nondet_tol, seed, every_input_used=False)
    return check.run(raise_exception)


class _Function:
    """`func(*inputs)` as a function of those of its tensors that require a gradient."""

    def __init__(self, func, inputs, name=None):
        self.func = func
        self.inputs = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
        self.name = name or trees.function_name(func)
        self.tensors = trees.tensors(self.inputs)
        self.checked = [i for i, t in enumerate(self.tensors) if t.requires_grad]
        self.point = [to_numpy(self.tensors[i]).copy() for i in self.checked]
        names = trees.input_names(func, self.inputs)
        self.names = [names[i] for i in self.checked]
        if not self.checked:
            raise ValueError(f"gradcheck: no input of {self.name} requires a gradient")
        for name, array in zip(self.names, self.point, strict=True):
            if array.dtype != np.float64:
                raise ValueError(
                    f"gradcheck: finite differences need float64, input {name} of {self.name} is "
                    f"{array.dtype}: pass {name}.double()"
                )

    def call(self, point, requires_grad=False):
        """Call on fresh tensors; returns the checked ones and the floating-point outputs."""
        fresh = [t.detach().clone() for t in self.tensors]
        for i, array in zip(self.checked, point, strict=True):
            fresh[i] = minidl.tensor(array, device=self.tensors[i].device)
            fresh[i].requires_grad_(requires_grad)
        before = [to_numpy(t).copy() for t in fresh]
        outputs = _float_tensors(self.func(*trees.replace(self.inputs, iter(fresh))))
        if not all(_equal(to_numpy(t), b) for t, b in zip(fresh, before, strict=True)):
            raise GradientError(self.name, "an input was changed in place: work on a copy of it")
        return [fresh[i] for i in self.checked], outputs


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
        point = self.function.point
        for move in range(1, MOVES + 1):
            try:
                return self.check_at(point)
            except Kink as kink:
                reason = kink
            point = [
                x + 0.02 * move * _random(self.rng, x.shape) * np.maximum(np.abs(x), 0.05)
                for x in self.function.point
            ]
        self.fail(
            f"no derivative to compare with, here and at {MOVES - 1} points nearby: {reason}. The "
            "function has kinks, jumps or NaN close together, or is random: choose other inputs"
        )

    def check_at(self, point):
        self.point = point
        self.leaves, self.outputs = self.function.call(point, requires_grad=True)
        self.f0 = self.value(point)
        if np.isnan(self.f0).any():
            raise Kink("the output is NaN")
        if not _equal(self.f0, _flat(self.outputs), self.nondet_tol):
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
            if not _equal(to_numpy(leaf), array):
                self.fail("backward changed an input in place: work on a copy of it")

    def fail(self, what, **fields):
        raise GradientError(self.function.name, what, **fields)

    # The two sides.

    def value(self, point):
        return _flat(self.function.call(point)[1])

    def slopes(self, k, direction):
        """d outputs / d t for input k + t direction, and the estimated error, by differences."""

        def along(t):
            return self.value(
                [x + t * direction if i == k else x for i, x in enumerate(self.point)]
            )

        return slope(along, self.f0, self.eps, self.tolerance)

    def gradient(self, v, layout=lambda t: t):
        """d (v . outputs) / d inputs by autograd, as arrays; None for an input not reached."""
        cotangents, start = [], 0
        for o in self.outputs:
            piece = v[start : start + o.numel()].reshape(tuple(o.shape))
            cotangents.append(layout(minidl.tensor(piece, device=o.device)))
            start += o.numel()
        before = [to_numpy(c).copy() for c in cotangents]
        grads = _grad(self.outputs, self.leaves, cotangents, retain_graph=True)
        if not all(_equal(to_numpy(c), b) for c, b in zip(cotangents, before, strict=True)):
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
            if a is not None and not _equal(a, b, self.nondet_tol):
                self.fail(
                    f"two equal backward calls give different gradients of {name}", input=name
                )
            if a is not None and not _equal(a, c, 1e-9):
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
                self.fail_at(k, i, combined[i], expected[i], "(v . outputs), v random,")

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
                self.fail_at(k, i, grad.flat[i], numeric, "(v . outputs), v random,")

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
                output = "output" if len(self.outputs) == 1 else f"output {n}"
                return output + _brackets(_index(flat, tuple(o.shape)))
            flat -= o.numel()

    def fail_at(self, k, i, analytic, numeric, of):
        index = _index(i, self.point[k].shape)
        element = self.function.names[k] + _brackets(index)
        self.fail(
            f"wrong derivative: d {of} / d {element} is {numeric:.9g} by finite differences, "
            f"{analytic:.9g} by backward, at {element} = {self.point[k][index]:.9g}. "
            f"Correct {_culprit(self.function.name, self.function.names[k])}",
            input=self.function.names[k],
            index=index,
            analytic=float(analytic),
            numeric=float(numeric),
        )


def _culprit(function, name):
    """The rule of an op of minidl with its line, or in words what returned the gradient."""
    op = getattr(all_ops().get(function), "op", None)
    rule = op.rules[op.inputs.index(name)] if op is not None and name in op.inputs else None
    if rule is None:
        return f"what backward returns for {name}"
    code = rule.function.__code__
    file = Path(code.co_filename)
    return f"the rule '{name}' of {function} ({'/'.join(file.parts[-3:])}:{code.co_firstlineno})"


def _grad(outputs, leaves, cotangents, **options):
    pairs = [(o, v) for o, v in zip(outputs, cotangents, strict=True) if o.requires_grad]
    if not pairs:
        return [None] * len(leaves)
    outputs, cotangents = zip(*pairs, strict=True)
    return minidl.autograd.grad(outputs, leaves, cotangents, allow_unused=True, **options)


def _float_tensors(result):
    return [t for t in trees.tensors([result]) if to_numpy(t).dtype.kind == "f"]


def _flat(tensors):
    return np.concatenate([np.zeros(0), *(to_numpy(t).ravel() for t in tensors)])


def _equal(a, b, tolerance=0.0):
    return np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)


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
