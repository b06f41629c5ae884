"""Records of `minidl/ops/statistics.py`."""

import numpy as np

from minidl import ops
from minidl.errors import DTypeError, ShapeError
from minidl.testing import strategies as d
from minidl.testing.records.draw import choice, each, samples
from minidl.testing.records.record import OpRecord, case, zeros
from minidl.testing.records.reduce import (
    along_axes,
    along_axis,
    fit,
    numpy_reduction,
    var_reference,
    variances,
)

ALL, REAL = "biuf", "iuf"


def with_mean(function):
    def reference(x, dim=None, correction=1, keepdim=False):
        return (
            function(var_reference(x, dim, correction, keepdim)),
            np.mean(x, axis=fit(dim, x), keepdims=keepdim),
        )

    return reference


@samples
def counts(draw):
    x = draw(d.integer_arrays((draw(choice(0, 1, 6)),), 0, 5))
    weights = draw(choice(None, draw(d.arrays(x.shape))))
    return x, weights, draw(choice(0, 7))


@samples
def parts(draw, weighted):
    x = draw(d.arrays(d.shapes(empty=False), d.DISTINCT))
    x = np.array([0.1, 0.3]) if x.size < 2 else x
    if not weighted:
        return x, draw(choice(1, 5)), *draw(choice((0, 0), (-1.0, 1.5)))
    given = {"range": draw(choice(None, (-1.0, 1.5))), "density": draw(choice(False, True))}
    if draw(choice(False, True)):
        given["weight"] = draw(d.arrays(x.shape, d.POSITIVE))
    return (x, 4), given


@samples
def points(draw):
    n, k = draw(choice(2, 5)), draw(choice(1, 2))
    x = draw(d.arrays((n, k), d.DISTINCT))
    return (x, [draw(choice(1, 3)) for _ in range(k)]), {"density": draw(choice(False, True))}


def histc_reference(x, bins=100, min=0, max=0):
    low, high = (min, max) if min != max else (x.min(), x.max())
    if low == high:
        low, high = low - 1, high + 1
    counted = np.zeros(bins)
    for value in x.ravel():
        if low <= value <= high:
            counted[np.minimum(int((value - low) / (high - low) * bins), bins - 1)] += 1
    return counted


def histogram_reference(x, bins, range=None, weight=None, density=False):
    weight = None if weight is None else weight.ravel()
    return np.histogram(x.ravel(), bins, range, weights=weight, density=density)


def histogramdd_reference(x, bins, density=False):
    hist, edges = np.histogramdd(x, bins, density=density)
    return hist, *edges


@samples
def observations(draw, weighted=False):
    n, m = draw(choice(1, 3)), draw(choice(3, 5))
    x = draw(d.arrays((n, m), d.DISTINCT))
    if not weighted:
        return (x,)
    given = {"correction": draw(choice(0, 1))}
    if draw(choice(False, True)):
        given["fweights"] = draw(d.integer_arrays((m,), 1, 4))
    if draw(choice(False, True)):
        given["aweights"] = draw(d.arrays((m,), d.POSITIVE))
    return (x,), given


def cov_reference(x, correction=1, fweights=None, aweights=None):
    return np.cov(x, ddof=correction, fweights=fweights, aweights=aweights)


@samples
def slices(draw):
    x = draw(d.arrays(d.shapes(2, empty=False), d.Domain(1.0, 2.0)))
    return x, draw(choice(1, 2, 3.0)), draw(d.axis(x.ndim)), draw(choice(0.5, 40.0))


def renorm_reference(x, p, dim, maxnorm):
    rows = np.moveaxis(x, dim, 0)
    out = []
    for row in rows:
        norm = (np.abs(row) ** p).sum() ** (1 / p)
        out.append(row * maxnorm / (norm + 1e-7) if norm > maxnorm else row)
    return np.moveaxis(np.array(out), 0, dim)


@samples
def two_of_one_shape(draw):
    shape = draw(d.shapes(empty=False))
    return draw(d.arrays(shape)), draw(d.arrays(shape)) + 5.0, draw(choice(1, 2, 3.0))


def norm_of(difference, p, axis=None):
    return (np.abs(difference) ** p).sum(axis) ** (1 / p)


@samples
def two_sets(draw):
    lead = draw(d.shapes(0, 1))
    p, r, m = draw(choice(1, 3)), draw(choice(1, 2)), draw(choice(1, 3))
    first, second = draw(d.arrays((*lead, p, m))), draw(d.arrays((*lead, r, m))) + 5.0
    return first, second, draw(choice(1.0, 2.0, 3.0))


def needs_float(function, *arguments):
    name = function.__name__
    return case(lambda t: function(t([[1]]), *arguments), DTypeError, name, "float", "int64")


