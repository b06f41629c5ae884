"""Losses: how wrong a prediction is, as one number (reduction "mean" or "sum") or one each."""

from __future__ import annotations

import warnings

from ..device import xp
from ..errors import DTypeError, ShapeError
from ..makers import definition
from ..promotion import cast, need_tensors, values_are_checked
from ..tape import Tensor, wrap
from .compare import where
from .elementwise import abs, logsigmoid
from .index import check_range, gather
from .linalg import check_same_type
from .reduce import mean, sum
from .softmax import _log_softmax

__all__ = [
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "l1_loss",
    "mse_loss",
    "nll_loss",
]


def chosen(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction, which PyTorch's old arguments size_average and reduce overrule."""
    if size_average is None and reduce is None:
        return reduction
    meant = "none" if reduce is False else "sum" if size_average is False else "mean"
    warnings.warn(
        f"size_average and reduce are PyTorch's old arguments; write reduction={meant!r}.",
        stacklevel=3,
    )
    return meant


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """The mean, the sum, or all of the elements."""
    if reduction == "mean":
        _check_not_empty(loss, "loss")
        return mean(loss)
    if reduction == "sum":
        return sum(loss)
    if reduction == "none":
        return loss
    raise ValueError(f"reduction is 'mean', 'sum' or 'none', not {reduction!r}.")


def _check_not_empty(loss: Tensor, name: str) -> None:
    """Raises ValueError for a mean over nothing, which would be nan."""
    if loss._array.size == 0:
        raise ValueError(
            f"{name}: the batch is empty (shape {loss._array.shape}), so the mean is undefined; "
            "skip empty batches, or use reduction='sum'."
        )


def _check_labels(name: str, input: Tensor, target: Tensor, ignore_index: int) -> int:
    """Where the class dimension is; raises for labels of wrong type, shape or range."""
    shape, labels = input._array.shape, target._array
    axis = 1 if len(shape) > 1 else 0
    expected = shape[:axis] + shape[axis + 1 :]
    if labels.dtype.kind not in "iu":
        raise DTypeError(
            f"{name}: labels must be integers (class numbers), got {labels.dtype} of shape "
            f"{labels.shape}; convert with .long()."
        )
    if labels.shape != expected:
        raise ShapeError(
            f"{name}: input {shape} has its classes in dimension {axis}, so the labels must have "
            f"shape {expected}, got {labels.shape}."
        )
    checked = labels.size and values_are_checked(labels)
    if checked and not (labels.min() >= 0 and labels.max() < shape[axis]):
        check_range(labels[labels != ignore_index], 0, shape[axis], f"{name}: label")
    return axis


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """loss = -weight[target] * input[target], input being log probabilities (N, C, ...).

    "mean" divides by the sum of the weights used. Labels equal to ignore_index count 0.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.nll_loss.html
    """
    need_tensors("nll_loss", input=input, target=target)
    reduction = chosen(size_average, reduce, reduction)
    axis = _check_labels("nll_loss", input, target, ignore_index)
    _check_weight("nll_loss", weight, input, input._array.shape[axis])
    return _picked_loss(input, target, axis, weight, ignore_index, reduction)


def _check_weight(name: str, weight: Tensor | None, input: Tensor, classes: int) -> None:
    if weight is None:
        return
    if weight._array.shape != (classes,):
        raise ShapeError(
            f"{name}: weight must have one number for each of {classes} classes, got shape "
            f"{weight._array.shape}."
        )
    check_same_type(name, input=input._array, weight=weight._array)


def _picked_loss(
    log_probs: Tensor,
    target: Tensor,
    axis: int,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
) -> Tensor:
    labels = target._array
    used = labels != ignore_index
    index = wrap(xp(labels).where(used, labels, 0).astype("int64"))
    kind = log_probs._array.dtype
    counts = wrap(used.astype(kind)) if weight is None else weight[index] * cast(wrap(used), kind)
    loss = -gather(log_probs, axis, index.unsqueeze(axis)).squeeze(axis) * counts
    if reduction == "mean":
        _check_not_empty(loss, "cross_entropy")
    loss = where(wrap(used), loss, 0.0)  # -inf log probabilities of ignored labels must not show
    return sum(loss) / sum(counts) if reduction == "mean" else reduced(loss, reduction)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """loss = -ln softmax(input)[target]; input is logits (N, C, ...), target labels (N, ...).

    target may instead be probabilities (N, C, ...). label_smoothing mixes in the uniform
    distribution with that weight. "mean" divides by the sum of the class weights used.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.cross_entropy.html
    """
    need_tensors("cross_entropy", input=input, target=target)
    reduction = chosen(size_average, reduce, reduction)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing is 0 to 1, got {label_smoothing}.")
    if input._array.ndim == 0:
        raise ShapeError("cross_entropy: expected logits (N, C, ...) or (C,), got a 0-d tensor.")
    axis = 1 if input._array.ndim > 1 else 0
    _check_weight("cross_entropy", weight, input, input._array.shape[axis])
    if target._array.dtype.kind == "f":
        if ignore_index >= 0:
            raise ValueError("cross_entropy: ignore_index goes with labels, not probabilities.")
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    _check_labels("cross_entropy", input, target, ignore_index)
    # The kernel gives class weights no gradient; in the rare case that they need one, the
    # definition itself runs.
    constant = weight is None or not weight.requires_grad
    run = _cross_entropy if constant else _cross_entropy.op.forward
    return run(input, target, weight, ignore_index, reduction, label_smoothing)


@definition
def _cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> Tensor:
    """y = -weight[target] * ln softmax(input)[target], reduced; labels within the range"""
    axis = 1 if input._array.ndim > 1 else 0
    log_probs = _log_softmax(input, axis)
    loss = _picked_loss(log_probs, target, axis, weight, ignore_index, reduction)
    if not label_smoothing:
        return loss
    smooth = _uniform_part(log_probs, target, axis, weight, ignore_index, reduction)
    return (1 - label_smoothing) * loss + label_smoothing * smooth


def _uniform_part(
    log_probs: Tensor,
    target: Tensor,
    axis: int,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
) -> Tensor:
    """The loss against the uniform distribution over the classes."""
    labels = target._array
    used = wrap(labels != ignore_index)
    classes = log_probs._array.shape[axis]
    weighted = log_probs
    if weight is not None:
        weighted = log_probs * weight.reshape((1,) * axis + (-1,) + (1,) * (labels.ndim - axis))
    loss = where(used, -sum(weighted, axis) / float(classes), 0.0)
    if reduction != "mean":
        return reduced(loss, reduction)
    counts = cast(used, log_probs._array.dtype)
    if weight is not None:
        index = wrap(xp(labels).where(used._array, labels, 0).astype("int64"))
        counts = counts * weight[index]
    return sum(loss) / sum(counts)


def _soft_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, label_smoothing: float
) -> Tensor:
    if target._array.shape != input._array.shape:
        raise ShapeError(
            f"cross_entropy: probabilities must have the input's shape {input._array.shape}, got "
            f"{target._array.shape}; class numbers must be integers."
        )
    axis = 1 if input._array.ndim > 1 else 0
    classes = input._array.shape[axis]
    target = target * (1 - label_smoothing) + label_smoothing / classes
    terms = target * _log_softmax(input, axis)
    if weight is not None:
        terms = terms * weight.reshape((1,) * axis + (-1,) + (1,) * (terms._array.ndim - axis - 1))
    loss = -sum(terms, axis)
    if reduction == "mean":
        _check_not_empty(loss, "cross_entropy")
        return sum(loss) / float(loss._array.size)
    return reduced(loss, reduction)


