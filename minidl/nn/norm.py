"""Normalisation: batch, instance, group, layer, RMS and local response norm."""

from __future__ import annotations

from typing import Any

from .. import dtypes
from ..errors import ShapeError
from ..ops import empty, ones, tensor, zeros
from ..tensor import Tensor
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter


class _BatchNorm(Module):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, for each channel (dimension 1).

    In training, mean and (biased) variance are the batch's, and the running statistics move by
    running = (1 - momentum) * running + momentum * batch, with the unbiased variance;
    momentum=None gives the plain average of all batches. In evaluation the running statistics are
    used; with track_running_stats=False there are none, and the batch's are used there too.

    Source: Ioffe and Szegedy, "Batch Normalization", 2015;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html
    """

    _version = 2  # since it has num_batches_tracked
    _dims: tuple[int, ...]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        like = {"device": device, "dtype": dtype}
        self.register_parameter(
            "weight", Parameter(empty(num_features, **like)) if affine else None
        )
        self.register_parameter(
            "bias", Parameter(empty(num_features, **like)) if affine and bias else None
        )
        mean = var = count = None
        if track_running_stats:
            mean, var = zeros(num_features, **like), ones(num_features, **like)
            count = tensor(0, dtype=dtypes.int64, device=device)
        self.register_buffer("running_mean", mean)
        self.register_buffer("running_var", var)
        self.register_buffer("num_batches_tracked", count)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget the batches seen: mean 0, variance 1, count 0."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Set weight to 1, bias to 0, and forget the running statistics."""
        self.reset_running_stats()
        if self.affine:
            init.ones_(self.weight)
            if self.bias is not None:
                init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        self._check_input(input)
        factor: Any = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                count = self.num_batches_tracked.double()  # to read it would wait for a GPU
                factor = (1.0 / count)._array
        moves_statistics = not self.training or self.track_running_stats
        return F.batch_norm(
            input,
            self.running_mean if moves_statistics else None,
            self.running_var if moves_statistics else None,
            self.weight,
            self.bias,
            self.training or self.running_mean is None,
            factor,
            self.eps,
        )

    def _check_input(self, input: Tensor) -> None:
        dims, shape = self._dims, tuple(input.shape)
        if len(shape) not in dims:
            expected = " or ".join(f"{d}D" for d in dims)
            raise ShapeError(
                f"{type(self).__name__}: expected {expected} input (got {len(shape)}D input "
                f"of shape {shape})"
            )
        if shape[1] != self.num_features:
            raise ShapeError(
                f"{self}: expected {self.num_features} channels in dimension 1, got {shape[1]} "
                f"(input {shape})"
            )

    def _upgrade_state(self, state_dict: dict, prefix: str, version: int | None) -> None:
        if self.track_running_stats and (version is None or version < 2):
            state_dict.setdefault(prefix + "num_batches_tracked", self.num_batches_tracked)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    __doc__ = "Batch norm of (N, C) or (N, C, L).\n\n    " + (_BatchNorm.__doc__ or "")
    _dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    __doc__ = "Batch norm of (N, C, H, W).\n\n    " + (_BatchNorm.__doc__ or "")
    _dims = (4,)


class BatchNorm3d(_BatchNorm):
    __doc__ = "Batch norm of (N, C, D, H, W).\n\n    " + (_BatchNorm.__doc__ or "")
    _dims = (5,)


class _InstanceNorm(_BatchNorm):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, for each channel of each example.

    The statistics are the example's own; with track_running_stats, in evaluation, the running ones.

    Source: Ulyanov et al., "Instance Normalization", 2016;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.InstanceNorm2d.html
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        sizes = (num_features, eps, momentum, affine, track_running_stats)
        super().__init__(*sizes, device, dtype, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        ndim, batched = len(input.shape), self._dims[1]
        if ndim not in self._dims:
            raise ShapeError(
                f"{type(self).__name__}: expected {self._dims[0]}D or {batched}D input (got "
                f"{ndim}D input of shape {tuple(input.shape)})"
            )
        if ndim < batched:
            return self.forward(input.unsqueeze(0)).squeeze(0)
        if self.affine and input.shape[1] != self.num_features:
            raise ShapeError(
                f"{self}: expected {self.num_features} channels, got {input.shape[1]} (input "
                f"{tuple(input.shape)})"
            )
        return F.instance_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )


class InstanceNorm1d(_InstanceNorm):
    __doc__ = "Instance norm of (N, C, L) or (C, L).\n\n    " + (_InstanceNorm.__doc__ or "")
    _dims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    __doc__ = "Instance norm of (N, C, H, W) or (C, H, W).\n\n    " + (_InstanceNorm.__doc__ or "")
    _dims = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    __doc__ = "Instance norm of (N, C, D, H, W).\n\n    " + (_InstanceNorm.__doc__ or "")
    _dims = (4, 5)


class GroupNorm(Module):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, over each group of channels of an example.

    x, y: (N, num_channels, ...), weight, bias: (num_channels,).

    Source: Wu and He, "Group Normalization", 2018;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.GroupNorm.html
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_channels % num_groups != 0:
            raise ValueError("num_channels must be divisible by num_groups")
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            data = empty(num_channels, device=device, dtype=dtype)
            self.register_parameter(name, Parameter(data) if wanted else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set weight to 1 and bias to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """y = x / sqrt(mean(x^2) + eps) * weight over the last dimensions.

    x, y: (..., *normalized_shape). eps: unless given, that of the input's type.

    Source: Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.RMSNorm.html
    """

    def __init__(
        self,
        normalized_shape: int | list[int] | tuple[int, ...],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if isinstance(normalized_shape, int):
            normalized_shape = (normalized_shape,)
        self.normalized_shape = tuple(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        data = empty(self.normalized_shape, device=device, dtype=dtype)
        self.register_parameter("weight", Parameter(data) if elementwise_affine else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set weight to 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class LayerNorm(Module):
    """y = (x - mean) / sqrt(var + eps) * weight + bias over the last dimensions.

    x, y: (..., *normalized_shape); mean and biased variance over those dimensions, per example.

    Source: Ba, Kiros and Hinton, "Layer Normalization", 2016;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.LayerNorm.html
    """

    def __init__(
        self,
        normalized_shape: int | list[int] | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if isinstance(normalized_shape, int):
            normalized_shape = (normalized_shape,)
        self.normalized_shape = tuple(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        for name, wanted in (("weight", elementwise_affine), ("bias", elementwise_affine and bias)):
            data = empty(self.normalized_shape, device=device, dtype=dtype)
            self.register_parameter(name, Parameter(data) if wanted else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set weight to 1 and bias to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class LocalResponseNorm(Module):
    """y[c] = x[c] / (k + alpha / size * sum of x[c']^2 over the `size` channels c' around c)^beta.

    x, y: (N, C, ...). As in PyTorch alpha is divided by `size`; AlexNet's paper does not divide.

    Source: Krizhevsky et al., "ImageNet Classification with Deep CNNs", 2012, section 3.3;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.LocalResponseNorm.html
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
