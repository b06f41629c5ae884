"""Spectral normalisation by a hook that computes the weight before every forward.

The newer way is `nn.utils.parametrizations.spectral_norm`.
"""

from __future__ import annotations

from typing import Any

from ...autograd import no_grad
from ...ops import dot, empty, mv
from ...tensor import Tensor
from ..module import Module
from ..parameter import Parameter
from .parametrizations import as_matrix, output_dim, unit

__all__ = ["SpectralNorm", "remove_spectral_norm", "spectral_norm"]


class SpectralNorm:
    """The hook: weight = weight_orig / (u^T weight_orig v)."""

    _version = 1

    def __init__(
        self, name: str = "weight", n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        if n_power_iterations <= 0:
            raise ValueError(
                f"Expected n_power_iterations to be positive, but got "
                f"n_power_iterations={n_power_iterations}"
            )
        self.name = name
        self.dim = dim
        self.n_power_iterations = n_power_iterations
        self.eps = eps

    def compute_weight(self, module: Module, do_power_iteration: bool) -> Tensor:
        weight = getattr(module, self.name + "_orig")
        u, v = getattr(module, self.name + "_u"), getattr(module, self.name + "_v")
        matrix = as_matrix(weight, self.dim)
        if do_power_iteration:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    v = unit(mv(matrix.t(), u), self.eps)
                    u = unit(mv(matrix, v), self.eps)
            setattr(module, self.name + "_u", u)
            setattr(module, self.name + "_v", v)
        return weight / dot(u, mv(matrix, v))

    def remove(self, module: Module) -> None:
        with no_grad():
            weight = self.compute_weight(module, do_power_iteration=False)
        for suffix in ("", "_u", "_v", "_orig"):
            delattr(module, self.name + suffix)
        module.register_parameter(self.name, Parameter(weight))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module, module.training))

    def _note_version(self, module: Module, state_dict: dict, prefix: str, metadata: dict) -> None:
        versions = metadata.setdefault("spectral_norm", {})
        versions[self.name + ".version"] = self._version


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """W / sigma(W), sigma the largest singular value, of W as a matrix with `dim` as rows.

    Miyato et al. 2018, https://arxiv.org/abs/1802.05957;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.spectral_norm.html
    """
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, SpectralNorm) and hook.name == name:
            raise RuntimeError(
                f"Cannot register two spectral_norm hooks on the same parameter {name}"
            )
    weight = module._parameters[name]
    if weight is None:
        raise ValueError(f"`SpectralNorm` cannot be applied as parameter `{name}` is None")
    dim = output_dim(module) if dim is None else dim
    hook = SpectralNorm(name, n_power_iterations, dim, eps)
    sizes = as_matrix(weight.detach(), dim).shape
    delattr(module, name)
    module.register_parameter(name + "_orig", weight)
    setattr(module, name, weight.detach())
    for suffix, size in zip(("_u", "_v"), sizes, strict=True):
        start = empty(size, dtype=weight.dtype, device=weight.device).normal_(0, 1)
        module.register_buffer(name + suffix, unit(start, eps))
    module.register_forward_pre_hook(hook)
    module._register_state_dict_hook(hook._note_version)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Makes the weight a plain parameter again, with the value it has.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.remove_spectral_norm.html
    """
    for number, hook in module._forward_pre_hooks.items():
        if isinstance(hook, SpectralNorm) and hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[number]
            break
    else:
        raise ValueError(f"spectral_norm of '{name}' not found in {module}")
    for number, saved in list(module._state_dict_hooks.items()):
        if getattr(saved, "__self__", None) is hook:
            del module._state_dict_hooks[number]
    return module
