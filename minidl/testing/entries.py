"""The entries of the Jacobians at several points, and what is known about each of them."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from minidl.testing.probe import Probe
from minidl.testing.relations import aligned

THRESHOLDS = (1.0, 0.5, 2.0, 3.0, 6.0)


@dataclass(frozen=True)
class Fact:
    """What may be true of an entry, and its opposite. is_place: it does not depend on numbers."""

    words: str
    opposite: str
    is_place: bool = False

    @property
    def inverse(self) -> "Fact":
        return Fact(self.opposite, self.words, self.is_place)


@dataclass
class Entries:
    """Entries of the Jacobians of several points; arrays with one value for each entry.

    right, wrong: by finite differences and by backward.
    quantities: (name, inside) -> values, of x the element of the entry's column, of out that of its
        row. inside: it multiplies g before g is summed.
    plain: the names of x, out and other arguments, which functions may be applied to.
    facts: fact -> where it holds.
    """

    right: np.ndarray
    wrong: np.ndarray
    quantities: dict[tuple[str, bool], np.ndarray]
    plain: set[str]
    facts: dict[Fact, np.ndarray]


def entries(probes: list[Probe], where: Callable) -> Entries:
    """The entries of all points where `where(probe)` is true at one of them at least."""
    chosen = np.any([where(p) for p in probes], axis=0)
    parts = known(probes, chosen, probes)
    return Entries(
        np.concatenate([p.numeric[chosen] for p in probes]),
        np.concatenate([p.analytic[chosen] for p in probes]),
        _together([part.quantities for part in parts]),
        set(parts[0].plain),
        _together([part.facts for part in parts]),
    )


def known(probes: list[Probe], chosen: np.ndarray, points: list[Probe]) -> "list[_Known]":
    """What is known of the chosen entries at some points; `probes` say which outputs depend on
    which elements."""
    seen = np.any([support(p) for p in probes], axis=0)
    reduced = reduced_axes(probes)
    parts = [_Known(p, chosen, seen, reduced) for p in points]
    for part in parts:
        part.collect()
    return parts


def support(p: Probe) -> np.ndarray:
    """Where one of the two Jacobians is not zero."""
    size = np.maximum(np.abs(p.numeric), np.abs(p.analytic))
    return size > 1e-7 * size.max(initial=0.0)


def blocks(probes: list[Probe]) -> np.ndarray:
    """The entries at equal places along all axes that x and out share: the outputs and elements
    that have to do with each other."""
    p = probes[0]
    seen = np.any([support(q) for q in probes], axis=0)
    pairs = aligned(seen, p.x.shape, p.y.shape) if p.y is not None else ()
    if not pairs:
        return np.ones(seen.shape, bool) if p.y is not None else seen
    o, i = np.indices(seen.shape)
    at_y, at_x = np.unravel_index(o, p.y.shape), np.unravel_index(i, p.x.shape)
    return np.all([at_y[b] == at_x[a] for b, a in pairs], axis=0)


def reduced_axes(probes: list[Probe]) -> tuple[int, ...]:
    """The axes of x along which an output depends on more than one element."""
    p = probes[0]
    if p.y is None:
        return ()
    kept = set.intersection(*(aligned(q.numeric, q.x.shape, q.y.shape) for q in probes))
    kept = {a for _, a in kept}
    return tuple(a for a, n in enumerate(p.x.shape) if n > 1 and a not in kept)


def is_number(array: np.ndarray, like: np.ndarray) -> bool:
    """Whether an argument counts in formulas: floats, and integers in the shape of x, as signs."""
    return array.dtype.kind == "f" or (array.dtype.kind == "i" and array.shape == like.shape)


def _together(parts: list[dict]) -> dict:
    names = [name for name in parts[0] if all(name in part for part in parts)]
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


class _Known:
    """Quantities and facts at one point."""

    def __init__(self, p: Probe, chosen, seen, reduced):
        self.p, self.seen, self.reduced = p, seen, reduced
        self.o, self.i = np.nonzero(chosen)
        self.inside = bool((chosen.sum(0) > 1).any())  # g is summed over several outputs
        self.quantities: dict[tuple[str, bool], np.ndarray] = {}
        self.plain: list[str] = []
        self.facts: dict[Fact, np.ndarray] = {}

    def collect(self):
        p = self.p
        self.column(p.name, p.x)
        if p.y is not None:
            self.row("out", p.y)
        arrays = {n: x for n, x in zip(p.function.names, p.point, strict=True) if n != p.name}
        constants = {n: x for n, x in p.function.others.items() if is_number(x, p.x)}
        for name, array in {**arrays, **constants}.items():
            self.row(name, array)
            self.column(name, array)
            self.product(name)
        if self.inside and p.y is not None:
            self.row(p.name, p.x)
            self.column("out", p.y)
        self.between(["out"] if self.reduced else [])
        self.between(list(arrays))
        for name, number in list(p.function.numbers.items())[:3]:
            if number not in (0.0, 1.0):
                self.column(f"({name} * {p.name})", number * p.x)
        self.multiplied({**arrays, **constants})
        self.statistics(arrays)
        self.largest_seen()
        self.places()

    def row(self, name, array):
        self.add(name, array, self.p.y, self.o, self.inside)

    def column(self, name, array):
        self.add(name, array, self.p.x, self.i, False)

    def add(self, name, array, like, at, inside):
        """A quantity that has (or broadcasts to) the shape of `like`."""
        if like is None or (name, inside) in self.quantities:
            return
        try:
            values = np.broadcast_to(array, like.shape).ravel()[at]
        except ValueError:
            return
        self.quantities[name, inside] = values
        self.plain.append(name)
        self.signs(name, values)

    def signs(self, name, values):
        self.fact(f"{name} < 0", f"{name} > 0", values < 0)
        self.fact(f"{name} is 0", f"{name} is not 0", values == 0)
        for t in THRESHOLDS:
            self.fact(f"{name} > {t:g}", f"{name} < {t:g}", values > t)
            self.fact(f"{name} < -{t:g}", f"{name} > -{t:g}", values < -t)
            self.fact(f"|{name}| > {t:g}", f"|{name}| < {t:g}", np.abs(values) > t)
        for other, t in self.p.function.numbers.items():
            self.fact(f"{name} > {other}", f"{name} < {other}", values > t)
            self.fact(f"{name} < -{other}", f"{name} > -{other}", values < -t)
            self.fact(f"|{name}| > {other}", f"|{name}| < {other}", np.abs(values) > abs(t))
        limits = {f"{t:g}": t for t in (-1.0, 0.0, 1.0)} | self.p.function.numbers
        for (low, a), (high, b) in permutations(limits.items(), 2):
            if a < b:
                outside = (values < a) | (values > b)
                between = f"between {low} and {high}"
                self.fact(f"{name} is not {between}", f"{name} is {between}", outside)
                if a > 0:
                    outside = (np.abs(values) < a) | (np.abs(values) > b)
                    between = f"|{name}| is {{}}{between}".format
                    self.fact(between("not "), between(""), outside)

    def fact(self, text, opposite, where):
        self.facts.setdefault(Fact(text, opposite), where)

    def place(self, text, verb, where):
        opposite = "is not" if verb == "is" else "does not come"
        opposite = text.replace(f" {verb} ", f" {opposite} ", 1)
        self.facts.setdefault(Fact(text, opposite, is_place=True), where)

    def between(self, others):
        """Relations of x with the other differentiated inputs."""
        name = self.p.name
        x = self.quantities[name, False]
        for other in others:
            for inside in (False, True):
                y = self.quantities.get((other, inside))
                if y is not None:
                    if (x != y).all():
                        self.fact(f"{name} > {other}", f"{name} < {other}", x > y)
                    self.quantities[f"({name} - {other})", inside] = x - y
                    self.plain.append(f"({name} - {other})")
                    self.quantities[f"({name} + {other})", inside] = x + y
                    self.quantities[f"({name}**2 + {other}**2)", inside] = x * x + y * y

    def product(self, other):
        """Conditions on x times another argument, as in a hinge."""
        for inside in (False, True):
            y = self.quantities.get((other, inside))
            if y is not None:
                self.signs(f"{self.p.name} * {other}", self.quantities[self.p.name, False] * y)

    def multiplied(self, arrays):
        """The product of x with a matrix, on each side."""
        name, x = self.p.name, self.p.x
        for other, matrix in arrays.items():
            if matrix.ndim != 2 or not x.ndim or x.ndim > 2:
                continue
            for turned, m in (("", matrix), (".T", matrix.T)):
                if m.shape[1] == x.shape[0] == m.shape[0]:
                    self.of_x(f"({other}{turned} @ {name})", m @ x)
                if x.ndim == 2 and x.shape[1] == m.shape[0] == m.shape[1]:
                    self.of_x(f"({name} @ {other}{turned})", x @ m)

    def of_x(self, text, array):
        values = np.broadcast_to(array, self.p.x.shape).ravel()[self.i]
        self.quantities.setdefault((text, False), values)

    def statistics(self, others):
        """Of x along the axes that are reduced, and its largest and smallest elements."""
        name, x = self.p.name, self.p.x
        axes = [(a,) for a in range(x.ndim) if x.shape[a] > 1]
        for along in [self.reduced, *axes, tuple(range(x.ndim))]:
            if not along:
                continue
            where = "" if along == self.reduced else f" along axis {', '.join(map(str, along))}"
            if self.reduced:
                self.of_rows(name, x, along, where)
                for other, y in others.items():
                    if y.shape == x.shape:
                        norm = np.sqrt((y * y).sum(along, keepdims=True))
                        self.of_x(f"norm({other}){where}", norm)
            for word, best in (("largest", x.max), ("smallest", x.min)):
                is_best = (x == best(along, keepdims=True)).ravel()[self.i]
                text = f"{name} is the {word}{where}"
                self.fact(text, text.replace("is the", "is not the"), is_best)

    def of_rows(self, name, x, along, where):
        """Sums along these axes."""
        mean, exp = x.mean(along, keepdims=True), np.exp(x)
        found = {
            f"mean({name}){where}": mean,
            f"({name} - mean({name}){where})": x - mean,
            f"std({name}){where}": x.std(along, keepdims=True),
            f"norm({name}){where}": np.sqrt((x * x).sum(along, keepdims=True)),
            f"sum({name}){where}": x.sum(along, keepdims=True),
            f"sum(exp({name})){where}": exp.sum(along, keepdims=True),
            f"softmax({name}){where}": exp / exp.sum(along, keepdims=True),
        }
        for text, array in found.items():
            self.of_x(text, array)
        if not where:
            self.signs(
                f"({name} - mean({name}))", self.quantities[f"({name} - mean({name}))", False]
            )

    def largest_seen(self):
        """Whether x is the largest of the elements that an output depends on, as in pooling."""
        x = self.p.x.ravel()
        o, i = np.nonzero(self.seen)
        for word, best, worst in (
            ("largest", np.maximum, -np.inf),
            ("smallest", np.minimum, np.inf),
        ):
            seen = np.full(self.p.flat.size, worst)
            best.at(seen, o, x[i])
            text = f"{self.p.name} is the {word} of those that the output sees"
            self.fact(text, text.replace("is the", "is not the"), x[self.i] == seen[self.o])

    def places(self):
        """Where the element of x and that of out are; masks among the other arguments."""
        p = self.p
        for what, array, at in ((p.name, p.x, self.i), ("out", p.y, self.o)):
            if array is None or not array.ndim:
                continue
            places = np.unravel_index(at, array.shape)
            for axis, (place, size) in enumerate(zip(places, array.shape, strict=True)):
                is_first, is_last = place == 0, place == size - 1
                self.place(f"{what} is the first along axis {axis}", "is", is_first)
                self.place(f"{what} is the last along axis {axis}", "is", is_last)
                self.place(f"{what} is first or last along axis {axis}", "is", is_first | is_last)
            if array.ndim > 1:
                row, column = places[-2:]
                self.place(f"{what} is on the diagonal", "is", row == column)
                self.place(f"{what} is above the diagonal", "is", row < column)
                self.place(f"{what} is below the diagonal", "is", row > column)
            for name, mask in p.function.others.items():
                if mask.dtype == bool:
                    self.masked(name, mask, array.shape, at)
                elif mask.dtype.kind == "i":
                    self.labelled(what, name, mask, places, array.shape)
        if p.y is not None:
            self.order(p.name, p.x.shape, p.y.shape)

    def masked(self, name, mask, shape, at):
        try:
            where = np.broadcast_to(mask, shape).ravel()[at]
        except ValueError:
            return
        self.fact(f"{name} is True", f"{name} is False", where)

    def labelled(self, what, name, labels, places, shape):
        """Whether the place along an axis is the one that an array of labels names."""
        for axis in range(len(shape)):
            others = [place for a, place in enumerate(places) if a != axis]
            if labels.ndim and labels.shape == (*shape[:axis], *shape[axis + 1 :]):
                named = places[axis] == labels[tuple(others)] % shape[axis]
                self.place(f"{what} is where {name} points along axis {axis}", "is", named)

    def order(self, name, x_shape, y_shape):
        """Which comes first along an axis, the element of x or that of out."""
        for axis, (n, m) in enumerate(zip(x_shape, y_shape, strict=False)):
            if n == m > 1:
                x = np.unravel_index(self.i, x_shape)[axis]
                y = np.unravel_index(self.o, y_shape)[axis]
                self.place(f"{name} comes after out along axis {axis}", "comes", x > y)
                self.place(f"{name} comes before out along axis {axis}", "comes", x < y)
                self.place(f"{name} is where out is along axis {axis}", "is", x == y)
