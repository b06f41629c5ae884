"""Result types: PyTorch's, from a committed table.

`promotion.json` is written by `python tests/ops/make_tables.py` in an environment with PyTorch.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from promotion_cases import CODES, DTYPES, OPERANDS, PAIRED, SINGLE, call_pair, call_single

import minidl

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
