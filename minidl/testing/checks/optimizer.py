"""What must hold for every optimizer: it follows a plain loop, and can be stopped and resumed."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

import minidl
from minidl.testing.checks.compare import compare
from minidl.testing.checks.report import raised
from minidl.testing.checks.search import search
from minidl.testing.code import as_code
from minidl.testing.compare import to_numpy
from minidl.testing.errors import CheckError, SetupError
from minidl.testing.strategies import arrays, shapes

# The parameter may differ by rtol |expected| + atol after each step.
CLOSE = {np.float64: {"rtol": 1e-9, "atol": 1e-11}, np.float32: {"rtol": 1e-4, "atol": 1e-5}}


@dataclass(frozen=True)
class Course:
    """Parameters to start from, and for each step a gradient, or None, for each of them."""

    params: list[np.ndarray]
    grads: list[list[np.ndarray | None]]

    def leaves(self, dtype: Any, device: str) -> list[minidl.Tensor]:
        return [
            minidl.tensor(np.asarray(p, dtype), device=device).requires_grad_() for p in self.params
        ]


def check_optimizer(
    make: Callable,
    reference: Callable,
    *,
    device: str = "cpu",
    max_examples: int | None = None,
    seed: int | None = None,
) -> None:
    """Check an optimizer against a plain loop, on parameters and gradients drawn by hypothesis.

    make: `make(params) -> optimizer`, from a list of tensors that require a gradient.
    reference: `reference(params, grads, state) -> params` of one step on lists of NumPy arrays; a
        gradient may be None. `state` is a dict, empty before the first step, that it may fill.

    device: where the parameters live. max_examples, seed: as in `check_op`.

    Checked, in float64 and float32, over several steps: the parameters are the loop's; one without
    a gradient is left alone, and continues later as if the step had not been; gradients are not
    changed; parameters stay leaves that require a gradient, of their type; a new optimizer that
    loads the state dict after any step continues with the same bits.

    Raises CheckError with the steps as code to paste; its `input` is the parameter.
    """
    __tracebackhide__ = True
    examples = settings().max_examples if max_examples is None else max_examples
    for check in OPTIMIZER_CHECKS:
        search(
            functools.partial(_checked, check, make, reference, device),
            courses(),
            max_examples=examples,
            seed=seed,
        )


@st.composite
def courses(draw) -> Course:
    """One or two parameters and one to five steps; some gradients are missing."""
    params = [draw(arrays(shapes(max_dims=2))) for _ in range(draw(st.integers(1, 2)))]
    grads = []
    for _ in range(draw(st.integers(1, 5))):
        missing = [draw(st.integers(0, 3)) == 3 for _ in params]
        grads.append(
            [
                None if none else draw(arrays(p.shape))
                for none, p in zip(missing, params, strict=True)
            ]
        )
    return Course(params, grads)


def _checked(check, make, reference, device, course):
    __tracebackhide__ = True
    name = "optimizer"
    try:
        name = type(make(course.leaves(np.float64, device))).__name__
        check(make, reference, course, device)
    except SetupError:
        raise
    except Exception as error:
        if not isinstance(error, CheckError):
            error = raised(error)
        error.op = name
        error.code = lambda: _code(course)
        raise error.with_traceback(None) from None


# --------------------------------------------------------------------------------------- the checks


def follows_the_reference(make: Callable, reference: Callable, course: Course, device: str) -> None:
    """After each step the parameters are those of the plain loop."""
    for dtype, close in CLOSE.items():
        params = course.leaves(dtype, device)
        optimizer = make(params)
        expected: list[Any] = [to_numpy(p).astype(np.float64) for p in params]
        state: dict = {}
        for number, grads in enumerate(course.grads):
            before = [to_numpy(p).copy() for p in params]
            _step(optimizer, params, grads)
            for i, (p, g, old) in enumerate(zip(params, grads, before, strict=True)):
                _is_still_a_parameter(p, dtype, i)
                _gradient_is_kept(p, g, i)
                if g is None:
                    what = "a step changes a parameter that has no gradient"
                    compare(to_numpy(p), old, what, _name(i), ("after", "before"), input=_name(i))
            expected = _reference_step(reference, expected, grads, state)
            for i, (p, e) in enumerate(zip(params, expected, strict=True)):
                compare(
                    to_numpy(p),
                    np.asarray(e),
                    f"wrong parameter after step {number + 1} in {np.dtype(dtype)}",
                    _name(i),
                    ("optimizer", "reference"),
                    input=_name(i),
                    **close,
                )


def _reference_step(reference, params, grads, state):
    given = [None if g is None else g.copy() for g in grads]
    try:
        result = list(reference([p.copy() for p in params], given, state))
    except Exception as error:
        raise SetupError(f"the reference of the optimizer fails: {error!r}") from error
    if len(result) != len(params):
        raise SetupError(
            f"the reference must return {len(params)} parameters, it gave {len(result)}"
        )
    return result


def _is_still_a_parameter(p, dtype, i):
    if p.dtype != dtype or not p.is_leaf or not p.requires_grad:
        leaf = "a leaf" if p.is_leaf else "no leaf"
        raise CheckError(
            "",
            f"{_name(i)} is not what it was after a step",
            input=_name(i),
            gap=f"it is {np.dtype(p.dtype)}, {leaf}, requires_grad={p.requires_grad}; expected "
            f"{np.dtype(dtype)}, a leaf, requires_grad=True: write to it in place under no_grad",
        )


def _gradient_is_kept(p, g, i):
    if g is None:
        return
    what = f"a step changes the gradient of {_name(i)}"
    if p.grad is None:
        raise CheckError("", what, input=_name(i), gap="it is None after the step")
    kept = g.astype(to_numpy(p).dtype)
    compare(to_numpy(p.grad), kept, what, f"{_name(i)}.grad", ("after", "before"), input=_name(i))


def resumes_from_its_state_dict(
    make: Callable, reference: Callable, course: Course, device: str
) -> None:
    """Saved after any step and loaded by a new optimizer, both continue with the same bits."""
    whole = _trajectory(make, course, device)
    for stop in range(1, len(course.grads)):
        params = course.leaves(np.float64, device)
        optimizer = make(params)
        for grads in course.grads[:stop]:
            _step(optimizer, params, grads)
        copies = [p.detach().clone().requires_grad_() for p in params]
        resumed = make(copies)
        resumed.load_state_dict(optimizer.state_dict())
        for who, opt, ps in (
            ("a new optimizer with the state dict", resumed, copies),
            ("the optimizer whose state dict was loaded elsewhere", optimizer, params),
        ):
            for grads in course.grads[stop:]:
                _step(opt, ps, grads)
            for i, (p, expected) in enumerate(zip(ps, whole, strict=True)):
                what = f"{who} after step {stop} continues differently"
                sides = ("resumed", "uninterrupted")
                compare(to_numpy(p), expected, what, _name(i), sides, input=_name(i))


def _trajectory(make, course, device):
    params = course.leaves(np.float64, device)
    optimizer = make(params)
    for grads in course.grads:
        _step(optimizer, params, grads)
    return [to_numpy(p) for p in params]


def _step(optimizer, params, grads):
    for p, g in zip(params, grads, strict=True):
        p.grad = None if g is None else minidl.tensor(g, dtype=p.dtype, device=p.device)
    optimizer.step()


def _name(i):
    return f"params[{i}]"


def _code(course):
    made = ",\n          ".join(
        f"{as_code(minidl.tensor(p))}.requires_grad_()" for p in course.params
    )
    lines = [f"params = [{made}]", "optimizer = make(params)"]
    for grads in course.grads:
        for i, g in enumerate(grads):
            value = "None" if g is None else as_code(minidl.tensor(g))
            lines.append(f"{_name(i)}.grad = {value}")
        lines.append("optimizer.step()")
    return "\n".join(lines)


OPTIMIZER_CHECKS = [follows_the_reference, resumes_from_its_state_dict]
