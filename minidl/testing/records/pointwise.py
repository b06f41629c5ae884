"""Records of `minidl/ops/pointwise.py`, `bits.py` and `transcendental.py`."""

import math

import numpy as np

import minidl
from minidl import ops
from minidl.errors import DTypeError, ShapeError
from minidl.testing import strategies as d
from minidl.testing.records.draw import choice, each, samples
from minidl.testing.records.elementwise import (
    ALL,
    BOOL,
    FLOAT,
    REAL,
    SAID_NOT_ZERO,
    SAID_POSITIVE,
    WHOLES,
    binary,
    pairs,
    pairs_apart,
    pairs_with_ties,
    quotients,
    scaled_pairs,
    unary,
)
from minidl.testing.records.record import OpRecord, case

INSIDE, SAID_INSIDE = d.Domain(-0.85, 0.85), "inside (-1, 1)"


@samples
def triples(draw, third=d.ANY):
    """Three tensors that broadcast, and `value`."""
    shapes = draw(d.broadcastable_shapes(3))
    domains = (d.ANY, d.ANY, third)
    tensors = tuple(draw(d.arrays(s, dom)) for s, dom in zip(shapes, domains, strict=True))
    return tensors, {"value": draw(choice(1, 2, -0.5))}


@samples
def lines(draw):
    a, b, c = draw(d.broadcastable_shapes(3))
    weight = draw(choice(draw(d.arrays(c)), 0.3))
    return draw(d.arrays(a)), draw(d.arrays(b)), weight


@samples
def tensor_pairs(draw, left=d.ANY, right=d.ANY):
    a, b = draw(d.broadcastable_shapes())
    return draw(d.arrays(a, left)), draw(d.arrays(b, right))


@samples
def with_exponents(draw):
    shape = draw(d.shapes())
    return draw(d.arrays(shape)), draw(d.integer_arrays(draw(choice(shape, ())), -3, 4))


@samples
def roundings(draw):
    x = draw(d.integer_arrays(d.shapes(), -40, 41)) / 10.0
    decimals = draw(choice(0, 1, -1))
    return (x + draw(choice(0.011, -0.012)) + 0.3 * (decimals == 0),), {"decimals": decimals}


@samples
def with_nans(draw):
    x = draw(d.arrays())
    return (x,), {"nan": draw(choice(0.0, 2.5)), "posinf": draw(choice(None, 3.0))}


@samples
def bounds(draw):
    x = draw(d.arrays(domain=d.Domain(kinks=(0.4,))))
    return x, draw(choice(0.4, np.full(x.shape, 0.4)))


@samples
def nearly_equal(draw):
    shape = draw(d.shapes())
    x = draw(d.integer_arrays(shape, -1, 2)).astype(float)
    y = x + draw(d.integer_arrays(shape, 0, 3)) * draw(choice(0.0, 1e-9, 0.5))
    return (x, y), {"rtol": draw(choice(1e-5, 0.4)), "equal_nan": draw(choice(False, True))}


@samples
def whole_pairs(draw, low=-9, high=10):
    a, b = draw(d.broadcastable_shapes())
    number = draw(choice(False, False, True))
    other = draw(choice(*range(max(low, 0), high)))
    x = draw(d.integer_arrays(a, low, high))
    return x, other if number else draw(d.integer_arrays(b, low, high))


def whole(name, reference, low=-9, errors=(), **fields):
    function = getattr(ops, name)
    floats = case(lambda t: function(t([1.0]), t([1.0])), DTypeError, name, "integer", "float")
    return OpRecord(
        name,
        function,
        whole_pairs(low),
        reference,
        order=0,
        errors=(floats, *errors),
        **{"dtypes": "i", "result": "index", **fields},
    )


def by_bits(of_bits):
    """A function of whole numbers from one of single bits, two's complement of 8 bits."""

    def reference(*numbers):
        bits = [np.asarray(n)[..., None] >> np.arange(8) & 1 for n in numbers]
        out = np.asarray(of_bits(*bits)).astype(np.int64)
        return (out[..., :7] << np.arange(7)).sum(-1) - (out[..., 7] << 7)

    return reference


def allclose(input, other, rtol=1e-5, atol=1e-8, equal_nan=False):
    """`ops.allclose` as a tensor."""
    return minidl.tensor(ops.allclose(input, other, rtol, atol, equal_nan))


def equal(input, other):
    """`ops.equal` as a tensor."""
    return minidl.tensor(ops.equal(input, other))


def needs_float(name, *arguments):
    function = getattr(ops, name)
    return case(lambda t: function(t([1]), *arguments), DTypeError, name, "float", "int64")


