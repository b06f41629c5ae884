"""Products of vectors, matrices and larger tensors, all made of `matmul` and `mul`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..autocasting import brought, widest
from ..errors import DTypeError, ShapeError
from ..promotion import need_tensors
from ..tape import Tensor, mode
from .compare import where
from .elementwise import pow
from .linalg import bmm, check_same_type, matmul, mm
from .reduce import sum
from .shape import (
    Shape,
    axis_of,
    broadcast_tensors,
    expand,
    permute,
    reshape,
    roll,
    unsqueeze,
)

__all__ = """
    addbmm addmm addmv addr baddbmm chain_matmul cross dot ger inner kron mv outer tensordot vander
    vdot
""".split()
METHODS = """
    addbmm addmm addmv addr baddbmm cross dot ger inner kron mv outer vdot
""".split()  # also methods of Tensor
IN_PLACE = ["addbmm", "addmm", "addmv", "addr", "baddbmm"]  # also methods: name_


# ------------------------------------------------------------------------- a sum and a product


def addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """y = beta * input + alpha * (mat1 @ mat2): (n, k), (k, m) and input that broadcasts to (n, m).

    With beta = 0 input is not read: its nan and inf do not count (so in all five of this kind).
    https://docs.pytorch.org/docs/stable/generated/torch.addmm.html
    """
    return _added("addmm", input, mm(mat1, mat2), beta, alpha)


def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """y = beta * input + alpha * (mat @ vec): (n, k), (k,) and input that broadcasts to (n,).

    https://docs.pytorch.org/docs/stable/generated/torch.addmv.html
    """
    return _added("addmv", input, mv(mat, vec), beta, alpha)


def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """y[i, j] = beta * input[i, j] + alpha * vec1[i] * vec2[j]

    https://docs.pytorch.org/docs/stable/generated/torch.addr.html
    """
    return _added("addr", input, outer(vec1, vec2), beta, alpha)


def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """y[b] = beta * input[b] + alpha * (batch1[b] @ batch2[b]): (B, n, k), (B, k, m) -> (B, n, m).

    https://docs.pytorch.org/docs/stable/generated/torch.baddbmm.html
    """
    return _added("baddbmm", input, bmm(batch1, batch2), beta, alpha)


def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """y = beta * input + alpha * sum_b (batch1[b] @ batch2[b]): (B, n, k), (B, k, m) -> (n, m).

    https://docs.pytorch.org/docs/stable/generated/torch.addbmm.html
    """
    product = sum(bmm(batch1, batch2), 0).to(batch1.dtype)  # small integers add up in int64
    return _added("addbmm", input, product, beta, alpha)


def _added(name: str, input: Tensor, product: Tensor, beta: float, alpha: float) -> Tensor:
    need_tensors(name, input=input)
    if mode.autocast is not None:
        input, product = brought("matmul", (input, product))
    whole = product._array.dtype.kind != "f" and input._array.dtype.kind != "f"
    if whole and (isinstance(alpha, float) or isinstance(beta, float)):
        raise DTypeError(
            f"{name}: integer tensors need integer alpha and beta, got alpha={alpha}, beta={beta}."
        )
    if product._array.dtype.kind == "b":  # and, or
        beta, alpha = bool(beta), bool(alpha)
    shape = product._array.shape
    try:
        input = expand(input, shape)
    except ShapeError:
        raise ShapeError(
            f"{name}: input of shape {input._array.shape} does not broadcast to the product's "
            f"shape {shape}."
        ) from None
    if name != "addr":  # the one that promotes
        check_same_type(name, input=input._array, product=product._array)
    product = product if alpha == 1 else product * alpha
    if beta == 0:
        if not input.requires_grad:
            return product
        return product + where(input.new_zeros(()).bool(), input, 0)  # connected, not read
    return product + (input if beta == 1 else input * beta)


# ------------------------------------------------------------------------------------- of vectors


def _vectors(name: str, **tensors: Tensor) -> None:
    need_tensors(name, **tensors)
    for key, t in tensors.items():
        if t._array.ndim != 1:
            raise ShapeError(f"{name}: expected vectors, {key} has shape {t._array.shape}.")


@widest
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """y = sum_i input[i] * tensor[i] for two vectors of one length.

    https://docs.pytorch.org/docs/stable/generated/torch.dot.html
    """
    _vectors("dot", input=input, tensor=tensor)
    return matmul(input, tensor)


@widest
def vdot(input: Tensor, other: Tensor) -> Tensor:
    """As dot (they differ for complex numbers).

    https://docs.pytorch.org/docs/stable/generated/torch.vdot.html
    """
    return dot(input, other)


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """y[i] = sum_j input[i, j] * vec[j]: (n, m), (m,) -> (n,).

    https://docs.pytorch.org/docs/stable/generated/torch.mv.html
    """
    _vectors("mv", vec=vec)
    need_tensors("mv", input=input)
    if input._array.ndim != 2:
        raise ShapeError(f"mv: expected a matrix, input has shape {input._array.shape}.")
    return matmul(input, vec)


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """y[i, j] = input[i] * vec2[j]

    https://docs.pytorch.org/docs/stable/generated/torch.outer.html
    """
    _vectors("outer", input=input, vec2=vec2)
    return unsqueeze(input, 1) * vec2


def ger(input: Tensor, vec2: Tensor) -> Tensor:
    """Another name of outer."""
    return outer(input, vec2)


def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """y = input x other, the vector product along `dim`, which has size 3; others broadcast.

    dim: the first dimension of size 3 if None (torch.linalg.cross takes the last one).
    https://docs.pytorch.org/docs/stable/generated/torch.cross.html
    """
    need_tensors("cross", input=input, other=other)
    if dim is None:
        if 3 not in input._array.shape:
            raise ShapeError(f"cross: no dimension of size 3 in shape {input._array.shape}.")
        dim = input._array.shape.index(3)
    a, b = broadcast_tensors(input, other)
    axis = axis_of(dim, a._array.ndim, "cross")
    if any(x._array.ndim == 0 or x._array.shape[dim] != 3 for x in (input, other)):
        raise ShapeError(
            f"cross: dimension {dim} must have size 3, got {input._array.shape} and "
            f"{other._array.shape}."
        )
    return roll(a, -1, axis) * roll(b, -2, axis) - roll(a, -2, axis) * roll(b, -1, axis)


def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """y[i, j] = x[i] ** (N - 1 - j), or x[i] ** j if increasing; N is the length of x if None.

    https://docs.pytorch.org/docs/stable/generated/torch.vander.html
    """
    _vectors("vander", x=x)
    return powers(x, len(x) if N is None else N, increasing)


def powers(x: Tensor, count: int, increasing: bool) -> Tensor:
    """x ** 0, ..., x ** (count - 1) along a new last dimension, or the other way round."""
    if count < 0:
        raise ShapeError(f"vander: the number of columns must not be negative, got {count}.")
    exponents = x.new_ones(count).long().cumsum(0) - 1
    return pow(unsqueeze(x, -1), exponents if increasing else exponents.flip(0))


# ------------------------------------------------------------------------------ of any dimensions


def inner(input: Tensor, other: Tensor) -> Tensor:
    """y[i.., j..] = sum_k input[i.., k] * other[j.., k]; with a number it is the product.

    https://docs.pytorch.org/docs/stable/generated/torch.inner.html
    """
    need_tensors("inner", input=input, other=other)
    if input._array.ndim == 0 or other._array.ndim == 0:
        return input * other
    if input._array.shape[-1] != other._array.shape[-1]:
        raise ShapeError(
            f"inner: the last sizes differ: {input._array.shape} and {other._array.shape}."
        )
    return tensordot(input, other, ([-1], [-1]))


@widest
def tensordot(a: Tensor, b: Tensor, dims: int | Tensor | Sequence[Sequence[int]] = 2) -> Tensor:
    """y = the sum of a * b over pairs of dimensions; what is left of a, then what is left of b.

    dims: how many (the last of a, the first of b), or two lists: which of a, which of b.
    https://docs.pytorch.org/docs/stable/generated/torch.tensordot.html
    """
    need_tensors("tensordot", a=a, b=b)
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if not 0 <= dims <= min(a._array.ndim, b._array.ndim):
            raise ShapeError(
                f"tensordot: dims={dims}, but the shapes are {a._array.shape}, {b._array.shape}."
            )
        dims = (range(a._array.ndim - dims, a._array.ndim), range(dims))
    ours, theirs = ([dim] if isinstance(dim, int) else dim for dim in dims)
    ours = [axis_of(d, a._array.ndim, "tensordot") for d in ours]
    theirs = [axis_of(d, b._array.ndim, "tensordot") for d in theirs]
    if len(ours) != len(theirs):
        raise ShapeError(f"tensordot: dims name {len(ours)} dimensions of a, {len(theirs)} of b.")
    for i, j in zip(ours, theirs, strict=True):
        n, m = a._array.shape[i], b._array.shape[j]
        if n != m and 1 not in (n, m):
            raise ShapeError(f"tensordot: dimension {i} of a has size {n}, dimension {j} of b {m}.")
        if n != m:  # a size of 1 broadcasts: it meets the sum of the other
            a, b = (a, sum(b, j, True).to(b.dtype)) if n == 1 else (sum(a, i, True).to(a.dtype), b)
    left = [d for d in range(a._array.ndim) if d not in ours]
    right = [d for d in range(b._array.ndim) if d not in theirs]
    sizes = [a._array.shape[d] for d in left] + [b._array.shape[d] for d in right]
    return reshape(_flat(a, left, ours) @ _flat(b, theirs, right), tuple(sizes))


def _flat(x: Tensor, rows: Sequence[int], columns: Sequence[int]) -> Tensor:
    """x as a matrix: these dimensions are its rows, those its columns."""
    sides = [math.prod(x._array.shape[d] for d in dims) for dims in (rows, columns)]
    return reshape(permute(x, (*rows, *columns)), tuple(sides))


def kron(input: Tensor, other: Tensor) -> Tensor:
    """y = the blocks input[i, j] * other: sizes multiply; the one with fewer dimensions gets ones.

    https://docs.pytorch.org/docs/stable/generated/torch.kron.html
    """
    need_tensors("kron", input=input, other=other)
    ndim = max(input._array.ndim, other._array.ndim)
    a, b = (_padded(x._array.shape, ndim) for x in (input, other))
    coarse = reshape(input, tuple(n for size in a for n in (size, 1)))
    fine = reshape(other, tuple(n for size in b for n in (1, size)))
    return reshape(coarse * fine, tuple(n * m for n, m in zip(a, b, strict=True)))


def _padded(shape: Shape, ndim: int) -> Shape:
    return (1,) * (ndim - len(shape)) + shape


def chain_matmul(*matrices: Tensor) -> Tensor:
    """y = matrices[0] @ matrices[1] @ ..., in the order that needs the fewest multiplications.

    https://docs.pytorch.org/docs/stable/generated/torch.chain_matmul.html
    """
    if len(matrices) == 1 and isinstance(matrices[0], (list, tuple)):
        matrices = tuple(matrices[0])
    if not matrices:
        raise ShapeError("chain_matmul: expected at least one matrix, got none.")
    for i, x in enumerate(matrices):
        need_tensors("chain_matmul", **{f"matrices[{i}]": x})
        if x._array.ndim != 2:
            raise ShapeError(f"chain_matmul: expected matrices, one has shape {x._array.shape}.")
    if len(matrices) == 1:
        return matrices[0]
    sides = [x._array.shape[0] for x in matrices] + [matrices[-1]._array.shape[1]]
    return _in_order(matrices, _best_splits(sides), 0, len(matrices) - 1)


def _best_splits(sides: list[int]) -> dict[tuple[int, int], int]:
    """For matrices i to j, after which one to split: Cormen et al., Introduction to Algorithms."""
    count = len(sides) - 1
    cost = {(i, i): 0 for i in range(count)}
    split = {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            cost[i, j], split[i, j] = min(
                (cost[i, k] + cost[k + 1, j] + sides[i] * sides[k + 1] * sides[j + 1], k)
                for k in range(i, j)
            )
    return split


def _in_order(matrices: Sequence[Tensor], split: dict, i: int, j: int) -> Tensor:
    if i == j:
        return matrices[i]
    k = split[i, j]
    return mm(_in_order(matrices, split, i, k), _in_order(matrices, split, k + 1, j))
