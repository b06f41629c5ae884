"""Records of `minidl/ops/rearrange.py`, `memory.py`, and of the ops that replace a part."""

from dataclasses import replace

import numpy as np

from minidl import ops
from minidl.errors import DTypeError, GraphError, ShapeError
from minidl.ops.rearrange import unfold
from minidl.testing import strategies as d
from minidl.testing.records import shape as views
from minidl.testing.records.draw import choice, each, samples
from minidl.testing.records.record import OpRecord, case, zeros
from minidl.testing.records.shape import ALL, diagonals, expand_reference, shaping, with_axes


@samples
def broadcasts(draw):
    small, whole = draw(d.broadcastable_shapes())
    return draw(d.arrays(small)), np.broadcast_shapes(small, whole)


@samples
def selects(draw):
    x = draw(d.arrays(d.shapes(1, empty=False)))
    dim = draw(d.axis(x.ndim))
    return x, dim, draw(choice(*range(-x.shape[dim], x.shape[dim])))


@samples
def windows(draw):
    x = draw(d.arrays(d.shapes(0, 3)))
    dim = draw(d.axis(x.ndim))
    sizes = range(x.shape[dim] + 1) if x.ndim else [1]
    return x, dim, draw(choice(*sizes)), draw(choice(1, 2, 3))


def windows_reference(x, dimension, size, step):
    if not x.ndim:  # a vector of one element has one window
        return x.reshape(1)[:size]
    starts = range(0, x.shape[dimension] - size + 1, step)
    found = [np.take(x, range(at, at + size), dimension) for at in starts]
    return np.stack([np.moveaxis(window, dimension, -1) for window in found], dimension % x.ndim)


@samples
def tiles(draw):
    x = draw(d.arrays())
    count = draw(choice(*range(x.ndim + 2)))
    return x, tuple(draw(choice(0, 1, 2, 3)) for _ in range(count))


@samples
def interleaves(draw):
    x = draw(d.arrays())
    dim = draw(choice(None, draw(d.axis(x.ndim))))
    n = x.size if dim is None else x.shape[dim] if x.ndim else 1
    times = draw(choice(2, 0, draw(d.integer_arrays((n,), 0, 4))))
    return (x, times), {"dim": dim}


def interleave_reference(x, repeats, dim=None):
    return np.repeat(x if x.ndim else x.reshape(1), repeats, dim)


@samples
def turns(draw):
    x = draw(d.arrays(d.shapes(2)))
    a = draw(d.axis(x.ndim))
    b = draw(d.axis(x.ndim).filter(lambda b: (b - a) % x.ndim))
    return x, draw(choice(-1, 0, 1, 2, 3, 5)), (a, b)


@samples
def embeddings(draw):
    x = draw(d.arrays(d.shapes(1, empty=False)))
    a = draw(d.axis(x.ndim + 1))
    b = draw(d.axis(x.ndim + 1).filter(lambda b: (b - a) % (x.ndim + 1)))
    return x, draw(choice(-2, -1, 0, 1)), a, b


def embedding_reference(x, offset=0, dim1=-2, dim2=-1):
    rows = x.reshape(-1, x.shape[-1])
    side = x.shape[-1] + abs(offset)
    flat = np.array([np.diag(row, offset) for row in rows]).reshape(*x.shape[:-1], side, side)
    ndim = flat.ndim
    return np.moveaxis(flat, (-2, -1), (dim1 % ndim, dim2 % ndim))


@samples
def diags(draw):
    x = draw(d.arrays(d.shapes(1, 2, empty=False)))
    reach = min(x.shape)
    return x, draw(choice(*range(-reach + 1, reach)))


@samples
def flat_diags(draw):
    return draw(d.arrays(d.shapes(empty=False))), draw(choice(-1, 0, 2))


@samples
def strided(draw):
    """A call whose places lie inside a contiguous x."""
    x = draw(d.arrays(d.shapes(1, empty=False)))
    size = draw(d.shapes(max_dims=2, max_side=2))
    stride = tuple(draw(choice(0, 1, 2)) for _ in size)
    reach = sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if reach >= x.size or 0 in size:
        size, stride, reach = (), (), 0
    return x, size, stride, draw(choice(*range(x.size - reach)))


