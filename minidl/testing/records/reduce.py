"""Records of `minidl/ops/reduce.py` and `minidl/ops/softmax.py`."""

import numpy as np

from minidl import ops
from minidl.errors import DTypeError, ShapeError
from minidl.testing import strategies as d
from minidl.testing.records.draw import choice, samples
from minidl.testing.records.record import OpRecord, case

ALL, REAL = "biuf", "iuf"


@samples
def along_axes(draw, domain=d.ANY, empty=True, dim_needed=False):
    """A tensor, None or one or several of its dimensions, keepdim or not."""
    x = draw(d.arrays(d.shapes(empty=empty), domain))
    dim = draw(d.axes(x.ndim))
    if dim_needed and dim is None:
        dim = draw(d.axis(x.ndim))
    return (x,), {"dim": dim, "keepdim": draw(choice(False, True))}


@samples
def along_axis(draw, domain=d.ANY, empty=True, none_too=True, keepdim=True, max_dims=3):
    """A tensor, one of its dimensions (or None), keepdim or not."""
    x = draw(d.arrays(d.shapes(max_dims=max_dims, empty=empty), domain))
    none = none_too and draw(choice(False, False, True))
    dim = None if none else draw(d.axis(x.ndim))
    return (x,), {"dim": dim} | ({"keepdim": draw(choice(False, True))} if keepdim else {})


@samples
def variances(draw):
    x = draw(d.arrays(d.shapes(empty=False)))
    dim = draw(d.axes(x.ndim))
    count = np.ones_like(x).sum(axis=fit(dim, x)).max()
    correction = draw(choice(0, 1)) if count > 1 else 0
    return (x,), {"dim": dim, "correction": correction, "keepdim": draw(choice(False, True))}


@samples
def extremes(draw):
    """max and min: of everything, or along a dimension."""
    x = draw(d.arrays(d.shapes(empty=False), d.DISTINCT))
    if draw(choice(False, False, True)):
        return (x,)
    return x, draw(d.axis(x.ndim)), draw(choice(False, True))


@samples
def softmaxes(draw):
    x = draw(d.arrays(domain=d.Domain(-3.0, 3.0)))
    return x, draw(d.axis(x.ndim))


@samples
def norms(draw):
    x = draw(d.arrays(d.shapes(empty=False), d.NOT_ZERO))
    p = draw(choice("fro", 1, 2, 3.0))
    return (x,), {"p": p, "dim": draw(d.axes(x.ndim)), "keepdim": draw(choice(False, True))}


def fit(dim, x):
    """A 0-d tensor may be reduced over dimension 0 or -1: nothing happens."""
    if isinstance(dim, tuple) and not x.ndim:
        return None
    return dim if x.ndim else None


def numpy_reduction(function):
    def reference(x, dim=None, keepdim=False):
        return function(x, axis=fit(dim, x), keepdims=keepdim)

    return reference


def var_reference(x, dim=None, correction=1, keepdim=False):
    return np.var(x, axis=fit(dim, x), ddof=correction, keepdims=keepdim)


def cumsum_reference(x, dim):
    if not x.ndim:
        return x
    moved = np.moveaxis(x, dim, 0)
    sums = np.array([moved[: i + 1].sum(0) for i in range(len(moved))]).reshape(moved.shape)
    return np.moveaxis(sums, 0, dim)


def extreme_reference(value, position):
    def reference(x, dim=None, keepdim=False):
        if dim is None:
            return value(x)
        if not x.ndim:
            return x, np.int64(0)
        return value(x, dim, keepdims=keepdim), position(x, dim, keepdims=keepdim)

    return reference


def position_reference(position):
    def reference(x, dim=None, keepdim=False):
        return position(x, axis=fit(dim, x), keepdims=keepdim)

    return reference


def logsumexp_reference(x, dim, keepdim=False):
    return np.log(np.exp(x).sum(axis=fit(dim, x), keepdims=keepdim))


def softmax_reference(x, dim):
    e = np.exp(x)
    return e / e.sum(axis=fit(dim, x), keepdims=True)


def norm_reference(x, p="fro", dim=None, keepdim=False):
    p = 2 if p == "fro" else p
    return (np.abs(x) ** p).sum(axis=fit(dim, x), keepdims=keepdim) ** (1 / p)


