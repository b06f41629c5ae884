"""Checks of an op's call: it is pure, gives the declared types, and the reference's values."""

from functools import partial

import numpy as np

import minidl
from minidl.testing import trees
from minidl.testing.checks import call
from minidl.testing.checks.compare import compare, output_names
from minidl.testing.checks.op_check import differentiable, op_check
from minidl.testing.checks.words import words_about_values
from minidl.testing.compare import to_numpy
from minidl.testing.errors import CheckError, SetupError
from minidl.testing.records.record import Sample

KINDS = (np.float64, np.float32)  # float32 runs kernels


@op_check()
def no_mutation(record, sample, device):
    """Neither a call nor its backward changes an input."""
    for kind in KINDS:
        function = call.function_of(record, sample, device, kind)
        plain = call.arguments(record, sample, partial(call.as_tensor, device=device, dtype=kind))
        _unchanged(record, plain, partial(function, *plain), "a call")
        leaves = call.arguments(record, sample, partial(call.leaf, device=device, dtype=kind))
        _unchanged(record, leaves, partial(call.gradients, function, leaves), "backward")


def _unchanged(record, args, act, what):
    tensors = trees.tensors(args)
    before = [to_numpy(t).copy() for t in tensors]
    act()
    names = trees.input_names(record.function, args)
    for name, t, old in zip(names, tensors, before, strict=True):
        compare(
            to_numpy(t),
            old,
            f"{what} changes its input {name} in place",
            name,
            ("after", "before"),
            input=name,
        )


@op_check()
def determinism(record, sample, device):
    """Two equal calls give the same bits."""
    for kind in KINDS:
        function = call.function_of(record, sample, device, kind)
        args = call.arguments(record, sample, partial(call.as_tensor, device=device, dtype=kind))
        first = [to_numpy(t).copy() for t in call.outputs(function(*args))]
        again = [to_numpy(t) for t in call.outputs(function(*args))]
        _same_number(first, again, "two equal calls give different numbers of results")
        for name, a, b in zip(output_names(first), first, again, strict=True):
            compare(b, a, "two equal calls differ", name, ("second call", "first call"))


# -------------------------------------------------------------------------------- types of results


@op_check()
def dtype(record, sample, device):
    """The declared type of result, and gradients of the type of the inputs."""
    if record.result != "given":
        for kind in KINDS:
            args = call.arguments(record, sample, partial(call.leaf, device=device, dtype=kind))
            results = call.outputs(call.function_of(record, sample, device, kind)(*args))
            expected = {"bool": np.bool_, "index": np.int64}.get(record.result, kind)
            code = partial(call.as_code, record, sample, kind)
            _has_dtype(results[0], expected, f"{np.dtype(kind)} inputs", code)
            for t in results[1:]:
                if t.dtype.is_floating_point:
                    _has_dtype(t, kind, f"{np.dtype(kind)} inputs", code)
            if differentiable(record):
                _gradient_dtypes(record, args, results)
    if "i" in record.dtypes and record.result != "given" and _whole(sample):
        whole = Sample(*call.map_arrays(_in_integers, (sample.args, sample.kwargs)))
        args = call.arguments(record, whole, partial(call.as_tensor, device=device))
        result = call.outputs(call.function_of(record, whole, device)(*args))[0]
        expected = {"bool": np.bool_, "float": minidl.get_default_dtype()}
        code = partial(call.as_code, record, whole)
        _has_dtype(result, expected.get(record.result, np.int64), "int64 inputs", code)


def _has_dtype(result, expected, given, code):
    if result.dtype != expected:
        raise CheckError(
            "",
            "wrong type of the result",
            gap=f"{given} give {np.dtype(result.dtype)}, expected {np.dtype(expected)}",
            code=code,
        )


def _gradient_dtypes(record, args, results):
    results = [o for o in results if o.requires_grad]
    leaves = [t for t in trees.tensors(args) if t.requires_grad]
    if not results or not leaves:
        return
    cotangents = [minidl.ones_like(o) for o in results]
    grads = minidl.autograd.grad(results, leaves, cotangents, allow_unused=True)
    names = [
        name
        for name, t in zip(
            trees.input_names(record.function, args), trees.tensors(args), strict=True
        )
        if t.requires_grad
    ]
    for name, x, g in zip(names, leaves, grads, strict=True):
        if g is not None and g.dtype != x.dtype:
            raise CheckError(
                "",
                f"wrong type of the gradient of {name}",
                input=name,
                gap=f"{name} is {np.dtype(x.dtype)}, its gradient {np.dtype(g.dtype)}",
            )


def _whole(sample: Sample) -> bool:
    """Whether its numbers can stand beside integers: no fractions, no `x ** -1`."""
    numbers = [v for v in (*sample.args, *sample.kwargs.values()) if isinstance(v, int | float)]
    return not any(isinstance(v, float) or v < 0 for v in numbers)


def _in_integers(array):
    """Small positive integers in place of floats: in the domain of every op."""
    whole = np.rint(np.abs(array) * 2 + 1) if array.dtype.kind == "f" else array
    return np.asarray(whole, np.int64 if array.dtype.kind == "f" else None)


# ------------------------------------------------------------------------------------------ values


@op_check(lambda record: record.reference is not None)
def values(record, sample, device):
    """float64 results are the reference's."""
    args = call.arguments(record, sample, partial(call.as_tensor, device=device))
    got = call.outputs(call.function_of(record, sample, device)(*args))
    try:
        expected = record.reference(*sample.args, **sample.kwargs)
    except Exception as error:
        raise SetupError(f"the reference of {record.name} fails: {error!r}") from error
    expected = list(expected) if isinstance(expected, tuple | list) else [expected]
    _same_number(expected, got, "wrong number of results")
    for i, (name, g, e) in enumerate(zip(output_names(got), got, expected, strict=True)):
        compare(
            to_numpy(g),
            np.asarray(e),
            "wrong result",
            name,
            (record.name, "reference"),
            rtol=1e-9,
            atol=1e-11,
            words=lambda i=i: words_about_values(record, sample, i),
        )


def _same_number(expected, got, what):
    if len(expected) != len(got):
        raise CheckError("", what, gap=f"{len(got)} tensors, expected {len(expected)}")
