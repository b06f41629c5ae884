"""Records of ops that no user calls: derivatives of other ops, and what in-place writes record."""

import numpy as np

from minidl.tape import named
from minidl.testing.records import draw as d
from minidl.testing.records.image import convolutions, pair, poolings
from minidl.testing.records.index import advanced_index, assign_reference, basic_index
from minidl.testing.records.record import OpRecord
from minidl.testing.records.shape import diagonal_reference


def indexings():
    def build(draw):
        x = d.real(draw, d.shape(draw, 1, empty=False))
        where = d.one_of(draw, basic_index, advanced_index)(draw, x.shape)
        return x, where

    return d.samples(build)


def unindexings():
    def build(draw):
        shape = d.shape(draw, 1, empty=False)
        where = d.one_of(draw, basic_index, advanced_index)(draw, shape)
        return d.real(draw, np.zeros(shape)[where].shape), where, shape

    return d.samples(build)


def plain(function):
    """Index arrays reach an inner op as arrays, not as tensors."""

    def call(x, where, *rest):
        return function(x, untensored(where), *rest)

    return call


def untensored(where):
    if isinstance(where, tuple):
        return tuple(untensored(part) for part in where)
    return getattr(where, "_array", where)


def unindex_reference(g, where, shape):
    places = np.arange(int(np.prod(shape))).reshape(shape)[where]
    out = np.zeros(int(np.prod(shape)))
    for place, value in zip(places.ravel(), g.ravel(), strict=True):
        out[place] += value
    return out.reshape(shape)


def on_diagonals():
    def build(draw):
        shape = d.shape(draw, 2, 3, empty=False)
        a, b = (int(i) for i in d.rng(draw).permutation(len(shape))[:2])
        offset = d.one_of(draw, *range(-shape[a] + 1, shape[b]))
        diagonal = diagonal_reference(np.zeros(shape), offset, a, b)
        return d.real(draw, diagonal.shape), shape, offset, a, b

    return d.samples(build)


def on_diagonal_reference(g, shape, offset, dim1, dim2):
    out = np.zeros(shape)
    rows = np.moveaxis(out, (dim1, dim2), (0, 1))
    start = max(-offset, 0)
    for k in range(g.shape[-1]):
        rows[start + k, start + k + offset] = g[..., k]
    return out


def steps(where):
    return [(named("index").op, {"index": where})]


def overwrites():
    def build(draw):
        base = d.real(draw, d.shape(draw, 1, empty=False))
        where = basic_index(draw, base.shape)
        return base, d.real(draw, base[where].shape), where, order(draw, base.ndim)

    return d.samples(build)


def blanks():
    def build(draw):
        x = d.real(draw, d.shape(draw, 1, empty=False))
        return x, basic_index(draw, x.shape), order(draw, x.ndim)

    return d.samples(build)


def order(draw, ndim):
    """In which order the dimensions lay in memory when a write happened."""
    return tuple(int(i) for i in d.rng(draw).permutation(ndim))


def geometry(args, options):
    """The keywords of the inner convolutions, and the shapes of a convolution's three tensors."""
    x, weight, _ = args
    stride, dilation = pair(options["stride"]), pair(options["dilation"])
    padding = (1, 1) if isinstance(options["padding"], str) else pair(options["padding"])
    kernel = weight.shape[2:]
    out = tuple(
        (n + 2 * p - q * (k - 1) - 1) // s + 1
        for n, p, q, k, s in zip(x.shape[-2:], padding, dilation, kernel, stride, strict=True)
    )
    keywords = {
        "stride": stride, "padding": padding, "dilation": dilation, "groups": options["groups"]
    }  # fmt: skip
    return keywords, (x.shape[0], weight.shape[0], *out)


def conv2d_adjoints(of):
    """Arguments of the derivative of conv2d in its input or in its weight."""

    def build(draw):
        sample = draw(convolutions().filter(lambda sample: sample.args[0].ndim == 4))
        keywords, out = geometry(sample.args, sample.kwargs)
        x, weight, _ = sample.args
        g = d.real(draw, out)
        if of == "input":
            return (weight, g), {"size": x.shape[2:]} | keywords
        return (x, g), {"kernel": weight.shape[2:]} | keywords

    return d.samples(build)


def terms(out, per_group, filters, kernel, stride, padding, dilation, size):
    """Every (output element, weight element, input element) that a convolution multiplies."""
    for n, o, i, j in np.ndindex(*out):
        for c, k, q in np.ndindex(per_group, *kernel):
            h = i * stride[0] + k * dilation[0] - padding[0]
            w = j * stride[1] + q * dilation[1] - padding[1]
            if 0 <= h < size[0] and 0 <= w < size[1]:
                group = o // filters
                yield (n, o, i, j), (o, c, k, q), (n, group * per_group + c, h, w)


