"""How far apart vectors are, vectors of length 1, and a form that is linear in two of them."""

from __future__ import annotations

from ..autocasting import widest
from ..errors import ShapeError
from ..promotion import need_tensors
from ..tape import Tensor
from .create import triu_indices
from .elementwise import maximum
from .index import index_select
from .linalg import check_same_type, matmul
from .norms import vector_norm
from .reduce import sum
from .shape import Dim, broadcast_tensors, permute, reshape

__all__ = ["bilinear", "cosine_similarity", "normalize", "pairwise_distance", "pdist"]


def normalize(input: Tensor, p: float = 2.0, dim: Dim = 1, eps: float = 1e-12) -> Tensor:
    """y = x / max(|x|_p, eps), |x|_p over dim.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.normalize.html
    """
    need_tensors("normalize", input=input)
    return input / vector_norm(input, p, dim, True).clamp(min=eps)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """y = sum(x1 * x2) / (max(|x1|, eps) * max(|x2|, eps)) over dim; x1 and x2 broadcast.

    As in PyTorch, the gradient takes no notice of eps.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.cosine_similarity.html
    """
    need_tensors("cosine_similarity", x1=x1, x2=x2)
    units = []
    for x in broadcast_tensors(x1, x2):
        size = vector_norm(x, 2, dim, True)
        units.append(x / (size + (maximum(size, eps) - size).detach()))
    return sum(units[0] * units[1], dim)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """y = |x1 - x2 + eps|_p over the last dimension.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.pairwise_distance.html
    """
    need_tensors("pairwise_distance", x1=x1, x2=x2)
    return vector_norm(x1 - x2 + eps, p, -1, keepdim)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """y = |input[i] - input[j]|_p for all i < j: (N, M) -> (N (N - 1) / 2,).

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.pdist.html
    """
    need_tensors("pdist", input=input)
    if input._array.ndim != 2:
        raise ShapeError(f"pdist: expected a matrix (N, M), got shape {input._array.shape}.")
    if p < 0:
        raise ValueError(f"pdist: p must not be negative, got {p}.")
    n = input._array.shape[0]
    first, second = triu_indices(n, n, 1, device=input.device)
    return vector_norm(index_select(input, 0, first) - index_select(input, 0, second), p, -1)


@widest
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y[..., o] = sum_ij input1[..., i] weight[o, i, j] input2[..., j] + bias[o].

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.bilinear.html
    """
    need_tensors("bilinear", input1=input1, input2=input2, weight=weight)
    left, right, table = (x._array for x in (input1, input2, weight))
    check_same_type("bilinear", input1=left, input2=right, weight=table)
    fits = table.ndim == 3 and left.shape[:-1] == right.shape[:-1]
    if not fits or (left.shape[-1], right.shape[-1]) != table.shape[1:]:
        raise ShapeError(
            f"bilinear: weight (O, I, J) = {table.shape} does not fit inputs (..., I) = "
            f"{left.shape} and (..., J) = {right.shape}."
        )
    o, i, j = table.shape
    rows = matmul(input1, reshape(permute(weight, (1, 0, 2)), (i, o * j)))
    out = sum(reshape(rows, (*left.shape[:-1], o, j)) * input2.unsqueeze(-2), -1)
    return out if bias is None else out + bias
