"""The sets in which parameters and samples of distributions lie.

https://docs.pytorch.org/docs/stable/distributions.html#module-torch.distributions.constraints
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import minidl
from minidl import Tensor


class Constraint:
    """A set. `check` says which elements lie in it, `event_dim` dimensions at a time."""

    is_discrete = False
    event_dim = 0

    def check(self, value: Tensor) -> Tensor:
        """Booleans in the shape of `value` without its last `event_dim` dimensions."""
        raise NotImplementedError(f"{type(self).__name__} needs a check")

    def __repr__(self) -> str:
        bounds = ", ".join(f"{name}={value}" for name, value in vars(self).items())
        return f"{type(self).__name__.title().replace('_', '')}({bounds})"


class _Simple(Constraint):
    """A set given by its name and its test."""

    def __init__(self, name: str, test: Callable, event_dim: int = 0, is_discrete: bool = False):
        self.name, self.test = name, test
        self.event_dim, self.is_discrete = event_dim, is_discrete

    def check(self, value: Tensor) -> Tensor:
        return self.test(value)

    def __repr__(self) -> str:
        return f"{self.name}()"


class _Dependent(Constraint):
    """A set that is known only with the other parameters; it cannot be checked alone."""

    def __init__(self, is_discrete: bool = False, event_dim: int = 0):
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def __call__(self, *, is_discrete: bool = False, event_dim: int = 0) -> _Dependent:
        return _Dependent(is_discrete, event_dim)

    def check(self, value: Tensor) -> Tensor:
        raise ValueError("Cannot determine validity of dependent constraint")


def is_dependent(constraint: Constraint) -> bool:
    return isinstance(constraint, _Dependent)


class dependent_property(property, _Dependent):
    """A property of a distribution; asked of the class, a dependent constraint."""

    def __init__(
        self, fget: Callable | None = None, *, is_discrete: bool = False, event_dim: int = 0
    ):
        property.__init__(self, fget)
        _Dependent.__init__(self, is_discrete, event_dim)

    def __call__(self, fget: Callable) -> dependent_property:  # type: ignore[override]
        return dependent_property(fget, is_discrete=self.is_discrete, event_dim=self.event_dim)


class independent(Constraint):
    """`base_constraint` for all of the last `reinterpreted_batch_ndims` more dimensions."""

    def __init__(self, base_constraint: Constraint, reinterpreted_batch_ndims: int):
        self.base_constraint = base_constraint
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        return self.base_constraint.is_discrete

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        return self.base_constraint.event_dim + self.reinterpreted_batch_ndims

    def check(self, value: Tensor) -> Tensor:
        return _all(self.base_constraint.check(value), self.reinterpreted_batch_ndims)


class greater_than(Constraint):
    def __init__(self, lower_bound: Any):
        self.lower_bound = lower_bound

    def check(self, value: Tensor) -> Tensor:
        return value > self.lower_bound


class greater_than_eq(Constraint):
    def __init__(self, lower_bound: Any):
        self.lower_bound = lower_bound

    def check(self, value: Tensor) -> Tensor:
        return value >= self.lower_bound


class less_than(Constraint):
    def __init__(self, upper_bound: Any):
        self.upper_bound = upper_bound

    def check(self, value: Tensor) -> Tensor:
        return value < self.upper_bound


class interval(Constraint):
    """[lower_bound, upper_bound]"""

    def __init__(self, lower_bound: Any, upper_bound: Any):
        self.lower_bound, self.upper_bound = lower_bound, upper_bound

    def check(self, value: Tensor) -> Tensor:
        return (value >= self.lower_bound) & (value <= self.upper_bound)


class half_open_interval(interval):
    """[lower_bound, upper_bound)"""

    def check(self, value: Tensor) -> Tensor:
        return (value >= self.lower_bound) & (value < self.upper_bound)


class integer_interval(interval):
    """The integers from lower_bound to upper_bound"""

    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        return (value % 1 == 0) & super().check(value)


class multinomial(Constraint):
    """Counts that sum to at most upper_bound"""

    is_discrete, event_dim = True, 1

    def __init__(self, upper_bound: Any):
        self.upper_bound = upper_bound

    def check(self, value: Tensor) -> Tensor:
        return (value >= 0).all(-1) & (value.sum(-1) <= self.upper_bound)


class mixture_same_family(Constraint):
    """`base_constraint` of the components, for a value without their dimension"""

    def __init__(self, base_constraint: Constraint):
        self.base_constraint = base_constraint
        self.is_discrete = base_constraint.is_discrete
        self.event_dim = base_constraint.event_dim

    def check(self, value: Tensor) -> Tensor:
        inside = self.base_constraint.check(value.unsqueeze(-1 - self.event_dim))
        return inside.all(-1)


def _all(inside: Tensor, dims: int) -> Tensor:
    """Whether all of the last `dims` dimensions are true."""
    return inside.all(tuple(range(-dims, 0))) if dims else inside


def _is_integer(value: Tensor) -> Tensor:
    return value % 1 == 0


def _is_symmetric(value: Tensor) -> Tensor:
    """Of square matrices: whether they equal their transpose to 1e-6."""
    return _all(minidl.isclose(value, value.mT, atol=1e-6), 2)


def _is_positive_definite(value: Tensor) -> Tensor:
    value = value.detach()
    return _is_symmetric(value) & (minidl.linalg.cholesky_ex(value).info == 0)


def _is_lower_cholesky(value: Tensor) -> Tensor:
    diagonal = value.diagonal(dim1=-2, dim2=-1)
    return _all(value.tril() == value, 2) & (diagonal > 0).all(-1)


def _is_simplex(value: Tensor) -> Tensor:
    return (value >= 0).all(-1) & ((value.sum(-1) - 1).abs() < 1e-6)


def _is_one_hot(value: Tensor) -> Tensor:
    return ((value == 0) | (value == 1)).all(-1) & (value.sum(-1) == 1)


dependent = _Dependent()
real = _Simple("Real", lambda value: value == value)
real_vector = independent(real, 1)
positive = greater_than(0.0)
nonnegative = greater_than_eq(0.0)
unit_interval = interval(0.0, 1.0)
boolean = _Simple("Boolean", lambda value: (value == 0) | (value == 1), is_discrete=True)
nonnegative_integer = _Simple(
    "NonnegativeInteger", lambda value: _is_integer(value) & (value >= 0), is_discrete=True
)
positive_integer = _Simple(
    "PositiveInteger", lambda value: _is_integer(value) & (value >= 1), is_discrete=True
)
simplex = _Simple("Simplex", _is_simplex, event_dim=1)
one_hot = _Simple("OneHot", _is_one_hot, event_dim=1, is_discrete=True)
symmetric = _Simple("Symmetric", _is_symmetric, event_dim=2)
positive_definite = _Simple("PositiveDefinite", _is_positive_definite, event_dim=2)
lower_triangular = _Simple(
    "LowerTriangular", lambda value: _all(value.tril() == value, 2), event_dim=2
)
lower_cholesky = _Simple("LowerCholesky", _is_lower_cholesky, event_dim=2)
