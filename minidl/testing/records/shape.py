"""Records of the views of `minidl/ops/shape.py`."""

import math

import numpy as np

from minidl import ops
from minidl.errors import ShapeError
from minidl.testing.records import draw as d
from minidl.testing.records.record import OpRecord, case, zeros

ALL = "biuf"


def factorizations(draw, size):
    """A shape with `size` elements."""
    if size == 0:
        return d.one_of(draw, (0,), (0, 3), (2, 0))
    shape = []
    while size > 1 and len(shape) < 3:
        divisor = d.one_of(draw, *[n for n in range(1, size + 1) if size % n == 0])
        shape.append(divisor)
        size //= divisor
    return (*shape, size)


def reshapes():
    def build(draw):
        x = d.real(draw, d.shape(draw))
        shape = list(factorizations(draw, x.size))
        if x.size and d.one_of(draw, False, True):
            shape[d.one_of(draw, *range(len(shape)))] = -1
        return x, tuple(shape)

    return d.samples(build)


def permutations():
    def build(draw):
        x = d.real(draw, d.shape(draw))
        order = d.rng(draw).permutation(x.ndim)
        return x, tuple(int(i) - (x.ndim if d.one_of(draw, 0, 1) else 0) for i in order)

    return d.samples(build)


def with_axes(number, min_dims=0, empty=True):
    """A tensor and `number` of its dimensions."""

    def build(draw):
        x = d.real(draw, d.shape(draw, min_dims, empty=empty))
        return (x, *[d.axis(draw, x.ndim) for _ in range(number)])

    return d.samples(build)


def expansions():
    def build(draw):
        small, whole = d.broadcastable(draw)
        if len(small) > len(whole):
            small, whole = whole, small
        x = d.real(draw, small)
        shape = np.broadcast_shapes(small, whole)
        kept = [d.one_of(draw, False, True) and i >= len(shape) - x.ndim for i in range(len(shape))]
        lead = len(shape) - x.ndim
        sizes = [
            -1 if keep and x.shape[i - lead] == n else n
            for i, (n, keep) in enumerate(zip(shape, kept, strict=True))
        ]
        return x, tuple(sizes)

    return d.samples(build)


def expand_reference(x, shape):
    lead = len(shape) - x.ndim
    return np.broadcast_to(x, [x.shape[i - lead] if n == -1 else n for i, n in enumerate(shape)])


def squeezes():
    def build(draw):
        whole = d.shape(draw)
        x = d.real(draw, [1 if d.one_of(draw, False, True) else n for n in whole])
        dim = d.axes(draw, x.ndim)
        return (x,) if dim is None else (x, dim)

    return d.samples(build)


def squeeze_reference(x, dim=None):
    if not x.ndim:
        return x
    axes = range(x.ndim) if dim is None else dim if isinstance(dim, tuple) else (dim,)
    return x.reshape(
        [n for i, n in enumerate(x.shape) if n != 1 or i not in {a % x.ndim for a in axes}]
    )


def unsqueezes():
    def build(draw):
        x = d.real(draw, d.shape(draw))
        return x, d.axis(draw, x.ndim + 1)

    return d.samples(build)


def narrows():
    def build(draw):
        x = d.real(draw, d.shape(draw, 1))
        dim = d.axis(draw, x.ndim)
        size = x.shape[dim]
        start = d.one_of(draw, *range(size + 1))
        return x, dim, start, d.one_of(draw, *range(size - start + 1))

    return d.samples(build)


def narrow_reference(x, dim, start, length):
    return np.take(x, range(start, start + length), dim)


def diagonals():
    def build(draw):
        x = d.real(draw, d.shape(draw, 2, 3, empty=False))
        a, b = (int(i) for i in d.rng(draw).permutation(x.ndim)[:2])
        offset = d.one_of(draw, *range(-x.shape[a] + 1, x.shape[b]))
        return (x,), {"offset": offset, "dim1": a, "dim2": b}

    return d.samples(build)


