"""Records of `minidl/ops/solutions.py`, and of what solves with a factor that is given."""

import numpy as np

from minidl import linalg, ops
from minidl.errors import DTypeError, ShapeError
from minidl.linalg import LinAlgError
from minidl.testing import strategies as d
from minidl.testing.records.decompositions import (
    batch,
    half_sum,
    invertible,
    invertible_matrix,
    sides,
    spread,
    spread_matrix,
    symmetric,
)
from minidl.testing.records.draw import choice, samples
from minidl.testing.records.record import OpRecord, case, zeros


@samples
def equations(draw, vectors=True):
    """A and B of A @ y = B (or y @ A = B); batches broadcast; B may be one vector."""
    (n, k), lead = sides(draw, 2), batch(draw)
    A = invertible_matrix(draw, lead, n)
    if vectors and draw(choice(False, False, True)):
        return A, draw(d.arrays((n,)))
    left = draw(choice(True, True, False))
    other = lead if A.shape[:-1] == (n, k) else draw(choice(lead, ()))  # (n, k): of vectors
    shape = (*other, n, k) if left else (*other, k, n)
    if not left and shape == A.shape[:-1]:  # would be read as a batch of vectors
        shape, left = (*lead, n, k), True
    return (A, draw(d.arrays(shape))), {"left": left}


def solve_reference(A, B, left=True):
    if B.ndim == 1:
        return (np.linalg.inv(A) @ B[:, None])[..., 0]
    return np.linalg.inv(A) @ B if left else B @ np.linalg.inv(A)


@samples
def triangular(draw):
    (n, k), lead = sides(draw, 2), batch(draw)
    left = draw(choice(True, False))
    A = 0.5 * draw(d.arrays((*lead, n, n))) + 2 * np.eye(n)
    B = draw(d.arrays((*lead, n, k) if left else (*lead, k, n)))
    options = {key: draw(choice(False, True)) for key in ("upper", "unitriangular")}
    return (A, B), options | {"left": left}


def triangle(A, upper, unitriangular):
    A = np.triu(A) if upper else np.tril(A)
    n = A.shape[-1]
    return np.where(np.eye(n, dtype=bool), 1.0, A) if unitriangular else A


def triangular_reference(A, B, upper, left=True, unitriangular=False):
    inverse = np.linalg.inv(triangle(A, upper, unitriangular))
    return inverse @ B if left else B @ inverse


@samples
def older_triangular(draw):
    sample = draw(triangular().filter(lambda s: s.kwargs["left"]))
    flags = {"upper": sample.kwargs["upper"], "transpose": draw(choice(False, True))}
    return sample.args[::-1], flags | {"unitriangular": sample.kwargs["unitriangular"]}


def older_triangular_reference(B, A, upper=True, transpose=False, unitriangular=False):
    t = triangle(A, upper, unitriangular)
    return np.linalg.inv(t.swapaxes(-1, -2) if transpose else t) @ B, A


@samples
def with_factor(draw, inverse=False):
    """(B,) L, upper: a Cholesky factor on its side of the diagonal."""
    (n, k), lead = sides(draw, 2), batch(draw)
    upper = draw(choice(False, True))
    factor = np.tril(0.5 * draw(d.arrays((*lead, n, n)))) + 2 * np.eye(n)
    factor = factor.swapaxes(-1, -2) if upper else factor
    return (factor, upper) if inverse else (draw(d.arrays((*lead, n, k))), factor, upper)


def own_triangle(L, upper):
    """The gradient of a factor is that of both triangles: this makes it a function of one."""
    return L.triu() if upper else L.tril()


def product(L, upper):
    return L.swapaxes(-1, -2) @ L if upper else L @ L.swapaxes(-1, -2)


@samples
def overdetermined(draw):
    m, n = sorted(sides(draw, 2, False), reverse=True)
    lead = draw(choice((), (2,)))
    A = spread_matrix(draw, lead, m, n)
    B = draw(d.arrays((*lead, m, 2)))
    return (A, B), {"driver": draw(choice(None, "gels", "gelsd"))}


@samples
def tensor_equations(draw):
    A = invertible_matrix(draw, (), 6).reshape(2, 3, 6)
    return A, draw(d.arrays((2, 3)))


@samples
def tensor_inverses(draw):
    return (invertible_matrix(draw, (), 4).reshape(2, 2, 4),)


@samples
def of_low_rank(draw):
    n, r = sides(draw, 2, False)
    A = spread_matrix(draw, (2,), 4, n)
    return (A[..., :, : min(r, n)] @ A[..., :, : min(r, n)].swapaxes(-1, -2),)


