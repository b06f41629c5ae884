"""The Bernoulli distribution, made differentiable."""

from __future__ import annotations

from collections.abc import Sequence

import minidl
from minidl import Size, Tensor
from minidl.distributions import constraints
from minidl.distributions.distribution import Distribution
from minidl.distributions.transformed_distribution import TransformedDistribution
from minidl.distributions.transforms import SigmoidTransform
from minidl.distributions.utils import (
    broadcast_all,
    clamp_probs,
    lazy_property,
    logits_to_probs,
    only_one,
    probs_to_logits,
    uniform_like,
)
from minidl.nn import functional

__all__ = ["LogitRelaxedBernoulli", "RelaxedBernoulli"]


class LogitRelaxedBernoulli(Distribution):
    """The logits of `RelaxedBernoulli`: (logits + ln u - ln(1 - u)) / temperature.

    https://docs.pytorch.org/docs/stable/distributions.html#logitrelaxedbernoulli
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.real
    has_rsample = True

    def __init__(
        self,
        temperature: Tensor | float,
        probs: Tensor | float | None = None,
        logits: Tensor | float | None = None,
        validate_args: bool | None = None,
    ):
        given = only_one(probs=probs, logits=logits)
        (parameter,) = broadcast_all(probs if given == "probs" else logits)
        setattr(self, given, parameter)
        self.temperature = minidl.as_tensor(temperature, dtype=parameter.dtype).expand(
            parameter.shape
        )
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

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        u = clamp_probs(uniform_like(self.logits, self._extended_shape(sample_shape)))
        return (u.log() - (-u).log1p() + self.logits) / self.temperature

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        z = self.logits - value * self.temperature
        return self.temperature.log() + z - 2 * functional.softplus(z)


class RelaxedBernoulli(TransformedDistribution):
    """Numbers in (0, 1) that tend to those of `Bernoulli` for small temperatures.

    Maddison et al. 2016, "The concrete distribution".
    https://docs.pytorch.org/docs/stable/distributions.html#relaxedbernoulli
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval

    def __init__(
        self,
        temperature: Tensor | float,
        probs: Tensor | float | None = None,
        logits: Tensor | float | None = None,
        validate_args: bool | None = None,
    ):
        base = LogitRelaxedBernoulli(temperature, probs, logits, validate_args)
        super().__init__(base, SigmoidTransform(), validate_args)

    @property
    def temperature(self) -> Tensor:
        return self.base_dist.temperature

    @property
    def logits(self) -> Tensor:
        return self.base_dist.logits

    @property
    def probs(self) -> Tensor:
        return self.base_dist.probs
