"""The absolute values of normal numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import minidl
from minidl import Tensor
from minidl.distributions import constraints
from minidl.distributions.distribution import Distribution
from minidl.distributions.utils import broadcast_all, normal_like

__all__ = ["HalfNormal"]


class HalfNormal(Distribution):
    """The distribution of |x|, x of Normal(0, scale).

    https://docs.pytorch.org/docs/stable/distributions.html#halfnormal
    """

    arg_constraints = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, scale: Tensor | float, validate_args: bool | None = None):
        (self.scale,) = broadcast_all(scale)
        super().__init__(self.scale.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def mode(self) -> Tensor:
        return minidl.zeros_like(self.scale)

    @property
    def variance(self) -> Tensor:
        return self.scale**2 * (1 - 2 / math.pi)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return normal_like(self.scale, self._extended_shape(sample_shape)).abs() * self.scale

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        own = 0.5 * math.log(2 / math.pi) - self.scale.log() - 0.5 * (value / self.scale) ** 2
        return minidl.where(value >= 0, own, -math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return (value / (self.scale * math.sqrt(2))).erf()

    def icdf(self, value: Tensor) -> Tensor:
        return self.scale * math.sqrt(2) * value.erfinv()

    def entropy(self) -> Tensor:
        return self.scale.log() + 0.5 * math.log(math.pi / 2) + 0.5
