"""Matrix products of float32, split over the one pool of threads.

NumPy's OpenBLAS has threads of its own. After each product they spin on the cores for a while, and
the kernels that follow run at half speed. So its `sgemm` is told to use one thread, and called for
blocks of rows (or columns) inside a `prange`. Where NumPy has another library, its matmul does it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from llvmlite import binding
from numba import types

from .. import blas
from . import jit, parallel, prange, threads

SMALL = 2**18  # up to so many multiplications OpenBLAS uses one thread: nothing to split
ROW_MAJOR, PLAIN, TRANSPOSED = np.int32(101), np.int32(111), np.int32(112)
ZERO, ONE = np.float32(0), np.float32(1)


library = blas.library
if library is not None:
    # Compiled code on disk calls it by this name; where it lies is different in each process.
    address = ctypes.cast(library.scipy_cblas_sgemm64_, ctypes.c_void_p).value
    binding.add_symbol("minidl_sgemm", address)

_enum, _int, _pointer, _float = types.int32, types.int64, types.uintp, types.float32
_sgemm = types.ExternalFunction(
    "minidl_sgemm",
    types.void(
        *[_enum] * 3, *[_int] * 3, _float, _pointer, _int, _pointer, _int, _float, _pointer, _int
    ),
)


@jit
def sgemm(
    a, a_at, a_turned, b, b_at, b_turned, out, out_at, m, n, k, a_step, b_step, out_step, keep
):
    """out[m, n] = a[m, k] @ b[k, n] + keep * out, for use inside kernels.

    a, b, out: flat arrays, and where in them the matrix begins (`_at`) and its rows are (`_step`
    apart); `_turned`: it lies transposed.
    """
    _sgemm(
        ROW_MAJOR,
        TRANSPOSED if a_turned else PLAIN,
        TRANSPOSED if b_turned else PLAIN,
        m,
        n,
        k,
        ONE,
        a.ctypes.data + 4 * a_at,
        a_step,
        b.ctypes.data + 4 * b_at,
        b_step,
        keep,
        out.ctypes.data + 4 * out_at,
        out_step,
    )


@parallel
def _by_rows(a, a_turned, b, b_turned, out, m, n, k, blocks):
    a_step, b_step = (m if a_turned else k), (k if b_turned else n)
    for block in prange(blocks):
        first, last = m * block // blocks, m * (block + 1) // blocks
        at = first if a_turned else first * k
        rows = last - first
        sgemm(a, at, a_turned, b, 0, b_turned, out, first * n, rows, n, k, a_step, b_step, n, ZERO)


@parallel
def _by_columns(a, a_turned, b, b_turned, out, m, n, k, blocks):
    a_step, b_step = (m if a_turned else k), (k if b_turned else n)
    for block in prange(blocks):
        first, last = n * block // blocks, n * (block + 1) // blocks
        at = first * k if b_turned else first
        columns = last - first
        sgemm(a, 0, a_turned, b, at, b_turned, out, first, m, columns, k, a_step, b_step, n, ZERO)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Within, a call of `sgemm` uses the thread it is called on and no other."""
    before = blas.get_threads()
    if before == 1:
        yield
        return
    blas.set_threads(1)
    try:
        yield
    finally:
        blas.set_threads(before)


def multiply(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """a (m, k) @ b (k, n); float32, each in row order or transposed. `out` must be contiguous."""
    (m, k), n = a.shape, b.shape[1]
    if library is None or m * n * k <= SMALL:
        return np.matmul(a, b, out=out)
    if out is None:
        out = np.empty((m, n), np.float32)
    a, a_turned = _plain(a)
    b, b_turned = _plain(b)
    run = _by_rows if m >= n else _by_columns
    with one_thread_each():
        run(m * n * k, a, a_turned, b, b_turned, out.reshape(-1), m, n, k, threads.count())
    return out


def _plain(matrix: np.ndarray) -> tuple[np.ndarray, bool]:
    """The flat elements of a matrix, and whether they lie transposed."""
    if matrix.flags.c_contiguous:
        return matrix.reshape(-1), False
    if matrix.T.flags.c_contiguous:
        return matrix.T.reshape(-1), True
    return np.ascontiguousarray(matrix).reshape(-1), False
