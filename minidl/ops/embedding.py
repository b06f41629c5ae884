"""Tables of vectors: rows picked by number, one by one or added up in bags."""

from __future__ import annotations

from ..device import Array, device_of, of, xp
from ..errors import DeviceError, DTypeError, ShapeError
from ..promotion import need_tensors, values_are_checked
from ..tape import Tensor, bump, wrap
from .compare import where
from .index import _index, check_range, gather
from .scatter import index_add
from .shape import narrow
from .ufuncs import combine_at, sums_at

__all__ = ["embedding", "embedding_bag"]


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """y[...] = weight[input[...]]: integers (...), table (V, D) -> (..., D).

    The gradient of a row is the sum over all places where it was picked (their mean with
    scale_grad_by_freq); the row padding_idx gets none. max_norm: first the picked rows whose
    norm_type-norm is larger are scaled down to it, in the table. sparse: asks for speed only.
    Raises IndexError for numbers outside [0, V), DeviceError for numbers on another device: they
    would have to be copied in each call.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.embedding.html
    """
    need_tensors("embedding", input=input, weight=weight)
    rows, table = input._array, weight._array
    if rows.dtype.kind not in "iu":
        raise DTypeError(f"embedding: row numbers must be integers, got {rows.dtype}.")
    if table.ndim != 2:
        raise ShapeError(f"embedding: expected a table (V, D), got shape {table.shape}.")
    if of(rows) is not of(table):
        raise DeviceError(
            f"embedding: input and weight must be on one device, got input on {device_of(rows)} "
            f"and weight on {device_of(table)}; move one with .to()."
        )
    check_range(rows, 0, table.shape[0], "embedding")
    if max_norm is not None:
        _shorten(weight, rows, max_norm, norm_type)
    out = _index(weight, (rows.copy(),))  # backward needs them as they are now
    if scale_grad_by_freq:
        share = 1 / _counts(rows.ravel(), table.shape[0])[rows][..., None]
        out = out.detach() + (out - out.detach()) * wrap(share.astype(table.dtype))
    if padding_idx is None:
        return out
    if not -table.shape[0] <= padding_idx < table.shape[0]:
        raise IndexError(f"embedding: padding_idx {padding_idx} is not a row of {table.shape}.")
    skipped = wrap((rows == padding_idx % table.shape[0])[..., None])
    return where(skipped, out.detach(), out)


def _shorten(weight: Tensor, rows: Array, max_norm: float, norm_type: float) -> None:
    """Scales rows of the table down to max_norm, in place, without a record."""
    table, m = weight._array, xp(rows)
    chosen = rows.ravel()  # a row that is named twice is written twice, with the same numbers
    size = m.linalg.norm(table[chosen], ord=norm_type, axis=1, keepdims=True)
    table[chosen] = table[chosen] * m.where(size > max_norm, max_norm / (size + 1e-7), 1.0)
    bump(weight)


def _counts(places: Array, size: int) -> Array:
    """How often each of 0 .. size - 1 is in the vector `places`, as float64."""
    return sums_at(places, xp(places).ones(places.shape), size)


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """y[b] = the sum, mean or max of the rows weight[input[i]] of bag b: (B, D).

    input (B, n): a bag per row; or (L,) with offsets (B,), where each bag begins
    (include_last_offset: and where the last one ends). per_sample_weights, in the shape of input,
    multiply the rows (mode "sum"). padding_idx: a row that does not count. An empty bag gives 0.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.embedding_bag.html
    """
    need_tensors("embedding_bag", input=input, weight=weight)
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"embedding_bag: mode must be 'sum', 'mean' or 'max', got {mode!r}.")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError("embedding_bag: per_sample_weights need mode='sum'.")
    rows = input._array.reshape(-1)
    bags, count = _bags(input._array, offsets, include_last_offset)
    m = xp(rows)
    if per_sample_weights is not None:
        if per_sample_weights._array.shape != input._array.shape:
            raise ShapeError(
                f"embedding_bag: per_sample_weights {per_sample_weights._array.shape} must have "
                f"the shape of input, {input._array.shape}."
            )
        per_sample_weights = per_sample_weights.reshape(-1)
    if padding_idx is not None:  # those rows go to one more bag, which is left out in the end
        bags = m.where(rows == padding_idx % weight._array.shape[0], count, bags)
    vectors = embedding(wrap(rows), weight, None, max_norm, norm_type, scale_grad_by_freq)
    if mode == "max":
        return narrow(_largest(vectors, bags, count + 1), 0, 0, count)
    if per_sample_weights is not None:
        vectors = vectors * per_sample_weights.unsqueeze(-1)
    table = weight._array
    empty = wrap(m.zeros((count + 1, table.shape[1]), table.dtype))
    total = narrow(index_add(empty, 0, wrap(bags), vectors), 0, 0, count)
    if mode == "sum":
        return total
    sizes = m.maximum(_counts(bags, count + 1)[:count], 1)[:, None]
    return total / wrap(sizes.astype(table.dtype))


def _bags(rows: Array, offsets: Tensor | None, with_last: bool) -> tuple[Array, int]:
    """The number of the bag that each row belongs to, and how many bags there are."""
    m = xp(rows)
    if rows.ndim == 2 and offsets is None:
        return m.repeat(m.arange(rows.shape[0]), rows.shape[1]), rows.shape[0]
    if rows.ndim != 1 or offsets is None or offsets._array.ndim != 1:
        raise ShapeError(
            f"embedding_bag: expected input (B, n) without offsets, or (L,) with offsets (B,); got "
            f"input {rows.shape}, offsets {None if offsets is None else offsets._array.shape}."
        )
    begins = offsets._array
    if with_last:
        begins = begins[:-1]
    if values_are_checked(begins) and begins.size and int(begins[0]) != 0:
        raise ValueError(f"embedding_bag: the first offset must be 0, got {int(begins[0])}.")
    return m.searchsorted(begins, m.arange(rows.size), side="right") - 1, begins.size


def _largest(vectors: Tensor, bags: Array, count: int) -> Tensor:
    """y[b, d] = the first largest (or nan) of the vectors[i, d] of bag b, 0 for an empty bag."""
    array = vectors._array
    m, size = xp(array), array.shape[0]
    if not size:
        return wrap(m.zeros((count, array.shape[1]), array.dtype)) + vectors.sum()
    best = m.full((count, array.shape[1]), -m.inf, array.dtype)
    combine_at("maximum", best, bags, array)
    found = (array == best[bags]) | (array != array)
    winners = m.full(best.shape, size, "int64")
    combine_at("minimum", winners, bags, m.where(found, m.arange(size)[:, None], size))
    filled = wrap(winners < size)
    return where(filled, gather(vectors, 0, wrap(m.minimum(winners, size - 1))), 0.0)
