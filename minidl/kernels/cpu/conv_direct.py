"""Convolution without im2col: each tile of the output is summed up in registers.

A tile is 8 pixels and 32 channels of the output (vector.py). Channels lie side by side, and so do
the 32 filters' weights for one tap and one input channel, once they are packed that way. For each
tap and channel, two registers are loaded with weights, one number of each of the 8 windows is
broadcast, and 16 products are added. No column matrix is ever written: the windows are read where
they are, by lists of places (conv_plan.py). The gradient of the input is such a convolution too,
and the gradient of the weights the same tiles with the roles changed: its "pixels" are the kernel's
taps and channels, and the sum runs over the image's pixels.

Depthwise (each channel has its own filter), a register takes 16 channels of one pixel instead, and
is multiplied with the 16 weights they have for one tap.

What a border of zeros needs is solved by a copy: a band of the image with zeros around it, in
memory that stays next to the core. It costs one copy for the kernel's many reads.

E. Georganas et al., Anatomy of High-Performance Deep Learning Convolutions on SIMD Architectures,
2018, https://arxiv.org/abs/1808.05567
"""

from __future__ import annotations

import numpy as np

from . import jit, parallel, prange
from .conv_plan import Plan
from .vector import LANES, gather_block

ZERO = np.float32(0)
ROWS = 8  # of a tile

wide_tile = gather_block(ROWS, 2)
narrow_tile = gather_block(ROWS, 1, partial=True)
depthwise_tile = gather_block(ROWS, 1, partial=True, each=True)


def aligned(size: int) -> np.ndarray:
    """`size` new float32 that begin at a multiple of 64 bytes, as vector registers like it."""
    memory = np.empty(size + LANES, np.float32)
    begin = -memory.ctypes.data // 4 % LANES
    return memory[begin : begin + size]


@jit
def copy_box(x, source, channels, image, low, box, out, at):
    """What an item reads of one image, with zeros where there is no image."""
    left = min(max(0, -low[2]), box[2]) * channels
    right = min(max(left, (source[2] - low[2]) * channels), box[2] * channels)
    for i in range(box[0]):
        for j in range(box[1]):
            begin = at + (i * box[1] + j) * box[2] * channels
            line = out[begin : begin + box[2] * channels]
            r, m = i + low[0], j + low[1]
            if r < 0 or r >= source[0] or m < 0 or m >= source[1]:
                line[:] = ZERO
                continue
            x_at = (((image * source[0] + r) * source[1] + m) * source[2] + low[2]) * channels
            line[:left] = ZERO
            inside, from_x = line[left:right], x[x_at + left : x_at + right]
            for k in range(right - left):
                inside[k] = from_x[k]
            line[right:] = ZERO


@jit
def _sources(x, source, channels, copies, first, last, row, low, box):
    """(array, where in it): what images first to last read from source row `row` on."""
    if not copies:
        at = ((first * source[0] + row + low[0]) * source[1] + low[1]) * source[2] + low[2]
        return x, at * channels
    size = box[0] * box[1] * box[2] * channels
    copy = np.empty((last - first) * size, np.float32)
    for image in range(first, last):
        begin = (row + low[0], low[1], low[2])
        copy_box(x, source, channels, image, begin, box, copy, (image - first) * size)
    return copy, 0


