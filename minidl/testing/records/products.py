"""Records of `minidl/ops/products.py`."""

import functools
import itertools

import numpy as np

from minidl import linalg, ops
from minidl.errors import DTypeError, ShapeError
from minidl.testing import strategies as d
from minidl.testing.records.draw import choice, samples
from minidl.testing.records.record import OpRecord, case, zeros

REAL = "iuf"


@samples
def added(draw, left, right, out):
    """input, two operands and beta, alpha; shapes are written with the letters B, n, k, m."""
    size = dict(zip("Bnkm", draw(d.sides(4)), strict=True))
    a, b, c = (tuple(size[letter] for letter in shape) for shape in (left, right, out))
    c = tuple(1 if draw(choice(False, False, True)) else n for n in c)[draw(choice(0, 0, 1)) :]
    given = {"beta": draw(choice(1, 0.5, 0)), "alpha": draw(choice(1, -2.0))}
    return tuple(draw(d.arrays(shape)) for shape in (c, a, b)), given


def sum_and_product(equation):
    def reference(input, a, b, beta=1, alpha=1):
        return alpha * np.einsum(equation, a, b) + beta * input

    return reference


def sum_and_product_record(name, left, right, out, errors=()):
    function = getattr(ops, name)
    equation = f"{left},{right}->{out}"
    shapes = [[2] * len(shape) for shape in (left, right)]
    return OpRecord(
        name,
        function,
        added(left, right, out),
        sum_and_product(equation),
        dtypes=REAL,
        errors=(
            case(
                lambda t: function(zeros(t, 3, 3), *[zeros(t, *shape) for shape in shapes]),
                ShapeError,
                name,
                "(3, 3)",
                "does not broadcast",
            ),
            *errors,
        ),
    )


@samples
def vectors(draw, same=True):
    n, m = draw(d.sides(2))
    return draw(d.arrays((n,))), draw(d.arrays((n if same else m,)))


@samples
def matrix_and_vector(draw):
    n, m = draw(d.sides(2))
    return draw(d.arrays((n, m))), draw(d.arrays((m,)))


@samples
def inners(draw):
    k = draw(d.sides(1))
    a, b = (draw(d.shapes(max_dims=2)) for _ in range(2))
    if draw(choice(0, 0, 1)):
        return draw(d.arrays(a)), draw(d.arrays(()))
    return draw(d.arrays(a + k)), draw(d.arrays(b + k))


@samples
def tensordots(draw):
    count = draw(choice(0, 1, 2))
    common = draw(d.sides(count)) if count else ()
    a, b = (draw(d.shapes(max_dims=2)) for _ in range(2))
    if draw(choice(0, 1)):
        return draw(d.arrays(a + common)), draw(d.arrays(common + b)), count
    dims = (list(range(-count, 0)), list(range(len(b), len(b) + count))[::-1])
    return draw(d.arrays(a + common)), draw(d.arrays(b + common[::-1])), dims


@samples
def krons(draw):
    return tuple(draw(d.arrays(d.shapes(max_dims=2))) for _ in range(2))


@samples
def chains(draw):
    count = draw(choice(1, 2, 3, 4))
    sizes = draw(d.sides(count + 1))
    return tuple(draw(d.arrays(pair)) for pair in itertools.pairwise(sizes))


@samples
def dot_chains(draw):
    count = draw(choice(2, 3, 4))
    sizes = draw(d.sides(count + 1))
    matrices = [draw(d.arrays(pair)) for pair in itertools.pairwise(sizes)]
    if draw(choice(0, 1)):
        matrices[0] = draw(d.arrays((sizes[1],)))
    if draw(choice(0, 1)):
        matrices[-1] = draw(d.arrays((sizes[-2],)))
    return (matrices,)


@samples
def crosses(draw, last=False):
    a, b = (list(shape) for shape in draw(d.broadcastable_shapes(2, max_dims=2)))
    place = 0 if last else draw(choice(*range(min(len(a), len(b)) + 1)))
    a.insert(len(a) - place, 3)
    b.insert(len(b) - place, 3)
    return (draw(d.arrays(a)), draw(d.arrays(b))), {"dim": -1 - place}


def cross_reference(a, b, dim=-1):
    a, b = (np.moveaxis(x, dim, -1) for x in np.broadcast_arrays(a, b))
    return np.moveaxis(np.cross(a, b), -1, dim)


@samples
def vanders(draw, batch=False):
    x = draw(d.arrays(d.shapes(1, 2 if batch else 1, empty=False)))
    if batch:
        return (x,), {"N": draw(choice(2, 4))}
    return x, draw(choice(None, 0, 1, 4)), draw(choice(False, True))


@samples
def vecdots(draw):
    shape = draw(d.shapes(1, 3))
    return (draw(d.arrays(shape)), draw(d.arrays(shape))), {"dim": draw(d.axis(len(shape)))}


@samples
def diagonals(draw):
    x = draw(d.arrays(d.shapes(2, 3)))
    return (x,), {"offset": draw(choice(0, 1, -1))}


