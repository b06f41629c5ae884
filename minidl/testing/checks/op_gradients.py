"""Checks of an op's gradients, of inputs anywhere in memory, of broadcasting, and of kernels."""

import functools
from dataclasses import replace
from functools import partial

import numpy as np

import minidl
from minidl import kernels
from minidl.testing import trees
from minidl.testing.checks import call
from minidl.testing.checks.compare import compare, output_names
from minidl.testing.checks.op_check import differentiable, op_check, op_of
from minidl.testing.compare import to_numpy
from minidl.testing.errors import CheckError
from minidl.testing.gradcheck import gradcheck, gradgradcheck
from minidl.testing.records.record import OpRecord, Sample
from minidl.testing.strategies.layouts import LAYOUTS, relaid

ROUNDING = {"rtol": 1e-12, "atol": 1e-13}  # the same sums in another order, of numbers near one


def twice_differentiable(record: OpRecord) -> bool:
    return record.order >= 2


def fused(record: OpRecord) -> bool:
    """Whether calls can be recorded as one node: the op has a definition or a kernel."""
    op = op_of(record)
    return op is not None and bool(op.definition or op.kernels)


def has_kernel(record: OpRecord) -> bool:
    op = op_of(record)
    return op is not None and bool(op.kernels)


# ------------------------------------------------------------------------------------- derivatives


@op_check(differentiable, cost=2)
def first_derivative(record, sample, device):
    """Backward against finite differences, and the same for each input that alone needs it."""
    _derivative(gradcheck, record, sample, device)
    _each_input_alone(record, sample, device)


@op_check(twice_differentiable, cost=3)
def second_derivative(record, sample, device):
    """Backward of backward against finite differences of backward."""
    _derivative(gradgradcheck, record, sample, device)


@op_check(lambda record: differentiable(record) and fused(record), cost=2)
def first_derivative_fused(record, sample, device):
    """As `first_derivative`, each call recorded as one node: its rules, or the replay."""
    _derivative(gradcheck, record, sample, device, one_node=True)


@op_check(lambda record: twice_differentiable(record) and fused(record), cost=3)
def second_derivative_fused(record, sample, device):
    """As `second_derivative`, each call recorded as one node."""
    _derivative(gradgradcheck, record, sample, device, one_node=True)


def _each_input_alone(record, sample, device):
    args = call.arguments(record, sample, partial(call.leaf, device=device))
    function = call.function_of(record, sample, device)
    tensors = trees.tensors(args)
    leaves = [i for i, t in enumerate(tensors) if t.requires_grad]
    values, together = call.gradients(function, args)
    # Of several outputs, those that need no gradient take no random numbers: not comparable.
    if len(leaves) < 2 or len(values) > 1 or not together:
        return
    names = trees.input_names(record.function, args)
    for i, expected in zip(leaves, together, strict=True):
        alone = [t.detach().requires_grad_(j == i) for j, t in enumerate(tensors)]
        _, found = call.gradients(function, trees.replace(args, iter(alone)))
        if expected is None:
            continue
        none = not found or found[0] is None
        compare(
            np.zeros_like(expected) if none else found[0],
            expected,
            f"another gradient of {names[i]} when no other input needs one",
            f"gradient of {names[i]}",
            ("alone", "with the others"),
            input=names[i],
            **ROUNDING,
        )


def _derivative(check, record, sample, device, one_node=False):
    args = call.arguments(record, sample, partial(call.leaf, device=device))
    if not any(t.requires_grad for t in trees.tensors(args)):
        return
    if one_node:
        record = replace(record, function=_as_one_node(record.function))
    try:
        with kernels.forced(reference=one_node):  # the rules too
            check(call.function_of(record, sample, device), args)
    except CheckError as error:
        if check is gradgradcheck:
            error.what = f"in the second derivative: {error.what}"
        if one_node:
            error.what += " (recorded as one node)"
        raise


def _as_one_node(function):
    """The function, recorded as one node wherever it is called: words are looked for later."""

    @functools.wraps(function)
    def as_one_node(*args, **kwargs):
        with kernels.forced(reference=True):
            return function(*args, **kwargs)

    return as_one_node


# -------------------------------------------------------------------------- layouts, broadcasting