def diagonal_reference(x, offset, dim1, dim2):
    x = np.moveaxis(x, (dim1, dim2), (-2, -1))
    rows, cols = x.shape[-2:]
    picked = [x[..., i, i + offset] for i in range(rows) if 0 <= i + offset < cols]
    return np.stack(picked, -1)


def flattens():
    def build(draw):
        x = d.real(draw, d.shape(draw))
        bounds = sorted(d.axis(draw, x.ndim) % max(x.ndim, 1) for _ in range(2))
        return (x,), {"start_dim": bounds[0], "end_dim": bounds[1] - max(x.ndim, 1)}

    return d.samples(build)


def flatten_reference(x, start_dim, end_dim):
    end = end_dim % max(x.ndim, 1)
    return x.reshape(
        *x.shape[:start_dim], math.prod(x.shape[start_dim : end + 1]), *x.shape[end + 1 :]
    )


def unflattens():
    def build(draw):
        x = d.real(draw, d.shape(draw, 1, empty=False))
        dim = d.axis(draw, x.ndim)
        return x, dim, factorizations(draw, x.shape[dim])

    return d.samples(build)


def unflatten_reference(x, dim, sizes):
    dim = dim % x.ndim
    return x.reshape(*x.shape[:dim], *sizes, *x.shape[dim + 1 :])


def movedims():
    def build(draw):
        x = d.real(draw, d.shape(draw, 1))
        if d.one_of(draw, False, True):
            return x, d.axis(draw, x.ndim), d.axis(draw, x.ndim)
        count = d.one_of(draw, *range(1, x.ndim + 1))
        source, destination = (
            tuple(int(i) for i in d.rng(draw).permutation(x.ndim)[:count]) for _ in range(2)
        )
        return x, source, destination

    return d.samples(build)


def several(number=3):
    def build(draw):
        return tuple(d.real(draw, shape) for shape in d.broadcastable(draw, number))

    return d.samples(build)


def splits():
    def build(draw):
        x = d.real(draw, d.shape(draw, 1))
        dim = d.axis(draw, x.ndim)
        size = x.shape[dim]
        if d.one_of(draw, False, True):
            return (x, d.one_of(draw, 1, 2, 3)), {"dim": dim}
        first = d.one_of(draw, *range(size + 1))
        return (x, [first, size - first]), {"dim": dim}

    return d.samples(build)


def split_reference(x, sections, dim=0):
    size = x.shape[dim]
    if isinstance(sections, int):
        starts = range(0, max(size, 1), sections)
        return tuple(np.take(x, range(i, min(i + sections, size)), dim) for i in starts)
    first = sections[0]
    return np.take(x, range(first), dim), np.take(x, range(first, size), dim)


def chunks():
    def build(draw):
        x = d.real(draw, d.shape(draw, 1))
        return (x, d.one_of(draw, 1, 2, 3, 7)), {"dim": d.axis(draw, x.ndim)}

    return d.samples(build)


def unbind_reference(x, dim=0):
    return tuple(np.take(x, i, dim) for i in range(x.shape[dim]))


def shaping(name, reference, samples, *errors, **fields):
    return OpRecord(
        name, getattr(ops, name), samples, reference, dtypes=ALL, errors=errors, **fields
    )


