"""Records of `minidl/ops/loss.py`, of embedding, and of dropout."""

import numpy as np

from minidl import ops
from minidl.errors import DTypeError, ShapeError
from minidl.tape import named
from minidl.testing import strategies as d
from minidl.testing.records.draw import choice, samples
from minidl.testing.records.record import OpRecord, case, zeros


def reduce_loss(loss, reduction, count=None):
    if reduction == "none":
        return loss
    return loss.sum() / (1 if reduction == "sum" else loss.size if count is None else count)


def logits_and_labels(draw):
    """Logits (N, C, ...) and labels; some of them ignored, at least one used."""
    classes = draw(choice(2, 4))
    lead, rest = draw(choice(((3,), ()), ((2,), (2,)), ((), ())))
    x = draw(d.arrays((*lead, classes, *rest) if lead else (classes,), d.Domain(-3, 3)))
    labels = draw(d.integer_arrays((*lead, *rest), 0, classes))
    if labels.ndim and draw(choice(False, True)):
        labels.flat[0] = -100
    return x, labels, classes


def options(draw):
    return {"reduction": draw(choice("mean", "sum", "none"))}


@samples
def nll_losses(draw):
    x, labels, classes = logits_and_labels(draw)
    weight = draw(choice(None, draw(d.arrays((classes,), d.POSITIVE))))
    return (x, labels, weight), options(draw)


@samples
def cross_entropies(draw):
    x, labels, classes = logits_and_labels(draw)
    weight = draw(choice(None, draw(d.arrays((classes,), d.POSITIVE))))
    if draw(choice(False, False, True)):  # probabilities in place of labels
        axis = 1 if x.ndim > 1 else 0
        labels = draw(d.arrays(x.shape, d.POSITIVE))
        labels = labels / labels.sum(axis, keepdims=True)
    return (x, labels, weight), options(draw) | {"label_smoothing": draw(choice(0.0, 0.1))}


def nll_reference(log_probs, labels, weight=None, ignore_index=-100, reduction="mean"):
    loss, total = np.zeros(labels.shape), 0.0
    rows = log_probs[None] if log_probs.ndim == 1 else log_probs
    for place in np.ndindex(*labels.shape):
        label = labels[place]
        if label != ignore_index:
            w = 1.0 if weight is None else weight[label]
            n, *rest = place or (0,)
            loss[place] = -w * rows[(n, label, *rest)]
            total += w
    return reduce_loss(loss, reduction, total)


def cross_entropy_reference(x, target, weight=None, reduction="mean", label_smoothing=0.0):
    axis = 1 if x.ndim > 1 else 0
    classes = x.shape[axis]
    log_probs = x - np.log(np.exp(x).sum(axis, keepdims=True))
    column = np.ones(classes) if weight is None else weight
    column = column.reshape((-1,) + (1,) * (x.ndim - axis - 1))
    if target.dtype.kind == "f":
        target = (1 - label_smoothing) * target + label_smoothing / classes
        loss = -(column * target * log_probs).sum(axis)
        return reduce_loss(loss, reduction)
    hard = nll_reference(log_probs, target, weight, reduction="none")
    used = target != -100
    smooth = np.where(used, -(column * log_probs).sum(axis) / classes, 0.0)
    loss = (1 - label_smoothing) * hard + label_smoothing * smooth
    counts = np.ones(classes) if weight is None else weight
    return reduce_loss(loss, reduction, (counts[np.where(used, target, 0)] * used).sum())


def weighted(draw, shape):
    weight = draw(choice(None, draw(d.arrays(shape, d.POSITIVE))))
    return options(draw) | {"weight": weight}


def weighted_reference(loss, weight, reduction):
    return reduce_loss(
        loss if weight is None else loss * weight,
        reduction,
        None if weight is None else weight.sum(),
    )


@samples
def two_alike(draw):
    shape = draw(d.shapes(empty=False))
    return (draw(d.arrays(shape)), draw(d.arrays(shape))), weighted(draw, shape)


@samples
def two_apart(draw):
    shape = draw(d.shapes(empty=False))
    both = draw(d.arrays((2, *shape), d.DISTINCT))
    return (both[0], both[1]), weighted(draw, shape)


@samples
def binary_cross_entropies(draw):
    shape = draw(d.shapes(empty=False))
    x = draw(d.arrays(shape, d.Domain(-3, 3, kinks=(0.0,))))
    target = draw(d.arrays(shape, d.Domain(0.1, 0.9)))
    weight = draw(choice(None, draw(d.arrays(shape, d.POSITIVE))))
    pos_weight = draw(choice(None, draw(d.arrays(shape[-1:], d.POSITIVE))))
    return (x, target, weight), options(draw) | {"pos_weight": pos_weight}


