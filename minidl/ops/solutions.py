"""Inverses and solutions of `torch.linalg`: of equations, of least squares, of tensors; with an
error for what is singular, or (`_ex`) with a number that says so for each matrix of a batch.

`minidl/linalg.py` gathers them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..device import xp
from ..errors import ShapeError
from ..promotion import need_tensors
from ..tape import Tensor, wrap
from .compare import where
from .decompositions import (
    LinAlgError,
    _eigh,
    _pinv,
    _solve,
    _solve_triangular,
    _svd,
    check_matrices,
    cutoff,
    inv,
)
from .matrices import cholesky, factored, identity, solved
from .reduce import sum

Tolerance = float | Tensor | None


class LstsqResult(NamedTuple):
    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


class InvExResult(NamedTuple):
    inverse: Tensor
    info: Tensor


class SolveExResult(NamedTuple):
    result: Tensor
    info: Tensor


class CholeskyExResult(NamedTuple):
    L: Tensor
    info: Tensor


def matrix_rank(
    A: Tensor,
    tol: Tolerance = None,
    hermitian: bool = False,
    *,
    atol: Tolerance = None,
    rtol: Tolerance = None,
) -> Tensor:
    """y = the number of singular values above max(atol, rtol * the largest); see pinv for both.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.matrix_rank.html
    """
    need_tensors("matrix_rank", A=A)
    if tol is not None:
        atol, rtol = tol, 0.0
    A = A.detach()
    check_matrices("matrix_rank", A._array, square=hermitian)
    s = (_eigh(A, "L")[0].abs() if hermitian else _svd(A, False)[1])._array
    least = cutoff(s, A._array.shape, _number(atol), _number(rtol))
    return wrap(xp(s).asarray((s > least).sum(-1)))


def _number(tolerance: Tolerance) -> Any:
    return tolerance._array if isinstance(tolerance, Tensor) else tolerance


# --------------------------------------------------------------------------- inverses, solutions


def pinv(
    A: Tensor,
    rcond: Tolerance = None,
    hermitian: bool = False,
    *,
    atol: Tolerance = None,
    rtol: Tolerance = None,
) -> Tensor:
    """The pseudoinverse: (..., m, n) -> (..., n, m). Singular values up to max(atol, rtol * the
    largest) count as 0; rtol is max(m, n) * eps unless given, 0 if atol is.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.pinv.html
    """
    rtol = rcond if rtol is None else rtol
    return _pinv(A, _number(atol), _number(rtol), hermitian)


def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """y with A @ y = B: (..., n, n), and (..., n, k) or (..., n); left=False: y @ A = B.

    Raises LinAlgError for a singular A.
    https://docs.pytorch.org/docs/stable/generated/torch.linalg.solve.html
    """
    need_tensors("solve", A=A, B=B)
    if _is_vector(A, B):
        if not left:
            raise ValueError("solve: left=False needs a matrix B; a vector is a column.")
        return _solve(A, B[..., None])[..., 0]
    return _solve(A, B) if left else _solve(A.mT, B.mT).mT


def _is_vector(A: Tensor, B: Tensor) -> bool:
    """Whether B is a vector for each matrix of A, or one for all."""
    return B._array.ndim == 1 or (
        A._array.ndim - 1 == B._array.ndim and B._array.shape == A._array.shape[:-1]
    )


def solve_triangular(
    A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """y with A @ y = B (left=False: y @ A = B) for triangular A; what is on the other side of its
    diagonal is not read, nor (unitriangular) the diagonal, which counts as ones.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.solve_triangular.html
    """
    need_tensors("solve_triangular", A=A, B=B)
    if left:
        return _solve_triangular(A, B, upper, unitriangular)
    return _solve_triangular(A.mT, B.mT, not upper, unitriangular).mT


def lstsq(
    A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None
) -> tuple[Tensor, ...]:
    """(solution, residuals, rank, singular_values) of min |A @ y - B|: (..., m, n), (..., m, k).

    The smallest solution where there are many. Drivers fill what LAPACK's fill: gelsy (default)
    the rank, gelsd and gelss also the singular values, gels neither; all but gelsy the residuals,
    the sums of squares, if m > n and A has full rank.
    https://docs.pytorch.org/docs/stable/generated/torch.linalg.lstsq.html
    """
    need_tensors("lstsq", A=A, B=B)
    driver = driver or "gelsy"
    if driver not in ("gelsy", "gels", "gelsd", "gelss"):
        raise ValueError(f"lstsq: driver is gels, gelsy, gelsd or gelss, not {driver!r}.")
    column = _is_vector(A, B)
    columns = B[..., None] if column else B
    solution = pinv(A, rtol=rcond) @ columns
    m, n = A._array.shape[-2:]
    nothing = solution.flatten()[:0]
    rank = matrix_rank(A, rtol=rcond)
    full = bool((rank._array == n).all())
    residuals = nothing
    if driver != "gelsy" and m > n and full:
        residuals = sum((A @ solution - columns) ** 2, -2)
    return LstsqResult(
        solution[..., 0] if column else solution,
        residuals,
        rank.new_zeros(0) if driver == "gels" else rank,
        _svd(A.detach(), False)[1] if driver in ("gelsd", "gelss") else A.new_zeros(0),
    )


def tensorsolve(A: Tensor, B: Tensor, dims: Sequence[int] | None = None) -> Tensor:
    """y with tensordot(A, y, y.ndim) = B; `dims` of A are moved to its end first.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.tensorsolve.html
    """
    if dims is not None:
        A = A.movedim(tuple(dims), tuple(range(A._array.ndim - len(dims), A._array.ndim)))
    rest = A._array.shape[B._array.ndim :]
    if math.prod(rest) != B._array.size:
        raise ShapeError(
            f"tensorsolve: A of shape {A._array.shape} is not square for B of {B._array.shape}."
        )
    return solve(A.reshape((-1, math.prod(rest))), B.flatten()).reshape(rest)


def tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """y with tensordot(y, tensordot(A, x, x.ndim), ind) = x: A's first `ind` dimensions are rows.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.tensorinv.html
    """
    rows, columns = A._array.shape[:ind], A._array.shape[ind:]
    if ind < 1 or math.prod(rows) != math.prod(columns):
        raise ShapeError(f"tensorinv: {A._array.shape} is not square with ind={ind}.")
    return inv(A.reshape((math.prod(rows), -1))).reshape(columns + rows)


# --------------------------------------------------------- without errors: the `info` of a batch


def inv_ex(A: Tensor, *, check_errors: bool = False) -> tuple[Tensor, ...]:
    """(inverse, info); info: 0, or which pivot is 0; the inverse of such a matrix is nan.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.inv_ex.html
    """
    packed, pivots, info = _factored_where_possible("inv_ex", A, check_errors)
    return InvExResult(_nan_where_not(solved(packed, pivots, identity(A)), info), info)


def solve_ex(
    A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False
) -> tuple[Tensor, ...]:
    """(result, info); info: 0, or which pivot of A is 0; the result for such a matrix is nan.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.solve_ex.html
    """
    need_tensors("solve_ex", A=A, B=B)
    packed, pivots, info = _factored_where_possible("solve_ex", A, check_errors)
    column = _is_vector(A, B)
    columns = B[..., None] if column else B if left else B.mT
    y = _nan_where_not(solved(packed, pivots, columns, not left), info)
    return SolveExResult(y[..., 0] if column else y if left else y.mT, info)


def _factored_where_possible(name: str, A: Tensor, check_errors: bool) -> tuple[Tensor, ...]:
    """LU and pivots of A, of the identity where A is singular, and info, which says where."""
    need_tensors(name, A=A)
    check_matrices(name, A._array, square=True)
    packed, pivots, info = factored(name, A, True)
    if info._array.any():
        if check_errors:
            raise LinAlgError(f"{name}: a matrix is singular, pivot {int(info._array.max())} is 0.")
        safe = where((info != 0)[..., None, None], identity(A), A)
        packed, pivots, _ = factored(name, safe, True)
    return packed, pivots, info


def _nan_where_not(result: Tensor, info: Tensor) -> Tensor:
    if not info._array.any():
        return result
    return where((info != 0)[..., None, None], math.nan, result)


def cholesky_ex(
    A: Tensor, *, upper: bool = False, check_errors: bool = False
) -> tuple[Tensor, ...]:
    """(L, info); info: 0, or the order of the first leading minor that is not positive definite;
    the L of such a matrix is nan.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.cholesky_ex.html
    """
    check_matrices("cholesky", A._array, square=True)
    try:
        L = cholesky(A, upper)
        return CholeskyExResult(L, wrap(xp(A._array).zeros(A._array.shape[:-2], "int32")))
    except LinAlgError:
        if check_errors:
            raise
    flat = A._array.reshape(-1, *A._array.shape[-2:])
    orders = [_first_minor(wrap(matrix)) for matrix in flat]
    info = xp(flat).asarray(orders, "int32").reshape(A._array.shape[:-2])
    info = wrap(info)
    safe = where((info != 0)[..., None, None], identity(A), A)
    return CholeskyExResult(_nan_where_not(cholesky(safe, upper), info), info)


def _first_minor(A: Tensor) -> int:
    """The size of the smallest upper left block that is not positive definite; 0 if none."""
    for k in range(1, A._array.shape[-1] + 1):
        try:
            cholesky(A[:k, :k])
        except LinAlgError:
            return k
    return 0
