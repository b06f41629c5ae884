"""Records of `minidl/ops/loss.py`, of embedding, and of dropout."""

import numpy as np

from minidl import ops
from minidl.errors import DTypeError, ShapeError
from minidl.tape import named
from minidl.testing.records import draw as d
from minidl.testing.records.record import OpRecord, case, zeros


def reduce_loss(loss, reduction, count=None):
    if reduction == "none":
        return loss
    return loss.sum() / (1 if reduction == "sum" else loss.size if count is None else count)


def logits_and_labels(draw):
    """Logits (N, C, ...) and labels; some of them ignored, at least one used."""
    classes = d.one_of(draw, 2, 4)
    lead, rest = d.one_of(draw, ((3,), ()), ((2,), (2,)), ((), ()))
    x = d.real(draw, (*lead, classes, *rest) if lead else (classes,), d.Domain(-3, 3))
    labels = d.integers(draw, (*lead, *rest), 0, classes)
    if labels.ndim and d.one_of(draw, False, True):
        labels.flat[0] = -100
    return x, labels, classes


def options(draw):
    return {"reduction": d.one_of(draw, "mean", "sum", "none")}


def nll_losses():
    def build(draw):
        x, labels, classes = logits_and_labels(draw)
        weight = d.one_of(draw, None, d.real(draw, (classes,), d.POSITIVE))
        return (x, labels, weight), options(draw)

    return d.samples(build)


def cross_entropies():
    def build(draw):
        x, labels, classes = logits_and_labels(draw)
        weight = d.one_of(draw, None, d.real(draw, (classes,), d.POSITIVE))
        if d.one_of(draw, False, False, True):  # probabilities in place of labels
            axis = 1 if x.ndim > 1 else 0
            labels = d.real(draw, x.shape, d.POSITIVE)
            labels = labels / labels.sum(axis, keepdims=True)
        return (x, labels, weight), options(draw) | {"label_smoothing": d.one_of(draw, 0.0, 0.1)}

    return d.samples(build)


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


def two_alike(domain=d.ANY):
    def build(draw):
        shape = d.shape(draw, empty=False)
        return (d.real(draw, shape), d.real(draw, shape)), options(draw)

    return d.samples(build)


def two_apart():
    def build(draw):
        shape = d.shape(draw, empty=False)
        both = d.real(draw, (2, *shape), d.DISTINCT)
        return (both[0], both[1]), options(draw)

    return d.samples(build)


def binary_cross_entropies():
    def build(draw):
        shape = d.shape(draw, empty=False)
        x = d.real(draw, shape, d.Domain(-3, 3, kinks=(0.0,)))
        target = d.real(draw, shape, d.Domain(0.1, 0.9))
        weight = d.one_of(draw, None, d.real(draw, shape, d.POSITIVE))
        pos_weight = d.one_of(draw, None, d.real(draw, shape[-1:], d.POSITIVE))
        return (x, target, weight), options(draw) | {"pos_weight": pos_weight}

    return d.samples(build)


def binary_reference(x, target, weight=None, reduction="mean", pos_weight=None):
    p = 1 / (1 + np.exp(-x))
    positive = 1.0 if pos_weight is None else pos_weight
    loss = -(positive * target * np.log(p) + (1 - target) * np.log(1 - p))
    return reduce_loss(loss if weight is None else loss * weight, reduction)


def embeddings():
    def build(draw):
        rows = d.one_of(draw, 1, 4)
        picked = d.integers(draw, d.shape(draw), 0, rows)
        return picked, d.real(draw, (rows, d.one_of(draw, 1, 3)))

    return d.samples(build)


def dropouts():
    def build(draw):
        channels = d.one_of(draw, False, True)
        x = d.real(draw, d.shape(draw, 2))
        return x, d.one_of(draw, 0.0, 0.3, 1.0), d.one_of(draw, 1, 2**40), 12, channels

    return d.samples(build)


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
        lambda x, y, reduction="mean": reduce_loss((x - y) ** 2, reduction),
        errors=(
            case(lambda t: ops.mse_loss(zeros(t, 2), zeros(t, 3)), ShapeError, "(2,)", "(3,)"),
        ),
    ),
    OpRecord(
        "l1_loss",
        ops.l1_loss,
        two_apart(),
        lambda x, y, reduction="mean": reduce_loss(np.abs(x - y), reduction),
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
