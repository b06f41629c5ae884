"""Functions of matrices that also stand outside of `linalg` in PyTorch; most are a composition of
what `decompositions.py` gives. All take batches (..., m, n).
"""

from __future__ import annotations

from typing import NamedTuple

from ..device import Array, xp
from ..errors import ShapeError
from ..makers import op
from ..promotion import need_tensors
from ..tape import Tensor, wrap
from .compare import where
from .decompositions import (
    _cholesky,
    _cholesky_solve,
    _lu,
    _pinv,
    _qr,
    _slogdet,
    _solve_triangular,
    _svd,
    check_matrices,
    inv,
    permutation,
)
from .elementwise import log
from .linalg import check_same_type, matmul
from .shape import cat, tril, triu

__all__ = """
    cholesky cholesky_inverse cholesky_solve geqrf inverse logdet lu lu_solve lu_unpack
    matrix_power orgqr ormqr pinverse qr slogdet svd triangular_solve
""".split()
METHODS = [name for name in __all__ if name != "lu_unpack"]  # also methods of Tensor


class SlogdetResult(NamedTuple):
    """det = sign * exp(logabsdet)"""

    sign: Tensor
    logabsdet: Tensor


class QRResult(NamedTuple):
    Q: Tensor
    R: Tensor


class SVDResult(NamedTuple):
    """input = U diag(S) V^T"""

    U: Tensor
    S: Tensor
    V: Tensor


class LUResult(NamedTuple):
    P: Tensor
    L: Tensor
    U: Tensor


class GeqrfResult(NamedTuple):
    a: Tensor
    tau: Tensor


class TriangularSolveResult(NamedTuple):
    solution: Tensor
    cloned_coefficient: Tensor


# ------------------------------------------------------------------------- determinants, inverses


def slogdet(input: Tensor) -> tuple[Tensor, ...]:
    """(sign, logabsdet): the sign of det(input) and log |det(input)|, without overflow.

    A singular matrix has sign 0 and logarithm -inf.
    https://docs.pytorch.org/docs/stable/generated/torch.linalg.slogdet.html
    """
    return SlogdetResult(*_slogdet(input))


def logdet(input: Tensor) -> Tensor:
    """y = log(det(input)), nan where the determinant is negative.

    https://docs.pytorch.org/docs/stable/generated/torch.logdet.html
    """
    sign, logarithm = _slogdet(input)
    return where(sign < 0, log(sign), logarithm)


def inverse(input: Tensor) -> Tensor:
    """y with input @ y = I. Raises LinAlgError for a singular matrix.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.inv.html
    """
    return inv(input)


def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """The pseudoinverse: singular values up to rcond * the largest count as 0.

    https://docs.pytorch.org/docs/stable/generated/torch.pinverse.html
    """
    return _pinv(input, None, rcond, False)


