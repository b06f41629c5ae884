"""The binomial distribution."""

from __future__ import annotations

from collections.abc import Sequence

import minidl
from minidl import Size, Tensor
from minidl.distributions import constraints
from minidl.distributions.distribution import Distribution
from minidl.distributions.drawing import draw_binomial
from minidl.distributions.utils import (
    broadcast_all,
    lazy_property,
    logits_to_probs,
    only_one,
    probs_to_logits,
)
from minidl.nn import functional

__all__ = ["Binomial"]


class Binomial(Distribution):
    """The number of successes in total_count trials, each of probability probs.

    https://docs.pytorch.org/docs/stable/distributions.html#binomial
    """

    arg_constraints = {
        "total_count": constraints.nonnegative_integer,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    has_enumerate_support = True

    def __init__(
        self,
        total_count: Tensor | float = 1,
        probs: Tensor | float | None = None,
        logits: Tensor | float | None = None,
        validate_args: bool | None = None,
    ):
        given = only_one(probs=probs, logits=logits)
        parameter = probs if given == "probs" else logits
        parameter, self.total_count = broadcast_all(parameter, total_count)
        self.total_count = self.total_count.to(parameter.dtype)
        setattr(self, given, parameter)
        super().__init__(parameter.shape, validate_args=validate_args)

    @lazy_property
    def logits(self) -> Tensor:
        return probs_to_logits(self.probs, is_binary=True)

    @lazy_property
    def probs(self) -> Tensor:
        return logits_to_probs(self.logits, is_binary=True)

    @property
    def param_shape(self) -> Size:
        return self._batch_shape

    @constraints.dependent_property(is_discrete=True)
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        return ((self.total_count + 1) * self.probs).floor().clamp(max=self.total_count)

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        return draw_binomial(self.total_count.expand(shape), self.probs.detach().expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        n = self.total_count
        ways = (n + 1).lgamma() - (value + 1).lgamma() - (n - value + 1).lgamma()
        return ways + value * self.logits - n * functional.softplus(self.logits)

    def entropy(self) -> Tensor:
        """For equal total_counts only: the sum over all outcomes."""
        values = self.enumerate_support(expand=False)
        log_prob = self.log_prob(values)
        return -(log_prob.exp() * log_prob).sum(0)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        n = int(self.total_count.max())
        if not (self.total_count == n).all():
            raise NotImplementedError("Binomial: the total_counts differ; so do their outcomes")
        values = minidl.arange(n + 1, dtype=self.probs.dtype, device=self.probs.device)
        return self._enumerated(values, expand)
