"""Functions of random numbers."""

from __future__ import annotations

from collections.abc import Sequence

import minidl
from minidl import Size, Tensor
from minidl.distributions import constraints
from minidl.distributions.distribution import Distribution
from minidl.distributions.independent import Independent
from minidl.distributions.transforms import ComposeTransform, Transform
from minidl.distributions.utils import sum_rightmost

__all__ = ["TransformedDistribution"]


class TransformedDistribution(Distribution):
    """The distribution of transforms[-1](... transforms[0](x)), x of `base_distribution`.

    log_prob(y) = base.log_prob(x) - ln |dy/dx|.
    https://docs.pytorch.org/docs/stable/distributions.html#transformeddistribution
    """

    def __init__(
        self,
        base_distribution: Distribution,
        transforms: Transform | list[Transform],
        validate_args: bool | None = None,
    ):
        self.transforms = [transforms] if isinstance(transforms, Transform) else transforms
        if not isinstance(self.transforms, list) or not all(
            isinstance(t, Transform) for t in self.transforms
        ):
            raise ValueError(
                f"{type(self).__name__}: expected a Transform or a list of them, got {transforms}"
            )
        whole = ComposeTransform(self.transforms)
        base, events = base_distribution, len(base_distribution.event_shape)
        own_shape = base.batch_shape + base.event_shape
        if len(own_shape) < whole.domain.event_dim:
            raise ValueError(
                f"{type(self).__name__}: the transforms take events of {whole.domain.event_dim} "
                f"dimensions, the base distribution has the shape {tuple(own_shape)}"
            )
        shape = Size(whole.forward_shape(own_shape))
        base_shape = Size(whole.inverse_shape(shape))
        base = base.expand(base_shape[: len(base_shape) - events])
        if whole.domain.event_dim > events:
            base = Independent(base, whole.domain.event_dim - events)
        self.base_dist = base
        change = whole.codomain.event_dim - whole.domain.event_dim
        cut = len(shape) - max(whole.codomain.event_dim, events + change)
        super().__init__(shape[:cut], shape[cut:], validate_args=validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return self.base_dist.has_rsample

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        if not self.transforms:
            return self.base_dist.support
        support = self.transforms[-1].codomain
        more = len(self._event_shape) - support.event_dim
        return constraints.independent(support, more) if more > 0 else support

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with minidl.no_grad():
            return self._transformed(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self._transformed(self.base_dist.rsample(sample_shape))

    def _transformed(self, x: Tensor) -> Tensor:
        for transform in self.transforms:
            x = transform(x)
        return x

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        y, dims, slopes = value, len(self._event_shape), 0
        for transform in reversed(self.transforms):
            x = transform.inv(y)
            dims += transform.domain.event_dim - transform.codomain.event_dim
            slope = transform.log_abs_det_jacobian(x, y)
            slopes = slopes + sum_rightmost(slope, dims - transform.domain.event_dim)
            y = x
        own = sum_rightmost(self.base_dist.log_prob(y), dims - len(self.base_dist.event_shape))
        return own - slopes

    def cdf(self, value: Tensor) -> Tensor:
        for transform in reversed(self.transforms):
            value = transform.inv(value)
        return self._turned(self.base_dist.cdf(value))

    def icdf(self, value: Tensor) -> Tensor:
        return self._transformed(self.base_dist.icdf(self._turned(value)))

    def _turned(self, probability: Tensor) -> Tensor:
        """1 - p if the transforms fall."""
        return ComposeTransform(self.transforms).sign * (probability - 0.5) + 0.5

    def __repr__(self) -> str:
        own = super().__repr__()
        return own if self.arg_constraints else f"{own[:-1]}{self.base_dist}, {self.transforms})"
