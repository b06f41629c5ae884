"""Relations that hold in a part of the entries: right here and wrong there.

A fact is told only if it is exact: for the whole Jacobian, and also close to where it changes.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations

import numpy as np

from minidl.testing.entries import Entries, Fact, blocks, entries, known, support
from minidl.testing.probe import Probe, near
from minidl.testing.relations import factor_text

HALVINGS = 10  # the points on both sides of a threshold are then closer than 1 % of the way
PLACES = 2  # thresholds that are looked at closely for each fact


def region(probes: list[Probe], more: Callable, formula: Callable) -> Iterator[str]:
    """Right elsewhere, wrong exactly where a fact holds. Of a place, as the first along an axis, it
    must be plain what is wrong there."""
    for fact, detail in _wrong_where(probes, more, formula):
        if detail or not fact.is_place:
            yield _said(fact, detail)


def place(probes: list[Probe], more: Callable, formula: Callable) -> Iterator[str]:
    """As `region`, of any place."""
    for fact, detail in _wrong_where(probes, more, formula):
        yield _said(fact, detail)


def _said(fact, detail):
    return f"right elsewhere, wrong exactly where {fact.words}" + (f": {detail}" if detail else "")


def _wrong_where(probes, more, formula):
    e = entries(probes, support)
    for fact in _matching(e, _bad(e)):
        many = more()
        bad = _bad(many)
        if fact in _matching(many, bad) and _is_exact(fact, probes, _bad):
            detail = _compared(many.wrong[bad], many.right[bad], probes[0])
            yield fact, detail or formula(many, bad)


def mask(probes: list[Probe], more: Callable, _) -> Iterator[str]:
    """Zero and not zero in the wrong places."""
    for yours, true in _reached(probes, more, is_place=False):
        if _masks(more()):
            yield f"the mask is wrong: {_both(yours, true)}"


def wrong_places(probes: list[Probe], more: Callable, _) -> Iterator[str]:
    """As `mask`, of places, and whatever the numbers are there."""
    for yours, true in _reached(probes, more, is_place=True):
        yield _both(yours, true)


def _both(yours, true):
    return (
        f"your gradient is not zero where {yours.words}, and should be not zero where {true.words}"
    )


def _reached(probes, more, is_place):
    """Where your gradient is not zero and where it should be so."""
    e = entries(probes, support)
    if not ((e.right == 0) | (e.wrong == 0)).any():
        return
    for yours in _matching(e, _yours(e)):
        for true in _matching(e, _true(e)):
            if yours.is_place == true.is_place == is_place and (
                yours in _matching(more(), _yours(more()))
                and true in _matching(more(), _true(more()))
                and _is_exact(yours, probes, _yours)
                and _is_exact(true, probes, _true)
            ):
                yield yours, true


def pieces(probes: list[Probe], more: Callable, _) -> Iterator[str]:
    """Another factor on each side of a condition."""
    e = entries(probes, support)
    for fact, where in e.facts.items():
        if _sides(e, where, probes[0]):
            many = more()
            sides = fact in many.facts and _sides(many, many.facts[fact], probes[0])
            if sides and (fact.is_place or _is_sharp(fact, probes, partial(_has_sides, sides))):
                yield f"where {fact.words}, {sides[0]}; where {fact.opposite}, {sides[1]}"


def _has_sides(sides, p, holds) -> bool:
    some = support(p)
    each = zip(p.analytic[some], p.numeric[some], holds[some], strict=True)
    return all(
        _compared(np.array([wrong]), np.array([right]), p) == sides[0 if is_first else 1]
        for wrong, right, is_first in each
    )


def _masks(e: Entries) -> bool:
    """Whether the two differ only in where they are zero."""
    both = (e.right != 0) & (e.wrong != 0)
    return near(e.right[both], e.wrong[both])


def _bad(e) -> np.ndarray:
    return ~(np.abs(e.wrong - e.right) <= 1e-6 + 1e-5 * np.abs(e.right))  # nan is bad


def _yours(e) -> np.ndarray:
    return e.wrong != 0


def _true(e) -> np.ndarray:
    return e.right != 0


def _matching(e: Entries, where) -> list[Fact]:
    """The facts that hold for exactly these entries."""
    if min(where.sum(), (~where).sum()) < 2:
        return []
    found = []
    for fact, holds in e.facts.items():
        if (holds == where).all():
            found.append(fact)
        if (holds != where).all():
            found.append(fact.inverse)
    return found


# ---------------------------------------------------------------------------- whether it is exact


def _is_exact(fact: Fact, probes: list[Probe], where: Callable) -> bool:
    """Whether `where(entries)` is what the fact says, everywhere and at its threshold."""
    together = blocks(probes) if fact.is_place else np.any([support(p) for p in probes], axis=0)

    def fits(p, holds):
        """A fact about x alone speaks of columns, one about out alone of rows; one about both of
        the outputs and elements that have to do with each other."""
        true = where(Entries(p.numeric, p.analytic, {}, set(), {}))
        if (holds == holds[:1]).all():
            return bool((true.any(0) == holds[0]).all())
        if (holds == holds[:, :1]).all():
            return bool((true.any(1) == holds[:, 0]).all())
        return bool((true == holds)[together].all())

    is_whole = all(fits(p, _holds_at(fact, probes, p)) for p in probes)
    return is_whole and (fact.is_place or _is_sharp(fact, probes, fits))


def _holds_at(fact, probes, p) -> np.ndarray:
    """Where a fact holds in the Jacobian at a point."""
    whole = np.ones(probes[0].numeric.shape, bool)
    (at,) = known(probes, whole, [p])
    holds = at.facts[fact] if fact in at.facts else ~at.facts[fact.inverse]
    return holds.reshape(whole.shape)


def _is_sharp(fact, probes, fits: Callable) -> bool:
    """Whether `fits(point, holds)` on both sides of the place where the fact changes, on the way
    from one point to another."""
    seen = np.any([support(p) for p in probes], axis=0)
    checked = missed = 0
    for p, q in combinations(probes, 2):
        changed = np.argwhere((_holds_at(fact, probes, p) != _holds_at(fact, probes, q)) & seen)
        if not changed.size:
            continue
        ends = _sides_of_change(fact, probes, p, q, tuple(changed[checked % len(changed)]))
        if ends and all(end.settles for end in ends):
            checked += 1
            if not all(fits(end, _holds_at(fact, probes, end)) for end in ends):
                return False
        else:
            missed += 1
        if checked == PLACES:
            break
    return checked > 0 or not missed  # what never changes has no such place


def _sides_of_change(fact, probes, p, q, entry) -> list[Probe]:
    """Two points close to where the fact changes for an entry, on the way from p to q."""

    def between(t):
        point = [(1 - t) * a + t * b for a, b in zip(p.point, q.point, strict=True)]
        return Probe(p.function, point, p.k)

    low, high = 0.0, 1.0
    first = _holds_at(fact, probes, p)[entry]
    try:
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            if _holds_at(fact, probes, between(middle))[entry] == first:
                low = middle
            else:
                high = middle
    except Exception:  # the function is not defined on the way
        return []
    return [between(max(2 * low - high, 0.0)), between(min(2 * high - low, 1.0))]


# --------------------------------------------------------------------------- what is wrong there


def _compared(wrong, right, p: Probe) -> str:
    """What is the matter with these entries."""
    if not np.isfinite(wrong).all():
        return "nan or infinite there"
    if not wrong.any() and right.all():
        return "zero there, and should not be"
    if not right.any() and wrong.all():
        return "not zero there, and should be"
    if near(wrong, right):
        return "it is right"
    c = (wrong * right).sum() / (right * right).sum() if right.any() else 0.0
    return factor_text(c, p) if abs(c) > 1e-8 and near(wrong, c * right) else ""


def _sides(e: Entries, where, p: Probe) -> tuple[str, str] | None:
    if min(where.sum(), (~where).sum()) < 3:
        return None
    first, second = (_compared(e.wrong[side], e.right[side], p) for side in (where, ~where))
    return (first, second) if first and second and first != second else None
