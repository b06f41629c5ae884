"""Records of the convolutions of `minidl/ops/conv.py` but conv2d, and of their inner op."""

import numpy as np

from minidl import ops
from minidl.errors import ShapeError
from minidl.tape import named
from minidl.testing import strategies as d
from minidl.testing.records.draw import choice, samples
from minidl.testing.records.image import conv2d_reference
from minidl.testing.records.record import OpRecord, case, zeros


def some_size(draw, dims, *values):
    """One of the values for all dimensions, or one for each."""
    each = tuple(draw(choice(*values)) for _ in range(dims))
    return draw(choice(each, each[0]))


def spread_out(size, dims):
    return (size,) * dims if isinstance(size, int) else tuple(size)


def drawn_sizes(draw, dims):
    sizes = {"stride": (1, 1, 2, 3), "dilation": (1, 1, 2)}
    options = {name: some_size(draw, dims, *values) for name, values in sizes.items()}
    return options | {"groups": draw(choice(1, 1, 2))}


@samples
def convolutions(draw, dims):
    options = drawn_sizes(draw, dims)
    padding = some_size(draw, dims, 0, 1)
    if spread_out(options["stride"], dims) == (1,) * dims:
        padding = draw(choice(padding, "same", "valid"))
    kernel = tuple(draw(choice(1, 2, 3) if dims == 1 else choice(1, 2)) for _ in range(dims))
    dilation = spread_out(options["dilation"], dims)
    reach = [q * (k - 1) + 1 for k, q in zip(kernel, dilation, strict=True)]
    size = tuple(n + draw(choice(0, 1, 3) if dims == 1 else choice(0, 1)) for n in reach)
    per_group, filters = draw(choice(1, 2)), options["groups"] * draw(choice(1, 2))
    x = draw(d.arrays((*draw(choice((1,), (2,), ())), options["groups"] * per_group, *size)))
    weight = draw(d.arrays((filters, per_group, *kernel)))
    bias = draw(choice(None, draw(d.arrays((filters,)))))
    return (x, weight, bias), options | {"padding": padding}


