"""The categorical distribution, made differentiable."""

from __future__ import annotations

import math
from collections.abc import Sequence

import minidl
from minidl import Size, Tensor
from minidl.distributions import constraints
from minidl.distributions.categorical import Categorical
from minidl.distributions.distribution import Distribution
from minidl.distributions.transformed_distribution import TransformedDistribution
from minidl.distributions.transforms import ExpTransform
from minidl.distributions.utils import clamp_probs, uniform_like
from minidl.nn import functional

__all__ = ["ExpRelaxedCategorical", "RelaxedOneHotCategorical"]


class ExpRelaxedCategorical(Distribution):
    """The logarithms of `RelaxedOneHotCategorical`: log_softmax((logits + g) / temperature), g of
    Gumbel(0, 1).

    https://docs.pytorch.org/docs/stable/distributions.html
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        temperature: Tensor | float,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ):
        self._categorical = Categorical(probs, logits, validate_args)
        shape = self._categorical.param_shape
        parameter = self._categorical.logits
        temperature = minidl.as_tensor(temperature, dtype=parameter.dtype)
        self.temperature = temperature.expand((*shape[:-1], 1))
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    @property
    def probs(self) -> Tensor:
        return self._categorical.probs

    @property
    def logits(self) -> Tensor:
        return self._categorical.logits

    @property
    def param_shape(self) -> Size:
        return self._categorical.param_shape

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        u = clamp_probs(uniform_like(self.logits, self._extended_shape(sample_shape)))
        return functional.log_softmax((self.logits - (-u.log()).log()) / self.temperature, -1)

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        n = self._event_shape[0]
        score = functional.log_softmax(self.logits - value * self.temperature, -1).sum(-1)
        return score + math.lgamma(n) + (n - 1) * self.temperature.log().squeeze(-1)


class RelaxedOneHotCategorical(TransformedDistribution):
    """Points on the simplex that tend to those of `OneHotCategorical` for small temperatures.

    Jang et al. 2016, "Categorical reparameterization with Gumbel-softmax".
    https://docs.pytorch.org/docs/stable/distributions.html#relaxedonehotcategorical
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.simplex

    def __init__(
        self,
        temperature: Tensor | float,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ):
        base = ExpRelaxedCategorical(temperature, probs, logits, validate_args)
        super().__init__(base, ExpTransform(), validate_args)

    @property
    def temperature(self) -> Tensor:
        return self.base_dist.temperature

    @property
    def logits(self) -> Tensor:
        return self.base_dist.logits

    @property
    def probs(self) -> Tensor:
        return self.base_dist.probs
