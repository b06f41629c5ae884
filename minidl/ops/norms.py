"""Norms of vectors and matrices. The subgradient of each is 0 where the norm is."""

from __future__ import annotations

import math

from .. import dtypes
from ..errors import DTypeError, ShapeError
from ..promotion import cast, need_tensors
from ..tape import Tensor
from .compare import where
from .decompositions import _svd
from .elementwise import abs, sign
from .reduce import amax, amin, sum
from .shape import Dim, axes_of, movedim

__all__ = ["norm"]
METHODS = ["norm"]  # also a method of Tensor


def vector_norm(
    x: Tensor,
    ord: float = 2,
    dim: int | tuple[int, ...] | None = None,
    keepdim: bool = False,
    *,
    dtype: object = None,
) -> Tensor:
    """y = (sum |x|^ord)^(1/ord) over dim; inf, -inf: the largest, the smallest |x|; 0: how many
    are not 0. The subgradient at 0 is 0.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.vector_norm.html
    """
    x = _float("vector_norm", x, dtype)
    p = float(ord)
    size = abs(x)
    if p in (math.inf, -math.inf):
        return (amax if p > 0 else amin)(size, dim, keepdim)
    if p == 0.0:
        return sum(sign(size), dim, keepdim)
    if p == 1.0:
        return sum(size, dim, keepdim)
    if p < 1.0:  # the slope of |x|^p at 0 is infinite: the subgradient there is 0 too
        size = where(size == 0, 1.0, size) * (size != 0)
    total = sum(x * x if p == 2.0 else size**p, dim, keepdim)
    zero = total == 0
    return where(zero, 0.0, where(zero, 1.0, total) ** (1 / p))


def matrix_norm(
    A: Tensor,
    ord: float | str = "fro",
    dim: tuple[int, int] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: object = None,
) -> Tensor:
    """ord "fro": sqrt(sum of squares); "nuc": sum of the singular values; 2, -2: the largest,
    smallest of them; 1, -1: the largest, smallest column sum of |A|; inf, -inf: row sum.

    https://docs.pytorch.org/docs/stable/generated/torch.linalg.matrix_norm.html
    """
    A = _float("matrix_norm", A, dtype)
    if not isinstance(dim, (tuple, list)) or len(dim) != 2:
        raise ShapeError(f"matrix_norm: dim must be two dimensions, got {dim}.")
    if A._array.ndim < 2:
        raise ShapeError(f"matrix_norm: expected a matrix, got shape {A._array.shape}.")
    rows, columns = axes = axes_of(tuple(dim), A._array.ndim, "matrix_norm")
    if ord == "fro":
        return vector_norm(A, 2, axes, keepdim)
    if ord in ("nuc", 2, -2):
        s = _svd(movedim(A, axes, (-2, -1)), False)[1]
        if keepdim:
            s = s.unsqueeze(-1).movedim((-2, -1), axes)
        over = rows if keepdim else -1
        if ord == "nuc":
            return sum(s, over, keepdim)
        return (amax if ord == 2 else amin)(s, over, keepdim)
    if ord not in (1, -1, math.inf, -math.inf):
        raise ValueError(f"matrix_norm: ord is 'fro', 'nuc', 1, 2, inf or a negative, not {ord!r}.")
    along, across = (rows, columns) if ord in (1, -1) else (columns, rows)
    sums = vector_norm(A, 1, along, True)
    out = (amax if ord > 0 else amin)(sums, across, True)
    return out if keepdim else out.squeeze(axes)


def norm(
    input: Tensor,
    p: float | str | None = "fro",
    dim: Dim = None,
    keepdim: bool = False,
    *,
    dtype: object = None,
) -> Tensor:
    """y = (sum |input|^p)^(1/p) over dim; p="fro" is 2; "nuc" is the sum of singular values.

    https://docs.pytorch.org/docs/stable/generated/torch.norm.html
    """
    if p == "nuc":
        return matrix_norm(input, "nuc", (-2, -1) if dim is None else dim, keepdim, dtype=dtype)
    if isinstance(p, str) and p != "fro":
        raise ValueError(f"norm: p is a number, 'fro' or 'nuc', not {p!r}.")
    return vector_norm(input, 2.0 if p in ("fro", None) else p, dim, keepdim, dtype=dtype)


def _float(name: str, x: Tensor, dtype: object) -> Tensor:
    need_tensors(name, x=x)
    if dtype is not None:
        x = cast(x, dtypes.to_numpy(dtype))
    if x._array.dtype.kind != "f":
        raise DTypeError(f"{name}: expected a float tensor, got {x._array.dtype}; use .float().")
    return x
