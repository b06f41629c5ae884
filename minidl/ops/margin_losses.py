"""Losses that ask for a distance: of scores from a margin, or of pairs and triples of vectors."""

from __future__ import annotations

from collections.abc import Callable

from ..device import Array, xp
from ..errors import DTypeError, ShapeError
from ..promotion import need_tensors
from ..tape import Tensor, wrap
from .compare import where
from .elementwise import clamp, logsigmoid, minimum, relu, sqrt
from .index import check_range, gather
from .loss import _check_weight, chosen, reduced
from .norms import norm
from .reduce import mean, sum

__all__ = """
    hinge_embedding_loss margin_ranking_loss soft_margin_loss multilabel_soft_margin_loss
    multilabel_margin_loss multi_margin_loss cosine_embedding_loss triplet_margin_loss
    triplet_margin_with_distance_loss
""".split()


def _hinge(x: Tensor) -> Tensor:
    """max(x, 0), with derivative 1 at 0."""
    return clamp(x, min=0)


# ------------------------------------------------------------------------------ targets of +1, -1


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """loss = input where target is 1, max(0, margin - input) where it is -1.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.hinge_embedding_loss.html
    """
    need_tensors("hinge_embedding_loss", input=input, target=target)
    reduction = chosen(size_average, reduce, reduction)
    apart = where(target == 1, 0.0, _hinge(margin - input))
    return reduced(where(target == -1, 0.0, input) + apart, reduction)


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """loss = max(0, margin - target (input1 - input2)); target 1: input1 shall rank higher.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.margin_ranking_loss.html
    """
    need_tensors("margin_ranking_loss", input1=input1, input2=input2, target=target)
    reduction = chosen(size_average, reduce, reduction)
    shapes = [t._array.shape for t in (input1, input2, target)]
    if len({len(shape) for shape in shapes}) > 1:
        raise ShapeError(
            f"margin_ranking_loss: input1, input2 and target must have as many dimensions as each "
            f"other, got shapes {shapes[0]}, {shapes[1]} and {shapes[2]}."
        )
    return reduced(_hinge(margin - target * (input1 - input2)), reduction)


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """loss = ln(1 + e^(-target input)), target 1 or -1.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.soft_margin_loss.html
    """
    need_tensors("soft_margin_loss", input=input, target=target)
    return reduced(-logsigmoid(target * input), chosen(size_average, reduce, reduction))


# ---------------------------------------------------------------------------------- many classes


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """loss = -mean over classes of weight (target ln s(x) + (1 - target) ln s(-x)), s the sigmoid.

    input, target: (N, C), target 0 or 1. One loss for each of N.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.multilabel_soft_margin_loss.html
    """
    need_tensors("multilabel_soft_margin_loss", input=input, target=target)
    reduction = chosen(size_average, reduce, reduction)
    loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    return reduced(mean(loss if weight is None else loss * weight, -1), reduction)


