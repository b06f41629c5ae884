"""Records of `minidl/ops/index.py`."""

import numpy as np

from minidl import ops
from minidl.errors import DTypeError, ShapeError
from minidl.testing.records import draw as d
from minidl.testing.records.record import OpRecord, case, zeros

ALL, REAL = "biuf", "iuf"


def basic_index(draw, shape):
    """Ints, slices with positive steps, None, Ellipsis; each dimension at most once."""
    parts = []
    for n in shape:
        kind = d.one_of(draw, "all", "slice", "slice", "int", "none")
        if kind == "none":
            parts.append(None)
        if kind == "int" and n:
            parts.append(d.one_of(draw, *range(-n, n)))
        elif kind == "slice":
            bounds = [d.one_of(draw, None, *range(-n - 1, n + 2)) for _ in range(2)]
            parts.append(slice(*bounds, d.one_of(draw, None, 1, 2)))
        else:
            parts.append(slice(None))
    cut = d.one_of(draw, *range(len(parts) + 1))
    if d.one_of(draw, False, True):  # the rest of the dimensions as ...
        parts = [*parts[:cut], Ellipsis]
    return tuple(parts) if len(parts) != 1 or d.one_of(draw, False, True) else parts[0]


def advanced_index(draw, shape):
    """Integer arrays that broadcast together among slices, or a mask."""
    if d.one_of(draw, False, False, True):
        return d.booleans(draw, shape[: d.one_of(draw, *range(1, len(shape) + 1))])
    common = d.shape(draw, 0, 2, empty=False)
    parts = []
    for n in shape:
        if d.one_of(draw, False, True) or not parts:
            parts.append(d.integers(draw, d.one_of(draw, common, (1,) * len(common)), -n, n))
        else:
            parts.append(d.one_of(draw, slice(None), slice(1, None)))
    return tuple(parts)


def indexings():
    def build(draw):
        x = d.real(draw, d.shape(draw, 1, empty=False))
        kind = d.one_of(draw, basic_index, advanced_index)
        return x, kind(draw, x.shape)

    return d.samples(build)


def assignments():
    """x[where] = value, each place named at most once."""

    def build(draw):
        x = d.real(draw, d.shape(draw, 1, empty=False))
        kind = d.one_of(draw, "basic", "mask", "rows")
        if kind == "basic":
            where = basic_index(draw, x.shape)
        elif kind == "mask":
            where = d.booleans(draw, x.shape)
        else:
            where = d.rng(draw).permutation(x.shape[0])[: d.one_of(draw, 1, 2)]
        picked = x[where].shape
        if kind == "mask" or d.one_of(draw, False, False, True):
            value = d.one_of(draw, d.real(draw, ()), 0.5)
        else:
            value = d.real(draw, picked[d.one_of(draw, *range(len(picked) + 1)) :])
        return x, where, value

    return d.samples(build)


def getitem(input, where):
    return input[where]


def assign(input, where, value):
    """`x[where] = value` as a function of values: it works on a copy and returns it."""
    out = input.clone()
    out[where] = value
    return out


def assign_reference(x, where, value):
    x = x.copy()
    x[where] = value
    return x


def along(draw, empty=True):
    """A tensor, one of its dimensions, and an index that fits."""
    x = d.real(draw, d.shape(draw, 1, empty=empty))
    dim = d.axis(draw, x.ndim)
    sizes = [d.one_of(draw, *range(1, n + 1)) if n else 0 for n in x.shape]
    sizes[dim] = d.one_of(draw, 1, 2, 5) if x.shape[dim] else 0
    return x, dim, d.integers(draw, sizes, 0, x.shape[dim])


def gathers():
    return d.samples(lambda draw: along(draw))


def gather_reference(x, dim, index):
    out = np.zeros(index.shape)
    for place in np.ndindex(*index.shape):
        source = list(place)
        source[dim] = index[place]
        out[place] = x[tuple(source)]
    return out


def scatter_adds():
    def build(draw):
        x, dim, index = along(draw)
        larger = [n + d.one_of(draw, 0, 1) for n in index.shape]
        return x, dim, index, d.real(draw, larger)

    return d.samples(build)


