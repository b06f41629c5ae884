"""Relations between a wrong derivative and the right one that are formulas.

The entries of the Jacobians at all points are compared with products of two factors, made from x,
out and the other arguments: a factor is missing, a term is too many, another formula stands there.
The simplest product that fits is told.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from itertools import chain

import numpy as np

from minidl.testing.entries import Entries, entries, reduced_axes, support
from minidl.testing.probe import Probe, near
from minidl.testing.products import (
    Product,
    atoms_of,
    formula_text,
    fraction,
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

# The factors that a product may have, and slope / value of each.
FACTORS = (
    ("{x}", lambda x: 1 / x),
    ("sin({x})", lambda x: 1 / np.tan(x)),
    ("cos({x})", lambda x: -np.tan(x)),
    ("tanh({x})", lambda x: 2 / np.sinh(2 * x)),
    ("log({x})", lambda x: 1 / (x * np.log(x))),
)

# --------------------------------------------------------------------------------- the relations


def formula(probes: list[Probe]) -> tuple[float, str, str] | None:
    """The cheapest of all sentences about factors, terms and other formulas: cost and kind too."""
    constants = named_constants(probes[0])
    found = chain(
        missing_factor(probes, constants),
        missing_term(probes, constants),
        wrong_term(probes, constants),
        exchanged_term(probes, constants),
        scaled_term(probes, constants),
        product_rule(probes),
        other_rule(probes),
        other_formula(probes, constants),
    )
    return min(found, key=lambda candidate: candidate[0], default=None)


def missing_factor(probes, constants):
    e = entries(probes, support)
    both = (e.right != 0) & (e.wrong != 0)
    if not both.any() or ((e.right != 0) != (e.wrong != 0)).any():
        return
    atoms = atoms_of(e, both)
    for p in products(e.right[both] / e.wrong[both], atoms, constants):
        if len({a.text for a, _ in p.factors}) < len(p.factors):
            continue  # of out at two places one cannot speak in a factor
        yield p.cost, *_said_of_factor(p, products(e.wrong[both], atoms))
        return


def missing_term(probes, constants):
    e = entries(probes, _differs)
    target = e.wrong - e.right
    over = _summed_axes(probes)
    if over is None or (over and not _stands_alone(probes)):
        return
    count = int(np.prod([probes[0].y.shape[a] for a in over]))
    for p in products(target, atoms_of(e), constants):
        if over and p.cost > 3:  # rather up to a number for each row, see `row_term`
            return
        kind, sentence = _said_of_term(p, _lacks(probes, constants), over, count)
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
        c = float(np.median(e.wrong[where] / e.right[where]))
        if near(e.wrong[where], c * e.right[where]):  # the same words for both
            yours = replace(right, constant=c * right.constant, named=None)
        values = value_of(yours, atoms), value_of(right, atoms)
        is_all = near(e.wrong, values[0]) and near(e.right, values[1])  # no term, but the whole
        if not is_all and near(e.wrong - e.right, values[0] - values[1]):
            count = int(np.prod([p.y.shape[a] for a in over]))
            texts = [sum_text(q, count) if over else formula_text(q) for q in (yours, right)]
            sentence = f"the term {texts[0]} should be {texts[1]}{_along(over)}"
            yield (yours.cost + right.cost) / 2, "wrong-term", sentence
            return


def exchanged_term(probes, constants):
    """Without a place where the terms stand alone: yours - right = one quantity - another."""
    if _summed_axes(probes) != ():
        return
    e = entries(probes, _differs)
    gap = e.wrong - e.right
    atoms = [a for a in atoms_of(e) if not a.inside]
    values = np.array([*(a.values for a in atoms), np.ones_like(gap)])
    factors = [*(((a, 1),) for a in atoms), ()]
    for constant in constants if gap.size > 1 else ():
        c = constant.value
        apart = c * (values[:, None, :2] - values[:, :2])
        for i, j in np.argwhere((np.abs(apart - gap[:2]) < 1e-5).all(-1)):
            if near(gap, c * (values[i] - values[j])):
                yours, right = (Product(c, factors[n], 0, constant) for n in (i, j))
                if _is_product(e, e.wrong + c * values[j], constants):  # -right is there already
                    yours, right = (replace(q, constant=-c) for q in (right, yours))
                sentence = f"the term {formula_text(yours)} should be {formula_text(right)}"
                price = sum(a.cost for a, _ in (*yours.factors, *right.factors))
                yield price + constant.cost + 2, "wrong-term", sentence
                return


def scaled_term(probes, constants):
    """A term lacks an argument that is a number as a factor, or has it where it should not."""
    if _summed_axes(probes) != ():
        return
    e = entries(probes, _differs)
    for name, v in probes[0].function.numbers.items():
        for p in products((e.wrong - e.right) / (1 - v), atoms_of(e), constants) if v != 1 else ():
            term = value_of(p, atoms_of(e))
            opposite = replace(p, constant=-p.constant)
            if _is_product(e, e.wrong - term, constants):
                yield p.cost + 1, "missing-factor", f"the term {formula_text(p)} lacks {name}"
            elif _is_product(e, e.wrong + v * term, constants):
                sentence = (
                    f"the term {formula_text(opposite)} has {name} as a factor, it should not"
                )
                yield p.cost + 1, "extra-factor", sentence
            break


def _is_product(e, values, constants) -> bool:
    return next(products(values, atoms_of(e), constants), None) is not None


def product_rule(probes):
    """Of out = a * b the rule differentiates one factor only, as if the other were constant."""
    p = probes[0]
    if p.y is None or p.y.shape != p.x.shape or reduced_axes(probes):
        return
    e = entries(probes, support)
    x, out = e.quantities[p.name, False], e.quantities["out", False]
    for text, slope in FACTORS:
        if near(e.wrong, out * slope(x)):
            one = text.format(x=p.name)
            yield (
                2.5,
                "product-rule",
                f"your rule differentiates {one} only, as if out / {one} were a constant: the term "
                f"with the derivative of out / {one} is missing",
            )
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


def other_formula(probes, constants):
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


def _stands_alone(probes) -> bool:
    """Whether there is nothing else where the sum stands: in one of the two there is zero."""
    if probes[0].x.shape != probes[0].y.shape:
        return True
    apart = _differs_somewhere(probes)
    np.fill_diagonal(apart, False)
    return any(
        not any(np.abs(side[apart]).max(initial=0.0) > 1e-6 for side in sides)
        for sides in ([p.analytic for p in probes], [p.numeric for p in probes])
    )


def _lacks(probes, constants) -> bool | None:
    """Whether "yours = right + p" is told as "-p is missing" (True) or as "p is too many" (False).
    A rule that lacks a term has fewer entries or is a simpler formula; None if neither shows."""
    yours, right = (sum(np.count_nonzero(side) for side in sides) for sides in _sides(probes))
    if yours != right:
        return yours < right
    e, costs = entries(probes, support), []
    for side in (e.wrong, e.right):
        found = next(products(side, atoms_of(e), constants), None)
        costs.append(found.cost if found else np.inf)
    return costs[0] < costs[1] if costs[0] != costs[1] else None


def _sides(probes):
    return [p.analytic for p in probes], [p.numeric for p in probes]


def part(probes: list[Probe], e: Entries, where: np.ndarray) -> str:
    """What is wrong with some of the entries, as a formula; empty if none is found."""
    if any(inside for _, inside in e.quantities):
        return ""
    constants, atoms = named_constants(probes[0]), atoms_of(e, where)
    right, wrong = e.right[where], e.wrong[where]
    for p in products(right / wrong, atoms, constants):
        return _said_of_factor(p, products(wrong, atoms))[1]
    for p in products(wrong - right, atoms, constants):
        return f"your rule is the right one {_plus(p)} there"
    return ""


def _said_of_factor(p: Product, yours: Iterable[Product]) -> tuple[str, str]:
    """Kind and sentence for: yours * p = right. `yours` are formulas for the rule: a factor is said
    to stand in it only if it does."""
    where = " (on g, inside the sum)" if any(a.inside for a, _ in p.factors) else ""
    rules = list(yours)
    cheap = [{a.text: n for a, n in y.factors} for y in rules if y.cost <= rules[0].cost + 1]
    there = max(cheap, key=partial(_opposite, p), default={})  # what has most of what is to go
    cancelled, left = [], []
    for atom, n in p.factors:
        m = there.get(atom.text, 0)
        if m * n < 0:  # of what stands there, no more than what is to go
            cancelled.append((atom, m if abs(m) < abs(n) else -n))
            left += [(atom, n + m)] if abs(m) < abs(n) else []
        else:
            left.append((atom, n))
    stands, belongs = Product(1.0, tuple(cancelled), 0.0), replace(p, factors=tuple(left))
    if cancelled and not left:
        opposite = replace(stands, constant=1 / p.constant)
        return "extra-factor", f"there is a factor {fraction(opposite)} too many{where}"
    if cancelled:
        return (
            "wrong-factor",
            f"a factor {fraction(stands)} stands where {fraction(belongs)} belongs{where}",
        )
    return "missing-factor", f"a factor {fraction(p)} is missing{where}"


def _opposite(p: Product, there: dict) -> int:
    return sum(there.get(atom.text, 0) * n < 0 for atom, n in p.factors)


def _said_of_term(p: Product, is_missing: bool | None, over, count) -> tuple[str, str]:
    """Kind and sentence for: yours = right + p."""
    if is_missing is None:
        return "other-term", f"your rule is the right one {_plus(p, over, count)}"
    term = replace(p, constant=-p.constant) if is_missing else p
    text = _term_text(term, over, count)
    if is_missing:
        return "missing-term", f"a term {text} is missing"
    return "extra-term", f"there is a term {text} too many"


def _plus(p: Product, over=(), count=1) -> str:
    """What the rule has besides the right one. Twice a term may be one with the wrong sign."""
    size = replace(p, constant=abs(p.constant))
    text = f"{'minus' if p.constant < 0 else 'plus'} {_term_text(size, over, count)}"
    if near(size.constant, 2.0):
        text += f" (is the sign of {_term_text(replace(size, constant=1.0), over, count)} wrong?)"
    return text


def _term_text(p: Product, over, count) -> str:
    return sum_text(p, count) + _along(over) if over else formula_text(p)


def _along(over) -> str:
    return f" (over axis {', '.join(map(str, over))})" if over else ""
