"""How numbers of the gamma, Poisson and binomial distributions are drawn: one uniform number each.

A sample is the quantile of a uniform number u, the x whose cdf is u. So, as everywhere in minidl,
sample i depends on (seed, offset + i) alone; a method with rejection would use up more numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import minidl
from minidl import Tensor
from minidl.autograd import Function
from minidl.device import Array, special, xp
from minidl.tape import wrap

ENOUGH = 1e-17  # of a sum: terms that are smaller change nothing


def draw_gamma(concentration: Tensor) -> Tensor:
    """Numbers of density x^(concentration - 1) e^-x / Gamma(concentration), one for each."""
    drawn = draw_log_gamma(concentration).exp().to(concentration.dtype)
    return drawn.clamp(min=minidl.finfo(concentration.dtype).tiny)


def draw_log_gamma(concentration: Tensor) -> Tensor:
    """float64: the logarithms of `draw_gamma`, finite where that underflows."""
    return LogGamma.apply(concentration.double())


class LogGamma(Function):
    """ln of gamma numbers, with implicit gradients.

    Where the cdf P(a, x) keeps the value u that was drawn: dx/da = -(dP/da) / (dP/dx).
    Figurnov et al. 2018, "Implicit reparameterization gradients".
    """

    @staticmethod
    def forward(ctx: Any, concentration: Tensor) -> Tensor:
        drawn = wrap(_log_gamma_quantile(concentration._array, _uniform(concentration)))
        ctx.save_for_backward(concentration, drawn)
        return drawn

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return g * _Slope.apply(*ctx.saved_tensors)


class _Slope(Function):
    """The derivative of LogGamma; it has none itself."""

    @staticmethod
    def forward(ctx: Any, concentration: Tensor, drawn: Tensor) -> Tensor:
        a, log_x = concentration._array, drawn._array
        m = xp(a)
        series = _slope(m.minimum(a, 1000.0), m.where(a > 1000, math.log(1000), log_x))
        return wrap(m.where(a > 1000, _slope_of_large(m.maximum(a, 1000.0), log_x), series))

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple:
        raise NotImplementedError("gamma samples have no second derivative in their concentration")


def _uniform(like: Tensor) -> Array:
    """float64 numbers in (0, 1)."""
    u = minidl.rand(like.shape, dtype=minidl.float64, device=like.device)._array
    return xp(u).maximum(u, 2.0**-54)


def _log_gamma_quantile(a: Array, u: Array) -> Array:
    """ln x with P(a, x) = u; for small x, P(a, x) = x^a / Gamma(a + 1)."""
    m = xp(a)
    x = special(a).gammaincinv(a, u)
    small = (m.log(u) + special(a).gammaln(a + 1)) / a
    return m.where(x < 1e-12, small, m.log(m.maximum(x, 1e-300)))


def _slope(a: Array, log_x: Array) -> Array:
    """d ln x / da = -sum_n x^n Gamma(a) / Gamma(a + n + 1) (ln x - digamma(a + n + 1)).

    From the series P(a, x) = x^a e^-x sum_n x^n / Gamma(a + n + 1), term by term.
    """
    m = xp(a)
    x = m.exp(log_x)
    term, psi = 1 / a, special(a).digamma(a + 1)
    total, n = term * (psi - log_x), 1
    while ((x > a + n) | (term > ENOUGH * m.abs(total))).any():
        term = term * x / (a + n)
        psi = psi + 1 / (a + n)
        total = total + term * (psi - log_x)
        n += 1
    return total


def _slope_of_large(a: Array, log_x: Array) -> Array:
    """The same from the expansion of the quantile in 1 / sqrt(a), z the normal number of equal cdf:

    x = a + z sqrt(a) + (z^2 - 1) / 3 + (z^3 - 7 z) / (36 sqrt(a)) - (3 z^4 + 7 z^2 - 16) / (810 a).
    Cornish and Fisher 1938.
    """
    m = xp(a)
    x, root = m.exp(log_x), m.sqrt(a)
    u = m.clip(special(a).gammainc(a, x), 1e-300, 1 - 2.0**-53)
    z = special(a).ndtri(u)
    slope = 1 + z / (2 * root) - (z**3 - 7 * z) / (72 * a * root)
    return (slope + (3 * z**4 + 7 * z**2 - 16) / (810 * a**2)) / x


# -------------------------------------------------------------------------------- whole numbers


def draw_poisson(rate: Tensor) -> Tensor:
    """Numbers of probability rate^k e^-rate / k!, in the type of the rate."""
    r = rate.detach().double()._array
    reach = 12 * xp(r).sqrt(r) + 60
    u = _uniform(rate)
    found = _first(lambda k: special(r).gammaincc(k + 1, r) >= u, r - reach, r + reach)
    return wrap(found.astype(rate._array.dtype))


def draw_binomial(total_count: Tensor, probs: Tensor) -> Tensor:
    """The numbers of successes in total_count trials, in the type of probs."""
    n, p = (t.detach().double()._array for t in (total_count, probs))
    u = _uniform(probs)

    def enough(k: Array) -> Array:
        return special(n).betainc(xp(n).maximum(n - k, 1), k + 1, 1 - p) >= u

    return wrap(_first(enough, -1, n).astype(probs._array.dtype))


def _first(enough: Callable[[Array], Array], below: Any, high: Array) -> Array:
    """The smallest whole number k >= 0 above `below` and up to `high` with enough(k), by halving;
    `high` where none is."""
    m = xp(high)
    high = m.floor(high)
    low = m.floor(m.maximum(below, -1.0)) + m.zeros_like(high)
    while (high - low > 1).any():
        middle = m.floor((low + high) / 2)
        found = enough(m.maximum(middle, 0)) & (middle >= 0)
        high, low = m.where(found, middle, high), m.where(found, low, middle)
    return high
