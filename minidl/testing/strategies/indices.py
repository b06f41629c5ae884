"""Hypothesis strategies for what stands in `x[...]`."""

import numpy as np
from hypothesis import strategies as st

from minidl.testing.strategies.arrays import integer_arrays, masks
from minidl.testing.strategies.shapes import Shape, shapes


@st.composite
def basic_indices(draw, shape: Shape):
    """Ints, slices with positive steps, None and `...`: what picks a view of `shape`.

    @given(where=basic_indices((4, 3)))
    def test(where):  # (slice(1, None), -1), (None, ...), 2
    """
    parts = []
    for n in shape:
        if draw(st.integers(0, 4)) == 4:
            parts.append(None)
        kind = draw(st.sampled_from(["all", "slice", "slice", "int"]))
        if kind == "int" and n:
            parts.append(draw(st.integers(-n, n - 1)))
        elif kind == "slice":
            bound = st.one_of(st.none(), st.integers(-n - 1, n + 1))
            parts.append(slice(draw(bound), draw(bound), draw(st.sampled_from([None, 1, 2]))))
        else:
            parts.append(slice(None))
    cut = draw(st.integers(0, len(parts)))
    if draw(st.booleans()):  # the rest of the dimensions as ...
        parts = [*parts[:cut], ...]
    return tuple(parts) if len(parts) != 1 or draw(st.booleans()) else parts[0]


@st.composite
def advanced_indices(draw, shape: Shape):
    """Integer arrays that broadcast together among slices, or a mask: what picks a copy.

    `shape` has at least one dimension, and none of size 0. Positions may repeat.

    @given(where=advanced_indices((4, 3)))
    def test(where):  # (np.array([0, -1, 0]), slice(None)), np.array([True, False, True, True])
    """
    _check_dimensions(shape, "advanced_indices")
    if draw(st.sampled_from([False, False, True])):
        return draw(masks(shape[: draw(st.integers(1, len(shape)))]))
    common = draw(shapes(max_dims=2, empty=False))
    parts = []
    for n in shape:
        if not parts or draw(st.booleans()):
            own = draw(st.sampled_from([common, (1,) * len(common)]))
            parts.append(draw(integer_arrays(own, -n, n)))
        else:
            parts.append(draw(st.sampled_from([slice(None), slice(1, None)])))
    return tuple(parts)


@st.composite
def invalid_basic_indices(draw, shape: Shape):
    """Too many indices for `shape`, or an int outside of it: an IndexError.

    @given(where=invalid_basic_indices((4, 3)))
    def test(where):  # (0, 3), (slice(None), 0, 0)
        with pytest.raises(IndexError):
            minidl.zeros(4, 3)[where]
    """
    if not shape or draw(st.booleans()):
        some = st.sampled_from([slice(None), 0, -1])
        return tuple(draw(some) for _ in range(len(shape) + draw(st.integers(1, 2))))
    return _with_outside(draw, shape, lambda outside: outside)


@st.composite
def invalid_advanced_indices(draw, shape: Shape):
    """A position outside of `shape`, positions that do not broadcast, or a mask of another shape.

    `shape` has at least one dimension. An IndexError or a ShapeError.

    @given(where=invalid_advanced_indices((4, 3)))
    def test(where):  # (np.array([0, 4]),), np.array([True, False])
        with pytest.raises((IndexError, minidl.ShapeError)):
            minidl.zeros(4, 3)[where]
    """
    _check_dimensions(shape, "invalid_advanced_indices")
    kind = draw(st.sampled_from(["position", "mask", "not broadcastable"]))
    if kind == "mask":
        wrong = [*shape[:-1], shape[-1] + draw(st.integers(1, 2))]
        return draw(masks(tuple(wrong)))
    if kind == "not broadcastable" and len(shape) > 1:
        return tuple(np.zeros(n, np.int64) for n in draw(st.permutations([2, 3])))
    return _with_outside(draw, shape, lambda outside: np.array([0, outside]))


def _check_dimensions(shape, name):
    if not shape or 0 in shape:
        raise ValueError(
            f"{name}: expected a shape with at least one dimension and none of size 0, got "
            f"{tuple(shape)}: there is no position in it"
        )


def _with_outside(draw, shape, make):
    """A tuple of indices, one of them made of a position that is not there."""
    place = draw(st.integers(0, len(shape) - 1))
    n = shape[place]
    outside = draw(st.one_of(st.integers(n, n + 2), st.integers(-n - 3, -n - 1)))
    return (*[slice(None)] * place, make(outside))
