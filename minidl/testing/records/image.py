"""Records of `minidl/ops/conv.py` and `minidl/ops/pool.py`, with references in plain loops."""

import math

import numpy as np

from minidl import ops
from minidl.errors import DTypeError, ShapeError
from minidl.testing import strategies as d
from minidl.testing.records.draw import choice, samples
from minidl.testing.records.record import OpRecord, case, zeros
from minidl.testing.strategies.windows import pair


@samples
def convolutions(draw):
    call = draw(d.conv_calls())
    bias = None if call.bias is None else draw(d.arrays(call.bias))
    return (draw(d.arrays(call.input)), draw(d.arrays(call.weight)), bias), call.options


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


@samples
def max_poolings(draw):
    call = draw(d.pool_calls())
    options = call.options | {"return_indices": draw(choice(False, False, True))}
    return (draw(d.arrays(call.input, d.DISTINCT)), call.kernel_size), options


@samples
def avg_poolings(draw):
    call = draw(d.pool_calls(dilation=False))
    counting = {
        "count_include_pad": draw(choice(False, True)),
        "divisor_override": draw(choice(None, None, 3)),
    }
    return (draw(d.arrays(call.input)), call.kernel_size), call.options | counting


def windows(x, kernel, stride, padding, dilation, ceil_mode):
    """The rows that each row of windows covers, and the columns that each column covers."""
    geometry = zip(pair(kernel), pair(stride or kernel), pair(padding), pair(dilation), strict=True)
    return [
        d.windows(size, *own, ceil_mode) for size, own in zip(x.shape[-2:], geometry, strict=True)
    ]


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


@samples
def adaptive_poolings(draw):
    lead = draw(choice((1, 2), (2,)))
    x = draw(d.arrays((*lead, draw(choice(1, 3, 5)), draw(choice(2, 4)))))
    return x, draw(choice(1, 2, (2, 3), (None, 1)))


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
        max_poolings(),
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
        avg_poolings(),
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
