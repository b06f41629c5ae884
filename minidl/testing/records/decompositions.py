"""Records of `minidl/ops/{decompositions,matrices,norms}.py`.

Singular vectors and eigenvectors are determined up to their signs: their records compare products
of two of them, in which the signs cancel.
"""

import numpy as np
import scipy.linalg
from hypothesis import strategies as st

from minidl import linalg, ops
from minidl.errors import DTypeError, ShapeError
from minidl.linalg import LinAlgError
from minidl.testing import strategies as d
from minidl.testing.records.draw import choice, samples
from minidl.testing.records.record import OpRecord, case, zeros

# ------------------------------------------------------------------------------------ matrices


def batch(draw):
    return draw(choice((), (), (2,), (2, 1), (0,)))


def invertible_matrix(draw, lead, n):
    """Small numbers around a permutation with signs: far from singular, pivots off the diagonal."""
    x = 0.2 * draw(d.arrays((*lead, n, n))) + 2 * np.eye(n)
    signs = draw(st.lists(choice(1.0, -1.0), min_size=n, max_size=n))
    return (x * np.array(signs)[:, None])[..., draw(st.permutations(range(n))), :]


def positive_matrix(draw, lead, n):
    x = draw(d.arrays((*lead, n, n)))
    return x @ x.swapaxes(-1, -2) / 4 + np.eye(n)


def spread_matrix(draw, lead, m, n):
    """Singular values 3, 2, 1.3, 0.7: far from each other and from 0."""
    q = [np.linalg.qr(draw(d.arrays((*lead, k, k))) + 3 * np.eye(k))[0] for k in (m, n)]
    k = min(m, n)
    return q[0][..., :k] * np.array([3.0, 2.0, 1.3, 0.7])[:k] @ q[1][..., :k, :]


def sides(draw, count=1, empty=True):
    return draw(d.sides(count, empty))


@samples
def invertible(draw):
    return (invertible_matrix(draw, batch(draw), *sides(draw)),)


@samples
def positive(draw):
    return (positive_matrix(draw, batch(draw), *sides(draw)), draw(choice(False, True)))


@samples
def spread(draw, shape="any", extra=()):
    lead = batch(draw)
    m, n = sides(draw, 2, empty=False)
    m, n = {"any": (m, n), "square": (m, m), "tall": (max(m, n), min(m, n))}[shape]
    return (spread_matrix(draw, lead, m, n), *(draw(choice(*values)) for values in extra))


@samples
def squares(draw, extra=()):
    n = sides(draw)
    return (
        draw(d.arrays((*batch(draw), *n, *n))),
        *(draw(choice(*values)) for values in extra),
    )


@samples
def symmetric(draw):
    n, lead = sides(draw)[0], batch(draw)
    q = np.linalg.qr(draw(d.arrays((*lead, n, n))) + 3 * np.eye(n))[0]
    w = np.array([-1.5, -0.4, 0.8, 2.0])[:n]
    return (q * w @ q.swapaxes(-1, -2),)


# ------------------------------------------------------------------- the functions that are checked


def half_sum(a):
    return (a + a.swapaxes(-1, -2) if isinstance(a, np.ndarray) else a + a.mT) * 0.5


def pairs(u, v):
    """The products of the entries of column k of u and of column k of v."""
    return u[..., :, None, :] * v[..., None, :, :]


def eigh(A):
    w, v = linalg.eigh(half_sum(A))
    return w, pairs(v, v)


def eigh_reference(A):
    w, v = np.linalg.eigh(A)
    return w, pairs(v, v)


def linalg_svd(A):
    u, s, vh = linalg.svd(A, full_matrices=False)
    return pairs(u, u), s, pairs(u, vh.mT)


def top_svd(A):
    u, s, v = ops.svd(A)
    return pairs(u, u), s, pairs(u, v)


def svd_reference(A):
    u, s, vh = np.linalg.svd(A, full_matrices=False)
    return pairs(u, u), s, pairs(u, vh.swapaxes(-1, -2))


