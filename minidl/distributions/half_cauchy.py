"""The absolute values of Cauchy numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import minidl
from minidl import Tensor
from minidl.distributions import constraints
from minidl.distributions.distribution import Distribution
from minidl.distributions.utils import broadcast_all, uniform_like

__all__ = ["HalfCauchy"]


class HalfCauchy(Distribution):
    """The distribution of |x|, x of Cauchy(0, scale).

    https://docs.pytorch.org/docs/stable/distributions.html#halfcauchy
    """

    arg_constraints = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, scale: Tensor | float, validate_args: bool | None = None):
        (self.scale,) = broadcast_all(scale)
        super().__init__(self.scale.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return minidl.full_like(self.scale, math.inf)

    @property
    def mode(self) -> Tensor:
        return minidl.zeros_like(self.scale)

    @property
    def variance(self) -> Tensor:
        return minidl.full_like(self.scale, math.inf)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.icdf(uniform_like(self.scale, self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        own = math.log(2 / math.pi) - self.scale.log() - ((value / self.scale) ** 2).log1p()
        return minidl.where(value >= 0, own, -math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return 2 / math.pi * (value / self.scale).atan()

    def icdf(self, value: Tensor) -> Tensor:
        return self.scale * (math.pi / 2 * value).tan()

    def entropy(self) -> Tensor:
        return math.log(2 * math.pi) + self.scale.log()