def conv_reference(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    dims = weight.ndim - 2
    if x.ndim < weight.ndim:
        return conv_reference(x[None], weight, bias, stride, padding, dilation, groups)[0]
    stride, dilation = spread_out(stride, dims), spread_out(dilation, dims)
    filters, per_group, *kernel = weight.shape
    reach = [q * (k - 1) for k, q in zip(kernel, dilation, strict=True)]
    if padding == "same":
        border = [(n // 2, n - n // 2) for n in reach]
    else:
        border = [(p, p) for p in spread_out(0 if padding == "valid" else padding, dims)]
    x = np.pad(x, [(0, 0), (0, 0), *border])
    counts = [(n - r - 1) // s + 1 for n, r, s in zip(x.shape[2:], reach, stride, strict=True)]
    out = np.zeros((x.shape[0], filters, *counts))
    for n, o, *place in np.ndindex(*out.shape):
        first = o // (filters // groups) * per_group
        each = zip(place, stride, reach, dilation, strict=True)
        box = tuple(slice(i * s, i * s + r + 1, q) for i, s, r, q in each)
        window = x[(n, slice(first, first + per_group), *box)]
        out[(n, o, *place)] = (window * weight[o]).sum() + (0 if bias is None else bias[o])
    return out


@samples
def transposes(draw, dims):
    options = drawn_sizes(draw, dims)
    stride, dilation = (spread_out(options[name], dims) for name in ("stride", "dilation"))
    extra = tuple(draw(choice(0, max(s, q) - 1)) for s, q in zip(stride, dilation, strict=True))
    kernel = tuple(draw(choice(1, 2, 3) if dims == 1 else choice(1, 2)) for _ in range(dims))
    size = tuple(draw(choice(1, 2, 3) if dims == 1 else choice(1, 2)) for _ in range(dims))
    each = zip(size, kernel, stride, dilation, extra, strict=True)
    large = [(n - 1) * s + q * (k - 1) + 1 + e for n, k, s, q, e in each]
    padding = tuple(draw(choice(0, 1)) if n > 2 else 0 for n in large)
    channels, per_group = options["groups"] * draw(choice(1, 2)), draw(choice(1, 2))
    x = draw(d.arrays((*draw(choice((1,), (2,), ())), channels, *size)))
    weight = draw(d.arrays((channels, per_group, *kernel)))
    bias = draw(choice(None, draw(d.arrays((per_group * options["groups"],)))))
    return (x, weight, bias), options | {"padding": padding, "output_padding": extra}


def transpose_reference(
    x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    dims = weight.ndim - 2
    if x.ndim < weight.ndim:
        rest = (stride, padding, output_padding, groups, dilation)
        return transpose_reference(x[None], weight, bias, *rest)[0]
    stride, padding, extra, dilation = (
        spread_out(size, dims) for size in (stride, padding, output_padding, dilation)
    )
    per_group, channels = weight.shape[1], x.shape[1] // groups
    each = zip(x.shape[2:], weight.shape[2:], stride, dilation, extra, strict=True)
    large = [(n - 1) * s + q * (k - 1) + 1 + e for n, k, s, q, e in each]
    out = np.zeros((x.shape[0], per_group * groups, *large))
    for n, c, *place in np.ndindex(*x.shape):
        for o, *tap in np.ndindex(*weight.shape[1:]):
            at = [i * s + k * q for i, s, k, q in zip(place, stride, tap, dilation, strict=True)]
            filter_ = c // channels * per_group + o
            out[(n, filter_, *at)] += x[(n, c, *place)] * weight[(c, o, *tap)]
    inner = [slice(p, n - p) for p, n in zip(padding, large, strict=True)]
    out = out[(slice(None), slice(None), *inner)]
    return out if bias is None else out + bias.reshape(-1, *[1] * dims)


@samples
def inner_convolutions(draw):
    stride, padding, dilation = (some_size(draw, 2, *v) for v in ((1, 2), (0, 1), (1, 2)))
    sizes = [spread_out(size, 2) for size in (stride, padding, dilation)]
    return draw(d.arrays((2, 2, 4, 3))), draw(d.arrays((2, 1, 2, 2))), *sizes, 2


def forward(dims):
    name = f"conv{dims}d"
    function = getattr(ops, name)
    weight = (2, 2, *[2] * dims)
    return OpRecord(
        name,
        function,
        convolutions(dims),
        conv_reference,
        errors=(
            case(
                lambda t: function(zeros(t, 1, 3, *[4] * dims), zeros(t, *weight)),
                ShapeError,
                f"{name}: weight expects 2 input channels, input has 3",
            ),
            case(lambda t: function(zeros(t, 1, 1), zeros(t, 1, 1)), ShapeError, name),
        ),
    )


def transposed(dims):
    name = f"conv_transpose{dims}d"
    function = getattr(ops, name)

    def call(t, *shape, **options):
        return function(zeros(t, 1, 2, *[2] * dims), zeros(t, *shape, *[2] * dims), **options)

    return OpRecord(
        name,
        function,
        transposes(dims),
        transpose_reference,
        errors=(
            case(lambda t: call(t, 3, 1), ShapeError, name, "weight expects 3 input channels"),
            case(lambda t: call(t, 2, 1, output_padding=1), ShapeError, name, "output_padding"),
            case(lambda t: call(t, 2, 1, padding=2), ShapeError, name, "padding", "nothing"),
        ),
    )


RECORDS = [
    forward(1),
    forward(3),
    *map(transposed, (1, 2, 3)),
    OpRecord(
        "convolution",
        named("convolution"),
        inner_convolutions(),
        lambda x, w, stride, padding, dilation, groups: conv2d_reference(
            x, w, None, stride, padding, dilation, groups
        ),
    ),
]
