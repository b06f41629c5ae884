"""The vector register in Numba: small matrix products that stay in registers.

A core of today multiplies and adds 16 float32 in one instruction, twice a cycle, if the numbers
are in its registers: two loads a cycle is all that memory delivers. A loop `out[i, j] += a[i, k] *
b[k, j]` needs three loads for one product. The way out is a *tile*: 8 rows and 32 columns of `out`
are 16 registers of 16 numbers. For one k, load b[k, 32 columns] (2 registers), and for each row
one number a[i, k], copied into all 16 lanes ("broadcast"): 10 loads for 16 products of 16. The tile
is written to memory once, after the last k. This is what every BLAS and every convolution library
has at its bottom.

LLVM does not find this in plain loops. So the tile is written down for it: an `@intrinsic` is a
function that Numba calls while it compiles, and that appends LLVM instructions to the caller.
`<16 x float>` is a value of 16 lanes; `fmuladd` multiplies and adds. LLVM assigns the registers,
and cuts the vectors in halves or quarters on machines with narrower ones.

Every sum runs over k from 0 up, one `fmuladd` after the other: the bits of out[i, j] do not depend
on which tile it is in. Nothing checks bounds: the callers do.

Two tiles are built here: of a matrix product, and of one whose rows of `a` lie anywhere and whose
sum runs over pieces (convolution). From the first come products of any size (`product`).

K. Goto, R. van de Geijn, Anatomy of High-Performance Matrix Multiplication, 2008,
https://doi.org/10.1145/1356052.1356053; E. Georganas et al., Anatomy of High-Performance Deep
Learning Convolutions on SIMD Architectures, 2018, https://arxiv.org/abs/1808.05567
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import jit

LANES = 16
FLOAT, INT32, BIT = ir.FloatType(), ir.IntType(32), ir.IntType(1)
VECTOR, MASK = ir.VectorType(FLOAT, LANES), ir.VectorType(BIT, LANES)
ZEROS = ir.Constant(VECTOR, [0.0] * LANES)
POINTER = VECTOR.as_pointer()


def load(builder, pointer, at, mask=None):
    """16 numbers from pointer[at] on; with a mask, only those, and zeros."""
    pointer = builder.bitcast(builder.gep(pointer, [at]), POINTER)
    if mask is None:
        value = builder.load(pointer)
        value.align = 4
        return value
    kind = ir.FunctionType(VECTOR, [POINTER, INT32, MASK, VECTOR])
    masked = cgutils.get_or_insert_function(builder.module, kind, "llvm.masked.load.v16f32.p0")
    return builder.call(masked, [pointer, INT32(4), mask, ZEROS])


def store(builder, value, pointer, at, mask=None):
    pointer = builder.bitcast(builder.gep(pointer, [at]), POINTER)
    if mask is None:
        builder.store(value, pointer).align = 4
        return
    kind = ir.FunctionType(ir.VoidType(), [VECTOR, POINTER, INT32, MASK])
    masked = cgutils.get_or_insert_function(builder.module, kind, "llvm.masked.store.v16f32.p0")
    builder.call(masked, [value, pointer, INT32(4), mask])


def broadcast(builder, number):
    """A vector with one number in all its lanes."""
    nothing = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(nothing, number, INT32(0))
    lanes = ir.Constant(ir.VectorType(INT32, LANES), [0] * LANES)
    return builder.shuffle_vector(first, nothing, lanes)


def multiply_add(builder, x, y, z):
    """x * y + z, rounded once where the machine can."""
    kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
    called = cgutils.get_or_insert_function(builder.module, kind, "llvm.fmuladd.v16f32")
    return builder.call(called, [x, y, z])


def first_lanes(builder, count):
    """The mask of the first `count` lanes."""
    lanes = ir.Constant(ir.VectorType(INT32, LANES), list(range(LANES)))
    nothing = ir.Constant(lanes.type, ir.Undefined)
    counts = builder.insert_element(nothing, builder.trunc(count, INT32), INT32(0))
    zeros = ir.Constant(lanes.type, [0] * LANES)
    return builder.icmp_signed("<", lanes, builder.shuffle_vector(counts, nothing, zeros))


def data(context, builder, kind, array):
    """The pointer to the first element of an array argument."""
    return context.make_array(kind)(context, builder, array).data


class _Tile:
    """rows x 16 * vectors sums in registers; the last vector may have only some lanes in use."""

    def __init__(self, builder, rows, vectors, mask):
        self.builder, self.mask = builder, mask
        self.sums = [
            [cgutils.alloca_once(builder, VECTOR) for _ in range(vectors)] for _ in range(rows)
        ]

    def _place(self, at, v):
        masked = self.mask is not None and v == len(self.sums[0]) - 1
        return self.builder.add(at, at.type(LANES * v)), self.mask if masked else None

    def start(self, keep, out, ats):
        """What is in `out`, or zeros."""
        with self.builder.if_else(keep) as (kept, new):
            with kept:
                for at, row in zip(ats, self.sums, strict=True):
                    for v, total in enumerate(row):
                        self.builder.store(load(self.builder, out, *self._place(at, v)), total)
            with new:
                for row in self.sums:
                    for total in row:
                        self.builder.store(ZEROS, total)

    def add(self, places, b, at):
        """sums[i, :] += (the number at places[i]) * b[at:]"""
        vectors = [load(self.builder, b, *self._place(at, v)) for v in range(len(self.sums[0]))]
        for place, row in zip(places, self.sums, strict=True):
            number = broadcast(self.builder, self.builder.load(place))
            for vector, total in zip(vectors, row, strict=True):
                new = multiply_add(self.builder, number, vector, self.builder.load(total))
                self.builder.store(new, total)

    def add_each(self, places, b, at):
        """sums[i, :] += (the 16 numbers from places[i] on) * b[at:], for tiles of one vector"""
        vector = load(self.builder, b, at, self.mask)
        for place, (total,) in zip(places, self.sums, strict=True):
            numbers = load(self.builder, place, at.type(0), self.mask)
            new = multiply_add(self.builder, numbers, vector, self.builder.load(total))
            self.builder.store(new, total)

    def finish(self, out, ats):
        for at, row in zip(ats, self.sums, strict=True):
            for v, total in enumerate(row):
                place, mask = self._place(at, v)
                store(self.builder, self.builder.load(total), out, place, mask)


def _rows(builder, at, step, rows):
    """at, at + step, at + 2 step, ..."""
    return [builder.add(at, builder.mul(step, step.type(i))) for i in range(rows)]


def multiply_block(rows: int = 8, vectors: int = 2, partial: bool = False) -> Callable:
    """A tile of a matrix product, to be called in kernels:

    block(a, a_at, a_row, a_step, b, b_at, b_row, k, out, out_at, out_row, columns, keep)

    out[i, j] = sum over k of a[i, k] * b[k, j], for `rows` i and 16 * vectors j, where
    a[i, k] is a[a_at + i * a_row + k * a_step], b[k, j] is b[b_at + k * b_row + j] and out[i, j]
    is out[out_at + i * out_row + j]; a, b, out are flat float32 arrays, the rest integers.
    a_row = 1 takes `a` transposed. keep (a bool): adds to what is in `out`. partial: only
    `columns` (1 to 16) of the last 16 columns are read and written; otherwise `columns` is not
    looked at.
    """

    @intrinsic
    def block(
        context, a, a_at, a_row, a_step, b, b_at, b_row, k, out, out_at, out_row, columns, keep
    ):  # fmt: skip
        n = types.intp
        signature = types.void(a, n, n, n, b, n, n, n, out, n, n, n, types.boolean)

        def build(context, builder, signature, arguments):
            a, a_at, a_row, a_step, b, b_at, b_row, k, out, out_at, out_row = arguments[:11]
            columns, keep = arguments[11:]
            a = data(context, builder, signature.args[0], a)
            b = data(context, builder, signature.args[4], b)
            out = data(context, builder, signature.args[8], out)
            tile = _Tile(builder, rows, vectors, first_lanes(builder, columns) if partial else None)
            ats = _rows(builder, out_at, out_row, rows)
            tile.start(keep, out, ats)
            begins = [builder.gep(a, [at]) for at in _rows(builder, a_at, a_row, rows)]
            with cgutils.for_range(builder, k) as loop:
                along = builder.mul(loop.index, a_step)
                places = [builder.gep(begin, [along]) for begin in begins]
                tile.add(places, b, builder.add(b_at, builder.mul(loop.index, b_row)))
            tile.finish(out, ats)
            return context.get_dummy_value()

        return signature, build

    return block


def gather_block(
    rows: int = 8, vectors: int = 2, partial: bool = False, each: bool = False
) -> Callable:
    """A tile of a matrix product whose rows lie anywhere, those of `a` in pieces:

    block(a, a_at, row_at, piece_at, pieces, length, step, b, b_at, b_row, out, out_at, place_at,
          first, columns, keep)

    Row i of `a` is `pieces` runs of `length` numbers: number l of run p is
    a[a_at + row_at[first + i] + piece_at[p] + l * step]. Row i of the result goes to
    out[out_at + place_at[first + i]]. row_at, piece_at, place_at: arrays of int64. Otherwise as
    `multiply_block`, with k = pieces * length. each: column j of the result gets its own column of
    `a`, which begins j numbers further on (16 columns: vectors must be 1).
    """

    @intrinsic
    def block(
        context, a, a_at, row_at, piece_at, pieces, length, step, b, b_at, b_row, out, out_at,
        place_at, first, columns, keep,
    ):  # fmt: skip
        n = types.intp
        signature = types.void(
            a, n, row_at, piece_at, n, n, n, b, n, n, out, n, place_at, n, n, types.boolean
        )

        def build(context, builder, signature, arguments):
            a, a_at, row_at, piece_at, pieces, length, step, b, b_at, b_row = arguments[:10]
            out, out_at, place_at, first, columns, keep = arguments[10:]
            a, row_at, piece_at, b, out, place_at = (
                data(context, builder, signature.args[i], arguments[i])
                for i in (0, 2, 3, 7, 10, 12)
            )
            listed = [builder.add(first, first.type(i)) for i in range(rows)]
            ats = [builder.add(out_at, builder.load(builder.gep(place_at, [i]))) for i in listed]
            tile = _Tile(builder, rows, vectors, first_lanes(builder, columns) if partial else None)
            tile.start(keep, out, ats)
            a = builder.gep(a, [a_at])
            begins = [builder.gep(a, [builder.load(builder.gep(row_at, [i]))]) for i in listed]
            run_rows = builder.mul(length, b_row)
            with cgutils.for_range(builder, pieces) as piece:
                begin = builder.load(builder.gep(piece_at, [piece.index]))
                b_begin = builder.add(b_at, builder.mul(piece.index, run_rows))
                with cgutils.for_range(builder, length) as loop:
                    along = builder.add(begin, builder.mul(loop.index, step))
                    places = [builder.gep(start, [along]) for start in begins]
                    add = tile.add_each if each else tile.add
                    add(places, b, builder.add(b_begin, builder.mul(loop.index, b_row)))
            tile.finish(out, ats)
            return context.get_dummy_value()

        return signature, build

    return block


block_8x2, block_8x1 = multiply_block(8, 2), multiply_block(8, 1, partial=True)
block_4x2, block_4x1 = multiply_block(4, 2), multiply_block(4, 1, partial=True)
block_1x2, block_1x1 = multiply_block(1, 2), multiply_block(1, 1, partial=True)


@jit
def product(a, a_at, a_row, a_step, b, b_at, b_row, out, out_at, out_row, m, n, k, keep):
    """out[m, n] = a[m, k] @ b[k, n] (+ out, with keep), for use inside kernels; any sizes.

    The arguments are those of `multiply_block`. No thread, no memory of its own: meant for small
    matrices, where a call of BLAS costs more than its work; for large ones see gemm.py.
    """
    i = 0
    while i < m:
        rows = 8 if i + 8 <= m else 4 if i + 4 <= m else 1
        p, q = a_at + i * a_row, out_at + i * out_row
        for j in range(0, n - n % 32, 32):
            if rows == 8:
                block_8x2(a, p, a_row, a_step, b, b_at + j, b_row, k, out, q + j, out_row, 16, keep)
            elif rows == 4:
                block_4x2(a, p, a_row, a_step, b, b_at + j, b_row, k, out, q + j, out_row, 16, keep)
            else:
                block_1x2(a, p, a_row, a_step, b, b_at + j, b_row, k, out, q + j, out_row, 16, keep)
        for j in range(n - n % 32, n, 16):
            c = min(16, n - j)
            if rows == 8:
                block_8x1(a, p, a_row, a_step, b, b_at + j, b_row, k, out, q + j, out_row, c, keep)
            elif rows == 4:
                block_4x1(a, p, a_row, a_step, b, b_at + j, b_row, k, out, q + j, out_row, c, keep)
            else:
                block_1x1(a, p, a_row, a_step, b, b_at + j, b_row, k, out, q + j, out_row, c, keep)
        i += rows
