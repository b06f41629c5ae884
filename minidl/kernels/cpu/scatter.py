"""Reading and adding at positions: the gradient of an embedding, gather, scatter_add, index_add.

If a position is named twice, both values must be added. `out[positions] += values` would add only
one of them; NumPy's `np.add.at` is right and, for rows of a table, 20 to 50 times slower than the
plain loop that is meant. That loop is what stands here.

Two threads must not add to one row at the same time, or the result would depend on who came first.
So the work is not split by position but by column: each thread goes through all positions in their
order and adds its own columns. The order of the additions is that of the definition, whatever the
number of threads, down to the last bit.

An array of any dimensions is seen as (A, V, B): A the sizes before the dimension that is indexed,
multiplied, V its size, B the sizes after it. "Deterministic scatter" in the sense of
https://docs.pytorch.org/docs/stable/generated/torch.use_deterministic_algorithms.html
"""

from __future__ import annotations

import math

import numpy as np

from .. import Kernel
from . import jit, parallel, prange
from .functions import F

COLUMNS = 64  # a piece of a row that one thread adds up: four cache lines


# ------------------------------------------------------------------------- whole slices by position


@jit
def _add_piece(values, positions, out, first):
    """out (V, B) gets values (n, B) added at the rows `positions`, in COLUMNS columns."""
    for i in range(positions.size):
        added = values[i, first : first + COLUMNS]
        row = out[positions[i], first : first + COLUMNS]
        for c in range(row.size):
            row[c] += added[c]


@parallel
def _add_slices(values, positions, out):
    """values (A, n, B), positions (n,), out (A, V, B)"""
    pieces = (out.shape[2] + COLUMNS - 1) // COLUMNS
    for p in prange(out.shape[0] * pieces):
        a = p // pieces
        _add_piece(values[a], positions, out[a], (p - a * pieces) * COLUMNS)


@jit
def _copy(x, out):
    for c in range(x.size):
        out[c] = x[c]


@parallel
def _take_slices(x, positions, out):
    """out (A, n, B) = x[:, positions] for x (A, V, B)"""
    n = positions.size
    for r in prange(out.shape[0] * n):
        a = r // n
        _copy(x[a, positions[r - a * n]], out[a, r - a * n])


@jit
def _take_numbers(x, positions, out):
    for i in range(positions.size):
        out[i] = x[positions[i]]


@parallel
def _take_columns(x, positions, out):
    """out (A, n) = x[:, positions] for x (A, V)"""
    for a in prange(out.shape[0]):
        _take_numbers(x[a], positions, out[a])


def _only_array(index: object, ndim: int) -> int | None:
    """The dimension that a full index picks from by its one array of integers, else None."""
    parts = index if isinstance(index, tuple) else (index,)
    arrays = [i for i, p in enumerate(parts) if isinstance(p, np.ndarray)]
    if len(arrays) != 1 or len(parts) > ndim or parts[arrays[0]].dtype.kind not in "iu":
        return None
    rest = [p for p in parts if not isinstance(p, np.ndarray)]
    return arrays[0] if all(p.__class__ is slice and p == slice(None) for p in rest) else None


def _positions(index: object, axis: int, size: int) -> np.ndarray:
    """The positions along the dimension, counted from its beginning, as one row."""
    found = index[axis] if isinstance(index, tuple) else index
    found = found.reshape(-1).astype(np.int64, copy=False)
    return np.where(found < 0, found + size, found) if found.size and found.min() < 0 else found


def _within(positions: np.ndarray, size: int) -> bool:
    """Whether the loop may use them: compiled code has no check of its own."""
    if positions.dtype.kind == "i":  # seen without its sign, a negative number is a huge one
        positions = positions.view(f"u{positions.itemsize}")
    return positions.size > 0 and int(positions.max()) < size


def _seen(x: np.ndarray, axis: int, middle: int) -> np.ndarray:
    """x as (A, middle, B), contiguous."""
    before = math.prod(x.shape[:axis])
    return np.ascontiguousarray(x).reshape(before, middle, -1)


def take(x: np.ndarray, index: object) -> np.ndarray | None:
    """x[index] for one array of positions, or None where it is not for this kernel."""
    axis = _only_array(index, x.ndim)
    if axis is None or x.dtype != F or not x.flags.c_contiguous or x.size == 0:
        return None
    chosen = index[axis] if isinstance(index, tuple) else index
    positions = _positions(index, axis, x.shape[axis])
    if not _within(positions, x.shape[axis]):
        return None
    out = np.empty((*x.shape[:axis], *chosen.shape, *x.shape[axis + 1 :]), np.float32)
    seen, flat = _seen(x, axis, x.shape[axis]), _seen(out, axis, positions.size)
    if seen.shape[2] == 1:
        _take_columns(out.size, seen[:, :, 0], positions, flat[:, :, 0])
    else:
        _take_slices(out.size, seen, positions, flat)
    return out


def add_at(x: np.ndarray, values: np.ndarray, index: object) -> np.ndarray:
    out = np.array(x, order="C")
    _add_into(out, values, index)
    return out