def _rows(name: str, input: Tensor, target: Tensor, many: bool) -> tuple[Tensor, Tensor]:
    """Scores (N, C) and their targets; a single example becomes a batch of one."""
    scores, labels = input._array, target._array
    if labels.dtype.kind not in "iu":
        raise DTypeError(f"{name}: target must hold class numbers, got {labels.dtype}.")
    expected = scores.shape if many else scores.shape[:-1]
    single = max(scores.ndim, labels.ndim) < 2 and labels.size == (scores.size if many else 1)
    if scores.ndim > 2 or (labels.shape != expected and not single):
        raise ShapeError(
            f"{name}: expected input (N, C) with target {'(N, C)' if many else '(N,)'}, or "
            f"without the N; got {scores.shape} and {labels.shape}."
        )
    rows = input if scores.ndim == 2 else input.reshape(1, -1)
    columns = rows._array.shape[1] if many else 1
    return rows, wrap(labels.reshape((rows._array.shape[0], columns)).astype("int64"))


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """loss = sum over i != y of weight[y] max(0, margin - x[y] + x[i])^p / C.

    input: x (N, C); target: y (N), class numbers; p: 1 or 2.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.multi_margin_loss.html
    """
    need_tensors("multi_margin_loss", input=input, target=target)
    reduction = chosen(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ValueError(f"multi_margin_loss: p is 1 or 2, not {p}.")
    x, y = _rows("multi_margin_loss", input, target, many=False)
    classes = x._array.shape[1]
    _check_weight("multi_margin_loss", weight, input, classes)
    check_range(y._array, 0, classes, "multi_margin_loss: label")
    short = relu(margin - gather(x, 1, y) + x)
    other = wrap(y._array != xp(y._array).arange(classes))
    terms = where(other, short if p == 1 else short * short, 0.0)
    loss = sum(terms if weight is None else terms * weight[y], 1) / float(classes)
    return reduced(loss if input._array.ndim == 2 else loss.squeeze(0), reduction)


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """loss = sum over y in targets, i not in targets, of max(0, 1 - x[y] + x[i]) / C.

    input: x (N, C); target: (N, C), class numbers; those from the first -1 on do not count.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.multilabel_margin_loss.html
    """
    need_tensors("multilabel_margin_loss", input=input, target=target)
    reduction = chosen(size_average, reduce, reduction)
    x, y = _rows("multilabel_margin_loss", input, target, many=True)
    classes = x._array.shape[1]
    check_range(y._array, -1, classes, "multilabel_margin_loss: label")
    counts, labels = _until_minus_one(y._array)
    taken = (labels[..., None] == xp(labels).arange(classes)) & counts[..., None]
    pairs = wrap(counts[..., None] & ~taken.any(1)[:, None])  # (N, which target, which class)
    short = relu(1 - gather(x, 1, wrap(labels)).unsqueeze(2) + x.unsqueeze(1))
    loss = sum(where(pairs, short, 0.0), (1, 2)) / float(classes)
    return reduced(loss if input._array.ndim == 2 else loss.squeeze(0), reduction)


def _until_minus_one(labels: Array) -> tuple[Array, Array]:
    """Which labels stand before the first -1 of their row, and the labels with 0 for the others."""
    counts = (labels < 0).cumsum(1) == 0
    return counts, xp(labels).where(counts, labels, 0)


# ------------------------------------------------------------------------------ pairs and triples


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """loss = 1 - cos where target is 1, max(0, cos - margin) where it is -1.

    cos: of the angle between input1 and input2, (N, D) or (D); target: (N) or 0-d.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.cosine_embedding_loss.html
    """
    need_tensors("cosine_embedding_loss", input1=input1, input2=input2, target=target)
    reduction = chosen(size_average, reduce, reduction)
    dims = [t._array.ndim for t in (input1, input2, target)]
    if dims not in ([1, 1, 0], [2, 2, 1]):
        raise ShapeError(
            "cosine_embedding_loss: expected inputs (N, D) and target (N,), or (D,) and a 0-d "
            f"target; got {input1._array.shape}, {input2._array.shape} and {target._array.shape}."
        )
    squares = [sum(x * x, -1) + 1e-12 for x in (input1, input2)]  # never 0
    cos = sum(input1 * input2, -1) / sqrt(squares[0] * squares[1])
    apart = where(target == -1, _hinge(cos - margin), 0.0)
    return reduced(where(target == 1, 1 - cos, 0.0) + apart, reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """loss = max(0, margin + d(anchor, positive) - d(anchor, negative)), d(x, y) = |x - y + eps|_p.

    swap: the distance of positive and negative counts instead of the last, if it is smaller.
    Balntas et al. 2016, http://www.bmva.org/bmvc/2016/papers/paper119/index.html

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.triplet_margin_loss.html
    """
    need_tensors("triplet_margin_loss", anchor=anchor, positive=positive, negative=negative)
    reduction = chosen(size_average, reduce, reduction)
    dims = [t._array.ndim for t in (anchor, positive, negative)]
    if len(set(dims)) > 1:
        raise ShapeError(
            "triplet_margin_loss: anchor, positive and negative must have as many dimensions as "
            f"each other, got {dims[0]}, {dims[1]} and {dims[2]}."
        )
    return _triplet(
        "triplet_margin_loss",
        (anchor, positive, negative),
        lambda x, y: norm(x - y + eps, p, -1),
        margin,
        swap,
        reduction,
    )


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """loss = max(0, margin + d(anchor, positive) - d(anchor, negative)), d the distance_function.

    distance_function: the Euclidean distance over the last dimension if None.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.triplet_margin_with_distance_loss.html
    """
    name = "triplet_margin_with_distance_loss"
    need_tensors(name, anchor=anchor, positive=positive, negative=negative)
    distance = distance_function or (lambda x, y: norm(x - y + 1e-6, 2, -1))
    return _triplet(name, (anchor, positive, negative), distance, margin, swap, reduction)


def _triplet(
    name: str, triple: tuple, distance: Callable, margin: float, swap: bool, reduction: str
) -> Tensor:
    if margin <= 0:
        raise ValueError(f"{name}: margin must be greater than 0, got {margin}.")
    anchor, positive, negative = triple
    far = distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduced(_hinge(margin + distance(anchor, positive) - far), reduction)
