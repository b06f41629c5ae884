"""Properties that a module declares: permutation equivariance, causality, deafness to padding."""

import numpy as np

from minidl.testing.checks.compare import compare, output_names
from minidl.testing.checks.module_case import EXACT, Case, results_of
from minidl.testing.compare import to_numpy
from minidl.testing.errors import SetupError


def permutation_equivariance(case: Case, inputs: tuple) -> None:
    """f(x in another order) = f(x) in that order."""
    dim = case.permutation_equivariant
    if dim is None or inputs[0].shape[dim] < 2:
        return
    case.shown.add("permutation_equivariant")
    x, *others = inputs
    module = case.module().double().eval()
    one_on = np.roll(np.arange(x.shape[dim]), 1)
    two_swapped = np.arange(x.shape[dim])
    two_swapped[:2] = two_swapped[:2][::-1]
    for order in (one_on, two_swapped):  # any order is made of these two
        moved = case.tensor(np.take(to_numpy(x), order, dim))
        expected = [np.take(y, order, dim) for y in results_of(module, inputs)]
        got = results_of(module, (moved, *others))
        for name, a, b in zip(output_names(got), got, expected, strict=True):
            what = f"it is not permutation equivariant along dimension {dim}"
            compare(a, b, what, name, ("of permuted input", "permuted result"), **EXACT)


def causality(case: Case, inputs: tuple) -> None:
    """Results up to a position do not change with later positions of the first input."""
    x, *others = inputs
    dim = case.causal
    if dim is None or x.shape[dim] < 2:
        return
    dim %= x.ndim
    module = case.module().double().eval()
    before = results_of(module, inputs)
    for last in range(x.shape[dim] - 1):
        later = np.arange(x.shape[dim]) > last
        changed = _changed(to_numpy(x), later, dim)
        after = results_of(module, (case.tensor(changed), *others))
        for name, a, b in zip(output_names(after), after, before, strict=True):
            if a.shape[: dim + 1] != tuple(x.shape[: dim + 1]):
                continue  # it has no positions, as the last state of an RNN
            if (changed != to_numpy(x)).any():
                case.shown.add("causal")
            compare(
                np.take(a, range(last + 1), dim),
                np.take(b, range(last + 1), dim),
                f"it is not causal along dimension {dim}: a result at a position up to {last} "
                "changes with later positions of the input",
                name,
                ("later positions changed", "before"),
                **EXACT,
            )


def padding(case: Case, inputs: tuple) -> None:
    """Results do not depend on what stands in the padding."""
    if case.ignores_padding is None:
        return
    x, *others = inputs
    at = np.asarray(to_numpy(case.ignores_padding(*inputs)), bool)
    if at.shape != tuple(x.shape)[: at.ndim]:
        raise SetupError(
            f"ignores_padding gave booleans of shape {at.shape}: expected the first dimensions of "
            f"the first input {tuple(x.shape)}"
        )
    module = case.module().double().eval()
    before = results_of(module, inputs)
    array = to_numpy(x)
    at_all = at.reshape(at.shape + (1,) * (array.ndim - at.ndim))
    changed = np.where(at_all, _other(array), array)
    if (changed != array).any():
        case.shown.add("ignores_padding")
    after = results_of(module, (case.tensor(changed.astype(array.dtype)), *others))
    for name, a, b in zip(output_names(after), after, before, strict=True):
        if a.shape[: at.ndim] == at.shape:
            a, b = a[~at], b[~at]
        what = "a result changes with what stands in the padding"
        compare(a, b, what, name, ("padding changed", "before"), **EXACT)


def _changed(array, where, dim):
    """Other values of the same domain at the marked positions of a dimension."""
    shape = [1] * array.ndim
    shape[dim] = -1
    return np.where(where.reshape(shape), _other(array), array).astype(array.dtype)


def _other(array):
    """Of integers, such as tokens, the next one of those up to the largest."""
    if array.dtype.kind == "f":
        values = np.random.default_rng(0).permutation(array.ravel()).reshape(array.shape)
        return values * -0.9 + 0.1
    low, high = int(array.min()), int(array.max())
    return (low + (array.astype(np.int64) - low + 1) % (high - low + 1)).astype(array.dtype)
