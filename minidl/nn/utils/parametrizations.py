"""Weight and spectral normalisation as parametrizations."""

from __future__ import annotations

from typing import Any

from ...autograd import no_grad
from ...ops import dot, empty, mv
from ...tensor import Tensor
from ..module import Module
from .parametrize import register_parametrization

__all__ = ["spectral_norm", "weight_norm"]


# ------------------------------------------------------------------------------------ weight norm


def norm_except_dim(v: Tensor, dim: int) -> Tensor:
    """The 2-norm over all dimensions but `dim`, which are kept with size 1; -1: over all."""
    if dim == -1:
        return v.norm()
    return v.norm(2, [d for d in range(v.dim()) if d != dim % v.dim()], keepdim=True)


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weight_v * (weight_g / norm_except_dim(weight_v, self.dim))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except_dim(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int = 0) -> Module:
    """w = g v / ||v||, the norm over all dimensions but `dim` (None: over all).

    g is parametrizations.weight.original0, v is original1. State dicts of the older
    `nn.utils.weight_norm` load as well.
    Salimans and Kingma 2016, https://arxiv.org/abs/1602.07868;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.parametrizations.weight_norm.html
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def rename(state_dict: dict, prefix: str, *rest: Any) -> None:
        keys = [f"{prefix}{name}_g", f"{prefix}{name}_v"]
        if all(key in state_dict for key in keys):
            for i, key in enumerate(keys):
                new = f"{prefix}parametrizations.{name}.original{i}"
                state_dict[new] = state_dict.pop(key)

    module._register_load_state_dict_pre_hook(rename)
    return module


# ---------------------------------------------------------------------------------- spectral norm


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """`weight` with `dim` as rows and all else as columns."""
    return weight.movedim(dim, 0).flatten(1)


def unit(x: Tensor, eps: float) -> Tensor:
    """x / max(||x||, eps)"""
    return x / x.norm().clamp_min(eps)


def output_dim(module: Module) -> int:
    """The dimension of a weight that counts outputs: 0, in transposed convolutions 1."""
    return int(any(cls.__name__.startswith("ConvTranspose") for cls in type(module).__mro__))


class _SpectralNorm(Module):
    def __init__(
        self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        ndim = weight.dim()
        if not -ndim <= dim < ndim:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [{-ndim}, {ndim - 1}] but got "
                f"{dim})"
            )
        if n_power_iterations <= 0:
            raise ValueError(
                f"Expected n_power_iterations to be positive, but got "
                f"n_power_iterations={n_power_iterations}"
            )
        self.dim = dim % ndim
        self.eps = eps
        if ndim > 1:  # the norm of a vector needs no iteration
            self.n_power_iterations = n_power_iterations
            matrix = as_matrix(weight.detach(), self.dim)
            for name, size in (("_u", matrix.size(0)), ("_v", matrix.size(1))):
                start = empty(size, dtype=weight.dtype, device=weight.device).normal_(0, 1)
                self.register_buffer(name, unit(start, eps))
            self._power_method(matrix, 15)

    @no_grad()
    def _power_method(self, matrix: Tensor, n_power_iterations: int) -> None:
        """u and v approach the singular vectors of the largest singular value."""
        for _ in range(n_power_iterations):
            self._u = unit(mv(matrix, self._v), self.eps)
            self._v = unit(mv(matrix.t(), self._u), self.eps)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.dim() == 1:
            return unit(weight, self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            self._power_method(matrix, self.n_power_iterations)
        return weight / dot(self._u, mv(matrix, self._v))

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """W / sigma(W), sigma the largest singular value, of W as a matrix with `dim` as rows.

    sigma = u^T W v, where u and v make n_power_iterations steps of the power method whenever the
    weight is read in training.
    Miyato et al. 2018, https://arxiv.org/abs/1802.05957;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.parametrizations.spectral_norm.html
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    dim = output_dim(module) if dim is None else dim
    return register_parametrization(
        module, name, _SpectralNorm(weight, n_power_iterations, dim, eps)
    )
