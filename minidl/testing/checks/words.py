"""What is wrong with a result, in a sentence: relations between it and the reference's.

A sentence is said only if its relation holds for the failing sample and for a second one, made by
putting the numbers of the failing one in another order.
"""

from collections.abc import Iterator

import numpy as np

from minidl.testing.checks import call
from minidl.testing.compare import to_numpy
from minidl.testing.records.record import OpRecord, Sample


def words_about_values(record: OpRecord, sample: Sample, output: int) -> str:
    """The first sentence that is true of result number `output` twice; empty if there is none."""
    try:
        probes = [sample, _reordered(sample)]
        pairs = [_both(record, probe, output) for probe in probes]
    except Exception:  # the op or its reference refuses the reordered numbers
        return ""
    said = [list(_sentences(record, *both)) for both in zip(probes, pairs, strict=True)]
    return next((sentence for sentence in said[0] if sentence in said[1]), "")


def _both(record, sample, output):
    args = call.arguments(record, sample, call.as_tensor)
    got = call.outputs(call.function_of(record, sample)(*args))[output]
    expected = record.reference(*sample.args, **sample.kwargs)
    expected = expected[output] if isinstance(expected, tuple | list) else expected
    return to_numpy(got), np.asarray(expected)


def _reordered(sample: Sample) -> Sample:
    rng = np.random.default_rng(0)

    def reorder(a):
        return rng.permutation(a.ravel()).reshape(a.shape) if a.dtype.kind == "f" else a

    return Sample(call.map_arrays(reorder, sample.args), call.map_arrays(reorder, sample.kwargs))


def _sentences(record: OpRecord, sample: Sample, both: tuple) -> Iterator[str]:
    got, expected = both
    if got.shape != expected.shape:
        yield from _about_shapes(got, expected)
        return
    different = ~np.isclose(got, expected, rtol=1e-6, atol=1e-9)
    if not np.isfinite(got).all():
        if np.isfinite(expected).all():
            yield "your result overflows or divides by zero where the right one is finite"
        return
    if not expected.size or not different.any() or got.dtype.kind != "f":
        return
    if not got.any():
        yield "your result is 0 everywhere"
    elif np.ptp(got) == 0 and np.ptp(expected) > 0:
        yield "your result is the same number everywhere"
    yield from _about_factors(got, expected, sample)
    if np.ptp(got - expected) < 1e-9:
        yield f"your result is too large by {_short((got - expected).flat[0])} everywhere"
    if got.ndim == 2 and got.shape[0] == got.shape[1] and _same(got, expected.T):
        yield "your result is transposed"
    if _same(got, _along_the_other_dimension(record, sample, expected)):
        yield "you work along the other dimension"
    if np.isfinite(1 / expected).all() and _same(got, 1 / expected):
        yield "your result is 1 divided by the right one"
    yield from _about_places(different, got)


def _about_shapes(got, expected):
    if got.size == expected.size and _same(got.ravel(), expected.ravel()):
        yield "the numbers are right, in another shape: is a keepdim missing, or one too many?"
    elif got.ndim == expected.ndim and got.shape == expected.shape[::-1]:
        yield "the shape is the right one reversed: is the result transposed?"


def _about_factors(got, expected, sample):
    if not np.abs(expected).max() > 1e-6:
        return
    at = np.abs(expected).argmax()
    factor = got.flat[at] / expected.flat[at]
    if abs(factor) < 1e-9 or not _same(got, factor * expected):
        return
    if abs(factor + 1) < 1e-9:
        yield "your result has the wrong sign"
    # 2 and 1/2 are more often constants than numbers of elements.
    sizes = {int(n) for a in _arrays(sample) for n in (*a.shape, a.size) if n > 2}
    for n in sorted(sizes, reverse=True):
        if abs(factor - n) < 1e-9 * n:
            yield "your result is n times too large, n the number of elements: a sum for a mean?"
        if abs(factor * n - 1) < 1e-9:
            yield "your result is n times too small, n the number of elements: a mean for a sum?"
    yield f"your result is {_short(factor)} times the right one"


def _along_the_other_dimension(record, sample, expected):
    """What the reference gives with dimensions swapped, for one matrix."""
    x = sample.args[0]
    if len(_arrays(sample)) != 1 or not isinstance(x, np.ndarray) or x.ndim != 2:
        return None
    other = np.asarray(record.reference(x.T, *sample.args[1:], **sample.kwargs))
    return None if other.shape != expected.T.shape else other.T


def _about_places(different, got):
    """Where the wrong elements are, if not everywhere."""
    for axis in range(got.ndim):
        n = got.shape[axis]
        others = tuple(i for i in range(got.ndim) if i != axis)
        wrong = different.any(others)
        if n > 2 and wrong[-1] and not wrong[:-1].any():
            yield f"your result is wrong only at the end of dimension {axis}"
        if n > 2 and wrong[0] and not wrong[1:].any():
            yield f"your result is wrong only at the start of dimension {axis}"


def _arrays(sample):
    found = []
    call.map_arrays(found.append, [list(sample.args), sample.kwargs])
    return found


def _same(a, b):
    return b is not None and a.shape == b.shape and np.allclose(a, b, rtol=1e-6, atol=1e-9)


def _short(x) -> str:
    return f"{float(x):.6g}"
