"""Records of `minidl/ops/scatter.py` and `minidl/ops/scatter_reduce.py`."""

import numpy as np
from hypothesis import strategies as st

from minidl import ops
from minidl.errors import DTypeError, ShapeError
from minidl.tape import named
from minidl.testing import strategies as d
from minidl.testing.records.draw import choice, each, samples
from minidl.testing.records.index import ALL, REAL, along, scatter_reference
from minidl.testing.records.record import OpRecord, case, zeros


def slices(draw, distinct=False):
    """A tensor, one of its dimensions, positions along it, and a source of their shape."""
    x = draw(d.arrays(d.shapes(1, empty=False), d.DISTINCT))
    dim = draw(d.axis(x.ndim))
    count = draw(choice(1, 0, 2, 4))
    if distinct:
        index = np.array(draw(st.permutations(range(x.shape[dim])))[:count], int)
    else:
        index = draw(d.integer_arrays((count,), 0, x.shape[dim]))
    shape = list(x.shape)
    shape[dim] = len(index)
    return x, dim, index, draw(d.arrays(shape, FAR))


FAR = d.Domain(-5.0, -2.5, distinct=True)  # apart from DISTINCT, which lies in [-2, 2]


@samples
def additions(draw):
    return slices(draw), {"alpha": draw(choice(1, 2, -1))}


def index_add_reference(x, dim, index, source, alpha=1):
    x = x.copy()
    for k, i in enumerate(index):
        np.moveaxis(x, dim, 0)[i] += alpha * np.moveaxis(source, dim, 0)[k]
    return x


@samples
def copies(draw):
    return slices(draw, distinct=True)


def index_copy_reference(x, dim, index, source):
    x = x.copy()
    np.moveaxis(x, dim, 0)[index] = np.moveaxis(source, dim, 0)
    return x


@samples
def fills(draw):
    x, dim, index, _ = slices(draw)
    return x, dim, index, draw(choice(0.5, -2))


def index_fill_reference(x, dim, index, value):
    x = x.copy()
    np.moveaxis(x, dim, 0)[index] = value
    return x


@samples
def slice_reductions(draw):
    how = draw(choice("prod", "mean", "amax", "amin"))
    return (*slices(draw), how), {"include_self": draw(choice(True, False))}


REDUCE = {"sum": np.sum, "prod": np.prod, "mean": np.mean, "amax": np.max, "amin": np.min}


def reduced(x, pairs, how, include_self):
    """x with the values of `pairs` (place, value) reduced into their places."""
    x, found = x.copy(), {}
    for place, value in pairs:
        found.setdefault(place, []).append(value)
    for place, values in found.items():
        x[place] = REDUCE[how]([x[place], *values] if include_self else values)
    return x


def index_reduce_reference(x, dim, index, source, how, include_self=True):
    pairs = []
    for place in np.ndindex(*source.shape):
        target = list(place)
        target[dim] = index[place[dim]]
        pairs.append((tuple(target), source[place]))
    return reduced(x, pairs, how, include_self)


@samples
def scatter_reductions(draw):
    x, dim, index = along(draw)
    x = draw(d.arrays(x.shape, d.DISTINCT))
    src = draw(d.arrays([n + draw(choice(0, 1)) for n in index.shape], FAR))
    how = draw(choice("sum", "prod", "mean", "amax", "amin"))
    return (x, dim, index, src, how), {"include_self": draw(choice(True, False))}


def scatter_reduce_reference(x, dim, index, src, how, include_self=True):
    pairs = []
    for place in np.ndindex(*index.shape):
        target = list(place)
        target[dim] = index[place]
        pairs.append((tuple(target), src[place]))
    return reduced(x, pairs, how, include_self)


@samples
def scatters(draw):
    """Each place is written at most once: otherwise which value stays is not defined."""
    x = draw(d.arrays(d.shapes(1, empty=False)))
    dim = draw(d.axis(x.ndim))
    whole = np.argsort(draw(d.arrays(x.shape)), dim)
    sizes = tuple(draw(choice(*range(1, n + 1))) for n in x.shape)
    index = whole[tuple(slice(n) for n in sizes)]
    return x, dim, index, draw(choice(draw(d.arrays(sizes)), 0.5))


@samples
def puts(draw):
    """Positions in row-major order, each once unless they are added up."""
    x = draw(d.arrays(d.shapes(empty=False)))
    if draw(choice(False, True)):
        index = draw(d.integer_arrays(d.shapes(max_dims=2), -x.size, x.size))
        return x, index, draw(d.arrays(index.shape)), True
    index = np.array(draw(st.permutations(range(x.size)))[: draw(choice(1, 2))], int)
    return x, index, draw(d.arrays(index.shape)), False


