"""Relations between a wrong derivative and the right one that need no formula.

Each takes a `Probe` and yields the sentences that are true there, the simplest first. A sentence
holds no number that changes from point to point: one that comes out at every point is a fact about
the rule. In sentences `g` is the gradient that comes in and `out` the output.
"""

from collections.abc import Iterator
from itertools import chain, combinations, permutations

import numpy as np

from minidl.testing.probe import Probe, near

# ------------------------------------------------------------------------------------ the shape


def axes_order(p: Probe) -> Iterator[str]:
    got, want = p.pulled, p.v @ p.numeric
    if got is None or got.size != p.x.size:
        return
    for axes in permutations(range(got.ndim)):
        turned = got.transpose(axes)
        if turned.shape == p.x.shape and near(turned.ravel(), want):
            yield "the numbers are right, the axes are in another order: transpose the gradient"
    if near(got.ravel(), want):
        yield "the numbers are right, in another shape: reshape the gradient"


def unbroadcast(p: Probe) -> Iterator[str]:
    got, want = p.pulled, p.v @ p.numeric
    if got is None:
        return
    for axes in subsets(range(got.ndim)):
        if axes and near(got.sum(axes).ravel(), want):
            where = "axis " + ", ".join(map(str, axes))
            yield f"{p.name} was broadcast: sum its gradient over {where}"


def shape(p: Probe) -> Iterator[str]:
    if p.pulled is None:
        yield p.complaint
    else:
        yield f"the gradient has shape {p.pulled.shape}, {p.name} has {p.x.shape}"


# --------------------------------------------------------------------- how it uses g, at all


def ignores_g(p: Probe) -> Iterator[str]:
    if p.pulled.any() and near(p.pull(3 * p.v), p.pulled) and near(p.pull(-p.v), p.pulled):
        yield (
            f"the gradient of {p.name} does not depend on g, the gradient that comes in: "
            "multiply by it"
        )


def not_linear(p: Probe) -> Iterator[str]:
    once, zero = p.pulled, p.pull(0 * p.v)
    w = np.roll(p.v, 1) + 0.3
    if zero.any() and near(p.pull(3 * p.v) - zero, 3 * (once - zero)):
        yield f"the gradient of {p.name} has a term without g, the gradient that comes in"
    elif once.any() and near(p.pull(2 * p.v), 4 * once):
        yield f"the gradient of {p.name} has g, the gradient that comes in, twice as a factor"
    elif once.any() and near(p.pull(-p.v), once):
        yield f"the gradient of {p.name} loses the sign of g, the gradient that comes in"
    elif not near(p.pull(3 * p.v), 3 * once) or not near(p.pull(p.v + w), once + p.pull(w)):
        yield f"the gradient of {p.name} is not linear in g, the gradient that comes in"


# --------------------------------------------------------------------------- all of it is off


def not_finite(p: Probe) -> Iterator[str]:
    bad = ~np.isfinite(p.analytic)
    if bad.all():
        yield f"the gradient of {p.name} is nan or infinite everywhere"
    for words, where in (("< 0", p.x < 0), ("> 0", p.x > 0)):
        if bad.any() and (bad.any(0) == where.ravel()).all():
            yield f"the gradient of {p.name} is nan or infinite where {p.name} {words}"
    if bad.any():
        yield f"the gradient of {p.name} is nan or infinite in places"


def not_zero(p: Probe) -> Iterator[str]:
    if not p.numeric.any():
        yield (
            f"the gradient of {p.name} should be zero: out does not change with {p.name}, or only "
            "in jumps"
        )


def zero(p: Probe) -> Iterator[str]:
    if not p.analytic.any():
        yield f"the gradient of {p.name} is zero everywhere, and should not be"


def factor(p: Probe) -> Iterator[str]:
    c = (p.analytic * p.numeric).sum() / (p.numeric**2).sum() if p.numeric.any() else 0.0
    if abs(c) < 1e-8 or not near(p.analytic, c * p.numeric):
        return
    yield f"everywhere proportional to the right one: {factor_text(c, p)}"


