"""Functions of one number, and their derivatives, each in one pass over memory.

NumPy computes x * sigmoid(x) in several passes: -x, e^-x, 1 + e^-x, and so on, each reading an
array from memory and writing another. A pass over a large array takes as long as the memory needs,
hardly longer for ten multiplications than for one; so a kernel that does the whole formula while
the number is in a register saves all passes but one. The derivative, whose formula has more steps
still, gains more.

Here a function is written for one number, as in a book, and so is its derivative, multiplied by the
incoming gradient. `over` puts them into a loop. Three things make the loop fast: the functions that
it calls are inlined and consist of plain arithmetic and choices (see `functions.py`), so LLVM
computes 8 or 16 numbers at once; blocks of the array go to different threads; and the array is
walked in the order in which it lies in memory, whatever its shape says.

A choice `a if test else b` computes both sides and then selects: that is what a vector register can
do. So a side that is not chosen may overflow without harm.

On time as the larger of arithmetic and memory traffic: Williams et al. 2009, "Roofline",
https://doi.org/10.1145/1498765.1498785
"""

from __future__ import annotations

import types
from collections.abc import Callable

import numpy as np

from .. import Kernel
from . import functions, layout, parallel, prange
from .functions import EXP_LOW, INFINITY, ONE, TWO, ZERO, F, inlined, normal, sigmoid

BLOCK = 8192  # elements; the two or three arrays of a block fit into a core's own cache

# ------------------------------------------------------------------------------------ the two loops


