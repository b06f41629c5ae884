"""Losses: value in one pass over the predictions, gradient in another, waiting for nothing."""

from __future__ import annotations

from ... import dtypes
from ...device import Array, xp
from .. import Kernel
from . import TYPES, Source, blocks, contiguous, inverse, memory_order
from .softmax import from_rows, rows, threads

THREADS, EACH = 256, 16  # EACH: as in loss.cu
FLOATS = [TYPES[dtypes.F32], TYPES[dtypes.F64]]
PAIRS = [f"{types}, {loss}" for types in FLOATS for loss in ("SquaredError", "BinaryCrossEntropy")]
SOURCE = Source(
    "loss.cu",
    {
        "cross_entropy": FLOATS,
        "cross_entropy_gradient": FLOATS,
        "pair_losses": PAIRS,
        "pair_gradients": PAIRS,
    },
)

# ----------------------------------------------------------------------------------- cross-entropy


def cross_entropy(
    x: Array,
    labels: Array,
    weight: Array | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> tuple[Array, tuple]:
    """The loss, and (labels, weights, their total, largest logits, 1 / sums) of the rows."""
    row = rows(x, min(x.ndim - 1, 1))
    shape, labels = labels.shape, contiguous(labels.reshape(-1).astype(dtypes.I64))
    losses, weights, tops, shares = (xp(x).empty(labels.size, x.dtype) for _ in range(4))
    numbers = row.shape[1], ignore_index, label_smoothing
    weight = None if weight is None else contiguous(weight)
    args = row, labels, weight, *numbers, losses, weights, tops, shares
    grid, block = (labels.size,), threads(row.shape[1])
    SOURCE.launch("cross_entropy", TYPES[x.dtype], grid, block, *args)
    total = weights.sum() if reduction == "mean" else None
    aux = labels, weights, total, tops, shares
    if reduction == "none":
        return losses.reshape(shape), aux
    return losses.sum() if total is None else losses.sum() / total, aux


def cross_entropy_gradient(
    g: Array, input: Array, ignore_index: int, label_smoothing: float, aux: tuple
) -> tuple[Array, None, None]:
    labels, weights, total, tops, shares = aux
    row = rows(input, min(input.ndim - 1, 1))
    dx = xp(g).empty_like(row)
    numbers = row.shape[1], ignore_index, label_smoothing
    args = contiguous(g), g.ndim > 0, row, labels, weights, total, tops, shares, *numbers, dx
    grid, block = (labels.size,), threads(row.shape[1])
    SOURCE.launch("cross_entropy_gradient", TYPES[g.dtype], grid, block, *args)
    return from_rows(dx, input, min(input.ndim - 1, 1)), None, None


def _takes_labels(
    x: Array,
    labels: Array,
    weight: Array | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> bool:
    known = reduction in ("mean", "sum", "none")
    return known and x.size > 0 and (weight is None or not label_smoothing)


# ------------------------------------------------------------------------------ pairs of numbers


def _reduced(loss: str, x: Array, target: Array, reduction: str) -> Array:
    """The sum or mean over both."""
    order = memory_order(x)
    x, target = contiguous(x.transpose(order)), contiguous(target.transpose(order))
    grid = blocks(x.size, THREADS * EACH)
    partial = xp(x).empty(grid, x.dtype)
    arguments = f"{TYPES[x.dtype]}, {loss}"
    SOURCE.launch("pair_losses", arguments, grid, (THREADS,), x, target, partial, x.size)
    total = partial.sum()
    return total / x.size if reduction == "mean" else total


def _gradients(
    loss: str, g: Array, x: Array, target: Array, reduction: str, needs: tuple
) -> list[Array | None]:
    order = memory_order(x)
    x, target = contiguous(x.transpose(order)), contiguous(target.transpose(order))
    made = [xp(x).empty_like(x) if need else None for need in needs[:2]]
    share = 1 / x.size if reduction == "mean" else 1.0
    arguments, grid = f"{TYPES[x.dtype]}, {loss}", blocks(x.size, THREADS)
    args = g, x, target, *made, x.size, share
    SOURCE.launch("pair_gradients", arguments, grid, (THREADS,), *args)
    return [None if d is None else d.transpose(inverse(order)) for d in made]


def squared_error(x: Array, target: Array, weight: None, reduction: str) -> Array:
    return _reduced("SquaredError", x, target, reduction)


def squared_error_gradient(
    g: Array, input: Array, target: Array, reduction: str, needs: tuple
) -> tuple:
    return (*_gradients("SquaredError", g, input, target, reduction, needs), None)


def binary_loss(x: Array, target: Array, weight: None, pos_weight: None, reduction: str) -> Array:
    return _reduced("BinaryCrossEntropy", x, target, reduction)


def binary_loss_gradient(
    g: Array, input: Array, target: Array, reduction: str, needs: tuple
) -> tuple:
    return (*_gradients("BinaryCrossEntropy", g, input, target, reduction, needs), None, None)


def _takes_pairs(x: Array, target: Array, *weights: Array | None, reduction: str) -> bool:
    alike = x.dtype == target.dtype and x.shape == target.shape
    unweighted = all(w is None for w in weights)
    return alike and unweighted and x.size > 0 and reduction in ("mean", "sum")


KERNELS = {
    "cross_entropy": Kernel(cross_entropy, cross_entropy_gradient, _takes_labels, has_aux=True),
    "mse_loss": Kernel(squared_error, squared_error_gradient, _takes_pairs),
    "binary_cross_entropy_with_logits": Kernel(binary_loss, binary_loss_gradient, _takes_pairs),
}
