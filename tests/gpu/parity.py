"""CUDA kernels held to their definitions, on the CPU.

`check` runs an op on the shim, where its kernel runs in three orders of threads, and compares with
the definition in float64 on the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from unittest import mock

import numpy as np
from hypothesis import strategies as st

import minidl
from minidl import kernels
from minidl.tape import wrap
from minidl.testing import standin
from tests.gpu import shim
from tests.parity import close, kernels_used

# (relative to the largest number, absolute) for the types that kernels store
TOLERANCES = {"float32": (1e-5, 1e-6), "float64": (1e-12, 1e-13), "float16": (3e-3, 3e-3)}


@contextmanager
def on_shim(**options):
    """The device, with kernels for arrays of any size."""
    with shim.device(**options) as device, mock.patch.object(kernels, "LARGE", 0):
        yield device


def check(
    function: Callable,
    *arrays: np.ndarray,
    kernel: str,
    types: Sequence[str] = ("float32", "float64"),
    tolerances: dict[str, tuple[float, float]] = TOLERANCES,
    layout: str = "rows",
    seed: int = 0,
    on: Callable = on_shim,
    array: Callable = standin.ndarray,
) -> None:
    """Values and gradients of function(*tensors), under random cotangents, in each of `types`.

    arrays: those of floats require gradients. kernel: the op whose kernel must have run.
    layout: how they lie in memory, one of LAYOUTS. on: the device, as a context. array: makes an
    array there of NumPy's.
    """
    for kind in types:
        given = [laid(a, kind, layout) for a in arrays]
        with on(), kernels_used() as used:
            values, gradients = run(function, given, kind, seed, array)
        assert kernel in used, f"{kernel} ran from its definition; kernels that ran: {used}"
        with kernels.disabled(), np.errstate(invalid="ignore"):  # sums of inf and -inf
            exact, exact_gradients = run(
                function, [laid(a, "float64", "rows") for a in given], kind, seed, np.asarray
            )
        for a, b in zip(values + gradients, exact + exact_gradients, strict=True):
            close(a.astype(np.float64), b, *tolerances[kind])


def check_function(call: Callable, x: np.ndarray, array: Callable = standin.ndarray) -> None:
    """call(array) -> array: there, as on the CPU from definitions."""
    got = minidl.testing.to_numpy(wrap(call(array(x.copy()))))
    with kernels.disabled():
        expected = call(x.copy())
    assert got.dtype == expected.dtype
    if expected.dtype.kind == "u":
        np.testing.assert_array_equal(got, expected)
    else:
        close(got, expected, *TOLERANCES[expected.dtype.name])


def run(
    function: Callable, arrays: list, kind: str, seed: int, array: Callable
) -> tuple[list, list]:
    """The outputs, and the gradients of the float inputs under cotangents drawn in type `kind`."""
    tensors = [wrap(array(a)) for a in arrays]
    leaves = [t.requires_grad_() for t in tensors if t.is_floating_point()]
    out = function(*tensors)
    outs = list(out) if isinstance(out, tuple) else [out]
    values = [minidl.testing.to_numpy(o) for o in outs]
    outs = [o for o in outs if o.requires_grad]
    draw = np.random.default_rng(seed).standard_normal
    cotangents = [draw(o.shape).astype(kind).astype(str(o.dtype)[7:]) for o in outs]
    given = [wrap(array(c)) for c in cotangents]
    gradients = minidl.autograd.grad(outs, leaves, given, allow_unused=True)
    assert all(g is None or g.dtype == x.dtype for g, x in zip(gradients, leaves, strict=True))
    return values, [minidl.testing.to_numpy(g) for g in gradients if g is not None]


LAYOUTS = ("rows", "columns", "gaps", "reversed")


def laid(array: np.ndarray, kind: str, layout: str) -> np.ndarray:
    """A copy in another type, lying in memory in one of four ways; integers keep their type."""
    array = array.astype(kind if array.dtype.kind == "f" else array.dtype, order="C")
    if array.ndim and layout == "columns":
        return np.asfortranarray(array)
    if array.ndim and layout == "gaps":
        return np.repeat(array, 2, axis=-1)[..., ::2]
    if array.ndim and layout == "reversed":
        return array[..., ::-1].copy()[..., ::-1]
    return array


layouts = st.sampled_from(LAYOUTS)
SIDES = (1, 2, 3, 5, 8, 31, 33, 100, 257)
SPECIAL = (np.nan, np.inf, -np.inf)


@st.composite
def arrays(
    draw: Callable,
    *,
    min_dims: int = 0,
    max_dims: int = 3,
    max_size: int = 1500,
    special: Sequence[float] = SPECIAL,
    empty: bool = False,
    scale: float = 3.0,
) -> np.ndarray:
    """Float64 arrays of odd sizes, with up to three special numbers in some of them."""
    sides, shape = st.sampled_from(SIDES + ((0,) if empty else ())), []
    for _ in range(draw(st.integers(min_dims, max_dims))):
        shape.append(min(draw(sides), max(max_size // max(math.prod(shape), 1), 1)))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    array = scale * random.standard_normal(shape)
    if special and array.size and draw(st.booleans()):
        for value in draw(st.lists(st.sampled_from(special), max_size=3)):
            array.flat[random.integers(array.size)] = value
    return np.asarray(array)
