"""Records of the copying ops of `minidl/ops/shape.py`."""

import numpy as np

from minidl import ops
from minidl.errors import ShapeError
from minidl.testing import strategies as d
from minidl.testing.records.draw import choice, samples
from minidl.testing.records.record import case, zeros
from minidl.testing.records.shape import shaping


@samples
def cats(draw):
    shape = draw(d.shapes(1))
    dim = draw(d.axis(len(shape)))
    tensors = []
    for _ in range(draw(choice(1, 2, 3))):
        own = list(shape)
        own[dim] = draw(choice(1, 2, 3))
        tensors.append(draw(d.arrays(own)))
    return (tensors,), {"dim": dim}


def cat_reference(tensors, dim=0):
    return np.concatenate(tensors, dim)


@samples
def stacks(draw):
    shape = draw(d.shapes())
    tensors = [draw(d.arrays(shape)) for _ in range(draw(choice(1, 2, 3)))]
    return (tensors,), {"dim": draw(d.axis(len(shape) + 1))}


@samples
def flips(draw):
    x = draw(d.arrays())
    dims = draw(d.axes(x.ndim)) if x.ndim else ()
    return x, tuple(range(x.ndim)) if dims is None else dims if isinstance(dims, tuple) else (dims,)


@samples
def rolls(draw):
    x = draw(d.arrays(d.shapes(1)))
    kind = draw(choice("flat", "one", "two"))
    shift = draw(choice(-5, -1, 0, 1, 2))
    if kind == "flat":
        return x, shift
    if kind == "one" or x.ndim < 2:
        return x, shift, draw(d.axis(x.ndim))
    return x, (shift, 1), (0, 1)


def roll_reference(x, shifts, dims=None):
    if dims is None:
        flat = x.ravel()
        index = (np.arange(x.size) - shifts) % max(x.size, 1)
        return flat[index].reshape(x.shape)
    if isinstance(dims, int):
        shifts, dims = (shifts,), (dims,)
    for shift, dim in zip(shifts, dims, strict=True):
        size = x.shape[dim]
        x = np.take(x, (np.arange(size) - shift) % max(size, 1), dim)
    return x


@samples
def triangles(draw):
    return draw(d.arrays(d.shapes(2))), draw(choice(-2, -1, 0, 1, 2))


def triangle_reference(lower):
    def reference(x, diagonal=0):
        i, j = np.indices(x.shape[-2:])
        return np.where(j <= i + diagonal if lower else j >= i + diagonal, x, 0.0)

    return reference


@samples
def repeats(draw):
    x = draw(d.arrays())
    extra = draw(choice(0, 1))
    return (x, *[draw(choice(1, 2, 3)) for _ in range(x.ndim + extra)])


RECORDS = [
    shaping(
        "cat",
        cat_reference,
        cats(),
        case(
            lambda t: ops.cat([zeros(t, 2, 3), zeros(t, 2, 4)]),
            ShapeError,
            "cat",
            "tensor 1",
            "(2, 3)",
            "(2, 4)",
        ),
        case(lambda t: ops.cat([]), ShapeError, "cat", "at least one tensor"),
        case(lambda t: ops.cat(zeros(t, 2)), TypeError, "cat", "list or tuple"),
        case(lambda t: ops.cat([zeros(t, 2)], 1), IndexError, "cat", "dimension 1"),
    ),
    shaping(
        "stack",
        lambda tensors, dim=0: np.stack(tensors, dim),
        stacks(),
        case(lambda t: ops.stack([zeros(t, 2), zeros(t, 3)]), ShapeError, "stack", "(2,)", "(3,)"),
    ),
    shaping(
        "flip",
        lambda x, dims: np.flip(x, dims) if dims else x,
        flips(),
        case(lambda t: ops.flip(zeros(t, 2), (1,)), IndexError, "flip", "dimension 1"),
    ),
    shaping(
        "roll",
        roll_reference,
        rolls(),
        case(lambda t: ops.roll(zeros(t, 2), 1, 1), IndexError, "roll"),
    ),
    shaping(
        "tril",
        triangle_reference(True),
        triangles(),
        case(lambda t: ops.tril(zeros(t, 2)), ShapeError, "tril", "2 dimensions", "(2,)"),
    ),
    shaping(
        "triu",
        triangle_reference(False),
        triangles(),
        case(lambda t: ops.triu(zeros(t, 2)), ShapeError, "triu", "2 dimensions", "(2,)"),
    ),
    shaping(
        "repeat",
        lambda x, *repeats: np.tile(x, repeats),
        repeats(),
        case(lambda t: ops.repeat(zeros(t, 2, 2), 2), ShapeError, "repeat", "(2, 2)"),
    ),
]