def _add_into(out: np.ndarray, values: np.ndarray, index: object) -> None:
    axis = _only_array(index, out.ndim)
    positions = _positions(index, axis, out.shape[axis])
    seen = _seen(values, axis, positions.size)
    _add_slices(values.size, seen, positions, _seen(out, axis, out.shape[axis]))


def _takes_values(x: np.ndarray, values: np.ndarray, index: object) -> bool:
    return values.dtype == x.dtype == F and _fits(values, index, x.shape)


def unindex(values: np.ndarray, index: object, shape: tuple) -> np.ndarray:
    out = np.zeros(shape, np.float32)
    _add_into(out, values, index)
    return out


def _takes_unindex(values: np.ndarray, index: object, shape: tuple) -> bool:
    return values.dtype == F and _fits(values, index, tuple(shape))


def _fits(values: np.ndarray, index: object, shape: tuple) -> bool:
    """Whether values has just the shape that x[index] has for x of this shape."""
    axis = _only_array(index, len(shape))
    if axis is None or values.size == 0:
        return False
    chosen = index[axis] if isinstance(index, tuple) else index
    full = (*shape[:axis], *chosen.shape, *shape[axis + 1 :])
    return values.shape == full and _within(_positions(index, axis, shape[axis]), shape[axis])


# ----------------------------------------------------------------------- single numbers by position


@parallel
def _gather_rows(x, index, out):
    """x (A, V), index and out (A, n): along the last dimension"""
    for a in prange(x.shape[0]):
        _take_numbers(x[a], index[a], out[a])


@jit
def _gather_slice(x, index, out):
    for i in range(index.shape[0]):
        for b in range(index.shape[1]):
            out[i, b] = x[index[i, b], b]


@parallel
def _gather(x, index, out):
    """x (A, V, B), index and out (A, n, B)"""
    for a in prange(x.shape[0]):
        _gather_slice(x[a], index[a], out[a])


@jit
def _add_numbers(values, index, out):
    for i in range(index.size):
        out[index[i]] += values[i]


@parallel
def _scatter_rows(values, index, out):
    """values and index (A, n), out (A, V): along the last dimension"""
    for a in prange(out.shape[0]):
        _add_numbers(values[a], index[a], out[a])


@jit
def _scatter_piece(values, index, first, out):
    for i in range(index.shape[0]):
        for b in range(first, min(first + COLUMNS, out.shape[1])):
            out[index[i, b], b] += values[i, b]


@parallel
def _scatter(values, index, out):
    """values and index (A, n, B), out (A, V, B)"""
    pieces = (out.shape[2] + COLUMNS - 1) // COLUMNS
    for p in prange(out.shape[0] * pieces):
        a = p // pieces
        _scatter_piece(values[a], index[a], (p - a * pieces) * COLUMNS, out[a])


def gather(x: np.ndarray, index: np.ndarray, dim: int) -> np.ndarray:
    out = np.empty(index.shape, np.float32)
    n = index.shape[dim]
    places = _seen(index.astype(np.int64, copy=False), dim, n)
    seen, result = _seen(x, dim, x.shape[dim]), _seen(out, dim, n)
    if seen.shape[2] == 1:
        _gather_rows(out.size, seen[:, :, 0], places[:, :, 0], result[:, :, 0])
    else:
        _gather(out.size, seen, places, result)
    return out


def gather_gradient(g: np.ndarray, index: np.ndarray, input_shape: tuple, dim: int) -> tuple:
    dx = np.zeros(input_shape, np.float32)
    _scatter_into(dx, index, g, dim)
    return dx, None


def scatter_add(x: np.ndarray, index: np.ndarray, src: np.ndarray, dim: int) -> np.ndarray:
    out = np.array(x, order="C")
    _scatter_into(out, index, src, dim)
    return out


def _scatter_into(out: np.ndarray, index: np.ndarray, values: np.ndarray, dim: int) -> None:
    n = index.shape[dim]
    places = _seen(index.astype(np.int64, copy=False), dim, n)
    seen, result = _seen(values, dim, n), _seen(out, dim, out.shape[dim])
    if seen.shape[2] == 1:
        _scatter_rows(index.size, seen[:, :, 0], places[:, :, 0], result[:, :, 0])
    else:
        _scatter(index.size, seen, places, result)


def _takes_gather(x: np.ndarray, index: np.ndarray, dim: int) -> bool:
    if x.dtype != F or index.dtype.kind not in "iu" or index.ndim != x.ndim or x.ndim == 0:
        return False
    if not (isinstance(dim, int) and -x.ndim <= dim < x.ndim):
        return False
    others = [d for d in range(x.ndim) if d != dim % x.ndim]
    same = all(x.shape[d] == index.shape[d] for d in others)
    return same and x.size > 0 and _within(index, x.shape[dim])


def _takes_scatter(x: np.ndarray, index: np.ndarray, src: np.ndarray, dim: int) -> bool:
    return src.dtype == F and src.shape == index.shape and _takes_gather(x, index, dim)


KERNELS = {
    "unindex": Kernel(unindex, None, _takes_unindex),
    "add_at": Kernel(add_at, None, _takes_values),
    "gather": Kernel(gather, gather_gradient, _takes_gather),
    "scatter_add": Kernel(scatter_add, None, _takes_scatter),
}
