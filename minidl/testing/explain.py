"""What is wrong with a derivative, in one sentence.

The Jacobian that backward uses is compared with the one by finite differences, at several random
points. A sentence is a relation between the two, looked up in the tables of `relations.py` and
`formulas.py`, simplest first; it is told only if it holds at all these points, to 1e-5. So a
sentence is true, but it need not be the only true one.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from operator import methodcaller

import numpy as np

from minidl.testing import formulas, orders, regions, relations, rows
from minidl.testing.entries import entries, support
from minidl.testing.errors import CheckError
from minidl.testing.function import ArrayFunction, Function
from minidl.testing.gradcheck import check_function
from minidl.testing.probe import REGIONS, Probe, draw

__tracebackhide__ = methodcaller("errisinstance", CheckError)

LARGEST = 600  # elements of an input or of the outputs: what has more is not explained
LONGEST = 30  # seconds: what could take longer is not explained


@dataclass(frozen=True)
class Finding:
    """One wrong derivative.

    input: the input's name. kind: the relation that holds, "unknown" if none was found.
    sentence: the relation in words, empty if unknown. worst: the entry of the Jacobian that is
    most wrong, with both values.
    """

    input: str
    kind: str
    sentence: str
    worst: str


def explain(function: Callable, inputs) -> list[Finding]:
    """Say what is wrong with the derivative of `function(*inputs)`; empty if it is right.

    inputs: a tensor or a tuple, as for `gradcheck`: float64, checked are those that require a
    gradient. They give shapes, types and a region where the function is defined; the relation is
    looked for at random points of that kind.
    """
    return findings(Function(function, inputs))


def assert_vjp(forward: Callable, vjp: Callable, *inputs) -> None:
    """Check the derivative of NumPy code against finite differences, as `gradcheck` does.

    forward: `forward(*inputs) -> y`, on arrays.
    vjp: `vjp(g, y, *inputs)`, or fewer of these from the left: the gradient of sum(g * y), for one
        input as an array, for several as a tuple.
    inputs: arrays; those of floats are differentiated, as float64.

    Raises GradientError, which says what is wrong, in words where they are known to be true.
    """
    check_function(ArrayFunction(forward, vjp, inputs))


def findings(function: Function) -> list[Finding]:
    """The findings for each input of `function`."""
    with np.errstate(all="ignore"):
        found = [_finding(function, k) for k in range(len(function.names))]
    return [finding for finding in found if finding]


def _finding(function, k) -> Finding | None:
    given = Probe(function, function.point, k)
    if max(given.x.size, given.flat.size) > LARGEST or _seconds(given) > LONGEST:
        is_right = given.has_right_shape and given.fits()
        return None if is_right else Finding(given.name, "unknown", "", "")
    for region in REGIONS:
        probes = draw(function, k, region)
        wrong = [p for p in probes if p.is_wrong]
        if len(wrong) >= 2:
            more = cache(lambda r=region: entries(draw(function, k, r, many=True), support))
            kind, sentence = next(_relations(probes, more), ("unknown", ""))
            return Finding(given.name, kind, sentence, wrong[0].worst())
        if (probes or given.settles) and not (given.settles and given.is_wrong):
            return None
    return Finding(given.name, "unknown", "", given.worst()) if given.settles else None


def _seconds(probe: Probe) -> float:
    """About how long it takes to look at one input: 40 Jacobians, 6 calls for each element."""

    def one_call():
        start = time.perf_counter()
        probe.function.value(probe.point)
        return time.perf_counter() - start

    return min(one_call() for _ in range(3)) * 240 * max(probe.x.size, probe.flat.size)


# ------------------------------------------------------------------------- what is tried, in order

OF_SHAPES = (
    ("axes-order", relations.axes_order),
    ("unbroadcast", relations.unbroadcast),
    ("shape", relations.shape),
)
OF_THE_WHOLE = (
    ("not-finite", relations.not_finite),
    ("ignores-g", relations.ignores_g),
    ("not-linear", relations.not_linear),
    ("zero", relations.zero),
    ("not-zero", relations.not_zero),
    ("factor", relations.factor),
    ("swapped", relations.swapped),
    ("overwritten", relations.overwritten),
    ("separate-sums", relations.separate_sums),
    ("transposed", orders.transposed),
    ("permuted", orders.permuted),
    ("elementwise", relations.elementwise),
)
IN_A_REGION = (("region", regions.region), ("mask", regions.mask))
FOR_OTHER_ARGUMENTS = (("elsewhere", orders.elsewhere),)
OF_PLACES = (
    ("adjoint", orders.adjoint),
    ("half", orders.half),
    ("misplaced", orders.misplaced),
    ("wrong-axis", relations.wrong_axis),
    ("mixes", relations.mixes),
    ("misses", relations.misses),
)
AT_SOME = (("not-moved", orders.not_moved),)  # right where nothing has to move
TWICE = (("permuted", orders.permuted_twice),)
REACHED = (("wrong-places", regions.wrong_places),)
AT_LAST = (
    ("region", regions.place),
    ("pieces", regions.pieces),
)
CHEAP = 2  # the cost of a formula that is told before it is compared with other arguments


def _relations(probes: list[Probe], more: Callable) -> Iterator[tuple[str, str]]:
    """Kind and sentence of the relations that hold at all points, the simplest first.

    Where some points are right, only what speaks of regions or of numbers can be the reason.
    """
    wrong = [p for p in probes if p.is_wrong]
    if not all(p.has_right_shape for p in wrong):
        yield from _at_each(wrong, OF_SHAPES)
        return
    everywhere = probes if len(wrong) == len(probes) else []
    yield from _at_each(everywhere, OF_THE_WHOLE)
    yield from _of_all(probes, IN_A_REGION, more)
    formula = formulas.formula(probes)
    if formula and formula[0] <= CHEAP:
        yield formula[1:]
    yield from _at_each(everywhere, FOR_OTHER_ARGUMENTS)
    if formula:
        yield formula[1:]
    yield from rows.up_to_rows(everywhere)
    yield from _at_each(probes, AT_SOME)
    yield from _at_each(everywhere, OF_PLACES)
    yield from _of_all(probes, REACHED, more)
    yield from _at_each(everywhere, TWICE)
    yield from _of_all(probes, AT_LAST, more)


def _at_each(probes, table):
    """The sentences that come out at every point."""
    for kind, relation in table:
        for sentence in relation(probes[0]) if probes else ():
            if all(sentence in relation(p) for p in probes[1:]):
                yield kind, sentence


def _of_all(probes, table, more):
    """The sentences about the entries of all points together."""
    for kind, relation in table:
        for sentence in relation(probes, more, partial(formulas.part, probes)):
            yield kind, sentence
