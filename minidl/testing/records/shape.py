"""Records of the views of `minidl/ops/shape.py`."""

import math

import numpy as np
from hypothesis import strategies as st

from minidl import ops
from minidl.errors import ShapeError
from minidl.testing import strategies as d
from minidl.testing.records.draw import choice, each, samples
from minidl.testing.records.record import OpRecord, case, zeros

ALL = "biuf"


def factorizations(draw, size):
    """A shape with `size` elements."""
    if size == 0:
        return draw(choice((0,), (0, 3), (2, 0)))
    shape = []
    while size > 1 and len(shape) < 3:
        divisor = draw(choice(*[n for n in range(1, size + 1) if size % n == 0]))
        shape.append(divisor)
        size //= divisor
    return (*shape, size)


@samples
def reshapes(draw):
    x = draw(d.arrays())
    shape = list(factorizations(draw, x.size))
    if x.size and draw(choice(False, True)):
        shape[draw(choice(*range(len(shape))))] = -1
    return x, tuple(shape)


@samples
def permutations(draw):
    x = draw(d.arrays())
    order = draw(st.permutations(range(x.ndim)))
    return x, tuple(i - draw(choice(0, x.ndim)) for i in order)


@samples
def with_axes(draw, number, min_dims=0, empty=True):
    """A tensor and `number` of its dimensions."""
    x = draw(d.arrays(d.shapes(min_dims, empty=empty)))
    return (x, *[draw(d.axis(x.ndim)) for _ in range(number)])


@samples
def expansions(draw):
    small, whole = draw(d.broadcastable_shapes())
    if len(small) > len(whole):
        small, whole = whole, small
    x = draw(d.arrays(small))
    shape = np.broadcast_shapes(small, whole)
    kept = [draw(choice(False, True)) and i >= len(shape) - x.ndim for i in range(len(shape))]
    lead = len(shape) - x.ndim
    sizes = [
        -1 if keep and x.shape[i - lead] == n else n
        for i, (n, keep) in enumerate(zip(shape, kept, strict=True))
    ]
    return x, tuple(sizes)


def expand_reference(x, shape):
    lead = len(shape) - x.ndim
    return np.broadcast_to(x, [x.shape[i - lead] if n == -1 else n for i, n in enumerate(shape)])


@samples
def squeezes(draw):
    whole = draw(d.shapes())
    x = draw(d.arrays([1 if draw(choice(False, True)) else n for n in whole]))
    dim = draw(d.axes(x.ndim))
    return (x,) if dim is None else (x, dim)


def squeeze_reference(x, dim=None):
    if not x.ndim:
        return x
    axes = range(x.ndim) if dim is None else dim if isinstance(dim, tuple) else (dim,)
    return x.reshape(
        [n for i, n in enumerate(x.shape) if n != 1 or i not in {a % x.ndim for a in axes}]
    )


@samples
def unsqueezes(draw):
    x = draw(d.arrays())
    return x, draw(d.axis(x.ndim + 1))


@samples
def narrows(draw):
    x = draw(d.arrays(d.shapes(1)))
    dim = draw(d.axis(x.ndim))
    size = x.shape[dim]
    start = draw(choice(*range(size + 1)))
    return x, dim, start, draw(choice(*range(size - start + 1)))


def narrow_reference(x, dim, start, length):
    return np.take(x, range(start, start + length), dim)


@samples
def diagonals(draw):
    x = draw(d.arrays(d.shapes(2, 3, empty=False)))
    a, b = draw(st.permutations(range(x.ndim)))[:2]
    offset = draw(choice(*range(-x.shape[a] + 1, x.shape[b])))
    return (x,), {"offset": offset, "dim1": a, "dim2": b}


def diagonal_reference(x, offset, dim1, dim2):
    x = np.moveaxis(x, (dim1, dim2), (-2, -1))
    rows, cols = x.shape[-2:]
    picked = [x[..., i, i + offset] for i in range(rows) if 0 <= i + offset < cols]
    return np.stack(picked, -1)


@samples
def flattens(draw):
    x = draw(d.arrays())
    bounds = sorted(draw(d.axis(x.ndim)) % max(x.ndim, 1) for _ in range(2))
    return (x,), {"start_dim": bounds[0], "end_dim": bounds[1] - max(x.ndim, 1)}


def flatten_reference(x, start_dim, end_dim):
    end = end_dim % max(x.ndim, 1)
    return x.reshape(
        *x.shape[:start_dim], math.prod(x.shape[start_dim : end + 1]), *x.shape[end + 1 :]
    )


@samples
def unflattens(draw):
    x = draw(d.arrays(d.shapes(1, empty=False)))
    dim = draw(d.axis(x.ndim))
    return x, dim, factorizations(draw, x.shape[dim])


def unflatten_reference(x, dim, sizes):
    dim = dim % x.ndim
    return x.reshape(*x.shape[:dim], *sizes, *x.shape[dim + 1 :])


@samples
def movedims(draw):
    x = draw(d.arrays(d.shapes(1)))
    if draw(choice(False, True)):
        return x, draw(d.axis(x.ndim)), draw(d.axis(x.ndim))
    count = draw(choice(*range(1, x.ndim + 1)))
    source, destination = (tuple(draw(st.permutations(range(x.ndim)))[:count]) for _ in range(2))
    return x, source, destination


@samples
def several(draw, number=3):
    return tuple(draw(d.arrays(shape)) for shape in draw(d.broadcastable_shapes(number)))


@samples
def splits(draw):
    x = draw(d.arrays(d.shapes(1)))
    dim = draw(d.axis(x.ndim))
    size = x.shape[dim]
    if draw(choice(False, True)):
        return (x, draw(choice(1, 2, 3))), {"dim": dim}
    first = draw(choice(*range(size + 1)))
    return (x, [first, size - first]), {"dim": dim}


def split_reference(x, sections, dim=0):
    size = x.shape[dim]
    if isinstance(sections, int):
        starts = range(0, max(size, 1), sections)
        return tuple(np.take(x, range(i, min(i + sections, size)), dim) for i in starts)
    first = sections[0]
    return np.take(x, range(first), dim), np.take(x, range(first, size), dim)


@samples
def chunks(draw):
    x = draw(d.arrays(d.shapes(1)))
    return (x, draw(choice(1, 2, 3, 7))), {"dim": draw(d.axis(x.ndim))}


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
        layouts=False,  # whether it can be read in place is about layout
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
        each(d.arrays(d.shapes(max_dims=2))),
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
