"""Relations between a wrong derivative and the right one that are formulas.

The entries of the Jacobians at all points are compared with products of two factors, made from x,
out and the other arguments: a factor is missing, a term is too many, another formula stands there.
The simplest product that fits is told.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, permutations, product

import numpy as np

from minidl.testing.entries import entries, reduced_axes, support
from minidl.testing.probe import Probe, near
from minidl.testing.products import (
    Product,
    atoms_of,
    formula_text,
    fraction,
    fraction_parts,
    named_constants,
    products,
    sum_text,
    value_of,
)
from minidl.testing.relations import aligned, is_elementwise

# The derivatives that a rule may have been copied from.
RULES = (
    ("sin", np.cos),
    ("cos", lambda x: -np.sin(x)),
    ("tan", lambda x: 1 / np.cos(x) ** 2),
    ("tanh", lambda x: 1 - np.tanh(x) ** 2),
    ("sigmoid", lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2),
    ("softplus", lambda x: 1 / (1 + np.exp(-x))),
    ("exp", np.exp),
    ("log", lambda x: 1 / x),
    ("sqrt", lambda x: 0.5 / np.sqrt(x)),
    ("relu", lambda x: 1.0 * (x > 0)),
    ("abs", np.sign),
    ("square", lambda x: 2 * x),
    ("reciprocal", lambda x: -1 / x**2),
    ("sinh", np.cosh),
    ("cosh", np.sinh),
    ("arctan", lambda x: 1 / (1 + x * x)),
    ("log1p", lambda x: 1 / (1 + x)),
    ("silu", lambda x: (1 + np.exp(-x) + x * np.exp(-x)) / (1 + np.exp(-x)) ** 2),
)

# --------------------------------------------------------------------------------- the relations


def formula(probes: list[Probe]) -> tuple[float, str, str] | None:
    """The cheapest of all sentences about factors, terms and other formulas: cost and kind too."""
    constants = named_constants(probes[0])
    found = chain(
        missing_factor(probes, constants),
        missing_term(probes, constants),
        wrong_term(probes, constants),
        exchanged_term(probes),
        other_rule(probes),
        otherformula_text(probes, constants),
    )
    return min(found, key=lambda candidate: candidate[0], default=None)


def missing_factor(probes, constants):
    e = entries(probes, support)
    both = (e.right != 0) & (e.wrong != 0)
    if not both.any() or ((e.right != 0) != (e.wrong != 0)).any():
        return
    atoms = atoms_of(e, both)
    for p in products(e.right[both] / e.wrong[both], atoms, constants):
        yours = next(products(e.wrong[both], atoms, constants), None)
        yield p.cost, *_said_of_factor(p, yours)
        return


def missing_term(probes, constants):
    e = entries(probes, _differs)
    target = e.wrong - e.right
    over = _summed_axes(probes)
    if over is None:
        return
    count = int(np.prod([probes[0].y.shape[a] for a in over]))
    for p in products(target, atoms_of(e), constants):
        if over and p.cost > 3:  # rather up to a number for each row, see `row_term`
            return
        kind, sentence = _said_of_term(p, _lacks(probes, p, over, constants), over, count)
        if not _differs_somewhere(probes).any(0).all():
            sentence += f" (at one element of {probes[0].name} for each one of out)"
        yield p.cost + 1, kind, sentence
        return


def wrong_term(probes, constants):
    """A term that is in the rule, with another factor: yours - right = its term - the right term.

    Both terms are read off where they stand alone: off the diagonal, or at the first or the other
    places along an axis.
    """
    over = _summed_axes(probes)
    if over is None:
        return
    p = probes[0]
    e = entries(probes, _differs)
    o, i = np.nonzero(_differs_somewhere(probes))
    alone = [where for fact, where in e.facts.items() if " is the first " in fact.words]
    alone = [side for where in alone for side in (where, ~where)]
    if over and p.x.shape == p.y.shape:
        alone = [np.tile(o != i, len(probes))]
    atoms = atoms_of(e)
    for where in alone:
        if not where.any() or where.all():
            continue
        some = [replace(a, values=a.values[where]) for a in atoms]
        yours = next(products(e.wrong[where], some, constants), None)
        right = next(products(e.right[where], some, constants), None)
        if not (yours and right):
            continue
        values = value_of(yours, atoms), value_of(right, atoms)
        is_all = near(e.wrong, values[0]) and near(e.right, values[1])  # no term, but the whole
        if not is_all and near(e.wrong - e.right, values[0] - values[1]):
            count = int(np.prod([p.y.shape[a] for a in over]))
            texts = [sum_text(q, count) if over else formula_text(q) for q in (yours, right)]
            sentence = f"the term {texts[0]} should be {texts[1]}{_along(over)}"
            yield (yours.cost + right.cost) / 2, "wrong-term", sentence
            return


def exchanged_term(probes):
    """Without a place where the terms stand alone: yours - right = one quantity - another."""
    if _summed_axes(probes) != ():
        return
    e = entries(probes, _differs)
    gap = e.wrong - e.right
    atoms = [a for a in atoms_of(e) if not a.inside]
    for yours, right in permutations(atoms, 2):
        if abs(yours.values[0] - right.values[0] - gap[0]) < 1e-3 and near(
            gap, yours.values - right.values
        ):
            sentence = f"the term g * {yours.text} should be g * {right.text}"
            yield yours.cost + right.cost + 2, "wrong-term", sentence
            return


def other_rule(probes):
    """Of an elementwise function: it has the derivative of another one."""
    p = probes[0]
    if p.y is None or p.y.shape != p.x.shape or reduced_axes(probes):
        return
    if not all(is_elementwise(q.analytic, q.x.shape) for q in probes):
        return
    e = entries(probes, support)
    x = e.quantities[p.name, False]
    for name, derivative in RULES:
        for sign, word in ((1, ""), (-1, "minus ")):
            if near(e.wrong, sign * derivative(x)):
                yield 2.5, "other-rule", f"this is {word}the derivative of {name}"


def otherformula_text(probes, constants):
    e = entries(probes, support)
    both = (e.right != 0) & (e.wrong != 0)
    if not both.any() or ((e.right != 0) != (e.wrong != 0)).any():
        return
    atoms = atoms_of(e, both)
    yours = next(products(e.wrong[both], atoms, constants), None)
    right = next(products(e.right[both], atoms, constants), None)
    if yours and right:
        inside = any(inside for _, inside in e.quantities)
        texts = [sum_text(q, 1) if inside else formula_text(q) for q in (yours, right)]
        sentence = f"your rule is {texts[0]}, it should be {texts[1]}"
        yield yours.cost + right.cost + 1, "other-formula", sentence


def up_to_rows(probes: list[Probe]) -> Iterator[tuple[str, str]]:
    """Relations that hold up to one number in each row: kind and sentence."""
    for relation in (row_factor, row_term) if probes else ():
        found = relation(probes)
        if found:
            yield found


def row_factor(probes: list[Probe]) -> tuple[str, str] | None:
    """Right but for one number in each row, a scale such as 1 / std: kind and sentence."""
    for p in probes:
        if p.y is None or not p.x.ndim or (np.abs(p.numeric) > 0).sum() <= p.numeric.shape[1]:
            return None  # each element of x has a factor of its own
        rows = _rows(p, aligned(p.numeric, p.x.shape, p.y.shape))
        if not _proportional_in_rows(p.analytic, p.numeric, rows):
            return None
    return "row-factor", (
        "right up to one factor for each row: a scale that belongs to the row, such as 1 / std or "
        "1 / sum, is missing or wrong"
    )


def row_term(probes: list[Probe]) -> tuple[str, str] | None:
    """A sum is missing, too many or has another factor: kind and sentence. Up to one number in
    each row, so that a scale of the row does not matter."""
    over = _summed_axes(probes)
    if not over or min(probes[0].y.shape[b] for b in over) < 3:
        return None  # of two numbers too much is true
    e = entries(probes, _differs)
    chosen = _differs_somewhere(probes)
    pairs = aligned(chosen, probes[0].x.shape, probes[0].y.shape)
    rows = np.concatenate([_rows(p, pairs)[chosen] + n * chosen.size for n, p in enumerate(probes)])
    apart = np.tile(np.not_equal(*np.nonzero(chosen)), len(probes))
    ones = {"": np.ones_like(e.right)}
    outer = ones | {f"{n} * ": q for (n, inside), q in e.quantities.items() if not inside}
    inner = ones | {f" * {n}": q for (n, inside), q in e.quantities.items() if inside}
    for (w, left), (v, right) in product(_out_first(outer), _out_first(inner)):
        term = left * right
        if _proportional_in_rows(e.wrong - e.right, term, rows):
            text = f"with {w}sum(g{v}) over axis {', '.join(map(str, over))}"
            if probes[0].x.shape == probes[0].y.shape and all(
                _proportional_in_rows(side[apart], term[apart], rows[apart])
                for side in (e.wrong, e.right)
            ):
                opposite = near(e.wrong[apart], -e.right[apart])
                problem = "sign" if opposite else "factor"
                return "wrong-term", f"the term {text} has the wrong {problem}"
            if _lacks_sum(probes):
                return "missing-term", f"a term {text} is missing (up to a factor for each row)"
            return "extra-term", f"a term {text} is too many (up to a factor for each row)"
    return None


def _out_first(named: dict) -> list:
    return sorted(named.items(), key=lambda item: (item[0] != "", "out" not in item[0]))


# --------------------------------------------------------------------------------------- helpers


def _differs_somewhere(probes) -> np.ndarray:
    return np.any([_differs(p) for p in probes], axis=0)


def _differs(p: Probe) -> np.ndarray:
    size = np.maximum(np.abs(p.numeric), np.abs(p.analytic)).max(initial=0.0)
    return np.abs(p.difference) > 1e-6 * size


def _summed_axes(probes) -> tuple[int, ...] | None:
    """The axes of out along which the difference of the Jacobians sums g; None if it is neither
    one sum over whole axes nor a factor of g at each place."""
    p = probes[0]
    if p.y is None:
        return None
    chosen = _differs_somewhere(probes)
    if (chosen.sum(0) <= 1).all():
        everywhere = (chosen.sum(0) == 1).all() or (chosen.sum(1) == 1).all()
        return () if everywhere else None
    pairs = aligned(chosen, p.x.shape, p.y.shape)
    blocks = int(np.prod([p.y.shape[b] for b, _ in pairs]))
    if chosen.sum() * blocks != chosen.size:
        return None
    return tuple(b for b, n in enumerate(p.y.shape) if n > 1 and b not in {b for b, _ in pairs})


def _rows(p: Probe, pairs) -> np.ndarray:
    """For each entry of the Jacobian the number of its row: its place along the axes in `pairs`."""
    o, i = np.indices(p.numeric.shape)
    at_y = np.array(np.unravel_index(o, p.y.shape))
    at_x = np.array(np.unravel_index(i, p.x.shape))
    number = np.zeros(o.shape, int)
    for b, a in sorted(pairs):
        number = np.where(at_y[b] == at_x[a], number * p.y.shape[b] + at_y[b], -1)
    return number


def _proportional_in_rows(a, b, rows) -> bool:
    return all(_proportional(a[rows == n], b[rows == n]) for n in np.unique(rows[rows >= 0]))


def _proportional(a, b) -> bool:
    c = (a * b).sum() / (b * b).sum() if b.any() else 0.0
    return abs(c) > 1e-8 and near(a, c * b)


def _lacks(probes, p: Product, over, constants) -> bool:
    """Whether "yours = right + p" is better told as "-p is missing" than as "p is too many".

    Both are true. A rule that lacks a term is a simpler formula, or a smaller sum, than the right
    one.
    """
    if over:
        return _lacks_sum(probes)
    e = entries(probes, support)
    atoms = atoms_of(e)
    yours, right = (
        next(products(side, atoms, constants), None) is not None for side in (e.wrong, e.right)
    )
    return yours if yours != right else p.constant < 0


def _lacks_sum(probes) -> bool:
    """Whether the rule lets an element depend less on the others than it should."""
    yours, right = 0.0, 0.0
    for p in probes:
        apart = _differs(p)
        if p.x.shape == p.y.shape:
            np.fill_diagonal(apart, False)
        yours += (p.analytic[apart] ** 2).sum()
        right += (p.numeric[apart] ** 2).sum()
    return bool(yours < right)


def _said_of_factor(p: Product, yours: Product | None) -> tuple[str, str]:
    """Kind and sentence for: yours * p = right."""
    where = " (on g, inside the sum)" if any(a.inside for a, _ in p.factors) else ""
    there = {a.text: n for a, n in yours.factors} if yours else {}
    # Told as too many, if the rule has the opposite of each factor.
    if p.factors and all(there.get(a.text, 0) * n <= -n * n for a, n in p.factors):
        opposite = Product(1 / p.constant, tuple((a, -n) for a, n in p.factors), p.cost)
        return "extra-factor", f"there is a factor {fraction(opposite)} too many{where}"
    above, below = fraction_parts(p)
    if below and above not in ("1", "-1") and any(n > 0 for _, n in p.factors):
        return "wrong-factor", f"a factor {below} stands where {above} belongs{where}"
    return "missing-factor", f"a factor {fraction(p)} is missing{where}"


def _said_of_term(p: Product, is_missing: bool, over, count) -> tuple[str, str]:
    """Kind and sentence for: yours = right + p."""
    term = replace(p, constant=-p.constant) if is_missing else p
    text = sum_text(term, count) + _along(over) if over else formula_text(term)
    if is_missing:
        return "missing-term", f"a term {text} is missing"
    return "extra-term", f"there is a term {text} too many"


def _along(over) -> str:
    return f" (over axis {', '.join(map(str, over))})" if over else ""
