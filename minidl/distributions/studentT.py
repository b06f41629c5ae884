"""Student's t-distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence

import minidl
from minidl import Tensor
from minidl.distributions import constraints
from minidl.distributions.distribution import Distribution
from minidl.distributions.drawing import draw_gamma
from minidl.distributions.utils import broadcast_all, normal_like

__all__ = ["StudentT"]


class StudentT(Distribution):
    """The distribution of loc + scale z / sqrt(c / df), z standard normal and c of Chi2(df).

    https://docs.pytorch.org/docs/stable/distributions.html#studentt
    """

    arg_constraints = {
        "df": constraints.positive,
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    support = constraints.real
    has_rsample = True

    def __init__(
        self,
        df: Tensor | float,
        loc: Tensor | float = 0.0,
        scale: Tensor | float = 1.0,
        validate_args: bool | None = None,
    ):
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        super().__init__(self.df.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return minidl.where(self.df > 1, self.loc, math.nan)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        finite = self.scale**2 * self.df / (self.df - 2)
        above = minidl.where(self.df > 2, finite, math.inf)
        return minidl.where(self.df > 1, above, math.nan)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        z = normal_like(self.loc, shape)
        c = 2 * draw_gamma(0.5 * self.df.expand(shape))
        return self.loc + self.scale * z * (c / self.df).rsqrt()

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        z, n = (value - self.loc) / self.scale, self.df
        constant = (n / 2).lgamma() - ((n + 1) / 2).lgamma() + 0.5 * (n * math.pi).log()
        return -0.5 * (n + 1) * (z**2 / n).log1p() - constant - self.scale.log()

    def entropy(self) -> Tensor:
        n = self.df
        log_beta = (n / 2).lgamma() + math.lgamma(0.5) - ((n + 1) / 2).lgamma()
        spread = (n + 1) / 2 * (((n + 1) / 2).digamma() - (n / 2).digamma())
        return self.scale.log() + spread + 0.5 * n.log() + log_beta
