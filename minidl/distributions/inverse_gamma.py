"""The inverse gamma distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence

import minidl
from minidl import Tensor
from minidl.distributions import constraints
from minidl.distributions.distribution import Distribution
from minidl.distributions.drawing import draw_gamma
from minidl.distributions.utils import broadcast_all

__all__ = ["InverseGamma"]


class InverseGamma(Distribution):
    """The distribution of 1 / x, x of Gamma(concentration, rate).

    https://docs.pytorch.org/docs/stable/distributions.html#inversegamma
    """

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(
        self,
        concentration: Tensor | float,
        rate: Tensor | float,
        validate_args: bool | None = None,
    ):
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(self.concentration.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        finite = self.rate / (self.concentration - 1)
        return minidl.where(self.concentration > 1, finite, math.inf)

    @property
    def mode(self) -> Tensor:
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Tensor:
        a = self.concentration
        return minidl.where(a > 2, self.rate**2 / ((a - 1) ** 2 * (a - 2)), math.inf)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        return self.rate / draw_gamma(self.concentration.expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        a = self.concentration
        return a * self.rate.log() - a.lgamma() - (a + 1) * value.log() - self.rate / value

    def cdf(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return minidl.igammac(self.concentration, self.rate / value)

    def entropy(self) -> Tensor:
        a = self.concentration
        return a + self.rate.log() + a.lgamma() - (1 + a) * a.digamma()