def scatter_add_reference(x, dim, index, src):
    out = x.copy()
    for place in np.ndindex(*index.shape):
        target = list(place)
        target[dim] = index[place]
        out[tuple(target)] += src[place]
    return out


def scatters():
    """Each place is written at most once: otherwise which value stays is not defined."""

    def build(draw):
        x = d.real(draw, d.shape(draw, 1, empty=False))
        dim = d.axis(draw, x.ndim)
        whole = np.argsort(d.real(draw, x.shape), dim)
        sizes = tuple(d.one_of(draw, *range(1, n + 1)) for n in x.shape)
        index = whole[tuple(slice(n) for n in sizes)]
        return x, dim, index, d.one_of(draw, d.real(draw, sizes), 0.5)

    return d.samples(build)


def scatter_reference(x, dim, index, src):
    out = x.copy()
    for place in np.ndindex(*index.shape):
        target = list(place)
        target[dim] = index[place]
        out[tuple(target)] = src if isinstance(src, float) else src[place]
    return out


def selections():
    def build(draw):
        x = d.real(draw, d.shape(draw, 1, empty=False))
        dim = d.axis(draw, x.ndim)
        return x, dim, d.integers(draw, (d.one_of(draw, 0, 1, 3),), 0, x.shape[dim])

    return d.samples(build)


def masked_fills():
    def build(draw):
        a = d.shape(draw)
        mask = d.booleans(draw, [1 if d.one_of(draw, False, False, True) else n for n in a])
        return d.real(draw, a), mask, d.one_of(draw, 0.5, -2)

    return d.samples(build)


def orders(**more):
    def build(draw):
        x = d.real(draw, d.shape(draw, empty=False), d.DISTINCT)
        return (x,), {"dim": d.axis(draw, x.ndim), "descending": d.one_of(draw, False, True)}

    return d.samples(build)


def argsort_reference(x, dim=-1, descending=False):
    return np.argsort(-x if descending else x, dim) if x.ndim else np.int64(0)


def sort_reference(x, dim=-1, descending=False):
    return np.flip(np.sort(x, dim), dim) if descending and x.ndim else np.sort(
        x, dim
    ) if x.ndim else x, argsort_reference(x, dim, descending)


def topks():
    def build(draw):
        x = d.real(draw, d.shape(draw, 1, empty=False), d.DISTINCT)
        dim = d.axis(draw, x.ndim)
        k = d.one_of(draw, *range(x.shape[dim] + 1))
        return (x, k), {"dim": dim, "largest": d.one_of(draw, False, True)}

    return d.samples(build)


def topk_reference(x, k, dim=-1, largest=True):
    order = np.take(argsort_reference(x, dim, largest), range(k), dim)
    return np.take_along_axis(x, order, dim), order


def one_hots():
    def build(draw):
        labels = d.integers(draw, d.shape(draw), 0, 4)
        return labels, d.one_of(draw, 4, 6)

    return d.samples(build)


def one_hot_reference(labels, classes=-1):
    return (labels[..., None] == np.arange(classes)).astype(np.int64)


