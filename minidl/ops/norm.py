"""Normalisation: subtract a mean, divide by a deviation, over different groups of elements."""

from __future__ import annotations

from ..errors import ShapeError
from ..makers import definition
from ..promotion import need_tensors
from ..tape import Tensor, bump, grad_mode
from .elementwise import rsqrt
from .reduce import _mean, _need_float
from .shape import narrow, pad_pairs

__all__ = [
    "batch_norm",
    "layer_norm",
    "local_response_norm",
]


@definition(outputs=3)
def _batch_norm(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """y = (x - mean) / sqrt(var + eps) * weight + bias per channel; also mean and (biased) var.

    Mean and variance are over all dimensions but 1. The second and third output are statistics
    for the layer to keep; they carry no gradient.
    """
    axes = (0, *range(2, input._array.ndim))
    mean = _mean(input, axes, True)
    centred = input - mean
    var = _mean(centred * centred, axes, True)
    out = _affine(centred * rsqrt(var + eps), weight, bias)
    return out, mean.detach().flatten(), var.detach().flatten()


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    shape = (1, -1) + (1,) * (x._array.ndim - 2)
    if weight is not None:
        x = x * weight.reshape(shape)
    return x if bias is None else x + bias.reshape(shape)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """y = (x - mean) / sqrt(var + eps) * weight + bias, per channel (dimension 1).

    training: mean and variance of this batch, and the running ones move towards them in place:
    running = (1 - momentum) running + momentum batch, with the unbiased variance. Otherwise the
    running ones are used.
    Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.batch_norm.html
    """
    need_tensors("batch_norm", input=input)
    shape = input._array.shape
    if len(shape) < 2:
        raise ShapeError(f"batch_norm: expected (N, C, ...), got shape {shape}.")
    _need_float(input._array, "batch_norm")
    channels = {"weight": weight, "bias": bias}
    channels |= {"running_mean": running_mean, "running_var": running_var}
    for name, t in channels.items():
        if t is not None and t._array.shape != (shape[1],):
            raise ShapeError(
                f"batch_norm: {name} has shape {t._array.shape}, the input {shape} has "
                f"{shape[1]} channels."
            )
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: without training, running_mean and running_var are used.")
        column = (1, -1) + (1,) * (len(shape) - 2)
        scale = rsqrt(running_var.reshape(column) + eps)
        return _affine((input - running_mean.reshape(column)) * scale, weight, bias)
    n = input._array.size // shape[1] if shape[1] else 0
    if n < 2:
        raise ValueError(
            f"batch_norm: expected more than 1 value per channel when training, got shape {shape}."
        )
    out, mean, var = _batch_norm(input, weight, bias, eps)
    with grad_mode(False):
        for running, batch in ((running_mean, mean), (running_var, var * (n / (n - 1)))):
            if running is not None:
                array = running._array
                array += momentum * (batch._array - array)
                bump(running)
    return out


@definition
def _layer_norm(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, dims: int, eps: float
) -> Tensor:
    """y = (x - mean) / sqrt(var + eps) * weight + bias over the last `dims` dimensions"""
    axes = tuple(range(-dims, 0))
    centred = input - _mean(input, axes, True)
    out = centred * rsqrt(_mean(centred * centred, axes, True) + eps)
    if weight is not None:
        out = out * weight
    return out if bias is None else out + bias


def layer_norm(
    input: Tensor,
    normalized_shape: tuple[int, ...] | int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """y = (x - mean) / sqrt(var + eps) * weight + bias over the last dimensions.

    weight and bias have shape normalized_shape, which the input's shape must end with.
    Ba et al. 2016, https://arxiv.org/abs/1607.06450;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.layer_norm.html
    """
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    have = input._array.shape
    if not shape or have[len(have) - len(shape) :] != shape:
        raise ShapeError(f"layer_norm: an input of shape {have} does not end with {shape}.")
    for name, t in (("weight", weight), ("bias", bias)):
        if t is not None and t._array.shape != shape:
            raise ShapeError(f"layer_norm: {name} has shape {t._array.shape}, expected {shape}.")
    return _layer_norm(input, weight, bias, len(shape), eps)


@definition
def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """y_c = x_c / (k + alpha / size * sum of x_j^2 over the `size` channels j around c)^beta.

    (N, C, ...). Where x is infinite, the float32 kernel's gradient is finite, the definition's nan.
    Krizhevsky et al. 2012, section 3.3, where alpha is not divided by size.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.local_response_norm.html
    """
    shape = input._array.shape
    if len(shape) < 3:
        raise ShapeError(f"local_response_norm: expected (N, C, ...), got shape {shape}.")
    if size < 1:
        raise ValueError(f"local_response_norm: size must be at least 1, got {size}.")
    border = [(0, 0)] * len(shape)
    border[1] = (size // 2, (size - 1) // 2)
    squares = pad_pairs(input * input, tuple(border))
    total = narrow(squares, 1, 0, shape[1])
    for j in range(1, size):
        total = total + narrow(squares, 1, j, shape[1])
    return input / (k + (alpha / size) * total) ** beta