def not_vectors(function, *others):
    name = function.__name__
    return case(lambda t: function(zeros(t, 2, 2), *others, zeros(t, 2, 2)), ShapeError, name)


RECORDS = [
    sum_and_product_record("addmm", "nk", "km", "nm"),
    sum_and_product_record(
        "addmv",
        "nk",
        "k",
        "n",
        errors=(
            case(
                lambda t: ops.addmv(t([1]), t([[1]]), t([1]), alpha=0.5),
                DTypeError,
                "addmv",
                "alpha=0.5",
            ),
        ),
    ),
    sum_and_product_record("addr", "n", "m", "nm"),
    sum_and_product_record("baddbmm", "Bnk", "Bkm", "Bnm"),
    sum_and_product_record("addbmm", "Bnk", "Bkm", "nm"),
    OpRecord("dot", ops.dot, vectors(), np.dot, dtypes=REAL, errors=(not_vectors(ops.dot),)),
    OpRecord("vdot", ops.vdot, vectors(), np.vdot, dtypes=REAL),
    OpRecord(
        "mv",
        ops.mv,
        matrix_and_vector(),
        np.matmul,
        dtypes=REAL,
        errors=(
            case(lambda t: ops.mv(zeros(t, 2), zeros(t, 2)), ShapeError, "mv", "(2,)"),
            not_vectors(ops.mv),
        ),
    ),
    OpRecord(
        "outer",
        ops.outer,
        vectors(False),
        np.outer,
        dtypes=REAL,
        errors=(not_vectors(ops.outer),),
    ),
    OpRecord("ger", ops.ger, vectors(False), np.outer, dtypes=REAL),
    OpRecord(
        "inner",
        ops.inner,
        inners(),
        np.inner,
        dtypes=REAL,
        errors=(
            case(
                lambda t: ops.inner(zeros(t, 2), zeros(t, 3)), ShapeError, "inner", "(2,)", "(3,)"
            ),
        ),
    ),
    OpRecord(
        "tensordot",
        ops.tensordot,
        tensordots(),
        np.tensordot,
        dtypes=REAL,
        errors=(
            case(
                lambda t: ops.tensordot(zeros(t, 2, 3), zeros(t, 4, 2), 1),
                ShapeError,
                "tensordot",
                "size 3",
                "4",
            ),
            case(lambda t: ops.tensordot(zeros(t, 2), zeros(t, 2), 2), ShapeError, "dims=2"),
        ),
    ),
    OpRecord("kron", ops.kron, krons(), np.kron, dtypes=REAL),
    OpRecord(
        "chain_matmul",
        ops.chain_matmul,
        chains(),
        lambda *matrices: functools.reduce(np.matmul, matrices),
        dtypes=REAL,
        errors=(case(lambda t: ops.chain_matmul(zeros(t, 2)), ShapeError, "chain_matmul", "(2,)"),),
    ),
    OpRecord(
        "cross",
        ops.cross,
        crosses(),
        cross_reference,
        dtypes=REAL,
        errors=(
            case(lambda t: ops.cross(zeros(t, 2), zeros(t, 2)), ShapeError, "cross", "size 3"),
            case(lambda t: ops.cross(zeros(t, 2, 3), zeros(t, 2, 3), 0), ShapeError, "dimension 0"),
        ),
    ),
    OpRecord(
        "vander",
        ops.vander,
        vanders(),
        lambda x, N=None, increasing=False: np.vander(x, N, increasing),
        dtypes=REAL,
        errors=(
            case(lambda t: ops.vander(zeros(t, 2), -1), ShapeError, "vander", "-1"),
            case(lambda t: ops.vander(zeros(t, 2, 2)), ShapeError, "vander", "(2, 2)"),
        ),
    ),
    OpRecord(
        "linalg.multi_dot",
        linalg.multi_dot,
        dot_chains(),
        lambda matrices: functools.reduce(np.matmul, matrices),
        dtypes=REAL,
        errors=(case(lambda t: linalg.multi_dot([zeros(t, 2)]), ShapeError, "multi_dot", "1"),),
    ),
    OpRecord("linalg.cross", linalg.cross, crosses(True), cross_reference, dtypes=REAL),
    OpRecord(
        "linalg.vecdot",
        linalg.vecdot,
        vecdots(),
        lambda x, y, dim=-1: np.vecdot(x, y, axis=dim),
        dtypes=REAL,
    ),
    OpRecord(
        "linalg.diagonal",
        linalg.diagonal,
        diagonals(),
        lambda x, offset=0: np.diagonal(x, offset, -2, -1),
        dtypes=REAL,
    ),
    OpRecord(
        "linalg.vander",
        linalg.vander,
        vanders(True),
        lambda x, N=None: x[..., None] ** np.arange(N),
        dtypes=REAL,
        errors=(case(lambda t: linalg.vander(zeros(t, 2), 1), ShapeError, "vander", "1"),),
    ),
]