RECORDS = [
    shaping(
        "reshape",
        lambda x, shape: x.reshape(shape),
        reshapes(),
        case(lambda t: ops.reshape(zeros(t, 2, 3), (4,)), ShapeError, "reshape", "(2, 3)", "(4,)"),
        case(lambda t: ops.reshape(zeros(t, 2, 3), (-1, -1)), ShapeError, "reshape", "(-1, -1)"),
    ),
    shaping(
        "view",
        lambda x, shape: x.reshape(shape),
        reshapes(),
        case(lambda t: ops.view(zeros(t, 2, 3), (4,)), ShapeError, "view", "(2, 3)", "(4,)"),
        case(lambda t: ops.view(zeros(t, 2, 3).t(), (6,)), ShapeError, "view", "reshape"),
    ),
    shaping(
        "permute",
        lambda x, dims: np.transpose(x, dims),
        permutations(),
        case(lambda t: ops.permute(zeros(t, 2, 3), (0, 0)), ShapeError, "permute", "(0, 0)"),
        case(lambda t: ops.permute(zeros(t, 2, 3), (0, 2)), IndexError, "permute", "2"),
    ),
    shaping(
        "transpose",
        lambda x, a, b: np.swapaxes(x, a, b) if x.ndim else x,
        with_axes(2),
        case(lambda t: ops.transpose(zeros(t, 2, 3), 0, 2), IndexError, "transpose", "2"),
    ),
    shaping(
        "expand",
        expand_reference,
        expansions(),
        case(
            lambda t: ops.expand(zeros(t, 2, 3), (4, 3)), ShapeError, "expand", "(2, 3)", "(4, 3)"
        ),
        case(lambda t: ops.expand(zeros(t, 3), (-1, 3)), ShapeError, "expand", "(-1, 3)"),
    ),
    shaping(
        "squeeze",
        squeeze_reference,
        squeezes(),
        case(lambda t: ops.squeeze(zeros(t, 2, 1), 2), IndexError, "squeeze", "dimension 2"),
    ),
    shaping(
        "unsqueeze",
        lambda x, dim: np.expand_dims(x, dim),
        unsqueezes(),
        case(lambda t: ops.unsqueeze(zeros(t, 2), 2 + 1), IndexError, "unsqueeze", "dimension 3"),
    ),
    shaping(
        "narrow",
        narrow_reference,
        narrows(),
        case(lambda t: ops.narrow(zeros(t, 2, 3), 1, 2, 2), IndexError, "narrow", "size 3"),
    ),
    shaping(
        "diagonal",
        diagonal_reference,
        diagonals(),
        case(lambda t: ops.diagonal(zeros(t, 2)), (IndexError, ShapeError), "diagonal"),
    ),
    shaping(
        "flatten",
        flatten_reference,
        flattens(),
        case(lambda t: ops.flatten(zeros(t, 2, 3), 1, 0), ShapeError, "flatten", "start_dim"),
    ),
    shaping(
        "unflatten",
        unflatten_reference,
        unflattens(),
        case(lambda t: ops.unflatten(zeros(t, 2, 6), 1, (4, 2)), ShapeError, "unflatten", "(4, 2)"),
    ),
    shaping(
        "movedim",
        lambda x, source, destination: np.moveaxis(x, source, destination),
        movedims(),
        case(lambda t: ops.movedim(zeros(t, 2, 3), (0, 1), (0,)), ShapeError, "movedim", "(0, 1)"),
    ),
    shaping(
        "t",
        lambda x: x.T,
        d.samples(lambda draw: (d.real(draw, d.shape(draw, 0, 2)),)),
        case(lambda t: ops.t(zeros(t, 2, 3, 4)), ShapeError, "t:", "(2, 3, 4)"),
    ),
    shaping(
        "broadcast_tensors",
        lambda *x: tuple(np.broadcast_arrays(*x)),
        several(),
        case(lambda t: ops.broadcast_tensors(zeros(t, 2), zeros(t, 3)), ShapeError, "(2,)", "(3,)"),
        broadcasts=True,
    ),
    shaping(
        "split",
        split_reference,
        splits(),
        case(lambda t: ops.split(zeros(t, 5), [2, 2]), ShapeError, "split", "[2, 2]", "5"),
        case(lambda t: ops.split(zeros(t, 5), 0), ShapeError, "split", "0"),
    ),
    shaping(
        "chunk",
        lambda x, chunks, dim=0: split_reference(x, max(-(-x.shape[dim] // chunks), 1), dim),
        chunks(),
        case(lambda t: ops.chunk(zeros(t, 5), 0), ShapeError, "chunk", "0"),
    ),
    shaping(
        "unbind",
        unbind_reference,
        with_axes(1, min_dims=1, empty=False),
        case(lambda t: ops.unbind(zeros(t, 2), 3), IndexError, "unbind", "dimension 3"),
    ),
]
