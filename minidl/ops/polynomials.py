"""Orthogonal polynomials p_n(x), by their recurrences. No derivatives, as in PyTorch.

`input` is x, `n` the degree; both broadcast. A negative degree gives 0. They are reached as
`minidl.special.NAME`. Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 22.7.
"""

from __future__ import annotations

from collections.abc import Callable

from ..device import Array
from ..makers import op
from .compare import module_of
from .special_functions import like
from .transcendental import constant


def _polynomial(name: str, formula: str, first: Callable, following: Callable) -> Callable:
    """p_0 = 1, p_1 = first(x), p_{k+1} = following(x, k, p_k, p_{k-1})."""

    def named(input: Array, n: Array) -> Array:
        xp = module_of(input, n)
        x, degree = xp.broadcast_arrays(input, xp.trunc(n))
        before, p = xp.zeros_like(x), xp.ones_like(x)
        out = xp.where(degree == 0, p, before)
        highest = int(degree.max()) if degree.size else 0
        for k in range(highest):
            before, p = p, first(x) if k == 0 else following(x, k, p, before)
            out = xp.where(degree == k + 1, p, out)
        return out.astype(like(input, n).dtype)

    named.__name__ = named.__qualname__ = name
    named.__doc__ = f"""y = p_n(input): p_0 = 1, {formula}

    https://docs.pytorch.org/docs/stable/special.html#torch.special.{name}
    """
    return constant(op(named, result="float"))


def _chebyshev(x: Array, k: int, p: Array, before: Array) -> Array:
    return 2 * x * p - before


def _shifted(x: Array, k: int, p: Array, before: Array) -> Array:
    return _chebyshev(2 * x - 1, k, p, before)


_C = "p_{k+1} = 2 x p_k - p_{k-1}"
_S = "p_{k+1} = 2 (2 x - 1) p_k - p_{k-1}"
chebyshev_polynomial_t = _polynomial(
    "chebyshev_polynomial_t", f"p_1 = x, {_C}", lambda x: x, _chebyshev
)
chebyshev_polynomial_u = _polynomial(
    "chebyshev_polynomial_u", f"p_1 = 2 x, {_C}", lambda x: 2 * x, _chebyshev
)
chebyshev_polynomial_v = _polynomial(
    "chebyshev_polynomial_v", f"p_1 = 2 x - 1, {_C}", lambda x: 2 * x - 1, _chebyshev
)
chebyshev_polynomial_w = _polynomial(
    "chebyshev_polynomial_w", f"p_1 = 2 x + 1, {_C}", lambda x: 2 * x + 1, _chebyshev
)
shifted_chebyshev_polynomial_t = _polynomial(
    "shifted_chebyshev_polynomial_t", f"p_1 = 2 x - 1, {_S}", lambda x: 2 * x - 1, _shifted
)
shifted_chebyshev_polynomial_u = _polynomial(
    "shifted_chebyshev_polynomial_u", f"p_1 = 4 x - 2, {_S}", lambda x: 4 * x - 2, _shifted
)
shifted_chebyshev_polynomial_v = _polynomial(
    "shifted_chebyshev_polynomial_v", f"p_1 = 4 x - 3, {_S}", lambda x: 4 * x - 3, _shifted
)
shifted_chebyshev_polynomial_w = _polynomial(
    "shifted_chebyshev_polynomial_w", f"p_1 = 4 x - 1, {_S}", lambda x: 4 * x - 1, _shifted
)
hermite_polynomial_h = _polynomial(
    "hermite_polynomial_h",
    "p_1 = 2 x, p_{k+1} = 2 x p_k - 2 k p_{k-1}",
    lambda x: 2 * x,
    lambda x, k, p, before: 2 * x * p - 2 * k * before,
)
hermite_polynomial_he = _polynomial(
    "hermite_polynomial_he",
    "p_1 = x, p_{k+1} = x p_k - k p_{k-1}",
    lambda x: x,
    lambda x, k, p, before: x * p - k * before,
)
laguerre_polynomial_l = _polynomial(
    "laguerre_polynomial_l",
    "p_1 = 1 - x, p_{k+1} = ((2 k + 1 - x) p_k - k p_{k-1}) / (k + 1)",
    lambda x: 1 - x,
    lambda x, k, p, before: ((2 * k + 1 - x) * p - k * before) / (k + 1),
)
legendre_polynomial_p = _polynomial(
    "legendre_polynomial_p",
    "p_1 = x, p_{k+1} = ((2 k + 1) x p_k - k p_{k-1}) / (k + 1)",
    lambda x: x,
    lambda x, k, p, before: ((2 * k + 1) * x * p - k * before) / (k + 1),
)
