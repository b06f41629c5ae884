"""The Kullback-Leibler divergence E_p[ln p(x) - ln q(x)], a formula for each pair.

https://docs.pytorch.org/docs/stable/distributions.html#module-torch.distributions.kl
"""

from __future__ import annotations

import math
from collections.abc import Callable

import minidl
from minidl import Tensor
from minidl.distributions.bernoulli import Bernoulli
from minidl.distributions.beta import Beta
from minidl.distributions.binomial import Binomial
from minidl.distributions.categorical import Categorical
from minidl.distributions.cauchy import Cauchy
from minidl.distributions.dirichlet import Dirichlet
from minidl.distributions.distribution import Distribution
from minidl.distributions.exponential import Exponential
from minidl.distributions.gamma import Gamma
from minidl.distributions.geometric import Geometric
from minidl.distributions.gumbel import EULER, Gumbel
from minidl.distributions.half_cauchy import HalfCauchy
from minidl.distributions.half_normal import HalfNormal
from minidl.distributions.independent import Independent
from minidl.distributions.inverse_gamma import InverseGamma
from minidl.distributions.laplace import Laplace
from minidl.distributions.multivariate_normal import MultivariateNormal
from minidl.distributions.normal import Normal
from minidl.distributions.one_hot_categorical import OneHotCategorical
from minidl.distributions.pareto import Pareto
from minidl.distributions.poisson import Poisson
from minidl.distributions.transformed_distribution import TransformedDistribution
from minidl.distributions.uniform import Uniform
from minidl.distributions.utils import sum_rightmost
from minidl.nn.functional import softplus

__all__ = ["kl_divergence", "register_kl"]

_FORMULAS: dict[tuple[type, type], Callable] = {}


def register_kl(type_p: type, type_q: type) -> Callable:
    """Decorates the formula for distributions of these types, and of what inherits from them."""
    for kind in (type_p, type_q):
        if not isinstance(kind, type) or not issubclass(kind, Distribution):
            raise TypeError(f"register_kl: expected subclasses of Distribution, got {kind}")

    def register(function: Callable) -> Callable:
        _FORMULAS[type_p, type_q] = function
        return function

    return register


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """E_p[ln p(x) - ln q(x)], in the shape of the batch.

    https://docs.pytorch.org/docs/stable/distributions.html#torch.distributions.kl.kl_divergence
    """
    for type_p in type(p).__mro__:
        for type_q in type(q).__mro__:
            if (type_p, type_q) in _FORMULAS:
                return _FORMULAS[type_p, type_q](p, q)
    raise NotImplementedError(
        f"kl_divergence: there is no formula for {type(p).__name__} and {type(q).__name__}; "
        "register_kl adds one, and E[p.log_prob(x) - q.log_prob(x)] over samples estimates it"
    )


def _same(kind: type) -> Callable:
    return register_kl(kind, kind)


# ------------------------------------------------------------------------------------- one family


@_same(Bernoulli)
def _bernoulli(p: Bernoulli, q: Bernoulli) -> Tensor:
    ones = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    ones = minidl.where(p.probs == 0, 0.0, minidl.where(q.probs == 0, math.inf, ones))
    zeros = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    zeros = minidl.where(p.probs == 1, 0.0, minidl.where(q.probs == 1, math.inf, zeros))
    return ones + zeros


@_same(Beta)
def _beta(p: Beta, q: Beta) -> Tensor:
    return _dirichlet(p._dirichlet, q._dirichlet)


@_same(Binomial)
def _binomial(p: Binomial, q: Binomial) -> Tensor:
    """Of equal total_count; inf where p's is larger."""
    if (p.total_count < q.total_count).any():
        raise NotImplementedError("kl_divergence: no formula for a Binomial with fewer trials")
    rest = (-p.probs).log1p() - (-q.probs).log1p()
    kl = p.total_count * (p.probs * (p.logits - q.logits) + rest)
    return minidl.where(p.total_count > q.total_count, math.inf, kl)


@_same(Categorical)
def _categorical(p: Categorical, q: Categorical) -> Tensor:
    terms = p.probs * (p.logits - q.logits)
    terms = minidl.where(q.probs == 0, math.inf, terms)
    return minidl.where(p.probs == 0, 0.0, terms).sum(-1)


