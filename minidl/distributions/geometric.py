"""The geometric distribution."""

from __future__ import annotations

from collections.abc import Sequence

import minidl
from minidl import Size, Tensor
from minidl.distributions import constraints
from minidl.distributions.distribution import Distribution
from minidl.distributions.utils import (
    broadcast_all,
    lazy_property,
    logits_to_probs,
    only_one,
    probs_to_logits,
    uniform_like,
)
from minidl.nn import functional

__all__ = ["Geometric"]


class Geometric(Distribution):
    """Probability (1 - probs)^k probs of k = 0, 1, 2, ... failures before the first success.

    https://docs.pytorch.org/docs/stable/distributions.html#geometric
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(
        self,
        probs: Tensor | float | None = None,
        logits: Tensor | float | None = None,
        validate_args: bool | None = None,
    ):
        given = only_one(probs=probs, logits=logits)
        (parameter,) = broadcast_all(probs if given == "probs" else logits)
        setattr(self, given, parameter)
        super().__init__(parameter.shape, validate_args=validate_args)
        if self._validate_args and given == "probs" and not (parameter > 0).all():
            raise ValueError(f"Geometric: expected probs > 0, got {probs}")

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
        return 1 / self.probs - 1

    @property
    def mode(self) -> Tensor:
        return minidl.zeros_like(self.probs)

    @property
    def variance(self) -> Tensor:
        return (1 / self.probs - 1) / self.probs

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with minidl.no_grad():
            u = uniform_like(self.probs, self._extended_shape(sample_shape))
            return (u.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return minidl.special.xlog1py(value, -self.probs) + self.probs.log()

    def entropy(self) -> Tensor:
        return (
            functional.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")
            / self.probs
        )