def each_matrix(function, *arrays):
    """A function of matrices over the batch, its results stacked."""
    lead = np.broadcast_shapes(*[a.shape[:-2] for a in arrays])
    arrays = [np.broadcast_to(a, lead + a.shape[-2:]) for a in arrays]
    results = [function(*[a[i] for a in arrays]) for i in np.ndindex(*lead)]
    if not results:  # the shapes of nothing
        results = [function(*[np.ones(a.shape[-2:]) + np.eye(*a.shape[-2:]) for a in arrays])]
        lead = (0,) if lead == (0,) else lead
        several = results[0] if isinstance(results[0], tuple) else (results[0],)
        out = tuple(np.zeros(lead + np.shape(r)) for r in several)
    else:
        several = results if isinstance(results[0], tuple) else [(r,) for r in results]
        out = tuple(
            np.reshape(np.array(r), lead + np.shape(r[0])) for r in zip(*several, strict=True)
        )
    return out if isinstance(results[0], tuple) else out[0]


def unpacked(A):
    return ops.lu_unpack(*linalg.lu_factor_ex(A)[:2])


def packed(A):
    return ops.lu(A)[0]


def packed_reference(A):
    def of_one(a):
        _, lower, upper = scipy.linalg.lu(a)
        k = min(a.shape)
        whole = np.zeros(a.shape)
        whole[:, :k] += np.tril(lower, -1)
        whole[:k] += upper
        return whole

    return each_matrix(of_one, A)


def lu_solve(A, B, left=True, adjoint=False):
    return linalg.lu_solve(*linalg.lu_factor(A), B, left=left, adjoint=adjoint)


def lu_solve_reference(A, B, left=True, adjoint=False):
    A = A.swapaxes(-1, -2) if adjoint else A
    return np.linalg.inv(A) @ B if left else B @ np.linalg.inv(A)


@samples
def lu_solves(draw):
    lead, (n, k) = batch(draw), sides(draw, 2)
    left = draw(choice(True, False))
    b = draw(d.arrays((*lead, n, k) if left else (*lead, k, n)))
    A = invertible_matrix(draw, lead, n)
    return (A, b), {"left": left, "adjoint": draw(choice(False, True))}


@samples
def reflections(draw, square=False):
    lead = batch(draw)
    m, n = sorted(sides(draw, 2, empty=False), reverse=True)
    a = draw(d.arrays((*lead, m, n)))
    tau = draw(d.arrays((*lead, draw(choice(*range(1, n + 1))))))
    if not square:
        return a, tau
    left = draw(choice(True, False))
    other = draw(d.arrays((*lead, m, 2) if left else (*lead, 2, m)))
    return a, tau, other, left, draw(choice(False, True))


def reflections_reference(a, tau):
    q = np.broadcast_to(np.eye(a.shape[-2]), (*a.shape[:-2], a.shape[-2], a.shape[-2]))
    for i in range(tau.shape[-1]):
        v = a[..., i].copy()
        v[..., :i], v[..., i] = 0, 1
        q = q - tau[..., i, None, None] * (q @ v[..., None]) * v[..., None, :]
    return q


def ormqr_reference(a, tau, other, left=True, transpose=False):
    q = reflections_reference(a, tau)
    q = q.swapaxes(-1, -2) if transpose else q
    return q @ other if left else other @ q


@samples
def norm_calls(draw, of):
    x = spread_matrix(draw, batch(draw)[:0] + draw(choice((), (2,))), *sides(draw, 2, False))
    if of == "matrix":
        ord = draw(choice("fro", "nuc", 2, -2, 1, -1, np.inf, -np.inf))
        return (x + 0.01, ord), {"keepdim": draw(choice(False, True))}
    ord = draw(choice(2, 1, 3.0, 0.5, np.inf, -np.inf))
    x = draw(d.arrays(d.shapes(1, empty=False), d.Domain(0.3, 3.0, distinct=True)))
    return (x, ord), {"dim": draw(d.axis(x.ndim)), "keepdim": draw(choice(False, True))}


def matrix_norm_reference(x, ord="fro", keepdim=False):
    return np.linalg.norm(x, ord, (-2, -1), keepdim)


def vector_norm_reference(x, ord=2, dim=None, keepdim=False):
    return np.linalg.norm(x, ord, dim, keepdim)


def rectangular(name, function):
    """Not square, and not of floats."""
    return (
        case(lambda t: function(zeros(t, 2, 3)), ShapeError, name, "square", "(2, 3)"),
        case(lambda t: function(t([[1, 0], [0, 1]])), DTypeError, name, "int64"),
    )


def singular(name, function):
    return case(lambda t: function(zeros(t, 2, 2)), LinAlgError, name, "singular")


