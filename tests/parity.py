"""Kernels held to their definitions: the same call in float32 with kernels, and in float64 from
definitions, on the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

import minidl
from minidl import kernels
from minidl.testing import to_numpy

RTOL, ATOL = 1e-5, 1e-6


def check(
    function: Callable,
    *arrays: np.ndarray,
    kernel: str | None = None,
    rtol: float = RTOL,
    atol: float = ATOL,
    seed: int = 0,
) -> None:
    """Values and gradients of function(*tensors), under random cotangents.

    arrays: float arrays require gradients; they keep their memory layout in float32.
    kernel: the op whose kernel must have run.
    """
    with kernels_used() as used:
        values, gradients = run(function, [_as(a, np.float32) for a in arrays], seed)
    if kernel is not None:
        assert kernel in used, f"{kernel} ran from its definition; kernels that ran: {used}"
    with kernels.disabled():
        exact, exact_gradients = run(function, [_as(a, np.float64) for a in arrays], seed)
    for a, b in zip(values + gradients, exact + exact_gradients, strict=True):
        close(a, b, rtol, atol)


def close(actual: np.ndarray, expected: np.ndarray, rtol: float = RTOL, atol: float = ATOL) -> None:
    """max |actual - expected| <= rtol max |expected| + atol; nan and infinities in their places."""
    assert actual.shape == expected.shape
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(np.isfinite(actual), finite)
    np.testing.assert_array_equal(actual[~finite], expected[~finite])
    gap = np.abs(actual[finite] - expected[finite]).max(initial=0.0)
    allowed = rtol * np.abs(expected[finite]).max(initial=0.0) + atol
    assert gap <= allowed, f"{gap:.3g} apart, {allowed:.3g} allowed"


def run(function: Callable, arrays: list, seed: int) -> tuple[list, list]:
    """The outputs, and the gradients of the float inputs under random cotangents, as arrays."""
    tensors = [minidl.from_numpy(a) for a in arrays]
    leaves = [t.requires_grad_() for t in tensors if t.is_floating_point()]
    out = function(*tensors)
    outs = [o for o in (out if isinstance(out, tuple) else (out,)) if o.requires_grad]
    draw = np.random.default_rng(seed).standard_normal
    cotangents = [minidl.tensor(draw(o.shape), dtype=o.dtype) for o in outs]
    gradients = minidl.autograd.grad(outs, leaves, cotangents, allow_unused=True)
    assert all(g is None or g.dtype == x.dtype for g, x in zip(gradients, leaves, strict=True))
    return [to_numpy(o) for o in outs], [to_numpy(g) for g in gradients if g is not None]


def _as(array: np.ndarray, dtype: type) -> np.ndarray:
    return array.astype(dtype, order="K") if array.dtype.kind == "f" else array


@contextmanager
def kernels_used() -> Iterator[set[str]]:
    """The names of the ops for which a kernel was chosen within."""
    used, choose = set(), kernels.choose

    def noting(op, inputs, kwargs):
        kernel = choose(op, inputs, kwargs)
        if kernel is not None:
            used.add(op.name)
        return kernel

    kernels.choose = noting
    try:
        yield used
    finally:
        kernels.choose = choose


def same_bits(function: Callable, *arrays: np.ndarray) -> None:
    """On one thread and on two, with every loop cut however small: the same bits."""
    from minidl.kernels.cpu import threads

    grain, before, found = threads.GRAIN, threads.count(), []
    threads.GRAIN = 0
    try:
        for count in (1, 2):
            threads.set_count(count)
            found.append(run(function, [_as(a, np.float32) for a in arrays], 0))
    finally:
        threads.GRAIN = grain
        threads.set_count(before)
    for a, b in zip(found[0][0] + found[0][1], found[1][0] + found[1][1], strict=True):
        np.testing.assert_array_equal(a, b)


def layouts(array: np.ndarray) -> Iterator[np.ndarray]:
    """The same numbers, lying in memory in other ways."""
    yield array
    yield np.asfortranarray(array)
    yield np.repeat(array, 2, axis=-1)[..., ::2]  # gaps
    yield array[..., ::-1].copy()[..., ::-1]  # negative strides
    if array.ndim == 4:
        yield np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
