"""Linear algebra under the names of `torch.linalg`.

Matrices are the last two dimensions, what stands before them is a batch. Derivatives of any order
follow from `ops/decompositions.py`; where they do not exist (equal singular values, rank that
changes) they are infinite or nan, as in PyTorch. Not here: `eig`, `eigvals` (complex numbers).
https://docs.pytorch.org/docs/stable/linalg.html
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from .errors import ShapeError
from .names import lookup
from .ops import matrices, products, reduce, shape
from .ops.compare import where
from .ops.decompositions import (
    LinAlgError,
    _eigh,
    _svd,
    det,
    inv,
    matrix_exp,
)
from .ops.linalg import matmul
from .ops.matrices import QRResult, matrix_power, slogdet
from .ops.norms import matrix_norm, vector_norm
from .ops.solutions import (
    cholesky_ex,
    inv_ex,
    lstsq,
    matrix_rank,
    pinv,
    solve,
    solve_ex,
    solve_triangular,
    tensorinv,
    tensorsolve,
)
from .promotion import need_tensors
from .tape import Tensor

__all__ = [
    "LinAlgError",
    "cholesky",
    "cholesky_ex",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "householder_product",
    "inv",
    "inv_ex",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_factor_ex",
    "lu_solve",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_ex",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensorinv",
    "tensorsolve",
    "vander",
    "vecdot",
    "vector_norm",
]

Order = float | str | None


class EighResult(NamedTuple):
    eigenvalues: Tensor
    eigenvectors: Tensor


class SVDResult(NamedTuple):
    U: Tensor
    S: Tensor
    Vh: Tensor


class LUFactorResult(NamedTuple):
    LU: Tensor
    pivots: Tensor


class LUFactorExResult(NamedTuple):
    LU: Tensor
    pivots: Tensor
    info: Tensor


# ------------------------------------------------------------------------------------------ norms


def norm(
    A: Tensor,
    ord: Order = None,
    dim: int | tuple[int, ...] | None = None,
    keepdim: bool = False,
    *,
    dtype: object = None,
) -> Tensor:
    """vector_norm over one dimension or of a vector, matrix_norm over two or of a matrix; without
    `ord` the 2-norm of all elements.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.norm.html
    """
    need_tensors("norm", A=A)
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype)
    several = isinstance(dim, (tuple, list))
    if dim is None and A._array.ndim not in (1, 2):
        raise ShapeError(f"norm: with ord and without dim A needs 1 or 2 dimensions, not {A.ndim}.")
    if (dim is None and A._array.ndim == 2) or (several and len(dim) == 2):
        return matrix_norm(A, ord, (-2, -1) if dim is None else dim, keepdim, dtype=dtype)
    if isinstance(ord, str):
        raise ValueError(
            f"norm: ord={ord!r} is for matrices, not for dim={dim} of {A._array.shape}."
        )
    return vector_norm(A, ord, dim, keepdim, dtype=dtype)


def cond(A: Tensor, p: Order = None) -> Tensor:
    """y = norm(A, p) * norm(A^-1, p), inf if A is singular; p None or 2: s_max / s_min.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.cond.html
    """
    need_tensors("cond", A=A)
    if A._array.ndim > 1 and 0 in A._array.shape[-2:]:
        return reduce.sum(A, (-2, -1))
    if p in (None, 2, -2):
        s = svdvals(A)
        first, last = s[..., 0], s[..., -1]
        return last / first if p == -2 else first / last
    inverse, info = inv_ex(A)
    return where(info != 0, math.inf, matrix_norm(A, p) * matrix_norm(inverse, p))


# --------------------------------------------------------------------------------- decompositions


def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """L with L @ L^T = A, lower triangular; upper: L^T. Raises LinAlgError for what is not
    positive definite.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.cholesky.html
    """
    return matrices.cholesky(A, upper)


def qr(A: Tensor, mode: str = "reduced") -> tuple[Tensor, ...]:
    """(Q, R) with Q @ R = A. "reduced": (m, k), (k, n), k = min(m, n); "complete": (m, m), (m, n)
    (no derivative if m > n); "r": an empty Q.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.qr.html
    """
    if mode not in ("reduced", "complete", "r"):
        raise ValueError(f"qr: mode is 'reduced', 'complete' or 'r', not {mode!r}.")
    q, r = matrices.qr(A, mode != "complete")
    return QRResult(q.new_zeros(0) if mode == "r" else q, r)


def eigh(A: Tensor, UPLO: str = "L") -> tuple[Tensor, ...]:
    """(eigenvalues, eigenvectors) of symmetric A, in ascending order: A @ V = V * eigenvalues.

    UPLO: which triangle is read. Derivatives need eigenvalues that differ, and are those of a
    function of V that does not change with the signs of its columns.
    https://docs.pytorch.org/docs/stable/generated/torch.linalg.eigh.html
    """
    if UPLO.upper() not in ("L", "U"):
        raise ValueError(f"eigh: UPLO is 'L' or 'U', not {UPLO!r}.")
    return EighResult(*_eigh(A, UPLO.upper()))


def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues of symmetric A, in ascending order.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.eigvalsh.html
    """
    return eigh(A, UPLO)[0]


