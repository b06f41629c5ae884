"""Normalisation: subtract a mean, divide by a deviation, over different groups of elements."""

from __future__ import annotations

import math

from ..device import Array, xp
from ..errors import ShapeError
from ..makers import definition
from ..promotion import need_tensors
from ..tape import Tensor, bump
from .elementwise import rsqrt
from .reduce import _mean, _need_float
from .shape import narrow, pad_pairs

__all__ = [
    "batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "local_response_norm",
    "rms_norm",
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


@definition
def _fixed_norm(
    input: Tensor, mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """y = (x - mean) / sqrt(var + eps) * weight + bias per channel, with given mean, var (C,)"""
    column = (1, -1) + (1,) * (input._array.ndim - 2)
    scale = rsqrt(var.reshape(column) + eps)
    return _affine((input - mean.reshape(column)) * scale, weight, bias)


@definition(outputs=3)
def _group_norm(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, groups: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """y = (x - mean) / sqrt(var + eps) * weight + bias; mean and (biased) var (N, groups).

    As in _batch_norm, the statistics carry no gradient.
    """
    shape = input._array.shape
    rows = input.reshape((shape[0], groups, math.prod(shape[1:]) // groups))
    mean = _mean(rows, 2, True)
    centred = rows - mean
    var = _mean(centred * centred, 2, True)
    out = (centred * rsqrt(var + eps)).reshape(shape)
    return _affine(out, weight, bias), mean.detach().squeeze(2), var.detach().squeeze(2)


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
    if 0 in shape:
        return input.clone()
    if len(shape) < 2:
        raise ShapeError(f"batch_norm: expected (N, C, ...), got shape {shape}.")
    _need_float(input._array, "batch_norm")
    _check_channels(
        "batch_norm",
        shape,
        weight=weight,
        bias=bias,
        running_mean=running_mean,
        running_var=running_var,
    )
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: without training, running_mean and running_var are used.")
        return _fixed_norm(input, running_mean, running_var, weight, bias, eps)
    n = input._array.size // shape[1]
    if n < 2:
        raise ValueError(
            f"batch_norm: expected more than 1 value per channel when training, got shape {shape}."
        )
    out, mean, var = _batch_norm(input, weight, bias, eps)
    _move(running_mean, mean._array, momentum)
    _move(running_var, var._array * (n / (n - 1)), momentum)
    return out


def _check_channels(name: str, shape: tuple[int, ...], **channels: Tensor | None) -> None:
    for key, t in channels.items():
        if t is not None and t._array.shape != (shape[1],):
            raise ShapeError(
                f"{name}: {key} has shape {t._array.shape}, the input {shape} has "
                f"{shape[1]} channels."
            )


def _move(running: Tensor | None, batch: Array, momentum: float) -> None:
    """running = (1 - momentum) running + momentum batch, in place."""
    if running is not None:
        array = running._array
        array += momentum * (batch - array)
        bump(running)


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
    shape = _own_shape("layer_norm", input, normalized_shape, weight=weight, bias=bias)
    return _layer_norm(input, weight, bias, len(shape), eps)


def _own_shape(
    name: str, input: Tensor, normalized_shape: tuple[int, ...] | int, **affine: Tensor | None
) -> tuple[int, ...]:
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    have = input._array.shape
    if not shape or have[len(have) - len(shape) :] != shape:
        raise ShapeError(f"{name}: an input of shape {have} does not end with {shape}.")
    for key, t in affine.items():
        if t is not None and t._array.shape != shape:
            raise ShapeError(f"{name}: {key} has shape {t._array.shape}, expected {shape}.")
    return shape


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """y = (x - mean) / sqrt(var + eps) * weight + bias, over each group of channels of an example.

    (N, C, ...), C divisible by num_groups; weight and bias (C,).
    Wu and He 2018, https://arxiv.org/abs/1803.08494;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.group_norm.html
    """
    need_tensors("group_norm", input=input)
    shape = input._array.shape
    if len(shape) < 2:
        raise ShapeError(f"group_norm: expected (N, C, ...), got shape {shape}.")
    if num_groups < 1 or shape[1] % num_groups:
        raise ShapeError(
            f"group_norm: {shape[1]} channels (input {shape}) do not form {num_groups} groups."
        )
    _check_channels("group_norm", shape, weight=weight, bias=bias)
    return _group_norm(input, weight, bias, num_groups, eps)[0]


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """y = (x - mean) / sqrt(var + eps) * weight + bias, per channel of each example. (N, C, ...)

    use_input_stats: the input's own mean and variance; running ones, if given, move towards their
    averages over the examples. Otherwise the running ones are used.
    Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.instance_norm.html
    """
    need_tensors("instance_norm", input=input)
    shape = input._array.shape
    if len(shape) < 2:
        raise ShapeError(f"instance_norm: expected (N, C, ...), got shape {shape}.")
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if math.prod(shape[2:]) == 1:
        raise ValueError(
            f"instance_norm: expected more than 1 value per channel when training, got {shape}."
        )
    _check_channels(
        "instance_norm",
        shape,
        weight=weight,
        bias=bias,
        running_mean=running_mean,
        running_var=running_var,
    )
    out, mean, var = _group_norm(input, weight, bias, shape[1], eps)
    n = math.prod(shape[2:])
    _move(running_mean, mean._array.mean(0), momentum)
    _move(running_var, var._array.mean(0) * (n / max(n - 1, 1)), momentum)
    return out


@definition
def _rms_norm(input: Tensor, weight: Tensor | None, dims: int, eps: float) -> Tensor:
    """y = x / sqrt(mean(x^2) + eps) * weight over the last `dims` dimensions"""
    axes = tuple(range(-dims, 0))
    out = input * rsqrt(_mean(input * input, axes, True) + eps)
    return out if weight is None else out * weight


def rms_norm(
    input: Tensor,
    normalized_shape: tuple[int, ...] | int,
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """y = x / sqrt(mean(x^2) + eps) * weight over the last dimensions.

    weight has shape normalized_shape, which the input's shape must end with. eps: unless given,
    the distance from 1 to the next number of the input's type.
    Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.rms_norm.html
    """
    need_tensors("rms_norm", input=input)
    shape = _own_shape("rms_norm", input, normalized_shape, weight=weight)
    _need_float(input._array, "rms_norm")
    if eps is None:
        eps = float(xp(input._array).finfo(input._array.dtype).eps)
    return _rms_norm(input, weight, len(shape), eps)


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
