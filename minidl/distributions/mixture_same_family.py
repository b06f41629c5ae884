"""Mixtures of distributions of one family."""

from __future__ import annotations

from collections.abc import Sequence

from minidl import Tensor
from minidl.distributions import constraints
from minidl.distributions.categorical import Categorical
from minidl.distributions.distribution import Distribution
from minidl.nn import functional

__all__ = ["MixtureSameFamily"]


class MixtureSameFamily(Distribution):
    """Density sum_k p_k f_k(x): p of `mixture_distribution`, and f_k the components along the last
    dimension of the batch of `component_distribution`.

    https://docs.pytorch.org/docs/stable/distributions.html#mixturesamefamily
    """

    def __init__(
        self,
        mixture_distribution: Categorical,
        component_distribution: Distribution,
        validate_args: bool | None = None,
    ):
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError("MixtureSameFamily: the mixture distribution must be a Categorical")
        if not isinstance(component_distribution, Distribution):
            raise ValueError("MixtureSameFamily: the components must be a Distribution")
        count = mixture_distribution.param_shape[-1]
        components = component_distribution.batch_shape
        if not components or components[-1] != count:
            raise ValueError(
                f"MixtureSameFamily: {count} probabilities need {count} components in the last "
                f"dimension of the batch, got the batch_shape {tuple(components)}"
            )
        shape = components[:-1]
        self._mixture_distribution = mixture_distribution.expand(shape)
        self._component_distribution = component_distribution
        self._event_ndims = len(component_distribution.event_shape)
        super().__init__(shape, component_distribution.event_shape, validate_args=validate_args)

    @property
    def mixture_distribution(self) -> Categorical:
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Distribution:
        return self._component_distribution

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        return constraints.mixture_same_family(self._component_distribution.support)

    def _average(self, values: Tensor) -> Tensor:
        """The mean over the components of values (*batch, k, *event)."""
        probs = self._mixture_distribution.probs
        probs = probs.reshape(probs.shape + (1,) * self._event_ndims)
        return (probs * values).sum(-1 - self._event_ndims)

    def _pad(self, value: Tensor) -> Tensor:
        return value.unsqueeze(-1 - self._event_ndims)

    @property
    def mean(self) -> Tensor:
        return self._average(self._component_distribution.mean)

    @property
    def variance(self) -> Tensor:
        between = (self._component_distribution.mean - self._pad(self.mean)) ** 2
        return self._average(self._component_distribution.variance + between)

    def cdf(self, x: Tensor) -> Tensor:
        cdf = self._component_distribution.cdf(self._pad(x))
        return (cdf * self._mixture_distribution.probs).sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        own = self._component_distribution.log_prob(self._pad(value))
        return (own + functional.log_softmax(self._mixture_distribution.logits, -1)).logsumexp(-1)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        which = self._mixture_distribution.sample(sample_shape)
        drawn = self._component_distribution.sample(sample_shape)
        dim = which.ndim
        which = which.reshape(which.shape + (1,) * (1 + self._event_ndims))
        which = which.expand((*drawn.shape[:dim], 1, *drawn.shape[dim + 1 :]))
        return drawn.gather(dim, which).squeeze(dim)

    def __repr__(self) -> str:
        return f"MixtureSameFamily({self._mixture_distribution}, {self._component_distribution})"
