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
OVERFLOW = F(88.7228317)  # the largest x whose e^x is a float32
EXPONENT_BIAS, MANTISSA_BITS = np.int32(127), np.int32(23)


@inlined
def power_of_two(n):
    """2^n for a whole number n between -126 and 127."""
    return as_float((as_int(n) + EXPONENT_BIAS) << MANTISSA_BITS)


@inlined
def exp_minus_one(r):
    """e^r - 1 for |r| <= ln(2) / 2 (the polynomial of Cephes' expf)."""
    return (((((E0 * r + E1) * r + E2) * r + E3) * r + E4) * r + E5) * r * r + r


@inlined
def exp_inside(x):
    """e^x for x between -87 and 88: e^x = 2^n e^r, |r| <= ln(2) / 2.

    Larger x give about 2^127 and smaller ones 2^-126, not infinity and 0; nan gives a number.
    """
    x = min(max(x, EXP_LOW), EXP_HIGH)
    n = rounded(x * LOG2_E)
    r = x - n * LN2_HIGH - n * LN2_LOW
    return (exp_minus_one(r) + ONE) * power_of_two(n)


@inlined
def exp(x):
    """e^x, with infinity, 0 and nan where they belong; below e^-87 it is 0 at once."""
    inside = min(max(x, EXP_LOW), OVERFLOW)
    n = rounded(inside * LOG2_E)
    r = inside - n * LN2_HIGH - n * LN2_LOW
    # In two steps, because 2^128 has no float32, but e^88.5 = 2^128 e^-0.22 has one.
    y = (exp_minus_one(r) + ONE) * TWO * power_of_two(n - ONE)
    y = INFINITY if x > OVERFLOW else y
    y = ZERO if x < EXP_LOW else y
    return y if x == x else x


@inlined
def exp_below(x):
    """e^x for x <= 0, as in a softmax: 0 below e^-87, and nan for nan."""
    y = exp_inside(x)
    y = ZERO if x < EXP_LOW else y
    return y if x == x else x


@inlined
def expm1_below(x):
    """e^x - 1 for x <= 0, exact for small x: 2^n (e^r - 1) + (2^n - 1)."""
    inside = max(x, EXP_LOW)
    n = rounded(inside * LOG2_E)
    r = inside - n * LN2_HIGH - n * LN2_LOW
    power = power_of_two(n)
    y = exp_minus_one(r) * power + (power - ONE)
    return y if x == x else x


@inlined
def sigmoid(x):
    """1 / (1 + e^-x)"""
    y = ONE / (ONE + exp_inside(-x))
    y = ZERO if x < EXP_LOW else y
    return y if x == x else x


# log(1 + x) = 2 artanh(x / (2 + x)), a polynomial fitted to 4e-9 for 0 <= x <= 1.
L0, L2, L4, L6, L8 = (F(c) for c in (2.00000001, 0.666663147, 0.4002491, 0.279606053, 0.281783267))


@inlined
def log1p_inside(x):
    """ln(1 + x) for 0 <= x <= 1."""
    s = x / (TWO + x)
    t = s * s
    return ((((L8 * t + L6) * t + L4) * t + L2) * t + L0) * s


@inlined
def softplus(x):
    """ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|): e^-|x| cannot overflow."""
    return (x if x > ZERO else ZERO) + log1p_inside(exp_below(-abs(x)))


@inlined
def tanh(x):
    """(1 - e^-2|x|) / (1 + e^-2|x|), with the sign of x"""
    e = expm1_below(-TWO * abs(x))
    y = e / (TWO + e)
    return y if x < ZERO else -y


# erfc(x) e^(x^2) = a1 t + ... + a8 t^8, t = 1 / (1 + 0.43 x): the form of Abramowitz and Stegun
# 7.1.26 with coefficients fitted to a relative error of 9e-8, so that the tail keeps its digits.
A1, A2, A3, A4, A5, A6, A7, A8 = (
    F(c)
    for c in (
        0.242514532,
        0.244376502,
        0.204945075,
        0.246862673,
        -0.0857575751,
        0.383737839,
        -0.310390827,
        0.0737118648,
    )
)
A_P = F(0.43)
# erf(x) = x Q(x^2) for |x| < 0.7, where 1 - erfc(x) would lose digits; fitted to 4e-8.
B0, B2, B4, B6, B8 = (
    F(c) for c in (1.12837913, -0.376122216, 0.11276999, -0.0264744774, 0.00428179638)
)
SMALL = F(0.7)


@inlined
def erfc_and_bell(size):
    """erfc(size) for size >= 0, and e^(-size^2), which it needs on the way."""
    t = ONE / (ONE + A_P * size)
    bell = exp_below(-size * size)
    p = (((((((A8 * t + A7) * t + A6) * t + A5) * t + A4) * t + A3) * t + A2) * t + A1) * t
    return p * bell, bell


@inlined
def erf(x):
    size = abs(x)
    rest, _ = erfc_and_bell(size)
    large = ONE - rest if x > ZERO else rest - ONE
    s = x * x
    small = ((((B8 * s + B6) * s + B4) * s + B2) * s + B0) * x
    return small if size < SMALL else large


ROOT_HALF, ONE_OVER_ROOT_2_PI = F(0.7071067811865476), F(0.3989422804014327)


@inlined
def normal(x):
    """The normal distribution: how much of it lies below x, and its density at x."""
    rest, bell = erfc_and_bell(abs(x) * ROOT_HALF)
    below = HALF * rest if x < ZERO else ONE - HALF * rest
    return below, bell * ONE_OVER_ROOT_2_PI
