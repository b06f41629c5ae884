"""Records of ops that no user calls: derivatives of other ops, and what in-place writes record."""

import numpy as np
from hypothesis import strategies as st

from minidl.tape import named
from minidl.testing import strategies as d
from minidl.testing.records.draw import choice, each, samples
from minidl.testing.records.index import assign_reference, indexings
from minidl.testing.records.norm import batch_norm_reference
from minidl.testing.records.record import OpRecord
from minidl.testing.records.shape import diagonal_reference, diagonals
from minidl.testing.strategies.windows import pair


@samples
def unindexings(draw):
    x, where = draw(indexings()).args
    return draw(d.arrays(np.shape(x[where]))), where, x.shape


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


@samples
def on_diagonals(draw):
    sample = draw(diagonals())
    (x,), options = sample.args, sample.kwargs
    return draw(d.arrays(diagonal_reference(x, **options).shape)), x.shape, *options.values()


def on_diagonal_reference(g, shape, offset, dim1, dim2):
    out = np.zeros(shape)
    rows = np.moveaxis(out, (dim1, dim2), (0, 1))
    start = max(-offset, 0)
    for k in range(g.shape[-1]):
        rows[start + k, start + k + offset] = g[..., k]
    return out


def steps(where):
    return [(named("index").op, {"index": where})]


@samples
def overwrites(draw):
    """`order`: in which order the dimensions lay in memory when a write happened."""
    base = draw(d.arrays(d.shapes(1, empty=False)))
    where = draw(d.basic_indices(base.shape))
    order = draw(st.permutations(range(base.ndim)))
    return base, draw(d.arrays(np.shape(base[where]))), where, tuple(order)


@samples
def blanks(draw):
    base, _, where, order = draw(overwrites()).args
    return base, where, order


def geometry(call):
    """The keywords of the inner convolutions, and the shape of a convolution's result."""
    padding = call.options["padding"]
    keywords = {name: pair(call.options[name]) for name in ("stride", "dilation")}
    keywords["padding"] = (1, 1) if isinstance(padding, str) else pair(padding)
    keywords["groups"] = call.options["groups"]
    out = tuple(
        (n + 2 * p - q * (k - 1) - 1) // s + 1
        for n, k, s, q, p in zip(
            call.input[2:], call.weight[2:], *list(keywords.values())[:3], strict=True
        )
    )
    return keywords, (call.input[0], call.weight[0], *out)


@samples
def conv2d_adjoints(draw, of):
    """Arguments of the derivative of conv2d in its input or in its weight."""
    call = draw(d.conv_calls().filter(lambda call: len(call.input) == 4))
    keywords, out = geometry(call)
    g = draw(d.arrays(out))
    if of == "input":
        return (draw(d.arrays(call.weight)), g), {"size": call.input[2:]} | keywords
    return (draw(d.arrays(call.input)), g), {"kernel": call.weight[2:]} | keywords


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


@samples
def pixels(draw, spread):
    n, c, h, w = (draw(choice(1, 2, 3)) for _ in range(4))
    positions = draw(d.integer_arrays((n, c, draw(choice(1, 2)), 3), 0, h * w))
    if spread:
        return draw(d.arrays(positions.shape)), positions, (n, c, h, w)
    return draw(d.arrays((n, c, h, w))), positions


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


@samples
def layings(draw):
    x = draw(d.arrays((2, 3, 2, 2)))
    rows, last = (0, 1, 2, 3), (0, 2, 3, 1)
    return x, *draw(choice((rows, last), (last, rows)))


@samples
def fixed_norms(draw):
    column = (draw(choice(1, 3)),)
    x = draw(d.arrays((2, *column, *draw(choice((), (2,), (2, 2))))))
    mean, weight, bias = (draw(d.arrays(column)) for _ in range(3))
    affine = draw(choice([None, None], [weight, bias]))
    return x, mean, draw(d.arrays(column, d.POSITIVE)), *affine, draw(choice(1e-5, 0.1))


def fixed_norm_reference(x, mean, var, weight, bias, eps):
    return batch_norm_reference(x, mean, var, weight, bias, False, eps)


@samples
def window_sums(draw, spread):
    call = draw(d.pool_calls(dilation=False).filter(lambda call: len(call.input) == 4))
    kernel, stride = pair(call.kernel_size), pair(call.options["stride"] or call.kernel_size)
    image = tuple(max(n, k) for n, k in zip(call.input[2:], kernel, strict=True))
    out = [(n - k) // s + 1 for n, k, s in zip(image, kernel, stride, strict=True)]
    shape = (*call.input[:2], *(out if spread else image))
    return draw(d.arrays(shape)), kernel, stride, *([image] if spread else [])


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
    return each(d.arrays(), *map(choice, more))


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
    inner("convolution_input", conv2d_adjoints("input"), conv2d_input_reference),
    inner("convolution_weight", conv2d_adjoints("weight"), conv2d_weight_reference),
    inner("pick_pixels", pixels(False), pick_reference),
    inner("spread_pixels", pixels(True), spread_reference),
    inner("sum_pool", window_sums(False), sum_windows_reference),
    inner("laid", layings(), lambda x, order, back: x),
    inner("fixed_norm", fixed_norms(), fixed_norm_reference),
    inner("spread_windows", window_sums(True), spread_windows_reference),
]