def put_reference(x, index, source, accumulate=False):
    flat = x.flatten()
    np.add.at(flat, index, source - (0 if accumulate else flat[index]))
    return flat.reshape(x.shape)


@samples
def takes(draw):
    x = draw(d.arrays(d.shapes(empty=False)))
    return x, draw(d.integer_arrays(d.shapes(), -x.size, x.size))


@samples
def index_puts(draw):
    x = draw(d.arrays(d.shapes(1, empty=False)))
    if draw(choice(False, True)):
        mask = draw(d.masks(x.shape))
        return x, [mask], draw(d.arrays((int(mask.sum()),))), draw(choice(False, True))
    rows = draw(d.integer_arrays((2,), -len(x), len(x)))
    return x, [rows], draw(d.arrays(draw(choice((2, *x.shape[1:]), x.shape[1:])))), True


def index_put_reference(x, indices, values, accumulate=False):
    x = x.copy()
    if accumulate:
        np.add.at(x, tuple(indices), values)
    else:
        x[tuple(indices)] = values
    return x


@samples
def takes_along(draw):
    x = draw(d.arrays(d.shapes(1, empty=False)))
    if draw(choice(False, True)):
        return x, draw(d.integer_arrays((3,), 0, x.size))
    dim = draw(d.axis(x.ndim))
    sizes = [n if draw(choice(True, False)) else 1 for n in x.shape]
    sizes[dim] = draw(choice(1, 2, 5))
    return x, draw(d.integer_arrays(sizes, -x.shape[dim], x.shape[dim])), dim


def take_along_reference(x, indices, dim=None):
    return np.take_along_axis(x, indices, dim)


@samples
def maskings(draw, source=False):
    shape, other = draw(d.broadcastable_shapes())
    x, mask = draw(d.arrays(shape)), draw(d.masks(other))
    count = np.broadcast(x, mask).size
    return (x, mask, draw(d.arrays((count + 1,)))) if source else (x, mask)


def masked_select_reference(x, mask):
    x, mask = np.broadcast_arrays(x, mask)
    return x[mask]


def masked_scatter_reference(x, mask, source):
    x, mask = np.broadcast_arrays(x, mask)
    x = x.copy()
    np.place(x, mask, source[: mask.sum()]) if mask.any() else None
    return x


integers = each(d.integer_arrays(d.shapes(1), -1, 2).map(np.float64))


@samples
def static(draw):
    return (draw(integers).args[0],), {"size": draw(choice(0, 1, 3)), "fill_value": -7}


def static_reference(x, size, fill_value):
    found = np.argwhere(x)[:size]
    rest = np.full((size - len(found), x.ndim), fill_value)
    return np.concatenate([found, rest])


def flat_index(function):
    """An inner op that gets its index as an array in a tuple."""

    def call(x, values, index, *rest):
        return function(x, values, (getattr(index, "_array", index),), *rest)

    return call


@samples
def flat_additions(draw):
    x = draw(d.arrays((draw(choice(1, 2, 4)),), d.DISTINCT))
    index = draw(d.integer_arrays((draw(choice(0, 1, 3)),), 0, x.size))
    return x, draw(d.arrays(index.shape, FAR)), index


@samples
def flat_extremes(draw):
    return *draw(flat_additions()).args, draw(choice(True, False))


def extreme_reference(x, values, index, largest):
    return reduced(x, zip(index, values, strict=True), "amax" if largest else "amin", True)


def record(name, samples, reference, *errors, dtypes=ALL, **fields):
    return OpRecord(
        name, getattr(ops, name), samples, reference, dtypes=dtypes, errors=errors, **fields
    )