@_same(OneHotCategorical)
def _one_hot(p: OneHotCategorical, q: OneHotCategorical) -> Tensor:
    return _categorical(p._categorical, q._categorical)


@_same(Cauchy)
def _cauchy(p: Cauchy, q: Cauchy) -> Tensor:
    square = (p.scale + q.scale) ** 2 + (p.loc - q.loc) ** 2
    return square.log() - (4 * p.scale * q.scale).log()


@_same(Dirichlet)
def _dirichlet(p: Dirichlet, q: Dirichlet) -> Tensor:
    a, b = p.concentration, q.concentration
    total = a.sum(-1)
    constants = total.lgamma() - b.sum(-1).lgamma() + (b.lgamma() - a.lgamma()).sum(-1)
    return constants + ((a - b) * (a.digamma() - total.digamma().unsqueeze(-1))).sum(-1)


@_same(Exponential)
def _exponential(p: Exponential, q: Exponential) -> Tensor:
    ratio = q.rate / p.rate
    return ratio - ratio.log() - 1


@_same(Gamma)
def _gamma(p: Gamma | InverseGamma, q: Gamma | InverseGamma) -> Tensor:
    a, b = p.concentration, q.concentration
    constants = b * (p.rate / q.rate).log() + b.lgamma() - a.lgamma()
    return constants + (a - b) * a.digamma() + (q.rate - p.rate) * (a / p.rate)


@_same(Geometric)
def _geometric(p: Geometric, q: Geometric) -> Tensor:
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.logits


@_same(Gumbel)
def _gumbel(p: Gumbel, q: Gumbel) -> Tensor:
    ratio, distance = p.scale / q.scale, (q.loc - p.loc) / q.scale
    tail = (distance + (1 + ratio).lgamma()).exp()
    return -ratio.log() - distance + tail + ratio * EULER - (1 + EULER)


@_same(HalfNormal)
def _half_normal(p: HalfNormal, q: HalfNormal) -> Tensor:
    ratio = (p.scale / q.scale) ** 2
    return 0.5 * (ratio - 1 - ratio.log())


@_same(HalfCauchy)
def _half_cauchy(p: HalfCauchy, q: HalfCauchy) -> Tensor:
    return 2 * (p.scale + q.scale).log() - (4 * p.scale * q.scale).log()


@_same(InverseGamma)
def _inverse_gamma(p: InverseGamma, q: InverseGamma) -> Tensor:
    """An invertible function does not change it: that of the gamma distributions."""
    return _gamma(p, q)


@_same(Laplace)
def _laplace(p: Laplace, q: Laplace) -> Tensor:
    ratio, distance = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + distance / q.scale + ratio * (-distance / p.scale).exp() - 1


@_same(Normal)
def _normal(p: Normal, q: Normal) -> Tensor:
    ratio = (p.scale / q.scale) ** 2
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale) ** 2 - 1 - ratio.log())


@_same(MultivariateNormal)
def _multivariate_normal(p: MultivariateNormal, q: MultivariateNormal) -> Tensor:
    n = p.event_shape[0]
    if n != q.event_shape[0]:
        raise ValueError(f"kl_divergence: vectors of {n} and of {q.event_shape[0]} numbers")
    distance = (q.loc - p.loc).unsqueeze(-1)
    z = minidl.linalg.solve_triangular(q.scale_tril, distance, upper=False)
    shape = minidl.broadcast_shapes(p.scale_tril.shape, q.scale_tril.shape)
    factor = minidl.linalg.solve_triangular(
        q.scale_tril.expand(shape), p.scale_tril.expand(shape), upper=False
    )
    squares = (z**2).sum((-2, -1)) + (factor**2).sum((-2, -1))
    return q._half_log_det() - p._half_log_det() + 0.5 * (squares - n)


@_same(Pareto)
def _pareto(p: Pareto, q: Pareto) -> Tensor:
    ratio = q.alpha / p.alpha
    kl = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return minidl.where(p.scale < q.scale, math.inf, kl)


