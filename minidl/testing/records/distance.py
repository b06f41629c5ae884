"""Records of `minidl/ops/distance.py` and of embedding_bag."""

import numpy as np
from scipy.spatial import distance

from minidl import ops
from minidl.errors import ShapeError
from minidl.testing import strategies as d
from minidl.testing.records.draw import choice, samples
from minidl.testing.records.record import OpRecord, case, zeros

NEGATIVE = d.Domain(-3.0, -0.3)


@samples
def normalizations(draw):
    x = draw(d.arrays((draw(choice(1, 2)), draw(choice(2, 3)), 2), d.NOT_ZERO))
    return (x,), {"p": draw(choice(1.0, 2.0, 3.0)), "dim": draw(choice(1, -1, 0))}


def normalize_reference(x, p, dim):
    return np.apply_along_axis(lambda v: v / np.linalg.norm(v, p), dim, x)


@samples
def cosines(draw):
    first, second = draw(choice(((3, 4), (3, 4)), ((2, 1, 3), (1, 2, 3)), ((3, 1), (3, 4))))
    return draw(d.arrays(first, d.NOT_ZERO)), draw(d.arrays(second, d.NOT_ZERO)), 1


def cosine_reference(a, b, dim):
    a, b = (np.moveaxis(x, dim, -1) for x in np.broadcast_arrays(a, b))
    out = np.zeros(a.shape[:-1])
    for place in np.ndindex(*out.shape):
        out[place] = 1 - distance.cosine(a[place], b[place])
    return out


@samples
def pairs(draw):
    shape = draw(choice((3,), (2, 3), (2, 1, 4)))
    x, y = draw(d.arrays(shape, d.POSITIVE)), draw(d.arrays(shape, NEGATIVE))
    return (x, y), {"p": draw(choice(1.0, 2.0, 3.0)), "keepdim": draw(choice(False, True))}


@samples
def sets(draw):
    return draw(d.arrays((draw(choice(1, 2, 4)), 3), d.DISTINCT)), draw(choice(1.0, 2.0, 3.0))


@samples
def bilinears(draw):
    lead, (o, i, j) = draw(choice((), (2,), (2, 1))), (draw(choice(1, 2, 3)) for _ in range(3))
    shapes = [(*lead, i), (*lead, j), (o, i, j), *draw(choice([], [(o,)]))]
    return tuple(draw(d.arrays(shape)) for shape in shapes)


def bilinear_reference(x, y, weight, bias=0.0):
    return np.einsum("...i,oij,...j->...o", x, weight, y) + bias


@samples
def bags(draw):
    rows = draw(d.integer_arrays(draw(choice((2, 3), (6,))), 0, 4))
    options = {"mode": draw(choice("sum", "mean", "max"))}
    if rows.ndim == 1:
        options["offsets"] = np.array(draw(choice([0, 2, 2, 5], [0, 6])))
        options["include_last_offset"] = draw(choice(False, True)) and options["offsets"][-1] == 6
    if options["mode"] == "sum" and draw(choice(False, True)):
        options["per_sample_weights"] = draw(d.arrays(rows.shape))
    options["padding_idx"] = draw(choice(None, 1, -1))
    return (rows, draw(d.arrays((4, 2), d.DISTINCT))), options


def bag_reference(
    rows,
    table,
    mode,
    offsets=None,
    include_last_offset=False,
    per_sample_weights=None,
    padding_idx=None,
):
    weights = np.ones(rows.shape) if per_sample_weights is None else per_sample_weights
    places = list(np.arange(rows.size).reshape(rows.shape))
    if offsets is not None:
        ends = list(offsets[1:]) + ([] if include_last_offset else [len(rows)])
        places = [np.arange(a, b) for a, b in zip(offsets, ends, strict=False)]
    out = np.zeros((len(places), 2))
    for bag, inside in enumerate(places):
        skipped = None if padding_idx is None else padding_idx % 4
        chosen = [(rows.ravel()[i], weights.ravel()[i]) for i in inside]
        vectors = [table[row] * weight for row, weight in chosen if row != skipped]
        if vectors:
            out[bag] = getattr(np, mode)(vectors, axis=0)
    return out


RECORDS = [
    OpRecord(
        "normalize", ops.normalize, normalizations(), normalize_reference, domain="away from 0"
    ),
    OpRecord("cosine_similarity", ops.cosine_similarity, cosines(), cosine_reference),
    OpRecord(
        "pairwise_distance",
        ops.pairwise_distance,
        pairs(),
        lambda x, y, p, keepdim: np.linalg.norm(x - y + 1e-6, p, -1, keepdims=keepdim),
        domain="x1 > x2",
    ),
    OpRecord(
        "pdist",
        ops.pdist,
        sets(),
        lambda x, p: distance.pdist(x, "minkowski", p=p) if len(x) > 1 else np.zeros(0),
        domain="no two numbers equal",
        errors=(case(lambda t: ops.pdist(zeros(t, 2)), ShapeError, "pdist", "(2,)"),),
    ),
    OpRecord(
        "bilinear",
        ops.bilinear,
        bilinears(),
        bilinear_reference,
        errors=(
            case(
                lambda t: ops.bilinear(zeros(t, 2), zeros(t, 3), zeros(t, 1, 3, 2)),
                ShapeError,
                "bilinear",
                "(1, 3, 2)",
            ),
        ),
    ),
    OpRecord(
        "embedding_bag",
        ops.embedding_bag,
        bags(),
        bag_reference,
        domain="no ties",
        errors=(
            case(lambda t: ops.embedding_bag(t([0]), zeros(t, 2, 1)), ShapeError, "offsets None"),
            case(
                lambda t: ops.embedding_bag(t([0]), zeros(t, 2, 1), t([1])),
                ValueError,
                "first offset",
                "1",
            ),
        ),
    ),
]
