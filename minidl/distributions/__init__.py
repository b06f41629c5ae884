"""Probability distributions: sample, log_prob, entropy, kl_divergence.

A file for each, named as in PyTorch. https://docs.pytorch.org/docs/stable/distributions.html
"""

from minidl.distributions import constraints, transforms
from minidl.distributions.bernoulli import Bernoulli
from minidl.distributions.beta import Beta
from minidl.distributions.binomial import Binomial
from minidl.distributions.categorical import Categorical
from minidl.distributions.cauchy import Cauchy
from minidl.distributions.chi2 import Chi2
from minidl.distributions.dirichlet import Dirichlet
from minidl.distributions.distribution import Distribution
from minidl.distributions.exponential import Exponential
from minidl.distributions.gamma import Gamma
from minidl.distributions.geometric import Geometric
from minidl.distributions.gumbel import Gumbel
from minidl.distributions.half_cauchy import HalfCauchy
from minidl.distributions.half_normal import HalfNormal
from minidl.distributions.independent import Independent
from minidl.distributions.inverse_gamma import InverseGamma
from minidl.distributions.kl import kl_divergence, register_kl
from minidl.distributions.laplace import Laplace
from minidl.distributions.log_normal import LogNormal
from minidl.distributions.mixture_same_family import MixtureSameFamily
from minidl.distributions.multinomial import Multinomial
from minidl.distributions.multivariate_normal import MultivariateNormal
from minidl.distributions.negative_binomial import NegativeBinomial
from minidl.distributions.normal import Normal
from minidl.distributions.one_hot_categorical import (
    OneHotCategorical,
    OneHotCategoricalStraightThrough,
)
from minidl.distributions.pareto import Pareto
from minidl.distributions.poisson import Poisson
from minidl.distributions.relaxed_bernoulli import LogitRelaxedBernoulli, RelaxedBernoulli
from minidl.distributions.relaxed_categorical import ExpRelaxedCategorical, RelaxedOneHotCategorical
from minidl.distributions.studentT import StudentT
from minidl.distributions.transformed_distribution import TransformedDistribution
from minidl.distributions.transforms import (
    AbsTransform,
    AffineTransform,
    ComposeTransform,
    ExpTransform,
    PowerTransform,
    SigmoidTransform,
    SoftmaxTransform,
    SoftplusTransform,
    StickBreakingTransform,
    TanhTransform,
    Transform,
    identity_transform,
)
from minidl.distributions.uniform import Uniform
from minidl.distributions.weibull import Weibull

from ..names import lookup

__all__ = [
    "AbsTransform",
    "AffineTransform",
    "Bernoulli",
    "Beta",
    "Binomial",
    "Categorical",
    "Cauchy",
    "Chi2",
    "ComposeTransform",
    "Dirichlet",
    "Distribution",
    "ExpRelaxedCategorical",
    "ExpTransform",
    "Exponential",
    "Gamma",
    "Geometric",
    "Gumbel",
    "HalfCauchy",
    "HalfNormal",
    "Independent",
    "InverseGamma",
    "Laplace",
    "LogNormal",
    "LogitRelaxedBernoulli",
    "MixtureSameFamily",
    "Multinomial",
    "MultivariateNormal",
    "NegativeBinomial",
    "Normal",
    "OneHotCategorical",
    "OneHotCategoricalStraightThrough",
    "Pareto",
    "Poisson",
    "PowerTransform",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
    "SigmoidTransform",
    "SoftmaxTransform",
    "SoftplusTransform",
    "StickBreakingTransform",
    "StudentT",
    "TanhTransform",
    "Transform",
    "TransformedDistribution",
    "Uniform",
    "Weibull",
    "constraints",
    "identity_transform",
    "kl_divergence",
    "register_kl",
    "transforms",
]

__getattr__ = lookup(globals())
