"""Winograd's convolution: a quarter of the multiplications of a 3 x 3 kernel.

Two neighbouring outputs of a kernel of 3 taps share inputs: y0 = d0 w0 + d1 w1 + d2 w2 and
y1 = d1 w0 + d2 w1 + d3 w2 cost 6 products, but 4 will do:

    m1 = (d0 - d2) w0          m2 = (d1 + d2) (w0 + w1 + w2) / 2
    m4 = (d1 - d3) w2          m3 = (d2 - d1) (w0 - w1 + w2) / 2
    y0 = m1 + m2 + m3          y1 = m2 - m3 - m4

The sums of w are made once for the whole image, those of d once for all filters. In general
y = A^T [(G w) * (B^T d)]: transform the kernel and a tile of the input, multiply place by place,
transform back. Here F(4 x 4, 3 x 3): a tile of 6 x 6 inputs gives 4 x 4 outputs from 36 products
where 144 were. Summed over the channels, the products are 36 matrix products

    M[ij] (tiles, O) = V[ij] (tiles, C) @ U[ij] (C, O)

and there the time goes. The price is accuracy: the matrices hold numbers up to 8, and about one
and a half digits are lost (relative error 4e-6, against 1e-7).

The gradient of the input is the same with turned kernels. The gradient of the weights runs the
chain backwards: dM = A g A^T for each tile, dU[ij] = V[ij]^T @ dM[ij], dw = G^T dU G.

A. Lavin, S. Gray, Fast Algorithms for Convolutional Neural Networks, 2016,
https://arxiv.org/abs/1509.09308
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from . import jit, parallel, prange
from .conv_direct import aligned, copy_box, packed, unpack
from .vector import LANES, VECTOR, data, load, multiply_block, store

TILE, PLACES = 4, 36  # outputs of a tile along one side, and the square of its inputs (6 x 6)
PANEL = 2 * LANES  # columns that lie together: what block_8x2 reads
ROWS = 8

BT = ((4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0), (0, -2, -1, 2, 1, 0),
      (0, 2, -1, -2, 1, 0), (0, 4, 0, -5, 0, 1))  # fmt: skip
G = ((1 / 4, 0, 0), (-1 / 6, -1 / 6, -1 / 6), (-1 / 6, 1 / 6, -1 / 6), (1 / 24, 1 / 12, 1 / 6),
     (1 / 24, -1 / 12, 1 / 6), (0, 0, 1))  # fmt: skip
AT = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))


def _combined(builder, factors, vectors):
    """sum of factor * vector"""
    total = None
    for factor, vector in zip(factors, vectors, strict=True):
        if factor == 0:
            continue
        term = vector
        if factor not in (1, -1):
            constant = ir.Constant(VECTOR, [float(abs(factor))] * LANES)
            term = builder.fmul(vector, constant, flags=("contract",))
        if total is None:
            total = term if factor > 0 else builder.fneg(term)
        elif factor > 0:
            total = builder.fadd(total, term, flags=("contract",))
        else:
            total = builder.fsub(total, term, flags=("contract",))
    return total


def _transform(matrix: tuple) -> Callable:
    """matrix @ x @ matrix^T for 16 channels at once:

    transform(x, at, row, column, out, out_at, out_row, out_column)

    x[i, j] is the 16 numbers from x[at + i * row + j * column] on; so is out[i, j].
    """
    outs, ins = len(matrix), len(matrix[0])

    @intrinsic
    def transform(context, x, at, row, column, out, out_at, out_row, out_column):
        n = types.intp
        signature = types.void(x, n, n, n, out, n, n, n)

        def build(context, builder, signature, arguments):
            x, at, row, column, out, out_at, out_row, out_column = arguments
            x = data(context, builder, signature.args[0], x)
            out = data(context, builder, signature.args[4], out)

            def place(at, row, column, i, j):
                down = builder.mul(row, row.type(i))
                return builder.add(at, builder.add(down, builder.mul(column, column.type(j))))

            columns = []
            for j in range(ins):
                read = [load(builder, x, place(at, row, column, i, j)) for i in range(ins)]
                columns.append([_combined(builder, factors, read) for factors in matrix])
            for i in range(outs):
                line = [columns[j][i] for j in range(ins)]
                for j, factors in enumerate(matrix):
                    value = _combined(builder, factors, line)
                    store(builder, value, out, place(out_at, out_row, out_column, i, j))
            return context.get_dummy_value()

        return signature, build

    return transform


_turned = lambda matrix: tuple(zip(*matrix, strict=True))  # noqa: E731
transform_input, transform_kernel, transform_output = map(_transform, (BT, G, AT))
untransform_kernel, untransform_output = _transform(_turned(G)), _transform(_turned(AT))
block_8x2, block_8x1 = multiply_block(ROWS, 2), multiply_block(ROWS, 1, partial=True)


@parallel
def _kernels(w, inner, columns, b_row, u):
    """w (9, inner, b_row) -> u (36, panels, inner, panel)"""
    for vector in prange(columns // LANES):
        o = vector * LANES
        panel = o // PANEL * PANEL
        width = min(PANEL, columns - panel)
        for c in range(inner):
            at = panel * inner + c * width + o - panel
            plane = inner * columns
            transform_kernel(
                w, c * b_row + o, 3 * inner * b_row, inner * b_row, u, at, 6 * plane, plane
            )


@jit
def _item(item, n, group, rows, down):
    """(first and last image, first row of tiles, their number)"""
    bands = -(-down // rows)
    first, tile_row = item // bands * group, item % bands * rows
    return first, min(n, first + group), tile_row, min(rows, down - tile_row)


@jit
def _inputs(
    x, height, width, channels, image, low, tile_row, tile_rows, tiles, v, p, plane, panel, count
):
    """Transformed tiles of some rows of one image, from tile number p on.

    panel 0: v (36, tiles, channels); 16: v (36, channels / 16, tiles, 16) for `count` tiles.
    """
    one = np.int64(1)  # three numbers of one type, as in conv_direct.py: copy_box is compiled once
    box = (tile_rows * TILE + 2, one, tiles * TILE + 2)
    copy = np.empty(box[0] * box[2] * channels, np.float32)
    begin = (tile_row * TILE + low[0], np.int64(0), low[1])
    copy_box(x, (height, one, width), channels, image, begin, box, copy, 0)
    step, along = (panel, count) if panel else (channels, 1)
    for i in range(tile_rows):
        for j in range(tiles):
            at = (i * box[2] + j) * TILE * channels
            for c in range(0, channels, LANES):
                transform_input(
                    copy, at + c, box[2] * channels, channels,
                    v, p * step + c * along, 6 * plane, plane,
                )  # fmt: skip
            p += 1


@jit
def _outputs(m, p, plane, y, image, height, width, channels, tile_row, tile_rows, tiles):
    """Tiles of M (36, tiles, channels) transformed back into some rows of one image."""
    edge = np.empty(TILE * TILE * LANES, np.float32)
    for i in range(tile_row, tile_row + tile_rows):
        for j in range(tiles):
            at = ((image * height + i * TILE) * width + j * TILE) * channels
            rows, columns = min(TILE, height - i * TILE), min(TILE, width - j * TILE)
            inside = rows == TILE and columns == TILE
            for c in range(0, channels, LANES):
                from_m = p * channels + c
                if inside:
                    transform_output(
                        m, from_m, 6 * plane, plane, y, at + c, width * channels, channels
                    )
                    continue
                transform_output(m, from_m, 6 * plane, plane, edge, 0, TILE * LANES, LANES)
                for k in range(rows):
                    for q in range(columns):
                        to = at + (k * width + q) * channels + c
                        pixel = edge[(k * TILE + q) * LANES : (k * TILE + q + 1) * LANES]
                        inside_y = y[to : to + LANES]
                        for lane in range(LANES):
                            inside_y[lane] = pixel[lane]
            p += 1


@jit
def _products(v, plane_v, count, channels, u, columns, m, plane_m):
    """M[ij] = V[ij] @ U[ij] for all 36 places."""
    for place in range(PLACES):
        for o in range(0, columns, PANEL):
            width = min(PANEL, columns - o)
            u_at = (place * columns + o) * channels
            for p in range(0, count, ROWS):
                v_at, m_at = place * plane_v + p * channels, place * plane_m + p * columns + o
                if width == PANEL:
                    block_8x2(
                        v, v_at, channels, 1, u, u_at, PANEL, channels, m, m_at, columns, 0, False
                    )
                else:
                    block_8x1(
                        v, v_at, channels, 1, u, u_at, LANES, channels, m, m_at, columns, LANES,
                        False,
                    )  # fmt: skip


@jit
def _convolve_item(
    item, x, height, width, channels, low, group, rows, u, y, out_height, out_width, filters, n
):
    """`group` images, or `rows` rows of tiles of one."""
    down, across = -(-out_height // TILE), -(-out_width // TILE)
    first, last, tile_row, tile_rows = _item(item, n, group, rows, down)
    each = tile_rows * across
    count = -(-(last - first) * each // ROWS) * ROWS
    # The planes must not lie a power of two apart: they would all map to the same cache lines.
    plane_v, plane_m = count * channels + LANES, count * filters + LANES
    v, m = np.empty(PLACES * plane_v, np.float32), np.empty(PLACES * plane_m, np.float32)
    for image in range(first, last):
        p = (image - first) * each
        _inputs(
            x, height, width, channels, image, low, tile_row, tile_rows, across, v, p, plane_v,
            0, count,
        )  # fmt: skip
    _products(v, plane_v, count, channels, u, filters, m, plane_m)
    for image in range(first, last):
        p = (image - first) * each
        _outputs(
            m, p, plane_m, y, image, out_height, out_width, filters, tile_row, tile_rows, across
        )


# A parallel loop takes Numba longest to compile: its body is one call. It counts in unsigned ints;
# with int64() what it calls is compiled for one type only.
@parallel
def _convolve(
    items, x, height, width, channels, low, group, rows, u, y, out_height, out_width, filters, n
):
    for item in prange(items):
        _convolve_item(
            np.int64(item), x, height, width, channels, low, group, rows, u, y, out_height,
            out_width, filters, n,
        )  # fmt: skip


TILES = 64  # of an item: enough that reading U is little beside the products


def _cut(n: int, down: int, across: int) -> tuple[int, int]:
    """(images in an item, rows of tiles in an item)"""
    if down * across >= TILES:
        bands = -(-down // max(1, TILES // across))
        return 1, -(-down // bands)
    return max(1, min(TILES // (down * across), n // 4)), down


def convolve(
    x: np.ndarray, weight: np.ndarray, padding: tuple[int, int], turned: bool, y: np.ndarray
) -> None:
    """x (N, H, W, C) -> y (N, OH, OW, O); turned: the input gradient, x is the output's."""
    n, height, width, channels = x.shape
    _, out_height, out_width, filters = y.shape
    taps = np.arange(9)[::-1].copy() if turned else np.arange(9)
    w, b_row = packed(weight, taps, 1, turned)
    u = aligned(PLACES * channels * filters)
    _kernels(PLACES * channels * filters, w, channels, filters, b_row, u)
    low = tuple(p - 2 if turned else -p for p in padding)
    down, across = -(-out_height // TILE), -(-out_width // TILE)
    group, rows = _cut(n, down, across)
    items = -(-n // group) * -(-down // rows)
    _convolve(
        x.size * filters, items, x.reshape(-1), height, width, channels, low, group, rows, u,
        y.reshape(-1), out_height, out_width, filters, n,
    )  # fmt: skip


@jit
def _output_gradients(
    g, image, height, width, channels, tile_row, tile_rows, tiles, p, dm, plane, count
):
    """Tiles of the output's gradient, from number p on: dm (36, panels, count, panel)."""
    edge = np.empty(TILE * TILE * LANES, np.float32)
    for i in range(tile_row, tile_row + tile_rows):
        for j in range(tiles):
            at = ((image * height + i * TILE) * width + j * TILE) * channels
            rows, columns = min(TILE, height - i * TILE), min(TILE, width - j * TILE)
            inside = rows == TILE and columns == TILE
            for c in range(0, channels, LANES):
                panel = c // PANEL * PANEL
                to = panel * count + p * min(PANEL, channels - panel) + c - panel
                if inside:
                    untransform_output(
                        g, at + c, width * channels, channels, dm, to, 6 * plane, plane
                    )
                    continue
                edge[:] = np.float32(0)
                for k in range(rows):
                    for q in range(columns):
                        begin = at + (k * width + q) * channels + c
                        pixel = edge[(k * TILE + q) * LANES : (k * TILE + q + 1) * LANES]
                        inside_g = g[begin : begin + LANES]
                        for lane in range(LANES):
                            pixel[lane] = inside_g[lane]
                untransform_output(edge, 0, TILE * LANES, LANES, dm, to, 6 * plane, plane)
            p += 1


@jit
def _both_transforms(
    item, n, group, rows, x, height, width, channels, low, v, g, out_height, out_width, filters,
    dm, before, count,
):  # fmt: skip
    """V and dM of one item, among `count` tiles, `before` of which precede all of the item's."""
    down, across = -(-out_height // TILE), -(-out_width // TILE)
    first, last, tile_row, tile_rows = _item(item, n, group, rows, down)
    for image in range(first, last):
        p = (image * down + tile_row) * across - before
        _inputs(
            x, height, width, channels, image, low, tile_row, tile_rows, across, v, p,
            count * channels + LANES, LANES, count,
        )  # fmt: skip
        _output_gradients(
            g, image, out_height, out_width, filters, tile_row, tile_rows, across, p, dm,
            count * filters + LANES, count,
        )  # fmt: skip


@jit
def _kernel_gradients(v, dm, count, channels, filters, place, o, du, keep):
    """du[ij] (C, O) = V[ij]^T @ dM[ij] (+ du), for one place and one panel of columns"""
    v_at = place * (count * channels + LANES)
    dm_at = place * (count * filters + LANES) + o * count
    for c in range(0, channels, ROWS):
        a_at = v_at + c // LANES * LANES * count + c % LANES
        at = (place * channels + c) * filters + o
        if filters - o >= PANEL:
            block_8x2(v, a_at, 1, LANES, dm, dm_at, PANEL, count, du, at, filters, 0, keep)
        else:
            block_8x1(v, a_at, 1, LANES, dm, dm_at, LANES, count, du, at, filters, LANES, keep)


@jit
def _gradient_of_items(
    part, items, n, group, rows, x, height, width, channels, low, g, out_height, out_width,
    filters, du,
):  # fmt: skip
    """du[part] = the sum over its items, one after the other."""
    down, across, parts = -(-out_height // TILE), -(-out_width // TILE), du.shape[0]
    begin = items * part // parts
    for item in range(begin, items * (part + 1) // parts):
        first, last, tile_row, tile_rows = _item(item, n, group, rows, down)
        count = (last - first) * tile_rows * across
        v = np.empty(PLACES * (count * channels + LANES), np.float32)
        dm = np.empty(PLACES * (count * filters + LANES), np.float32)
        _both_transforms(
            item, n, group, rows, x, height, width, channels, low, v, g, out_height, out_width,
            filters, dm, (first * down + tile_row) * across, count,
        )  # fmt: skip
        for place in range(PLACES):
            for o in range(0, filters, PANEL):
                _kernel_gradients(v, dm, count, channels, filters, place, o, du[part], item > begin)


@parallel
def _gradient_in_parts(
    n, group, rows, items, x, height, width, channels, low, g, out_height, out_width, filters, du
):
    """du (parts, 36 * C * O): each part sums up some items by itself."""
    for part in prange(du.shape[0]):
        _gradient_of_items(
            np.int64(part), items, n, group, rows, x, height, width, channels, low, g, out_height,
            out_width, filters, du,
        )  # fmt: skip


@parallel
def _gradient_together(
    n, group, rows, begin, end, x, height, width, channels, low, g, out_height, out_width, filters,
    count, v, dm, du,
):  # fmt: skip
    """du (36 * C * O) (+)= the sum over items begin to end: all transformed, then multiplied."""
    down, across = -(-out_height // TILE), -(-out_width // TILE)
    first, _, tile_row, _ = _item(begin, n, group, rows, down)
    before = (first * down + tile_row) * across
    for i in prange(end - begin):
        _both_transforms(
            begin + np.int64(i), n, group, rows, x, height, width, channels, low, v, g, out_height,
            out_width, filters, dm, before, count,
        )  # fmt: skip
    panels = -(-filters // PANEL)
    for task in prange(PLACES * panels):
        place, o = np.int64(task) // panels, np.int64(task) % panels * PANEL
        _kernel_gradients(v, dm, count, channels, filters, place, o, du, begin > 0)


@parallel
def _untransform_kernels(du, size, sums):
    """du (parts, 36 * C * O) -> sums (parts, 1, 9 * C, O)"""
    for vector in prange(size // LANES):
        for part in range(du.shape[0]):
            untransform_kernel(
                du[part], vector * LANES, 6 * size, size, sums[part].reshape(-1), vector * LANES,
                3 * size, size,
            )  # fmt: skip


PARTS = 6
SMALL = 2**18  # numbers in dU that stay in the fast memory next to a core
BLOCK = 3 * 2**18  # numbers in V and dM: dU is read and written once for each block of tiles


def weight_gradient(
    x: np.ndarray, g: np.ndarray, padding: tuple[int, int], out: np.ndarray
) -> None:
    """out (O, C, 3, 3) of x (N, H, W, C) and g (N, OH, OW, O)."""
    n, height, width, channels = x.shape
    _, out_height, out_width, filters = g.shape
    down, across = -(-out_height // TILE), -(-out_width // TILE)
    group, rows = _cut(n, down, across)
    bands = -(-down // rows)
    items, size = -(-n // group) * bands, channels * filters
    low = tuple(-p for p in padding)
    images = x.reshape(-1), height, width, channels, low
    gradient = g.reshape(-1), out_height, out_width, filters
    work = n * down * across * size
    if PLACES * size <= SMALL:
        du = np.empty((min(items, PARTS), PLACES * size), np.float32)
        _gradient_in_parts(work, n, group, rows, items, *images, *gradient, du)
    else:
        du = np.empty((1, PLACES * size), np.float32)
        most = max(1, BLOCK // (PLACES * (channels + filters) * group * rows * across))
        for begin in range(0, items, most):
            end = min(items, begin + most)
            count = _tiles_before(end, n, group, bands, rows, down, across)
            count -= _tiles_before(begin, n, group, bands, rows, down, across)
            _gradient_together(
                work, n, group, rows, begin, end, *images, *gradient, count,
                np.empty(PLACES * (count * channels + LANES), np.float32),
                np.empty(PLACES * (count * filters + LANES), np.float32),
                du[0],
            )  # fmt: skip
    sums = np.empty((len(du), 1, 9 * channels, filters), np.float32)
    _untransform_kernels(du.size, du, size, sums)
    unpack(sums.size, sums, channels, 9, out.reshape(-1))


def _tiles_before(
    item: int, n: int, group: int, bands: int, rows: int, down: int, across: int
) -> int:
    """How many tiles the items before this one have."""
    return (min(n, item // bands * group) * down + item % bands * rows) * across
