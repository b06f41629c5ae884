"""Records of `minidl/ops/special_functions.py` and `polynomials.py`.

The references: Python's `math` and `statistics`, or SciPy by another way than the op.
"""

import math
from statistics import NormalDist

import numpy as np

from minidl import ops, special
from minidl.testing import strategies as d
from minidl.testing.records.draw import choice, samples
from minidl.testing.records.elementwise import (
    FLOAT,
    SAID_NOT_ZERO,
    SAID_POSITIVE,
    binary,
    pairs,
    unary,
)
from minidl.testing.records.pointwise import tensor_pairs
from minidl.testing.records.record import OpRecord, case

NORMAL = NormalDist()
FRACTION, SAID_FRACTION = d.Domain(0.1, 0.9), "in (0, 1)"
UNIT = d.Domain(-0.9, 0.9)


def scipy():
    """SciPy's functions, loaded when they are first needed: that is slow."""
    import scipy.special

    return scipy.special


def each_number(function):
    """A function of numbers as one of arrays."""
    return np.vectorize(function, otypes=[float])


def zeta_reference(x, q):
    """A hundred terms, and Euler's and Maclaurin's formula for the rest."""
    x, q = np.broadcast_arrays(x, q)
    head = sum((k + q) ** -x for k in range(100))
    end = 100.0 + q
    return head + end ** (1 - x) / (x - 1) + end**-x / 2 + x * end ** (-x - 1) / 12


def polygamma_reference(n, x):
    return digamma_reference(x) if n == 0 else scipy().polygamma(n, x)


def digamma_reference(x):
    """psi(x) = psi(x + 20) - sum 1 / (x + k), the former by its asymptotic series."""
    far = x + 20
    tail = np.log(far) - 1 / (2 * far) - 1 / (12 * far**2) + 1 / (120 * far**4) - 1 / (252 * far**6)
    return tail - sum(1 / (x + k) for k in range(20))


def multigamma_reference(x, p):
    product = sum(each_number(math.lgamma)(x + (1 - j) / 2) for j in range(1, p + 1))
    return p * (p - 1) / 4 * math.log(math.pi) + product


@samples
def polygammas(draw):
    return draw(choice(0, 1, 2, 3)), draw(d.arrays(domain=d.POSITIVE))


@samples
def multigammas(draw):
    return draw(d.arrays(domain=d.Domain(1.6, 4.0))), draw(choice(1, 2, 3))


@samples
def logits(draw):
    x = draw(d.arrays(domain=d.Domain(0.05, 0.95, kinks=(0.2, 0.8))))
    return x, draw(choice(None, 0.2))


@samples
def degrees(draw, domain=UNIT):
    a, b = draw(d.broadcastable_shapes())
    x = draw(d.arrays(a, domain))
    return x, draw(choice(3, draw(d.integer_arrays(b, 0, 7))))


def special_unary(name, reference, domain=d.ANY, said="all real numbers", **fields):
    """Of a function that is in `minidl.special` alone."""
    function = getattr(special, name)
    return unary(name, reference, domain, said, function=function, **{**FLOAT, **fields})


def polynomial(name, reference):
    function = getattr(special, name)

    def by_scipy(x, n):
        return getattr(scipy(), reference)(n, x)

    return OpRecord(name, function, degrees(), by_scipy, order=0, broadcasts=True)


def by_angle(name, wave, shifted=False):
    """Chebyshev's third and fourth kind: cos or sin of (n + 1/2) t over t / 2, with x = cos(t)."""

    def reference(x, n):
        t = np.arccos(2 * x - 1 if shifted else x)
        return wave((n + 0.5) * t) / wave(t / 2)

    domain = FRACTION if shifted else UNIT
    function = getattr(special, name)
    return OpRecord(name, function, degrees(domain), reference, order=0, broadcasts=True)


ERRORS_AND_NORMALS = [
    unary("erfc", each_number(math.erfc), **FLOAT),
    unary(
        "erfinv",
        each_number(lambda x: NORMAL.inv_cdf((x + 1) / 2) / math.sqrt(2)),
        d.Domain(-0.85, 0.85),
        "inside (-1, 1)",
        **FLOAT,
    ),
    special_unary("erfcx", each_number(lambda x: math.exp(x * x) * math.erfc(x))),
    special_unary("ndtr", each_number(NORMAL.cdf)),
    special_unary("log_ndtr", each_number(lambda x: math.log(NORMAL.cdf(x)))),
    special_unary("ndtri", each_number(NORMAL.inv_cdf), FRACTION, SAID_FRACTION),
    special_unary("entr", lambda x: -x * np.log(x), d.POSITIVE, SAID_POSITIVE),
    OpRecord(
        "logit",
        ops.logit,
        logits(),
        lambda x, eps=None: 2 * np.arctanh(2 * np.clip(x, eps or 0, 1 - (eps or 0)) - 1),
        domain="in (0, 1)",
        dtypes="iuf",
        result="float",
    ),
    binary(
        "xlogy",
        lambda x, y: x * np.log(y),
        pairs(d.ANY, d.POSITIVE),
        domain=f"other: {SAID_POSITIVE}",
        **FLOAT,
    ),
    binary(
        "xlog1py",
        lambda x, y: x * np.log(1 + y),
        pairs(d.ANY, d.POSITIVE),
        domain=f"other: {SAID_POSITIVE}",
        function=special.xlog1py,
        **FLOAT,
    ),
]