def _values(x, out, a, b):
    """out[i] = formula(x[i], a, b)"""
    for block in prange((x.size + BLOCK - 1) // BLOCK):
        first = block * BLOCK
        x_part, out_part = x[first : first + BLOCK], out[first : first + BLOCK]
        for i in range(x_part.size):
            out_part[i] = formula(x_part[i], a, b)  # noqa: F821 (a global that `over` adds)


def _gradients(g, x, dx, a, b):
    """dx[i] = formula(g[i], x[i], a, b); x is the function's input or its output"""
    for block in prange((x.size + BLOCK - 1) // BLOCK):
        first = block * BLOCK
        g_part, x_part = g[first : first + BLOCK], x[first : first + BLOCK]
        dx_part = dx[first : first + BLOCK]
        for i in range(x_part.size):
            dx_part[i] = formula(g_part[i], x_part[i], a, b)  # noqa: F821


def over(loop: Callable, formula: Callable) -> parallel:
    """The loop with this formula in it.

    A copy of the loop whose globals hold the formula: Numba treats globals as constants, so it
    inlines the formula, and keeps one compiled version of the loop for each.
    """
    names = loop.__globals__ | {"formula": inlined(formula)}
    copy = types.FunctionType(loop.__code__, names, loop.__name__)
    copy.__qualname__ = f"{loop.__name__}_{formula.__name__.removesuffix('_gradient')}"
    copy.__module__ = loop.__module__
    return parallel(copy)


def _flat(x: np.ndarray, like: np.ndarray) -> np.ndarray:
    """The elements of x in the memory order of `like`, as one row."""
    if x.flags.c_contiguous and like.flags.c_contiguous:
        return x.reshape(-1)
    return layout.flat(x, like)


def _run(loop: parallel, x: np.ndarray, a: float = 0.0, b: float = 0.0) -> np.ndarray:
    """The values, in the memory order of x."""
    out = layout.empty_like(x)
    loop(x.size, _flat(x, out), _flat(out, out), F(a), F(b))
    return out


def _run_back(
    loop: parallel, g: np.ndarray, x: np.ndarray, a: float = 0.0, b: float = 0.0
) -> tuple[np.ndarray]:
    """The gradient, in the memory order of x."""
    dx = layout.empty_like(x)
    loop(x.size, _flat(g, dx), _flat(x, dx), _flat(dx, dx), F(a), F(b))
    return (dx,)


# -------------------------------------------------------------- functions whose output tells all
# y(x, a, b), and g times its derivative, from the output y.


def exp(x, a, b):
    return functions.exp(x)


def exp_gradient(g, y, a, b):
    return g * y


def tanh(x, a, b):
    return functions.tanh(x)


def tanh_gradient(g, y, a, b):
    return g * (ONE - y * y)


def sigmoid_(x, a, b):
    return sigmoid(x)


def sigmoid_gradient(g, y, a, b):
    return g * y * (ONE - y)


def relu(x, a, b):
    return ZERO if x <= ZERO else x  # nan stays: it is not <= 0


def relu_gradient(g, y, a, b):
    return g * (ZERO if y <= ZERO else ONE)


# -------------------------------------------------------------------------- functions of the input

TWO_OVER_ROOT_PI = F(1.1283791670955126)
THREE, FOUR, SIX, TEN, TWENTY = F(3), F(4), F(6), F(10), F(20)


def erf(x, a, b):
    return functions.erf(x)


def erf_gradient(g, x, a, b):
    return g * TWO_OVER_ROOT_PI * functions.exp_below(-x * x)


def logsigmoid(x, a, b):
    return -functions.softplus(-x)


def logsigmoid_gradient(g, x, a, b):
    return g * sigmoid(-x)


def softplus(x, beta, threshold):
    return x if beta * x > threshold else functions.softplus(beta * x) / beta


def softplus_gradient(g, x, beta, threshold):
    return g if beta * x > threshold else g * sigmoid(beta * x)


def silu(x, a, b):
    return x * sigmoid(x)


def silu_gradient(g, x, a, b):
    s = sigmoid(x)
    return g * (s + x * s * (ONE - s))


def gelu(x, a, b):
    below, _ = normal(x)
    return x * below


def gelu_gradient(g, x, a, b):
    below, density = normal(x)
    return g * (below + x * density)


# gelu's approximation in other words: (1 + tanh u) / 2 = sigmoid(2 u), u = c (x + d x^3).
TWICE_C, D = F(2 * 0.7978845608028654), F(0.044715)


def gelu_tanh(x, a, b):
    return x * sigmoid(TWICE_C * (x + D * x * x * x))


def gelu_tanh_gradient(g, x, a, b):
    s = sigmoid(TWICE_C * (x + D * x * x * x))
    # From 10 on s (1 - s) is 0, and x^2 must not become infinite beside it; where x is, it is nan.
    y = min(max(x, -TEN), TEN) if abs(x) < INFINITY else x
    return g * (s + y * s * (ONE - s) * TWICE_C * (ONE + THREE * D * y * y))


def leaky_relu(x, slope, b):
    return x if x > ZERO else slope * x


def leaky_relu_gradient(g, x, slope, b):
    return g if x > ZERO else g * slope


def elu(x, alpha, b):
    return x if x > ZERO else alpha * functions.expm1_below(x)


def elu_gradient(g, x, alpha, b):
    return g if x > ZERO else g * alpha * functions.exp_below(x)


@inlined
def _exp_up_to_20(x):
    e = functions.exp_inside(min(x, TWENTY))
    return ZERO if x < EXP_LOW else e


# tanh(ln(1 + e)) = n / (n + 2), n = e (e + 2), for e = e^x; it is 1 in float32 from x = 20 on.
def mish(x, a, b):
    e = _exp_up_to_20(x)
    n = e * (e + TWO)
    return x if x > TWENTY else x * (n / (n + TWO))


def mish_gradient(g, x, a, b):
    e = _exp_up_to_20(x)
    n = e * (e + TWO)
    share = ONE / (n + TWO)
    slope = ZERO if x > TWENTY else FOUR * e * (ONE + e) * share * share
    return g * (n * share + x * slope)


def hardswish(x, a, b):
    y = x + THREE
    cut = ZERO if y <= ZERO else SIX if y >= SIX else y
    return x * cut / SIX


def hardswish_gradient(g, x, a, b):
    y = x + THREE
    cut = ZERO if y <= ZERO else SIX if y >= SIX else y
    return g * (cut + (ZERO if y <= ZERO or y >= SIX else x)) / SIX


# ---------------------------------------------------------------------------------------- the table


def _takes(x: np.ndarray, *numbers: float) -> bool:
    return x.dtype == F and x.size > 0 and all(isinstance(n, (int, float)) for n in numbers)


def _of_output(value: Callable, gradient: Callable) -> Kernel:
    there, back = over(_values, value), over(_gradients, gradient)
    return Kernel(lambda x: _run(there, x), lambda g, out: _run_back(back, g, out), _takes)


def _of_input(value: Callable, gradient: Callable) -> Kernel:
    there, back = over(_values, value), over(_gradients, gradient)
    return Kernel(lambda x: _run(there, x), lambda g, input: _run_back(back, g, input), _takes)


GELU = {
    "none": (over(_values, gelu), over(_gradients, gelu_gradient)),
    "tanh": (over(_values, gelu_tanh), over(_gradients, gelu_tanh_gradient)),
}
LEAKY = over(_values, leaky_relu), over(_gradients, leaky_relu_gradient)
ELU = over(_values, elu), over(_gradients, elu_gradient)
SOFTPLUS = over(_values, softplus), over(_gradients, softplus_gradient)

KERNELS = {
    "exp": _of_output(exp, exp_gradient),
    "tanh": _of_output(tanh, tanh_gradient),
    "sigmoid": _of_output(sigmoid_, sigmoid_gradient),
    "relu": _of_output(relu, relu_gradient),
    "erf": _of_input(erf, erf_gradient),
    "logsigmoid": _of_input(logsigmoid, logsigmoid_gradient),
    "silu": _of_input(silu, silu_gradient),
    "mish": _of_input(mish, mish_gradient),
    "hardswish": _of_input(hardswish, hardswish_gradient),
    "gelu": Kernel(
        lambda x, approximate: _run(GELU[approximate][0], x),
        lambda g, input, approximate: _run_back(GELU[approximate][1], g, input),
        lambda x, approximate: _takes(x) and approximate in GELU,
    ),
    "leaky_relu": Kernel(
        lambda x, negative_slope: _run(LEAKY[0], x, negative_slope),
        lambda g, input, negative_slope: _run_back(LEAKY[1], g, input, negative_slope),
        lambda x, negative_slope: _takes(x, negative_slope),
    ),
    "elu": Kernel(
        lambda x, alpha: _run(ELU[0], x, alpha),
        lambda g, input, alpha: _run_back(ELU[1], g, input, alpha),
        lambda x, alpha: _takes(x, alpha),
    ),
    "softplus": Kernel(
        lambda x, beta, threshold: _run(SOFTPLUS[0], x, beta, threshold),
        lambda g, input, beta, threshold: _run_back(SOFTPLUS[1], g, input, beta, threshold),
        lambda x, beta, threshold: _takes(x, beta, threshold),
    ),
}
