"""Records of `minidl/ops/linalg.py`."""

import numpy as np

from minidl import ops
from minidl.errors import DTypeError, ShapeError
from minidl.testing.records import draw as d
from minidl.testing.records.record import OpRecord, case, zeros


def sides(draw, count, empty=True):
    n = [d.one_of(draw, 1, 2, 3, 4) for _ in range(count)]
    if empty and d.one_of(draw, *range(10)) == 9:
        n[d.one_of(draw, *range(count))] = 0
    return n


def matmuls():
    def build(draw):
        n, k, m = sides(draw, 3)
        kind = d.one_of(draw, "matrices", "matrices", "batches", "row", "column", "vectors")
        if kind == "vectors":
            return d.real(draw, (k,)), d.real(draw, (k,))
        if kind == "batches":
            a, b = d.broadcastable(draw, empty=False)
            return d.real(draw, (*a[:2], n, k)), d.real(draw, (*b[-2:], k, m)) if (
                len(a) < 3 and len(b) < 3
            ) else d.real(draw, (k, m))
        batch = d.one_of(draw, (), (2,))
        if kind == "row":
            return d.real(draw, (k,)), d.real(draw, (*batch, k, m))
        if kind == "column":
            return d.real(draw, (*batch, n, k)), d.real(draw, (k,))
        return d.real(draw, (n, k)), d.real(draw, (k, m))

    return d.samples(build)


def matmul_reference(a, b):
    row, column = a.ndim == 1, b.ndim == 1
    a, b = a[None] if row else a, b[:, None] if column else b
    out = (a[..., :, :, None] * b[..., None, :, :]).sum(-2)
    out = out[..., 0] if column else out
    return (out[..., 0] if column else out[..., 0, :]) if row else out


def matrices(*batch):
    def build(draw):
        n, k, m = sides(draw, 3)
        return d.real(draw, (*batch, n, k)), d.real(draw, (*batch, k, m))

    return d.samples(build)


def linears():
    def build(draw):
        inside, outside = sides(draw, 2)
        x = d.real(draw, (*d.shape(draw, 0, 2), inside))
        weight = d.real(draw, (outside, inside))
        return (x, weight, d.real(draw, (outside,))) if d.one_of(draw, 0, 1) else (x, weight)

    return d.samples(build)


def linear_reference(x, weight, bias=0.0):
    return np.einsum("...i,oi->...o", x, weight) + bias


EQUATIONS = {
    "ij,jk->ik": ("ij", "jk"),
    "bij,bjk->bik": ("bij", "bjk"),
    "i,j->ij": ("i", "j"),
    "ij->ji": ("ij",),
    "ij->": ("ij",),
    "ij->j": ("ij",),
    "ij,ij->i": ("ij", "ij"),
    "ij,jk": ("ij", "jk"),
    "ba": ("ba",),
    "ij,jk,kl->il": ("ij", "jk", "kl"),
    "ij,k->ki": ("ij", "k"),
    "bhid,bhjd->bhij": ("bhid", "bhjd"),
    "...ij,...jk->...ik": ("zij", "zjk"),
    "...i,...i->...": ("zyi", "zyi"),
}


def einsums():
    def build(draw):
        equation = d.one_of(draw, *EQUATIONS)
        size = {c: d.one_of(draw, 1, 2, 3) for c in "abhdijklzy"}
        return equation, *[d.real(draw, [size[c] for c in term]) for term in EQUATIONS[equation]]

    return d.samples(build)


RECORDS = [
    OpRecord(
        "matmul",
        ops.matmul,
        matmuls(),
        matmul_reference,
        dtypes="iuf",
        errors=(
            case(
                lambda t: ops.matmul(zeros(t, 2, 3), zeros(t, 4, 5)),
                ShapeError,
                "matmul",
                "(2, 3)",
                "(4, 5)",
            ),
            case(lambda t: ops.matmul(zeros(t, 2, 3), zeros(t)), ShapeError, "matmul", "dimension"),
            case(
                lambda t: ops.matmul(zeros(t, 2, 2), t([[1, 2], [3, 4]])),
                DTypeError,
                "matmul",
                "float64",
                "int64",
            ),
            case(lambda t: ops.matmul(zeros(t, 2), [1.0, 2.0]), TypeError, "matmul", "list"),
            case(
                lambda t: ops.matmul(zeros(t, 3, 2, 2), zeros(t, 4, 2, 2)),
                ShapeError,
                "matmul",
                "(3, 2, 2)",
                "(4, 2, 2)",
            ),
        ),
    ),
    OpRecord(
        "mm",
        ops.mm,
        matrices(),
        matmul_reference,
        dtypes="iuf",
        errors=(
            case(lambda t: ops.mm(zeros(t, 2), zeros(t, 2, 2)), ShapeError, "mm", "2 dim", "(2,)"),
        ),
    ),
    OpRecord(
        "bmm",
        ops.bmm,
        matrices(2),
        matmul_reference,
        dtypes="iuf",
        errors=(
            case(
                lambda t: ops.bmm(zeros(t, 2, 3, 4), zeros(t, 3, 4, 5)),
                ShapeError,
                "bmm",
                "(2, 3, 4)",
                "(3, 4, 5)",
            ),
        ),
    ),
    OpRecord(
        "linear",
        ops.linear,
        linears(),
        linear_reference,
        errors=(
            case(
                lambda t: ops.linear(zeros(t, 2, 3), zeros(t, 5, 4)),
                ShapeError,
                "linear",
                "(5, 4)",
                "(2, 3)",
            ),
            case(
                lambda t: ops.linear(zeros(t, 2, 3), zeros(t, 5, 3), zeros(t, 4)),
                ShapeError,
                "(4,)",
            ),
        ),
    ),
    OpRecord(
        "einsum",
        ops.einsum,
        einsums(),
        lambda equation, *operands: np.einsum(equation, *operands),
        errors=(
            case(lambda t: ops.einsum("ij,jk", zeros(t, 2, 3)), ShapeError, "einsum", "2 operands"),
            case(
                lambda t: ops.einsum("ijk", zeros(t, 2, 3)), ShapeError, "einsum", "ijk", "(2, 3)"
            ),
            case(
                lambda t: ops.einsum("ij,jk->ik", zeros(t, 2, 3), zeros(t, 4, 2)),
                ShapeError,
                "einsum",
                "'j'",
                "3",
                "4",
            ),
        ),
    ),
]
