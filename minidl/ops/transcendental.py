"""Circles, hyperbolas, logarithms: one call of the array library, one line of derivative each.

As `elementwise.py`, where exp, log, sin, cos and tanh are; functions of probability and number
theory: `special_functions.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ..device import Array, xp
from ..makers import op
from ..tape import Tensor, grad_mode
from .compare import isinf, logical_and, where
from .elementwise import cos, rsqrt, sigmoid, sin

METHODS = """
    tan asin acos atan sinh cosh asinh acosh atanh exp2 log2 log10 deg2rad rad2deg sinc angle
    atan2 hypot logaddexp logaddexp2
""".split()  # also methods of Tensor
__all__ = METHODS
IN_PLACE = """
    tan asin acos atan sinh cosh asinh acosh atanh exp2 log2 log10 deg2rad rad2deg sinc atan2 hypot
""".split()  # also methods that write into their tensor: name_


constant = grad_mode(False)  # of an op without derivative: the history ends here, as in PyTorch


def float_op(name: str, formula: str, forward: Callable, rule: Callable | None = None) -> Callable:
    """An op of one tensor, y = formula. Integers become floats first."""

    def named(input: Array) -> Array:
        return forward(input)

    named.__name__ = named.__qualname__ = name
    named.__doc__ = f"""y = {formula}

    https://docs.pytorch.org/docs/stable/generated/torch.{name.strip("_")}.html
    """
    made = op(named, result="float")
    return constant(made) if rule is None else made.vjp(input=rule)


# --------------------------------------------------------------- circles, hyperbolas, logarithms

tan = float_op(
    "tan",
    "sin(input) / cos(input)",
    lambda x: xp(x).tan(x),
    lambda g, out: g * (1.0 + out * out),
)
asin = float_op(
    "asin",
    "the angle in [-pi/2, pi/2] whose sine is input",
    lambda x: xp(x).arcsin(x),
    lambda g, input: g * rsqrt(1.0 - input * input),
)
acos = float_op(
    "acos",
    "the angle in [0, pi] whose cosine is input",
    lambda x: xp(x).arccos(x),
    lambda g, input: -g * rsqrt(1.0 - input * input),
)
atan = float_op(
    "atan",
    "the angle in (-pi/2, pi/2) whose tangent is input",
    lambda x: xp(x).arctan(x),
    lambda g, input: g / (1.0 + input * input),
)
sinh = float_op(
    "sinh",
    "(e^input - e^-input) / 2",
    lambda x: xp(x).sinh(x),
    lambda g, input: g * cosh(input),
)
cosh = float_op(
    "cosh",
    "(e^input + e^-input) / 2",
    lambda x: xp(x).cosh(x),
    lambda g, input: g * sinh(input),
)
asinh = float_op(
    "asinh",
    "ln(input + sqrt(input^2 + 1)), the inverse of sinh",
    lambda x: xp(x).arcsinh(x),
    lambda g, input: g * rsqrt(input * input + 1.0),
)
acosh = float_op(
    "acosh",
    "ln(input + sqrt(input^2 - 1)), the inverse of cosh",
    lambda x: xp(x).arccosh(x),
    lambda g, input: g * rsqrt(input * input - 1.0),
)
atanh = float_op(
    "atanh",
    "ln((1 + input) / (1 - input)) / 2, the inverse of tanh",
    lambda x: xp(x).arctanh(x),
    lambda g, input: g / (1.0 - input * input),
)
exp2 = float_op("exp2", "2^input", lambda x: xp(x).exp2(x), lambda g, out: g * out * math.log(2))
log2 = float_op(
    "log2",
    "the logarithm of input to base 2",
    lambda x: xp(x).log2(x),
    lambda g, input: g / (input * math.log(2)),
)
log10 = float_op(
    "log10",
    "the logarithm of input to base 10",
    lambda x: xp(x).log10(x),
    lambda g, input: g / (input * math.log(10)),
)
deg2rad = float_op(
    "deg2rad", "input * pi / 180", lambda x: x * (math.pi / 180), lambda g: g * (math.pi / 180)
)
rad2deg = float_op(
    "rad2deg", "input * 180 / pi", lambda x: x * (180 / math.pi), lambda g: g * (180 / math.pi)
)


def _sinc_rule(g: Tensor, input: Tensor) -> Tensor:
    """(cos(pi x) - sinc(x)) / x, and 0 at 0."""
    safe = where(input == 0, 1.0, input)
    angle = safe * math.pi
    return where(input == 0, 0.0, g * (cos(angle) - sin(angle) / angle) / safe)


sinc = float_op(
    "sinc", "sin(pi input) / (pi input), and 1 at 0", lambda x: xp(x).sinc(x), _sinc_rule
)
angle = float_op(
    "angle",
    "pi where input is negative, else 0; its derivative is 0",
    lambda x: xp(x).where(xp(x).isnan(x), x, (x < 0) * x.dtype.type(math.pi)),
    lambda g: g * 0.0,
)


@op(result="float")
def atan2(input: Array, other: Array) -> Array:
    """y = the angle in [-pi, pi] of the point with abscissa `other` and ordinate `input`

    https://docs.pytorch.org/docs/stable/generated/torch.atan2.html
    """
    return xp(input).arctan2(input, other)


atan2.vjp(
    input=lambda g, input, other: g * other / (input * input + other * other),
    other=lambda g, input, other: -g * input / (input * input + other * other),
)


@op
def hypot(input: Array, other: Array) -> Array:
    """y = sqrt(input^2 + other^2), without overflow on the way

    https://docs.pytorch.org/docs/stable/generated/torch.hypot.html
    """
    return xp(input).hypot(input, other)


hypot.vjp(input=lambda g, input, out: g * input / out, other=lambda g, other, out: g * other / out)


def _difference(a: Tensor, b: Tensor) -> Tensor:
    """a - b, and 0 where both are the same infinity."""
    return where(logical_and(a == b, isinf(a)), 0.0, a - b)


@op(result="float")
def logaddexp(input: Array, other: Array) -> Array:
    """y = ln(e^input + e^other), without overflow on the way

    https://docs.pytorch.org/docs/stable/generated/torch.logaddexp.html
    """
    return xp(input).logaddexp(input, other)


logaddexp.vjp(
    input=lambda g, input, other: g * sigmoid(_difference(input, other)),
    other=lambda g, input, other: g * sigmoid(_difference(other, input)),
)


@op(result="float")
def logaddexp2(input: Array, other: Array) -> Array:
    """y = log2(2^input + 2^other), without overflow on the way

    https://docs.pytorch.org/docs/stable/generated/torch.logaddexp2.html
    """
    return xp(input).logaddexp2(input, other)


logaddexp2.vjp(
    input=lambda g, input, other: g * sigmoid(_difference(input, other) * math.log(2)),
    other=lambda g, input, other: g * sigmoid(_difference(other, input) * math.log(2)),
)