@_same(Poisson)
def _poisson(p: Poisson, q: Poisson) -> Tensor:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@_same(Uniform)
def _uniform(p: Uniform, q: Uniform) -> Tensor:
    kl = ((q.high - q.low) / (p.high - p.low)).log()
    return minidl.where((q.low > p.low) | (q.high < p.high), math.inf, kl)


@_same(Independent)
def _independent(p: Independent, q: Independent) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError("kl_divergence: Independent of different dimensions")
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@_same(TransformedDistribution)
def _transformed(p: TransformedDistribution, q: TransformedDistribution) -> Tensor:
    """An invertible function does not change it."""
    if p.transforms != q.transforms:
        raise NotImplementedError("kl_divergence: the transforms of the two differ")
    extra = len(p.event_shape) - len(p.base_dist.event_shape)
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), max(extra, 0))


# ------------------------------------------------------------------------------------ two families


def _to_normal(p: Distribution, q: Normal) -> Tensor:
    """-H(p) - E ln q, of which p's mean and variance are all that is needed."""
    square = p.variance + (p.mean - q.loc) ** 2
    return square / (2 * q.scale**2) + q.scale.log() + 0.5 * math.log(2 * math.pi) - p.entropy()


def _to_exponential(p: Distribution, q: Exponential) -> Tensor:
    """-H(p) - E ln q, of which p's mean is all that is needed; inf where p reaches below 0."""
    kl = q.rate * p.mean - q.rate.log() - p.entropy()
    return minidl.where(p.low < 0, math.inf, kl) if isinstance(p, Uniform) else kl


def _to_uniform(p: Distribution, q: Uniform) -> Tensor:
    """For p on [0, 1]; inf where q does not cover it."""
    kl = (q.high - q.low).log() - p.entropy()
    return minidl.where((q.low > 0) | (q.high < 1), math.inf, kl)


def _never(p: Distribution, q: Distribution) -> Tensor:
    """q gives no probability to some values of p."""
    shape = minidl.broadcast_shapes(p.batch_shape, q.batch_shape)
    return minidl.full_like(p.mean.expand(shape), math.inf)


for _p in (Beta, Exponential, Gamma, Gumbel, Laplace, Uniform):
    register_kl(_p, Normal)(_to_normal)
for _p in (Beta, Gamma, Uniform, Pareto):
    register_kl(_p, Exponential)(_to_exponential)
register_kl(Beta, Uniform)(_to_uniform)
for _p in (Exponential, Gamma, Gumbel, Laplace, Normal):
    for _q in (Beta, Pareto, Uniform):
        register_kl(_p, _q)(_never)
for _p in (Gumbel, Laplace, Normal):
    for _q in (Exponential, Gamma):
        register_kl(_p, _q)(_never)
for _q in (Beta, Uniform):
    register_kl(Pareto, _q)(_never)
for _q in (Bernoulli, Binomial):
    register_kl(Poisson, _q)(_never)


@register_kl(Pareto, Normal)
def _pareto_normal(p: Pareto, q: Normal) -> Tensor:
    return minidl.where(p.alpha > 2, _to_normal(p, q), math.inf)


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p: Bernoulli, q: Poisson) -> Tensor:
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


@register_kl(Exponential, Gamma)
def _exponential_gamma(p: Exponential, q: Gamma) -> Tensor:
    ratio, a = q.rate / p.rate, q.concentration
    return ratio - a * ratio.log() + a.lgamma() + a * EULER - (1 + EULER)


@register_kl(Normal, Laplace)
def _normal_laplace(p: Normal, q: Laplace) -> Tensor:
    """E |x - loc| of a normal number is that of a folded one."""
    distance = p.loc - q.loc
    z = distance / p.scale
    folded = math.sqrt(2 / math.pi) * p.scale * (-0.5 * z**2).exp()
    folded = folded + distance * (z * math.sqrt(0.5)).erf()
    return folded / q.scale + (2 * q.scale).log() - p.entropy()


@register_kl(Normal, Gumbel)
def _normal_gumbel(p: Normal, q: Gumbel) -> Tensor:
    mean, tail = (p.loc - q.loc) / q.scale, 0.5 * (p.scale / q.scale) ** 2
    return mean + (tail - mean).exp() + q.scale.log() - p.entropy()