GAMMAS = [
    unary("lgamma", each_number(math.lgamma), d.POSITIVE, SAID_POSITIVE, **FLOAT),
    unary("digamma", digamma_reference, d.POSITIVE, SAID_POSITIVE, **FLOAT),
    OpRecord(
        "polygamma",
        ops.polygamma,
        polygammas(),
        polygamma_reference,
        domain=SAID_POSITIVE,
        dtypes="iuf",
        result="float",
        errors=(case(lambda t: ops.polygamma(-1, t([1.0])), ValueError, "polygamma", "-1"),),
    ),
    OpRecord(
        "mvlgamma",
        ops.mvlgamma,
        multigammas(),
        multigamma_reference,
        domain="greater than (p - 1) / 2",
        dtypes="iuf",
        result="float",
        errors=(case(lambda t: ops.mvlgamma(t([1.0]), 0), ValueError, "mvlgamma", "0"),),
    ),
    binary(
        "igamma",
        lambda a, x: scipy().gdtr(1.0, a, x),
        tensor_pairs(d.POSITIVE, d.POSITIVE),
        domain=SAID_POSITIVE,
        constants=("input",),
        **FLOAT,
    ),
    binary(
        "igammac",
        lambda a, x: scipy().gdtrc(1.0, a, x),
        tensor_pairs(d.POSITIVE, d.POSITIVE),
        domain=SAID_POSITIVE,
        constants=("input",),
        **FLOAT,
    ),
    binary(
        "zeta",
        zeta_reference,
        tensor_pairs(d.Domain(2.0, 4.0), d.POSITIVE),
        domain="input > 1, other > 0",
        function=special.zeta,
        constants=("input",),
        **FLOAT,
    ),
]

BESSEL = [
    unary("i0", np.i0, **FLOAT),
    special_unary("i1", lambda x: scipy().iv(1, x), d.NOT_ZERO, SAID_NOT_ZERO),
    special_unary("i0e", lambda x: np.i0(x) * np.exp(-np.abs(x)), d.NOT_ZERO, SAID_NOT_ZERO),
    special_unary(
        "i1e", lambda x: scipy().iv(1, x) * np.exp(-np.abs(x)), d.NOT_ZERO, SAID_NOT_ZERO
    ),
    special_unary("bessel_j0", lambda x: scipy().jv(0, x), order=0),
    special_unary("bessel_j1", lambda x: scipy().jv(1, x), order=0),
    special_unary("bessel_y0", lambda x: scipy().yv(0, x), d.POSITIVE, SAID_POSITIVE, order=0),
    special_unary("bessel_y1", lambda x: scipy().yv(1, x), d.POSITIVE, SAID_POSITIVE, order=0),
    special_unary("modified_bessel_i0", np.i0, order=0),
    special_unary("modified_bessel_i1", lambda x: scipy().iv(1, x), order=0),
    *[
        special_unary(
            f"{scaled}modified_bessel_k{n}",
            lambda x, n=n, kv=kv: getattr(scipy(), kv)(n, x),
            d.POSITIVE,
            SAID_POSITIVE,
            order=0,
        )
        for n in (0, 1)
        for scaled, kv in (("", "kv"), ("scaled_", "kve"))
    ],
    special_unary(
        "spherical_bessel_j0", lambda x: np.sin(x) / x, d.NOT_ZERO, SAID_NOT_ZERO, order=0
    ),
    special_unary(
        "airy_ai",
        lambda x: np.sqrt(x / 3) / np.pi * scipy().kv(1 / 3, 2 / 3 * x**1.5),
        d.POSITIVE,
        SAID_POSITIVE,
        order=0,
    ),
]

POLYNOMIALS = [
    polynomial("chebyshev_polynomial_t", "eval_chebyt"),
    polynomial("chebyshev_polynomial_u", "eval_chebyu"),
    polynomial("shifted_chebyshev_polynomial_t", "eval_sh_chebyt"),
    polynomial("shifted_chebyshev_polynomial_u", "eval_sh_chebyu"),
    polynomial("hermite_polynomial_h", "eval_hermite"),
    polynomial("hermite_polynomial_he", "eval_hermitenorm"),
    polynomial("laguerre_polynomial_l", "eval_laguerre"),
    polynomial("legendre_polynomial_p", "eval_legendre"),
    by_angle("chebyshev_polynomial_v", np.cos),
    by_angle("chebyshev_polynomial_w", np.sin),
    by_angle("shifted_chebyshev_polynomial_v", np.cos, shifted=True),
    by_angle("shifted_chebyshev_polynomial_w", np.sin, shifted=True),
]

RECORDS = ERRORS_AND_NORMALS + GAMMAS + BESSEL + POLYNOMIALS
