"""What the intrinsics of the CPU kernels compute, in Python.

An intrinsic appends instructions to the function that is being compiled: it has no Python of its
own. To damage a kernel its functions are run as Python, and these stand where it calls intrinsics.
Each takes the arguments of the intrinsic; its docstring says what they mean.
"""

from __future__ import annotations

import ctypes
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core.extending import _Intrinsic
from numba.core.types import ExternalFunction

from minidl.kernels.cpu import gemm, row
from minidl.kernels.cpu.vector import LANES


def in_python(value: _Intrinsic | ExternalFunction) -> Callable:
    """The Python that does what an intrinsic, or the product of the BLAS library, does."""
    if isinstance(value, ExternalFunction):
        return _product_of_library
    name = value._defn.__qualname__
    return _MAKERS[name](**inspect.getclosurevars(value._defn).nonlocals)


def _memory(x: np.ndarray) -> np.ndarray:
    """The numbers from the first of `x` on, to the end of the memory that `x` is a part of: a
    pointer knows no shape."""
    whole = x
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    begin = (x.__array_interface__["data"][0] - whole.__array_interface__["data"][0]) // x.itemsize
    return whole.reshape(-1, order="A")[begin:]


def _columns(vectors: int, partial: bool, columns: int) -> np.ndarray:
    """The numbers of the columns of a tile."""
    return np.arange(LANES * (vectors - 1) + (columns if partial else LANES))


def _multiply_block(rows: int, vectors: int, partial: bool) -> Callable:
    def block(
        a, a_at, a_row, a_step, b, b_at, b_row, k, out, out_at, out_row, columns, keep
    ):  # fmt: skip
        a, b, out = _memory(a), _memory(b), _memory(out)
        i, k, j = np.arange(rows)[:, None], np.arange(k), _columns(vectors, partial, columns)
        sums = a[a_at + i * a_row + k * a_step] @ b[b_at + k[:, None] * b_row + j]
        places = out_at + i * out_row + j
        out[places] = sums + (out[places] if keep else 0)

    return block


def _gather_block(rows: int, vectors: int, partial: bool, each: bool) -> Callable:
    def block(
        a, a_at, row_at, piece_at, pieces, length, step, b, b_at, b_row, out, out_at,
        place_at, first, columns, keep,
    ):  # fmt: skip
        a, b, out = _memory(a), _memory(b), _memory(out)
        i, j = np.arange(first, first + rows), _columns(vectors, partial, columns)
        begins = a_at + _memory(row_at)[i][:, None]  # (rows, 1)
        pieces = _memory(piece_at)[np.arange(pieces)][:, None]
        along = (pieces + np.arange(length) * step).reshape(-1)  # (k,)
        right = b[b_at + np.arange(along.size)[:, None] * b_row + j]  # (k, columns)
        if each:
            left = a[(begins + along)[..., None] + j]  # (rows, k, columns)
            sums = np.einsum("ikj,kj->ij", left, right)
        else:
            sums = a[begins + along] @ right
        places = out_at + _memory(place_at)[i][:, None] + j
        out[places] = sums + (out[places] if keep else 0)

    return block


def _transform(matrix: tuple, **sizes: Any) -> Callable:
    factors = np.array(matrix, np.float32)

    def places(at, row, column, count):
        i, j, lane = np.ogrid[:count, :count, :LANES]
        return at + i * row + j * column + lane

    def transform(x, at, row, column, out, out_at, out_row, out_column):
        numbers = _memory(x)[places(at, row, column, factors.shape[1])]
        turned = np.einsum("ai,ijl,bj->abl", factors, numbers, factors)
        _memory(out)[places(out_at, out_row, out_column, factors.shape[0])] = turned

    return transform


def _reduction(start: Any, join: Callable) -> Callable:
    lowest = np.float32(-np.inf)

    def reduction(x, n):
        numbers = _memory(x)[:n]
        return numbers.sum() if join is row._sum else numbers.max(initial=lowest)

    return reduction


def _hide(x, n, size):
    _memory(x)[n:size] = -np.inf


def _dot(a, b, n):
    return np.dot(_memory(a)[:n], _memory(b)[:n])


def _move(scale, x, n, out, size):
    used = min(n, size)
    _memory(out)[:used] = scale * _memory(x)[:used]
    _memory(out)[used:size] = 0


def _product_of_library(*arguments: Any) -> None:
    """`cblas_sgemm`, called with the same numbers."""
    kind, size, place, number = ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p, ctypes.c_float
    kinds = [*[kind] * 3, *[size] * 3, number, place, size, place, size, number, place, size]
    plain = [n.item() if isinstance(n, np.generic) else n for n in arguments]
    ctypes.CFUNCTYPE(None, *kinds)(gemm.address)(*plain)


_MAKERS = {
    "multiply_block.<locals>.block": _multiply_block,
    "gather_block.<locals>.block": _gather_block,
    "_transform.<locals>.transform": _transform,
    "_reduction.<locals>.reduction": _reduction,
    "hide": lambda: _hide,
    "dot": lambda: _dot,
    "move": lambda: _move,
    "as_float": lambda: lambda bits: np.int32(bits).view(np.float32),
    "as_int": lambda: lambda value: np.float32(value).astype(np.int32),
    "rounded": lambda: np.rint,
    "_of_two.<locals>.function": lambda name: {"maxnum": np.fmax, "minnum": np.fmin}[name],
}
