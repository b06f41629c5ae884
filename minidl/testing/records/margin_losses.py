"""Records of `minidl/ops/margin_losses.py`.

Hinges are at 0 of a difference of drawn numbers, so the margins lie where no such difference can.
"""

import numpy as np
from scipy.spatial import distance

from minidl import ops
from minidl.errors import DTypeError, ShapeError
from minidl.testing import strategies as d
from minidl.testing.records.draw import choice, samples
from minidl.testing.records.loss import options
from minidl.testing.records.losses import reduced, unequal
from minidl.testing.records.record import OpRecord, case, zeros

OPEN, SHUT = 5.0, -5.0  # a margin that every pair violates, one that none does


def signs(draw, shape):
    return draw(d.integer_arrays(shape, 0, 2)) * 2.0 - 1


@samples
def hinges(draw):
    x = draw(d.arrays(d.shapes(empty=False), d.Domain(kinks=(0.75, 1.0))))
    return (x, signs(draw, x.shape)), options(draw) | {"margin": draw(choice(1.0, 0.75))}


def hinge_reference(x, y, margin):
    return np.where(y > 0, x, np.maximum(0, margin - x))


@samples
def rankings(draw):
    shape = draw(d.shapes(empty=False))
    y, x2 = signs(draw, shape), draw(d.arrays(shape))
    x1 = x2 + y * draw(d.arrays(shape, d.Domain(kinks=(0.0, 0.5))))
    return (x1, x2, y), options(draw) | {"margin": draw(choice(0, 0.5))}


def ranking_reference(x1, x2, y, margin):
    return np.maximum(0, -y * (x1 - x2) + margin)


@samples
def soft_margins(draw):
    x = draw(d.arrays(d.shapes(empty=False)))
    return (x, signs(draw, x.shape)), options(draw)


@samples
def soft_labels(draw):
    shape = draw(choice((2,), (3, 2), (2, 3)))
    x, y = draw(d.arrays(shape)), draw(d.masks(shape)) * 1.0
    weight = draw(choice(None, draw(d.arrays(shape[-1:], d.POSITIVE))))
    return (x, y, weight), options(draw)


def soft_label_reference(x, y, weight=None):
    p = 1 / (1 + np.exp(-x))
    loss = -np.log(np.where(y > 0, p, 1 - p))
    return (loss if weight is None else loss * weight).mean(-1)


@samples
def classifications(draw):
    lead, classes = draw(choice((), (1,), (3,))), draw(choice(2, 4))
    x = draw(d.arrays((*lead, classes)))
    weight = draw(choice(None, draw(d.arrays((classes,), d.POSITIVE))))
    more = {"p": draw(choice(1, 2)), "margin": draw(choice(OPEN, SHUT)), "weight": weight}
    return (x, draw(d.integer_arrays(lead, 0, classes))), options(draw) | more


def classification_reference(x, y, p, margin, weight=None):
    rows, labels = np.atleast_2d(x), np.atleast_1d(y)
    loss = []
    for row, label in zip(rows, labels, strict=True):
        terms = np.maximum(0, margin - row[label] + np.delete(row, label)) ** p
        loss.append((1.0 if weight is None else weight[label]) * terms.sum() / len(row))
    return np.array(loss) if x.ndim > 1 else loss[0]


@samples
def several_labels(draw):
    """Scores within [-0.4, 0.4], so that no difference reaches the margin 1."""
    lead, classes = draw(choice((), (1,), (3,))), draw(choice(2, 4))
    x = draw(d.arrays((*lead, classes), d.Domain(-0.4, 0.4)))
    return (x, draw(d.integer_arrays(x.shape, -1, classes))), options(draw)


def several_reference(x, y):
    loss = []
    for row, labels in zip(np.atleast_2d(x), np.atleast_2d(y).tolist(), strict=True):
        taken = labels[: labels.index(-1)] if -1 in labels else labels
        rest = np.delete(row, taken)
        loss.append(sum(np.maximum(0, 1 - row[k] + rest).sum() for k in taken) / len(row))
    return np.array(loss) if x.ndim > 1 else np.float64(loss[0])


@samples
def angles(draw):
    lead = draw(choice((), (1,), (3,)))
    x1, x2 = (draw(d.arrays((*lead, 3), d.NOT_ZERO)) for _ in range(2))
    return (x1, x2, signs(draw, lead)), options(draw) | {"margin": draw(choice(-1.5, 1.5))}


def angle_reference(x1, x2, y, margin):
    rows = zip(np.atleast_2d(x1), np.atleast_2d(x2), strict=True)
    cos = np.reshape([1 - distance.cosine(a, b) for a, b in rows], y.shape)
    return np.where(y > 0, 1 - cos, np.maximum(0, cos - margin))


