"""Ops that treat each element alone: the formula and its derivative, side by side.

`g` is the gradient of the output (the cotangent), `out` the output. Results broadcast as in NumPy;
the tape sums a rule's result back to its input's shape.
"""

from __future__ import annotations

import math

from ..device import Array, copied, moved, special, xp
from ..dtypes import BOOL, I64
from ..errors import DTypeError
from ..makers import definition, op
from ..promotion import cast, promoted, values_are_checked
from ..tape import Tensor
from .compare import logical_and, module_of, where

__all__ = """
    add sub mul div neg pow square reciprocal floor_divide trunc_divide remainder exp log log1p
    expm1 sqrt rsqrt sin cos tanh sigmoid logsigmoid erf relu abs sign floor ceil trunc
    maximum minimum clamp gelu clone
""".split()
METHODS = """
    add sub mul div pow neg square reciprocal floor_divide remainder exp log log1p expm1 sqrt
    rsqrt sin cos tanh sigmoid erf relu abs sign floor ceil trunc maximum minimum clamp
    clone
""".split()  # also methods of Tensor
IN_PLACE = """
    add sub mul div pow neg square reciprocal exp log sqrt rsqrt tanh sigmoid relu abs floor
    ceil clamp floor_divide remainder
""".split()  # also methods that write into their tensor: name_


# ------------------------------------------------------------------------------------ arithmetic


@op
def _add(input: Array, other: Array) -> Array:
    """y = input + other"""
    return input + other


_add.vjp(input=lambda g: g, other=lambda g: g)


@op
def _sub(input: Array, other: Array) -> Array:
    """y = input - other"""
    if BOOL == getattr(input, "dtype", None) == getattr(other, "dtype", None):
        raise DTypeError("sub: bool tensors cannot be subtracted; use logical_xor (^).")
    return input - other


_sub.vjp(input=lambda g: g, other=lambda g: -g)


@op
def mul(input: Array, other: Array) -> Array:
    """y = input * other"""
    return input * other


mul.vjp(input=lambda g, other: g * other, other=lambda g, input: g * input)


@op(result="float")
def _div(input: Array, other: Array) -> Array:
    """y = input / other; integers become the default float type first"""
    return input / other


_div.vjp(
    input=lambda g, other: g / other,
    other=lambda g, out, other: -g * out / other,
)


@op
def neg(input: Array) -> Array:
    """y = -input"""
    if input.dtype.kind == "b":
        raise DTypeError("neg: a bool tensor has no negative; use logical_not (~).")
    return -input


neg.vjp(input=lambda g: -g)


@op
def _pow(input: Array, exponent: Array) -> Array:
    """y = input ** exponent"""
    if isinstance(exponent, int) and exponent < 0 and input.dtype.kind in "iu":
        raise DTypeError("pow: integers to negative integer powers; convert the base to float.")
    whole = getattr(exponent, "dtype", BOOL).kind == "i"
    out = _whole_power(input, exponent) if whole else input**exponent
    both_bool = all(getattr(x, "dtype", type(x)) in (bool, BOOL) for x in (input, exponent))
    return out.astype(BOOL) if both_bool else out  # NumPy gives int8


def _whole_power(base: Array, exponent: Array) -> Array:
    """base ** exponent, with 1 / base rounded to 0 where the exponent is negative."""
    odd_or_exponent = xp(exponent).where(exponent < 0, exponent % 2, exponent)
    vanishing = (exponent < 0) & (base * base != 1)
    return xp(exponent).where(vanishing, 0, base**odd_or_exponent)


def _pow_base(g: Tensor, input: Tensor, exponent: Tensor | float) -> Tensor:
    """exponent * input ** (exponent - 1), and 0 (not nan) where both are 0."""
    if not isinstance(exponent, Tensor):
        return g * 0.0 if exponent == 0 else g * (exponent * input ** (exponent - 1))
    safe = where(logical_and(exponent == 0, input == 0), 1.0, exponent)
    return g * (exponent * input ** (safe - 1))


def _pow_exponent(g: Tensor, input: Tensor | float, out: Tensor) -> Tensor:
    """out * log(input), and 0 (not nan) where the base is 0."""
    if not isinstance(input, Tensor):
        if input == 0:
            return g * 0.0
        return g * out * (math.log(input) if input > 0 else math.nan)
    return g * out * log(where(input == 0, 1.0, input))


_pow.vjp(input=_pow_base, exponent=_pow_exponent)


@op
def square(input: Array) -> Array:
    """y = input^2"""
    return input * input if input.dtype.kind != "b" else input.astype(I64)


square.vjp(input=lambda g, input: g * (2 * input))


@op(result="float")
def reciprocal(input: Array) -> Array:
    """y = 1 / input"""
    return 1 / input


reciprocal.vjp(input=lambda g, out: -g * out * out)


def add(input: Tensor, other: Tensor | float, *, alpha: float = 1) -> Tensor:
    """y = input + alpha * other"""
    return _add(input, other if alpha == 1 else other * alpha)


