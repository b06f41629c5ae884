"""Records of `minidl/ops/joins.py`."""

import itertools

import numpy as np
import scipy.linalg

from minidl import ops
from minidl.errors import ShapeError
from minidl.testing import strategies as d
from minidl.testing.records.arrange import cat_reference, cats
from minidl.testing.records.draw import choice, samples
from minidl.testing.records.record import case, zeros
from minidl.testing.records.shape import chunks, shaping, split_reference, splits


@samples
def any_shapes(draw, least=1, most=3, max_dims=4):
    """Some tensors, each an argument."""
    shape = d.shapes(max_dims=max_dims, empty=False)
    return tuple(draw(d.arrays(shape)) for _ in range(draw(choice(*range(least, most + 1)))))


def at_least(ndim):
    function = getattr(np, f"atleast_{ndim}d")

    def reference(*arrays):
        found = function(*arrays)
        return tuple(found) if len(arrays) > 1 else found

    return reference


def to_join(axis, min_dims, free=lambda shape: False):
    """Lists of tensors whose shapes agree, but for the size along `axis`."""

    @samples
    def lists(draw):
        shape = draw(d.shapes(min_dims, empty=False))
        place = axis if len(shape) > axis else 0
        tensors = []
        for _ in range(draw(choice(1, 2, 3))):
            own = list(shape)
            if own and (len(own) > axis or free(own)):
                own[place] = draw(choice(1, 2, 3))
            tensors.append(draw(d.arrays(own)))
        return (tensors,)

    return lists()


@samples
def blocks(draw):
    return tuple(draw(d.arrays(d.shapes(max_dims=2))) for _ in range(draw(choice(1, 2, 3))))


@samples
def vectors(draw, least=1):
    return tuple(draw(d.arrays(d.shapes(1, 1))) for _ in range(draw(choice(*range(least, 4)))))


@samples
def grids(draw):
    several = draw(vectors()).args
    return several, {"indexing": draw(choice("ij", "xy"))}


def grid_reference(*arrays, indexing="ij"):
    return tuple(np.meshgrid(*arrays, indexing=indexing))


def product_reference(*arrays):
    if len(arrays) == 1:
        return arrays[0]
    return np.array(list(itertools.product(*arrays))).reshape(-1, len(arrays))


@samples
def choices(draw):
    x = draw(d.arrays(d.shapes(1, 1)))
    return x, draw(choice(1, 2, 3)), draw(choice(False, True))


def choices_reference(x, r=2, with_replacement=False):
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    return np.array(list(choose(x, r))).reshape(-1, r)


@samples
def sized_splits(draw):
    x = draw(d.arrays(d.shapes(1)))
    dim = draw(d.axis(x.ndim))
    first = draw(choice(*range(x.shape[dim] + 1)))
    return (x, [first, x.shape[dim] - first]), {"dim": dim}


@samples
def cuts(draw):
    x = draw(d.arrays(d.shapes(1)))
    where = draw(choice(1, 2, 3, 5, [1], [2, 1], [-1, 7], []))
    return (x, where), {"dim": draw(d.axis(x.ndim))}


def cuts_reference(x, where, dim=0):
    return tuple(np.array_split(x, where, dim))


@samples
def even_cuts(draw, axis, min_dims):
    x = draw(d.arrays(d.shapes(min_dims, empty=False)))
    n = x.shape[axis if x.ndim > axis else 0]
    return x, draw(choice(*[k for k in range(1, n + 1) if n % k == 0], [1], [1, -1]))


RECORDS = [
    *[shaping(f"atleast_{n}d", at_least(n), any_shapes()) for n in (1, 2, 3)],
    shaping("concat", cat_reference, cats()),
    shaping("concatenate", cat_reference, cats()),
    shaping(
        "hstack",
        np.hstack,
        to_join(1, 0, lambda shape: True),
        case(
            lambda t: ops.hstack([zeros(t, 2, 2), zeros(t, 3, 2)]), ShapeError, "(2, 2)", "(3, 2)"
        ),
        case(lambda t: ops.hstack(zeros(t, 2)), TypeError, "list or tuple"),
    ),
    shaping(
        "vstack",
        np.vstack,
        to_join(0, 0).filter(lambda sample: all(x.ndim != 1 for x in sample.args[0])),
        case(lambda t: ops.vstack([zeros(t, 2), zeros(t, 3)]), ShapeError, "(1, 2)", "(1, 3)"),
    ),
    shaping("row_stack", np.vstack, to_join(0, 2)),
    shaping(
        "dstack",
        np.dstack,
        to_join(2, 0),
        case(lambda t: ops.dstack([zeros(t, 2), zeros(t, 3)]), ShapeError, "(1, 2, 1)"),
    ),
    shaping(
        "column_stack",
        np.column_stack,
        to_join(1, 1),
        case(lambda t: ops.column_stack([zeros(t, 2), zeros(t, 3)]), ShapeError, "(2, 1)"),
    ),
    shaping(
        "block_diag",
        lambda *blocks: scipy.linalg.block_diag(*blocks),
        blocks(),
        case(lambda t: ops.block_diag(zeros(t, 2, 2, 2)), ShapeError, "block_diag", "(2, 2, 2)"),
    ),
    shaping(
        "meshgrid",
        grid_reference,
        grids(),
        case(lambda t: ops.meshgrid(zeros(t, 2), indexing="ji"), ValueError, "meshgrid", "'ji'"),
        case(lambda t: ops.meshgrid(zeros(t, 2, 2)), ShapeError, "meshgrid", "(2, 2)"),
    ),
    shaping("cartesian_prod", product_reference, vectors()),
    shaping(
        "combinations",
        choices_reference,
        choices(),
        case(lambda t: ops.combinations(zeros(t, 2, 2)), ShapeError, "combinations", "(2, 2)"),
        case(lambda t: ops.combinations(zeros(t, 2), -1), ValueError, "combinations", "-1"),
    ),
    shaping("split_with_sizes", split_reference, sized_splits()),
    shaping("split_with_sizes_copy", split_reference, sized_splits()),
    shaping("unsafe_split", split_reference, splits()),
    shaping(
        "unsafe_chunk",
        lambda x, chunks, dim=0: split_reference(x, max(-(-x.shape[dim] // chunks), 1), dim),
        chunks(),
    ),
    shaping(
        "tensor_split",
        cuts_reference,
        cuts(),
        case(lambda t: ops.tensor_split(zeros(t, 2), 0), ValueError, "tensor_split", "0"),
        case(lambda t: ops.tensor_split(zeros(t), 1), ShapeError, "tensor_split", "0-d"),
    ),
    shaping(
        "hsplit",
        lambda x, where: tuple(np.hsplit(x, where)),
        even_cuts(1, 1),
        case(lambda t: ops.hsplit(zeros(t, 2, 3), 2), ShapeError, "hsplit", "size 3", "2 equal"),
        case(lambda t: ops.hsplit(zeros(t), 1), ShapeError, "hsplit", "()"),
    ),
    shaping(
        "vsplit",
        lambda x, where: tuple(np.vsplit(x, where)),
        even_cuts(0, 2),
        case(lambda t: ops.vsplit(zeros(t, 2), 1), ShapeError, "vsplit", "(2,)"),
    ),
    shaping(
        "dsplit",
        lambda x, where: tuple(np.dsplit(x, where)),
        even_cuts(2, 3),
        case(lambda t: ops.dsplit(zeros(t, 2, 2), 1), ShapeError, "dsplit", "(2, 2)"),
    ),
]