def reduction(name, reference, samples, errors=(), **fields):
    function = getattr(ops, name)
    dim = case(
        lambda t: function(t([[1.0, 2.0]]), 5), IndexError, name, "dimension 5", "2 dimensions"
    )
    return OpRecord(name, function, samples, reference, errors=(dim, *errors), **fields)


def repeated(name):
    function = getattr(ops, name)
    return case(lambda t: function(t([[1.0]]), (0, 0)), ShapeError, name, "repeated")


def needs_float(name, *arguments):
    function = getattr(ops, name)
    return case(lambda t: function(t([1, 2]), *arguments), DTypeError, name, "float", "int64")


def needs_elements(name, *arguments):
    function = getattr(ops, name)
    return case(lambda t: function(t(np.zeros((0, 2))), *arguments), IndexError, name, "size 0")


RECORDS = [
    reduction(
        "sum",
        numpy_reduction(np.sum),
        along_axes(),
        dtypes=ALL,
        result="sum",
        errors=(repeated("sum"),),
    ),
    reduction(
        "mean",
        numpy_reduction(
            lambda x, axis, keepdims: (
                np.sum(x, axis=axis, keepdims=keepdims)
                / np.ones_like(x).sum(axis=axis, keepdims=keepdims)
            )
        ),
        along_axes(empty=False),
        errors=(needs_float("mean"),),
    ),
    reduction("var", var_reference, variances(), errors=(needs_float("var"),)),
    reduction(
        "std",
        lambda x, **options: np.sqrt(var_reference(x, **options)),
        variances(),
        domain="variance not 0",
        errors=(needs_float("std"),),
    ),
    reduction("prod", numpy_reduction(np.prod), along_axis(max_dims=2), dtypes=ALL, result="sum"),
    reduction(
        "cumsum",
        cumsum_reference,
        along_axis(none_too=False, keepdim=False),
        dtypes=ALL,
        result="sum",
    ),
    reduction(
        "amax",
        numpy_reduction(np.max),
        along_axes(d.DISTINCT, empty=False, dim_needed=True),
        domain="no ties",
        dtypes=ALL,
        errors=(needs_elements("amax", 0),),
    ),
    reduction(
        "amin",
        numpy_reduction(np.min),
        along_axes(d.DISTINCT, empty=False, dim_needed=True),
        domain="no ties",
        dtypes=ALL,
        errors=(needs_elements("amin", 0),),
    ),
    reduction(
        "max",
        extreme_reference(np.max, np.argmax),
        extremes(),
        domain="no ties",
        dtypes=ALL,
        errors=(needs_elements("max", 0),),
    ),
    reduction(
        "min",
        extreme_reference(np.min, np.argmin),
        extremes(),
        domain="no ties",
        dtypes=ALL,
        errors=(needs_elements("min", 0),),
    ),
    reduction(
        "argmax",
        position_reference(np.argmax),
        along_axis(d.DISTINCT, empty=False),
        order=0,
        result="index",
        dtypes=REAL,
        errors=(needs_elements("argmax", 0),),
    ),
    reduction(
        "argmin",
        position_reference(np.argmin),
        along_axis(d.DISTINCT, empty=False),
        order=0,
        result="index",
        dtypes=REAL,
        errors=(needs_elements("argmin", 0),),
    ),
    reduction("all", numpy_reduction(np.all), along_axes(), order=0, result="bool", dtypes=ALL),
    reduction("any", numpy_reduction(np.any), along_axes(), order=0, result="bool", dtypes=ALL),
    reduction(
        "logsumexp",
        logsumexp_reference,
        along_axes(empty=False, dim_needed=True),
        dtypes=ALL,
        result="float",
    ),
    reduction("softmax", softmax_reference, softmaxes(), errors=(needs_float("softmax", 0),)),
    reduction(
        "log_softmax",
        lambda x, dim: np.log(softmax_reference(x, dim)),
        softmaxes(),
        errors=(needs_float("log_softmax", 0),),
    ),
    OpRecord(
        "norm",
        ops.norm,
        norms(),
        norm_reference,
        domain="away from 0",
        errors=(case(lambda t: ops.norm(t([1.0]), 2, 5), IndexError, "dimension 5"),),
    ),
]