def places(size, stride, start):
    grid = np.full(size, start)
    for place in np.ndindex(*size):
        grid[place] += sum(i * step for i, step in zip(place, stride, strict=True))
    return grid


def strided_reference(x, size, stride, start):
    return x.ravel()[places(size, stride, start)]


@samples
def strided_scatters(draw):
    """Each place written once."""
    x = draw(d.arrays(d.shapes(1, empty=False)))
    n = draw(choice(*range(1, x.size + 1)))
    step = draw(choice(*range(1, max((x.size - 1) // max(n - 1, 1), 1) + 1)))
    start = draw(choice(*range(x.size - (n - 1) * step)))
    return x, draw(d.arrays((n,))), (n,), (step,), start


def strided_scatter_reference(x, src, size, stride, start):
    x = x.copy()
    x.reshape(-1)[places(size, stride, start)] = src
    return x


@samples
def selected(draw):
    x = draw(d.arrays(d.shapes(1, empty=False)))
    dim = draw(d.axis(x.ndim))
    index = draw(choice(*range(-x.shape[dim], x.shape[dim])))
    return x, draw(d.arrays(np.take(x, index, dim).shape)), dim, index


def select_scatter_reference(x, src, dim, index):
    x = x.copy()
    np.moveaxis(x, dim, 0)[index] = src
    return x


@samples
def sliced(draw):
    x = draw(d.arrays(d.shapes(1)))
    dim = draw(d.axis(x.ndim))
    part = draw(choice((None, None, 1), (1, None, 1), (0, -1, 2), (-2, 9, 1)))
    shape = np.moveaxis(x, dim, 0)[slice(*part)].shape
    src = np.moveaxis(draw(d.arrays(shape)), 0, dim)
    return x, np.ascontiguousarray(src), dim, *part


def slice_scatter_reference(x, src, dim, *part):
    x = x.copy()
    np.moveaxis(x, dim, 0)[slice(*part)] = np.moveaxis(src, dim, 0)
    return x


@samples
def on_diagonals(draw):
    sample = draw(diagonals())
    x, places = sample.args[0], diagonal_places(sample.args[0], **sample.kwargs)
    return (x, draw(d.arrays(places.shape))), sample.kwargs


def diagonal_places(x, offset, dim1, dim2):
    return np.diagonal(np.arange(x.size).reshape(x.shape), offset, dim1, dim2)


def diagonal_scatter_reference(x, src, offset, dim1, dim2):
    flat = x.flatten()
    flat[diagonal_places(x, offset, dim1, dim2)] = src
    return flat.reshape(x.shape)


def copied(name):
    """The record of `name` for `name_copy`."""
    record = next(r for r in [*RECORDS, *views.RECORDS] if r.name == name)
    name = f"{name}_copy"
    return replace(record, name=name, function=getattr(ops, name), errors=())


RECORDS = [
    shaping(
        "broadcast_to",
        expand_reference,
        broadcasts(),
        case(lambda t: ops.broadcast_to(zeros(t, 2), (3,)), ShapeError, "(2,)", "(3,)"),
    ),
    shaping("ravel", np.ravel, each(d.arrays())),
    shaping(
        "swapaxes",
        lambda x, a, b: np.swapaxes(x, a, b) if x.ndim else x,
        with_axes(2),
        case(lambda t: ops.swapaxes(zeros(t, 2), 0, 1), IndexError, "dimension 1"),
    ),
    shaping("swapdims", lambda x, a, b: np.swapaxes(x, a, b) if x.ndim else x, with_axes(2)),
    shaping("moveaxis", lambda x, a, b: np.moveaxis(x, a, b), views.movedims()),
    shaping(
        "adjoint",
        lambda x: np.swapaxes(x, -2, -1),
        each(d.arrays(d.shapes(2))),
        case(lambda t: ops.adjoint(zeros(t, 2)), ShapeError, "adjoint", "(2,)"),
    ),
    shaping(
        "select",
        lambda x, dim, index: np.take(x, index, dim),
        selects(),
        case(lambda t: ops.select(zeros(t, 2, 3), 1, 3), IndexError, "select", "3", "size 3"),
        case(lambda t: ops.select(zeros(t), 0, 0), IndexError, "select", "0-d"),
    ),
    OpRecord(
        "windows",
        unfold,
        windows(),
        windows_reference,
        dtypes=ALL,
        errors=(
            case(lambda t: zeros(t, 3).unfold(0, 4, 1), ShapeError, "unfold", "size 4", "size 3"),
            case(lambda t: zeros(t, 3).unfold(0, 2, 0), ShapeError, "unfold", "step 0"),
        ),
    ),
    shaping(
        "tile",
        lambda x, dims: np.tile(x, dims) if dims else x,
        tiles(),
    ),
    shaping(
        "repeat_interleave",
        interleave_reference,
        interleaves(),
        case(
            lambda t: ops.repeat_interleave(zeros(t, 3), t([1, 2])),
            ShapeError,
            "repeat_interleave",
            "(2,)",
        ),
        case(lambda t: ops.repeat_interleave(zeros(t, 1), -1), ValueError, "negative"),
        case(lambda t: ops.repeat_interleave(zeros(t, 1), 0.5), DTypeError, "integers"),
    ),
    shaping(
        "fliplr",
        np.fliplr,
        each(d.arrays(d.shapes(2))),
        case(lambda t: ops.fliplr(zeros(t, 2)), IndexError, "dimension 1"),
    ),
    shaping("flipud", np.flipud, each(d.arrays(d.shapes(1)))),
    shaping(
        "rot90",
        lambda x, k=1, dims=(0, 1): np.rot90(x, k, dims),
        turns(),
        case(lambda t: ops.rot90(zeros(t, 2, 2), 1, (0, 0)), ShapeError, "rot90", "(0, 0)"),
    ),
    shaping(
        "diag_embed",
        embedding_reference,
        embeddings(),
        case(lambda t: ops.diag_embed(zeros(t, 2), 0, 1, -1), ShapeError, "diag_embed", "1", "-1"),
    ),
    shaping(
        "diag",
        lambda x, diagonal=0: np.diag(x, diagonal),
        diags(),
        case(lambda t: ops.diag(zeros(t, 2, 2, 2)), ShapeError, "diag", "(2, 2, 2)"),
    ),
    shaping("diagflat", lambda x, offset=0: np.diagflat(x, offset), flat_diags()),
    OpRecord("strided", ops.as_strided, strided(), strided_reference, dtypes=ALL, layouts=False),
    shaping(
        "as_strided",
        strided_reference,
        strided(),
        case(lambda t: ops.as_strided(zeros(t, 3), (4,), (1,)), ShapeError, "element 3", "holds 3"),
        case(lambda t: ops.as_strided(zeros(t, 3), (2,), ()), ShapeError, "as many strides"),
        case(
            lambda t: ops.as_strided(zeros(t, 3).requires_grad_() * 2, (2,), (1,)).mul_(2),
            GraphError,
            "mul_",
        ),
        layouts=False,
    ),
    shaping(
        "as_strided_scatter",
        strided_scatter_reference,
        strided_scatters(),
        case(
            lambda t: ops.as_strided_scatter(zeros(t, 3), zeros(t, 1), (2,), (1,)),
            ShapeError,
            "as_strided_scatter",
            "(2,)",
            "(1,)",
        ),
    ),
    shaping(
        "select_scatter",
        select_scatter_reference,
        selected(),
        case(
            lambda t: ops.select_scatter(zeros(t, 2, 3), zeros(t, 2), 0, 0),
            ShapeError,
            "select_scatter",
            "(3,)",
            "(2,)",
        ),
    ),
    shaping(
        "slice_scatter",
        slice_scatter_reference,
        sliced(),
        case(
            lambda t: ops.slice_scatter(zeros(t, 3), zeros(t, 3), 0, 1),
            ShapeError,
            "slice_scatter",
            "(2,)",
            "(3,)",
        ),
    ),
    shaping(
        "diagonal_scatter",
        diagonal_scatter_reference,
        on_diagonals(),
        case(
            lambda t: ops.diagonal_scatter(zeros(t, 2, 2), zeros(t, 1)),
            ShapeError,
            "diagonal_scatter",
            "(2,)",
        ),
    ),
    shaping("alias_copy", lambda x: x, each(d.arrays())),
]
RECORDS += [copied(name) for name in ("as_strided", "t", "unbind", "view")]
RECORDS.append(
    OpRecord("unfold_copy", ops.unfold_copy, windows(), windows_reference, dtypes=ALL),
)
