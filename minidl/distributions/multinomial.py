"""The multinomial distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence

import minidl
from minidl import Size, Tensor
from minidl.distributions import constraints
from minidl.distributions.binomial import Binomial
from minidl.distributions.categorical import Categorical
from minidl.distributions.distribution import Distribution
from minidl.nn import functional

__all__ = ["Multinomial"]


class Multinomial(Distribution):
    """How often each outcome comes in total_count draws from a categorical distribution.

    https://docs.pytorch.org/docs/stable/distributions.html#multinomial
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}

    def __init__(
        self,
        total_count: int = 1,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ):
        if not isinstance(total_count, int):
            raise NotImplementedError("Multinomial: total_count is one int for the whole batch")
        self.total_count = total_count
        self._categorical = Categorical(probs, logits, validate_args)
        batch_shape, event_shape = self._categorical.batch_shape, self._categorical.param_shape[-1:]
        super().__init__(batch_shape, event_shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        return constraints.multinomial(self.total_count)

    @property
    def probs(self) -> Tensor:
        return self._categorical.probs

    @property
    def logits(self) -> Tensor:
        return self._categorical.logits

    @property
    def param_shape(self) -> Size:
        return self._categorical.param_shape

    @property
    def mean(self) -> Tensor:
        return self.probs * self.total_count

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        drawn = self._categorical.sample((self.total_count, *sample_shape))
        counts = functional.one_hot(drawn, self._event_shape[0]).sum(0)
        return counts.to(self.probs.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        ways = (value.sum(-1) + 1).lgamma() - (value + 1).lgamma().sum(-1)
        logits = minidl.where((value == 0) & (self.logits == -math.inf), 0.0, self.logits)
        return ways + (logits * value).sum(-1)

    def entropy(self) -> Tensor:
        n = self.total_count
        one = Binomial(n, probs=self.probs)
        counts = one.enumerate_support(expand=False)[1:]
        likely = one.log_prob(counts).exp()
        terms = (likely * (counts + 1).lgamma()).sum((0, -1))
        return n * self._categorical.entropy() - math.lgamma(n + 1) + terms
