"""Right numbers in the wrong places: relations between a wrong derivative and the right one.

As in `relations.py`, each takes a `Probe` and yields the sentences that are true there.
"""

from collections.abc import Iterator
from itertools import chain, combinations, permutations, product

import numpy as np

from minidl.testing.probe import Probe, near
from minidl.testing.relations import subsets

MANY = 100  # elements, more than which no order without a name is looked for


def transposed(p: Probe) -> Iterator[str]:
    yield from _moved(p, _transposes)


def permuted(p: Probe) -> Iterator[str]:
    yield from _moved(p, _flips)
    yield from _moved(p, _rolls)


def _moved(p, moves):
    """The Jacobian with its columns (the result) or its rows (g) in another order.

    One combination of rows is compared first: there are many orders.
    """
    combined = p.v @ p.numeric
    for text, order in moves(p.x.shape):
        for sign, word in ((1, ""), (-1, " and the sign is wrong")):
            if near(p.pulled.ravel(), sign * combined[order]) and near(
                p.analytic, sign * p.numeric[:, order]
            ):
                yield f"the numbers are right but {text}{word}"
    for text, order in moves(p.y.shape) if p.y is not None else ():
        if near(p.pulled.ravel(), p.v @ p.numeric[order]) and near(p.analytic, p.numeric[order]):
            yield f"your rule reads g {text}"


def permuted_twice(p: Probe) -> Iterator[str]:
    """Both in another order."""
    for moves in (_transposes, _flips):
        incoming = moves(p.y.shape) if p.y is not None else ()
        for (text, order), (text_g, order_g) in product(moves(p.x.shape), incoming):
            whole = p.numeric[order_g]
            if near(p.pulled.ravel(), p.v @ whole[:, order]) and near(p.analytic, whole[:, order]):
                yield f"your rule reads g {text_g}, and its result is {text}"


def misplaced(p: Probe) -> Iterator[str]:
    """As `permuted`, in an order that has no name."""
    if 2 < p.x.size <= MANY and _same_rows(p.analytic.T, p.numeric.T):
        yield "the numbers are right but in the wrong places"
    if 2 < p.flat.size <= MANY and _same_rows(p.analytic, p.numeric):
        yield "your rule reads g in the wrong places"


def not_moved(p: Probe) -> Iterator[str]:
    if p.x.size != p.flat.size or not near(p.analytic, np.eye(p.x.size)):
        return
    if near(np.sort(p.numeric)[:, -1:], 1.0 + 0 * p.numeric[:, :1]) and near(
        p.numeric @ p.numeric.T, np.eye(p.x.size)
    ):
        yield (
            f"out has the elements of {p.name} in another order, your rule leaves g in its own: "
            "put each back to where it came from"
        )


def half(p: Probe) -> Iterator[str]:
    """Of two uses, as in x @ x.T, only one is seen."""
    for text, order in _transposes(p.y.shape) if p.y is not None else ():
        both = p.analytic + p.analytic[order]
        if "layout" not in text and near(p.numeric, both):
            yield f"{p.name} is used twice: the same term with g {text} is missing"
        if "layout" not in text and near(p.numeric, both / 2):
            yield f"{p.name} is used twice: half of your term should be the same with g {text}"


def _transposes(shape):
    places = np.arange(int(np.prod(shape))).reshape(shape)
    for axes in permutations(range(len(shape))):
        turned = places.transpose(axes)
        if axes == tuple(range(len(shape))):
            continue
        if turned.shape == shape:
            text = "transposed" if len(shape) == 2 else f"transposed to the axes {axes}"
            yield text, turned.ravel()
        else:
            text = "in the order of another layout (a reshape where a transpose is needed)"
            yield text, turned.ravel()
            yield text, np.argsort(turned.ravel())


def _flips(shape):
    places = np.arange(int(np.prod(shape))).reshape(shape)
    for axes in subsets(range(len(shape))):
        if axes and all(shape[a] > 1 for a in axes):
            where = "axis " + ", ".join(map(str, axes))
            yield f"reversed along {where}", np.flip(places, axes).ravel()


def _rolls(shape):
    places = np.arange(int(np.prod(shape))).reshape(shape)
    for axis, size in enumerate(shape):
        for steps in range(1, size):
            by = steps if 2 * steps <= size else steps - size
            text = f"shifted by {by} along axis {axis}"
            yield text, np.roll(places, steps, axis).ravel()


def _same_rows(a, b) -> bool:
    """Whether the rows of `a` are those of `b` in another order."""
    left = list(range(len(b)))
    for row in a:
        match = next((i for i in left if near(row, b[i])), None)
        if match is None:
            return False
        left.remove(match)
    return True


# ------------------------------------------------------------------- right for other arguments


def elsewhere(p: Probe) -> Iterator[str]:
    """The derivative at other inputs: one of them transposed, negated, exchanged ..."""
    for text, point in _other_points(p):
        for sign, word in ((1, ""), (-1, ", with the wrong sign")):
            try:
                fits = p.fits(point, sign) and near(p.analytic, sign * p.jacobian(p.k, point))
            except Exception:  # the function is not defined there
                break
            if fits:
                yield f"this is the derivative for {text}{word}"


def _other_points(p):
    names = p.function.names

    def with_(j, value):
        return [value if i == j else x for i, x in enumerate(p.point)]

    for j, x in enumerate(p.point):
        for text, order in chain(_transposes(x.shape), _flips(x.shape)):
            if "layout" not in text:
                yield f"{names[j]} {text}", with_(j, x.ravel()[order].reshape(x.shape))
        yield f"-{names[j]} in place of {names[j]}", with_(j, -x)
        if (x < 0).any():
            yield f"the absolute value of {names[j]}", with_(j, np.abs(x))
        yield f"ones in place of {names[j]}", with_(j, np.ones_like(x))
        if p.y is not None and p.y.shape == x.shape:
            yield f"out in place of {names[j]}", with_(j, p.y)
    for i, j in combinations(range(len(names)), 2):
        if p.point[i].shape == p.point[j].shape:
            exchanged = list(p.point)
            exchanged[i], exchanged[j] = p.point[j], p.point[i]
            yield f"{names[i]} and {names[j]} exchanged", exchanged


def adjoint(p: Probe) -> Iterator[str]:
    if p.y is not None and p.y.shape == p.x.shape and near(p.analytic, p.numeric.T):
        yield (
            "your rule multiplies g by the Jacobian, and should by its transpose (for out = x @ w "
            "that is g @ w.T; a shift or a running sum goes the other way)"
        )
