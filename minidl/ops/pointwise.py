"""More ops that treat each element alone: arithmetic, pieces, rounding, tests.

As `elementwise.py`; on whole numbers: `bits.py`; curves: `transcendental.py`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from .. import dtypes
from ..device import Array, xp
from ..errors import DTypeError
from ..makers import op
from ..promotion import cast, need_tensors
from ..tape import Tensor
from .compare import isfinite, isnan, logical_and, logical_or, module_of, where
from .elementwise import _refuse_zero, _round, clamp, pow, trunc
from .elementwise import abs as abs_
from .reduce import all as all_
from .transcendental import constant

METHODS = """
    addcmul addcdiv lerp float_power fmod ldexp frexp fmax fmin clamp_min clamp_max
    frac round nan_to_num copysign heaviside nextafter positive conj conj_physical resolve_conj
    resolve_neg signbit isposinf isneginf isreal isclose allclose equal
""".split()  # also methods of Tensor
__all__ = [*METHODS, "real", "rsub"]
IN_PLACE = """
    addcmul addcdiv lerp float_power fmod ldexp clamp_min clamp_max frac round
    nan_to_num copysign heaviside nextafter conj_physical
""".split()  # also methods that write into their tensor: name_


# -------------------------------------------------------------------------------------- arithmetic


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """y = input + value * tensor1 * tensor2; the three broadcast.

    https://docs.pytorch.org/docs/stable/generated/torch.addcmul.html
    """
    return input + (tensor1 * tensor2 if value == 1 else value * tensor1 * tensor2)


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """y = input + value * tensor1 / tensor2; the three broadcast.

    https://docs.pytorch.org/docs/stable/generated/torch.addcdiv.html
    """
    if tensor1._array.dtype.kind != "f" and tensor2._array.dtype.kind != "f":
        raise DTypeError("addcdiv: integer tensors are not divided; convert one with .float().")
    return input + (tensor1 if value == 1 else value * tensor1) / tensor2


def lerp(input: Tensor, end: Tensor, weight: Tensor | float) -> Tensor:
    """y = input + weight * (end - input): the line from input to end.

    https://docs.pytorch.org/docs/stable/generated/torch.lerp.html
    """
    need_tensors("lerp", input=input, end=end)
    kinds = {x._array.dtype for x in (input, end, weight) if isinstance(x, Tensor)}
    if len(kinds) > 1 or input._array.dtype.kind != "f":
        raise DTypeError(
            f"lerp: expected float tensors of one type, got {', '.join(map(str, kinds))}."
        )
    return input + weight * (end - input)


def rsub(input: Tensor, other: Tensor | float, *, alpha: float = 1) -> Tensor:
    """y = other - alpha * input"""
    return other - (input if alpha == 1 else input * alpha)


def float_power(input: Tensor | float, exponent: Tensor | float) -> Tensor:
    """y = input ** exponent, computed and returned in float64.

    https://docs.pytorch.org/docs/stable/generated/torch.float_power.html
    """
    return pow(*[x.double() if isinstance(x, Tensor) else float(x) for x in (input, exponent)])


@op
def fmod(input: Array, other: Array) -> Array:
    """y = input - trunc(input / other) * other: has the sign of `input`, as in C

    https://docs.pytorch.org/docs/stable/generated/torch.fmod.html
    """
    _refuse_zero("fmod", input, other)
    return module_of(input, other).fmod(input, other)


fmod.vjp(
    input=lambda g: g,
    other=lambda g, input, other: -g * trunc(input / other),
)


def ldexp(input: Tensor, other: Tensor) -> Tensor:
    """y = input * 2^other

    https://docs.pytorch.org/docs/stable/generated/torch.ldexp.html
    """
    return input * pow(2.0, other)


class Frexp(NamedTuple):
    """Result of frexp."""

    mantissa: Tensor
    exponent: Tensor


@op(outputs=2, aux=True)
def _frexp(input: Array) -> tuple:
    mantissa, exponent = xp(input).frexp(input)
    return (mantissa, exponent), exponent


_frexp.vjp(input=lambda g, aux: ldexp(g[0], -aux))


def frexp(input: Tensor) -> Frexp:
    """(mantissa, exponent): input = mantissa * 2^exponent, 1/2 <= |mantissa| < 1, exponent int32.

    https://docs.pytorch.org/docs/stable/generated/torch.frexp.html
    """
    need_tensors("frexp", input=input)
    if input._array.dtype.kind != "f":
        raise DTypeError(f"frexp: expected a float tensor, got {input._array.dtype}.")
    return Frexp(*_frexp(input))


# ----------------------------------------------------------------------- pieces, signs, rounding


@op
def fmax(input: Array, other: Array) -> Array:
    """y = the larger of the two, and the number where the other is nan; ties go to input

    https://docs.pytorch.org/docs/stable/generated/torch.fmax.html
    """
    return module_of(input, other).fmax(input, other)


@op
def fmin(input: Array, other: Array) -> Array:
    """y = the smaller of the two, and the number where the other is nan; ties go to input

    https://docs.pytorch.org/docs/stable/generated/torch.fmin.html
    """
    return module_of(input, other).fmin(input, other)


fmax.vjp(
    input=lambda g, input, other: where(logical_or(input >= other, other != other), g, 0.0),
    other=lambda g, input, other: where(logical_or(input >= other, other != other), 0.0, g),
)
fmin.vjp(
    input=lambda g, input, other: where(logical_or(input <= other, other != other), g, 0.0),
    other=lambda g, input, other: where(logical_or(input <= other, other != other), 0.0, g),
)


def clamp_min(input: Tensor, min: float | Tensor) -> Tensor:
    """y = max(input, min)"""
    return clamp(input, min=min)


def clamp_max(input: Tensor, max: float | Tensor) -> Tensor:
    """y = min(input, max)"""
    return clamp(input, max=max)


def frac(input: Tensor) -> Tensor:
    """y = input - trunc(input)

    https://docs.pytorch.org/docs/stable/generated/torch.frac.html
    """
    return input - trunc(input)


def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """y = the nearest number with so many decimals, halves to even; its derivative is 0.

    decimals: may be negative (-2: hundreds). Integers are only rounded to integers.
    https://docs.pytorch.org/docs/stable/generated/torch.round.html
    """
    if decimals == 0:
        return _round(input)
    if input._array.dtype.kind != "f":
        raise DTypeError(f"round: decimals needs a float tensor, got {input._array.dtype}.")
    scale = 10.0 ** (decimals if decimals > 0 else -decimals)
    return _round(input * scale) / scale if decimals > 0 else _round(input / scale) * scale


@op
def nan_to_num(
    input: Array, nan: float | None = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Array:
    """y = input, with numbers for nan and the infinities (None: the largest there are)

    https://docs.pytorch.org/docs/stable/generated/torch.nan_to_num.html
    """
    if input.dtype.kind != "f":
        return input.copy()
    return xp(input).nan_to_num(input, nan=nan or 0.0, posinf=posinf, neginf=neginf)


nan_to_num.vjp(input=lambda g, input: where(isfinite(input), g, 0.0))


@op(result="float")
def copysign(input: Array, other: Array) -> Array:
    """y = |input| with the sign of other; the derivative at 0 is 0

    https://docs.pytorch.org/docs/stable/generated/torch.copysign.html
    """
    return module_of(input, other).copysign(input, other)


copysign.vjp(
    input=lambda g, input, out: g * where(input == 0, 0.0, out / where(input == 0, 1.0, input)),
    other=lambda g: g * 0.0,
)


@constant
@op(result="strict")
def heaviside(input: Array, values: Array) -> Array:
    """y = 0 where input < 0, 1 where it is > 0, values where it is 0; no derivative

    https://docs.pytorch.org/docs/stable/generated/torch.heaviside.html
    """
    step = xp(input).where(input == 0, values, (input > 0).astype(input.dtype))
    return xp(input).where(input != input, input, step)  # nan stays


@op(result="float")
def nextafter(input: Array, other: Array) -> Array:
    """y = the float next to input on the way to other; where it moves its derivative is 1

    https://docs.pytorch.org/docs/stable/generated/torch.nextafter.html
    """
    return xp(input).nextafter(input, other)


nextafter.vjp(
    input=lambda g, input, other: where(input == other, 0.0, g),
    other=lambda g: g * 0.0,
)


def positive(input: Tensor) -> Tensor:
    """y = input itself.

    https://docs.pytorch.org/docs/stable/generated/torch.positive.html
    """
    need_tensors("positive", input=input)
    if input._array.dtype.kind == "b":
        raise DTypeError("positive: expected numbers, got a bool tensor.")
    return input


def conj(input: Tensor) -> Tensor:
    """y = input itself: all numbers here are real.

    https://docs.pytorch.org/docs/stable/generated/torch.conj.html
    """
    need_tensors("conj", input=input)
    return input


conj_physical = resolve_conj = resolve_neg = real = conj


# ------------------------------------------------------------------------------------------- tests


@op(result="bool")
def signbit(input: Array) -> Array:
    """y = input is negative, or -0.0

    https://docs.pytorch.org/docs/stable/generated/torch.signbit.html
    """
    return xp(input).signbit(input) if input.dtype.kind == "f" else input < 0


@op(result="bool")
def isposinf(input: Array) -> Array:
    """y = input is infinite and positive

    https://docs.pytorch.org/docs/stable/generated/torch.isposinf.html
    """
    return input == math.inf


@op(result="bool")
def isneginf(input: Array) -> Array:
    """y = input is infinite and negative

    https://docs.pytorch.org/docs/stable/generated/torch.isneginf.html
    """
    return input == -math.inf


@op(result="bool")
def isreal(input: Array) -> Array:
    """y = True: all numbers here are real

    https://docs.pytorch.org/docs/stable/generated/torch.isreal.html
    """
    return xp(input).ones(input.shape, bool)


def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """y = |input - other| <= atol + rtol * |other|; infinities are close to themselves only.

    https://docs.pytorch.org/docs/stable/generated/torch.isclose.html
    """
    need_tensors("isclose", input=input, other=other)
    if input._array.dtype != other._array.dtype:
        raise DTypeError(
            f"isclose: the tensors must have one type, got {input.dtype} and {other.dtype}."
        )
    close = input == other
    if equal_nan:
        close = logical_or(close, logical_and(isnan(input), isnan(other)))
    if input._array.dtype.kind != "f":
        input, other = (cast(x, dtypes.default_float()) for x in (input, other))
    distance = abs_(input.detach() - other.detach())
    near = distance <= atol + abs_(rtol * other.detach())
    return logical_or(close, logical_and(near, isfinite(distance)))


def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether all elements are close, see isclose.

    https://docs.pytorch.org/docs/stable/generated/torch.allclose.html
    """
    return all_(isclose(input, other, rtol, atol, equal_nan)).item()


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether both have one shape and the same elements.

    https://docs.pytorch.org/docs/stable/generated/torch.equal.html
    """
    need_tensors("equal", input=input, other=other)
    if input._array.shape != other._array.shape:
        return False
    return all_(input == other).item()