@samples
def triples(draw, **more):
    """The negative is farther from the anchor than from the positive, by far."""
    shape = draw(choice((2,), (3, 2), (2, 1, 3)))
    anchor, positive = (draw(d.arrays(shape)) for _ in range(2))
    negative = draw(d.arrays(shape)) + 3 * positive - 2 * anchor + 10
    chosen = {name: draw(choice(*values)) for name, values in more.items()}
    more = {"margin": draw(choice(100.0, 0.01)), "swap": draw(choice(False, True))}
    return (anchor, positive, negative), options(draw) | more | chosen


def triple_reference(a, p_, n, margin, swap, p=2):
    def far(x, y):
        return (np.abs(x - y + 1e-6) ** p).sum(-1) ** (1 / p)

    other = np.minimum(far(a, n), far(p_, n)) if swap else far(a, n)
    return np.maximum(0, margin + far(a, p_) - other)


def too_small_a_margin(name):
    function = getattr(ops, name)
    return case(
        lambda t: function(*[zeros(t, 2, 2)] * 3, margin=0.0), ValueError, name, "margin", "0.0"
    )


RECORDS = [
    OpRecord(
        "hinge_embedding_loss",
        ops.hinge_embedding_loss,
        hinges(),
        reduced(hinge_reference),
        domain="away from the margin",
        constants=("target",),
        errors=(unequal("hinge_embedding_loss"),),
    ),
    OpRecord(
        "margin_ranking_loss",
        ops.margin_ranking_loss,
        rankings(),
        reduced(ranking_reference),
        domain="differences away from 0 and the margin",
        constants=("target",),
        errors=(
            case(
                lambda t: ops.margin_ranking_loss(zeros(t, 2), zeros(t, 2), zeros(t, 2, 1)),
                ShapeError,
                "margin_ranking_loss",
                "(2, 1)",
            ),
        ),
    ),
    OpRecord(
        "soft_margin_loss",
        ops.soft_margin_loss,
        soft_margins(),
        reduced(lambda x, y: np.logaddexp(0, -x * y)),
        errors=(unequal("soft_margin_loss"),),
    ),
    OpRecord(
        "multilabel_soft_margin_loss",
        ops.multilabel_soft_margin_loss,
        soft_labels(),
        reduced(soft_label_reference),
        constants=("target", "weight"),
        errors=(unequal("multilabel_soft_margin_loss"),),
    ),
    OpRecord(
        "multi_margin_loss",
        ops.multi_margin_loss,
        classifications(),
        reduced(classification_reference),
        domain="differences away from the margin",
        constants=("weight",),
        errors=(
            case(
                lambda t: ops.multi_margin_loss(zeros(t, 2, 3), t([0, 3])),
                IndexError,
                "multi_margin_loss",
                "0 to 2",
            ),
            case(lambda t: ops.multi_margin_loss(zeros(t, 2, 3), t([0, 1]), p=3), ValueError, "3"),
            case(
                lambda t: ops.multi_margin_loss(zeros(t, 2, 3), t([0.0, 1.0])),
                DTypeError,
                "multi_margin_loss",
                "float",
            ),
        ),
    ),
    OpRecord(
        "multilabel_margin_loss",
        ops.multilabel_margin_loss,
        several_labels(),
        reduced(several_reference),
        domain="differences less than 1",
        errors=(
            case(
                lambda t: ops.multilabel_margin_loss(zeros(t, 2, 3), t([0, 1])),
                ShapeError,
                "multilabel_margin_loss",
                "(2, 3)",
                "(2,)",
            ),
        ),
    ),
    OpRecord(
        "cosine_embedding_loss",
        ops.cosine_embedding_loss,
        angles(),
        reduced(angle_reference),
        domain="vectors away from 0, cosines from the margin",
        constants=("target",),
        errors=(
            case(
                lambda t: ops.cosine_embedding_loss(zeros(t, 2, 3), zeros(t, 2, 3), zeros(t)),
                ShapeError,
                "cosine_embedding_loss",
                "(2, 3)",
            ),
        ),
    ),
    OpRecord(
        "triplet_margin_loss",
        ops.triplet_margin_loss,
        triples(p=(2, 3)),
        reduced(triple_reference),
        domain="distances that do not differ by the margin",
        errors=(
            too_small_a_margin("triplet_margin_loss"),
            case(
                lambda t: ops.triplet_margin_loss(zeros(t, 2, 2), zeros(t, 2), zeros(t, 2, 2)),
                ShapeError,
                "dimensions",
            ),
        ),
    ),
    OpRecord(
        "triplet_margin_with_distance_loss",
        ops.triplet_margin_with_distance_loss,
        triples(),
        reduced(triple_reference),
        domain="distances that do not differ by the margin",
        errors=(too_small_a_margin("triplet_margin_with_distance_loss"),),
    ),
]