@jit
def _outputs(
    a, a_at, row_at, piece_at, length, weights, b_at, b_row, y, y_at, place_at, count, columns,
    depthwise,
):  # fmt: skip
    """`count` pixels by `columns` channels of the output: one group, one item, one phase."""
    tail_rows, tail_places = np.empty(ROWS, np.int64), np.empty(ROWS, np.int64)
    j = 0
    while j < columns:
        wide = j + 2 * LANES <= columns and not depthwise
        for tile in range(0, count, ROWS):
            rows, places, first = row_at, place_at, tile
            if tile + ROWS > count:  # fewer are left: the last one fills the tile up
                for i in range(ROWS):
                    tail_rows[i] = row_at[min(tile + i, count - 1)]
                    tail_places[i] = place_at[min(tile + i, count - 1)]
                rows, places, first = tail_rows, tail_places, 0
            if depthwise:
                depthwise_tile(
                    a, a_at + j, rows, piece_at, piece_at.size, length, 1, weights, b_at + j,
                    b_row, y, y_at + j, places, first, min(LANES, columns - j), False,
                )  # fmt: skip
            elif wide:
                wide_tile(
                    a, a_at, rows, piece_at, piece_at.size, length, 1, weights, b_at + j, b_row,
                    y, y_at + j, places, first, 0, False,
                )  # fmt: skip
            else:
                narrow_tile(
                    a, a_at, rows, piece_at, piece_at.size, length, 1, weights, b_at + j, b_row,
                    y, y_at + j, places, first, min(LANES, columns - j), False,
                )  # fmt: skip
        j += 2 * LANES if wide else LANES


