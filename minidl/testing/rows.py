"""Relations between a wrong derivative and the right one that hold up to one number in each row.

A row are the outputs and elements of x that have to do with each other, as in softmax; the number
may be a scale such as 1 / std, that no formula of `formulas.py` has.
"""

from collections.abc import Iterator
from itertools import combinations, product

import numpy as np

from minidl.testing.entries import blocks, entries
from minidl.testing.probe import Probe, near
from minidl.testing.relations import aligned, factor_text


def up_to_rows(probes: list[Probe]) -> Iterator[tuple[str, str]]:
    """Kind and sentence of the relations that hold."""
    if not probes or probes[0].y is None:
        return
    p, chosen = probes[0], blocks(probes)
    pairs = aligned(chosen, p.x.shape, p.y.shape)
    e = entries(probes, lambda _: chosen)
    number = np.concatenate([_rows(p, pairs)[chosen] + n * chosen.size for n in range(len(probes))])
    rows = [np.flatnonzero(number == n) for n in np.unique(number)]
    mixes = all((np.abs(q.numeric) > 0).sum() > p.x.size for q in probes)
    if p.x.ndim and mixes and _combined(e.wrong, [e.right], rows) is not None:
        yield (
            "row-factor",
            "right up to one factor for each row: a scale that belongs to the row, such as "
            "1 / std or 1 / sum, is missing or wrong",
        )
    axes = [b for b, n in enumerate(p.y.shape) if n > 1 and b not in {b for b, _ in pairs}]
    if min(map(len, rows)) < 4 or (axes and min(p.y.shape[b] for b in axes) < 3):
        return  # of so few numbers too much is true
    itself = np.tile(np.equal(*np.nonzero(chosen)), len(probes)).astype(float)
    always = [itself] if axes and p.x.shape == p.y.shape else []
    found = _wrong_terms(e, _terms(e, axes), always, rows, pairs=not axes)
    if found:
        where = f" over axis {', '.join(map(str, axes))}" if axes else ""
        told = [_said_of_row(name + where, right, off, p) for name, right, off in found]
        yield told[0][0], ", and ".join(sentence for _, sentence in told)


def _wrong_terms(e, terms, always, rows, pairs) -> list[tuple]:
    """The terms, one or two, whose factors in the rows are wrong: name, the right factors, and
    yours minus the right ones.

    In each row the right derivative is a combination of g itself and of one or two terms.
    """
    for names in (*combinations(terms, 1), *(combinations(terms, 2) if pairs else ())):
        off = _combined(e.wrong - e.right, [terms[name] for name in names], rows)
        if off is None:
            continue
        others = [(name,) for name in terms if len(names) == 1 and name not in names]
        for other in [(), *others]:
            basis = [terms[name] for name in (*names, *other)]
            right = _combined(e.right, [*basis, *always], rows)
            if right is not None:
                return [(name, right[:, m], off[:, m]) for m, name in enumerate(names)]
    return []


def _terms(e, axes) -> dict:
    """The terms that a row may be made of, by what to call them."""
    ones = {"": np.ones_like(e.right)}
    outer = ones | {f"{n} * ": q for (n, inside), q in e.quantities.items() if not inside}
    if not axes:
        return {f"{n}g": q for n, q in _out_first(outer)}
    inner = ones | {f" * {n}": q for (n, inside), q in e.quantities.items() if inside}
    return {
        f"{w}sum(g{v})": left * right
        for (w, left), (v, right) in product(_out_first(outer), _out_first(inner))
    }


def _combined(target, terms, rows) -> np.ndarray | None:
    """The factors, for each row, with which the terms add up to the target; None if none do."""
    table = np.stack(terms, -1)
    if not np.isfinite(table).all():
        return None
    found = []
    for row in rows:
        factors, _, rank, _ = np.linalg.lstsq(table[row], target[row], rcond=1e-9)
        if rank < len(terms) or not near(table[row] @ factors, target[row]):
            return None
        found.append(factors)
    return np.array(found)


def _said_of_row(name, right, off, p) -> tuple[str, str]:
    """Kind and sentence for a term with these factors in the rows: the right ones, and yours minus
    the right ones."""
    yours = right + off
    size = 1e-4 * np.abs([yours, right]).max()
    if (np.abs(yours) < size).all():
        return "missing-term", f"a term with {name} is missing (up to a factor for each row)"
    if (np.abs(right) < size).all():
        return "extra-term", f"a term with {name} is too many (up to a factor for each row)"
    if near(yours, -right):
        return "wrong-term", f"the term with {name} has the wrong sign"
    c = float(np.median(yours / right)) if right.all() else 0.0
    what = f": {factor_text(c, p)}" if c and np.allclose(yours, c * right, rtol=1e-3) else ""
    return "wrong-term", f"the term with {name} has the wrong factor{what}"


def _rows(p: Probe, pairs) -> np.ndarray:
    """For each entry of the Jacobian the number of its row: its place along the axes in `pairs`."""
    o, i = np.indices(p.numeric.shape)
    number = np.zeros(o.shape, int)
    if not pairs:
        return number
    at_y, at_x = np.unravel_index(o, p.y.shape), np.unravel_index(i, p.x.shape)
    for b, a in sorted(pairs):
        number = np.where(at_y[b] == at_x[a], number * p.y.shape[b] + at_y[b], -1)
    return number


def _out_first(named: dict) -> list:
    return sorted(named.items(), key=lambda item: (item[0] != "", "out" not in item[0]))
