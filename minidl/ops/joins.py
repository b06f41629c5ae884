"""Joining and splitting beyond `cat`, `stack` and `split`: compositions of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from ..device import xp
from ..errors import ShapeError
from ..makers import tensors_of
from ..promotion import need_tensors
from ..tape import Tensor
from .index import _index
from .padding import pad
from .rearrange import ravel
from .shape import (
    _cat,
    _same_type,
    axis_of,
    cat,
    chunk,
    expand,
    narrow,
    reshape,
    split,
    stack,
    transpose,
    unsqueeze,
)

__all__ = """
    atleast_1d atleast_2d atleast_3d concat concatenate hstack vstack row_stack dstack column_stack
    block_diag meshgrid cartesian_prod combinations
    split_with_sizes tensor_split hsplit vsplit dsplit unsafe_split unsafe_chunk
""".split()
METHODS = """
    split_with_sizes tensor_split hsplit vsplit dsplit unsafe_split unsafe_chunk
""".split()  # also methods of Tensor


# ------------------------------------------------------------------------------------ joining


def _given(tensors: tuple) -> tuple:
    """f(a, b) and f([a, b]) both mean the two tensors."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    return tensors


def _each(function: Callable, tensors: tuple) -> Tensor | tuple[Tensor, ...]:
    several = _given(tensors)
    named = {f"tensors[{i}]": t for i, t in enumerate(several)}
    need_tensors(function.__name__.strip("_"), **named)
    made = tuple(function(t) for t in several)
    return made[0] if several is tensors and len(made) == 1 else made


def _atleast_1d(t: Tensor) -> Tensor:
    return t if t._array.ndim else reshape(t, (1,))


def _atleast_2d(t: Tensor) -> Tensor:
    return t if t._array.ndim > 1 else reshape(t, (1, t._array.size))


def _atleast_3d(t: Tensor) -> Tensor:
    return t if t._array.ndim > 2 else unsqueeze(_atleast_2d(t), -1)


