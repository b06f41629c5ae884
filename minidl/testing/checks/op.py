"""Every check of an op over many samples: `check_op`, for yours and for minidl's own."""

import inspect
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from minidl import Tensor
from minidl.testing import trees
from minidl.testing.checks import call
from minidl.testing.checks.op_calls import determinism, dtype, no_mutation, values
from minidl.testing.checks.op_gradients import (
    broadcasting,
    first_derivative,
    first_derivative_fused,
    kernel,
    layouts,
    second_derivative,
    second_derivative_fused,
)
from minidl.testing.checks.search import search
from minidl.testing.compare import to_numpy
from minidl.testing.errors import CheckError, SetupError
from minidl.testing.records.record import OpRecord, Sample
from minidl.testing.strategies import broadcastable_shapes, shapes
from minidl.testing.strategies.arrays import arrays

# What must hold for every op: each takes a record, a sample of it and a device, and raises
# CheckError with the call to paste. The first to fail is the one that is reported.
OP_CHECKS: list[Callable[..., None]] = [
    no_mutation,
    determinism,
    dtype,
    values,
    first_derivative,
    second_derivative,
    first_derivative_fused,
    second_derivative_fused,
    layouts,
    broadcasting,
    kernel,
]
ENOUGH = 10  # samples that show nothing, before an input is said to be ignored


def check_op(
    function: Callable,
    reference: Callable | None = None,
    samples: st.SearchStrategy | None = None,
    *,
    order: int = 2,
    dtypes: str = "f",
    result: str = "same",
    broadcasts: bool = False,
    constants: tuple[str, ...] = (),
    max_examples: int | None = None,
    seed: int | None = None,
) -> None:
    """Check a function of tensors in every way that `OP_CHECKS` lists, on many samples.

    function: takes tensors and returns a tensor or a tuple of them.
    reference: the same on NumPy arrays; without it, values are not checked.
    samples: a hypothesis strategy of `Sample`s, or of tuples of arrays or tensors: the positional
        arguments. Keep it away from kinks and poles. If None, each parameter without a default
        gets a tensor of numbers from -2 to 2, all of one shape (with `broadcasts`, of shapes that
        broadcast).
    order: how often it can be differentiated: 0, 1, or 2 for any order.
    dtypes: kinds of input that it takes, NumPy's b(ool) u(nsigned) i(nt) f(loat).
    result: type of the result: "same" as the inputs, "float" (integers become float32), "bool",
        "index" (int64), "sum" (integers and bools become int64), or "given" by an argument.
    broadcasts: whether its inputs broadcast against each other.
    constants: names of inputs that get no gradient.
    max_examples: samples for each check; of hypothesis' loaded profile if None.
    seed: the same samples every time.

    Raises CheckError with the smallest failing call as code; SetupError if the reference fails or
    the samples have nothing to check.
    """
    __tracebackhide__ = True
    record = record_of(
        function,
        reference,
        samples,
        order=order,
        dtypes=dtypes,
        result=result,
        broadcasts=broadcasts,
        constants=constants,
    )
    for check in checks_of(record).values():
        check(max_examples=max_examples, seed=seed)


def checks_of(record: OpRecord) -> dict[str, Callable[..., None]]:
    """What is to be checked of a record, by name: functions of `max_examples` and `seed`."""
    applying = [check for check in OP_CHECKS if check.applies(record)]
    checks = {check.__name__: partial(run, check, record) for check in applying}
    if record.reference is None:
        checks["every_input_matters"] = partial(every_input_matters, record)
    return checks


def record_of(
    function: Callable,
    reference: Callable | None = None,
    samples: st.SearchStrategy | None = None,
    *,
    order: int = 2,
    **fields: Any,
) -> OpRecord:
    """The record that `check_op` checks; its arguments, except for `max_examples` and `seed`."""
    name = trees.function_name(function)
    if reference is None and order == 0:
        raise SetupError(f"{name}: give a reference: without one, and with order=0, nothing shows")
    if samples is not None and not isinstance(samples, st.SearchStrategy):
        raise SetupError(
            f"{name}: samples is a hypothesis strategy of tuples of arrays, such as "
            f"strategies.arrays(), got {samples!r}"
        )
    if samples is None:
        samples = _default_samples(function, fields.get("broadcasts", False))
    return OpRecord(
        name if name.isidentifier() else "function",
        function,
        samples.map(_as_sample),
        reference,
        why_none="none was given",
        order=order,
        **fields,
    )


