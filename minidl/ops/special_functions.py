"""Functions of probability and number theory: error, gamma, Bessel and their relatives.

SciPy (on the GPU CuPy) computes the values; the derivatives stand here. `minidl.special` has all
of them under PyTorch's names; what `torch` has too is also `minidl.NAME`.
"""

from __future__ import annotations

import math

from ..device import Array, on_host, special, xp
from ..dtypes import default_float
from ..makers import op
from ..promotion import cast
from ..tape import Tensor
from .compare import logical_and, logical_or, where
from .elementwise import clamp, exp, log, sign
from .transcendental import float_op

METHODS = """
    erfc erfinv lgamma digamma polygamma mvlgamma i0 igamma igammac logit xlogy
""".split()  # also methods of Tensor
__all__ = METHODS
IN_PLACE = METHODS  # also methods that write into their tensor: name_


# ------------------------------------------------------------------ error function, normal numbers

erfc = float_op(
    "erfc",
    "1 - erf(input), exact where erf rounds to 1",
    lambda x: special(x).erfc(x),
    lambda g, input: g * (-2 / math.sqrt(math.pi)) * exp(-input * input),
)
erfinv = float_op(
    "erfinv",
    "the number whose erf is input",
    lambda x: special(x).erfinv(x),
    lambda g, out: g * (math.sqrt(math.pi) / 2) * exp(out * out),
)
erfcx = float_op(
    "erfcx",
    "e^(input^2) erfc(input)",
    lambda x: special(x).erfcx(x),
    lambda g, input, out: g * (2 * input * out - 2 / math.sqrt(math.pi)),
)
ndtr = float_op(
    "ndtr",
    "the probability that a standard normal number is < input",
    lambda x: special(x).ndtr(x),
    lambda g, input: g * exp(-input * input / 2) / math.sqrt(2 * math.pi),
)
log_ndtr = float_op(
    "log_ndtr",
    "ln ndtr(input), finite where ndtr rounds to 0",
    lambda x: special(x).log_ndtr(x),
    lambda g, input: g * math.sqrt(2 / math.pi) / erfcx(input * -math.sqrt(0.5)),
)
ndtri = float_op(
    "ndtri",
    "the number whose ndtr is input",
    lambda x: special(x).ndtri(x),
    lambda g, out: g * math.sqrt(2 * math.pi) * exp(out * out / 2),
)


# ---------------------------------------------------------------------------- logarithms, entropy


def _logit_rule(g: Tensor, input: Tensor) -> Tensor:
    outside = logical_or(input < 0, input > 1)
    return g * where(outside, math.nan, 1 / (input * (1.0 - input)))


_logit = float_op("logit", "ln(input / (1 - input))", lambda x: xp(x).log(x / (1 - x)), _logit_rule)


def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """y = ln(input / (1 - input)), the inverse of sigmoid; eps clamps input to [eps, 1 - eps].

    https://docs.pytorch.org/docs/stable/generated/torch.logit.html
    """
    return _logit(input if eps is None else clamp(input, float(eps), 1.0 - eps))


entr = float_op(
    "entr",
    "-input ln(input), 0 at 0, -inf below",
    lambda x: special(x).entr(x),
    lambda g, input: g * (-1.0 - log(input)),
)


def like(a: Array | float, b: Array | float) -> Array:
    """The one of both that is an array."""
    return b if isinstance(a, (int, float)) else a


def _called(name: str, input: Array | float, other: Array | float) -> Array:
    """A function of SciPy, which would compute in float64 if one operand is a number."""
    found = like(input, other)
    a, b = (xp(found).asarray(x, found.dtype) for x in (input, other))
    return getattr(special(found), name)(a, b)


@op(result="float")
def xlogy(input: Array, other: Array) -> Array:
    """y = input * ln(other), and 0 where input is 0

    https://docs.pytorch.org/docs/stable/special.html#torch.special.xlogy
    """
    return _called("xlogy", input, other)


xlogy.vjp(
    input=lambda g, input, other: where(logical_and(input == 0, other <= 0), 0.0, xlogy(g, other)),
    other=lambda g, input, other: g * input / other,
)


@op(result="float")
def xlog1py(input: Array, other: Array) -> Array:
    """y = input * ln(1 + other), and 0 where input is 0

    https://docs.pytorch.org/docs/stable/special.html#torch.special.xlog1py
    """
    return _called("xlog1py", input, other)


xlog1py.vjp(
    input=lambda g, input, other: where(
        logical_and(input == 0, other <= -1), 0.0, xlog1py(g, other)
    ),
    other=lambda g, input, other: g * input / (1 + other),
)


# ------------------------------------------------------------------------------------------ gamma

lgamma = float_op(
    "lgamma",
    "ln |Gamma(input)|",
    lambda x: special(x).gammaln(x),
    lambda g, input: g * digamma(input),
)
digamma = float_op(
    "digamma",
    "the derivative of lgamma",
    lambda x: special(x).digamma(x),
    lambda g, input: g * _polygamma(input, 1),
)


@op
def _polygamma(input: Array, n: int) -> Array:
    """y = (-1)^(n + 1) n! zeta(n + 1, input)"""
    sign = 1.0 if n % 2 else -1.0
    return sign * math.factorial(n) * special(input).zeta(input.dtype.type(n + 1), input)


_polygamma.vjp(input=lambda g, input, n: g * _polygamma(input, n + 1))


