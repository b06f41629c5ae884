"""The beta distribution."""

from __future__ import annotations

from collections.abc import Sequence

import minidl
from minidl import Tensor
from minidl.distributions import constraints
from minidl.distributions.dirichlet import Dirichlet
from minidl.distributions.distribution import Distribution
from minidl.distributions.utils import broadcast_all

__all__ = ["Beta"]


class Beta(Distribution):
    """Density x^(a - 1) (1 - x)^(b - 1) / B(a, b), a = concentration1, b = concentration0.

    https://docs.pytorch.org/docs/stable/distributions.html#beta
    """

    arg_constraints = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
    }
    support = constraints.unit_interval
    has_rsample = True

    def __init__(
        self,
        concentration1: Tensor | float,
        concentration0: Tensor | float,
        validate_args: bool | None = None,
    ):
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        super().__init__(self.concentration1.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self) -> Tensor:
        return self._dirichlet.mode[..., 0]

    @property
    def variance(self) -> Tensor:
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total**2 * (total + 1))

    @property
    def _dirichlet(self) -> Dirichlet:
        """The distribution of (x, 1 - x)."""
        both = minidl.stack((self.concentration1, self.concentration0), -1)
        return Dirichlet(both, validate_args=False)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self._dirichlet.rsample(sample_shape)[..., 0]

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return self._dirichlet.log_prob(minidl.stack((value, 1.0 - value), -1))

    def entropy(self) -> Tensor:
        return self._dirichlet.entropy()