@jit
def _convolve_item(
    item, x, source, channels, low, box, copies, group, rows, apart, step, first_row, per_row,
    row_at, place_at, piece_at, length, weights, b_row, y, out, filters, groups, n, bands,
    depthwise,
):  # fmt: skip
    image, band = item // bands * group, item % bands
    last = min(n, image + group)
    out_row = band * rows * apart
    left = (out[0] - out_row - first_row + apart - 1) // apart  # band rows from here on
    count = (last - image) * min(rows, left) * per_row
    if count <= 0:
        return
    a, a_at = _sources(x, source, channels, copies, image, last, band * rows * step, low, box)
    y_at = (image * out[0] + out_row) * out[1] * out[2] * filters
    size = piece_at.size * length * b_row
    for g in range(groups):
        _outputs(
            a, a_at + g * (channels // groups), row_at, piece_at, length, weights, g * size, b_row,
            y, y_at + g * (filters // groups), place_at, count, filters // groups, depthwise,
        )  # fmt: skip


# A parallel loop takes Numba longest to compile: its body is one call. It counts in unsigned ints;
# with int64() what it calls is compiled for one type only.
@parallel
def _convolve(
    items, x, source, channels, low, box, copies, group, rows, apart, step, first_row, per_row,
    row_at, place_at, piece_at, length, weights, b_row, y, out, filters, groups, n, bands,
    depthwise,
):  # fmt: skip
    """One phase. x, y: flat; weights: (groups, taps * channels / groups, b_row), flat."""
    for item in prange(items):
        _convolve_item(
            np.int64(item), x, source, channels, low, box, copies, group, rows, apart, step,
            first_row, per_row, row_at, place_at, piece_at, length, weights, b_row, y, out, filters,
            groups, n, bands, depthwise,
        )  # fmt: skip


@parallel
def _pack(w, taps, groups, filters, channels, all_taps, turned, b_row, out):
    """w (groups, filters, channels, taps) -> out (groups, chosen taps, channels, filters).

    turned: (groups, chosen taps, filters, channels). Rows are b_row apart.
    """
    inner, columns = (filters, channels) if turned else (channels, filters)
    blocks = -(-columns // LANES)
    for block in prange(groups * blocks):
        g, first = block // blocks, block % blocks * LANES
        for c in range(inner):
            for t in range(taps.size):
                at = ((g * taps.size + t) * inner + c) * b_row
                for o in range(first, min(first + LANES, columns)):
                    f, s = (c, o) if turned else (o, c)
                    out[at + o] = w[((g * filters + f) * channels + s) * all_taps + taps[t]]


def packed(
    weight: np.ndarray, taps: np.ndarray, groups: int, turned: bool
) -> tuple[np.ndarray, int]:
    """Weights (O, C / groups, ...) as the tiles read them, flat, and the length of their rows."""
    filters, channels = weight.shape[0] // groups, weight.shape[1]
    flat = np.ascontiguousarray(weight).reshape(-1)
    columns, inner = (channels, filters) if turned else (filters, channels)
    b_row = -(-columns // LANES) * LANES
    out = aligned(groups * taps.size * inner * b_row)
    all_taps = flat.size // (weight.shape[0] * channels)
    _pack(flat.size, flat, taps, groups, filters, channels, all_taps, turned, b_row, out)
    return out, b_row


def is_depthwise(channels: int, filters: int, groups: int) -> bool:
    """Whether each channel has one filter of its own."""
    return 1 < groups == channels == filters


def convolve(
    x: np.ndarray, weight: np.ndarray, plan: Plan, groups: int, turned: bool, y: np.ndarray
) -> None:
    """x (N, ..., C) -> y (N, ..., O), contiguous; turned: the input gradient, x is the output's."""
    channels, filters = x.shape[-1], y.shape[-1]
    depthwise = is_depthwise(channels, filters, groups)
    if depthwise:  # each weight stands for one channel in and out: one group, nothing to turn
        groups, turned = 1, False
    for phase in plan.phases:
        weights, b_row = packed(weight, phase.taps, groups, turned)
        work = phase.row_at.size * plan.items * weights.size // LANES
        _convolve(
            work, plan.items, x.reshape(-1), plan.source, channels, plan.low,
            plan.box, plan.copies, plan.group, plan.rows, plan.apart, plan.step, phase.first,
            phase.per_row, phase.row_at, phase.place_at, phase.piece_at, phase.length, weights,
            b_row, y.reshape(-1), plan.out, filters, groups, plan.n, plan.bands, depthwise,
        )  # fmt: skip


@jit
def _weight_sums(
    a, a_at, row_at, place_at, piece_at, pieces, length, step, g, g_at, g_row, out, first, last,
    depthwise,
):  # fmt: skip
    """out[tap and channel, first:last] += the sum over one item's pixels."""
    j = first
    while j < last:
        wide = j + 2 * LANES <= last and not depthwise
        for tile in range(0, row_at.size, ROWS):
            if depthwise:
                depthwise_tile(
                    a, a_at + j, row_at, piece_at, pieces, length, step, g, g_at + j, g_row,
                    out, j, place_at, tile, min(LANES, last - j), True,
                )  # fmt: skip
            elif wide:
                wide_tile(
                    a, a_at, row_at, piece_at, pieces, length, step, g, g_at + j, g_row,
                    out, j, place_at, tile, 0, True,
                )  # fmt: skip
            else:
                narrow_tile(
                    a, a_at, row_at, piece_at, pieces, length, step, g, g_at + j, g_row,
                    out, j, place_at, tile, min(LANES, last - j), True,
                )  # fmt: skip
        j += 2 * LANES if wide else LANES


@jit
def _sum_of_items(
    task, items, x, source, channels, low, box, copies, group, rows, step, row_at, place_at,
    piece_at, length, column_step, per_row, g, out, filters, groups, n, bands, sums, cuts,
    depthwise,
):  # fmt: skip
    """sums[part, :, :, first:last], where the task is one range of items and one of filters."""
    part, cut, parts = task // cuts, task % cuts, sums.shape[0]
    blocks = -(-(filters // groups) // (2 * LANES))
    first = blocks * cut // cuts * 2 * LANES
    last = min(filters // groups, blocks * (cut + 1) // cuts * 2 * LANES)
    for k in range(groups):
        for r in range(sums.shape[2]):
            for j in range(first, last):
                sums[part, k, r, j] = ZERO
    for item in range(items * part // parts, items * (part + 1) // parts):
        image, band = item // bands * group, item % bands
        stop = min(n, image + group)
        pieces, run = stop - image, min(rows, out[0] - band * rows)
        if per_row > 1:
            pieces, run = pieces * run * (per_row // length), length
        a, a_at = _sources(x, source, channels, copies, image, stop, band * rows * step, low, box)
        g_at = (image * out[0] + band * rows) * out[1] * out[2] * filters
        for k in range(groups):
            _weight_sums(
                a, a_at + k * (channels // groups), row_at, place_at, piece_at, pieces, run,
                column_step, g, g_at + k * (filters // groups), filters, sums[part, k].reshape(-1),
                first, last, depthwise,
            )  # fmt: skip


@parallel
def _weight_gradient(
    items, x, source, channels, low, box, copies, group, rows, step, row_at, place_at, piece_at,
    length, column_step, per_row, g, out, filters, groups, n, bands, sums, cuts, depthwise,
):  # fmt: skip
    """sums (parts, groups, taps * channels / groups + 1, filters / groups): one part for each
    range of items; `cuts` ranges of the filters are summed apart."""
    for task in prange(sums.shape[0] * cuts):
        _sum_of_items(
            np.int64(task), items, x, source, channels, low, box, copies, group, rows, step, row_at,
            place_at, piece_at, length, column_step, per_row, g, out, filters, groups, n, bands,
            sums, cuts, depthwise,
        )  # fmt: skip


@parallel
def unpack(sums, channels, taps, out):
    """The sum of the parts (parts, groups, taps * channels + 1, filters) as (O, channels, taps)."""
    parts, groups, _, filters = sums.shape
    blocks = -(-filters // LANES)
    for block in prange(groups * blocks):
        k, first = block // blocks, block % blocks * LANES
        last = min(filters, first + LANES)
        total = np.empty(LANES, np.float32)
        for c in range(channels):
            for t in range(taps):
                for j in range(last - first):
                    total[j] = ZERO
                for p in range(parts):
                    for j in range(last - first):
                        total[j] += sums[p, k, t * channels + c, first + j]
                for j in range(last - first):
                    out[((k * filters + first + j) * channels + c) * taps + t] = total[j]


PARTS = 8  # partial sums of the weight gradient, if they are not too large
LARGE_SUMS = 2**20


def weight_gradient(x: np.ndarray, g: np.ndarray, plan: Plan, groups: int, out: np.ndarray) -> None:
    """out (O, C / groups, taps) of x (N, ..., C) and g (N, ..., O)."""
    (phase,) = plan.phases
    channels, filters, taps = x.shape[-1], g.shape[-1], phase.taps.size
    depthwise = is_depthwise(channels, filters, groups)
    if depthwise:
        groups = 1
    inner, per_group = 1 if depthwise else channels // groups, filters // groups
    # Tiles have 8 rows: what is missing computes the first one again, into a row nobody reads.
    missing = -(taps * inner) % ROWS
    row_at = (phase.tap_at[:, None] + np.arange(inner)).reshape(-1)
    row_at = np.concatenate([row_at, np.zeros(missing, np.int64)])
    place_at = np.minimum(np.arange(row_at.size), taps * inner) * per_group
    # The pixels that are summed over lie in runs: rows of an image, or a whole column.
    length = plan.rows if phase.per_row == 1 else plan.out[2]
    column_step = int(phase.row_at[1] - phase.row_at[0]) if length > 1 else 0
    lines = np.ascontiguousarray(phase.row_at[::length])
    size = groups * (taps * inner + 1) * per_group
    parts = max(1, min(PARTS, plan.items, LARGE_SUMS // size))
    cuts = min(-(-PARTS // parts), -(-per_group // (2 * LANES)))
    sums = np.empty((parts, groups, taps * inner + 1, per_group), np.float32)
    work = phase.row_at.size * plan.items * size // groups // LANES
    _weight_gradient(
        work, plan.items, x.reshape(-1), plan.source, channels, plan.low, plan.box, plan.copies,
        plan.group, plan.rows, plan.step, row_at, place_at, lines, length, column_step,
        phase.per_row, g.reshape(-1), plan.out, filters, groups, plan.n, plan.bands, sums, cuts,
        depthwise,
    )  # fmt: skip
    unpack(parts * size, sums, inner, taps, out.reshape(-1))
