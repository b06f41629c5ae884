"""Records of `minidl/ops/conv.py` and `minidl/ops/pool.py`, with references in plain loops."""

import math

import numpy as np
from hypothesis import assume

from minidl import ops
from minidl.errors import DTypeError, ShapeError
from minidl.testing.records import draw as d
from minidl.testing.records.record import OpRecord, case, zeros


def pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)


def size_or_pair(draw, *values):
    return d.one_of(
        draw, d.one_of(draw, *values), (d.one_of(draw, *values), d.one_of(draw, *values))
    )


def convolutions():
    def build(draw):
        groups = d.one_of(draw, 1, 1, 2)
        channels, filters = groups * d.one_of(draw, 1, 2), groups * d.one_of(draw, 1, 2)
        kernel = d.one_of(draw, 1, 2, 3), d.one_of(draw, 1, 2, 3)
        stride, dilation = size_or_pair(draw, 1, 1, 2, 3), size_or_pair(draw, 1, 1, 2)
        padding = size_or_pair(draw, 0, 1, 2)
        if stride in (1, (1, 1)):
            padding = d.one_of(draw, padding, "same", "valid")
        edge = (0, 0) if isinstance(padding, str) else pair(padding)
        least = [
            max(q * (k - 1) + 1 - 2 * p, 1)
            for q, k, p in zip(pair(dilation), kernel, edge, strict=True)
        ]
        image = [n + d.one_of(draw, 0, 1, 3) for n in least]
        batch = d.one_of(draw, (1,), (2,), ())
        args = [d.real(draw, (*batch, channels, *image))]
        args.append(d.real(draw, (filters, channels // groups, *kernel)))
        args.append(d.real(draw, (filters,)) if d.one_of(draw, False, True) else None)
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        return args, options

    return d.samples(build)


def conv2d_reference(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    if x.ndim == 3:
        return conv2d_reference(x[None], weight, bias, stride, padding, dilation, groups)[0]
    (sh, sw), (dh, dw) = pair(stride), pair(dilation)
    filters, per_group, kh, kw = weight.shape
    if padding == "same":
        total = dh * (kh - 1), dw * (kw - 1)
        border = [(n // 2, n - n // 2) for n in total]
    else:
        border = [(p, p) for p in ((0, 0) if padding == "valid" else pair(padding))]
    x = np.pad(x, [(0, 0), (0, 0), *border])
    oh = (x.shape[2] - dh * (kh - 1) - 1) // sh + 1
    ow = (x.shape[3] - dw * (kw - 1) - 1) // sw + 1
    out = np.zeros((x.shape[0], filters, oh, ow))
    for n, o, i, j in np.ndindex(*out.shape):
        first = o // (filters // groups) * per_group
        window = x[
            n,
            first : first + per_group,
            i * sh : i * sh + dh * (kh - 1) + 1 : dh,
            j * sw : j * sw + dw * (kw - 1) + 1 : dw,
        ]
        out[n, o, i, j] = (window * weight[o]).sum() + (0 if bias is None else bias[o])
    return out


def poolings(domain, dilate):
    def build(draw):
        kernel = size_or_pair(draw, 1, 2, 3)
        options = {
            "stride": d.one_of(draw, None, size_or_pair(draw, 1, 2, 3)),
            "padding": tuple(d.one_of(draw, *range(k // 2 + 1)) for k in pair(kernel)),
            "ceil_mode": d.one_of(draw, False, True),
        }
        dilation = (1, 1)
        if dilate:
            dilation = options["dilation"] = size_or_pair(draw, 1, 1, 2)
            options["return_indices"] = d.one_of(draw, False, False, True)
        else:
            options["count_include_pad"] = d.one_of(draw, False, True)
            options["divisor_override"] = d.one_of(draw, None, None, 3)
        least = [
            max(q * (k - 1) + 1 - 2 * p, 1)
            for q, k, p in zip(pair(dilation), pair(kernel), options["padding"], strict=True)
        ]
        image = [n + d.one_of(draw, 0, 1, 2, 3) for n in least]
        places = zip(windows(np.zeros(image), kernel, **geometry_of(options)), image, strict=True)
        assume(all(inside(window, size) for row, size in places for window in row))
        lead = d.one_of(draw, (1, 1), (2, 2), (2,))
        return (d.real(draw, (*lead, *image), domain), kernel), options

    return d.samples(build)


def geometry_of(options):
    names = ("stride", "padding", "dilation", "ceil_mode")
    return {"dilation": 1} | {name: options[name] for name in names if name in options}


def starts(size, kernel, stride, padding, dilation, ceil_mode):
    """The first row of every window, negative where it begins in the padding."""
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (math.ceil if ceil_mode else math.floor)(span / stride) + 1
    all_starts = [i * stride - padding for i in range(count)]
    return [s for s in all_starts if not ceil_mode or s < size]  # a window starts in the image


def windows(x, kernel, stride, padding, dilation, ceil_mode):
    """For each window its place in the output and the rows and columns it covers."""
    geometry = zip(pair(kernel), pair(stride or kernel), pair(padding), pair(dilation), strict=True)
    rows, columns = (
        [[s + i * q for i in range(k)] for s in starts(size, k, t, p, q, ceil_mode)]
        for size, (k, t, p, q) in zip(x.shape[-2:], geometry, strict=True)
    )
    return rows, columns


def inside(window, size):
    return [i for i in window if 0 <= i < size]


def max_pool2d_reference(
    x, kernel, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    rows, columns = windows(x, kernel, stride, padding, dilation, ceil_mode)
    height, width = x.shape[-2:]
    out = np.zeros((*x.shape[:-2], len(rows), len(columns)))
    index = np.zeros(out.shape, np.int64)
    for place in np.ndindex(*out.shape):
        *image, i, j = place
        cells = [(h, w) for h in inside(rows[i], height) for w in inside(columns[j], width)]
        best = max(cells, key=lambda cell: x[(*image, *cell)])
        out[place], index[place] = x[(*image, *best)], best[0] * width + best[1]
    return (out, index) if return_indices else out


def avg_pool2d_reference(
    x,
    kernel,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    rows, columns = windows(x, kernel, stride, padding, 1, ceil_mode)
    (height, width), (ph, pw) = x.shape[-2:], pair(padding)
    out = np.zeros((*x.shape[:-2], len(rows), len(columns)))
    for place in np.ndindex(*out.shape):
        *image, i, j = place
        cells = [(h, w) for h in inside(rows[i], height) for w in inside(columns[j], width)]
        padded = [h for h in rows[i] if h < height + ph], [w for w in columns[j] if w < width + pw]
        count = len(padded[0]) * len(padded[1]) if count_include_pad else len(cells)
        total = sum(x[(*image, *cell)] for cell in cells)
        out[place] = total / (divisor_override or count)
    return out


def adaptive_poolings():
    def build(draw):
        lead = d.one_of(draw, (1, 2), (2,))
        x = d.real(draw, (*lead, d.one_of(draw, 1, 3, 5), d.one_of(draw, 2, 4)))
        return x, d.one_of(draw, 1, 2, (2, 3), (None, 1))

    return d.samples(build)


def adaptive_reference(x, output_size):
    height, width = x.shape[-2:]
    size = pair(output_size) if isinstance(output_size, int) else output_size
    oh, ow = size[0] or height, size[1] or width
    out = np.zeros((*x.shape[:-2], oh, ow))
    for i in range(oh):
        for j in range(ow):
            rows = slice(i * height // oh, math.ceil((i + 1) * height / oh))
            columns = slice(j * width // ow, math.ceil((j + 1) * width / ow))
            out[..., i, j] = x[..., rows, columns].mean((-2, -1))
    return out


RECORDS = [
    OpRecord(
        "conv2d",
        ops.conv2d,
        convolutions(),
        conv2d_reference,
        errors=(
            case(
                lambda t: ops.conv2d(zeros(t, 8, 1, 28, 28), zeros(t, 16, 3, 5, 5)),
                ShapeError,
                "conv2d: weight expects 3 input channels, input has 1",
                "(8, 1, 28, 28)",
                "(16, 3, 5, 5)",
            ),
            case(
                lambda t: ops.conv2d(zeros(t, 1, 1, 2, 2), zeros(t, 1, 1, 3, 3)),
                ShapeError,
                "conv2d",
                "larger than the padded input",
            ),
            case(
                lambda t: ops.conv2d(zeros(t, 1, 2, 5, 5), zeros(t, 3, 1, 3, 3), groups=2),
                ShapeError,
                "conv2d",
                "groups",
            ),
            case(
                lambda t: ops.conv2d(zeros(t, 1, 1, 5, 5), zeros(t, 1, 1, 3, 3), stride=0),
                ShapeError,
                "conv2d",
                "stride",
                "0",
            ),
            case(
                lambda t: ops.conv2d(zeros(t, 1, 1, 5, 5), zeros(t, 2, 1, 3, 3), zeros(t, 3)),
                ShapeError,
                "conv2d",
                "bias",
                "(3,)",
            ),
            case(
                lambda t: ops.conv2d(zeros(t, 1, 1, 5, 5).float(), zeros(t, 2, 1, 3, 3)),
                DTypeError,
                "conv2d",
                "float32",
                "float64",
            ),
        ),
    ),
    OpRecord(
        "max_pool2d",
        ops.max_pool2d,
        poolings(d.DISTINCT, dilate=True),
        max_pool2d_reference,
        domain="no ties",
        errors=(
            case(lambda t: ops.max_pool2d(zeros(t, 1, 1, 2, 2), 3), ShapeError, "max_pool2d", "3"),
            case(
                lambda t: ops.max_pool2d(zeros(t, 1, 1, 4, 4), 2, padding=2),
                ShapeError,
                "max_pool2d",
                "half",
            ),
            case(lambda t: ops.max_pool2d(zeros(t, 4, 4), 2), ShapeError, "max_pool2d", "(4, 4)"),
            case(
                lambda t: ops.max_pool2d(zeros(t, 1, 1, 1, 1), 2, padding=1, dilation=2),
                ShapeError,
                "max_pool2d",
                "nothing but padding",
            ),
        ),
    ),
    OpRecord(
        "avg_pool2d",
        ops.avg_pool2d,
        poolings(d.ANY, dilate=False),
        avg_pool2d_reference,
        errors=(
            case(lambda t: ops.avg_pool2d(zeros(t, 1, 1, 2, 2), 3), ShapeError, "avg_pool2d", "3"),
            case(
                lambda t: ops.avg_pool2d(zeros(t, 1, 1, 2, 2), 2, divisor_override=0),
                ValueError,
                "avg_pool2d",
                "divisor_override",
            ),
        ),
    ),
    OpRecord(
        "adaptive_avg_pool2d", ops.adaptive_avg_pool2d, adaptive_poolings(), adaptive_reference
    ),
]
