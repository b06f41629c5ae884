"""Matrix products."""

from __future__ import annotations

import math

from ..autocasting import brought
from ..device import Array, Arrays, xp
from ..errors import DTypeError, ShapeError
from ..makers import op
from ..promotion import refuse_half
from ..tape import Tensor, mode
from .shape import diagonal, reshape, squeeze, transpose, unsqueeze

__all__ = [
    "bmm",
    "einsum",
    "linear",
    "matmul",
    "mm",
]
METHODS = ["matmul", "mm", "bmm"]  # also methods of Tensor


@op(result="strict")
def _matmul(input: Array, other: Array) -> Array:
    """y[..., i, j] = sum_k input[..., i, k] * other[..., k, j]; leading dimensions broadcast"""
    if input.shape[-1] != other.shape[-2]:
        raise ShapeError(
            f"matmul: the inner sizes differ: {input.shape} @ {other.shape}; the last size of the "
            f"first ({input.shape[-1]}) must equal the last but one of the second "
            f"({other.shape[-2]})."
        )
    return input @ other


_matmul.vjp(
    input=lambda g, other: _matmul(g, transpose(other, -1, -2)),
    other=lambda g, input: _matmul(transpose(input, -1, -2), g),
)


def matmul(input: Tensor, other: Tensor) -> Tensor:
    """y = input @ other; vectors count as a row (first) or a column (second), batches broadcast.

    (..., n, k) @ (..., k, m) -> (..., n, m).
    https://docs.pytorch.org/docs/stable/generated/torch.matmul.html
    """
    if mode.autocast is not None:
        input, other = brought("matmul", (input, other))
    if isinstance(input, Tensor) and isinstance(other, Tensor):
        left, right = input._array.ndim, other._array.ndim
        if left > 1 and right > 1:
            return _matmul(input, other)
        if left == 0 or right == 0:
            raise ShapeError("matmul: both tensors need at least 1 dimension; use * for numbers.")
        out = _matmul(
            unsqueeze(input, 0) if left == 1 else input,
            unsqueeze(other, 1) if right == 1 else other,
        )
        if right == 1:
            out = squeeze(out, -1)
        return squeeze(out, -1 if right == 1 else -2) if left == 1 else out
    return _matmul(input, other)  # raises, saying which is not a tensor


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """y = input @ mat2 for two matrices (n, k), (k, m) -> (n, m)."""
    return _of_rank("mm", 2, input, mat2)


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """y[b] = input[b] @ mat2[b]: (B, n, k), (B, k, m) -> (B, n, m)."""
    if input._array.shape[:1] != mat2._array.shape[:1]:
        raise ShapeError(f"bmm: batch sizes differ: {input._array.shape}, {mat2._array.shape}.")
    return _of_rank("bmm", 3, input, mat2)


def _of_rank(name: str, ndim: int, a: Tensor, b: Tensor) -> Tensor:
    if a._array.ndim != ndim or b._array.ndim != ndim:
        raise ShapeError(
            f"{name}: expected tensors with {ndim} dimensions, got {a._array.shape} and "
            f"{b._array.shape}."
        )
    return matmul(a, b)


@op
def linear(input: Array, weight: Array, bias: Array | None = None) -> Array:
    """y = input @ weight^T + bias: (..., in), (out, in), (out,) -> (..., out).

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.linear.html
    """
    check_same_type("linear", input=input, weight=weight, bias=bias)
    if weight.ndim != 2 or not input.ndim or input.shape[-1] != weight.shape[1]:
        raise ShapeError(
            f"linear: weight (out, in) = {weight.shape} expects inputs whose last size is "
            f"{weight.shape[-1]}, input has shape {input.shape}."
        )
    rows = math.prod(input.shape[:-1])
    out = input.reshape(rows, input.shape[-1]) @ weight.T
    if bias is not None:
        if bias.shape not in ((weight.shape[0],), ()):
            raise ShapeError(f"linear: bias has shape {bias.shape}, weight {weight.shape}.")
        out += bias
    return out.reshape(*input.shape[:-1], weight.shape[0])


def _linear_weight(g: Tensor, input: Tensor) -> Tensor:
    """g^T @ input, over all rows"""
    rows = math.prod(g._array.shape[:-1])
    columns = reshape(g, (rows, g._array.shape[-1]))
    return _matmul(transpose(columns, 0, 1), reshape(input, (rows, input._array.shape[-1])))


linear.vjp(input=lambda g, weight: matmul(g, weight), weight=_linear_weight, bias=lambda g: g)