def sub(input: Tensor, other: Tensor | float, *, alpha: float = 1) -> Tensor:
    """y = input - alpha * other"""
    return _sub(input, other if alpha == 1 else other * alpha)


def div(input: Tensor, other: Tensor | float, *, rounding_mode: str | None = None) -> Tensor:
    """y = input / other; rounding_mode "floor" or "trunc" rounds the quotient."""
    if rounding_mode is None:
        return _div(input, other)
    if rounding_mode not in ("floor", "trunc"):
        raise ValueError(f"div: rounding_mode is None, 'floor' or 'trunc', not {rounding_mode!r}.")
    return floor_divide(input, other) if rounding_mode == "floor" else trunc_divide(input, other)


def pow(input: Tensor | float, exponent: Tensor | float) -> Tensor:
    """y = input ** exponent"""
    return _pow(input, exponent)


@op
def floor_divide(input: Array, other: Array) -> Array:
    """y = floor(input / other); its derivative is 0"""
    _refuse_zero("floor_divide", input, other)
    return input // other


floor_divide.vjp(input=lambda g: g * 0.0, other=lambda g: g * 0.0)


@op
def trunc_divide(input: Array, other: Array) -> Array:
    """y = trunc(input / other); its derivative is 0"""
    return xp(input).trunc(input / other).astype(input.dtype)


trunc_divide.vjp(input=lambda g: g * 0.0, other=lambda g: g * 0.0)


@op
def remainder(input: Array, other: Array) -> Array:
    """y = input - floor(input / other) * other: has the sign of `other`, as in Python"""
    _refuse_zero("remainder", input, other)
    return input % other


def _refuse_zero(name: str, input: Array, other: Array) -> None:
    """Integers have no infinity to say that they were divided by 0; NumPy would give 0."""
    kind = getattr(other, "dtype", getattr(input, "dtype", None)).kind
    if kind == "f":
        return
    if isinstance(other, (int, float)):
        zero = other == 0
    else:
        zero = values_are_checked(other) and not other.all()
    if zero:
        raise RuntimeError(f"{name}: division of integers by zero.")


remainder.vjp(
    input=lambda g: g,
    other=lambda g, input, other: -g * floor_divide(input, other),
)


# ------------------------------------------------------------------- exponentials, roots, circles


@op(result="float")
def exp(input: Array) -> Array:
    """y = e^input"""
    return xp(input).exp(input)


exp.vjp(input=lambda g, out: g * out)


@op(result="float")
def log(input: Array) -> Array:
    """y = ln(input)"""
    return xp(input).log(input)


log.vjp(input=lambda g, input: g / input)


@op(result="float")
def log1p(input: Array) -> Array:
    """y = ln(1 + input), exact for small input"""
    return xp(input).log1p(input)


log1p.vjp(input=lambda g, input: g / (input + 1))


@op(result="float")
def expm1(input: Array) -> Array:
    """y = e^input - 1, exact for small input"""
    return xp(input).expm1(input)


expm1.vjp(input=lambda g, out: g * (out + 1))


@op(result="float")
def sqrt(input: Array) -> Array:
    """y = sqrt(input)"""
    return xp(input).sqrt(input)


sqrt.vjp(input=lambda g, out: g / (2 * out))


@op(result="float")
def rsqrt(input: Array) -> Array:
    """y = 1 / sqrt(input)"""
    return 1 / xp(input).sqrt(input)


rsqrt.vjp(input=lambda g, out: -0.5 * g * out * out * out)


@op(result="float")
def sin(input: Array) -> Array:
    """y = sin(input), in radians"""
    return xp(input).sin(input)


sin.vjp(input=lambda g, input: g * cos(input))


@op(result="float")
def cos(input: Array) -> Array:
    """y = cos(input), in radians"""
    return xp(input).cos(input)


cos.vjp(input=lambda g, input: -g * sin(input))


@op(result="float")
def tanh(input: Array) -> Array:
    """y = tanh(input)"""
    return xp(input).tanh(input)


tanh.vjp(input=lambda g, out: g * (1.0 - out * out))


@op(result="float")
def sigmoid(input: Array) -> Array:
    """y = 1 / (1 + e^-input)"""
    return 1 / (1 + xp(input).exp(-input))


sigmoid.vjp(input=lambda g, out: g * out * (1.0 - out))


@op(result="float")
def logsigmoid(input: Array) -> Array:
    """y = ln(1 / (1 + e^-input)), finite where the sigmoid itself rounds to 0"""
    return -xp(input).logaddexp(input.dtype.type(0), -input)


logsigmoid.vjp(input=lambda g, input: g * sigmoid(-input))


@op(result="float")
def erf(input: Array) -> Array:
    """y = 2 / sqrt(pi) * integral of e^(-t^2) from 0 to input"""
    return special(input).erf(input)


erf.vjp(input=lambda g, input: g * (2 / math.sqrt(math.pi)) * exp(-input * input))


# -------------------------------------------------------------------------- pieces, signs, rounding


