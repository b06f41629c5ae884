"""Reading and adding at positions: the gradient of an embedding, gather, scatter_add, index_add.

No atomic additions: every sum is taken in the order of the positions, which is that of the
definition on a CPU, so the bits are the same each time. Sorting is the array module's, and since
CuPy 14 it does not wait for the GPU: https://github.com/cupy/cupy/pull/9497
"""

from __future__ import annotations

import math
from typing import Any

from ...device import Array, xp
from .. import Kernel
from . import TYPES, Source, blocks, contiguous

THREADS = 256
FEW = 32  # positions that a thread goes through sooner than that they are sorted
STORED = {dtype: types.partition(",")[0] for dtype, types in TYPES.items()}
SOURCE = Source(
    "scatter.cu",
    {
        "add_slices": TYPES.values(),
        "gather": STORED.values(),
        "scatter_lines": STORED.values(),
    },
)


def _launch(kernel: str, types: dict, threads: int, array: Array, *args: Any) -> None:
    SOURCE.launch(kernel, types[array.dtype], blocks(threads, THREADS), (THREADS,), array, *args)


def _split(shape: tuple, dim: int) -> tuple[int, int]:
    """How many numbers there are before and after a dimension."""
    return math.prod(shape[:dim]), math.prod(shape[dim + 1 :])


# ------------------------------------------------------------------------- whole slices by position


def _only_array(index: Any, shape: tuple, kind: type) -> int | None:
    """The dimension that a full index picks from by its one array of integers, else None."""
    parts = index if isinstance(index, tuple) else (index,)
    arrays = [i for i, p in enumerate(parts) if hasattr(p, "ndim")]
    if len(arrays) != 1 or len(parts) > len(shape):
        return None
    found = parts[arrays[0]]
    if found.__class__ is not kind or found.dtype.kind not in "iu" or not shape[arrays[0]]:
        return None
    rest = [p for p in parts if p is not found]
    return arrays[0] if all(p.__class__ is slice and p == slice(None) for p in rest) else None


def _add_slices(out: Array, values: Array, positions: Array, before: int, after: int) -> None:
    """out (A, V, B) gets values (A, n, B) added at positions (n,), in their order."""
    size = out.size // (before * after)
    positions = positions.astype("int64") % size
    order = xp(out).argsort(positions, kind="stable")
    sizes = before, positions.size, size, after
    given = contiguous(values), order, positions[order], out
    _launch("add_slices", TYPES, values.size, *given, *sizes)


def _add_into(out: Array, values: Array, index: Any) -> None:
    axis = _only_array(index, out.shape, out.__class__)
    positions = index[axis] if isinstance(index, tuple) else index
    _add_slices(out, values, positions.reshape(-1), *_split(out.shape, axis))


def add_at(x: Array, values: Array, index: Any) -> Array:
    out = x.copy(order="C")
    _add_into(out, values, index)
    return out


def unindex(values: Array, index: Any, shape: tuple) -> Array:
    out = xp(values).zeros(shape, values.dtype)
    _add_into(out, values, index)
    return out


def _takes_values(x: Array, values: Array, index: Any) -> bool:
    return x.dtype == values.dtype and _takes_unindex(values, index, x.shape)


def _takes_unindex(values: Array, index: Any, shape: tuple) -> bool:
    """Whether values has just the shape that x[index] has for x of this shape."""
    axis = _only_array(index, shape, values.__class__)
    if axis is None or values.size == 0 or values.dtype not in TYPES:
        return False
    chosen = index[axis] if isinstance(index, tuple) else index
    return values.shape == (*shape[:axis], *chosen.shape, *shape[axis + 1 :])


# ----------------------------------------------------------------------- single numbers by position


def gather(x: Array, index: Array, dim: int) -> Array:
    dim %= x.ndim
    before, after = _split(x.shape, dim)
    out = xp(x).empty(index.shape, x.dtype)
    sizes = before, index.shape[dim], x.shape[dim], after
    _launch("gather", STORED, out.size, contiguous(x), _indices(index), out, *sizes)
    return out


def gather_gradient(g: Array, index: Array, input_shape: tuple, dim: int) -> tuple:
    dx = xp(g).zeros(input_shape, g.dtype)
    _scatter_into(dx, index, g, dim)
    return dx, None


def scatter_add(x: Array, index: Array, src: Array, dim: int) -> Array:
    out = x.copy(order="C")
    _scatter_into(out, index, src, dim)
    return out


def _scatter_into(out: Array, index: Array, values: Array, dim: int) -> None:
    dim %= out.ndim
    before, after = _split(out.shape, dim)
    count, size = index.shape[dim], out.shape[dim]
    if count <= FEW:
        given = contiguous(values), _indices(index), out, before, count, size, after
        _launch("scatter_lines", STORED, before * after, *given)
        return
    module = xp(out)
    index = index.reshape(before, count, after).astype("int64") % size
    rows = module.arange(before).reshape(-1, 1, 1) * size + index
    places = (rows * after + module.arange(after)).reshape(-1)
    _add_slices(out, values, places, 1, 1)


def _indices(index: Array) -> Array:
    return contiguous(index.astype("int64", copy=False))


def _takes_gather(x: Array, index: Array, dim: int) -> bool:
    if x.dtype not in TYPES or index.dtype.kind not in "iu" or index.ndim != x.ndim or x.ndim == 0:
        return False
    if not (isinstance(dim, int) and -x.ndim <= dim < x.ndim):
        return False
    others = [d for d in range(x.ndim) if d != dim % x.ndim]
    same = all(x.shape[d] == index.shape[d] for d in others)
    return same and x.size > 0 and index.size > 0


def _takes_scatter(x: Array, index: Array, src: Array, dim: int) -> bool:
    return src.dtype == x.dtype and src.shape == index.shape and _takes_gather(x, index, dim)


KERNELS = {
    "unindex": Kernel(unindex, None, _takes_unindex, half=True),
    "add_at": Kernel(add_at, None, _takes_values, half=True),
    "gather": Kernel(gather, gather_gradient, _takes_gather, half=True),
    "scatter_add": Kernel(scatter_add, None, _takes_scatter, half=True),
}
