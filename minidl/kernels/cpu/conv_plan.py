"""Where a convolution reads and writes, as lists of places in flat channels-last memory.

Along one dimension a convolution and its derivative by the input are the same thing, up to names:
output q * apart + phase gets, for some taps k of the kernel, the source q * step + shift(k).

    convolution:        apart 1, one phase,    step = stride, shift(k) = k dilation - padding
    its input gradient: apart = stride phases, step = 1,
                        shift(k) = (phase + padding - k dilation) / stride where that is whole

(A gradient with stride 2 is four smaller convolutions, one for each parity of the rows and of the
columns, each with the taps that meet it; none multiplies with a zero between the pixels.) Sources
outside the image are zeros.

Work is cut into *items*: some images, or a band of the rows of one image, so that what an item
reads stays in the fast memory next to the core. The places are the same for each item, up to
where it begins. Lines (L,) are taken as volumes (L, 1, 1), images (H, W) as (H, 1, W): bands are
cut along the first dimension.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

Sizes = tuple[int, ...]
Volume = tuple[int, int, int]

BAND = 2**16  # numbers an item reads at most, if a band can be so small: 256 KB
PIXELS = 64  # outputs an item should have at least
ITEMS = 8  # items the work should be cut into at least


@dataclass(frozen=True)
class Phase:
    """Outputs that meet the same taps."""

    first: int  # its first band row of the output
    per_row: int  # outputs in one band row
    row_at: np.ndarray  # for each output of an item, where its sources begin
    place_at: np.ndarray  # for each output of an item, where it goes
    tap_at: np.ndarray  # for each tap that it meets, how far from row_at on
    taps: np.ndarray  # which taps of the kernel these are
    piece_at: np.ndarray  # the same sources as runs that lie in one piece
    length: int  # numbers in a run


@dataclass(frozen=True)
class Plan:
    """One convolution, cut into items."""

    n: int
    source: Volume
    out: Volume
    phases: list[Phase]
    low: Volume  # where the first item's sources begin; negative: zeros before the image
    box: Volume  # the sources of an item
    copies: bool  # whether some lie outside the image: then items copy their sources first
    group: int  # images in an item
    rows: int  # band rows in an item: `apart` rows of the output each
    apart: int
    step: int  # rows of the source from one band row to the next

    @property
    def bands(self) -> int:
        return -(-self.out[0] // (self.rows * self.apart))

    @property
    def items(self) -> int:
        return -(-self.n // self.group) * self.bands


def volume(sizes: Sizes, fill: int) -> Volume:
    """One to three sizes as three."""
    if len(sizes) == 3:
        return tuple(sizes)
    return (sizes[0], fill, fill) if len(sizes) == 1 else (sizes[0], fill, sizes[1])


def _meets(
    out: int, kernel: int, stride: int, padding: int, dilation: int, turned: bool
) -> list[list[tuple[int, int]]]:
    """Along one dimension, for each phase: [(shift, tap), ...], the lowest shift first."""
    if not turned:
        return [[(k * dilation - padding, k) for k in range(kernel)]]
    phases = []
    for phase in range(min(stride, out)):
        ahead = [(phase + padding - k * dilation, k) for k in range(kernel)]
        phases.append(sorted((a // stride, k) for a, k in ahead if a % stride == 0))
    return phases


def _at(place: tuple, box: Volume) -> int:
    """The number of a place in a box (numbers or arrays)."""
    return (place[0] * box[1] + place[1]) * box[2] + place[2]


def _cut(n: int, counts: list[int], row: int, extra: int, step: int) -> tuple[int, int]:
    """(images in an item, band rows in an item); row: numbers in one row of the source."""
    per_row = counts[1] * counts[2]
    fits = max(1, (BAND // row - extra) // step)
    spread = max(-(-counts[0] // -(-ITEMS // n)), -(-PIXELS // per_row))
    bands = -(-counts[0] // min(counts[0], fits, spread))
    if bands > 1:
        return 1, -(-counts[0] // bands)
    return max(1, min(n // ITEMS, PIXELS // (counts[0] * per_row))), counts[0]


def _runs(tap_at: np.ndarray, last: int, channels: int) -> tuple[np.ndarray, int]:
    """Taps whose numbers lie side by side are one run: all, or those of a row (`last` of them)."""
    for m in (len(tap_at), last):
        if m > 1 and (np.diff(tap_at.reshape(-1, m)) == channels).all():
            return np.ascontiguousarray(tap_at[::m]), m * channels
    return tap_at, channels


@lru_cache(maxsize=128)
def plan(
    n: int,
    source: Volume,
    out: Volume,
    channels: tuple[int, int],
    groups: int,
    kernel: Volume,
    stride: Volume,
    padding: Volume,
    dilation: Volume,
    turned: bool,
) -> Plan:
    """The places of a convolution of n volumes, or of its input gradient (`turned`).

    channels: of the source and of the output.
    """
    step = (1, 1, 1) if turned else stride
    apart = tuple(map(min, stride, out)) if turned else (1, 1, 1)
    along = [
        _meets(*sizes, turned) for sizes in zip(out, kernel, stride, padding, dilation, strict=True)
    ]
    shifts = [[s for taps in phases for s, _ in taps] or [0] for phases in along]
    low = tuple(min(s) for s in shifts)
    extra = [max(s) - min(s) + 1 - t for s, t in zip(shifts, step, strict=True)]
    counts = [-(-o // a) for o, a in zip(out, apart, strict=True)]
    reach = [c * t + e for c, t, e in zip(counts, step, extra, strict=True)]
    ends = [x + r for x, r in zip(low, reach, strict=True)]
    copies = min(low) < 0 or any(e > have for e, have in zip(ends, source, strict=True))
    row = reach[1] * reach[2] * channels[0]
    group, rows = _cut(n, counts, row, extra[0], step[0])
    box = (rows * step[0] + extra[0], reach[1], reach[2])
    read = box if copies else source
    phases = []
    for begin in product(*map(range, apart)):
        taps = [phases_of[b] for phases_of, b in zip(along, begin, strict=True)]
        met = list(product(*taps))
        tap_at = [_at([s - x for (s, _), x in zip(m, low, strict=True)], read) for m in met]
        tap_at = np.array(tap_at, np.int64) * channels[0]
        pieces = (tap_at, channels[0] // groups)
        if groups == 1 and met:
            pieces = _runs(tap_at, len(taps[2]), channels[0])
        sizes = [len(range(b, o, a)) for b, o, a in zip(begin, out, apart, strict=True)]
        image, *q = np.indices((group, min(rows, sizes[0]), *sizes[1:])).reshape(4, -1)
        row_at = image * math.prod(read) + _at([x * s for x, s in zip(q, step, strict=True)], read)
        places = [x * a + b for x, a, b in zip(q, apart, begin, strict=True)]
        place_at = image * math.prod(out) + _at(places, out)
        numbers = [_at([k for _, k in m], kernel) for m in met]
        phases.append(
            Phase(
                begin[0],
                sizes[1] * sizes[2],
                row_at * channels[0],
                place_at * channels[1],
                tap_at,
                np.array(numbers, np.int64),
                *pieces,
            )
        )
    return Plan(n, source, out, phases, low, box, copies, group, rows, apart[0], step[0])
