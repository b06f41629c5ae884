"""More losses of numbers and distributions: huber, binary cross entropy, likelihoods, kl_div."""

from __future__ import annotations

import math

from ..device import Array, xp
from ..errors import ShapeError
from ..makers import op
from ..promotion import need_tensors, values_are_checked
from ..tape import Tensor
from .compare import where
from .elementwise import abs, clamp, exp, log
from .linalg import linear
from .loss import _warn_of_broadcast, chosen, cross_entropy, reduced
from .reduce import sum

__all__ = """
    binary_cross_entropy kl_div huber_loss smooth_l1_loss gaussian_nll_loss poisson_nll_loss
    linear_cross_entropy
""".split()


# ---------------------------------------------------------------------------------------- numbers


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """loss = d^2 / 2 where |d| < delta, else delta (|d| - delta / 2); d = input - target.

    weight: of the input's shape; "mean" still divides by the number of elements.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.huber_loss.html
    """
    need_tensors("huber_loss", input=input, target=target)
    if delta <= 0:
        raise RuntimeError(f"huber_loss: delta must be positive, got {delta}.")
    loss = _huber("huber_loss", input, target, delta)
    if weight is not None:
        if weight._array.shape != input._array.shape:
            raise ShapeError(
                f"huber_loss: weight must have the input's shape {input._array.shape}, got "
                f"{weight._array.shape}."
            )
        loss = loss * weight
    return reduced(loss, reduction)


def _huber(name: str, input: Tensor, target: Tensor, delta: float) -> Tensor:
    d = input - target
    _warn_of_broadcast(name, input, target)
    cut = clamp(d, -delta, delta)
    return cut * (d - 0.5 * cut)  # d^2 / 2 inside, where cut = d; a straight line outside


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """loss = d^2 / (2 beta) where |d| < beta, else |d| - beta / 2; d = input - target.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.smooth_l1_loss.html
    """
    need_tensors("smooth_l1_loss", input=input, target=target)
    reduction = chosen(size_average, reduce, reduction)
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss: beta must not be negative, got {beta}.")
    if beta == 0:
        _warn_of_broadcast("smooth_l1_loss", input, target)
        return reduced(abs(input - target), reduction)
    return reduced(_huber("smooth_l1_loss", input, target, beta) / float(beta), reduction)


# ---------------------------------------------------------------------------------- probabilities


@op
def _binary_cross_entropy(input: Array, target: Array) -> Array:
    """y = -(target ln input + (1 - target) ln(1 - input)), no logarithm below -100"""
    m = xp(input)
    yes, no = m.maximum(m.log(input), -100), m.maximum(m.log1p(-input), -100)
    return (target - 1) * no - target * yes


_binary_cross_entropy.vjp(
    input=lambda g, input, target: g * (input - target) / clamp((1 - input) * input, min=1e-12),
    target=lambda g, input: g * (clamp(log(1 - input), min=-100) - clamp(log(input), min=-100)),
)


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """loss = -weight (target ln input + (1 - target) ln(1 - input)); no logarithm below -100.

    input: probabilities; target: of its shape, 0 to 1. Where there is a choice, take
    binary_cross_entropy_with_logits: it is exact where a probability rounds to 0 or 1.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.binary_cross_entropy.html
    """
    need_tensors("binary_cross_entropy", input=input, target=target)
    reduction = chosen(size_average, reduce, reduction)
    p = input._array
    if p.shape != target._array.shape:
        raise ShapeError(
            f"binary_cross_entropy: target has shape {target._array.shape}, input {p.shape}."
        )
    if values_are_checked(p) and ((p < 0) | (p > 1)).any():
        raise RuntimeError(
            "binary_cross_entropy: input holds probabilities, all between 0 and 1; for raw scores "
            "use binary_cross_entropy_with_logits."
        )
    loss = _binary_cross_entropy(input, target)
    return reduced(loss if weight is None else loss * weight, reduction)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """loss = target (ln target - input), the terms of KL(target || e^input).

    input: log probabilities; target: probabilities, or their logarithms with log_target.
    reduction: "batchmean", the sum divided by the first dimension, is the divergence itself.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.kl_div.html
    """
    need_tensors("kl_div", input=input, target=target)
    reduction = chosen(size_average, reduce, reduction)
    if log_target:
        loss = exp(target) * (target - input)
    else:
        loss = target * (log(where(target == 0, 1.0, target)) - input)
    if reduction == "batchmean":
        return sum(loss) / float(input._array.shape[0] if input._array.ndim else 1)
    return reduced(loss, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """loss = (ln v + (input - target)^2 / v) / 2, v = max(var, eps); full: + ln(2 pi) / 2.

    var: of the input's shape, or without its last dimension, or with size 1 in one dimension, or
    a number. Its gradient is that of v.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.gaussian_nll_loss.html
    """
    need_tensors("gaussian_nll_loss", input=input, target=target)
    if not isinstance(var, Tensor):
        var = input.detach() * 0.0 + var
    if values_are_checked(var._array) and (var._array < 0).any():
        raise ValueError("gaussian_nll_loss: var has negative entries.")
    var = _fitted(var, input._array.shape)
    var = var + (clamp(var, min=eps) - var).detach()
    d = input - target
    loss = 0.5 * (log(var) + d * d / var)
    return reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


def _fitted(var: Tensor, shape: tuple[int, ...]) -> Tensor:
    own = var._array.shape
    if own == shape:
        return var
    if own == shape[:-1]:
        return var.unsqueeze(-1)
    different = [i for i, (a, b) in enumerate(zip(own, shape, strict=False)) if a != b]
    if len(own) != len(shape) or len(different) > 1 or own[different[0]] != 1:
        raise ShapeError(
            f"gaussian_nll_loss: var must have the input's shape {shape}, or one number in place "
            f"of one of its dimensions; got {own}."
        )
    return var


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """loss = e^input - target input; without log_input: input - target ln(input + eps).

    full: + target ln target - target + ln(2 pi target) / 2 (Stirling's ln target!) where target > 1

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.poisson_nll_loss.html
    """
    need_tensors("poisson_nll_loss", input=input, target=target)
    reduction = chosen(size_average, reduce, reduction)
    loss = exp(input) - target * input if log_input else input - target * log(input + eps)
    if full:
        n = where(target > 1, target, 1.0)
        stirling = n * log(n) - n + 0.5 * log(n * (2 * math.pi))
        loss = loss + where(target > 1, stirling, 0.0)
    return reduced(loss, reduction)


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: object = None,
) -> Tensor:
    """loss = cross_entropy(linear(input, linear_weight, linear_bias), target).

    input: (N, features) or (features); linear_weight: (C, ..., features); linear_bias: (C, ...);
    target: as cross_entropy's for logits (N, C, ...). options are about memory; they do nothing.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.linear_cross_entropy.html
    """
    need_tensors("linear_cross_entropy", input=input, linear_weight=linear_weight, target=target)
    *out, features = linear_weight._array.shape
    if input._array.ndim not in (1, 2) or not out or input._array.shape[-1] != features:
        raise ShapeError(
            "linear_cross_entropy: expected input (N, features) and linear_weight (C, ..., "
            f"features), got {input._array.shape} and {linear_weight._array.shape}."
        )
    bias = None if linear_bias is None else linear_bias.reshape(-1)
    logits = linear(input, linear_weight.reshape(-1, features), bias)
    return cross_entropy(
        logits.reshape(*input._array.shape[:-1], *out),
        target,
        weight,
        ignore_index=-100 if ignore_index is None else ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )
