"""Relations that hold in a part of the entries: right here and wrong there."""

from collections.abc import Callable, Iterator

import numpy as np

from minidl.testing.entries import Entries, Fact, entries, support
from minidl.testing.probe import Probe, near
from minidl.testing.relations import factor_text


def region(probes: list[Probe], more: Callable) -> Iterator[str]:
    """Right elsewhere, wrong exactly where a fact holds. Of a place, as the first along an axis, it
    must be plain what is wrong there."""
    for fact, detail in _wrong_where(probes, more):
        if detail or not fact.is_place:
            yield _said(fact, detail)


def place(probes: list[Probe], more: Callable) -> Iterator[str]:
    """As `region`, of any place."""
    for fact, detail in _wrong_where(probes, more):
        yield _said(fact, detail)


def _said(fact, detail):
    return f"right elsewhere, wrong exactly where {fact.words}" + (f": {detail}" if detail else "")


def _wrong_where(probes, more):
    e = entries(probes, support)
    for fact in _matching(e, _bad(e)):
        many = more()
        bad = _bad(many)
        if fact in _matching(many, bad):
            yield fact, _compared(many.wrong[bad], many.right[bad], probes[0])


def mask(probes: list[Probe], more: Callable) -> Iterator[str]:
    """Zero and not zero in the wrong places."""
    e = entries(probes, support)
    if not _masks(e):
        return
    for yours in _matching(e, e.wrong != 0):
        for true in _matching(e, e.right != 0):
            many = more()
            if (
                _masks(many)
                and yours in _matching(many, many.wrong != 0)
                and true in _matching(many, many.right != 0)
                and not (yours.is_place or true.is_place)
            ):
                yield (
                    f"the mask is wrong: your gradient is not zero where {yours.words}, and should "
                    f"be not zero where {true.words}"
                )


def pieces(probes: list[Probe], more: Callable) -> Iterator[str]:
    """Another factor on each side of a condition."""
    e = entries(probes, support)
    for fact, where in e.facts.items():
        if _sides(e, where, probes[0]):
            many = more()
            sides = fact in many.facts and _sides(many, many.facts[fact], probes[0])
            if sides:
                yield f"where {fact.words}, {sides[0]}; where {fact.opposite}, {sides[1]}"


def _masks(e: Entries) -> bool:
    """Whether the two differ only in where they are zero."""
    both = (e.right != 0) & (e.wrong != 0)
    return near(e.right[both], e.wrong[both]) and ((e.right == 0) | (e.wrong == 0)).any()


def _bad(e: Entries) -> np.ndarray:
    return ~(np.abs(e.wrong - e.right) <= 1e-6 + 1e-5 * np.abs(e.right))  # nan is bad


def _matching(e: Entries, where) -> list[Fact]:
    """The facts that hold for exactly these entries."""
    if min(where.sum(), (~where).sum()) < 2:
        return []
    found = []
    for fact, holds in e.facts.items():
        if (holds == where).all():
            found.append(fact)
        if (holds != where).all():
            found.append(Fact(fact.opposite, fact.words, fact.is_place))
    return found


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
