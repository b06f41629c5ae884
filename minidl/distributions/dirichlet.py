"""The Dirichlet distribution."""

from __future__ import annotations

from collections.abc import Sequence

import minidl
from minidl import Tensor
from minidl.distributions import constraints
from minidl.distributions.distribution import Distribution
from minidl.distributions.drawing import draw_log_gamma
from minidl.nn import functional

__all__ = ["Dirichlet"]


class Dirichlet(Distribution):
    """Density of points on the simplex, prod x_i^(concentration_i - 1) / B(concentration).

    A sample is a vector of gamma numbers divided by their sum.
    https://docs.pytorch.org/docs/stable/distributions.html#dirichlet
    """

    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration: Tensor, validate_args: bool | None = None):
        if concentration.ndim < 1:
            raise ValueError("Dirichlet: the concentration must be at least one-dimensional")
        self.concentration = concentration
        shape = concentration.shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.concentration.sum(-1, keepdim=True)

    @property
    def mode(self) -> Tensor:
        """Where a concentration is below 1, next to the corner of the largest."""
        above = (self.concentration - 1).clamp(min=0)
        mode = above / above.sum(-1, keepdim=True)
        corner = functional.one_hot(self.concentration.argmax(-1), self.event_shape[0])
        flat = (self.concentration < 1).all(-1, keepdim=True)
        return minidl.where(flat, corner.to(mode.dtype), mode)

    @property
    def variance(self) -> Tensor:
        total = self.concentration.sum(-1, keepdim=True)
        return self.concentration * (total - self.concentration) / (total**2 * (total + 1))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        logs = draw_log_gamma(self.concentration.expand(self._extended_shape(sample_shape)))
        return functional.softmax(logs, -1).to(self.concentration.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return (
            minidl.xlogy(self.concentration - 1, value).sum(-1)
            + self.concentration.sum(-1).lgamma()
            - self.concentration.lgamma().sum(-1)
        )

    def entropy(self) -> Tensor:
        a, total = self.concentration, self.concentration.sum(-1)
        return (
            a.lgamma().sum(-1)
            - total.lgamma()
            - (a.shape[-1] - total) * total.digamma()
            - ((a - 1) * a.digamma()).sum(-1)
        )