def conv2d_input_reference(weight, g, size, stride, padding, dilation, groups):
    filters, per_group, *kernel = weight.shape
    x = np.zeros((g.shape[0], per_group * groups, *size))
    each = terms(g.shape, per_group, filters // groups, kernel, stride, padding, dilation, size)
    for place, at_weight, at_input in each:
        x[at_input] += g[place] * weight[at_weight]
    return x


def conv2d_weight_reference(x, g, kernel, stride, padding, dilation, groups):
    filters, per_group = g.shape[1], x.shape[1] // groups
    weight = np.zeros((filters, per_group, *kernel))
    size = x.shape[2:]
    each = terms(g.shape, per_group, filters // groups, kernel, stride, padding, dilation, size)
    for place, at_weight, at_input in each:
        weight[at_weight] += g[place] * x[at_input]
    return weight


def pixels(spread):
    def build(draw):
        n, c, h, w = (d.one_of(draw, 1, 2, 3) for _ in range(4))
        positions = d.integers(draw, (n, c, d.one_of(draw, 1, 2), 3), 0, h * w)
        if spread:
            return d.real(draw, positions.shape), positions, (n, c, h, w)
        return d.real(draw, (n, c, h, w)), positions

    return d.samples(build)


def pick_reference(x, positions):
    out = np.zeros(positions.shape)
    for n, c, i, j in np.ndindex(*out.shape):
        out[n, c, i, j] = x[n, c].ravel()[positions[n, c, i, j]]
    return out


def spread_reference(g, positions, shape):
    out = np.zeros(shape)
    for n, c, i, j in np.ndindex(*g.shape):
        position = positions[n, c, i, j]
        out[n, c, position // shape[3], position % shape[3]] += g[n, c, i, j]
    return out


def window_sums(spread):
    def build(draw):
        sample = draw(poolings(d.ANY, dilate=False).filter(lambda s: s.args[0].ndim == 4))
        x, kernel = sample.args[0], pair(sample.args[1])
        image = [max(n, k) for n, k in zip(x.shape[2:], kernel, strict=True)]
        stride = pair(sample.kwargs["stride"] or kernel)
        out = [(n - k) // s + 1 for n, k, s in zip(image, kernel, stride, strict=True)]
        if spread:
            return d.real(draw, (*x.shape[:2], *out)), kernel, stride, tuple(image)
        return d.real(draw, (*x.shape[:2], *image)), kernel, stride

    return d.samples(build)


def sum_windows_reference(x, kernel, stride):
    (kh, kw), (sh, sw) = kernel, stride
    oh, ow = (x.shape[2] - kh) // sh + 1, (x.shape[3] - kw) // sw + 1
    rows = [
        [x[:, :, i * sh : i * sh + kh, j * sw : j * sw + kw].sum((2, 3)) for j in range(ow)]
        for i in range(oh)
    ]
    return np.moveaxis(np.array(rows), (0, 1), (2, 3))


def spread_windows_reference(g, kernel, stride, size):
    out = np.zeros((*g.shape[:2], *size))
    for i, j in np.ndindex(*g.shape[2:]):
        rows = slice(i * stride[0], i * stride[0] + kernel[0])
        columns = slice(j * stride[1], j * stride[1] + kernel[1])
        out[:, :, rows, columns] += g[:, :, i : i + 1, j : j + 1]
    return out


def inner(name, samples, reference, function=None, **fields):
    return OpRecord(name, function or named(name), samples, reference, **fields)


def one_tensor(*more):
    return d.samples(lambda draw: (d.real(draw, d.shape(draw)), *more))


RECORDS = [
    inner("identity", one_tensor(), lambda x: x),
    inner(
        "cast", one_tensor(np.dtype("f8"), np.dtype("f8")), lambda x, to, source: x, result="given"
    ),
    inner("transferred", one_tensor("cpu", "cpu"), lambda x, to, source: x),
    inner("index", indexings(), lambda x, where: x[where], plain(named("index"))),
    inner("unindex", unindexings(), unindex_reference, plain(named("unindex"))),
    inner("on_diagonal", on_diagonals(), on_diagonal_reference),
    inner(
        "overwrite",
        overwrites(),
        lambda base, value, where, order: assign_reference(base, where, value),
        lambda base, value, where, order: named("overwrite")(base, value, steps(where), order),
    ),
    inner(
        "blank",
        blanks(),
        lambda x, where, order: assign_reference(x, where, 0.0),
        lambda x, where, order: named("blank")(x, steps(where), order),
    ),
    inner("conv2d_input", conv2d_adjoints("input"), conv2d_input_reference),
    inner("conv2d_weight", conv2d_adjoints("weight"), conv2d_weight_reference),
    inner("pick_pixels", pixels(False), pick_reference),
    inner("spread_pixels", pixels(True), spread_reference),
    inner("sum_pool2d", window_sums(False), sum_windows_reference),
    inner("spread_windows", window_sums(True), spread_windows_reference),
]