@op
def relu(input: Array) -> Array:
    """y = max(input, 0); the derivative at 0 is 0"""
    return xp(input).maximum(input, input.dtype.type(0))


relu.vjp(input=lambda g, out: g * ~(out <= 0))  # not `out > 0`: a nan must not end here


@op
def abs(input: Array) -> Array:
    """y = |input|; the derivative at 0 is 0"""
    return xp(input).abs(input)


abs.vjp(input=lambda g, input: g * sign(input))


@op
def sign(input: Array) -> Array:
    """y = -1, 0 or 1; its derivative is 0"""
    return xp(input).sign(input) if input.dtype.kind != "b" else input.copy()


@op
def floor(input: Array) -> Array:
    """y = the largest integer <= input; its derivative is 0"""
    return xp(input).floor(input)


@op
def ceil(input: Array) -> Array:
    """y = the smallest integer >= input; its derivative is 0"""
    return xp(input).ceil(input)


@op
def trunc(input: Array) -> Array:
    """y = input without its fraction; its derivative is 0"""
    return xp(input).trunc(input)


@op
def _round(input: Array) -> Array:
    """y = the nearest integer, halves to even; its derivative is 0"""
    return xp(input).rint(input) if input.dtype.kind == "f" else input.copy()


for _flat in (sign, floor, ceil, trunc, _round):
    _flat.vjp(input=lambda g: g * 0.0)


@op
def maximum(input: Array, other: Array) -> Array:
    """y = the larger of the two, nan if either is; equal elements share the gradient evenly"""
    return module_of(input, other).maximum(input, other)


@op
def minimum(input: Array, other: Array) -> Array:
    """y = the smaller of the two, nan if either is; equal elements share the gradient evenly"""
    return module_of(input, other).minimum(input, other)


def _share(a: Tensor, b: Tensor, lost: Tensor) -> Tensor:
    """1, but 0 where `lost` says that a lost against b, and 1/2 where they are equal."""
    return where(a == b, 0.5, where(lost, 0.0, 1.0))


maximum.vjp(
    input=lambda g, input, other: g * _share(input, other, input < other),
    other=lambda g, input, other: g * _share(input, other, other < input),
)
minimum.vjp(
    input=lambda g, input, other: g * _share(input, other, input > other),
    other=lambda g, input, other: g * _share(input, other, other > input),
)


@op
def _clamp(input: Array, min: float | None, max: float | None) -> Array:
    """y = min(max(input, min), max); the derivative at an edge is 1"""
    return input.clip(min, max)


def _inside(input: Tensor, min: float | None, max: float | None) -> Tensor:
    if min is None:
        return input <= max
    return input >= min if max is None else logical_and(input >= min, input <= max)


_clamp.vjp(input=lambda g, input, min, max: g * _inside(input, min, max))


def clamp(
    input: Tensor, min: float | Tensor | None = None, max: float | Tensor | None = None
) -> Tensor:
    """y = min(max(input, min), max). Bounds are numbers or tensors; the derivative at an edge is 1.

    https://docs.pytorch.org/docs/stable/generated/torch.clamp.html
    """
    if min is None and max is None:
        raise ValueError("clamp: at least one of min and max must be given.")
    if not (isinstance(min, Tensor) or isinstance(max, Tensor)):
        fractional = isinstance(min, float) or isinstance(max, float)
        if fractional and input._array.dtype.kind != "f":
            input = promoted("clamp", input, 0.5)[0]
        return _clamp(input, min, max)
    out = input
    if min is not None:
        out = where(out < min, min, out)
    if max is not None:
        out = where(out > max, max, out)
    return out


@definition
def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """y = x * Phi(x), Phi the normal distribution function: x/2 * (1 + erf(x / sqrt 2)).

    approximate="tanh": x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))).
    Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415
    """
    if approximate == "none":
        return 0.5 * input * (1.0 + erf(input * math.sqrt(0.5)))
    if approximate != "tanh":
        raise ValueError(f"gelu: approximate is 'none' or 'tanh', not {approximate!r}.")
    inner = math.sqrt(2 / math.pi) * (input + 0.044715 * input * input * input)
    return 0.5 * input * (1.0 + tanh(inner))


# ------------------------------------------------------------------------------------ conversions


@op
def _cast(input: Array, dtype: object, source: object) -> Array:
    """y = input in type `dtype`; `source` is its own type, which its gradient returns to"""
    return input.astype(dtype)


_cast.vjp(input=lambda g, source: cast(g, source))


@op
def clone(input: Array) -> Array:
    """y = input, in its own memory"""
    return copied(input)


clone.vjp(input=lambda g: g)


@op
def identity(input: Array) -> Array:
    """y = input: the same memory, one more node on the tape"""
    return input


identity.vjp(input=lambda g: g)


@op
def transferred(input: Array, to: str, source: str) -> Array:
    """y = input on another device; its gradient comes back"""
    return moved(input, to)


transferred.vjp(input=lambda g, to, source: transferred(g, source, to))
