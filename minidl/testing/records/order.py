"""Records of `minidl/ops/order.py`."""

import numpy as np

from minidl import ops
from minidl.errors import DTypeError, ShapeError
from minidl.tape import named
from minidl.testing import strategies as d
from minidl.testing.records.draw import choice, each, samples
from minidl.testing.records.record import OpRecord, case, zeros

REAL = "iuf"


@samples
def medians(draw):
    """Of all elements, or along a dimension."""
    x = draw(d.arrays(d.shapes(empty=False), d.DISTINCT))
    if draw(choice(False, False, True)):
        return (x,)
    return x, draw(d.axis(x.ndim)), draw(choice(False, True))


def rank_reference(x, rank, dim, keepdim):
    """The values and positions of one rank along a dimension."""
    if not x.ndim:
        return x, np.int64(0)
    order = np.argsort(x, dim)
    place = np.take(order, [rank], dim)
    found = np.take_along_axis(x, place, dim), place
    return found if keepdim else tuple(part.squeeze(dim) for part in found)


def median_reference(x, dim=None, keepdim=False):
    if dim is None:
        return np.sort(x, None)[(x.size - 1) // 2]
    return rank_reference(x, ((x.shape[dim] if x.ndim else 1) - 1) // 2, dim, keepdim)


@samples
def ranks(draw):
    x = draw(d.arrays(d.shapes(1, empty=False), d.DISTINCT))
    dim = draw(d.axis(x.ndim))
    return x, draw(choice(*range(1, x.shape[dim] + 1))), dim, draw(choice(False, True))


@samples
def repeated(draw):
    x = draw(d.integer_arrays(d.shapes(1, empty=False), -1, 2)).astype(float)
    return x, draw(d.axis(x.ndim)), draw(choice(False, True))


def mode_reference(x, dim=-1, keepdim=False):
    def of_row(row):
        value = min(row, key=lambda v: (-(row == v).sum(), v))
        return value, np.nonzero(row == value)[0][-1]

    values, indices = (
        np.apply_along_axis(lambda row, i=i: np.array([of_row(row)[i]]), dim, x) for i in (0, 1)
    )
    found = values, indices.astype(np.int64)
    return found if keepdim else tuple(part.squeeze(dim) for part in found)


@samples
def quantiles(draw):
    x = draw(d.arrays(d.shapes(empty=False), d.DISTINCT))
    q = draw(choice(0.0, 0.3, 0.61, 1.0, np.array([0.2, 0.77])))
    dim = draw(choice(None, draw(d.axis(x.ndim))))
    way = draw(choice("linear", "lower", "higher", "midpoint", "nearest"))
    return (x, q), {"dim": dim, "keepdim": draw(choice(False, True)), "interpolation": way}


def quantile_reference(x, q, dim=None, keepdim=False, interpolation="linear"):
    dim = dim if x.ndim else None
    return np.quantile(x, q, dim, method=interpolation, keepdims=keepdim)


def on_whole_numbers(*parameters):
    """Small whole numbers, as floats: many are equal."""

    @samples
    def draw_all(draw):
        x = draw(d.integer_arrays(d.shapes(1), -2, 3)).astype(float)
        return (x,), {name: draw(choice(False, True)) for name in parameters}

    return draw_all()


def unique_reference(x, return_inverse=False, return_counts=False):
    return np.unique(x, return_inverse=return_inverse, return_counts=return_counts)


def consecutive_reference(x, return_inverse=False, return_counts=False):
    found, inverse, counts = [], [], []
    for value in x.ravel():
        if not found or found[-1] != value:
            found.append(value)
            counts.append(0)
        counts[-1] += 1
        inverse.append(len(found) - 1)
    results = [np.array(found, float)]
    if return_inverse:
        results.append(np.array(inverse, np.int64).reshape(x.shape))
    if return_counts:
        results.append(np.array(counts, np.int64))
    return tuple(results)


@samples
def memberships(draw):
    x, y = (draw(d.integer_arrays(d.shapes(1), -2, 3)).astype(float) for _ in range(2))
    return (x, y), {"invert": draw(choice(False, True))}


@samples
def searches(draw):
    """In one sequence, or in one per row."""
    n = draw(choice(1, 2, 5))
    lead = draw(d.shapes(0, 2, empty=False))
    sequence = np.sort(draw(d.integer_arrays((*lead, n), -4, 5)), -1).astype(float)
    shape = (*lead, draw(choice(1, 3))) if lead else draw(d.shapes())
    values = draw(d.integer_arrays(shape, -5, 6)).astype(float)
    return (sequence, values), {"right": draw(choice(False, True))}


def search_reference(sequence, values, right=False):
    before = np.less_equal if right else np.less
    if sequence.ndim == 1:
        return before(sequence, values[..., None]).sum(-1)
    return before(sequence[..., None, :], values[..., None]).sum(-1)


@samples
def buckets(draw):
    sample = draw(searches().filter(lambda sample: sample.args[0].ndim == 1))
    return sample.args[::-1], sample.kwargs


def no_elements(function, *arguments):
    name = function.__name__
    return case(lambda t: function(zeros(t, 0), *arguments), IndexError, name, "(0,)")


def bad_dim(function, *arguments):
    name = function.__name__
    return case(lambda t: function(zeros(t, 2), *arguments, 1), IndexError, name, "dimension 1")


def median_record(function):
    name = function.__name__
    return OpRecord(
        name,
        function,
        medians(),
        median_reference,
        domain="no ties",
        dtypes=REAL,
        errors=(
            no_elements(function, 0),
            bad_dim(function),
            case(lambda t: function(t([True])), DTypeError, name, "bool"),
        ),
    )


def quantile_record(function):
    name = function.__name__
    return OpRecord(
        name,
        function,
        quantiles(),
        quantile_reference,
        domain="no ties",
        constants=("q",),
        errors=(
            no_elements(function, 0.5),
            bad_dim(function, 0.5),
            case(lambda t: function(t([1.0]), 1.5), ValueError, name, "[0, 1]"),
            case(lambda t: function(t([1.0]), 0.5, interpolation="up"), ValueError, name, "'up'"),
            case(lambda t: function(t([1]), 0.5), DTypeError, name, "int64"),
        ),
    )


RECORDS = [
    median_record(ops.median),
    median_record(ops.nanmedian),
    OpRecord(
        "flat_median",
        named("flat_median"),
        each(d.arrays(d.shapes(empty=False), d.DISTINCT), choice(False, True)),
        lambda x, pass_nan: median_reference(x),
        domain="no ties",
        dtypes=REAL,
    ),
    OpRecord(
        "kthvalue",
        ops.kthvalue,
        ranks(),
        lambda x, k, dim=-1, keepdim=False: rank_reference(x, k - 1, dim, keepdim),
        domain="no ties",
        dtypes=REAL,
        errors=(
            bad_dim(ops.kthvalue, 1),
            case(lambda t: ops.kthvalue(zeros(t, 2), 3), ShapeError, "kthvalue", "3", "2"),
        ),
    ),
    OpRecord(
        "mode",
        ops.mode,
        repeated(),
        mode_reference,
        order=0,
        dtypes=REAL,
        errors=(no_elements(ops.mode), bad_dim(ops.mode)),
    ),
    quantile_record(ops.quantile),
    quantile_record(ops.nanquantile),
    OpRecord(
        "msort",
        ops.msort,
        each(d.arrays(d.shapes(1), d.DISTINCT)),
        lambda x: np.sort(x, 0),
        domain="no ties",
        dtypes=REAL,
    ),
    OpRecord(
        "unique",
        ops.unique,
        on_whole_numbers("return_inverse", "return_counts"),
        unique_reference,
        order=0,
        dtypes=REAL,
        errors=(
            case(lambda t: ops.unique(zeros(t, 2), dim=1), IndexError, "unique", "dimension 1"),
        ),
    ),
    OpRecord(
        "unique_consecutive",
        ops.unique_consecutive,
        on_whole_numbers("return_inverse", "return_counts"),
        consecutive_reference,
        order=0,
        dtypes=REAL,
        layouts=False,
        errors=(
            case(
                lambda t: ops.unique_consecutive(zeros(t, 2), dim=1),
                IndexError,
                "unique_consecutive",
                "dimension 1",
            ),
        ),
    ),
    OpRecord(
        "isin",
        ops.isin,
        memberships(),
        lambda x, y, invert=False: (x[..., None] == y.ravel()).any(-1) ^ invert,
        order=0,
        result="bool",
        dtypes=REAL,
        errors=(case(lambda t: ops.isin(t([1]), "1"), TypeError, "isin", "str"),),
    ),
    OpRecord(
        "searchsorted",
        ops.searchsorted,
        searches(),
        search_reference,
        order=0,
        result="index",
        dtypes=REAL,
        errors=(
            case(
                lambda t: ops.searchsorted(zeros(t, 2, 3), zeros(t, 3, 3)),
                ShapeError,
                "searchsorted",
                "(2, 3)",
                "(3, 3)",
            ),
            case(
                lambda t: ops.searchsorted(zeros(t, 2), 1.0, side="left", right=True),
                ValueError,
                "searchsorted",
                "'left'",
            ),
        ),
    ),
    OpRecord(
        "bucketize",
        ops.bucketize,
        buckets(),
        lambda values, sequence, right=False: search_reference(sequence, values, right),
        order=0,
        result="index",
        dtypes=REAL,
        errors=(
            case(lambda t: ops.bucketize(1.0, zeros(t, 2, 2)), ShapeError, "bucketize", "(2, 2)"),
        ),
    ),
]
