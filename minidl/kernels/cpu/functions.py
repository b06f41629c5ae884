"""exp, tanh, erf and friends on one float32, written so that a loop over them is vectorised.

Numba calls the C library for these, one element at a time. A polynomial has no call in it: LLVM
turns a loop over it into instructions on 8 or 16 numbers at once, which is 10 to 100 times faster.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import jit

F = np.float32
ZERO, HALF, ONE, TWO = F(0), F(0.5), F(1), F(2)
INFINITY = F(np.inf)


@intrinsic
def as_float(context, bits):
    """The float32 that has these bits (int32)."""

    def build(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), build


@intrinsic
def as_int(context, value):
    """A float32 that is a whole number, as int32."""

    def build(context, builder, signature, arguments):
        return builder.fptosi(arguments[0], ir.IntType(32))

    return types.int32(types.float32), build


@intrinsic
def rounded(context, value):
    """The nearest whole number, as float32."""

    def build(context, builder, signature, arguments):
        function = builder.module.declare_intrinsic("llvm.nearbyint", [ir.FloatType()])
        return builder.call(function, arguments)

    return types.float32(types.float32), build


def _of_two(name):
    @intrinsic
    def function(context, a, b):
        def build(context, builder, signature, arguments):
            kind = ir.FunctionType(ir.FloatType(), [ir.FloatType()] * 2)
            called = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.f32")
            return builder.call(called, arguments, fastmath=("reassoc", "nsz"))

        return types.float32(types.float32, types.float32), build

    return function


# The larger and the smaller of two; Python's max() and min() are not vectorised in a reduction.
# If one is nan, the result is the other one: a maximum that is subtracted need not carry it.
larger, smaller = _of_two("maxnum"), _of_two("minnum")


inlined = jit(inline="always")
LOG2_E = F(1.4426950408889634)
LN2_HIGH, LN2_LOW = F(0.693359375), F(-2.12194440e-4)
E0, E1, E2, E3, E4, E5 = (
    F(c)
    for c in (
        1.9875691500e-4,
        1.3981999507e-3,
        8.3334519073e-3,
        4.1665795894e-2,
        1.6666665459e-1,
        5.0000001201e-1,
    )
)
EXP_HIGH, EXP_LOW = F(88.3762626647949), F(-87.3365478515625)
EXPONENT_BIAS, MANTISSA_BITS = np.int32(127), np.int32(23)


@inlined
def exp_inside(x):
    """e^x for x between -87 and 88: e^x = 2^n e^r, |r| <= ln(2) / 2 (Cephes' expf).

    Larger x give about 2^127 and smaller ones 2^-126, not infinity and 0; nan gives a number.
    """
    x = min(max(x, EXP_LOW), EXP_HIGH)
    n = rounded(x * LOG2_E)
    r = x - n * LN2_HIGH - n * LN2_LOW
    p = ((((E0 * r + E1) * r + E2) * r + E3) * r + E4) * r + E5
    p = p * r * r + r + ONE
    return p * as_float((as_int(n) + EXPONENT_BIAS) << MANTISSA_BITS)


@inlined
def exp(x):
    """e^x, with infinity, 0 and nan where they belong; below e^-87 it is 0 at once."""
    y = exp_inside(x)
    y = INFINITY if x > EXP_HIGH else y
    y = ZERO if x < EXP_LOW else y
    return y if x == x else x


@inlined
def sigmoid(x):
    """1 / (1 + e^-x)"""
    y = ONE / (ONE + exp_inside(-x))
    y = ZERO if x < EXP_LOW else y
    return y if x == x else x


# tanh(x) = x P(x^2) / Q(x^2) (Eigen's coefficients); it is 1 in float32 from 7.9 on.
TANH_END = F(7.90531110763549805)
P13, P11, P9, P7, P5, P3, P1 = (
    F(c)
    for c in (
        -2.76076847742355e-16,
        2.00018790482477e-13,
        -8.60467152213735e-11,
        5.12229709037114e-08,
        1.48572235717979e-05,
        6.37261928875436e-04,
        4.89352455891786e-03,
    )
)
Q6, Q4, Q2, Q0 = (
    F(c)
    for c in (
        1.19825839466702e-06,
        1.18534705686654e-04,
        2.26843463243900e-03,
        4.89352518554385e-03,
    )
)


@inlined
def tanh(x):
    y = min(max(x, -TANH_END), TANH_END)
    s = y * y
    p = ((((((P13 * s + P11) * s + P9) * s + P7) * s + P5) * s + P3) * s + P1) * y
    q = ((Q6 * s + Q4) * s + Q2) * s + Q0
    return p / q if x == x else x


# erf(x) = 1 - (a1 t + ... + a5 t^5) e^(-x^2), t = 1 / (1 + p x) (Abramowitz and Stegun 7.1.26)
A1, A2, A3, A4, A5 = (
    F(c) for c in (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
)
A_P = F(0.3275911)


@inlined
def erf_and_bell(x):
    """erf(x) to 5e-7, and e^(-x^2), which it needs on the way."""
    size = abs(x)
    t = ONE / (ONE + A_P * size)
    bell = exp_inside(-size * size)
    y = ONE - ((((A5 * t + A4) * t + A3) * t + A2) * t + A1) * t * bell
    return (y if x >= ZERO else -y) if x == x else x, bell