def binary_reference(x, target, weight=None, reduction="mean", pos_weight=None):
    p = 1 / (1 + np.exp(-x))
    positive = 1.0 if pos_weight is None else pos_weight
    loss = -(positive * target * np.log(p) + (1 - target) * np.log(1 - p))
    return reduce_loss(loss if weight is None else loss * weight, reduction)


@samples
def embeddings(draw):
    rows = draw(choice(1, 4))
    picked = draw(d.integer_arrays(d.shapes(), 0, rows))
    return picked, draw(d.arrays((rows, draw(choice(1, 3)))))


@samples
def dropouts(draw):
    channels = draw(choice(False, True))
    x = draw(d.arrays(d.shapes(2)))
    return x, draw(choice(0.0, 0.3, 1.0)), draw(choice(1, 2**40)), 12, channels


RECORDS = [
    OpRecord(
        "nll_loss",
        ops.nll_loss,
        nll_losses(),
        nll_reference,
        constants=("weight",),
        errors=(
            case(
                lambda t: ops.nll_loss(zeros(t, 2, 3), t([0, 3])),
                IndexError,
                "nll_loss",
                "label",
                "3",
                "0 to 2",
            ),
        ),
    ),
    OpRecord(
        "cross_entropy",
        ops.cross_entropy,
        cross_entropies(),
        cross_entropy_reference,
        constants=("weight",),
        errors=(
            case(
                lambda t: ops.cross_entropy(zeros(t, 2, 3), t([0, 3])),
                IndexError,
                "cross_entropy",
                "label",
                "3",
                "0 to 2",
            ),
            case(
                lambda t: ops.cross_entropy(zeros(t, 2, 3), t([0, 1, 2])),
                ShapeError,
                "cross_entropy",
                "(2, 3)",
                "(3,)",
            ),
            case(
                lambda t: ops.cross_entropy(zeros(t, 2, 3), t([True, False])),
                DTypeError,
                "cross_entropy",
                "bool",
                "long",
            ),
            case(
                lambda t: ops.cross_entropy(zeros(t, 2, 3), t([0.0, 1.0])),
                ShapeError,
                "cross_entropy",
                "probabilities",
                "integers",
            ),
            case(
                lambda t: ops.cross_entropy(zeros(t, 2, 3), t([0, 1]), reduction="max"),
                ValueError,
                "reduction",
                "'max'",
            ),
        ),
    ),
    OpRecord(
        "mse_loss",
        ops.mse_loss,
        two_alike(),
        lambda x, y, weight=None, reduction="mean": weighted_reference(
            (x - y) ** 2, weight, reduction
        ),
        constants=("weight",),
        errors=(
            case(lambda t: ops.mse_loss(zeros(t, 2), zeros(t, 3)), ShapeError, "(2,)", "(3,)"),
        ),
    ),
    OpRecord(
        "l1_loss",
        ops.l1_loss,
        two_apart(),
        lambda x, y, weight=None, reduction="mean": weighted_reference(
            np.abs(x - y), weight, reduction
        ),
        constants=("weight",),
        domain="input and target differ",
        errors=(case(lambda t: ops.l1_loss(zeros(t, 2), zeros(t, 3)), ShapeError, "(2,)", "(3,)"),),
    ),
    OpRecord(
        "binary_cross_entropy_with_logits",
        ops.binary_cross_entropy_with_logits,
        binary_cross_entropies(),
        binary_reference,
        constants=("weight",),
        errors=(
            case(
                lambda t: ops.binary_cross_entropy_with_logits(zeros(t, 2), zeros(t, 3)),
                ShapeError,
                "binary_cross_entropy_with_logits",
                "(2,)",
                "(3,)",
            ),
        ),
    ),
    OpRecord(
        "embedding",
        ops.embedding,
        embeddings(),
        lambda rows, table: table[rows],
        errors=(
            case(
                lambda t: ops.embedding(t([4]), zeros(t, 4, 2)),
                IndexError,
                "embedding",
                "4",
                "0 to 3",
            ),
            case(
                lambda t: ops.embedding(zeros(t, 1), zeros(t, 4, 2)),
                DTypeError,
                "embedding",
                "integers",
            ),
        ),
    ),
    OpRecord(
        "dropout",
        named("dropout"),
        dropouts(),
        None,
        why_none="random: tests/ops/test_random.py compares masks and frequencies",
        errors=(case(lambda t: ops.dropout(zeros(t, 2), 1.5), ValueError, "dropout", "1.5"),),
    ),
]