def atleast_1d(*tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
    """Each tensor, a 0-d one as (1,). Several tensors give a tuple.

    https://docs.pytorch.org/docs/stable/generated/torch.atleast_1d.html
    """
    return _each(_atleast_1d, tensors)


def atleast_2d(*tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
    """Each tensor with at least two dimensions: (n,) becomes (1, n). Several give a tuple.

    https://docs.pytorch.org/docs/stable/generated/torch.atleast_2d.html
    """
    return _each(_atleast_2d, tensors)


def atleast_3d(*tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
    """Each tensor with at least three dimensions: (n,) -> (1, n, 1), (m, n) -> (m, n, 1).

    https://docs.pytorch.org/docs/stable/generated/torch.atleast_3d.html
    """
    return _each(_atleast_3d, tensors)


def concat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """`cat` under another name. https://docs.pytorch.org/docs/stable/generated/torch.concat.html"""
    return cat(tensors, dim)


def concatenate(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """`cat` under NumPy's name.

    https://docs.pytorch.org/docs/stable/generated/torch.concatenate.html
    """
    return cat(tensors, dim)


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """y = the tensors side by side: along dimension 1, vectors along 0.

    https://docs.pytorch.org/docs/stable/generated/torch.hstack.html
    """
    tensors = [_atleast_1d(t) for t in tensors_of(_cat.op, tensors)]
    return cat(tensors, 0 if tensors[0]._array.ndim == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """y = the tensors one below the other, along dimension 0; vectors are rows.

    https://docs.pytorch.org/docs/stable/generated/torch.vstack.html
    """
    return cat([_atleast_2d(t) for t in tensors_of(_cat.op, tensors)])


def row_stack(tensors: Sequence[Tensor]) -> Tensor:
    """`vstack`. https://docs.pytorch.org/docs/stable/generated/torch.row_stack.html"""
    return vstack(tensors)


def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """y = the tensors behind each other, along dimension 2.

    https://docs.pytorch.org/docs/stable/generated/torch.dstack.html
    """
    return cat([_atleast_3d(t) for t in tensors_of(_cat.op, tensors)], 2)


def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """y = the tensors side by side, along dimension 1; vectors are columns.

    https://docs.pytorch.org/docs/stable/generated/torch.column_stack.html
    """
    tensors = tensors_of(_cat.op, tensors)
    return cat([t if t._array.ndim > 1 else reshape(t, (t._array.size, 1)) for t in tensors], 1)


def block_diag(*tensors: Tensor) -> Tensor:
    """y = the matrices along the diagonal of a matrix of zeros; vectors are rows.

    https://docs.pytorch.org/docs/stable/generated/torch.block_diag.html
    """
    blocks = [_atleast_2d(t) for t in _same_type(tensors)]
    for i, b in enumerate(blocks):
        if b._array.ndim > 2:
            raise ShapeError(
                f"block_diag: expected at most 2 dimensions, tensor {i} has shape {b._array.shape}."
            )
    sizes = [b._array.shape[1] for b in blocks]
    before = itertools.accumulate(sizes, initial=0)
    return cat(
        [pad(b, (at, sum(sizes) - at - n)) for b, at, n in zip(blocks, before, sizes, strict=False)]
    )


def meshgrid(*tensors: Tensor, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Each vector expanded over the grid of all: y_k[i_0, i_1, ...] = tensors[k][i_k].

    indexing="xy" swaps the first two dimensions of the results.
    https://docs.pytorch.org/docs/stable/generated/torch.meshgrid.html
    """
    vectors = [_atleast_1d(t) for t in tensors_of(_cat.op, _given(tensors))]
    if indexing not in (None, "ij", "xy"):
        raise ValueError(f"meshgrid: indexing must be 'ij' or 'xy', got {indexing!r}.")
    if any(v._array.ndim != 1 for v in vectors):
        raise ShapeError(f"meshgrid: expected vectors, got {[v._array.shape for v in vectors]}.")
    shape = tuple(v._array.size for v in vectors)
    ones = [(1,) * (len(shape) - 1 - k) for k in range(len(shape))]  # the dimensions after its own
    spread = [
        expand(reshape(v, (v._array.size, *o)), shape) for v, o in zip(vectors, ones, strict=True)
    ]
    swap = indexing == "xy" and len(shape) > 1
    return tuple(transpose(s, 0, 1) if swap else s for s in spread)


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """y = all tuples with one element of each vector, (n_0 n_1 ..., number of vectors).

    https://docs.pytorch.org/docs/stable/generated/torch.cartesian_prod.html
    """
    if len(tensors) == 1:
        return tensors[0]
    return stack([ravel(m) for m in meshgrid(*tensors)], 1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """y = all choices of r elements of a vector, in order, (number of choices, r).

    https://docs.pytorch.org/docs/stable/generated/torch.combinations.html
    """
    if input._array.ndim != 1:
        raise ShapeError(f"combinations: expected a vector, got shape {input._array.shape}.")
    if r < 0:
        raise ValueError(f"combinations: r must not be negative, got {r}.")
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    found = list(choose(range(input._array.size), r)) if r else []
    places = xp(input._array).asarray(found, "int64").reshape(len(found), r)
    return _index(input, (places,))


# ----------------------------------------------------------------------------------- splitting


def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple:
    """Views of input along dim, of the given sizes: `split` with a list."""
    return split(input, list(split_sizes), dim)


def unsafe_split(tensor: Tensor, split_size: int | Sequence[int], dim: int = 0) -> tuple:
    """`split`, which is safe here."""
    return split(tensor, split_size, dim)


def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple:
    """`chunk`, which is safe here."""
    return chunk(input, chunks, dim)


def tensor_split(
    input: Tensor, indices_or_sections: int | Sequence[int] | Tensor, dim: int = 0
) -> tuple:
    """Views of input along dim: n of nearly equal size, or cut before the given indices.

    https://docs.pytorch.org/docs/stable/generated/torch.tensor_split.html
    """
    return _tensor_split("tensor_split", input, indices_or_sections, dim)


def _tensor_split(name: str, input: Tensor, cuts: int | Sequence[int] | Tensor, dim: int) -> tuple:
    if not input._array.ndim:
        raise ShapeError(f"{name}: a 0-d tensor cannot be split.")
    size = input._array.shape[axis_of(dim, input._array.ndim, name)]
    if isinstance(cuts, Tensor):
        cuts = cuts.tolist()
    if isinstance(cuts, int):
        if cuts <= 0:
            raise ValueError(f"{name}: the number of sections must be positive, got {cuts}.")
        small, larger = divmod(size, cuts)
        cuts = [i * small + min(i, larger) for i in range(1, cuts)]
    ends = [slice(c).indices(size)[1] for c in [*cuts, size]]  # clipped; negative ones from the end
    starts = [0, *ends[:-1]]
    return tuple(narrow(input, dim, a, max(b - a, 0)) for a, b in zip(starts, ends, strict=True))


def _split_evenly(name: str, input: Tensor, cuts: int | Sequence[int], dim: int) -> tuple:
    least = dim + 1
    if input._array.ndim < least:
        raise ShapeError(f"{name}: expected {least} dimensions or more, got {input._array.shape}.")
    if isinstance(cuts, int) and (cuts <= 0 or input._array.shape[dim] % cuts):
        raise ShapeError(
            f"{name}: dimension {dim} of size {input._array.shape[dim]} cannot be split into "
            f"{cuts} equal parts."
        )
    return _tensor_split(name, input, cuts, dim)


def hsplit(input: Tensor, indices_or_sections: int | Sequence[int]) -> tuple:
    """`tensor_split` along dimension 1 (vectors: 0), into parts of equal size.

    https://docs.pytorch.org/docs/stable/generated/torch.hsplit.html
    """
    return _split_evenly("hsplit", input, indices_or_sections, int(input._array.ndim > 1))


def vsplit(input: Tensor, indices_or_sections: int | Sequence[int]) -> tuple:
    """`tensor_split` along dimension 0 of at least two, into parts of equal size.

    https://docs.pytorch.org/docs/stable/generated/torch.vsplit.html
    """
    if input._array.ndim < 2:
        raise ShapeError(f"vsplit: expected 2 dimensions or more, got {input._array.shape}.")
    return _split_evenly("vsplit", input, indices_or_sections, 0)


def dsplit(input: Tensor, indices_or_sections: int | Sequence[int]) -> tuple:
    """`tensor_split` along dimension 2, into parts of equal size.

    https://docs.pytorch.org/docs/stable/generated/torch.dsplit.html
    """
    return _split_evenly("dsplit", input, indices_or_sections, 2)
