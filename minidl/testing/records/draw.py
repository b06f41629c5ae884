"""Hypothesis strategies for the arguments of ops.

Hypothesis chooses shapes, dimensions and a seed; the numbers come from a generator with that seed,
so that they stay generic while hypothesis makes a failing call smaller.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from minidl.testing.records.record import Sample


@dataclass(frozen=True)
class Domain:
    """Numbers from [low, high], at least `gap` away from every kink; `distinct`: no two close."""

    low: float = -2.0
    high: float = 2.0
    kinks: tuple[float, ...] = ()
    gap: float = 0.05
    distinct: bool = False

    def array(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        if self.distinct:
            size = int(np.prod(shape))
            steps = rng.permutation(size) + rng.uniform(-0.2, 0.2, size)
            return (self.low + (self.high - self.low) * (steps + 0.5) / max(size, 1)).reshape(shape)
        x = rng.uniform(self.low, self.high, shape)
        for kink in self.kinks:
            near = np.abs(x - kink) < self.gap
            x = np.where(near, kink + np.where(x < kink, -self.gap, self.gap) * 1.5, x)
        return np.asarray(x)


ANY = Domain()
POSITIVE = Domain(0.3, 3.0)
NOT_ZERO = Domain(kinks=(0.0,), gap=0.3)
DISTINCT = Domain(distinct=True)


def samples(build: Callable) -> st.SearchStrategy[Sample]:
    """The strategy of the calls that `build(draw)` returns: its arguments, or (args, kwargs)."""

    @st.composite
    def sample(draw):
        built = build(draw)
        args, kwargs = built if isinstance(built[-1], dict) else (built, {})
        # NumPy turns 0-d arrays into numbers when it computes with them.
        return Sample(
            tuple(np.asarray(a) if isinstance(a, np.generic) else a for a in args), kwargs
        )

    return sample()


def rng(draw) -> np.random.Generator:
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1)))


def real(draw, shape, domain: Domain = ANY) -> np.ndarray:
    return domain.array(rng(draw), tuple(shape))


def integers(draw, shape, low: int, high: int) -> np.ndarray:
    """int64 from low to high - 1."""
    return np.asarray(rng(draw).integers(low, max(high, low + 1), tuple(shape)))


def booleans(draw, shape) -> np.ndarray:
    return np.asarray(rng(draw).random(tuple(shape)) < 0.5)


def one_of(draw, *values):
    return draw(st.sampled_from(values))


def shape(draw, min_dims: int = 0, max_dims: int = 3, empty: bool = True) -> tuple[int, ...]:
    """Sides 1 to 4; now and then one of them 0, unless `empty` is False."""
    sides = draw(st.lists(st.integers(1, 4), min_size=min_dims, max_size=max_dims))
    if empty and sides and draw(st.integers(0, 9)) == 9:
        sides[draw(st.integers(0, len(sides) - 1))] = 0
    return tuple(sides)


def broadcastable(draw, number: int = 2, empty: bool = True) -> list[tuple[int, ...]]:
    """Shapes that broadcast to one common shape."""
    whole = shape(draw, 0, 3, empty)
    shapes = []
    for _ in range(number):
        start = draw(st.integers(0, len(whole)))
        ones = draw(st.lists(st.booleans(), min_size=len(whole), max_size=len(whole)))
        sides = [1 if one else n for n, one in zip(whole, ones, strict=True)]
        shapes.append(tuple(sides[start:]))
    shapes[draw(st.integers(0, number - 1))] = whole
    return shapes


def axis(draw, ndim: int) -> int:
    """A dimension, counted from the front or from the back; 0 or -1 for a 0-d tensor."""
    bound = max(ndim, 1)
    return draw(st.integers(-bound, bound - 1))


def axes(draw, ndim: int):
    """None, one dimension, or a tuple of different ones."""
    kind = one_of(draw, "none", "one", "many")
    if kind == "none":
        return None
    if kind == "one" or not ndim:
        return axis(draw, ndim)
    chosen = draw(st.lists(st.integers(0, ndim - 1), min_size=1, max_size=ndim, unique=True))
    return tuple(a - ndim if draw(st.booleans()) else a for a in chosen)
