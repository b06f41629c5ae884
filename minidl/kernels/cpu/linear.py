"""linear and matmul: matrix products (see gemm.py) without a second pass over their results.

    y  = x @ W^T + b        the bias is where the product starts from, instead of zeros
    dx = g @ W
    dW = g^T @ x            a product of two matrices that lie transposed: neither is copied
    db = sum of g's rows

In the definition each of the three gradients is an op with a tensor, a reshape and a transpose of
its own; for a small network these cost more than the arithmetic. Here they are one call. dW is a
new array of the shape of W, so that the tape can keep it as `W.grad` as it is.

The sum over rows is taken in blocks of rows, each into a row of its own, and these are added up. So
it can run on several threads, its order (and with it its last digits) depends on the shape alone,
and it is more exact than one long sum.
"""

from __future__ import annotations

import math

import numpy as np

from ... import dtypes
from .. import Kernel
from . import gemm, jit, parallel, prange

ROWS = 128  # of a block in a sum over rows: with 128 columns, as many numbers as fit a cache
F32 = dtypes.F32


@jit
def _add_rows(x, total):
    """total = the sum of the rows of x."""
    total[:] = gemm.ZERO
    for r in range(x.shape[0]):
        row = x[r]
        for c in range(row.size):
            total[c] += row[c]


@parallel
def _block_sums(x, sums):
    for block in prange(sums.shape[0]):
        _add_rows(x[block * ROWS : (block + 1) * ROWS], sums[block])


def sum_of_rows(x: np.ndarray) -> np.ndarray:
    """The sum over the rows of a contiguous matrix (rows, n) -> (n,)."""
    rows, n = x.shape
    total = np.empty(n, np.float32)
    if rows > ROWS:
        sums = np.empty(((rows + ROWS - 1) // ROWS, n), np.float32)
        _block_sums(x.size, x, sums)
        x = sums
    _add_rows(x, total)
    return total


# -------------------------------------------------------------------------------------- linear


def linear(input: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    columns, k = weight.shape
    if input.ndim == 2:
        return gemm.multiply(input, weight.T, start=bias)
    out = np.empty((*input.shape[:-1], columns), np.float32)
    gemm.multiply(input.reshape(-1, k), weight.T, out.reshape(-1, columns), start=bias)
    return out


def linear_backward(
    g: np.ndarray, input: np.ndarray, weight: np.ndarray, needs: tuple
) -> tuple[np.ndarray | None, ...]:
    columns, k = weight.shape
    rows = g if g.ndim == 2 and g.flags.c_contiguous else np.ascontiguousarray(g)
    rows = rows.reshape(-1, columns)  # (rows, out)
    dx = dw = db = None
    if needs[0]:
        dx = np.empty(input.shape, np.float32)
        gemm.multiply(rows, weight, dx.reshape(-1, k))
    if needs[1]:
        dw = gemm.multiply(rows.T, input.reshape(-1, k))
    if needs[2]:
        db = sum_of_rows(rows)
    return dx, dw, db


def _linear_fits(input: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> bool:
    """Whether the shapes are right (otherwise the definition says what is wrong) and not empty."""
    return (
        weight.ndim == 2
        and input.ndim > 0
        and input.shape[-1] == weight.shape[1]
        and input.size > 0
        and weight.shape[0] > 0
        and input.dtype is F32
        and weight.dtype is F32
        and (bias is None or (bias.dtype is F32 and bias.shape == (weight.shape[0],)))
    )


# -------------------------------------------------------------------------------------- matmul


def _matmul_fits(input: np.ndarray, other: np.ndarray) -> bool:
    """Whether it is large enough for several threads, one product or a batch without broadcasting
    (but of a whole matrix), of which neither is a single row or column (OpenBLAS has another
    routine for these)."""
    (m, k), n = input.shape[-2:], other.shape[-1]
    count = math.prod(input.shape[:-2] or other.shape[:-2])
    return (
        input.dtype is F32
        and other.dtype is F32
        and k == other.shape[-2]
        and m > 1
        and n > 1
        and count * m * n * k > gemm.ALONE
        and (input.ndim == 2 or other.ndim == 2 or input.shape[:-2] == other.shape[:-2])
    )


KERNELS = {
    "linear": Kernel(linear, linear_backward, _linear_fits),
    "matmul": Kernel(gemm.multiply_batch, None, _matmul_fits),
}
