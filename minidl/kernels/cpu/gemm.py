"""Matrix products of float32, split over the one pool of threads.

A fast product of matrices is a craft of its own: blocks that fit each cache, packed so that the
innermost loop reads memory in one stream (Goto and van de Geijn, "Anatomy of High-Performance
Matrix Multiplication", 2008). OpenBLAS, which comes with NumPy, has it; this file only decides how
its `sgemm` is called.

OpenBLAS has threads of its own. After each product they spin on the cores for a while, and the
kernels that follow run at half speed. So it is told to use one thread, and is called from inside a
`prange`, each thread making a block of the result:

    rows     out[first:last] = a[first:last] @ b        every thread reads all of b
    columns  out[:, first:last] = a @ b[:, first:last]  every thread reads all of a
    batch    out[i] = a[i] @ b[i]                       where there are several products

Every call first copies its `a` and `b` into packed blocks. What all threads read is packed by each
of them, so that must be the smaller part: rows are split where there are many, columns where there
are few rows. A thread's block depends on the number of threads, and the last digits of a product
may depend on the block: of all kernels only these do not give the same bits for any number.

OpenBLAS adds to what is in `out`. Where a vector is to be added to every row (a bias), it is put
there first, in place of the zeros: so it costs nothing.

Where NumPy has another library, its own matmul does everything.
"""

from __future__ import annotations

import ctypes
import math

import numpy as np
from llvmlite import binding
from numba import types

from .. import blas
from . import jit, parallel, prange, threads

SMALL = 2**18  # up to so many multiplications OpenBLAS uses one thread by itself
ALONE = 2**19  # up to so many one thread is done before a second one has packed its share
MANY = 256  # rows of which half are enough to outweigh that every thread packs all of b
ROW_MAJOR, PLAIN, TRANSPOSED = np.int32(101), np.int32(111), np.int32(112)
ZERO, ONE = np.float32(0), np.float32(1)
NOTHING = np.empty(0, np.float32)

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


class one_thread_each:
    """Within, a call of `sgemm` uses the thread it is called on and no other."""

    def __enter__(self) -> None:
        self.before = blas.get_threads()
        if self.before != 1:
            blas.set_threads(1)

    def __exit__(self, *exc: object) -> None:
        if self.before != 1:  # 1: so it was, or another thread is within and will put it back
            blas.set_threads(self.before)


# --------------------------------------------------------------------------------- one product


@jit
def _block(a, a_turned, b, b_turned, start, out, m, n, k, top, bottom, left, right):
    """Rows top to bottom and columns left to right of out = a @ b + start."""
    keep = ZERO
    if start.size:
        keep = ONE
        part = start[left:right]
        for row in range(top, bottom):
            into = out[row * n + left : row * n + right]
            for column in range(part.size):
                into[column] = part[column]
    a_step, b_step = (m if a_turned else k), (k if b_turned else n)
    a_at = top if a_turned else top * k
    b_at = left * k if b_turned else left
    rows, columns = bottom - top, right - left
    sgemm(
        a, a_at, a_turned, b, b_at, b_turned,
        out, top * n + left, rows, columns, k, a_step, b_step, n, keep,
    )  # fmt: skip


@parallel
def _by_rows(a, a_turned, b, b_turned, start, out, m, n, k, blocks):
    for i in prange(blocks):
        top, bottom = m * i // blocks, m * (i + 1) // blocks
        _block(a, a_turned, b, b_turned, start, out, m, n, k, top, bottom, 0, n)


@parallel
def _by_columns(a, a_turned, b, b_turned, start, out, m, n, k, blocks):
    for i in prange(blocks):
        left, right = n * i // blocks, n * (i + 1) // blocks
        _block(a, a_turned, b, b_turned, start, out, m, n, k, 0, m, left, right)


def multiply(
    a: np.ndarray,
    b: np.ndarray,
    out: np.ndarray | None = None,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """a (m, k) @ b (k, n), + start (n,) in every row if given.

    float32, a and b in row order or transposed (others are copied). `out` must be contiguous.
    """
    (m, k), n = a.shape, b.shape[1]
    work = m * n * k
    if out is None:
        out = np.empty((m, n), np.float32)
    if library is None or work <= SMALL:
        np.matmul(a, b, out=out)
        if start is not None:
            out += start
        return out
    a, a_turned = _plain(a)
    b, b_turned = _plain(b)
    start = NOTHING if start is None else start
    blocks = 1 if work <= ALONE else threads.count()
    run = _by_rows if m >= min(n, MANY) else _by_columns
    with one_thread_each():
        run(
            work if blocks > 1 else 0, a, a_turned, b, b_turned, start,
            out.reshape(-1), m, n, k, blocks,
        )  # fmt: skip
    return out


def _plain(matrix: np.ndarray) -> tuple[np.ndarray, bool]:
    """The flat elements of a matrix, and whether they lie transposed."""
    if matrix.flags.c_contiguous:
        return matrix.reshape(-1), False
    if matrix.flags.f_contiguous:
        return matrix.T.reshape(-1), True
    return np.ascontiguousarray(matrix).reshape(-1), False


# ------------------------------------------------------------------------------- several products


@parallel
def _batch(a, a_turned, a_next, b, b_turned, b_next, out, m, n, k, count):
    a_step, b_step = (m if a_turned else k), (k if b_turned else n)
    for i in prange(count):
        sgemm(
            a, i * a_next, a_turned, b, i * b_next, b_turned,
            out, i * m * n, m, n, k, a_step, b_step, n, ZERO,
        )  # fmt: skip


def multiply_batch(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a (..., m, k) @ b (..., k, n); float32, the leading sizes equal, or one of them without any.

    Split over the products, or where there are fewer than threads, each product in turn.
    """
    (m, k), n = a.shape[-2:], b.shape[-1]
    lead = a.shape[:-2] or b.shape[:-2]
    count = math.prod(lead)
    if library is None or count == 0 or m * n * k == 0:
        return np.matmul(a, b)
    if b.ndim == 2 and a.flags.c_contiguous:  # the same b for all: one product of many rows
        return multiply(a.reshape(count * m, k), b).reshape(*lead, m, n)
    out = np.empty((*lead, m, n), np.float32)
    if count < threads.count():
        a_all = np.broadcast_to(a, (*lead, m, k)).reshape(count, m, k)
        b_all = np.broadcast_to(b, (*lead, k, n)).reshape(count, k, n)
        for i, part in enumerate(out.reshape(count, m, n)):
            multiply(a_all[i], b_all[i], out=part)
        return out
    flat_a, a_turned = _plain_batch(a)
    flat_b, b_turned = _plain_batch(b)
    a_next, b_next = (m * k if a.ndim > 2 else 0), (k * n if b.ndim > 2 else 0)
    with one_thread_each():
        _batch(
            count * m * n * k, flat_a, a_turned, a_next, flat_b, b_turned, b_next,
            out.reshape(-1), m, n, k, count,
        )  # fmt: skip
    return out


def _plain_batch(matrices: np.ndarray) -> tuple[np.ndarray, bool]:
    """The flat elements of matrices one after the other, and whether each lies transposed."""
    turned = matrices.swapaxes(-1, -2)
    if not matrices.flags.c_contiguous and turned.flags.c_contiguous:
        return turned.reshape(-1), True
    return np.ascontiguousarray(matrices).reshape(-1), False