def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> tuple[Tensor, ...]:
    """(U, S, Vh) with U @ diag(S) @ Vh = A, S descending; full_matrices: U and Vh are square.

    Derivatives of U and Vh need singular values that differ. `driver` changes nothing.
    https://docs.pytorch.org/docs/stable/generated/torch.linalg.svd.html
    """
    return SVDResult(*_svd(A, full_matrices))


def svdvals(A: Tensor, *, driver: str | None = None) -> Tensor:
    """The singular values of A, in descending order.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.svdvals.html
    """
    return _svd(A, False)[1]


def lu_factor(A: Tensor, *, pivot: bool = True) -> tuple[Tensor, ...]:
    """(LU, pivots) of P @ L @ U = A, for lu_solve. Raises LinAlgError for a singular square A.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.lu_factor.html
    """
    return LUFactorResult(*lu_factor_ex(A, pivot=pivot, check_errors=True)[:2])


def lu_factor_ex(
    A: Tensor, *, pivot: bool = True, check_errors: bool = False
) -> tuple[Tensor, ...]:
    """(LU, pivots, info); info: 0, or which pivot is 0, counted from 1.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.lu_factor_ex.html
    """
    packed, pivots, info = matrices.factored("lu_factor", A, pivot)
    if check_errors and info._array.any():
        at = int(info._array.max())
        raise LinAlgError(f"lu_factor: U[{at}, {at}] is zero, lu_solve would divide by it.")
    return LUFactorExResult(packed, pivots, info)


def lu(A: Tensor, *, pivot: bool = True) -> tuple[Tensor, ...]:
    """(P, L, U) with P @ L @ U = A: a permutation, a lower triangle with ones on its diagonal, an
    upper triangle.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.lu.html
    """
    return matrices.lu_unpack(*matrices.factored("lu", A, pivot)[:2])


def lu_solve(
    LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False
) -> Tensor:
    """y with A @ y = B (left=False: y @ A = B; adjoint: with A^T), lu_factor(A) = LU, pivots.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.lu_solve.html
    """
    if left:
        return matrices.solved(LU, pivots, B, adjoint)
    return matrices.solved(LU, pivots, B.mT, not adjoint).mT


def householder_product(A: Tensor, tau: Tensor) -> Tensor:
    """The first n columns of H_1 @ ... @ H_k, H_i = I - tau[i] v_i v_i^T: (..., m, n), (..., k);
    v_i is column i of A below its diagonal, with 1 on it and 0 above.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.householder_product.html
    """
    return matrices.orgqr(A, tau)


# --------------------------------------------------------------------------------------- products


def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """y = tensors[0] @ tensors[1] @ ..., in the order that needs the fewest multiplications. The
    first and the last may be vectors.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.multi_dot.html
    """
    tensors = list(tensors)
    if len(tensors) < 2:
        raise ShapeError(f"multi_dot: expected at least 2 tensors, got {len(tensors)}.")
    need_tensors("multi_dot", **{f"tensors[{i}]": t for i, t in enumerate(tensors)})
    row, column = tensors[0]._array.ndim == 1, tensors[-1]._array.ndim == 1
    if row:
        tensors[0] = tensors[0][None]
    if column:
        tensors[-1] = tensors[-1][:, None]
    out = products.chain_matmul(*tensors)
    out = out[:, 0] if column else out
    return out[0] if row else out


def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """y = input x other, the vector product along `dim`, which has size 3; others broadcast.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.cross.html
    """
    return products.cross(input, other, dim)


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """The sums of x * y along dim.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.vecdot.html
    """
    need_tensors("vecdot", x=x, y=y)
    return reduce.sum(x * y, dim)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """A view of the elements [i, i + offset] of dimensions dim1 and dim2, as a last dimension.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.diagonal.html
    """
    return shape.diagonal(A, offset, dim1, dim2)


def vander(x: Tensor, N: int | None = None) -> Tensor:
    """y[..., i, j] = x[..., i] ** j for j < N; N is the last size of x if None.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.vander.html
    """
    need_tensors("vander", x=x)
    if x._array.ndim == 0 and N is None:
        raise ShapeError("vander: a number needs N.")
    if N is not None and N <= 1:
        raise ShapeError(f"vander: N must be greater than 1, got {N}.")
    x = x[None] if x._array.ndim == 0 else x
    return products.powers(x, x._array.shape[-1] if N is None else N, True)


_COMPLEX = "Their results are complex; for symmetric matrices there are eigh and eigvalsh."
__getattr__ = lookup(globals(), {"eig": _COMPLEX, "eigvals": _COMPLEX})