RECORDS = [
    OpRecord(
        "getitem",
        getitem,
        indexings(),
        getitem,
        dtypes=ALL,
        errors=(
            case(lambda t: zeros(t, 2, 3)[2], IndexError, "2", "size 2"),
            case(lambda t: zeros(t, 2, 3)[0, 0, 0], IndexError, "indices", "2"),
            case(lambda t: zeros(t, 3)[::-1], ValueError, "step", "flip"),
            case(lambda t: zeros(t, 3)[t([0.5])], (DTypeError, IndexError), "index", "float"),
            case(lambda t: zeros(t, 3)[t([True, False])], (IndexError, ShapeError), "(2,)"),
            case(lambda t: zeros(t, 3)[t([3])], IndexError, "3"),
        ),
    ),
    OpRecord(
        "setitem",
        assign,
        assignments(),
        assign_reference,
        dtypes=ALL,
        errors=(
            case(lambda t: assign(zeros(t, 3), slice(0, 2), zeros(t, 3)), ShapeError, "(3,)"),
            case(lambda t: assign(zeros(t, 3), 5, 1.0), IndexError, "5"),
        ),
    ),
    OpRecord(
        "gather",
        ops.gather,
        gathers(),
        gather_reference,
        dtypes=ALL,
        errors=(
            case(lambda t: ops.gather(zeros(t, 3), 0, t([3])), IndexError, "gather", "3", "0 to 2"),
            case(lambda t: ops.gather(zeros(t, 3), 0, t([-1])), IndexError, "gather", "-1"),
            case(lambda t: ops.gather(zeros(t, 3), 0, zeros(t, 1)), DTypeError, "gather", "float"),
            case(lambda t: ops.gather(zeros(t, 3), 0, t([[0]])), ShapeError, "gather", "(1, 1)"),
        ),
    ),
    OpRecord(
        "scatter_add",
        ops.scatter_add,
        scatter_adds(),
        scatter_add_reference,
        dtypes=REAL,
        errors=(
            case(
                lambda t: ops.scatter_add(zeros(t, 3), 0, t([3]), zeros(t, 1)),
                IndexError,
                "scatter_add",
                "3",
            ),
        ),
    ),
    OpRecord(
        "scatter",
        ops.scatter,
        scatters(),
        scatter_reference,
        domain="each place written once",
        dtypes=ALL,
        errors=(
            case(lambda t: ops.scatter(zeros(t, 3), 0, t([3]), 1.0), IndexError, "scatter", "3"),
        ),
    ),
    OpRecord(
        "index_select",
        ops.index_select,
        selections(),
        lambda x, dim, index: np.take(x, index, dim),
        dtypes=ALL,
        errors=(
            case(
                lambda t: ops.index_select(zeros(t, 3), 0, t([3])), IndexError, "index_select", "3"
            ),
            case(
                lambda t: ops.index_select(zeros(t, 3), 0, zeros(t, 1)),
                DTypeError,
                "index_select",
                "float",
            ),
        ),
    ),
    OpRecord(
        "masked_fill",
        ops.masked_fill,
        masked_fills(),
        lambda x, mask, value: np.where(mask, value, x),
        dtypes=ALL,
        errors=(
            case(
                lambda t: ops.masked_fill(zeros(t, 2), t([True, False, True]), 0.0),
                ShapeError,
                "(2,)",
                "(3,)",
            ),
        ),
    ),
    OpRecord(
        "nonzero",
        ops.nonzero,
        d.samples(lambda draw: (d.integers(draw, d.shape(draw, 1), -1, 2).astype(float),)),
        lambda x: np.argwhere(x),
        order=0,
        dtypes=ALL,
        result="index",
    ),
    OpRecord(
        "sort",
        ops.sort,
        orders(),
        sort_reference,
        domain="no ties",
        dtypes=REAL,
        errors=(case(lambda t: ops.sort(zeros(t, 2), 1), IndexError, "sort", "dimension 1"),),
    ),
    OpRecord(
        "argsort",
        ops.argsort,
        orders(),
        argsort_reference,
        domain="no ties",
        order=0,
        dtypes=REAL,
        result="index",
        errors=(case(lambda t: ops.argsort(zeros(t, 2), 1), IndexError, "sort", "dimension 1"),),
    ),
    OpRecord(
        "topk",
        ops.topk,
        topks(),
        topk_reference,
        domain="no ties",
        dtypes=REAL,
        errors=(case(lambda t: ops.topk(zeros(t, 2), 3), ShapeError, "topk", "3", "2"),),
    ),
    OpRecord(
        "one_hot",
        ops.one_hot,
        one_hots(),
        one_hot_reference,
        order=0,
        dtypes="i",
        result="index",
        errors=(
            case(lambda t: ops.one_hot(t([3]), 3), IndexError, "one_hot", "3", "0 to 2"),
            case(lambda t: ops.one_hot(zeros(t, 2)), DTypeError, "one_hot", "float"),
        ),
    ),
]
