"""How an array lies in memory."""

from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st


def _reversed(a: np.ndarray) -> np.ndarray:
    return np.flip(np.array(np.flip(a)))


def _strided(a: np.ndarray) -> np.ndarray:
    """Every second element of the memory, along every dimension."""
    memory = _unused([2 * n for n in a.shape], a.dtype)
    part = memory[(slice(None, None, 2),) * a.ndim]
    part[...] = a
    return part


def _inside(a: np.ndarray) -> np.ndarray:
    memory = _unused([n + 2 for n in a.shape], a.dtype)
    part = memory[(slice(1, -1),) * a.ndim]
    part[...] = a
    return part


def _broadcast(a: np.ndarray) -> np.ndarray:
    """The first element along the first dimension, again and again: stride 0, read-only."""
    return np.broadcast_to(np.array(a[:1]), a.shape)


def _channels_last(a: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.array(np.moveaxis(a, -3, -1), order="C"), -1, -3)


def _unused(shape: list[int], dtype: np.dtype) -> np.ndarray:
    """Memory around an array: whoever reads it by mistake gets NaN, or a large integer."""
    return np.full(shape, np.nan if dtype.kind == "f" else dtype.type(101), dtype)


# How each is made, and from how many dimensions on it differs from the one before it.
LAYOUTS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], int]] = {
    "contiguous": (lambda a: np.array(a, order="C"), 0),
    "column-major": (lambda a: np.array(a, order="F"), 2),
    "strided": (_strided, 1),
    "reversed": (_reversed, 1),
    "inside": (_inside, 1),
    "broadcast": (_broadcast, 1),
    "channels-last": (_channels_last, 3),
}


def layouts(ndim: int = 4) -> st.SearchStrategy[str]:
    """Names of the memory layouts that arrays of `ndim` dimensions can have.

    contiguous; column-major; strided (every second element of the memory in every dimension);
    reversed (negative strides); inside (part of a larger array); broadcast (stride 0: the first
    element along the first dimension is repeated, so the numbers are others); channels-last.

    @given(x=arrays((2, 3)), layout=layouts(2))
    def test(x, layout):
        x = relaid(x, layout)
        np.testing.assert_array_equal(f(x), f(x.copy()))
    """
    return st.sampled_from([name for name, (_, least) in LAYOUTS.items() if ndim >= least])


def relaid(array: np.ndarray, layout: str) -> np.ndarray:
    """The same numbers on new memory of the given layout; only "broadcast" gives other numbers.

    Raises ValueError for a layout that does not exist, or not with so few dimensions.
    """
    make, least = LAYOUTS.get(layout, (None, 0))
    if make is None:
        raise ValueError(f"relaid: layout is one of {', '.join(LAYOUTS)}, got {layout!r}")
    if array.ndim < least:
        raise ValueError(f"relaid: {layout} needs {least} dimensions or more, got {array.shape}")
    return make(array)
