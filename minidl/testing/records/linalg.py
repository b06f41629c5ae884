"""Records of `minidl/ops/linalg.py`."""

import numpy as np

from minidl import ops
from minidl.errors import DTypeError, ShapeError
from minidl.testing import strategies as d
from minidl.testing.records.draw import choice, samples
from minidl.testing.records.record import OpRecord, case, zeros


@samples
def matmuls(draw):
    a, b = draw(d.matmul_shapes())
    return draw(d.arrays(a)), draw(d.arrays(b))


def matmul_reference(a, b):
    row, column = a.ndim == 1, b.ndim == 1
    a, b = a[None] if row else a, b[:, None] if column else b
    out = (a[..., :, :, None] * b[..., None, :, :]).sum(-2)
    out = out[..., 0] if column else out
    return (out[..., 0] if column else out[..., 0, :]) if row else out


@samples
def matrices(draw, *batch):
    n, k, m = draw(d.sides(3))
    return draw(d.arrays((*batch, n, k))), draw(d.arrays((*batch, k, m)))


@samples
def linears(draw):
    inside, outside = draw(d.sides(2))
    x = draw(d.arrays((*draw(d.shapes(max_dims=2)), inside)))
    weight = draw(d.arrays((outside, inside)))
    return (x, weight, draw(d.arrays((outside,)))) if draw(choice(0, 1)) else (x, weight)


def linear_reference(x, weight, bias=0.0):
    return np.einsum("...i,oi->...o", x, weight) + bias


@samples
def einsums(draw):
    equation, shapes = draw(d.einsum_calls())
    return equation, *[draw(d.arrays(shape)) for shape in shapes]


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
