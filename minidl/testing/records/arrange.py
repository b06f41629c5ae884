"""Records of the copying ops of `minidl/ops/shape.py`."""

import numpy as np

from minidl import ops
from minidl.errors import ShapeError
from minidl.testing.records import draw as d
from minidl.testing.records.record import case, zeros
from minidl.testing.records.shape import shaping


def cats():
    def build(draw):
        shape = d.shape(draw, 1)
        dim = d.axis(draw, len(shape))
        tensors = []
        for _ in range(d.one_of(draw, 1, 2, 3)):
            own = list(shape)
            own[dim] = d.one_of(draw, 1, 2, 3)
            tensors.append(d.real(draw, own))
        return (tensors,), {"dim": dim}

    return d.samples(build)


def cat_reference(tensors, dim=0):
    return np.concatenate(tensors, dim)


def stacks():
    def build(draw):
        shape = d.shape(draw)
        tensors = [d.real(draw, shape) for _ in range(d.one_of(draw, 1, 2, 3))]
        return (tensors,), {"dim": d.axis(draw, len(shape) + 1)}

    return d.samples(build)


def flips():
    def build(draw):
        x = d.real(draw, d.shape(draw))
        dims = d.axes(draw, x.ndim) if x.ndim else ()
        return x, tuple(range(x.ndim)) if dims is None else dims if isinstance(dims, tuple) else (
            dims,
        )

    return d.samples(build)


def rolls():
    def build(draw):
        x = d.real(draw, d.shape(draw, 1))
        kind = d.one_of(draw, "flat", "one", "two")
        shift = d.one_of(draw, -5, -1, 0, 1, 2)
        if kind == "flat":
            return x, shift
        if kind == "one" or x.ndim < 2:
            return x, shift, d.axis(draw, x.ndim)
        return x, (shift, 1), (0, 1)

    return d.samples(build)


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


def triangles():
    def build(draw):
        return d.real(draw, d.shape(draw, 2)), d.one_of(draw, -2, -1, 0, 1, 2)

    return d.samples(build)


def triangle_reference(lower):
    def reference(x, diagonal=0):
        i, j = np.indices(x.shape[-2:])
        return np.where(j <= i + diagonal if lower else j >= i + diagonal, x, 0.0)

    return reference


def pads():
    def build(draw):
        x = d.real(draw, d.shape(draw, 1, empty=False))
        count = d.one_of(draw, *range(1, x.ndim + 1))
        sizes = []
        for i in range(count):
            sizes += [d.one_of(draw, 0, 1, 2), d.one_of(draw, 0, 1, -(x.shape[-1 - i] // 2))]
        return (x, tuple(sizes)), {"value": d.one_of(draw, 0.0, 1.5)}

    return d.samples(build)


def pad_reference(x, pad, mode="constant", value=0.0):
    for i in range(len(pad) // 2):
        axis = x.ndim - 1 - i
        before, after = pad[2 * i], pad[2 * i + 1]
        x = np.swapaxes(x, axis, 0)
        rows = [np.full(x.shape[1:], value)] * before + list(x[: len(x) + min(after, 0)])
        rows += [np.full(x.shape[1:], value)] * max(after, 0)
        x = np.swapaxes(np.array(rows).reshape(len(rows), *x.shape[1:]), 0, axis)
    return x


def repeats():
    def build(draw):
        x = d.real(draw, d.shape(draw))
        extra = d.one_of(draw, 0, 1)
        return (x, *[d.one_of(draw, 1, 2, 3) for _ in range(x.ndim + extra)])

    return d.samples(build)


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
        "pad",
        pad_reference,
        pads(),
        case(lambda t: ops.pad(zeros(t, 2), (1,)), ShapeError, "pad", "even"),
        case(lambda t: ops.pad(zeros(t, 2), (-2, -2)), ShapeError, "pad", "(-2, -2)"),
        case(
            lambda t: ops.pad(zeros(t, 2), (1, 1), "reflect"), NotImplementedError, "pad", "reflect"
        ),
    ),
    shaping(
        "repeat",
        lambda x, *repeats: np.tile(x, repeats),
        repeats(),
        case(lambda t: ops.repeat(zeros(t, 2, 2), 2), ShapeError, "repeat", "(2, 2)"),
    ),
]
