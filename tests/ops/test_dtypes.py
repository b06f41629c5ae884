"""Result types: PyTorch's, from a committed table; and float32 stays float32.

`promotion.json` is written by `python tests/ops/make_tables.py` in an environment with PyTorch.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from calls import arguments, as_tensor, each_record, function_of, leaf, map_arrays, outputs
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from promotion_cases import CODES, DTYPES, OPERANDS, PAIRED, SINGLE, call_pair, call_single

import minidl
from minidl import testing

TABLE = json.loads(Path(__file__).with_name("promotion.json").read_text())
NAMES = {code: name for name, code in CODES.items()}
REFUSED = (RuntimeError, TypeError, ValueError)


def answer(call, *arguments):
    try:
        return call(minidl, *arguments).dtype.name
    except REFUSED:
        return "error"


def wrong(answers):
    """Where PyTorch gives a type, minidl gives the same; where PyTorch refuses, it may answer."""
    return [
        f"{what}: {got}, PyTorch {expected}"
        for what, got, expected in answers
        if got != expected and expected != "error" and what not in KNOWN
    ]


# all and any give bool; PyTorch keeps uint8, from the time when it had no bool.
# bool ** True is int8, as in NumPy.
KNOWN = ("all uint8", "any uint8", "pow bool 1, scalar bool", "pow bool 0, scalar bool")


@pytest.mark.smoke
@pytest.mark.parametrize("name", PAIRED)
def test_two_operands(name):
    """Every pair of types, with and without dimensions, and Python numbers."""
    found = []
    for a in OPERANDS:
        for b, code in zip(OPERANDS, TABLE["pairs"][name][a], strict=True):
            found.append((f"{name} {a}, {b}", answer(call_pair, name, a, b), NAMES[code]))
    assert wrong(found) == []


@pytest.mark.smoke
@pytest.mark.parametrize("name", SINGLE)
def test_one_operand(name):
    found = [
        (f"{name} {dtype}", answer(call_single, name, dtype), NAMES[code])
        for dtype, code in zip(DTYPES, TABLE["single"][name], strict=True)
    ]
    assert wrong(found) == []


@each_record(lambda record: record.order >= 1 and record.result != "given")
@settings(max_examples=max(settings().max_examples // 2, 1))
@given(data=st.data())
def test_float32_stays_float32(record, device, data):
    """float32 in, float32 out and in the gradient, whatever Python numbers take part."""
    sample = data.draw(record.samples)
    args = arguments(record, sample, lambda a: leaf(a, device, np.float32))
    result = outputs(function_of(record, sample, device, np.float32)(*args))
    result = [o for o in result if o.requires_grad]
    leaves = [t for t in testing.trees.tensors(args) if t.requires_grad]
    assert {o.dtype.name for o in result} <= {"float32"}
    if not result:
        return
    cotangents = [minidl.ones_like(o) for o in result]
    for grad in minidl.autograd.grad(result, leaves, cotangents, allow_unused=True):
        assert grad is None or grad.dtype == minidl.float32


def test_numpy_scalars_are_weak(device):
    x = minidl.ones(3, device=device, requires_grad=True)
    for scalar in (np.float64(2), np.float32(2), np.int64(2), 2, 2.0, True):
        for y in (x * scalar, scalar * x, x + scalar, scalar - x, x / scalar, scalar / x):
            assert y.dtype == minidl.float32
            assert minidl.autograd.grad(y.sum(), x)[0].dtype == minidl.float32


def test_a_float_number_makes_integers_the_default_float(device):
    x = minidl.tensor([1, 2], device=device)
    assert (x * 0.5).dtype == minidl.float32
    minidl.set_default_dtype(minidl.float64)
    try:
        assert (x * 0.5).dtype == minidl.float64
        assert (x / 2).dtype == minidl.float64
        assert minidl.tensor([0.5], device=device).dtype == minidl.float64
    finally:
        minidl.set_default_dtype(minidl.float32)


def test_gradients_have_the_type_of_their_input(device):
    a = minidl.ones(2, dtype=minidl.float32, device=device, requires_grad=True)
    b = minidl.ones(2, dtype=minidl.float64, device=device, requires_grad=True)
    (a * b).sum().backward()
    assert (a.grad.dtype, b.grad.dtype) == (minidl.float32, minidl.float64)


def test_float16_is_storage_on_the_cpu():
    x = minidl.tensor([1.5, 2.0], dtype=minidl.float16)
    assert x.float().dtype == minidl.float32
    assert x.to(minidl.float64).half().dtype == minidl.float16
    for call in (lambda: x + x, lambda: x.exp(), lambda: x @ x, lambda: x.sum(), lambda: x * 2):
        with pytest.raises(minidl.DTypeError, match=r"float16.*float\(\)"):
            call()


def in_integers(array):
    """Small positive integers in place of floats: in the domain of every op."""
    return np.rint(np.abs(array) * 2 + 1).astype(np.int64) if array.dtype.kind == "f" else array


RESULTS = {"float": "float32", "bool": "bool", "index": "int64", "same": "int64", "sum": "int64"}


ALWAYS_WITH_FLOATS = ("clamp", "pad")  # their samples, by min, max and value


def has_float_number(sample):
    return any(isinstance(value, float) for value in (*sample.args, *sample.kwargs.values()))


@each_record(lambda record: "i" in record.dtypes and record.name not in ALWAYS_WITH_FLOATS)
@settings(max_examples=max(settings().max_examples // 4, 1))
@given(data=st.data())
def test_integers_are_taken(record, device, data):
    """The result is of the declared type. Numbers have their own test, the committed table."""
    sample = data.draw(record.samples)
    assume(not has_float_number(sample))
    assume(record.name != "pow" or not isinstance(sample.args[1], int))  # x ** -1 is refused
    args = arguments(record, sample, lambda a: as_tensor(in_integers(a), device))
    kwargs = map_arrays(lambda a: as_tensor(in_integers(a), device), sample.kwargs)
    first = outputs(record.function(*args, **kwargs))[0]
    assert first.dtype.name == RESULTS[record.result]
