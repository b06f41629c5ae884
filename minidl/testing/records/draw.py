"""How the records draw the calls of their op."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minidl.testing.records.record import Sample


def samples(build: Callable) -> Callable[..., st.SearchStrategy[Sample]]:
    """Makes `build(draw, ...)`, which returns a call's arguments or (arguments, keywords), a
    strategy of samples with the parameters `...`."""

    @st.composite
    @functools.wraps(build)
    def sample(draw, *parameters, **options):
        built = build(draw, *parameters, **options)
        args, kwargs = built if isinstance(built[-1], dict) else (built, {})
        # NumPy turns 0-d arrays into numbers when it computes with them.
        return Sample(
            tuple(np.asarray(a) if isinstance(a, np.generic) else a for a in args), kwargs
        )

    return sample


@samples
def each(draw, *strategies: st.SearchStrategy):
    """Calls with one argument from each strategy."""
    return tuple(draw(strategy) for strategy in strategies)


def choice(*values: Any) -> st.SearchStrategy:
    return st.sampled_from(values)