def refuse_types(name):
    function = getattr(ops, name)
    return case(lambda t: function(t([1]), t([1.0])), DTypeError, name, "int64", "float32")


def log1p_ratio(x):
    return 0.5 * np.log((1 + x) / (1 - x))


def angle_reference(y, x):
    return np.angle(x + 1j * y)


FLOATS = {"dtypes": "f"}

CURVES = [
    unary("tan", lambda x: np.sin(x) / np.cos(x), d.Domain(-1.2, 1.2), "inside pi/2", **FLOAT),
    unary("asin", lambda x: np.arctan2(x, np.sqrt(1 - x * x)), INSIDE, SAID_INSIDE, **FLOAT),
    unary("acos", lambda x: np.arctan2(np.sqrt(1 - x * x), x), INSIDE, SAID_INSIDE, **FLOAT),
    unary("atan", lambda x: np.arctan2(x, 1), **FLOAT),
    unary("sinh", lambda x: (np.exp(x) - np.exp(-x)) / 2, **FLOAT),
    unary("cosh", lambda x: (np.exp(x) + np.exp(-x)) / 2, **FLOAT),
    unary("asinh", lambda x: np.log(x + np.sqrt(x * x + 1)), **FLOAT),
    unary(
        "acosh",
        lambda x: np.log(x + np.sqrt(x * x - 1)),
        d.Domain(1.3, 3.0),
        "greater than 1",
        **FLOAT,
    ),
    unary("atanh", log1p_ratio, INSIDE, SAID_INSIDE, **FLOAT),
    unary("exp2", lambda x: np.exp(x * np.log(2)), **FLOAT),
    unary("log2", lambda x: np.log(x) / np.log(2), d.POSITIVE, SAID_POSITIVE, **FLOAT),
    unary("log10", lambda x: np.log(x) / np.log(10), d.POSITIVE, SAID_POSITIVE, **FLOAT),
    unary("deg2rad", np.deg2rad, **FLOAT),
    unary("rad2deg", np.rad2deg, **FLOAT),
    unary("sinc", lambda x: np.sin(np.pi * x) / (np.pi * x), d.NOT_ZERO, SAID_NOT_ZERO, **FLOAT),
    unary("angle", lambda x: np.angle(x + 0j), d.NOT_ZERO, SAID_NOT_ZERO, **FLOAT),
    binary("atan2", angle_reference, pairs(d.NOT_ZERO, d.NOT_ZERO), domain=SAID_NOT_ZERO, **FLOAT),
    binary(
        "hypot",
        lambda x, y: np.abs(x + 1j * y),
        pairs(d.NOT_ZERO, d.NOT_ZERO),
        domain=SAID_NOT_ZERO,
        dtypes="f",
    ),
    binary("logaddexp", lambda x, y: np.log(np.exp(x) + np.exp(y)), tensor_pairs(), **FLOAT),
    binary("logaddexp2", lambda x, y: np.log2(2**x + 2**y), tensor_pairs(), **FLOAT),
]

ARITHMETIC = [
    OpRecord(
        "addcmul",
        ops.addcmul,
        triples(),
        lambda x, y, z, value=1: x + value * y * z,
        broadcasts=True,
        dtypes=REAL,
    ),
    OpRecord(
        "addcdiv",
        ops.addcdiv,
        triples(d.NOT_ZERO),
        lambda x, y, z, value=1: x + value * y / z,
        domain=f"divisor {SAID_NOT_ZERO}",
        broadcasts=True,
        errors=(
            case(lambda t: ops.addcdiv(t([1]), t([1]), t([1])), DTypeError, "addcdiv", "integer"),
        ),
    ),
    OpRecord(
        "lerp",
        ops.lerp,
        lines(),
        lambda x, y, w: (1 - w) * x + w * y,
        broadcasts=True,
        errors=(
            case(lambda t: ops.lerp(t([1]), t([2]), 0.5), DTypeError, "lerp", "float", "int64"),
        ),
    ),
    OpRecord(
        "rsub",
        ops.rsub,
        scaled_pairs(),
        lambda x, y, alpha=1: y - alpha * x,
        broadcasts=True,
        dtypes=REAL,
    ),
    OpRecord(
        "float_power",
        ops.float_power,
        pairs(d.POSITIVE),
        lambda x, y: np.exp(y * np.log(x)),
        domain="positive bases",
        broadcasts=True,
        dtypes=REAL,
        result="given",
    ),
    binary(
        "fmod",
        lambda x, y: x - np.trunc(x / y) * y,
        quotients(),
        domain="quotients away from integers",
        dtypes=REAL,
        errors=(case(lambda t: ops.fmod(t([1]), 0), RuntimeError, "fmod", "zero"),),
    ),
    OpRecord("ldexp", ops.ldexp, with_exponents(), lambda x, y: x * 2.0**y, broadcasts=True),
    OpRecord(
        "frexp",
        ops.frexp,
        each(d.arrays(domain=d.Domain(0.55, 0.95))),
        lambda x: (x, np.zeros(x.shape, np.int32)),
        domain="in (1/2, 1)",
        errors=(needs_float("frexp"),),
    ),
]

