"""Comparisons, tests and choices: which element is larger, is nan, is taken.

Their results are bool and have no derivative; `where` hands the gradient to what was taken.
"""

from __future__ import annotations

from typing import Any

from ..device import Array, scalar, xp
from ..dtypes import of_scalar, promote
from ..errors import DTypeError
from ..makers import op
from ..promotion import need_tensors, promoted
from ..tape import Tensor, wrap

__all__ = """
    eq ne lt le gt ge logical_and logical_or logical_xor logical_not isnan isinf isfinite where
""".split()
METHODS = """
    eq ne lt le gt ge logical_and logical_or logical_xor logical_not isnan isinf isfinite
""".split()  # also methods of Tensor


def module_of(a: Array | float, b: Array | float) -> Any:
    """The array module of two operands, one of which may be a number."""
    return xp(b if isinstance(a, (int, float)) else a)


@op(result="bool")
def eq(input: Array, other: Array) -> Array:
    """y = (input == other)"""
    return input == other


@op(result="bool")
def ne(input: Array, other: Array) -> Array:
    """y = (input != other)"""
    return input != other


@op(result="bool")
def lt(input: Array, other: Array) -> Array:
    """y = (input < other)"""
    return input < other


@op(result="bool")
def le(input: Array, other: Array) -> Array:
    """y = (input <= other)"""
    return input <= other


@op(result="bool")
def gt(input: Array, other: Array) -> Array:
    """y = (input > other)"""
    return input > other


@op(result="bool")
def ge(input: Array, other: Array) -> Array:
    """y = (input >= other)"""
    return input >= other


@op(result="bool")
def logical_and(input: Array, other: Array) -> Array:
    """y = both are not 0"""
    return module_of(input, other).logical_and(input, other)


@op(result="bool")
def logical_or(input: Array, other: Array) -> Array:
    """y = at least one is not 0"""
    return module_of(input, other).logical_or(input, other)


@op(result="bool")
def logical_xor(input: Array, other: Array) -> Array:
    """y = exactly one is not 0"""
    return module_of(input, other).logical_xor(input, other)


@op(result="bool")
def logical_not(input: Array) -> Array:
    """y = input is 0"""
    return xp(input).logical_not(input)


@op(result="bool")
def isnan(input: Array) -> Array:
    """y = input is not a number"""
    return xp(input).isnan(input)


@op(result="bool")
def isinf(input: Array) -> Array:
    """y = input is infinite"""
    return xp(input).isinf(input)


@op(result="bool")
def isfinite(input: Array) -> Array:
    """y = input is neither infinite nor nan"""
    return xp(input).isfinite(input)


@op
def _where(condition: Array, input: Array, other: Array) -> Array:
    """y = input where condition holds, else other"""
    return xp(condition).where(condition, input, other)


_where.vjp(
    input=lambda g, condition: where(condition, g, 0.0),
    other=lambda g, condition: where(condition, 0.0, g),
)


def where(condition: Tensor, input: Tensor | float, other: Tensor | float) -> Tensor:
    """y = input where condition holds, else other; the three broadcast.

    condition: bool. input, other: tensors or numbers, brought to one type.
    https://docs.pytorch.org/docs/stable/generated/torch.where.html
    """
    need_tensors("where", condition=condition)
    if condition._array.dtype.kind != "b":
        raise DTypeError(f"where: the condition must be bool, got {condition._array.dtype}.")
    input, other = promoted("where", input, other)
    return _where(condition, _lifted(condition, input, other), _lifted(condition, other, input))


def _lifted(near: Tensor, value: Tensor | float, partner: Tensor | float) -> Tensor:
    """A Python number as a 0-d tensor of its partner's type, on the device of `near`."""
    if isinstance(value, Tensor):
        return value
    if isinstance(partner, Tensor):
        kind = partner._array.dtype
    else:
        kind = promote(of_scalar(value), of_scalar(partner))
    return wrap(scalar(value, kind, near._array))