RECORDS = [
    OpRecord(
        "solve",
        linalg.solve,
        equations(),
        solve_reference,
        domain="invertible",
        errors=(
            case(
                lambda t: linalg.solve(zeros(t, 2, 2), zeros(t, 3, 1)),
                ShapeError,
                "solve",
                "(3, 1)",
            ),
            case(
                lambda t: linalg.solve(zeros(t, 2, 2), zeros(t, 2, 1)),
                LinAlgError,
                "solve",
                "singular",
            ),
            case(
                lambda t: linalg.solve(zeros(t, 2, 2), t([[1], [2]])), DTypeError, "solve", "int64"
            ),
        ),
    ),
    OpRecord("linalg.solve", linalg.solve, equations(), solve_reference, domain="invertible"),
    OpRecord(
        "linalg.solve_ex",
        lambda A, B, left=True: linalg.solve_ex(A, B, left=left).result,
        equations(),
        solve_reference,
        domain="invertible",
        errors=(
            case(
                lambda t: linalg.solve_ex(zeros(t, 2, 2), zeros(t, 2, 2), check_errors=True),
                LinAlgError,
                "solve_ex",
                "pivot 1",
            ),
        ),
    ),
    OpRecord(
        "linalg.inv_ex",
        lambda A: linalg.inv_ex(A).inverse,
        invertible(),
        np.linalg.inv,
        domain="invertible",
        errors=(
            case(lambda t: linalg.inv_ex(zeros(t, 2, 3)), ShapeError, "inv_ex", "(2, 3)"),
            case(lambda t: linalg.inv_ex(zeros(t, 2, 2), check_errors=True), LinAlgError, "inv_ex"),
        ),
    ),
    OpRecord(
        "solve_triangular",
        linalg.solve_triangular,
        triangular(),
        triangular_reference,
        errors=(
            case(
                lambda t: linalg.solve_triangular(zeros(t, 2, 2), zeros(t, 3, 1), upper=True),
                ShapeError,
                "solve_triangular",
                "(3, 1)",
            ),
        ),
    ),
    OpRecord(
        "linalg.solve_triangular", linalg.solve_triangular, triangular(), triangular_reference
    ),
    OpRecord(
        "triangular_solve",
        ops.triangular_solve,
        older_triangular(),
        older_triangular_reference,
    ),
    OpRecord(
        "cholesky_solve",
        lambda B, L, upper: ops.cholesky_solve(B, own_triangle(L, upper), upper),
        with_factor(),
        lambda B, L, upper: np.linalg.inv(product(L, upper)) @ B,
        domain="of the factor one triangle",
    ),
    OpRecord(
        "cholesky_inverse",
        lambda L, upper: ops.cholesky_inverse(own_triangle(L, upper), upper),
        with_factor(True),
        lambda L, upper: np.linalg.inv(product(L, upper)),
        domain="of the factor one triangle",
    ),
    OpRecord(
        "pinv",
        linalg.pinv,
        spread(),
        np.linalg.pinv,
        domain="full rank",
        errors=(case(lambda t: linalg.pinv(zeros(t, 2)), ShapeError, "pinv", "(2,)"),),
    ),
    OpRecord(
        "linalg.pinv",
        lambda A: linalg.pinv(half_sum(A), hermitian=True),
        symmetric(),
        lambda A: np.linalg.pinv(A, hermitian=True) if A.size else A,
        domain="symmetric, full rank",
    ),
    OpRecord("pinverse", ops.pinverse, spread(), np.linalg.pinv, domain="full rank"),
    OpRecord(
        "linalg.matrix_rank",
        linalg.matrix_rank,
        of_low_rank(),
        np.linalg.matrix_rank,
        order=0,
        result="index",
    ),
    OpRecord(
        "linalg.lstsq",
        lambda A, B, driver=None: linalg.lstsq(A, B, driver=driver).solution,
        overdetermined(),
        lambda A, B, driver=None: np.linalg.pinv(A) @ B,
        domain="full rank",
        errors=(
            case(
                lambda t: linalg.lstsq(zeros(t, 2, 2), zeros(t, 2, 2), driver="qr"),
                ValueError,
                "lstsq",
                "'qr'",
            ),
        ),
    ),
    OpRecord(
        "linalg.tensorsolve",
        linalg.tensorsolve,
        tensor_equations(),
        lambda A, B: np.linalg.tensorsolve(A, B),
        domain="invertible",
        errors=(
            case(
                lambda t: linalg.tensorsolve(zeros(t, 2, 3), zeros(t, 2)),
                ShapeError,
                "tensorsolve",
                "(2, 3)",
            ),
        ),
    ),
    OpRecord(
        "linalg.tensorinv",
        linalg.tensorinv,
        tensor_inverses(),
        lambda A: np.linalg.tensorinv(A, 2),
        domain="invertible",
        errors=(
            case(lambda t: linalg.tensorinv(zeros(t, 2, 3), 1), ShapeError, "tensorinv", "(2, 3)"),
        ),
    ),
]