def run(
    check: Callable,
    record: OpRecord,
    *,
    device: str = "cpu",
    max_examples: int | None = None,
    seed: int | None = None,
) -> None:
    """One of OP_CHECKS over samples of a record; CheckError has the smallest call that fails.

    A check that costs more than the cheapest sees fewer of the `max_examples` samples.
    """
    __tracebackhide__ = True
    examples = settings().max_examples if max_examples is None else max_examples
    floats = 0

    def checked(sample):
        __tracebackhide__ = True
        nonlocal floats
        floats += _has_floats(sample)
        check(record, sample, device)

    search(checked, record.samples, max_examples=max(examples // check.cost, 1), seed=seed)
    if record.order and not floats:
        raise SetupError(
            f"{record.name}: no sample has a float tensor with elements, so there is nothing to "
            "differentiate: draw float arrays, or give order=0"
        )


def every_input_matters(
    record: OpRecord, *, max_examples: int | None = None, seed: int | None = None
) -> None:
    """Raises CheckError if the result of no sample changes with one of the inputs.

    Without a reference nothing else shows that labels, a mask or a constant are ignored.
    """
    __tracebackhide__ = True
    tried, matter = Counter(), set()

    def change_each(sample):
        for i, value in enumerate(sample.args):
            if isinstance(value, np.ndarray) and value.size and i not in matter:
                tried[i] += 1
                if any(_differs(record, sample, i, changed) for changed in _changes(value)):
                    matter.add(i)

    examples = settings().max_examples if max_examples is None else max_examples
    search(change_each, record.samples, max_examples=examples, seed=seed)
    names = trees.parameters(record.function)
    for i in sorted(set(tried) - matter):
        name = names[i] if i < len(names) else f"input {i}"
        if tried[i] >= ENOUGH:
            gap = f"{tried[i]} samples with other values of {name} gave the same"
            raise CheckError(record.name, f"the result does not depend on {name}", name, gap=gap)


def _changes(array: np.ndarray) -> list[np.ndarray]:
    """Other arrays of the same domain."""
    changed = [np.full_like(array, array.flat[0]), np.roll(array.ravel(), 1).reshape(array.shape)]
    if array.dtype.kind == "f":
        changed.append(0.95 * array)
    if array.dtype.kind == "b":
        changed.append(~array)
    return [np.asarray(other) for other in changed]  # 0-d arrays come out of NumPy as numbers


def _differs(record: OpRecord, sample: Sample, i: int, changed: np.ndarray) -> bool:
    other = Sample((*sample.args[:i], changed, *sample.args[i + 1 :]), sample.kwargs)
    try:
        a, b = (
            call.outputs(call.function_of(record, s)(*call.arguments(record, s, call.as_tensor)))
            for s in (sample, other)
        )
    except Exception:  # what the values decide about is a dependence too
        return True
    return len(a) != len(b) or any(
        not np.array_equal(to_numpy(x), to_numpy(y), equal_nan=True)
        for x, y in zip(a, b, strict=True)
    )


def _has_floats(sample: Sample) -> bool:
    found = []
    call.map_arrays(lambda a: found.append(a.dtype.kind == "f" and a.size > 0), sample.args)
    return any(found)


def _as_sample(value: Any) -> Sample:
    """A drawn value as a Sample: arrays in place of tensors, floats as float64."""
    if isinstance(value, Sample):
        return value
    args = value if isinstance(value, tuple) else (value,)
    return Sample(tuple(_as_arrays(a) for a in args))


def _as_arrays(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(_as_arrays(v) for v in value)
    if not isinstance(value, np.ndarray | np.generic | Tensor):
        return value
    array = to_numpy(value)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _default_samples(function: Callable, broadcasts: bool) -> st.SearchStrategy:
    owner = trees.custom_function(function)
    parameters = list(inspect.signature(owner.forward if owner else function).parameters.values())
    parameters = parameters[1:] if owner else parameters  # without ctx
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        raise SetupError(
            f"{trees.function_name(function)}: its parameters do not tell what it takes: give "
            "samples, a strategy of tuples of arrays"
        )
    count = sum(p.default is p.empty and p.kind <= p.POSITIONAL_OR_KEYWORD for p in parameters)
    several = broadcastable_shapes(count) if broadcasts else shapes().map(lambda s: (s,) * count)
    return several.flatmap(lambda found: st.tuples(*[arrays(shape) for shape in found]))
