"""Rows of numbers, a whole vector register at a time: the largest, the sum, dot products, copies.

LLVM turns plain loops over a row into vector instructions, but not always: `top = max(top, x[i])`
only if it may assume that no number is nan, a copy only if it knows that the numbers lie side by
side (of a slice of a strided array it does not), and what is left over after steps of 64 numbers is
done one by one, which for rows of 32 or 80 numbers is most of the work. These are written down as
in vector.py instead; at the end of a row, a mask says which lanes are in use.

Their arguments are slices that begin where the row begins, numbers side by side; nothing checks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import jit
from .vector import (
    INT32,
    LANES,
    VECTOR,
    ZEROS,
    broadcast,
    data,
    first_lanes,
    load,
    multiply_add,
    store,
)

PANEL = 32  # columns of a tile of vector.py
ZERO, ONE = np.float32(0), np.float32(1)
LOWEST = ir.Constant(VECTOR, [float("-inf")] * LANES)
LANE_NUMBERS = ir.VectorType(INT32, LANES)


def _vectors(builder: ir.IRBuilder, n: ir.Value) -> Any:
    """A loop over a row of n numbers; loop.index * 16 is where a vector begins."""
    return cgutils.for_range(
        builder, builder.sdiv(builder.add(n, n.type(LANES - 1)), n.type(LANES))
    )


def _mask(builder: ir.IRBuilder, n: ir.Value, at: ir.Value) -> ir.Value:
    """The lanes of the vector at `at` that belong to a row of n numbers."""
    return first_lanes(builder, builder.sub(n, at))


def _joined(builder: ir.IRBuilder, vector: ir.Value, join: Callable) -> ir.Value:
    """One number from a vector, its halves joined four times."""
    for half in (8, 4, 2, 1):
        lanes = [(i + half) % LANES for i in range(LANES)]
        other = builder.shuffle_vector(vector, vector, ir.Constant(LANE_NUMBERS, lanes))
        vector = join(builder, vector, other)
    return builder.extract_element(vector, INT32(0))


def _larger(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _sum(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    return builder.fadd(a, b)


def _reduction(start: ir.Constant, join: Callable) -> Callable:
    @intrinsic
    def reduction(context, x, n):
        def build(context, builder, signature, arguments):
            x, n = data(context, builder, signature.args[0], arguments[0]), arguments[1]
            result = cgutils.alloca_once_value(builder, start)
            with _vectors(builder, n) as loop:
                new = load(builder, x, builder.mul(loop.index, n.type(LANES)))
                builder.store(join(builder, builder.load(result), new), result)
            return _joined(builder, builder.load(result), join)

        return types.float32(x, types.intp), build

    return reduction


# (x, n): the largest, the sum of the first n numbers, n a multiple of 16. If one is nan, the
# largest is any of them.
largest = _reduction(LOWEST, _larger)
sum_of = _reduction(ZEROS, _sum)


@intrinsic
def hide(context, x, n, size):
    """x[n:size] = -inf; size is a multiple of 16."""

    def build(context, builder, signature, arguments):
        x, n, size = arguments
        x = data(context, builder, signature.args[0], x)
        first, step = builder.sdiv(n, n.type(LANES)), n.type(LANES)
        with cgutils.for_range_slice(builder, first, builder.sdiv(size, step), n.type(1)) as loop:
            at = builder.mul(loop[0], step)
            numbers = builder.select(_mask(builder, n, at), load(builder, x, at), LOWEST)
            store(builder, numbers, x, at)
        return context.get_dummy_value()

    return types.void(x, types.intp, types.intp), build


@intrinsic
def dot(context, a, b, n):
    """The sum of a[i] b[i] over the first n numbers."""

    def build(context, builder, signature, arguments):
        a = data(context, builder, signature.args[0], arguments[0])
        b = data(context, builder, signature.args[1], arguments[1])
        n = arguments[2]
        total = cgutils.alloca_once_value(builder, ZEROS)
        with _vectors(builder, n) as loop:
            at = builder.mul(loop.index, n.type(LANES))
            mask = _mask(builder, n, at)
            left, right = load(builder, a, at, mask), load(builder, b, at, mask)
            builder.store(multiply_add(builder, left, right, builder.load(total)), total)
        return _joined(builder, builder.load(total), _sum)

    return types.float32(a, b, types.intp), build


@intrinsic
def move(context, scale, x, n, out, size):
    """out[:size] = scale * x[:n], and zeros after it if size is larger."""

    def build(context, builder, signature, arguments):
        scale, x, n, out, size = arguments
        x = data(context, builder, signature.args[1], x)
        out = data(context, builder, signature.args[3], out)
        scale = broadcast(builder, scale)
        with _vectors(builder, size) as loop:
            at = builder.mul(loop.index, n.type(LANES))
            numbers = builder.fmul(scale, load(builder, x, at, _mask(builder, n, at)))
            store(builder, numbers, out, at, _mask(builder, size, at))
        return context.get_dummy_value()

    return types.void(types.float32, x, types.intp, out, types.intp), build


# ------------------------------------------------------------------------ operands of the tiles


@jit
def whole(n, size):
    """n rounded up to a multiple of size."""
    return (n + size - 1) // size * size


@jit
def filled(x, scale, rows, columns):
    """scale * x, with zeros around it: (rows, columns)."""
    out = np.empty((rows, columns), np.float32)
    for i in range(rows):
        if i < x.shape[0]:
            move(scale, x[i], x.shape[1], out[i], columns)
        else:
            out[i] = ZERO
    return out


@jit
def turned_panels(x):
    """x (n, d) transposed, its columns in panels: out[p, :, j] is row 32 p + j of x, or zeros."""
    n, d = x.shape
    out = np.empty((whole(n, PANEL) // PANEL, d, PANEL), np.float32)
    for p in range(out.shape[0]):
        panel = out[p]
        for j in range(PANEL):
            if p * PANEL + j < n:
                row = x[p * PANEL + j]
                for i in range(d):
                    panel[i, j] = row[i]
            else:
                for i in range(d):
                    panel[i, j] = ZERO
    return out


@jit
def column_panels(x):
    """x (d, n), its columns in panels: out[p, :, j] is column 32 p + j of x, or zeros."""
    d, n = x.shape
    out = np.empty((whole(n, PANEL) // PANEL, d, PANEL), np.float32)
    for p in range(out.shape[0]):
        first = p * PANEL
        for i in range(d):
            move(ONE, x[i, first:], min(PANEL, n - first), out[p, i], PANEL)
    return out
