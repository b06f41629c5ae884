"""Rows of a table, picked by number."""

from __future__ import annotations

from ..errors import DTypeError, ShapeError
from ..tape import Tensor, wrap
from .elementwise import where
from .index import _index, check_range


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """y[...] = weight[input[...]]: integers (...), table (V, D) -> (..., D).

    The gradient of a row is the sum over all places where it was picked; the row padding_idx gets
    none. Raises IndexError for numbers outside [0, V).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.embedding.html
    """
    rows, table = input._array, weight._array
    if rows.dtype.kind not in "iu":
        raise DTypeError(f"embedding: row numbers must be integers, got {rows.dtype}.")
    if table.ndim != 2:
        raise ShapeError(f"embedding: expected a table (V, D), got shape {table.shape}.")
    check_range(rows, 0, table.shape[0], "embedding")
    out = _index(weight, (rows,))
    if padding_idx is None:
        return out
    if not -table.shape[0] <= padding_idx < table.shape[0]:
        raise IndexError(f"embedding: padding_idx {padding_idx} is not a row of {table.shape}.")
    skipped = wrap((rows == padding_idx % table.shape[0])[..., None])
    return where(skipped, out.detach(), out)
