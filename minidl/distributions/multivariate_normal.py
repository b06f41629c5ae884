"""The normal distribution of vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import minidl
from minidl import Tensor
from minidl.distributions import constraints
from minidl.distributions.distribution import Distribution
from minidl.distributions.utils import lazy_property, normal_like, only_one

__all__ = ["MultivariateNormal"]


class MultivariateNormal(Distribution):
    """Density exp(-(x - loc)' C^-1 (x - loc) / 2) / sqrt((2 pi)^n det C), C the covariance matrix.

    One of: covariance_matrix (..., n, n), its inverse precision_matrix, or scale_tril, the lower
    triangular L with L L' = C, from which everything is computed.
    https://docs.pytorch.org/docs/stable/distributions.html#multivariatenormal
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ):
        matrices = {
            "covariance_matrix": covariance_matrix,
            "precision_matrix": precision_matrix,
            "scale_tril": scale_tril,
        }
        given = only_one(**matrices)
        matrix = matrices[given]
        if loc.ndim < 1 or matrix.ndim < 2:
            raise ValueError(
                f"MultivariateNormal: loc must have at least one dimension and {given} two, got "
                f"shapes {tuple(loc.shape)} and {tuple(matrix.shape)}"
            )
        batch_shape = minidl.broadcast_shapes(loc.shape[:-1], matrix.shape[:-2])
        self.loc = loc.expand((*batch_shape, -1))
        setattr(self, given, matrix.expand((*batch_shape, -1, -1)))
        self._parameter = given
        super().__init__(batch_shape, self.loc.shape[-1:], validate_args=validate_args)
        if given == "covariance_matrix":
            factor = minidl.linalg.cholesky(matrix)
        else:
            factor = matrix if given == "scale_tril" else _factor_of_inverse(matrix)
        self.scale_tril = factor.expand((*batch_shape, -1, -1))

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        return self.scale_tril @ self.scale_tril.mT

    @lazy_property
    def precision_matrix(self) -> Tensor:
        return minidl.cholesky_inverse(self.scale_tril)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return (self.scale_tril**2).sum(-1)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        noise = normal_like(self.loc, self._extended_shape(sample_shape))
        return self.loc + (self.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        difference = (value - self.loc).unsqueeze(-1)
        z = minidl.linalg.solve_triangular(self.scale_tril, difference, upper=False)
        square = (z.squeeze(-1) ** 2).sum(-1)
        n = self._event_shape[0]
        return -0.5 * (n * math.log(2 * math.pi) + square) - self._half_log_det()

    def entropy(self) -> Tensor:
        n = self._event_shape[0]
        return 0.5 * n * (1 + math.log(2 * math.pi)) + self._half_log_det()

    def _half_log_det(self) -> Tensor:
        return self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def __repr__(self) -> str:
        matrix = getattr(self, self._parameter)
        return f"MultivariateNormal(loc: {self.loc.shape}, {self._parameter}: {matrix.shape})"


def _factor_of_inverse(matrix: Tensor) -> Tensor:
    """The lower triangular L with L L' = matrix^-1.

    The Cholesky factor of the matrix with both its orders reversed, reversed back, is an upper
    triangular U with U U' = matrix; so U'^-1 is lower triangular, and it is L.
    """
    upper = minidl.linalg.cholesky(matrix.flip((-2, -1))).flip((-2, -1))
    eye = minidl.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    return minidl.linalg.solve_triangular(upper.mT, eye.expand(matrix.shape), upper=False)
