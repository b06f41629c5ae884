"""Losses: value in one pass over the predictions, gradient in another.

Cross-entropy of a row of logits x with the label t is ln(sum_c e^(x_c)) - x_t. Its gradient is
softmax(x) - onehot(t), which needs two numbers of each row and nothing else: the largest logit and
1 / sum_c e^(x_c - largest). So the forward keeps those two, not a second array of the size of the
logits (of a vocabulary of 50,000, for each word of a batch), and no one-hot array is ever made.

The losses of pairs of numbers (squared error, binary cross-entropy) add up what they find on the
way: each block of the arrays gives one partial sum, and NumPy adds those pairwise. How the array is
cut into blocks depends on its size alone, so the bits do not depend on the number of threads, and
float32 loses no digits over long arrays.

Fusing the logarithm, the softmax and the choice of the label: Bridle 1990, "Probabilistic
interpretation of feedforward classification network outputs" (the gradient);
Wijmans et al. 2024, "Cut your losses in large-vocabulary language models",
https://arxiv.org/abs/2411.09009 (the memory).
"""

from __future__ import annotations

import math

import numpy as np

from .. import Kernel
from . import jit, layout, parallel, prange
from .functions import ONE, TWO, ZERO, F, exp_below, sigmoid, softplus
from .softmax import exp_sum, from_rows, largest, rows

# ----------------------------------------------------------------------------------- cross-entropy


@jit
def _mean_below(x, top):
    """The mean of x - top: that of x, near a top of 10^4, would have lost its last digits."""
    total = ZERO
    for c in range(x.size):
        total += x[c] - top
    return total / F(x.size)


@jit(fastmath=False)
def _below(log_total, top, x):
    """ln(sum) - (x - top), in this order: top + ln(sum) would lose digits if top is large."""
    return log_total - (x - top)


@parallel
def _label_losses(x, labels, weights, smoothing, losses, tops, shares):
    """x (R, C), labels (R,), weights (R,) of the rows -> losses, largest logits, 1 / sums (R,)."""
    for r in prange(x.shape[0]):
        row = x[r]
        top = largest(row)
        total = exp_sum(row, top)
        tops[r], shares[r] = top, ONE / total
        log_total = np.float32(math.log(total))
        loss = _below(log_total, top, row[labels[r]])
        if smoothing > ZERO:
            uniform = log_total - _mean_below(row, top)
            loss = (ONE - smoothing) * loss + smoothing * uniform
        losses[r] = loss * weights[r]


@jit
def _label_row_gradient(x, top, share, scale, rest, dx):
    """dx = scale * softmax(x) - rest"""
    for c in range(x.size):
        dx[c] = exp_below(x[c] - top) * share * scale - rest


@parallel
def _label_gradients(x, labels, tops, shares, scales, smoothing, dx):
    """scales (R,): the incoming gradient of each row's loss, times its weight."""
    for r in prange(x.shape[0]):
        rest = scales[r] * smoothing / F(x.shape[1])
        _label_row_gradient(x[r], tops[r], shares[r], scales[r], rest, dx[r])
        dx[r, labels[r]] -= scales[r] * (ONE - smoothing)


