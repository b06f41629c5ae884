"""The negative binomial distribution."""

from __future__ import annotations

from collections.abc import Sequence

import minidl
from minidl import Size, Tensor
from minidl.distributions import constraints
from minidl.distributions.distribution import Distribution
from minidl.distributions.drawing import draw_gamma, draw_poisson
from minidl.distributions.utils import (
    broadcast_all,
    lazy_property,
    logits_to_probs,
    only_one,
    probs_to_logits,
)
from minidl.nn import functional

__all__ = ["NegativeBinomial"]


class NegativeBinomial(Distribution):
    """The number of successes, each of probability probs, before total_count failures.

    https://docs.pytorch.org/docs/stable/distributions.html#negativebinomial
    """

    arg_constraints = {
        "total_count": constraints.nonnegative,
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer

    def __init__(
        self,
        total_count: Tensor | float,
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

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Tensor:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0)

    @property
    def variance(self) -> Tensor:
        return self.mean / (-self.logits).sigmoid()

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Poisson numbers whose rates are gamma numbers."""
        shape = self._extended_shape(sample_shape)
        with minidl.no_grad():
            rate = draw_gamma(self.total_count.expand(shape)) * self.logits.exp()
            return draw_poisson(rate)

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        n = self.total_count
        likely = n * functional.logsigmoid(-self.logits) + value * functional.logsigmoid(
            self.logits
        )
        ways = (n + value).lgamma() - (value + 1).lgamma() - n.lgamma()
        return likely + minidl.where(n + value == 0, 0.0, ways)