RECORDS = [
    record(
        "index_add",
        additions(),
        index_add_reference,
        case(
            lambda t: ops.index_add(zeros(t, 3), 0, t([3]), zeros(t, 1)),
            IndexError,
            "index_add",
            "3",
        ),
        case(
            lambda t: ops.index_add(zeros(t, 3), 0, t([0]), zeros(t, 2)),
            ShapeError,
            "index_add",
            "(1,)",
            "(2,)",
        ),
        case(
            lambda t: ops.index_add(zeros(t, 3), 0, zeros(t, 1), zeros(t, 1)),
            DTypeError,
            "index_add",
            "float64",
        ),
        dtypes=REAL,
    ),
    OpRecord(
        "add_at",
        flat_index(named("add_at")),
        flat_additions(),
        lambda x, values, index: index_add_reference(x, 0, index, values),
        dtypes=REAL,
    ),
    record(
        "index_copy",
        copies(),
        index_copy_reference,
        case(
            lambda t: ops.index_copy(zeros(t, 3), 0, t([0]), t([1])),
            DTypeError,
            "index_copy",
            "int64",
        ),
        domain="each position once",
    ),
    record(
        "index_fill",
        fills(),
        index_fill_reference,
        case(lambda t: ops.index_fill(zeros(t, 3), 0, t([0]), zeros(t, 2)), ShapeError, "(2,)"),
        case(lambda t: ops.index_fill(zeros(t, 3), 0, t([-1]), 1.0), IndexError, "-1"),
    ),
    record(
        "index_reduce",
        slice_reductions(),
        index_reduce_reference,
        case(
            lambda t: ops.index_reduce(zeros(t, 3), 0, t([0]), zeros(t, 1), "sum"),
            ValueError,
            "index_reduce",
            "'sum'",
        ),
        domain="no ties",
    ),
    record(
        "scatter_reduce",
        scatter_reductions(),
        scatter_reduce_reference,
        case(
            lambda t: ops.scatter_reduce(zeros(t, 3), 0, t([0]), zeros(t, 1), "max"),
            ValueError,
            "scatter_reduce",
            "'max'",
        ),
        case(
            lambda t: ops.scatter_reduce(zeros(t, 3), 0, t([3]), zeros(t, 1), "sum"),
            IndexError,
            "scatter_reduce",
            "0 to 2",
        ),
        case(
            lambda t: ops.scatter_reduce(zeros(t, 3), 0, t([0, 1]), zeros(t, 1), "sum"),
            ShapeError,
            "scatter_reduce",
            "(2,)",
            "(1,)",
        ),
        domain="no ties",
    ),
    OpRecord(
        "extreme_at",
        flat_index(named("extreme_at")),
        flat_extremes(),
        extreme_reference,
        domain="no ties",
        dtypes=REAL,
    ),
    record(
        "scatter",
        scatters(),
        scatter_reference,
        case(lambda t: ops.scatter(zeros(t, 3), 0, t([3]), 1.0), IndexError, "scatter", "3"),
        case(lambda t: ops.scatter(zeros(t, 3), 0, t([0])), TypeError, "scatter", "src"),
        case(
            lambda t: ops.scatter(zeros(t, 3), 0, t([0]), 1.0, reduce="mean"),
            ValueError,
            "scatter",
            "'mean'",
        ),
        domain="each place written once",
    ),
    record(
        "put",
        puts(),
        put_reference,
        case(lambda t: ops.put(zeros(t, 3), t([0]), zeros(t, 2)), ShapeError, "put", "(2,)"),
        case(lambda t: ops.put(zeros(t, 3), t([3]), zeros(t, 1)), IndexError, "put", "-3 to 2"),
        domain="each place written once, or added to",
        dtypes=REAL,
    ),
    record(
        "take",
        takes(),
        lambda x, index: np.take(x, index),
        case(lambda t: ops.take(zeros(t, 3), t([3])), IndexError, "take", "-3 to 2"),
        case(lambda t: ops.take(zeros(t, 3), zeros(t, 1)), DTypeError, "take", "float64"),
    ),
    record(
        "index_put",
        index_puts(),
        index_put_reference,
        case(
            lambda t: ops.index_put(zeros(t, 3), (t([0]),), t([1]), True), DTypeError, "index_put"
        ),
        domain="each place written once, or added to",
        dtypes=REAL,
    ),
    record(
        "take_along_dim",
        takes_along(),
        take_along_reference,
        case(
            lambda t: ops.take_along_dim(zeros(t, 3), t([[0]]), 0),
            ShapeError,
            "take_along_dim",
            "(1, 1)",
        ),
    ),
    record(
        "masked_select",
        maskings(),
        masked_select_reference,
        case(
            lambda t: ops.masked_select(zeros(t, 3), t([0])), DTypeError, "masked_select", "int64"
        ),
    ),
    record(
        "masked_scatter",
        maskings(source=True),
        masked_scatter_reference,
        case(
            lambda t: ops.masked_scatter(zeros(t, 2), t([True, True]), zeros(t, 1)),
            ShapeError,
            "masked_scatter",
            "2 true",
            "only 1",
        ),
    ),
    record("argwhere", integers, lambda x: np.argwhere(x), order=0, result="index"),
    record("nonzero_static", static(), static_reference, order=0, result="index"),
    record(
        "fill",
        each(d.arrays(), choice(0.5, -2)),
        lambda x, value: np.full(x.shape, value),
    ),
]
