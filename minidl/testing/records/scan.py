"""Records of `minidl/ops/scan.py`."""

import numpy as np

from minidl import ops
from minidl.errors import DTypeError, ShapeError
from minidl.testing import strategies as d
from minidl.testing.records.draw import choice, samples
from minidl.testing.records.record import OpRecord, case, zeros

ALL, REAL = "biuf", "iuf"


@samples
def along(draw, domain=d.ANY):
    x = draw(d.arrays(domain=domain))
    return x, draw(d.axis(x.ndim))


@samples
def with_zeros(draw):
    x = draw(d.arrays(d.shapes(max_dims=2), d.NOT_ZERO))
    return x * draw(d.masks(x.shape)), draw(d.axis(x.ndim))


@samples
def differences(draw):
    shape = draw(d.shapes(1, empty=False))
    dim = draw(d.axis(len(shape)))
    given = {}
    for name in ("prepend", "append"):
        if draw(choice(False, False, True)):
            ends = list(shape)
            ends[dim] = draw(choice(1, 2))
            given[name] = draw(d.arrays(ends))
    return (draw(d.arrays(shape)),), {"n": draw(choice(0, 1, 2)), "dim": dim, **given}


def diff_reference(x, n=1, dim=-1, prepend=None, append=None):
    ends = {k: v for k, v in (("prepend", prepend), ("append", append)) if v is not None}
    return np.diff(x, n, dim, **ends)


@samples
def integrals(draw):
    y = draw(d.arrays(d.shapes(1, empty=False)))
    dim = draw(d.axis(y.ndim))
    kind = draw(choice("dx", "vector", "whole"))
    if kind == "dx":
        return (y,), {"dx": draw(choice(1, 0.5)), "dim": dim}
    return (y, draw(d.arrays((y.shape[dim],) if kind == "vector" else y.shape))), {"dim": dim}


def trapezoid_reference(y, x=None, dx=1, dim=-1):
    return np.trapezoid(y, x, dx, dim)


def cumulative_reference(y, x=None, dx=1, dim=-1):
    parts = [np.take(y, range(i), dim) for i in range(2, y.shape[dim] + 1)]
    points = [
        None if x is None else x[: i + 2] if x.ndim == 1 else np.take(x, range(i + 2), dim)
        for i in range(len(parts))
    ]
    sums = [np.trapezoid(p, q, dx, dim) for p, q in zip(parts, points, strict=True)]
    return np.stack(sums, dim) if sums else np.take(y, [], dim)


@samples
def slopes(draw):
    shape = [n + 2 for n in draw(d.shapes(1, 2, empty=False))]
    x = draw(d.arrays(shape))
    kind = draw(choice("one", "numbers", "points"))
    if kind == "one":
        spacing = draw(choice(1, 0.5))
    elif kind == "numbers":
        spacing = [0.5] * x.ndim
    else:
        spacing = [draw(d.arrays((n,), d.POSITIVE)).cumsum() for n in shape]
    return (x,), {"spacing": spacing, "edge_order": draw(choice(1, 2))}


def gradient_reference(x, spacing=1, edge_order=1):
    spacings = spacing if isinstance(spacing, list) else [spacing]
    found = np.gradient(x, *spacings, edge_order=edge_order)
    return found if isinstance(found, tuple) else (found,)


def running(extreme):
    """cummax, cummin: step by step."""

    def reference(x, dim):
        if not x.ndim:
            return x, np.int64(0)
        rows = np.moveaxis(x, dim, 0)
        values, indices = rows.copy(), np.zeros(rows.shape, np.int64)
        for i in range(1, len(rows)):
            better = extreme(rows[i], values[i - 1]) == rows[i]
            values[i] = np.where(better, rows[i], values[i - 1])
            indices[i] = np.where(better, i, indices[i - 1])
        return np.moveaxis(values, 0, dim), np.moveaxis(indices, 0, dim)

    return reference


def scan(function):
    """A scan from a reduction of each beginning."""

    def reference(x, dim):
        if not x.ndim:
            return x
        rows = np.moveaxis(x, dim, 0)
        found = [function(rows[: i + 1], axis=0) for i in range(len(rows))]
        return np.moveaxis(np.array(found).reshape(rows.shape), 0, dim)

    return reference


def bad_dim(function):
    name = function.__name__
    return case(lambda t: function(zeros(t, 2), dim=1), IndexError, name, "dimension 1")


INTEGRAL_ERRORS = "2 points x", "size 3"

RECORDS = [
    OpRecord(
        "cumprod",
        ops.cumprod,
        along() | with_zeros(),
        scan(np.prod),
        dtypes=ALL,
        result="sum",
        errors=(bad_dim(ops.cumprod),),
    ),
    OpRecord(
        "cummax",
        ops.cummax,
        along(d.DISTINCT),
        running(np.maximum),
        domain="no ties",
        dtypes=REAL,
        errors=(bad_dim(ops.cummax),),
    ),
    OpRecord(
        "cummin",
        ops.cummin,
        along(d.DISTINCT),
        running(np.minimum),
        domain="no ties",
        dtypes=REAL,
        errors=(bad_dim(ops.cummin),),
    ),
    OpRecord(
        "logcumsumexp",
        ops.logcumsumexp,
        along(),
        scan(lambda x, axis: np.log(np.exp(x).sum(axis))),
        errors=(
            bad_dim(ops.logcumsumexp),
            case(lambda t: ops.logcumsumexp(t([1]), 0), DTypeError, "logcumsumexp", "int64"),
        ),
    ),
    OpRecord(
        "diff",
        ops.diff,
        differences(),
        diff_reference,
        dtypes=REAL,
        errors=(
            bad_dim(ops.diff),
            case(lambda t: ops.diff(zeros(t)), ShapeError, "diff", "()"),
            case(lambda t: ops.diff(zeros(t, 2), -1), ValueError, "diff", "-1"),
        ),
    ),
    OpRecord(
        "trapezoid",
        ops.trapezoid,
        integrals(),
        trapezoid_reference,
        dtypes=REAL,
        result="float",
        errors=(
            case(
                lambda t: ops.trapezoid(zeros(t, 3), zeros(t, 2)),
                ShapeError,
                "trapezoid",
                *INTEGRAL_ERRORS,
            ),
        ),
    ),
    OpRecord(
        "cumulative_trapezoid",
        ops.cumulative_trapezoid,
        integrals(),
        cumulative_reference,
        dtypes=REAL,
        result="float",
        errors=(
            case(
                lambda t: ops.cumulative_trapezoid(zeros(t, 3), zeros(t, 2)),
                ShapeError,
                "cumulative_trapezoid",
                *INTEGRAL_ERRORS,
            ),
        ),
    ),
    OpRecord(
        "gradient",
        ops.gradient,
        slopes(),
        gradient_reference,
        dtypes=REAL,
        result="float",
        constants=("spacing",),
        errors=(
            case(lambda t: ops.gradient(zeros(t, 1)), ShapeError, "gradient", "2 elements", "1"),
            case(
                lambda t: ops.gradient(zeros(t, 3, 3), spacing=[1.0]),
                ShapeError,
                "1 spacings",
                "2 dimensions",
            ),
            case(lambda t: ops.gradient(zeros(t, 3), edge_order=3), ValueError, "edge_order", "3"),
        ),
    ),
]