def cross_entropy(
    x: np.ndarray,
    labels: np.ndarray,
    weight: np.ndarray | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> tuple[np.ndarray, tuple]:
    """The loss, and (labels, weights, their total, largest logits, 1 / sums) of the rows."""
    row = rows(x, min(x.ndim - 1, 1))
    shape, labels = labels.shape, labels.reshape(-1).astype(np.int64)
    used = labels != ignore_index
    labels = np.where(used, labels, 0)
    weights = used.astype(np.float32) if weight is None else used * weight[labels]
    losses, tops, shares = (np.empty(labels.size, np.float32) for _ in range(3))
    smoothing = F(label_smoothing)
    _label_losses(8 * x.size, row, labels, weights, smoothing, losses, tops, shares)
    losses[~used] = 0  # also where the logits are infinite
    total = np.asarray(weights.sum() if reduction == "mean" else F(1))
    aux = labels, weights, total, tops, shares
    if reduction == "none":
        return losses.reshape(shape), aux
    return np.asarray(losses.sum() / total), aux


def cross_entropy_gradient(
    g: np.ndarray, input: np.ndarray, label_smoothing: float, aux: tuple
) -> tuple[np.ndarray, None, None]:
    labels, weights, total, tops, shares = aux
    row = rows(input, min(input.ndim - 1, 1))
    dx = np.empty_like(row)
    scales = g.reshape(-1) * weights
    np.divide(scales, total, out=scales, where=weights != 0)  # 0, not 0 / 0, if all are ignored
    _label_gradients(8 * dx.size, row, labels, tops, shares, scales, F(label_smoothing), dx)
    return from_rows(dx, input, min(input.ndim - 1, 1)), None, None


def _takes_labels(
    x: np.ndarray,
    labels: np.ndarray,
    weight: np.ndarray | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> bool:
    known = reduction in ("mean", "sum", "none")
    return known and x.size > 0 and (weight is None or not label_smoothing)


# ------------------------------------------------------------------------------ pairs of numbers

BLOCK = 4096  # elements that give one partial sum


@jit
def _squared_errors(x, y):
    total = ZERO
    for i in range(x.size):
        d = x[i] - y[i]
        total += d * d
    return total


@parallel
def _squared_error(x, y, partial):
    for block in prange(partial.size):
        first = block * BLOCK
        partial[block] = _squared_errors(x[first : first + BLOCK], y[first : first + BLOCK])


@jit
def _squared_error_part(x, y, scale, dx):
    for i in range(x.size):
        dx[i] = scale * (x[i] - y[i])


@parallel
def _squared_error_gradient(x, y, scale, dx):
    for block in prange((x.size + BLOCK - 1) // BLOCK):
        a, b = block * BLOCK, block * BLOCK + BLOCK
        _squared_error_part(x[a:b], y[a:b], scale, dx[a:b])


@jit
def _binary_losses(x, target):
    total = ZERO
    for i in range(x.size):
        total += (ONE - target[i]) * x[i] + softplus(-x[i])
    return total


@parallel
def _binary_loss(x, target, partial):
    for block in prange(partial.size):
        first = block * BLOCK
        partial[block] = _binary_losses(x[first : first + BLOCK], target[first : first + BLOCK])


@jit
def _binary_part(x, target, scale, dx):
    for i in range(x.size):
        dx[i] = scale * ((ONE - target[i]) - sigmoid(-x[i]))


@parallel
def _binary_gradient(x, target, scale, dx):
    for block in prange((x.size + BLOCK - 1) // BLOCK):
        a, b = block * BLOCK, block * BLOCK + BLOCK
        _binary_part(x[a:b], target[a:b], scale, dx[a:b])


def _reduced(kernel: parallel, x: np.ndarray, y: np.ndarray, reduction: str) -> np.ndarray:
    """The sum or mean over both, walked in the memory order of x."""
    partial = np.empty((x.size + BLOCK - 1) // BLOCK, np.float32)
    like = layout.empty_like(x)
    kernel(x.size, layout.flat(x, like), layout.flat(y, like), partial)
    total = partial.sum()
    return np.asarray(total / F(x.size) if reduction == "mean" else total)


def _gradient(kernel: parallel, scale: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    dx = layout.empty_like(x)
    kernel(x.size, layout.flat(x, dx), layout.flat(y, dx), F(scale), layout.flat(dx, dx))
    return dx


def _scale(g: np.ndarray, x: np.ndarray, reduction: str) -> np.float32:
    return F(g) / F(x.size) if reduction == "mean" else F(g)


def squared_error(x: np.ndarray, target: np.ndarray, weight: None, reduction: str) -> np.ndarray:
    return _reduced(_squared_error, x, target, reduction)


def squared_error_gradient(
    g: np.ndarray, input: np.ndarray, target: np.ndarray, reduction: str, needs: tuple
) -> tuple:
    scale = TWO * _scale(g, input, reduction)
    dx = _gradient(_squared_error_gradient, scale, input, target)
    return dx if needs[0] else None, -dx if needs[1] else None, None


def binary_loss(
    x: np.ndarray, target: np.ndarray, weight: None, pos_weight: None, reduction: str
) -> np.ndarray:
    return _reduced(_binary_loss, x, target, reduction)


def binary_loss_gradient(
    g: np.ndarray, input: np.ndarray, target: np.ndarray, reduction: str, needs: tuple
) -> tuple:
    scale = _scale(g, input, reduction)
    dx = _gradient(_binary_gradient, scale, input, target) if needs[0] else None
    return dx, -scale * input if needs[1] else None, None, None


def _takes_pairs(
    x: np.ndarray, target: np.ndarray, *weights: np.ndarray | None, reduction: str
) -> bool:
    alike = x.dtype == target.dtype == np.float32 and x.shape == target.shape
    unweighted = all(w is None for w in weights)
    return alike and unweighted and x.size > 0 and reduction in ("mean", "sum")


KERNELS = {
    "cross_entropy": Kernel(cross_entropy, cross_entropy_gradient, _takes_labels, has_aux=True),
    "mse_loss": Kernel(squared_error, squared_error_gradient, _takes_pairs),
    "binary_cross_entropy_with_logits": Kernel(binary_loss, binary_loss_gradient, _takes_pairs),
}
