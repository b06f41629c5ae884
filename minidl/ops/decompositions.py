"""Decompositions and solutions of matrices, each with its derivative.

All work on the last two dimensions; the leading ones are batches. In the rules `A` is the input,
`x.mT` a transpose, and `g` the gradient of the output, or a tuple of them (None where one is not
needed). Where a formula is not derived here: M. Giles, An extended collection of matrix derivative
results (2008), https://people.maths.ox.ac.uk/gilesm/files/NA-08-01.pdf.
Users call these through `minidl.linalg` and `ops/matrices.py`, which name and document them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..device import Array, xp
from ..errors import DTypeError, ShapeError
from ..makers import op
from ..promotion import refuse_half
from ..tape import Tensor, mode, wrap
from .compare import where
from .linalg import check_same_type
from .shape import broadcast_shapes, cat, tril, triu

__all__ = ["det", "matrix_exp"]
METHODS = ["det", "matrix_exp"]  # also methods of Tensor


class LinAlgError(RuntimeError, ValueError):
    """A matrix has not what was asked for: an inverse, a Cholesky factor."""


# ---------------------------------------------------------------------------------------- checks


def check_matrices(name: str, a: Array, square: bool = False) -> None:
    """Raises unless `a` holds float matrices (square ones)."""
    if a.ndim < 2 or (square and a.shape[-1] != a.shape[-2]):
        kind = "square matrices (..., n, n)" if square else "matrices (..., m, n)"
        raise ShapeError(f"{name}: expected {kind}, got shape {a.shape}.")
    if a.dtype.kind != "f":
        raise DTypeError(f"{name}: expected a float tensor, got {a.dtype}; use .float().")
    refuse_half(name, a)


def _computed(name: str, problem: str, function: Callable, *arguments: Any) -> Any:
    """What LAPACK gives; `problem` says what is wrong with the matrix where it gives up."""
    try:
        return function(*arguments)
    except ValueError as error:  # LinAlgError of NumPy and CuPy is one
        raise LinAlgError(f"{name}: {problem}.") from error


SINGULAR = "a matrix is singular, it has no inverse"
DIVERGED = "the iteration did not converge (are numbers nan or infinite?)"


def _saved(op: Callable, aux: tuple, *inputs: Any) -> tuple:
    """The outputs of an op for its rule: what the forward kept, or, where the derivative is
    recorded to be differentiated again, computed again as a function of the input."""
    return op(*inputs) if mode.grad else aux


def _eye(a: Tensor) -> Tensor:
    n = a._array.shape[-1]
    return wrap(xp(a._array).eye(n, dtype=a._array.dtype))


def _on_diagonal(x: Tensor) -> Tensor:
    return x[..., None] * _eye(x)


# ----------------------------------------------------------------------- inverses and solutions


@op
def inv(input: Array) -> Array:
    """y = A^-1"""
    check_matrices("inv", input, square=True)
    return _computed("inv", SINGULAR, xp(input).linalg.inv, input)


inv.vjp(input=lambda g, out: -(out.mT @ g @ out.mT))


@op
def det(input: Array) -> Array:
    """y = det(A)"""
    check_matrices("det", input, square=True)
    return xp(input).linalg.det(input)


def _det_rule(g: Tensor, input: Tensor, out: Tensor) -> Tensor:
    """det' = det(A) A^-T, the matrix of cofactors. These are polynomials, so where A is singular
    a matrix one rounding error away has the same."""
    if not out._array.all():
        size = input.detach().abs().sum(-1).sum(-1)
        tiny = xp(input._array).finfo(input._array.dtype).eps * where(size == 0, 1.0, size)
        input = input + (where(out == 0, tiny, 0.0)[..., None, None] * _eye(input))
        out = det(input)
    return (g * out)[..., None, None] * inv(input).mT


det.vjp(input=_det_rule)


@op(outputs=2)
def _slogdet(input: Array) -> tuple:
    """y = sign(det A), log |det A|; the sign has derivative 0"""
    check_matrices("slogdet", input, square=True)
    sign, logarithm = xp(input).linalg.slogdet(input)
    return sign, logarithm


@_slogdet.vjp_all
def _slogdet_rule(g: tuple, input: Tensor) -> tuple:
    """A^-T"""
    of_logarithm = g[1]
    if of_logarithm is None:
        return (input * 0.0,)
    return (of_logarithm[..., None, None] * inv(input).mT,)


def batches(name: str, a: Array, b: Array) -> tuple[Array, Array]:
    """Square matrices and right sides (..., n, k) with the same leading dimensions."""
    check_same_type(name, A=a, B=b)
    check_matrices(name, a, square=True)
    if b.ndim < 2 or a.shape[-1] != b.shape[-2]:
        raise ShapeError(f"{name}: A of shape {a.shape} does not fit B of shape {b.shape}.")
    lead = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return (
        xp(a).broadcast_to(a, (*lead, *a.shape[-2:])),
        xp(b).broadcast_to(b, (*lead, *b.shape[-2:])),
    )


@op(result="strict")
def _solve(input: Array, other: Array) -> Array:
    """y with A y = B"""
    a, b = batches("solve", input, other)
    return _computed("solve", SINGULAR, xp(a).linalg.solve, a, b)


@_solve.vjp_all
def _solve_rule(g: Tensor, needs: tuple, input: Tensor, out: Tensor) -> tuple:
    """B: A^-T g,  A: -(A^-T g) y^T"""
    g = _solve(input.mT, g)
    return -(g @ out.mT) if needs[0] else None, g


@op
def _solve_triangular(input: Array, other: Array, upper: bool, unitriangular: bool) -> Array:
    """y with A y = B; of A only the upper (or lower) triangle is read, unitriangular: with ones
    for its diagonal"""
    a, b = batches("solve_triangular", input, other)
    return _substituted(a, b, upper, unitriangular)


def _substituted(a: Array, b: Array, upper: bool, unit: bool) -> Array:
    """One half of the unknowns, then, knowing these, the other half."""
    n = a.shape[-1]
    if n < 2:
        return b / a if n and not unit else b.copy()
    first, last = slice(n // 2), slice(n // 2, n)
    if upper:
        first, last = last, first
    x = _substituted(a[..., first, first], b[..., first, :], upper, unit)
    rest = b[..., last, :] - a[..., last, first] @ x
    y = _substituted(a[..., last, last], rest, upper, unit)
    return xp(b).concatenate([y, x] if upper else [x, y], axis=-2)


@_solve_triangular.vjp_all
def _triangular_rule(
    g: Tensor, needs: tuple, input: Tensor, out: Tensor, upper: bool, unitriangular: bool
) -> tuple:
    """As for solve, but only in the triangle that is read."""
    g = _solve_triangular(input.mT, g, not upper, unitriangular)
    if not needs[0]:
        return None, g
    away = int(unitriangular)
    whole = -(g @ out.mT)
    return triu(whole, away) if upper else tril(whole, -away), g


@op(result="strict")
def _cholesky_solve(input: Array, L: Array) -> Array:
    """y with L L^T y = B for lower triangular L"""
    a, b = batches("cholesky_solve", L, input)
    half = _substituted(a, b, False, False)
    return _substituted(a.swapaxes(-1, -2), half, True, False)


@_cholesky_solve.vjp_all
def _cholesky_solve_rule(g: Tensor, needs: tuple, L: Tensor, out: Tensor) -> tuple:
    """B: A^-1 g,  L: -(h y^T + y h^T) L, h = A^-1 g: as PyTorch's, of all of L, not of its lower
    triangle alone."""
    g = _cholesky_solve(g, L)
    if not needs[1]:
        return g, None
    product = g @ out.mT
    return g, -((product + product.mT) @ L)


@op
def _pinv(input: Array, atol: Any, rtol: Any, hermitian: bool) -> Array:
    """y = V S^+ U^T, S^+ = 1/s where s > max(atol, rtol * largest s), else 0"""
    check_matrices("pinv", input, square=hermitian)
    if hermitian:
        s, u = _computed("pinv", DIVERGED, xp(input).linalg.eigh, input)
        vh = u.swapaxes(-1, -2)
    else:
        u, s, vh = _computed("pinv", DIVERGED, xp(input).linalg.svd, input, False)
    keep = xp(s).abs(s) > cutoff(xp(s).abs(s), input.shape, atol, rtol)
    inverse = xp(s).where(keep, 1 / xp(s).where(keep, s, 1), 0).astype(s.dtype)
    return vh.swapaxes(-1, -2) @ (inverse[..., None] * u.swapaxes(-1, -2))


@_pinv.vjp_all
def _pinv_rule(g: Tensor, input: Tensor, out: Tensor) -> tuple:
    """Golub and Pereyra 1973, The differentiation of pseudo-inverses, formula 4.12, transposed."""
    a, p = input, out
    from_left = g.mT - a @ (p @ g.mT)  # (I - A P) g^T
    from_right = g.mT - (g.mT @ p) @ a  # g^T (I - P A)
    return (-(p.mT @ g @ p.mT) + (from_left @ p) @ p.mT + p.mT @ (p @ from_right),)


def cutoff(s: Array, shape: tuple[int, ...], atol: Any, rtol: Any) -> Array:
    """From which singular value on one counts as 0, (..., 1): by default eps * max(m, n) * s_max.

    atol, rtol: None, a number, or an array with one for each matrix; with atol > 0 rtol is 0.
    """
    module = xp(s)
    atol = module.asarray(0.0 if atol is None else atol, s.dtype)[..., None]
    if rtol is None:
        eps = module.finfo(s.dtype).eps * max(shape[-2:])
        rtol = module.where(atol > 0, 0.0, eps).astype(s.dtype)
    else:
        rtol = module.asarray(rtol, s.dtype)[..., None]
    largest = s.max(axis=-1, keepdims=True) if s.shape[-1] else module.zeros_like(s[..., :0])
    return module.maximum(atol, rtol * largest)


# ----------------------------------------------------------------------------------- factorings


@op
def _cholesky(input: Array) -> Array:
    """L with L L^T = A, lower triangular; of A only the lower triangle is read"""
    check_matrices("cholesky", input, square=True)
    problem = "a matrix is not positive definite"
    return _computed("cholesky", problem, xp(input).linalg.cholesky, input)


def _cholesky_rule(g: Tensor, out: Tensor) -> Tensor:
    """The symmetric part of L^-T phi(L^T g) L^-1; phi: lower triangle with half the diagonal.

    I. Murray 2016, Differentiation of the Cholesky decomposition, https://arxiv.org/abs/1602.07527
    """
    inside = out.mT @ g
    phi = (tril(inside) + tril(inside, -1)) * 0.5
    left = _solve_triangular(out.mT, phi, True, False)
    both = _solve_triangular(out.mT, left.mT, True, False)
    return (both + both.mT) * 0.5


_cholesky.vjp(input=_cholesky_rule)


@op(outputs=2, aux=True)
def _qr(input: Array) -> tuple:
    """Q, R with Q R = A for (..., m, n), m >= n: Q (..., m, n) orthonormal, R upper triangular"""
    q, r = xp(input).linalg.qr(input)
    return (q, r), (q.copy(), r.copy())


@_qr.vjp_all
def _qr_rule(g: tuple, input: Tensor, aux: tuple) -> tuple:
    """(gQ + Q sym(R gR^T - gQ^T Q)) R^-T, where sym copies the lower triangle to the upper.

    M. Seeger et al. 2017, Auto-differentiating linear algebra, https://arxiv.org/abs/1710.08717
    """
    q, r = _saved(_qr, aux, input)
    of_q, of_r = g
    of_q = q * 0.0 if of_q is None else of_q
    inside = -(of_q.mT @ q)
    if of_r is not None:
        inside = r @ of_r.mT + inside
    inside = tril(inside) + tril(inside, -1).mT
    return (_solve_triangular(r, (of_q + q @ inside).mT, True, False).mT,)


@op(outputs=2, aux=True)
def _eigh(input: Array, UPLO: str) -> tuple:
    """w, V with V diag(w) V^T = A for symmetric A; w ascends; one triangle of A is read"""
    check_matrices("eigh", input, square=True)
    w, v = _computed("eigh", DIVERGED, xp(input).linalg.eigh, input, UPLO)
    return (w, v), (w.copy(), v.copy())


@_eigh.vjp_all
def _eigh_rule(g: tuple, input: Tensor, aux: tuple, UPLO: str) -> tuple:
    """V (diag(gw) + skew(V^T gV) / 2E) V^T, E[i, j] = w[j] - w[i]: infinite for equal w"""
    w, v = _saved(_eigh, aux, input, UPLO)
    of_w, of_v = g
    if of_v is None:
        return ((v * of_w[..., None, :]) @ v.mT,)
    rotation = v.mT @ of_v
    inside = 0.5 * (rotation - rotation.mT) * _inverse_differences(w)
    if of_w is not None:
        inside = inside + _on_diagonal(of_w)
    return (v @ inside @ v.mT,)


def _inverse_differences(w: Tensor) -> Tensor:
    """1 / (w[j] - w[i]), and 0 on the diagonal"""
    eye = _eye(w)
    return (1 - eye) / (w[..., None, :] - w[..., :, None] + eye)


@op(outputs=3, aux=True)
def _svd(input: Array, full_matrices: bool) -> tuple:
    """U, S, V^T with U diag(S) V^T = A, k = min(m, n) singular values in descending order;
    full_matrices: U and V are completed to square orthogonal matrices"""
    check_matrices("svd", input)
    u, s, vh = _computed("svd", DIVERGED, xp(input).linalg.svd, input, full_matrices)
    k = s.shape[-1]
    return (u, s, vh), (u[..., :k].copy(), s.copy(), vh[..., :k, :].copy())


@_svd.vjp_all
def _svd_rule(g: tuple, input: Tensor, aux: tuple) -> tuple:
    """U (diag(gS) + skew(U^T gU)/E S + S skew(V^T gV)/E) V^T, and what lies outside of U and V;
    skew(x) = x - x^T, E[i, j] = s[j]^2 - s[i]^2: infinite for equal singular values. Columns of U
    and V beyond the k-th get no gradient: they are not determined by A.

    J. Townsend 2016, Differentiating the singular value decomposition,
    https://j-towns.github.io/papers/svd-derivative.pdf
    """
    u, s, vh = _saved(_svd, aux, input, False)
    k = s._array.shape[-1]
    of_u, of_s, of_vh = g
    inside = 0.0 if of_s is None else _on_diagonal(of_s)
    outside: Any = 0.0
    if of_u is not None:
        of_u = of_u[..., :k]
        rotation = u.mT @ of_u
        inside = inside + (rotation - rotation.mT) * _inverse_differences(s * s) * s[..., None, :]
        if u._array.shape[-2] > k:
            outside = (of_u - u @ rotation) / s[..., None, :] @ vh
    if of_vh is not None:
        of_vh = of_vh[..., :k, :]
        rotation = vh @ of_vh.mT
        inside = inside + (rotation - rotation.mT) * _inverse_differences(s * s) * s[..., :, None]
        if vh._array.shape[-1] > k:
            outside = outside + u @ ((of_vh - rotation.mT @ vh) / s[..., :, None])
    return (u @ inside @ vh + outside,)


@op(outputs=2, aux=True)
def _lu(input: Array) -> tuple:
    """L and U with P L U = A in one matrix (the ones on the diagonal of L are not stored), and the
    pivots: row i was swapped with row pivots[i] - 1, one i after the other"""
    check_matrices("lu", input)
    packed = input.reshape(math.prod(input.shape[:-2]), *input.shape[-2:]).copy()
    pivots = _eliminate(packed) + 1
    pivots = pivots.astype("int32").reshape(*input.shape[:-2], min(input.shape[-2:]))
    packed = packed.reshape(input.shape)
    return (packed, pivots), (packed.copy(), pivots.copy())


def _eliminate(a: Array) -> Array:
    """Gaussian elimination in place on (B, m, n), the left half of the columns first; the rows
    that were swapped. S. Toledo 1997, Locality of reference in LU decomposition."""
    least = min(a.shape[1:])
    each = xp(a).arange(len(a))
    if least < 2:
        chosen = xp(a).abs(a[:, :, :least]).argmax(axis=1) if a.shape[1] else each[:, None][:, :0]
        if least:
            _swap(a, chosen)
            pivot = a[:, :1, :1]
            a[:, 1:, :1] /= xp(a).where(pivot == 0, 1, pivot)
        return chosen
    half = least // 2
    left, right = a[:, :, :half], a[:, :, half:]
    chosen = _eliminate(left)
    _swap(right, chosen)
    right[:, :half] = _substituted(left[:, :half], right[:, :half], False, True)
    right[:, half:] -= left[:, half:] @ right[:, :half]
    later = _eliminate(right[:, half:])
    _swap(left[:, half:], later)
    return xp(a).concatenate([chosen, later + half], axis=1)


def _swap(a: Array, chosen: Array) -> None:
    """Swaps row i of each matrix with row chosen[i], one i after the other."""
    each = xp(a).arange(len(a))
    for i in range(chosen.shape[1]):
        row = a[:, i].copy()
        a[:, i] = a[each, chosen[:, i]]
        a[each, chosen[:, i]] = row


@_lu.vjp_all
def _lu_rule(g: tuple, input: Tensor, aux: tuple) -> tuple:
    """P L^-T (lower(L^T gL) + upper(gU U^T)) U^-T for the square part; what is to its right is
    L^-1 (P^T A), what is below it (P^T A) U^-1."""
    packed, pivots = _saved(_lu, aux, input)
    m, n = packed._array.shape[-2:]
    k = min(m, n)
    square, of_square = packed[..., :k, :k], g[0][..., :k, :k]
    lower, upper = tril(square, -1) + _eye(square), triu(square)
    of_lower, of_upper = tril(of_square, -1), triu(of_square)
    right = below = None
    if n > k:
        right = _solve_triangular(lower.mT, g[0][..., k:], True, True)
        of_lower = of_lower - right @ packed[..., k:].mT
    if m > k:
        below = _solve_triangular(upper, g[0][..., k:, :].mT, True, False).mT
        of_upper = of_upper - packed[..., k:, :].mT @ below
    inside = tril(lower.mT @ of_lower, -1) + triu(of_upper @ upper.mT)
    left = _solve_triangular(lower.mT, inside, True, True)
    whole = _solve_triangular(upper, left.mT, True, False).mT
    parts = [x for x in (whole, right) if x is not None]
    whole = cat(parts, -1) if right is not None else whole
    whole = cat([whole, below], -2) if below is not None else whole
    return (permutation(pivots, m, whole) @ whole,)


def permutation(pivots: Tensor, m: int, like: Tensor) -> Tensor:
    """The matrix P (..., m, m) in the type of `like` that the pivots of P L U stand for."""
    module = xp(pivots._array)
    lead = pivots._array.shape[:-1]
    swaps = pivots._array.reshape(math.prod(lead), pivots._array.shape[-1]) - 1
    rows = module.broadcast_to(module.arange(m)[:, None], (len(swaps), m, 1)).copy()
    _swap(rows, swaps)
    matrix = module.arange(m)[:, None] == rows[:, None, :, 0]
    return wrap(matrix.reshape(*lead, m, m).astype(like._array.dtype))


# ------------------------------------------------------------------------------------- functions


@op
def matrix_exp(input: Array) -> Array:
    """y = I + A + A^2/2! + A^3/3! + ...: e^(A / 2^s) by 19 terms, squared s times

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.matrix_exp.html
    """
    check_matrices("matrix_exp", input, square=True)
    module, n = xp(input), input.shape[-1]
    sums = [module.abs(input).sum(axis=axis) for axis in (-1, -2)]
    size = module.minimum(*[x.max(axis=-1) if n else x.sum(axis=-1) for x in sums])  # two norms
    size = module.where(module.isfinite(size), size, 0)  # what is infinite stays so anyway
    halvings = module.ceil(module.log2(module.maximum(size, 1)))[..., None, None]
    small = input * module.exp2(-halvings).astype(input.dtype)  # of norm 1 at most
    eye = module.eye(n, dtype=input.dtype)
    out = module.broadcast_to(eye, input.shape)
    for k in range(18, 0, -1):
        out = eye + (small @ out) / k
    for i in range(int(halvings.max()) if input.size else 0):
        out = module.where(i < halvings, out @ out, out)
    return out


def _matrix_exp_rule(g: Tensor, input: Tensor) -> Tensor:
    """The upper right block of exp([[A^T, g], [0, A^T]]).

    N. Higham 2008, Functions of matrices, theorem 3.6
    """
    n = input._array.shape[-1]
    above = cat([input.mT, g], -1)
    below = cat([input.new_zeros(input._array.shape), input.mT], -1)
    return matrix_exp(cat([above, below], -2))[..., :n, n:]


matrix_exp.vjp(input=_matrix_exp_rule)