def of_spread(name, function, reference, **fields):
    return OpRecord(
        name, function, spread(), reference, domain="singular values that differ", **fields
    )


RECORDS = [
    OpRecord(
        "inv",
        linalg.inv,
        invertible(),
        np.linalg.inv,
        domain="invertible",
        errors=(*rectangular("inv", linalg.inv), singular("inv", linalg.inv)),
    ),
    OpRecord("inverse", ops.inverse, invertible(), np.linalg.inv, domain="invertible"),
    OpRecord("det", ops.det, squares(), np.linalg.det, errors=rectangular("det", ops.det)),
    OpRecord(
        "slogdet",
        ops.slogdet,
        invertible(),
        lambda A: tuple(np.linalg.slogdet(A)),
        domain="invertible",
        errors=rectangular("slogdet", ops.slogdet),
    ),
    OpRecord(
        "logdet",
        ops.logdet,
        positive().map(lambda sample: type(sample)(sample.args[:1])),
        lambda A: np.log(np.linalg.det(A)),
        domain="positive determinant",
    ),
    OpRecord(
        "matrix_power",
        ops.matrix_power,
        invertible().flatmap(
            lambda sample: choice(0, 1, 2, 5, -1, -3).map(lambda n: type(sample)((*sample.args, n)))
        ),
        np.linalg.matrix_power,
        domain="invertible",
        errors=rectangular("matrix_power", lambda A: ops.matrix_power(A, 2)),
    ),
    OpRecord(
        "matrix_exp",
        ops.matrix_exp,
        squares(),
        lambda A: scipy.linalg.expm(A) if A.size else A,
        errors=rectangular("matrix_exp", ops.matrix_exp),
    ),
    OpRecord(
        "cholesky",
        lambda A, upper=False: ops.cholesky(half_sum(A), upper),
        positive(),
        lambda A, upper=False: np.linalg.cholesky(A, upper=upper),
        domain="symmetric, positive definite",
        errors=(
            *rectangular("cholesky", ops.cholesky),
            case(lambda t: ops.cholesky(-t([[1.0]])), LinAlgError, "positive definite"),
        ),
    ),
    OpRecord(
        "linalg.cholesky",
        lambda A: linalg.cholesky(half_sum(A)),
        positive().map(lambda sample: type(sample)(sample.args[:1])),
        np.linalg.cholesky,
        domain="symmetric, positive definite",
    ),
    OpRecord(
        "linalg.cholesky_ex",
        lambda A: linalg.cholesky_ex(half_sum(A)).L,
        positive().map(lambda sample: type(sample)(sample.args[:1])),
        np.linalg.cholesky,
        domain="symmetric, positive definite",
    ),
    OpRecord(
        "qr",
        ops.qr,
        spread(),
        lambda A: tuple(np.linalg.qr(A)),
        domain="full rank",
        errors=(case(lambda t: ops.qr(zeros(t, 2)), ShapeError, "qr", "(2,)"),),
    ),
    OpRecord(
        "linalg.qr",
        lambda A, mode: linalg.qr(A, mode)[1],
        spread("any", [("reduced", "r")]),
        lambda A, mode: np.linalg.qr(A, "r"),
        domain="full rank",
        errors=(case(lambda t: linalg.qr(zeros(t, 2, 2), "q"), ValueError, "qr", "'q'"),),
    ),
    OpRecord(
        "geqrf",
        ops.geqrf,
        spread(),
        lambda A: (lambda h, tau: (h.swapaxes(-1, -2), tau))(*np.linalg.qr(A, "raw")),
        order=0,
        errors=(case(lambda t: ops.geqrf(zeros(t, 2)), ShapeError, "geqrf", "(2,)"),),
    ),
    OpRecord(
        "orgqr",
        ops.orgqr,
        reflections(),
        lambda a, tau: reflections_reference(a, tau)[..., : a.shape[-1]],
        errors=(
            case(
                lambda t: ops.orgqr(zeros(t, 2, 3), zeros(t, 2)),
                ShapeError,
                "householder_product",
                "(2, 3)",
            ),
        ),
    ),
    OpRecord(
        "linalg.householder_product",
        linalg.householder_product,
        reflections(),
        lambda a, tau: reflections_reference(a, tau)[..., : a.shape[-1]],
    ),
    OpRecord(
        "ormqr",
        ops.ormqr,
        reflections(True),
        ormqr_reference,
        errors=(
            case(
                lambda t: ops.ormqr(zeros(t, 2, 1), zeros(t, 1), zeros(t, 3, 2)),
                ShapeError,
                "ormqr",
                "(3, 2)",
            ),
        ),
    ),
    OpRecord(
        "eigh",
        eigh,
        symmetric(),
        eigh_reference,
        domain="symmetric, eigenvalues that differ",
        errors=rectangular("eigh", linalg.eigh),
    ),
    OpRecord(
        "linalg.eigh",
        eigh,
        symmetric(),
        eigh_reference,
        domain="symmetric, eigenvalues that differ",
        errors=(case(lambda t: linalg.eigh(zeros(t, 2, 2), "X"), ValueError, "eigh", "'X'"),),
    ),
    OpRecord(
        "linalg.eigvalsh",
        lambda A: linalg.eigvalsh(half_sum(A)),
        symmetric(),
        np.linalg.eigvalsh,
        domain="symmetric, eigenvalues that differ",
    ),
    of_spread("svd", top_svd, svd_reference),
    of_spread(
        "linalg.svd",
        linalg_svd,
        svd_reference,
        errors=(case(lambda t: linalg.svd(zeros(t, 2)), ShapeError, "svd", "(2,)"),),
    ),
    of_spread("linalg.svdvals", linalg.svdvals, lambda A: np.linalg.svd(A, compute_uv=False)),
    of_spread("linalg.cond", linalg.cond, np.linalg.cond),
    OpRecord(
        "lu",
        packed,
        spread(),
        packed_reference,
        domain="full rank",
        errors=(case(lambda t: ops.lu(zeros(t, 2)), ShapeError, "lu", "(2,)"),),
    ),
    OpRecord(
        "lu_unpack",
        unpacked,
        spread(),
        lambda A: each_matrix(scipy.linalg.lu, A),
        domain="full rank",
    ),
    OpRecord(
        "linalg.lu",
        linalg.lu,
        spread(),
        lambda A: each_matrix(scipy.linalg.lu, A),
        domain="full rank",
    ),
    OpRecord(
        "linalg.lu_factor",
        lambda A: linalg.lu_factor(A).LU,
        invertible(),
        packed_reference,
        domain="invertible",
        errors=(case(lambda t: linalg.lu_factor(zeros(t, 2, 2)), LinAlgError, "U[1, 1]", "zero"),),
    ),
    OpRecord(
        "linalg.lu_factor_ex",
        lambda A: linalg.lu_factor_ex(A).LU,
        spread(),
        packed_reference,
        domain="full rank",
    ),
    OpRecord("linalg.lu_solve", lu_solve, lu_solves(), lu_solve_reference, domain="invertible"),
    OpRecord(
        "lu_solve",
        lambda B, A: ops.lu_solve(B, *ops.lu(A)),
        lu_solves()
        .filter(lambda sample: sample.kwargs["left"])
        .map(lambda sample: type(sample)(sample.args[::-1])),
        lambda B, A: np.linalg.inv(A) @ B,
        domain="invertible",
    ),
    OpRecord(
        "linalg.matrix_norm",
        linalg.matrix_norm,
        norm_calls("matrix"),
        matrix_norm_reference,
        domain="singular values that differ",
        errors=(
            case(lambda t: linalg.matrix_norm(zeros(t, 2)), ShapeError, "matrix_norm", "(2,)"),
            case(lambda t: linalg.matrix_norm(zeros(t, 2, 2), 3), ValueError, "matrix_norm", "3"),
        ),
    ),
    OpRecord(
        "linalg.vector_norm",
        linalg.vector_norm,
        norm_calls("vector"),
        vector_norm_reference,
        domain="away from 0",
        errors=(case(lambda t: linalg.vector_norm(t([1])), DTypeError, "vector_norm", "int64"),),
    ),
    OpRecord(
        "linalg.norm",
        linalg.norm,
        norm_calls("vector"),
        vector_norm_reference,
        domain="away from 0",
        errors=(
            case(lambda t: linalg.norm(zeros(t, 2, 2, 2), 2), ShapeError, "norm", "3"),
            case(lambda t: linalg.norm(zeros(t, 2), "fro"), ValueError, "norm", "'fro'"),
        ),
    ),
]