def swapped(p: Probe) -> Iterator[str]:
    for j, name in enumerate(p.function.names):
        if j == p.k or p.point[j].shape != p.x.shape:
            continue
        other = p.jacobian(j)
        if near(p.analytic, other):
            both = near(Probe(p.function, p.point, j).analytic, p.numeric)
            swap = ": two results are swapped" if both else ""
            yield f"this is the gradient of {name}, not of {p.name}{swap}"
        elif near(p.analytic, -other):
            yield f"this is minus the gradient of {name}, not the gradient of {p.name}"


def separate_sums(p: Probe) -> Iterator[str]:
    """sum(g) * sum(a) in place of sum(g * a)."""
    if p.y is None:
        return
    pairs = aligned(p.numeric, p.x.shape, p.y.shape)
    over = tuple(b for b, n in enumerate(p.y.shape) if n > 1 and b not in {b for b, _ in pairs})
    if not over:
        return
    shape = (*p.y.shape, p.x.size)
    numeric = p.numeric.reshape(shape)
    reads = (np.abs(numeric) > 0).any(over, keepdims=True)
    if ((np.abs(numeric) > 0) != reads).any():
        return  # no sum over whole axes
    for whole in (numeric.sum, numeric.mean):
        apart = np.broadcast_to(whole(over, keepdims=True), shape) * reads
        if near(p.analytic, apart.reshape(p.analytic.shape)):
            axes = ", ".join(map(str, over))
            yield f"g and its factor are summed apart: multiply first, then sum over axis {axes}"


def overwritten(p: Probe) -> Iterator[str]:
    """An element that is read several times: its uses are averaged, or one of them overwrites the
    others."""
    reads = np.abs(p.numeric) > 0
    uses = np.maximum(reads.sum(0), 1)
    if (reads.sum(1) == 1).all() and near(p.analytic, p.numeric / uses):
        yield (
            f"an element of {p.name} that is read several times gets the mean of its uses: "
            "add them up"
        )
    for word, before in (("last", reads[::-1].cumsum(0)[::-1]), ("first", reads.cumsum(0))):
        if (uses > 1).any() and near(p.analytic, p.numeric * (before == 1)):
            yield (
                f"an element of {p.name} that is read several times gets the gradient of its "
                f"{word} use only: add them up"
            )


# ------------------------------------------------------- which outputs depend on which elements


def elementwise(p: Probe) -> Iterator[str]:
    if p.y is None or p.y.shape != p.x.shape or not is_elementwise(p.analytic, p.x.shape):
        return
    right = aligned(p.numeric, p.x.shape, p.y.shape)
    axes = [a for a, n in enumerate(p.x.shape) if n > 1 and (a, a) not in right]
    several = (np.abs(p.numeric) > 0).sum(1) > 1
    if not axes or not several.any():
        return
    some = "each output depends" if several.all() else "some outputs depend"
    text = f"your rule treats each element alone, but {some} on several inputs"
    block = int(np.prod([p.x.shape[a] for a in axes]))
    if (np.abs(p.numeric) > 0).sum() == block * p.x.size:
        text += f" (a sum over axis {', '.join(map(str, axes))} is missing)"
    yield text


def wrong_axis(p: Probe) -> Iterator[str]:
    right, wrong = _alignments(p)
    if right - wrong and wrong - right:
        yield (
            f"the axes are wrong: {_pairs(right, p)}, in your rule {_pairs(wrong, p)} (does a sum "
            "run over the wrong axis?)"
        )


def mixes(p: Probe) -> Iterator[str]:
    right, wrong = _alignments(p)
    if right > wrong:
        yield (
            "your rule mixes elements that have nothing to do with each other: "
            f"{_pairs(right, p)} (does a sum run over too many axes, or broadcast without keepdim?)"
        )


def misses(p: Probe) -> Iterator[str]:
    right, wrong = _alignments(p)
    if wrong > right:
        axes = " and ".join(str(b) for b, _ in sorted(wrong - right))
        yield (
            f"an element of {p.name} changes outputs at other places along axis {axes} than its "
            "own, where your rule does not read g"
        )


def _alignments(p):
    if p.y is None or not p.numeric.any() or not p.analytic.any():
        return set(), set()
    shapes = p.x.shape, p.y.shape
    return aligned(p.numeric, *shapes), aligned(p.analytic, *shapes)


