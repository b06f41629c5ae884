"""Records of `minidl/ops/elementwise.py`."""

import math

import numpy as np

from minidl import ops
from minidl.errors import DTypeError, ShapeError
from minidl.testing import strategies as d
from minidl.testing.records.draw import choice, each, samples
from minidl.testing.records.record import OpRecord, case

ALL, REAL = "biuf", "iuf"  # kinds of dtypes
SAID_POSITIVE, SAID_NOT_ZERO = "positive numbers", "away from 0"
WHOLES = d.Domain(-2.3, 2.3, kinks=(-2.0, -1.0, 0.0, 1.0, 2.0))


def unary(
    name, reference, domain=d.ANY, said="all real numbers", errors=(), function=None, **fields
):
    function = function or getattr(ops, name)
    not_a_tensor = case(lambda t: function([1.0]), TypeError, name, "Tensor", "list")
    return OpRecord(
        name,
        function,
        each(d.arrays(domain=domain)),
        reference,
        domain=said,
        errors=(not_a_tensor, *errors),
        **{"dtypes": ALL, **fields},
    )


def binary(name, reference, samples, errors=(), function=None, **fields):
    function = function or getattr(ops, name)
    shapes = case(
        lambda t: function(t([1.0, 2.0]), t([1.0, 2.0, 3.0])), ShapeError, name, "(2,)", "(3,)"
    )
    not_a_tensor = case(lambda t: function(t([1.0]), "2"), TypeError, name, "str")
    return OpRecord(
        name,
        function,
        samples,
        reference,
        errors=(shapes, not_a_tensor, *errors),
        **{"dtypes": ALL, "broadcasts": True, **fields},
    )


@samples
def pairs(draw, left=d.ANY, right=d.ANY):
    """Two tensors that broadcast; the second may be a number."""
    a, b = draw(d.broadcastable_shapes())
    number = draw(choice(False, False, True))
    x, y = draw(d.arrays(a, left)), draw(d.arrays(() if number else b, right))
    return x, float(y) if number else y


@samples
def scaled_pairs(draw):
    a, b = draw(d.broadcastable_shapes())
    return (draw(d.arrays(a)), draw(d.arrays(b))), {"alpha": draw(choice(1, 2, -0.5))}


@samples
def pairs_apart(draw):
    """Two tensors that broadcast, no two elements of both close to each other."""
    a, b = draw(d.broadcastable_shapes())
    split = math.prod(a)
    numbers = draw(d.arrays((split + math.prod(b),), d.DISTINCT))
    return numbers[:split].reshape(a), numbers[split:].reshape(b)


@samples
def pairs_with_ties(draw):
    """Small integers, as floats: comparisons meet every case."""
    a, b = draw(d.broadcastable_shapes())
    return tuple(draw(d.integer_arrays(shape, -1, 2)).astype(float) for shape in (a, b))


@samples
def quotients(draw):
    """Two tensors whose quotient is at least 0.1 away from an integer."""
    a = draw(d.shapes())
    divisor = draw(d.arrays(draw(choice(a, ())), d.Domain(0.7, 1.3)))
    divisor = divisor * draw(choice(1, -1))
    whole = draw(d.integer_arrays(a, -3, 4))
    return (whole + draw(d.arrays(a, d.Domain(0.1, 0.9)))) * divisor, divisor


@samples
def powers(draw):
    a, b = draw(d.broadcastable_shapes())
    kind = draw(choice("tensors", "whole exponent", "number exponent", "number base"))
    if kind == "whole exponent":
        return draw(d.arrays(a, d.NOT_ZERO)), draw(choice(0, 1, 2, 3, -1, -2))
    if kind == "number exponent":
        return draw(d.arrays(a, d.POSITIVE)), draw(choice(0.5, -0.5, 1.7, 2.0, 0.0))
    if kind == "number base":
        return draw(choice(2.0, 0.5, 3)), draw(d.arrays(b))
    return draw(d.arrays(a, d.POSITIVE)), draw(d.arrays(b))