PIECES = [
    binary("fmax", np.maximum, pairs_apart(), domain="no ties"),
    binary("fmin", np.minimum, pairs_apart(), domain="no ties"),
    OpRecord("clamp_min", ops.clamp_min, bounds(), np.maximum, domain="away from min", dtypes=REAL),
    OpRecord("clamp_max", ops.clamp_max, bounds(), np.minimum, domain="away from max", dtypes=REAL),
    OpRecord(
        "frac",
        ops.frac,
        each(d.arrays(domain=WHOLES)),
        lambda x: np.fmod(x, 1),
        domain="away from integers",
        dtypes=REAL,
    ),
    OpRecord(
        "round",
        ops.round,
        roundings(),
        lambda x, decimals=0: np.round(x, decimals),
        domain="away from halves",
        errors=(
            case(lambda t: ops.round(t([1]), decimals=1), DTypeError, "round", "float", "int64"),
        ),
    ),
    OpRecord("nan_to_num", ops.nan_to_num, with_nans(), lambda x, **given: x, dtypes=ALL),
    binary(
        "copysign",
        lambda x, y: np.abs(x) * np.where(y < 0, -1, 1),
        pairs(d.NOT_ZERO, d.NOT_ZERO),
        domain=SAID_NOT_ZERO,
        **FLOAT,
    ),
    OpRecord(
        "heaviside",
        ops.heaviside,
        pairs_with_ties(),
        np.heaviside,
        order=0,
        broadcasts=True,
        dtypes=REAL,
        errors=(refuse_types("heaviside"),),
    ),
    binary(
        "nextafter",
        lambda x, y: x + np.spacing(np.abs(x)) * np.sign(y - x),
        pairs_apart(),
        domain="no ties",
        order=0,
        dtypes="f",
    ),
    unary(
        "positive",
        lambda x: x,
        dtypes=REAL,
        errors=(case(lambda t: ops.positive(t([True])), DTypeError, "positive", "bool"),),
    ),
    unary("conj", lambda x: x),
]

TESTS = [
    unary("signbit", lambda x: x < 0, **BOOL),
    unary("isposinf", lambda x: np.zeros(x.shape, bool), **BOOL),
    unary("isneginf", lambda x: np.zeros(x.shape, bool), **BOOL),
    unary("isreal", lambda x: np.ones(x.shape, bool), **BOOL),
    OpRecord(
        "isclose",
        ops.isclose,
        nearly_equal(),
        lambda x, y, **given: np.isclose(x, y, **given),
        errors=(refuse_types("isclose"),),
        **BOOL,
    ),
    OpRecord(
        "allclose",
        allclose,
        nearly_equal(),
        lambda x, y, **given: np.all(np.isclose(x, y, **given)),
        **BOOL,
    ),
    OpRecord("equal", equal, pairs_with_ties(), np.array_equal, **BOOL),
]

BITS = [
    whole("bitwise_and", by_bits(lambda x, y: x * y), dtypes="bi"),
    whole("bitwise_or", by_bits(np.maximum), dtypes="bi"),
    whole("bitwise_xor", by_bits(lambda x, y: x != y), dtypes="bi"),
    OpRecord(
        "bitwise_not",
        ops.bitwise_not,
        each(d.integer_arrays(d.shapes(), -9, 10)),
        lambda x: -1 - x,
        order=0,
        dtypes="i",
        result="index",
        errors=(case(lambda t: ops.bitwise_not(t([1.0])), DTypeError, "bitwise_not", "float32"),),
    ),
    whole("bitwise_left_shift", lambda x, y: x * 2**y, 0),
    whole("bitwise_right_shift", lambda x, y: x // 2**y, 0),
    whole(
        "gcd",
        lambda x, y: np.vectorize(math.gcd, otypes=[int])(x, y),
        errors=(
            case(lambda t: ops.gcd(t([1, 2]), t([1, 2, 3])), ShapeError, "gcd", "(2,)", "(3,)"),
        ),
    ),
    whole("lcm", lambda x, y: np.vectorize(math.lcm, otypes=[int])(x, y)),
]

RECORDS = CURVES + ARITHMETIC + PIECES + TESTS + BITS