def aligned(jacobian, x_shape, y_shape) -> set[tuple[int, int]]:
    """Pairs (axis of y, axis of x) along which y[.. i ..] depends on x[.. i ..] only."""
    o, i = np.nonzero(np.abs(jacobian) > 1e-7 * np.abs(jacobian).max(initial=0.0))
    if not o.size or not x_shape or not y_shape:
        return set()
    at_y, at_x = np.unravel_index(o, y_shape), np.unravel_index(i, x_shape)
    return {
        (b, a)
        for b, m in enumerate(y_shape)
        for a, n in enumerate(x_shape)
        if m == n > 1 and (at_y[b] == at_x[a]).all()
    }


def is_elementwise(jacobian, shape) -> bool:
    return aligned(jacobian, shape, shape) >= {(a, a) for a, n in enumerate(shape) if n > 1}


def _pairs(pairs, p) -> str:
    if not pairs:
        return f"every output depends on all of {p.name}"
    return f"out[i] along axis {', '.join(str(b) for b, _ in sorted(pairs))} depends only on " + (
        f"{p.name}[i] along axis {', '.join(str(a) for _, a in sorted(pairs))}"
    )


# --------------------------------------------------------------------------------------- helpers


def subsets(items):
    items = list(items)
    return chain.from_iterable(combinations(items, n) for n in range(len(items) + 1))


def _tiny(p) -> np.ndarray:
    return 1e-6 + 1e-5 * np.abs(p.numeric)


CONSTANTS = {
    "log(2)": float(np.log(2)),
    "log(10)": float(np.log(10)),
    "pi": float(np.pi),
    "2 pi": float(2 * np.pi),
    "sqrt(2)": 2**0.5,
    "sqrt(pi)": float(np.pi**0.5),
    "sqrt(2 pi)": float((2 * np.pi) ** 0.5),
}


def factor_text(c: float, p: Probe) -> str:
    """What a factor between the wrong and the right derivative means."""
    if near(c, -1.0):
        return "the sign is wrong"
    if c < 0:
        text = f"it is {_number(c)} times the right one"
    elif c > 1:
        text = f"it is {_number(c)} times too large"
    else:
        text = f"it is {_number(1 / c)} times too small"
    return text + _what_number(c, p)


def _number(c: float) -> str:
    return f"{c:.4g}"


def _what_number(c: float, p: Probe) -> str:
    """What a wrong factor is made of, if it is an argument, a size or a well known constant."""
    for name, value in {**p.function.numbers, **CONSTANTS}.items():
        if near(c, value) or near(1 / c, value):
            return f" (by {name})"
    if p.y is not None and p.y.shape == p.x.shape and is_elementwise(p.numeric, p.x.shape):
        return ""  # no size can be the reason
    whole = [(name, n) for name, n in sizes(p).items() if n > 2]
    for name, n in whole:
        if near(c, float(n)) or near(c, 1 / n):
            return f" ({n} is {name}: a mean treated as a sum, or a sum as a mean?)"
    for (name, n), (other, m) in permutations(whole, 2):
        if n != m and near(c, n / m) and "axis" in name and "axis" in other:
            return f" ({n} is {name}, {m} is {other}: is it divided by the wrong one?)"
    for name, n in whole:
        if near(c, n / (n - 1)) or near(c, (n - 1) / n):
            return f" (divided by n = {n}, {name}, in place of n - 1, or the other way round?)"
        if n > 4 and (near(c, n**0.5) or near(c, n**-0.5)):
            return f" (by the root of {n}, {name})"
    return ""


def sizes(p: Probe) -> dict[str, int]:
    """The sizes of input and output by description."""
    found = {}
    if p.y is not None and p.y.size and p.x.size % p.y.size == 0:
        found[f"the number of elements of {p.name} for each one of out"] = p.x.size // p.y.size
    if p.y is not None and p.x.size and p.y.size % p.x.size == 0:
        found[f"how often each element of {p.name} is used"] = p.y.size // p.x.size
    found[f"the number of elements of {p.name}"] = p.x.size
    for a, n in enumerate(p.x.shape):
        found[f"the size of axis {a} of {p.name}"] = n
    if p.y is not None:
        found["the number of elements of out"] = p.y.size
    return found