@op_check(lambda record: record.layouts)
def layouts(record, sample, device):
    """Results and gradients do not depend on how the inputs lie in memory."""
    function = call.function_of(record, sample, device)
    plain = call.arguments(record, sample, partial(call.leaf, device=device))
    expected = call.gradients(function, plain)
    names = trees.input_names(record.function, plain)
    for layout in LAYOUTS:
        tensors = trees.tensors(plain)
        moved = [_relaid(t, layout) for t in tensors]
        if all(a is b for a, b in zip(tensors, moved, strict=True)):
            continue
        lines = [
            f"{name} = minidl.from_numpy(relaid({name}.numpy(), {layout!r}))"
            for name, a, b in zip(names, tensors, moved, strict=True)
            if a is not b
        ]
        try:
            got = call.gradients(function, trees.replace(plain, iter(moved)))
            _same_as(got, expected, names, record, layout)
        except CheckError as error:
            error.gap += (
                "\ninputs laid out by minidl.testing.strategies.layouts.relaid:\n  "
                + "\n  ".join(lines)
            )
            raise


def _same_as(got, expected, names, record, layout):
    said = f"when inputs are {layout} in memory"
    for name, a, b in zip(output_names(expected[0]), got[0], expected[0], strict=True):
        compare(a, b, f"other results {said}", name, (layout, "contiguous"), **ROUNDING)
    differentiated = [n for n in names if n.split("[")[0] not in record.constants]
    for name, a, b in zip(differentiated, got[1], expected[1], strict=False):
        if a is not None:
            compare(
                a,
                b,
                f"another gradient of {name} {said}",
                f"gradient of {name}",
                (layout, "contiguous"),
                **ROUNDING,
            )


def _relaid(t, layout):
    """The same tensor, a leaf like before, on memory of another layout; `t` if it has none."""
    array = to_numpy(t)
    repeats = array.ndim > 0 and array.size > 0 and (array == array[:1]).all()
    if array.ndim < LAYOUTS[layout][1] or (layout == "broadcast" and not repeats):
        return t
    moved = minidl.from_numpy(relaid(array, layout))
    return moved.to(t.device).requires_grad_(t.requires_grad)


@op_check(lambda record: record.broadcasts)
def broadcasting(record, sample, device):
    """Broadcasting is copying, and the gradient of copying is summing."""
    args = call.arguments(record, sample, partial(call.leaf, device=device))
    function = call.function_of(record, sample, device)
    tensors = trees.tensors(args)
    common = np.broadcast_shapes(*[tuple(t.shape) for t in tensors])
    copies = [
        minidl.tensor(np.broadcast_to(to_numpy(t), common), device=device).requires_grad_(
            t.requires_grad
        )
        for t in tensors
    ]
    values, grads = call.gradients(function, args)
    whole_values, whole_grads = call.gradients(function, trees.replace(args, iter(copies)))
    for name, a, b in zip(output_names(values), values, whole_values, strict=True):
        compare(a, b, "broadcasting is not copying", name, ("broadcast", "copied"), **ROUNDING)
    leaves = [
        (name, t)
        for name, t in zip(trees.input_names(record.function, args), tensors, strict=True)
        if t.requires_grad
    ]
    for (name, t), grad, whole in zip(leaves, grads, whole_grads, strict=False):
        if grad is None or whole is None:
            continue
        compare(
            grad,
            _summed_to(whole, tuple(t.shape)),
            f"the gradient of {name} is not summed over the dimensions that were broadcast",
            f"gradient of {name}",
            ("broadcast", "copied"),
            input=name,
            rtol=1e-11,
            atol=1e-12,
        )


def _summed_to(array, shape):
    lead = array.ndim - len(shape)
    ones = [i + lead for i, n in enumerate(shape) if n == 1 and array.shape[i + lead] != 1]
    return array.sum((*range(lead), *ones), keepdims=True).reshape(shape)


# ----------------------------------------------------------------------------------------- kernels


@op_check(has_kernel)
def kernel(record, sample, device):
    """The float32 kernel against the definition in float64: values and gradients.

    max |a - b| <= 1e-5 max |b| + 1e-6, for each of them.
    """
    numbers = call.map_arrays(_in_float32, (sample.args, sample.kwargs))
    sample = Sample(*numbers)
    single = call.arguments(record, sample, partial(call.leaf, device=device, dtype=np.float32))
    got = call.gradients(call.function_of(record, sample, device, np.float32), single)
    with kernels.disabled():
        double = call.arguments(record, sample, partial(call.leaf, device=device))
        expected = call.gradients(call.function_of(record, sample, device), double)
    names = output_names(got[0]) + [f"gradient {i}" for i in range(len(got[1]))]
    for name, a, b in zip(names, got[0] + got[1], expected[0] + expected[1], strict=True):
        largest = np.abs(b[np.isfinite(b)]).max(initial=0.0)
        compare(
            a,
            b,
            "the kernel differs from its definition",
            name,
            ("kernel", "definition"),
            atol=1e-5 * largest + 1e-6,
        )


def _in_float32(array):
    """Numbers that float32 and float64 both have."""
    return array.astype(np.float32).astype(array.dtype) if array.dtype.kind == "f" else array
