"""Hypothesis strategies for arrays and tensors.

Hypothesis chooses shapes and a seed; the numbers come from a generator with that seed. So they stay
generic while hypothesis makes a failing call smaller, and large arrays are drawn as fast as small
ones. The first numbers that hypothesis turns to have few digits: 0.5, -1.25.
"""

import numpy as np
from hypothesis import strategies as st

import minidl
from minidl import Tensor
from minidl.testing.strategies.domains import ANY, Domain
from minidl.testing.strategies.layouts import relaid
from minidl.testing.strategies.shapes import Shape, shapes

OneOrMany = Shape | int | st.SearchStrategy[Shape] | None


@st.composite
def arrays(
    draw,
    shape: OneOrMany = None,
    domain: Domain = ANY,
    *,
    dtype: object = np.float64,
    layout: str | st.SearchStrategy[str] = "contiguous",
):
    """NumPy arrays of floats from a domain, of `dtype`.

    @given(x=arrays((2, 3)), y=arrays(shapes(max_dims=2), POSITIVE, dtype=np.float32))
    def test(x, y):

    shape: a shape, a length, or a strategy of them; `shapes()` if None.
    layout: a memory layout or a strategy of them (`layouts(ndim)`).
    """
    shape = _shape(draw, shapes() if shape is None else shape)
    long = draw(st.booleans())
    array = domain.array(_rng(draw), shape, short=not long).astype(dtype)
    return relaid(array, _drawn(draw, layout))


@st.composite
def integer_arrays(draw, shape: OneOrMany, low: int, high: int):
    """int64 arrays of numbers from `low` to `high` - 1.

    @given(labels=integer_arrays((8,), 0, 10))
    def test(labels):
    """
    shape = _shape(draw, shape)
    if high <= low and 0 not in shape:
        raise ValueError(
            f"integer_arrays: there is no number from low={low} to high - 1 = {high - 1}: high is "
            "one more than the largest number"
        )
    return np.asarray(_rng(draw).integers(low, max(high, low + 1), shape))


@st.composite
def masks(draw, shape: OneOrMany):
    """Arrays of booleans.

    @given(mask=masks((2, 3)))
    def test(mask):
    """
    return np.asarray(_rng(draw).random(_shape(draw, shape)) < 0.5)


@st.composite
def tensors(
    draw,
    shape: OneOrMany = None,
    domain: Domain = ANY,
    *,
    dtype: object = minidl.float64,
    requires_grad: bool = False,
    layout: str | st.SearchStrategy[str] = "contiguous",
    device: str = "cpu",
):
    """Tensors of floats: as `arrays`, with a device, and leaves of a graph with `requires_grad`.

    @given(x=tensors(shapes(min_dims=1), requires_grad=True))
    def test(x):
        gradcheck(my_op, (x,))
    """
    array = draw(arrays(shape, domain, dtype=minidl.dtypes.to_numpy(dtype), layout=layout))
    t: Tensor = minidl.from_numpy(array).to(device)
    return t.requires_grad_(requires_grad)


def _rng(draw) -> np.random.Generator:
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1)))


def _shape(draw, value) -> Shape:
    """A shape, from a shape or a length or a strategy of them."""
    shape = _drawn(draw, value)
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if not all(isinstance(n, int | np.integer) and n >= 0 for n in shape):
        raise ValueError(f"a shape holds lengths, integers that are not negative, got {shape}")
    return shape


def _drawn(draw, value):
    return draw(value) if isinstance(value, st.SearchStrategy) else value
