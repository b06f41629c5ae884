"""Records of `minidl/ops/pool.py` (sequences and volumes) and `minidl/ops/adaptive.py`."""

import math
from itertools import product

import numpy as np
from hypothesis import strategies as st

from minidl import ops
from minidl.errors import ShapeError
from minidl.testing import strategies as d
from minidl.testing.records.convolution import spread_out
from minidl.testing.records.draw import choice, samples
from minidl.testing.records.record import OpRecord, case, zeros


def drawn_pooling(draw, dims):
    kernel = tuple(draw(choice(1, 2, 3)) for _ in range(dims))
    options = {
        "stride": draw(choice(None, tuple(draw(choice(1, 2, 3)) for _ in range(dims)))),
        "padding": tuple(draw(choice(0, k // 2)) for k in kernel),
        "ceil_mode": draw(choice(False, True)),
    }
    more = (0, 1, 3) if dims == 1 else (0, 1)
    lead = draw(choice((1, 1), (2,))) if dims == 3 else draw(choice((1, 2), (2,)))
    return kernel, options, (*lead, *[k + draw(choice(*more)) for k in kernel])


@samples
def max_poolings(draw, dims):
    kernel, options, shape = drawn_pooling(draw, dims)
    if not any(options["padding"]):
        dilation = tuple(draw(choice(1, 1, 2)) for _ in range(dims))
        reach = [q * (k - 1) + 1 for k, q in zip(kernel, dilation, strict=True)]
        shape = (*shape[:-dims], *map(max, shape[-dims:], reach))
        options |= {"dilation": dilation}
    options["return_indices"] = draw(choice(False, True))
    return (draw(d.arrays(shape, d.DISTINCT)), kernel), options


def covered(x, kernel, stride, padding, dilation, ceil_mode):
    """For each dimension what each window covers, padding included."""
    dims = len(kernel)
    sizes = (spread_out(s, dims) for s in (kernel, stride or kernel, padding, dilation))
    each = zip(x.shape[-dims:], *sizes, strict=True)
    return [d.windows(*geometry, ceil_mode) for geometry in each]


def inside(reach, size):
    return [[i for i in line if 0 <= i < n] for line, n in zip(reach, size, strict=True)]


def max_reference(
    x, kernel, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    lines = covered(x, kernel, stride, padding, dilation, ceil_mode)
    size = x.shape[-len(kernel) :]
    lead = x.shape[: -len(kernel)]
    out = np.zeros((*lead, *map(len, lines)))
    index = np.zeros(out.shape, np.int64)
    for place in np.ndindex(*out.shape):
        image, window = place[: len(lead)], place[len(lead) :]
        reach = [line[i] for line, i in zip(lines, window, strict=True)]
        cells = list(product(*inside(reach, size)))
        best = max(cells, key=lambda cell: x[(*image, *cell)])
        out[place], index[place] = x[(*image, *best)], np.ravel_multi_index(best, size)
    return (out, index) if return_indices else out


@samples
def avg_poolings(draw, dims):
    kernel, options, shape = drawn_pooling(draw, dims)
    options["count_include_pad"] = draw(choice(False, True))
    if dims > 1:
        options["divisor_override"] = draw(choice(None, None, 3))
    return (draw(d.arrays(shape)), kernel), options


def avg_reference(
    x,
    kernel,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    lines = covered(x, kernel, stride, padding, 1, ceil_mode)
    size, lead = x.shape[-len(kernel) :], x.shape[: -len(kernel)]
    out = np.zeros((*lead, *map(len, lines)))
    for place in np.ndindex(*out.shape):
        image, window = place[: len(lead)], place[len(lead) :]
        reach = [line[i] for line, i in zip(lines, window, strict=True)]
        cells = list(product(*inside(reach, size)))
        count = len(cells)
        if count_include_pad:
            limits = zip(reach, size, padding, strict=True)
            count = math.prod(sum(i < n + p for i in line) for line, n, p in limits)
        out[place] = sum(x[(*image, *cell)] for cell in cells) / (divisor_override or count)
    return out


@samples
def adaptive_poolings(draw, dims, domain=d.ANY, indices=False):
    sizes = (1, 3, 5) if dims == 1 else (1, 2, 3)
    lead = draw(choice((1, 2), (2,)))
    x = draw(d.arrays((*lead, *[draw(choice(*sizes)) for _ in range(dims)]), domain))
    wanted = draw(choice(1, 2, tuple(draw(choice(1, 2, 3)) for _ in range(dims))))
    if dims > 1:
        wanted = draw(choice(wanted, (None, *[2] * (dims - 1))))
    return (x, wanted, *([draw(choice(False, True))] if indices else []))


def blocks(x, output_size, dims):
    """(place in the output, the block of the input that it sees as slices)"""
    wanted = spread_out(output_size, dims)
    size = x.shape[-dims:]
    wanted = [n if w is None else w for n, w in zip(size, wanted, strict=True)]
    for place in np.ndindex(*wanted):
        each = zip(place, size, wanted, strict=True)
        yield place, tuple(slice(i * n // w, math.ceil((i + 1) * n / w)) for i, n, w in each)


def adaptive_avg_reference(dims):
    def reference(x, output_size):
        found = list(blocks(x, output_size, dims))
        out = np.zeros((*x.shape[:-dims], *[n + 1 for n in found[-1][0]]))
        for place, box in found:
            out[(..., *place)] = x[(..., *box)].mean(tuple(range(-dims, 0)))
        return out

    return reference


def adaptive_max_reference(dims):
    def reference(x, output_size, return_indices=False):
        found = list(blocks(x, output_size, dims))
        lead = x.shape[:-dims]
        out = np.zeros((*lead, *[n + 1 for n in found[-1][0]]))
        index = np.zeros(out.shape, np.int64)
        for image in np.ndindex(*lead):
            for place, box in found:
                best = x[(*image, *box)].max()
                out[(*image, *place)] = best
                index[(*image, *place)] = np.flatnonzero(x[image].ravel() == best)[0]
        return (out, index) if return_indices else out

    return reference


@samples
def lp_poolings(draw, dims):
    kernel, options, shape = drawn_pooling(draw, dims)
    x = draw(d.arrays(shape, d.POSITIVE))
    del options["padding"]
    return (x, draw(choice(2.0, 3.0)), kernel), options


def lp_reference(x, norm_type, kernel, stride=None, ceil_mode=False):
    count = math.prod(kernel)
    mean = avg_reference(x**norm_type, kernel, stride, (0,) * len(kernel), ceil_mode)
    return (mean * count) ** (1 / norm_type)


@samples
def unpoolings(draw, dims):
    kernel = tuple(draw(choice(1, 2)) for _ in range(dims))
    size = tuple(draw(choice(1, 2)) for _ in range(dims))
    lead = draw(choice((2, 1), (2,)))
    pixels = math.prod(n * k for n, k in zip(size, kernel, strict=True))
    planes = [draw(st.permutations(range(pixels)))[: math.prod(size)] for _ in range(2)]
    return draw(d.arrays((*lead, *size))), np.array(planes).reshape(*lead, *size), kernel


def unpool_reference(x, indices, kernel):
    dims = len(kernel)
    large = [n * k for n, k in zip(x.shape[-dims:], kernel, strict=True)]
    out = np.zeros((*x.shape[:-dims], *large))
    for place in np.ndindex(*x.shape):
        out[place[:-dims]][np.unravel_index(indices[place], large)] = x[place]
    return out


def of(name, samples, reference, **fields):
    function = getattr(ops, name)
    dims = int(name[-2])
    errors = fields.pop("errors", ())
    if "unpool" not in name and "lp" not in name:
        errors += (case(lambda t: function(zeros(t, 2), 2), ShapeError, name, "(2,)"),)
    return OpRecord(name, function, samples(dims), reference, errors=errors, **fields)


RECORDS = [
    *[of(f"max_pool{n}d", max_poolings, max_reference, domain="no ties") for n in (1, 3)],
    *[of(f"avg_pool{n}d", avg_poolings, avg_reference) for n in (1, 3)],
    *[of(f"adaptive_avg_pool{n}d", adaptive_poolings, adaptive_avg_reference(n)) for n in (1, 3)],
    *[
        of(
            f"adaptive_max_pool{n}d",
            lambda dims: adaptive_poolings(dims, d.DISTINCT, True),
            adaptive_max_reference(n),
            domain="no ties",
        )
        for n in (1, 2, 3)
    ],
    *[of(f"lp_pool{n}d", lp_poolings, lp_reference, domain="positive") for n in (1, 2, 3)],
    *[
        of(
            f"max_unpool{n}d",
            unpoolings,
            unpool_reference,
            errors=(
                case(
                    lambda t: ops.max_unpool2d(zeros(t, 1, 2, 2), zeros(t, 1, 1, 1), 2),
                    ShapeError,
                    "max_unpool2d",
                    "(1, 2, 2)",
                ),
            )
            if n == 2
            else (),
        )
        for n in (1, 2, 3)
    ],
]