def matrix_power(input: Tensor, n: int) -> Tensor:
    """y = input @ input @ ... (n times), by squaring; of the inverse where n is negative.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.matrix_power.html
    """
    need_tensors("matrix_power", input=input)
    check_matrices("matrix_power", input._array, square=True)
    if n < 0:
        return matrix_power(inv(input), -n)
    if n == 0:
        return _identity_from(input)
    if n == 1:
        return input.clone()
    half = matrix_power(input, n // 2)
    return half @ half if n % 2 == 0 else half @ half @ input


def identity(like: Tensor, columns: int | None = None) -> Tensor:
    """Ones on the diagonal, (m, m) or (m, columns) for matrices (..., m, n)."""
    array = like._array
    return wrap(xp(array).eye(array.shape[-2], columns, dtype=array.dtype))


def _identity_from(input: Tensor) -> Tensor:
    """Ones on the diagonal in the shape of input, which it is connected to, with derivative 0."""
    eye = identity(input, input._array.shape[-1])
    return where(input.new_zeros(()).bool(), input, eye)


# --------------------------------------------------------------------------------------- Cholesky


def cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """L with L @ L^T = input, lower triangular; upper: its transpose.

    Raises LinAlgError for what is not positive definite.
    https://docs.pytorch.org/docs/stable/generated/torch.linalg.cholesky.html
    """
    factor = _cholesky(input)
    return factor.mT if upper else factor


def cholesky_solve(input: Tensor, L: Tensor, upper: bool = False) -> Tensor:
    """y with A @ y = input, where A = L @ L^T (upper: L^T @ L).

    https://docs.pytorch.org/docs/stable/generated/torch.cholesky_solve.html
    """
    need_tensors("cholesky_solve", input=input, L=L)
    return _cholesky_solve(input, L.mT if upper else L)


def cholesky_inverse(input: Tensor, upper: bool = False) -> Tensor:
    """The inverse of A = input @ input^T (upper: input^T @ input).

    https://docs.pytorch.org/docs/stable/generated/torch.cholesky_inverse.html
    """
    need_tensors("cholesky_inverse", input=input)
    check_matrices("cholesky_inverse", input._array, square=True)
    return cholesky_solve(identity(input), input, upper)


def triangular_solve(
    input: Tensor,
    A: Tensor,
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
) -> tuple[Tensor, ...]:
    """(solution y of A @ y = input, A) for triangular A; transpose: of A^T @ y = input.

    https://docs.pytorch.org/docs/stable/generated/torch.triangular_solve.html
    """
    need_tensors("triangular_solve", input=input, A=A)
    upright, is_upper = (A.mT, not upper) if transpose else (A, upper)
    solution = _solve_triangular(upright, input, is_upper, unitriangular)
    return TriangularSolveResult(solution, A.clone())


# --------------------------------------------------------------------------------------------- QR


def qr(input: Tensor, some: bool = True) -> tuple[Tensor, ...]:
    """(Q, R) with Q @ R = input, Q orthonormal, R upper triangular; some=False: Q is square.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.qr.html
    """
    need_tensors("qr", input=input)
    check_matrices("qr", input._array)
    m, n = input._array.shape[-2:]
    if m < n:  # the columns on the right follow: R = [R1, Q^T A2]
        q, r = _qr(input[..., :m])
        return QRResult(q, cat([r, q.mT @ input[..., m:]], -1))
    if some or m == n:
        return QRResult(*_qr(input))
    # The columns of Q beyond the n-th are any that complete it: nothing can be differentiated.
    return QRResult(*map(wrap, xp(input._array).linalg.qr(input._array, "complete")))


@op(outputs=2)
def _geqrf(input: Array) -> tuple:
    """R in the upper triangle and below it the vectors v of the reflections H = I - tau v v^T"""
    check_matrices("geqrf", input)
    reflectors, tau = xp(input).linalg.qr(input, "raw")
    return reflectors.swapaxes(-1, -2), tau


def geqrf(input: Tensor) -> tuple[Tensor, ...]:
    """(a, tau): QR as LAPACK packs it, for orgqr and ormqr. It has no derivative.

    https://docs.pytorch.org/docs/stable/generated/torch.geqrf.html
    """
    return GeqrfResult(*_geqrf(input))


def reflected(input: Tensor, tau: Tensor, x: Tensor, transpose: bool = False) -> Tensor:
    """H_1 @ ... @ H_k @ x (transpose: H_k @ ... @ H_1 @ x), H_i = I - tau[i] v_i v_i^T.

    v_i: column i of input below its diagonal, with 1 on it and 0 above.
    """
    v = tril(input, -1) + identity(input, input._array.shape[-1])
    count = tau._array.shape[-1]
    for i in range(count) if transpose else reversed(range(count)):
        column = v[..., i : i + 1]
        x = x - (tau[..., i, None, None] * column) @ (column.mT @ x)
    return x


def _check_reflections(name: str, input: Tensor, tau: Tensor) -> None:
    need_tensors(name, input=input, tau=tau)
    check_same_type(name, input=input._array, tau=tau._array)
    check_matrices(name, input._array)
    m, n = input._array.shape[-2:]
    count = tau._array.shape[-1] if tau._array.ndim else m + 1
    if m < n or count > n:
        raise ShapeError(
            f"{name}: expected (..., m, n) and tau (..., k) with k <= n <= m, got "
            f"{input._array.shape} and {tau._array.shape}."
        )


def orgqr(input: Tensor, tau: Tensor) -> Tensor:
    """The first n columns of Q = H_1 @ ... @ H_k, H_i = I - tau[i] v_i v_i^T.

    input (..., m, n), tau (..., k); v_i: column i of input below its diagonal, with 1 on it and 0
    above.
    https://docs.pytorch.org/docs/stable/generated/torch.linalg.householder_product.html
    """
    _check_reflections("householder_product", input, tau)
    return reflected(input, tau, _identity_from(input))


def ormqr(
    input: Tensor, tau: Tensor, other: Tensor, left: bool = True, transpose: bool = False
) -> Tensor:
    """Q @ other, or other @ Q with left=False; Q of orgqr, but square; transpose: its transpose.

    https://docs.pytorch.org/docs/stable/generated/torch.ormqr.html
    """
    need_tensors("ormqr", other=other)
    m = input._array.shape[-2]
    if other._array.ndim < 2 or other._array.shape[-2 if left else -1] != m:
        raise ShapeError(f"ormqr: other {other._array.shape} does not fit {input._array.shape}.")
    if left:
        return reflected(input, tau, other, transpose)
    return reflected(input, tau, other.mT, not transpose).mT


# -------------------------------------------------------------------------------------------- SVD


def svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> tuple[Tensor, ...]:
    """(U, S, V) with U @ diag(S) @ V^T = input; V is not transposed, unlike in linalg.svd.

    https://docs.pytorch.org/docs/stable/generated/torch.svd.html
    """
    u, s, vh = _svd(input, not some)
    if not compute_uv:
        u, vh = (x.new_zeros(x._array.shape[-2:]).expand(x._array.shape) for x in (u, vh))
    return SVDResult(u, s, vh.mT)


# --------------------------------------------------------------------------------------------- LU


def lu(input: Tensor, pivot: bool = True, get_infos: bool = False) -> tuple[Tensor, ...]:
    """(LU, pivots) as linalg.lu_factor; get_infos: (LU, pivots, info) as linalg.lu_factor_ex.

    https://docs.pytorch.org/docs/stable/generated/torch.lu.html
    """
    packed, pivots, info = factored("lu", input, pivot)
    return (packed, pivots, info) if get_infos else (packed, pivots)


def factored(name: str, input: Tensor, pivot: bool) -> tuple[Tensor, ...]:
    """LU, pivots and info: 0, or which is the first pivot that is 0, counted from 1."""
    if not pivot:
        raise RuntimeError(f"{name}: LU without pivoting is not implemented; pivot=True is.")
    packed, pivots = _lu(input)
    array = packed._array
    diagonal = xp(array).diagonal(array, axis1=-2, axis2=-1)
    if not diagonal.shape[-1]:
        return packed, pivots, wrap(xp(array).zeros(array.shape[:-2], "int32"))
    info = xp(array).where(diagonal.all(-1), 0, (diagonal == 0).argmax(-1) + 1)
    return packed, pivots, wrap(info.astype("int32"))


def lu_unpack(
    LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True
) -> tuple[Tensor, ...]:
    """(P, L, U) with P @ L @ U = the matrix of which lu_factor gave these two.

    https://docs.pytorch.org/docs/stable/generated/torch.lu_unpack.html
    """
    need_tensors("lu_unpack", LU_data=LU_data, LU_pivots=LU_pivots)
    m, n = LU_data._array.shape[-2:]
    k = min(m, n)
    p = lower = upper = LU_data.new_zeros(0)
    if unpack_pivots:
        p = permutation(LU_pivots, m, LU_data)
    if unpack_data:
        lower = tril(LU_data[..., :k], -1) + identity(LU_data, k)
        upper = triu(LU_data[..., :k, :])
    return LUResult(p, lower, upper)


def lu_solve(b: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
    """y with A @ y = b, where lu_factor(A) gave the other two.

    https://docs.pytorch.org/docs/stable/generated/torch.lu_solve.html
    """
    return solved(LU_data, LU_pivots, b)


def solved(packed: Tensor, pivots: Tensor, b: Tensor, adjoint: bool = False) -> Tensor:
    """y with A @ y = b (adjoint: A^T @ y = b), A = P L U."""
    need_tensors("lu_solve", LU=packed, pivots=pivots, B=b)
    check_matrices("lu_solve", packed._array, square=True)
    p = permutation(pivots, packed._array.shape[-1], packed)
    if adjoint:
        half = _solve_triangular(packed.mT, b, False, False)
        return matmul(p, _solve_triangular(packed.mT, half, True, True))
    half = _solve_triangular(packed, matmul(p.mT, b), False, True)
    return _solve_triangular(packed, half, True, False)
