"""Distributions of minidl beside those of SciPy that must equal them."""

import numpy as np
from scipy import stats

import minidl
from minidl import distributions as d


def tensor(values, **options):
    return minidl.tensor(values, dtype=minidl.float64, **options)


# name: parameters, minidl's distribution of them, SciPy's
CONTINUOUS = {
    "Normal": ([0.5, -1.0], [0.7, 2.0], d.Normal, stats.norm),
    "Laplace": ([0.5, -1.0], [0.7, 2.0], d.Laplace, stats.laplace),
    "Cauchy": ([0.5, -1.0], [0.7, 2.0], d.Cauchy, stats.cauchy),
    "Gumbel": ([0.5, -1.0], [0.7, 2.0], d.Gumbel, stats.gumbel_r),
    "Uniform": ([0.5, -1.0], [0.7, 2.0], d.Uniform, lambda a, b: stats.uniform(a, b - a)),
    "LogNormal": (
        [0.5, -1.0],
        [0.7, 0.4],
        d.LogNormal,
        lambda m, s: stats.lognorm(s, scale=np.exp(m)),
    ),
    "Gamma": ([0.5, 3.0], [0.7, 2.0], d.Gamma, lambda a, r: stats.gamma(a, scale=1 / r)),
    "InverseGamma": (
        [2.5, 3.0],
        [0.7, 2.0],
        d.InverseGamma,
        lambda a, r: stats.invgamma(a, scale=r),
    ),
    "Beta": ([0.5, 3.0], [0.7, 2.0], d.Beta, stats.beta),
    "Pareto": ([0.5, 3.0], [3.7, 2.5], d.Pareto, lambda s, a: stats.pareto(a, scale=s)),
    "Weibull": ([0.5, 3.0], [1.7, 2.5], d.Weibull, lambda s, k: stats.weibull_min(k, scale=s)),
    "StudentT": (
        [3.5, 5.0],
        [0.7, 2.0],
        lambda n, s: d.StudentT(n, 0.3, s),
        lambda n, s: stats.t(n, 0.3, s),
    ),
    "Exponential": (
        [0.5, 3.0],
        [1.0, 1.0],
        lambda r, _: d.Exponential(r),
        lambda r, _: stats.expon(scale=1 / r),
    ),
    "HalfNormal": (
        [0.5, 3.0],
        [1.0, 1.0],
        lambda s, _: d.HalfNormal(s),
        lambda s, _: stats.halfnorm(scale=s),
    ),
    "HalfCauchy": (
        [0.5, 3.0],
        [1.0, 1.0],
        lambda s, _: d.HalfCauchy(s),
        lambda s, _: stats.halfcauchy(scale=s),
    ),
    "Chi2": ([0.5, 3.0], [1.0, 1.0], lambda n, _: d.Chi2(n), lambda n, _: stats.chi2(n)),
}
WHOLE = {
    "Bernoulli": (
        [0.3, 0.8],
        [1.0, 1.0],
        lambda p, _: d.Bernoulli(p),
        lambda p, _: stats.binom(1, p),
    ),
    "Geometric": (
        [0.3, 0.8],
        [1.0, 1.0],
        lambda p, _: d.Geometric(p),
        lambda p, _: stats.geom(p, -1),
    ),
    "Binomial": (
        [0.3, 0.8],
        [5.0, 5.0],
        lambda p, n: d.Binomial(n, p),
        lambda p, n: stats.binom(n, p),
    ),
    "NegativeBinomial": (
        [0.3, 0.6],
        [2.5, 4.0],
        lambda p, n: d.NegativeBinomial(n, p),
        lambda p, n: stats.nbinom(n, 1 - p),
    ),
    "Poisson": ([0.3, 8.0], [1.0, 1.0], lambda r, _: d.Poisson(r), lambda r, _: stats.poisson(r)),
}


def both(name):
    """minidl's distribution, SciPy's, and the two parameters (leaves of a graph)."""
    first, second, mine, reference = {**CONTINUOUS, **WHOLE}[name]
    parameters = [tensor(v, requires_grad=True) for v in (first, second)]
    return mine(*parameters), reference(np.array(first), np.array(second)), parameters