@op
def _einsum(operands: Arrays, subscripts: str) -> Array:
    """y = sums of products as written in `subscripts` (all explicit: 'ij,jk->ik')"""
    return xp(operands[0]).einsum(subscripts, *operands)


@_einsum.vjp_all
def _einsum_rule(g: Tensor, needs: tuple, operands: list[Tensor], subscripts: str) -> list:
    """Each operand's gradient is an einsum of g and the others, its own letters as the result."""
    terms, result = subscripts.split("->")
    letters = terms.split(",")
    grads = []
    for i, need in enumerate(needs):
        if not need:
            grads.append(None)
            continue
        others = [x for k, x in enumerate(operands) if k != i]
        known = set(result).union(*(letters[k] for k in range(len(letters)) if k != i))
        kept = [c for c in letters[i] if c in known]
        sources = ",".join([result, *(t for k, t in enumerate(letters) if k != i)])
        grad = _einsum([g, *others], f"{sources}->{''.join(kept)}")
        for d, c in enumerate(letters[i]):
            if c not in known:  # summed over in this operand alone: the same for each element
                grad = unsqueeze(grad, d)
        grads.append(grad)
    return grads


def einsum(equation: str, *operands: Tensor) -> Tensor:
    """Sums of products over named dimensions: einsum("bij,bjk->bik", a, b).

    Letters name dimensions, `...` the rest; letters missing after `->` are summed over; a letter
    that stands twice in one operand takes its diagonal.
    https://docs.pytorch.org/docs/stable/generated/torch.einsum.html
    """
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    operands = list(operands)
    terms, _, result = equation.replace(" ", "").partition("->")
    letters = terms.split(",")
    if len(letters) != len(operands):
        raise ShapeError(
            f"einsum: {equation!r} names {len(letters)} operands, got {len(operands)}."
        )
    if "->" not in equation:
        once = sorted(c for c in set(terms) - set(",.") if terms.count(c) == 1)
        result = ("..." if "..." in terms else "") + "".join(once)
    free = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" if c not in equation]
    rank = max(
        (
            x._array.ndim - len(t.replace("...", ""))
            for t, x in zip(letters, operands, strict=True)
            if "..." in t
        ),
        default=0,
    )
    rest = free[:rank]
    sizes: dict[str, int] = {}
    for k, (term, x) in enumerate(zip(letters, operands, strict=True)):
        own = x._array.ndim - len(term.replace("...", ""))
        letters[k] = term = term.replace("...", "".join(rest[rank - own :]) if own > 0 else "")
        if len(term) != x._array.ndim:
            raise ShapeError(f"einsum: {term!r} does not fit a tensor of shape {x._array.shape}.")
        letters[k], operands[k] = term, x = _diagonals(term, x)
        for c, n in zip(term, x._array.shape, strict=True):
            if sizes.setdefault(c, n) != n and 1 not in (n, sizes[c]):
                raise ShapeError(f"einsum: dimension {c!r} has sizes {sizes[c]} and {n}.")
            sizes[c] = max(sizes[c], n)
    operands = [_widen(x, term, sizes) for x, term in zip(operands, letters, strict=True)]
    result = result.replace("...", "".join(rest))
    return _einsum(operands, f"{','.join(letters)}->{result}")


def _diagonals(term: str, x: Tensor) -> tuple[str, Tensor]:
    """A term in which no letter stands twice, for the diagonals of x."""
    for c in sorted(set(term)):
        while term.count(c) > 1:
            i, j = term.index(c), term.rindex(c)
            if x._array.shape[i] != x._array.shape[j]:
                raise ShapeError(f"einsum: dimension {c!r} has two sizes in {x._array.shape}.")
            x = diagonal(x, 0, i, j)
            term = term[:i] + term[i + 1 : j] + term[j + 1 :] + c
    return term, x


def _widen(x: Tensor, term: str, sizes: dict[str, int]) -> Tensor:
    """Dimensions of size 1 broadcast, as in PyTorch."""
    shape = tuple(sizes[c] for c in term)
    return x if x._array.shape == shape else x.expand(shape)


def check_same_type(name: str, **arrays: Array) -> None:
    """Raises DTypeError naming both unless all arrays given (None aside) have one type."""
    kinds = {key: a.dtype for key, a in arrays.items() if a is not None}
    if len(set(kinds.values())) > 1:
        said = ", ".join(f"{key} {kind}" for key, kind in kinds.items())
        raise DTypeError(f"{name}: the tensors must have one type, got {said}; convert with .to().")
    refuse_half(name, next(iter(arrays.values())))
