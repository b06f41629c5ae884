"""Products of powers of quantities: what a number at each entry of a Jacobian may be made of."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from minidl.testing.entries import Entries
from minidl.testing.probe import Probe, near
from minidl.testing.relations import sizes


@dataclass(frozen=True)
class Product:
    """constant * atoms[0] ** powers[0] * ..., and what it costs to say it. named: what the constant
    is, up to its sign."""

    constant: float
    factors: tuple  # of (atom, power)
    cost: float
    named: "Constant | None" = None


@dataclass(frozen=True)
class Atom:
    """A quantity or a function of one. inside: it multiplies g before g is summed."""

    text: str
    values: np.ndarray
    cost: float
    inside: bool
    powers: tuple


# What is tried on each quantity q: text, function, cost, powers.
FUNCTIONS = (
    ("{q}", lambda q: q, 1, (1, -1, 2, -2, 0.5, -0.5, 3)),
    ("(1 - {q})", lambda q: 1 - q, 1.5, (1, -1, 2, -2, 0.5, -0.5)),
    ("(1 + {q})", lambda q: 1 + q, 1.5, (1, -1, 2, -2, 0.5, -0.5)),
    ("(1 - {q} * {q})", lambda q: 1 - q * q, 2, (1, -1, 0.5, -0.5, 2)),
    ("(1 + |{q}|)", lambda q: 1 + np.abs(q), 2, (1, -1, 2, -2)),
    ("(1 + {q} * {q})", lambda q: 1 + q * q, 2, (1, -1, 0.5, -0.5, 2)),
    ("(1 + {q} * (1 - {q}))", lambda q: 1 + q * (1 - q), 3, (1, -1)),
    ("exp({q})", np.exp, 1.5, (1, -1, 2)),
    ("sigmoid({q})", lambda q: 1 / (1 + np.exp(-q)), 1.5, (1, -1, 2)),
    ("(1 - sigmoid({q}))", lambda q: 1 / (1 + np.exp(q)), 2, (1, -1, 2)),
    ("exp({q} * {q})", lambda q: np.exp(q * q), 2.5, (1, -1, 0.5, -0.5)),
    ("sin({q})", np.sin, 1.5, (1, -1, 2, -2)),
    ("cos({q})", np.cos, 1.5, (1, -1, 2, -2)),
    ("tanh({q})", np.tanh, 2, (1, -1, 2)),
    ("log({q})", np.log, 1.5, (1, -1)),
    ("sign({q})", np.sign, 1.5, (1,)),
)
SHORT = ("exp({q})", "sign({q})")
TRIGONOMETRY = ("sin({q})", "cos({q})", "tanh({q})", "sigmoid({q})", "(1 - sigmoid({q}))")

POWER_COST = {1: 0, -1: 0.5, 2: 0.5, -2: 1, 0.5: 1, -0.5: 1, 3: 2}


def atoms_of(e: Entries, chosen=slice(None)) -> list[Atom]:
    found = []
    for (name, inside), values in e.quantities.items():
        for text, function, cost, powers in FUNCTIONS:
            # Of a difference only few functions are tried, of out only those that occur.
            if text != "{q}" and (name not in e.plain or (name[0] == "(" and text not in SHORT)):
                continue
            q = function(values[chosen])
            if np.isfinite(q).all() and (q != 0).all() and np.ptp(q) > 1e-9:
                written = text.format(q=name[1:-1] if name[0] == "(" and text in SHORT else name)
                price = cost + len(name.split()) // 2 + 2 * (name == "out" and text in TRIGONOMETRY)
                price += 0.6 * name.startswith("softmax(")
                found.append(Atom(written, q, price, inside, powers))
    return found


@dataclass(frozen=True)
class Constant:
    """A number that may stand before a product, and what it costs; where it is an argument or
    1 / an argument, also how that is written."""

    value: float
    cost: float
    above: str = ""
    below: str = ""


def named_constants(p: Probe) -> list[Constant]:
    simple = [(1.0, 0.0), (-1.0, 0.5)]
    simple += [(s * c, 0.5) for c in (2.0, 0.5) for s in (1, -1)]
    simple += [(s * c, 1.0) for c in (3.0, 1 / 3, 4.0, 0.25) for s in (1, -1)]
    named = [n for n in sizes(p).values() if n > 1]
    named += [n - 1 for n in named if n > 2]
    found = [Constant(*pair) for pair in simple]
    for name, v in p.function.numbers.items():
        for sign in (1, -1) if v and abs(v) != 1 else ():
            found += [Constant(sign * v, 1.0, name), Constant(sign / v, 1.0, "", name)]
    return found + [Constant(s * v, 1.0) for n in named for v in (n, 1 / n) for s in (1, -1)]


def products(target, atoms, constants=None) -> Iterator[Product]:
    """The products of at most three powers of atoms that are the target up to one of the
    constants, or to any; the cheapest first."""
    if not (target.size and np.isfinite(target).all() and (target != 0).all()):
        return
    powers = [(a, p) for a in atoms for p in a.powers if p % 1 == 0 or (a.values > 0).all()]
    found = []
    for factors in chain([()], _pairs(target, powers) or _triples(target, powers)):
        value = np.ones_like(target)
        for atom, power in factors:
            value = value * atom.values**power
        c = float((target * value).sum() / (value * value).sum())
        known = constants if constants is not None else [Constant(c, 1.0)]
        constant = next((k for k in known if near(c, float(k.value))), None)
        if constant is not None and near(target, c * value):
            cost = constant.cost + sum(a.cost + POWER_COST[p] for a, p in factors)
            found.append(Product(c, tuple(factors), cost, constant))
    yield from sorted(found, key=lambda product: product.cost)


def _pairs(target, powers) -> list[tuple]:
    """Single powers and pairs that are proportional to the target, by their logarithms."""
    if not powers:
        return []
    few = slice(None, None, max(1, target.size // 200))
    logs = np.array([p * np.log(np.abs(a.values[few])) for a, p in powers])
    goal = np.log(np.abs(target[few]))
    logs -= logs.mean(1, keepdims=True)
    goal = goal - goal.mean()
    allowed = 1e-9 * goal.size
    gram = logs @ logs.T
    square, along = np.diag(gram), logs @ goal
    single = goal @ goal + square - 2 * along
    found: list[tuple] = [(powers[i],) for i in np.flatnonzero(single < allowed)]
    double = single[:, None] + square - 2 * along + 2 * gram
    for i, j in np.argwhere(np.triu(double < allowed, 1)):
        if powers[i][0] is not powers[j][0]:
            found.append((powers[i], powers[j]))
    return found


def _triples(target, powers) -> list[tuple]:
    """Pairs times a quantity itself."""
    found = []
    for atom, power in powers:
        if atom.cost <= 1 and abs(power) == 1:
            rest = [pair for pair in powers if pair[0] is not atom]
            found += [((atom, power), *p) for p in _pairs(target / atom.values**power, rest)]
    return [factors for factors in found if len(factors) == 3]


def value_of(p: Product, atoms) -> np.ndarray:
    """A product that was found with some of the values of the atoms, on all of them."""
    value = p.constant * np.ones_like(atoms[0].values)
    for used, power in p.factors:
        (atom,) = (a for a in atoms if (a.text, a.inside) == (used.text, used.inside))
        value = value * atom.values**power
    return value


# ------------------------------------------------------------------------------------ in words


def power_text(atom: Atom, power: float) -> str:
    size = abs(power)
    if size == 0.5:
        return f"sqrt{atom.text}" if atom.text[0] == "(" else f"sqrt({atom.text})"
    return f"{atom.text}**{size:g}" if size > 1 else atom.text


def fraction_parts(p: Product) -> tuple[str, str]:
    """Numerator and denominator; "1" and "" if there is none."""
    above = [power_text(a, n) for a, n in p.factors if n > 0]
    below = [power_text(a, n) for a, n in p.factors if n < 0]
    c = abs(p.constant)
    if p.named and p.named.above + p.named.below and near(c, abs(p.named.value)):
        above[:0], below[:0] = filter(None, [p.named.above]), filter(None, [p.named.below])
    elif not near(c, 1.0):
        (above if c > 1 else below).insert(0, f"{c if c > 1 else 1 / c:.4g}")
    sign = "-" if p.constant < 0 else ""
    several = f"({' * '.join(below)})" if len(below) > 1 else "".join(below)
    return sign + (" * ".join(above) or "1"), several


def fraction(p: Product) -> str:
    above, below = fraction_parts(p)
    return f"{above} / {below}" if below else above


def formula_text(p: Product, g: str = "g") -> str:
    """The product times g."""
    text = fraction(p)
    sign = "-" if text[0] == "-" else ""
    text = text.removeprefix("-")
    if text == "1":
        return f"{sign}{g}"
    return f"{sign}{g}{text[1:]}" if text.startswith("1 / ") else f"{sign}{g} * {text}"


def sum_text(p: Product, count: int) -> str:
    """A product times a sum of g, or the mean if the constant says so."""
    is_mean = count > 1 and near(abs(p.constant) * count, 1.0)
    c = float(np.sign(p.constant)) if is_mean else p.constant
    inner = " * ".join(["g", *(power_text(a, n) for a, n in p.factors if a.inside)])
    outer = Product(c, tuple((a, n) for a, n in p.factors if not a.inside), p.cost, p.named)
    word = "mean" if is_mean else "sum"
    return formula_text(outer, f"{word}({inner})")