def over(name, reference, samples, **fields):
    """Of a reduction that others do the work of: its errors have their names."""
    function = getattr(ops, name)
    dim = case(lambda t: function(zeros(t, 1, 2), 5), IndexError, "dimension 5", "2 dimensions")
    floats = () if "dtypes" in fields else (case(lambda t: function(t([1])), DTypeError, "float"),)
    return OpRecord(name, function, samples, reference, errors=(dim, *floats), **fields)


RECORDS = [
    over("nansum", numpy_reduction(np.sum), along_axes(), dtypes=ALL, result="sum"),
    over("nanmean", numpy_reduction(np.mean), along_axes(empty=False)),
    over("var_mean", with_mean(lambda v: v), variances()),
    over("std_mean", with_mean(np.sqrt), variances(), domain="variance not 0"),
    over(
        "count_nonzero",
        lambda x, dim=None: np.count_nonzero(x, axis=fit(dim, x)),
        along_axis(d.NOT_ZERO, keepdim=False),
        order=0,
        dtypes=ALL,
        result="index",
    ),
    OpRecord(
        "aminmax",
        ops.aminmax,
        along_axis(d.DISTINCT, empty=False),
        lambda x, dim=None, keepdim=False: tuple(
            function(x, axis=fit(dim, x), keepdims=keepdim) for function in (np.min, np.max)
        ),
        domain="no ties",
        dtypes=REAL,
        errors=(case(lambda t: ops.aminmax(zeros(t, 2), dim=1), IndexError, "dimension 1"),),
    ),
    OpRecord(
        "trace",
        ops.trace,
        each(d.arrays(d.shapes(2, 2))),
        np.trace,
        dtypes=REAL,
        result="sum",
        errors=(case(lambda t: ops.trace(zeros(t, 2)), ShapeError, "trace", "(2,)"),),
    ),
    OpRecord(
        "bincount",
        ops.bincount,
        counts(),
        lambda x, weights=None, minlength=0: np.bincount(x, weights, minlength),
        order=0,
        result="given",
        dtypes="i",
        constants=("weights",),
        errors=(
            case(lambda t: ops.bincount(t([1.0])), DTypeError, "bincount", "integers", "float"),
            case(lambda t: ops.bincount(t([-1])), ValueError, "bincount", "negative"),
            case(
                lambda t: ops.bincount(t([1]), t([1.0, 2.0])),
                ShapeError,
                "bincount",
                "(1,)",
                "(2,)",
            ),
        ),
    ),
    OpRecord(
        "histc",
        ops.histc,
        parts(False),
        histc_reference,
        order=0,
        errors=(
            needs_float(ops.histc),
            case(lambda t: ops.histc(t([1.0]), 0), ValueError, "histc", "bins", "0"),
        ),
    ),
    OpRecord(
        "histogram",
        ops.histogram,
        parts(True),
        histogram_reference,
        order=0,
        constants=("weight",),
        errors=(needs_float(ops.histogram, 2),),
    ),
    OpRecord(
        "histogramdd",
        ops.histogramdd,
        points(),
        histogramdd_reference,
        order=0,
        errors=(needs_float(ops.histogramdd, 2),),
    ),
    OpRecord(
        "cov",
        ops.cov,
        observations(True),
        cov_reference,
        dtypes=REAL,
        result="float",
        constants=("aweights",),
        errors=(
            case(lambda t: ops.cov(zeros(t, 1, 2, 2)), ShapeError, "cov", "(1, 2, 2)"),
            case(
                lambda t: ops.cov(zeros(t, 2, 3), aweights=zeros(t, 2)), ShapeError, "cov", "(2,)"
            ),
        ),
    ),
    OpRecord(
        "corrcoef",
        ops.corrcoef,
        observations(),
        np.corrcoef,
        dtypes=REAL,
        result="float",
    ),
    OpRecord(
        "renorm",
        ops.renorm,
        slices(),
        renorm_reference,
        errors=(case(lambda t: ops.renorm(zeros(t, 2), 2, 0, 1.0), ShapeError, "renorm", "(2,)"),),
    ),
    OpRecord(
        "dist",
        ops.dist,
        two_of_one_shape(),
        lambda x, y, p=2: norm_of(x - y, p),
        domain="apart",
    ),
    OpRecord(
        "cdist",
        ops.cdist,
        two_sets(),
        lambda x, y, p=2.0: norm_of(x[..., :, None, :] - y[..., None, :, :], p, -1),
        domain="apart",
        errors=(
            case(
                lambda t: ops.cdist(zeros(t, 2, 3), zeros(t, 2, 2)),
                ShapeError,
                "cdist",
                "(2, 3)",
                "(2, 2)",
            ),
            case(
                lambda t: ops.cdist(zeros(t, 2, 3), zeros(t, 2, 3), -1), ValueError, "cdist", "-1"
            ),
        ),
    ),
]