@samples
def clamps(draw):
    x = draw(d.arrays(domain=d.Domain(kinks=(-0.7, 0.4))))
    low, high = draw(choice((-0.7, 0.4), (None, 0.4), (-0.7, None), (0.4, -0.7)))
    return (x,), {"min": low, "max": high}


def clamp_reference(x, min=None, max=None):
    return np.minimum(
        np.maximum(x, -np.inf if min is None else min), np.inf if max is None else max
    )


@samples
def choices(draw):
    a, b, c = draw(d.broadcastable_shapes(3))
    condition, x, y = draw(d.masks(a)), draw(d.arrays(b)), draw(d.arrays(c))
    kind = draw(choice("tensors", "tensors", "number", "other number"))
    return condition, 1.5 if kind == "number" else x, -0.5 if kind == "other number" else y


@samples
def gelus(draw):
    x = draw(d.arrays(domain=d.Domain(-4.0, 4.0)))
    return (x,), {"approximate": draw(choice("none", "tanh"))}


erf = np.vectorize(math.erf, otypes=[float])


def gelu_reference(x, approximate="none"):
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return x * 0.5 * (1 + erf(x / math.sqrt(2)))


FLOAT = {"result": "float"}
BOOL = {"result": "bool", "order": 0}

RECORDS = [
    binary("add", lambda x, y, alpha=1: x + alpha * y, scaled_pairs()),
    binary(
        "sub",
        lambda x, y, alpha=1: x - alpha * y,
        scaled_pairs(),
        dtypes=REAL,
        errors=(case(lambda t: ops.sub(t([True]), t([True])), DTypeError, "sub", "bool"),),
    ),
    binary("mul", lambda x, y: x * y, pairs()),
    binary(
        "div",
        lambda x, y: x / y,
        pairs(d.ANY, d.NOT_ZERO),
        domain=f"divisor {SAID_NOT_ZERO}",
        errors=(
            case(
                lambda t: ops.div(t([1.0]), 2, rounding_mode="up"),
                ValueError,
                "div",
                "floor",
                "trunc",
                "'up'",
            ),
        ),
        **FLOAT,
    ),
    binary(
        "floor_divide",
        lambda x, y: np.floor(x / y),
        quotients(),
        domain="quotients away from integers",
    ),
    binary(
        "trunc_divide",
        lambda x, y: np.trunc(x / y),
        quotients(),
        domain="quotients away from integers",
    ),
    binary(
        "remainder",
        lambda x, y: x - np.floor(x / y) * y,
        quotients(),
        domain="quotients away from integers",
        dtypes=REAL,
    ),
    binary(
        "pow",
        lambda x, y: np.exp(y * np.log(x)) if np.all(np.asarray(x) > 0) else np.power(x, y),
        powers(),
        domain="positive bases, or whole number exponents",
        dtypes=REAL,
        errors=(case(lambda t: ops.pow(t([2]), -1), DTypeError, "pow", "negative", "float"),),
    ),
    binary("maximum", np.maximum, pairs_apart(), domain="no ties"),
    binary("minimum", np.minimum, pairs_apart(), domain="no ties"),
    binary("eq", np.equal, pairs_with_ties(), **BOOL),
    binary("ne", np.not_equal, pairs_with_ties(), **BOOL),
    binary("lt", np.less, pairs_with_ties(), **BOOL),
    binary("le", np.less_equal, pairs_with_ties(), **BOOL),
    binary("gt", np.greater, pairs_with_ties(), **BOOL),
    binary("ge", np.greater_equal, pairs_with_ties(), **BOOL),
    binary("logical_and", np.logical_and, pairs_with_ties(), **BOOL),
    binary("logical_or", np.logical_or, pairs_with_ties(), **BOOL),
    binary("logical_xor", np.logical_xor, pairs_with_ties(), **BOOL),
    unary("logical_not", np.logical_not, d.Domain(kinks=(0.0,)), **BOOL),
    unary("isnan", np.isnan, **BOOL),
    unary("isinf", np.isinf, **BOOL),
    unary("isfinite", np.isfinite, **BOOL),
    unary(
        "neg",
        lambda x: 0 - x,
        dtypes=REAL,
        errors=(case(lambda t: ops.neg(t([True])), DTypeError, "neg", "bool"),),
    ),
    unary("square", lambda x: x**2),
    unary("reciprocal", lambda x: 1 / x, d.NOT_ZERO, SAID_NOT_ZERO, **FLOAT),
    unary("exp", lambda x: np.e**x, **FLOAT),
    unary("expm1", lambda x: 2 * np.sinh(x / 2) * np.exp(x / 2), **FLOAT),
    unary("log", lambda x: np.log2(x) * np.log(2), d.POSITIVE, SAID_POSITIVE, **FLOAT),
    unary("log1p", lambda x: 2 * np.arctanh(x / (2 + x)), d.Domain(-0.6, 3.0), "> -1", **FLOAT),
    unary("sqrt", lambda x: x**0.5, d.POSITIVE, SAID_POSITIVE, **FLOAT),
    unary("rsqrt", lambda x: x**-0.5, d.POSITIVE, SAID_POSITIVE, **FLOAT),
    unary("sin", lambda x: np.exp(1j * x).imag, **FLOAT),
    unary("cos", lambda x: np.exp(1j * x).real, **FLOAT),
    unary("tanh", lambda x: (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1), **FLOAT),
    unary("sigmoid", lambda x: 0.5 + 0.5 * np.tanh(x / 2), **FLOAT),
    unary("logsigmoid", lambda x: -np.log(1 + np.exp(-x)), **FLOAT),
    unary("erf", erf, **FLOAT),
    unary("relu", lambda x: np.where(x > 0, x, 0), d.NOT_ZERO, SAID_NOT_ZERO, dtypes=REAL),
    unary("abs", lambda x: np.where(x < 0, -x, x), d.NOT_ZERO, SAID_NOT_ZERO, dtypes=REAL),
    unary("sign", lambda x: (x > 0) * 1.0 - (x < 0), d.NOT_ZERO, SAID_NOT_ZERO),
    unary("floor", lambda x: x // 1, WHOLES, "away from integers", dtypes=REAL),
    unary("ceil", lambda x: -(-x // 1), WHOLES, "away from integers", dtypes=REAL),
    unary("trunc", lambda x: x - np.fmod(x, 1), WHOLES, "away from integers", dtypes=REAL),
    OpRecord(
        "gelu",
        ops.gelu,
        gelus(),
        gelu_reference,
        errors=(
            case(
                lambda t: ops.gelu(t([1.0]), approximate="sigmoid"),
                ValueError,
                "gelu",
                "'none'",
                "'tanh'",
                "'sigmoid'",
            ),
        ),
    ),
    OpRecord(
        "clamp",
        ops.clamp,
        clamps(),
        clamp_reference,
        domain="away from min and max",
        dtypes=REAL,
        errors=(case(lambda t: ops.clamp(t([1.0])), ValueError, "clamp", "min", "max"),),
    ),
    OpRecord(
        "where",
        ops.where,
        choices(),
        lambda condition, x, y: np.where(condition, x, y),
        broadcasts=True,
        dtypes=ALL,
        errors=(
            case(lambda t: ops.where(t([1.0]), 1.0, 2.0), DTypeError, "where", "bool"),
            case(
                lambda t: ops.where(t([True, False]), t([1.0, 2, 3]), 0.0),
                ShapeError,
                "where",
                "(2,)",
                "(3,)",
            ),
        ),
    ),
    unary("clone", lambda x: x),
]
