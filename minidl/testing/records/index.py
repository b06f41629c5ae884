"""Records of `minidl/ops/index.py`."""

import numpy as np
from hypothesis import strategies as st

from minidl import ops
from minidl.errors import DTypeError, ShapeError
from minidl.testing import strategies as d
from minidl.testing.records.draw import choice, each, samples
from minidl.testing.records.record import OpRecord, case, zeros

ALL, REAL = "biuf", "iuf"


@samples
def indexings(draw):
    x = draw(d.arrays(d.shapes(1, empty=False)))
    return x, draw(st.one_of(d.basic_indices(x.shape), d.advanced_indices(x.shape)))


@samples
def assignments(draw):
    """x[where] = value, each place named at most once."""
    x = draw(d.arrays(d.shapes(1, empty=False)))
    kind = draw(choice("basic", "mask", "rows"))
    if kind == "basic":
        where = draw(d.basic_indices(x.shape))
    elif kind == "mask":
        where = draw(d.masks(x.shape))
    else:
        where = np.array(draw(st.permutations(range(x.shape[0])))[: draw(choice(1, 2))])
    picked = x[where].shape
    if kind == "mask" or draw(choice(False, False, True)):
        value = draw(choice(draw(d.arrays(())), 0.5))
    else:
        value = draw(d.arrays(picked[draw(choice(*range(len(picked) + 1))) :]))
    return x, where, value


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


def along(draw):
    """A tensor, one of its dimensions, and an index that fits."""
    x = draw(d.arrays(d.shapes(1)))
    dim = draw(d.axis(x.ndim))
    sizes = [draw(choice(*range(1, n + 1))) if n else 0 for n in x.shape]
    sizes[dim] = draw(choice(1, 2, 5)) if x.shape[dim] else 0
    return x, dim, draw(d.integer_arrays(sizes, 0, x.shape[dim]))


gathers = samples(along)


def gather_reference(x, dim, index):
    out = np.zeros(index.shape)
    for place in np.ndindex(*index.shape):
        source = list(place)
        source[dim] = index[place]
        out[place] = x[tuple(source)]
    return out


@samples
def scatter_adds(draw):
    x, dim, index = along(draw)
    larger = [n + draw(choice(0, 1)) for n in index.shape]
    return x, dim, index, draw(d.arrays(larger))


def scatter_add_reference(x, dim, index, src):
    out = x.copy()
    for place in np.ndindex(*index.shape):
        target = list(place)
        target[dim] = index[place]
        out[tuple(target)] += src[place]
    return out


def scatter_reference(x, dim, index, src):
    out = x.copy()
    for place in np.ndindex(*index.shape):
        target = list(place)
        target[dim] = index[place]
        out[tuple(target)] = src if isinstance(src, float) else src[place]
    return out


@samples
def selections(draw):
    x = draw(d.arrays(d.shapes(1, empty=False)))
    dim = draw(d.axis(x.ndim))
    return x, dim, draw(d.integer_arrays((draw(choice(0, 1, 3)),), 0, x.shape[dim]))


@samples
def masked_fills(draw):
    a = draw(d.shapes())
    mask = draw(d.masks([1 if draw(choice(False, False, True)) else n for n in a]))
    return draw(d.arrays(a)), mask, draw(choice(0.5, -2))


@samples
def orders(draw):
    x = draw(d.arrays(d.shapes(empty=False), d.DISTINCT))
    return (x,), {"dim": draw(d.axis(x.ndim)), "descending": draw(choice(False, True))}


def argsort_reference(x, dim=-1, descending=False):
    return np.argsort(-x if descending else x, dim) if x.ndim else np.int64(0)


def sort_reference(x, dim=-1, descending=False):
    if not x.ndim:
        return x, np.int64(0)
    order = argsort_reference(x, dim, descending)
    return np.take_along_axis(x, order, dim), order


@samples
def topks(draw):
    x = draw(d.arrays(d.shapes(1, empty=False), d.DISTINCT))
    dim = draw(d.axis(x.ndim))
    k = draw(choice(*range(x.shape[dim] + 1)))
    return (x, k), {"dim": dim, "largest": draw(choice(False, True))}


def topk_reference(x, k, dim=-1, largest=True):
    order = np.take(argsort_reference(x, dim, largest), range(k), dim)
    return np.take_along_axis(x, order, dim), order


@samples
def one_hots(draw):
    labels = draw(d.integer_arrays(d.shapes(), 0, 4))
    return labels, draw(choice(4, 6))


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
        each(d.integer_arrays(d.shapes(1), -1, 2).map(np.float64)),
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