def polygamma(n: int, input: Tensor) -> Tensor:
    """y = the n-th derivative of digamma.

    https://docs.pytorch.org/docs/stable/special.html#torch.special.polygamma
    """
    if isinstance(n, Tensor):  # as a method: x.polygamma(n)
        n, input = input, n
    if not isinstance(n, int) or n < 0:
        raise ValueError(f"polygamma: n is a whole number that is not negative, got {n!r}.")
    return digamma(input) if n == 0 else _polygamma(as_float(input), n)


def as_float(input: Tensor) -> Tensor:
    return input if input._array.dtype.kind == "f" else cast(input, default_float())


def mvlgamma(input: Tensor, p: int) -> Tensor:
    """y = ln of the p-dimensional gamma function: p (p - 1) / 4 ln(pi) + sum_i lgamma(input - i/2).

    i: 0 to p - 1.
    https://docs.pytorch.org/docs/stable/special.html#torch.special.multigammaln
    """
    if p < 1:
        raise ValueError(f"mvlgamma: p must be at least 1, got {p}.")
    out = lgamma(input) + p * (p - 1) / 4 * math.log(math.pi)
    for i in range(1, p):
        out = out + lgamma(input - i / 2)
    return out


def _gamma_density(input: Tensor, other: Tensor) -> Tensor:
    """The derivative of igamma in `other`: other^(input - 1) e^-other / Gamma(input)."""
    return exp(xlogy(input - 1, other) - other - lgamma(input))


@op(result="float")
def igamma(input: Array, other: Array) -> Array:
    """y = integral of t^(input - 1) e^-t from 0 to other / Gamma(input); no derivative in input

    https://docs.pytorch.org/docs/stable/special.html#torch.special.gammainc
    """
    return _called("gammainc", input, other)


@op(result="float")
def igammac(input: Array, other: Array) -> Array:
    """y = 1 - igamma(input, other); no derivative in input

    https://docs.pytorch.org/docs/stable/special.html#torch.special.gammaincc
    """
    return _called("gammaincc", input, other)


igamma.vjp(other=lambda g, input, other: g * _gamma_density(input, other))
igammac.vjp(other=lambda g, input, other: -g * _gamma_density(input, other))


@op(result="float")
def zeta(input: Array, other: Array) -> Array:
    """y = sum of (k + other)^-input over k = 0, 1, 2, ...; no derivative in input

    https://docs.pytorch.org/docs/stable/special.html#torch.special.zeta
    """
    return _called("zeta", input, other)


zeta.vjp(other=lambda g, input, other: -g * input * zeta(input + 1, other))


# ----------------------------------------------------------------------------------------- Bessel

_I0 = "the modified Bessel function of the first kind, of order 0"
_I1 = "the modified Bessel function of the first kind, of order 1"


def _over(numerator: Tensor, input: Tensor, limit: float) -> Tensor:
    """numerator / input, and its limit where input is 0."""
    return where(input == 0, limit, numerator / where(input == 0, 1.0, input))


i0 = float_op("i0", _I0, lambda x: special(x).i0(x), lambda g, input: g * i1(input))
i1 = float_op(
    "i1",
    _I1,
    lambda x: special(x).i1(x),
    lambda g, input, out: g * (i0(input) - _over(out, input, 0.5)),
)
i0e = float_op(
    "i0e",
    f"e^-|input| times {_I0}",
    lambda x: special(x).i0e(x),
    lambda g, input, out: g * (i1e(input) - sign(input) * out),
)
i1e = float_op(
    "i1e",
    f"e^-|input| times {_I1}",
    lambda x: special(x).i1e(x),
    lambda g, input, out: g * (i0e(input) - sign(input) * out - _over(out, input, 0.5)),
)

# No derivatives, as in PyTorch.
_KIND = "the Bessel function of the {} kind, of order {}".format
bessel_j0 = float_op("bessel_j0", _KIND("first", 0), lambda x: special(x).j0(x))
bessel_j1 = float_op("bessel_j1", _KIND("first", 1), lambda x: special(x).j1(x))
bessel_y0 = float_op("bessel_y0", _KIND("second", 0), lambda x: special(x).y0(x))
bessel_y1 = float_op("bessel_y1", _KIND("second", 1), lambda x: special(x).y1(x))
modified_bessel_i0 = float_op("modified_bessel_i0", _I0, lambda x: special(x).i0(x))
modified_bessel_i1 = float_op("modified_bessel_i1", _I1, lambda x: special(x).i1(x))
_KIND = "the modified Bessel function of the second kind, of order {}".format
modified_bessel_k0 = float_op("modified_bessel_k0", _KIND(0), lambda x: special(x).k0(x))
modified_bessel_k1 = float_op("modified_bessel_k1", _KIND(1), lambda x: special(x).k1(x))
scaled_modified_bessel_k0 = float_op(
    "scaled_modified_bessel_k0", f"e^input times {_KIND(0)}", lambda x: special(x).k0e(x)
)
scaled_modified_bessel_k1 = float_op(
    "scaled_modified_bessel_k1", f"e^input times {_KIND(1)}", lambda x: special(x).k1e(x)
)
spherical_bessel_j0 = float_op(
    "spherical_bessel_j0", "sin(input) / input, and 1 at 0", lambda x: xp(x).sinc(x / math.pi)
)
airy_ai = float_op(
    "airy_ai", "the Airy function Ai", lambda x: on_host(lambda h: special(h).airy(h)[0], x)
)