def _warn_of_broadcast(name: str, input: Tensor, target: Tensor) -> None:
    if input._array.shape != target._array.shape:
        warnings.warn(
            f"{name}: input {input._array.shape} and target {target._array.shape} differ in shape "
            "and will broadcast, which is rarely meant; reshape one of them.",
            stacklevel=3,
        )


def _weighted(
    name: str, loss: Tensor, weight: Tensor | None, input: Tensor, reduction: str
) -> Tensor:
    if weight is None:
        return reduced(loss, reduction)
    if weight._array.shape != input._array.shape:
        raise ShapeError(
            f"{name}: weight must have the input's shape {input._array.shape}, got "
            f"{weight._array.shape}."
        )
    loss = loss * weight
    return sum(loss) / sum(weight) if reduction == "mean" else reduced(loss, reduction)


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """loss = weight (input - target)^2; "mean" divides by the sum of the weights, each 1 if None.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.mse_loss.html
    """
    need_tensors("mse_loss", input=input, target=target)
    reduction = chosen(size_average, reduce, reduction)
    loss = _mse_loss(input, target, weight, reduction)
    _warn_of_broadcast("mse_loss", input, target)
    return loss


@definition
def _mse_loss(input: Tensor, target: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    """y = weight (input - target)^2, reduced"""
    difference = input - target
    return _weighted("mse_loss", difference * difference, weight, input, reduction)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """loss = weight |input - target|; "mean" divides by the sum of the weights, each 1 if None.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.l1_loss.html
    """
    need_tensors("l1_loss", input=input, target=target)
    reduction = chosen(size_average, reduce, reduction)
    difference = abs(input - target)
    _warn_of_broadcast("l1_loss", input, target)
    return _weighted("l1_loss", difference, weight, input, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """loss = -(target ln s(x) + (1 - target) ln(1 - s(x))), s the sigmoid; finite for any x.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.binary_cross_entropy_with_logits.html
    """
    need_tensors("binary_cross_entropy_with_logits", input=input, target=target)
    reduction = chosen(size_average, reduce, reduction)
    if input._array.shape != target._array.shape:
        raise ShapeError(
            f"binary_cross_entropy_with_logits: target has shape {target._array.shape}, input "
            f"{input._array.shape}."
        )
    return _binary_cross_entropy_with_logits(input, target, weight, pos_weight, reduction)


@definition
def _binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    pos_weight: Tensor | None,
    reduction: str,
) -> Tensor:
    """y = weight ((1 - target) x - factor ln s(x)), reduced; factor 1 + (pos_weight - 1) target"""
    factor = 1.0 if pos_weight is None else 1 + (pos_weight - 1) * target
    loss = (1 - target) * input - factor * logsigmoid(input)
    return reduced(loss if weight is None else loss * weight, reduction)
