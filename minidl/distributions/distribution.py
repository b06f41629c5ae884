"""The base of all distributions.

https://docs.pytorch.org/docs/stable/distributions.html
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import minidl
from minidl import Size, Tensor
from minidl.distributions import constraints
from minidl.distributions.constraints import Constraint
from minidl.errors import ShapeError


class Distribution:
    """`batch_shape` independent distributions of values of `event_shape` each.

    A sample has the shape (*sample_shape, *batch_shape, *event_shape); `log_prob` of it has
    (*sample_shape, *batch_shape). Every tensor and distribution that a distribution keeps has
    the dimensions of the batch first: so `expand` is the same for all.

    arg_constraints: where the parameters lie, by name. support: where the samples lie.
    validate_args: whether to check both (default: yes).
    """

    arg_constraints: dict[str, Constraint] = {}
    support: Constraint = constraints.dependent
    has_rsample = False
    has_enumerate_support = False
    _validate_args = __debug__

    def __init__(
        self,
        batch_shape: Sequence[int] = (),
        event_shape: Sequence[int] = (),
        validate_args: bool | None = None,
    ):
        self._batch_shape = Size(batch_shape)
        self._event_shape = Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            for name, constraint in self.arg_constraints.items():
                self._validate_parameter(name, constraint)

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions made from now on check their arguments."""
        if value not in (True, False):
            raise ValueError(f"set_default_validate_args: expected True or False, got {value!r}")
        Distribution._validate_args = value

    @property
    def batch_shape(self) -> Size:
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        return self._event_shape

    @property
    def mean(self) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no mean")

    @property
    def mode(self) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no mode")

    @property
    def variance(self) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no variance")

    @property
    def stddev(self) -> Tensor:
        return self.variance.sqrt()

    def expand(self, batch_shape: Sequence[int]) -> Distribution:
        """The same distribution with its batch repeated to `batch_shape`; nothing is copied."""
        shape, old = Size(batch_shape), len(self._batch_shape)
        new = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                new.__dict__[name] = value.expand(shape + value.shape[old:])
            elif isinstance(value, Distribution):
                new.__dict__[name] = value.expand(shape + value.batch_shape[old:])
        new._batch_shape = shape
        return new

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws values, without gradients."""
        with minidl.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws values as differentiable functions of the parameters and of noise."""
        raise NotImplementedError(f"{type(self).__name__} has no rsample; use sample and log_prob")

    def sample_n(self, n: int) -> Tensor:
        return self.sample((n,))

    def log_prob(self, value: Tensor) -> Tensor:
        """ln of the density, or of the probability, of `value`."""
        raise NotImplementedError(f"{type(self).__name__} has no log_prob")

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of a sample <= value."""
        raise NotImplementedError(f"{type(self).__name__} has no cdf")

    def icdf(self, value: Tensor) -> Tensor:
        """The inverse of `cdf`."""
        raise NotImplementedError(f"{type(self).__name__} has no icdf")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values along a new first dimension; `expand` repeats them for the batch."""
        raise NotImplementedError(f"{type(self).__name__} has no enumerate_support")

    def entropy(self) -> Tensor:
        """-E ln p"""
        raise NotImplementedError(f"{type(self).__name__} has no entropy")

    def perplexity(self) -> Tensor:
        return self.entropy().exp()

    def _extended_shape(self, sample_shape: Sequence[int] = ()) -> Size:
        if isinstance(sample_shape, int):
            raise TypeError(
                f"{type(self).__name__}: sample_shape is a tuple, as in sample(({sample_shape},)), "
                "got an int"
            )
        return Size(sample_shape) + self._batch_shape + self._event_shape

    def _enumerated(self, values: Tensor, expand: bool) -> Tensor:
        """`values` along a new first dimension of the batch."""
        values = values.reshape((-1,) + (1,) * len(self._batch_shape))
        return values.expand((-1, *self._batch_shape)) if expand else values

    def _validate_parameter(self, name: str, constraint: Constraint) -> None:
        computed = isinstance(getattr(type(self), name, None), property)
        if constraints.is_dependent(constraint) or not (computed or name in vars(self)):
            return  # another parameter was given in its place
        value = getattr(self, name)
        if not constraint.check(value).all():
            raise ValueError(
                f"Expected parameter {name} ({type(value).__name__} of shape "
                f"{tuple(value.shape)}) of distribution {self!r} to satisfy the constraint "
                f"{constraint!r}, but found invalid values:\n{value}"
            )

    def _validate_sample(self, value: Tensor) -> None:
        """Raises ValueError for a value outside of the support or of a shape that does not fit."""
        if not self._validate_args:
            return
        if not isinstance(value, Tensor):
            raise ValueError(
                f"The value argument to log_prob must be a Tensor, got {type(value).__name__}"
            )
        events = len(self._event_shape)
        if value.ndim < events or value.shape[value.ndim - events :] != self._event_shape:
            raise ShapeError(
                f"{type(self).__name__}: the last dimensions of the value must be the event_shape "
                f"{tuple(self._event_shape)}, got a value of shape {tuple(value.shape)}"
            )
        own = self._batch_shape + self._event_shape
        for i, j in zip(reversed(value.shape), reversed(own), strict=False):
            if i != 1 and j != 1 and i != j:
                raise ShapeError(
                    f"{type(self).__name__}: a value of shape {tuple(value.shape)} does not "
                    f"broadcast with batch_shape + event_shape {tuple(own)}"
                )
        if constraints.is_dependent(self.support):
            return
        if not self.support.check(value).all():
            raise ValueError(
                f"Expected value argument (Tensor of shape {tuple(value.shape)}) to be within the "
                f"support ({self.support!r}) of the distribution {self!r}, but found invalid "
                f"values:\n{value}"
            )

    def __repr__(self) -> str:
        names = [name for name in self.arg_constraints if name in vars(self)]
        own = [(name, getattr(self, name)) for name in names or self.arg_constraints]
        shown = [f"{name}: {v.item() if v.numel() == 1 else v.shape}" for name, v in own]
        return f"{type(self).__name__}({', '.join(shown)})"
