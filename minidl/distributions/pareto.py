"""The Pareto distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence

import minidl
from minidl import Tensor
from minidl.distributions import constraints
from minidl.distributions.distribution import Distribution
from minidl.distributions.utils import broadcast_all, uniform_like

__all__ = ["Pareto"]


class Pareto(Distribution):
    """Density alpha scale^alpha / x^(alpha + 1) for x > scale.

    https://docs.pytorch.org/docs/stable/distributions.html#pareto
    """

    arg_constraints = {"scale": constraints.positive, "alpha": constraints.positive}
    has_rsample = True

    def __init__(
        self, scale: Tensor | float, alpha: Tensor | float, validate_args: bool | None = None
    ):
        self.scale, self.alpha = broadcast_all(scale, alpha)
        super().__init__(self.scale.shape, validate_args=validate_args)

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self) -> Tensor:
        finite = self.alpha * self.scale / (self.alpha - 1)
        return minidl.where(self.alpha > 1, finite, math.inf)

    @property
    def mode(self) -> Tensor:
        return self.scale

    @property
    def variance(self) -> Tensor:
        a = self.alpha
        finite = self.scale**2 * a / ((a - 1) ** 2 * (a - 2))
        return minidl.where(a > 2, finite, math.inf)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        u = uniform_like(self.scale, self._extended_shape(sample_shape))
        return self.scale * (-u.log() / self.alpha).exp()

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return self.alpha.log() + self.alpha * self.scale.log() - (self.alpha + 1) * value.log()

    def cdf(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return 1 - (self.scale / value) ** self.alpha

    def icdf(self, value: Tensor) -> Tensor:
        return self.scale * (1 - value) ** (-1 / self.alpha)

    def entropy(self) -> Tensor:
        return (self.scale / self.alpha).log() + (1 + 1 / self.alpha)
