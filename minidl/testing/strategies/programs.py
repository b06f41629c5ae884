"""Whole random programs of ops: a hypothesis strategy, and what it gives.

A program is drawn by running it: each statement is computed on NumPy arrays by the reference of its
op's record. So the next statement knows the numbers it will meet, and keeps away from kinks, poles
and overflow, and every program has an oracle that does not use minidl.
"""

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

import minidl
from minidl import Tensor
from minidl.testing.code import as_code
from minidl.testing.strategies.domains import ANY, Domain
from minidl.testing.strategies.shapes import Shape

LARGEST_SIZE = 64  # of a value
LARGEST_NUMBER = 20.0
SEVERAL = ("split",)  # ops that return a tuple, of one result too


class Unfit(Exception):
    """A statement cannot be made with these values: its numbers, its size."""


@dataclass(frozen=True)
class Term:
    """Something computed from the values of a program: `v1`, `v1 > 0`."""

    code: str
    compute: Callable[[dict], np.ndarray]
    name: str


def value(name: str) -> Term:
    return Term(name, lambda values: values[name], name)


def names_in(tree: Any) -> tuple[str, ...]:
    """The values that nested tuples and lists speak of."""
    if isinstance(tree, tuple | list):
        return tuple(name for branch in tree for name in names_in(branch))
    return (tree.name,) if isinstance(tree, Term) else ()


def computed(tree: Any, values: dict) -> Any:
    """The same tree with numbers for its terms."""
    if isinstance(tree, tuple | list):
        return type(tree)(computed(branch, values) for branch in tree)
    return tree.compute(values) if isinstance(tree, Term) else tree


def written(tree: Any) -> str:
    """The tree as Python."""
    if isinstance(tree, list):
        return f"[{', '.join(map(written, tree))}]"
    return tree.code if isinstance(tree, Term) else as_code(tree)


def written_index(where: Any) -> str:
    """An index as it stands between the brackets; arrays become lists. One alone has a comma:
    without it a list of lists would mean several indices."""
    parts = where if isinstance(where, tuple) else (where,)
    comma = "," if len(parts) == 1 and isinstance(where, tuple | np.ndarray) else ""
    return ", ".join(map(_written_part, parts)) + comma or "()"


def _written_part(part: Any) -> str:
    if isinstance(part, slice):
        ends = ["" if end is None else str(end) for end in (part.start, part.stop)]
        return ":".join(ends if part.step is None else [*ends, str(part.step)])
    return as_code(part.tolist() if isinstance(part, np.ndarray) else part)


@dataclass(frozen=True)
class Statement:
    """One line: its text, the names it gives a value to and reads, how the numbers are computed."""

    code: str
    targets: tuple[str, ...]
    reads: tuple[str, ...]
    compute: Callable[[dict], tuple]


class Program:
    """A sequence of op calls on tensors.

    `program(*program.tensors())` runs it and returns a tuple of results;
    `program.reference(*program.arrays)` computes the same with NumPy alone; `print(program)` is
    Python that does it again.

    arrays: the numbers of the inputs, float64. lines: the statements, as text.
    """

    def __init__(self, inputs: dict[str, np.ndarray], statements: list[Statement], results):
        """Statements and inputs that no result needs are left out."""
        self._statements, self._results = [], tuple(results)
        needed = set(results)
        for statement in reversed(statements):
            if needed & set(statement.targets):
                self._statements.insert(0, statement)
                needed |= set(statement.reads)
        self._inputs = tuple(name for name in inputs if name in needed)
        self.arrays = tuple(inputs[name] for name in self._inputs)
        # What is left is numbered anew; the statements compute with the names of the draft.
        made = dict.fromkeys(name for s in self._statements for name in s.targets)
        self._shown = {name: f"x{i}" for i, name in enumerate(self._inputs, 1)}
        self._shown |= {name: f"v{i}" for i, name in enumerate(made, 1)}
        self.lines = [self._renamed(statement.code) for statement in self._statements]
        self.__name__ = "program"
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        names = map(self._renamed, self._inputs)
        self.__signature__ = inspect.Signature([inspect.Parameter(n, kind) for n in names])

    def _renamed(self, text: str) -> str:
        return re.sub(r"\b[xv]\d+\b", lambda name: self._shown[name[0]], text)

    def tensors(
        self, dtype: object = minidl.float64, *, device: str = "cpu", requires_grad: bool = True
    ) -> tuple[Tensor, ...]:
        """The inputs as new tensors."""
        return tuple(
            minidl.tensor(a, dtype=dtype, device=device, requires_grad=requires_grad)
            for a in self.arrays
        )

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        values = {"minidl": minidl}
        values.update(zip(self.__signature__.parameters, inputs, strict=True))
        exec(self._compiled, values)
        return tuple(values[self._shown[name]] for name in self._results)

    @cached_property
    def _compiled(self):
        return compile("\n".join(self.lines), "<program>", "exec")

    def reference(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """The results by the references of the ops' records, on NumPy arrays."""
        values = dict(zip(self._inputs, inputs, strict=True))
        for statement in self._statements:
            values.update(zip(statement.targets, statement.compute(values), strict=True))
        return tuple(values[name] for name in self._results)

    def __str__(self) -> str:
        lines = ["import minidl", ""]
        for name, t in zip(self.__signature__.parameters, self.tensors(), strict=True):
            lines.append(f"{name} = {as_code(t)}.requires_grad_()")
        results = ", ".join(self._shown[name] for name in self._results)
        return "\n".join([*lines, *self.lines, f"results = [{results}]"])

    def _repr_pretty_(self, printer, cycle):  # what hypothesis prints for a failing example
        printer.text(f"the program\n\n{self}\n\n")


class Draft:
    """A program while it is drawn. Forms (`forms.py`) ask it for operands and add statements."""

    def __init__(self, draw, references: dict[str, Callable]):
        self.draw, self.references = draw, references
        self.short, self.seed = not draw(st.booleans()), draw(st.integers(0, 999))
        self.inputs: dict[str, np.ndarray] = {}
        self.statements: list[Statement] = []
        self.values: dict[str, np.ndarray] = {}
        self.unread: list[str] = []
        self.writable: list[str] = []  # clones that no statement has read: safe to change in place

    def choose(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def number(self, x: Term) -> np.ndarray:
        """The numbers of a value."""
        return self.values[x.name]

    def operand(
        self,
        shape: st.SearchStrategy[Shape],
        domain: Domain = ANY,
        fits: Callable[[np.ndarray], bool] = lambda x: True,
        holds: Callable[[np.ndarray], bool] | None = None,
    ) -> Term:
        """A new input of such a shape and domain, or an earlier value that `fits`.

        holds: what the numbers of an earlier value must meet; to lie in the domain if None.
        """
        if holds is None:
            holds = (lambda x: True) if domain is ANY else domain.__contains__
        earlier = [
            name
            for name, x in reversed(self.values.items())
            if x.dtype.kind == "f" and fits(x) and holds(x)
        ]
        name = self.choose(None, *earlier, *earlier, *earlier)
        own = self.draw(shape) if name is None else self.values[name].shape
        # Now and then a new input takes the place of a value, so that shrinking may turn to it.
        if name is None or self.draw(st.integers(0, 5)) == 0:
            number = sum(n.startswith("x") for n in self.values) + 1
            name = f"x{number}"
            rng = np.random.default_rng([self.seed, number])
            self.values[name] = domain.array(rng, own, self.short)
        return value(name)

    def call(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Adds `v = minidl.name(*args, **kwargs)`; several targets for several results."""
        given = [written(a) for a in args] + [f"{k}={as_code(v)}" for k, v in kwargs.items()]
        self.add(f"minidl.{name}({', '.join(given)})", name, args, kwargs)

    def add(self, code: str, name: str, args: tuple, kwargs: dict | None = None) -> None:
        """Adds `v = code`, computed by the reference of the record `name`."""
        reference, kwargs = self.references[name], kwargs or {}

        def compute(values):
            found = reference(*computed(args, values), **kwargs)
            return found if isinstance(found, tuple) else (np.asarray(found),)

        results = self._checked(compute)
        first = sum(n.startswith("v") for n in self.values) + 1
        targets = tuple(f"v{first + i}" for i in range(len(results)))
        left = ", ".join(targets) if name not in SEVERAL or len(targets) > 1 else f"({targets[0]},)"
        self._keep(Statement(f"{left} = {code}", targets, names_in(args), compute), results)
        self.unread += targets
        if name == "clone":
            self.writable += targets

    def write(self, target: Term, code: str, name: str, args: tuple) -> None:
        """Adds `code`, which gives `target` in place what the reference computes from `args`."""
        reference = self.references[name]

        def compute(values):
            return (np.asarray(reference(*computed(args, values))),)

        results = self._checked(compute)
        if results[0].shape != self.number(target).shape:
            raise Unfit
        self._keep(Statement(code, (target.name,), names_in(args), compute), results)

    def _checked(self, compute):
        with np.errstate(all="ignore"):
            results = compute(self.values)
        for x in results:
            if not 0 < x.size <= LARGEST_SIZE or not (np.abs(x) <= LARGEST_NUMBER).all():
                raise Unfit
        return results

    def _keep(self, statement, results):
        self.statements.append(statement)
        self.values.update(zip(statement.targets, results, strict=True))
        self.inputs.update((n, x) for n, x in self.values.items() if n.startswith("x"))
        read = set(statement.reads) - set(statement.targets)
        self.unread = [n for n in self.unread if n not in read]
        self.writable = [n for n in self.writable if n not in read]

    def forget(self) -> None:
        """Drops the inputs of a statement that was not made."""
        for name in [n for n in self.values if n.startswith("x") and n not in self.inputs]:
            del self.values[name]


@st.composite
def programs(draw, max_statements: int = 6, forms: Sequence[Callable] | None = None):
    """Programs of ops that are smooth where they are run: unary and binary ops, reductions, shapes,
    products, windows, several results, changes in place, values that are used more than once.

    @given(program=programs())
    def test(program):
        assert gradcheck(program, program.tensors())

    forms: what a statement can be, a selection of `minidl.testing.strategies.forms.FORMS`; all of
        them if None.

    Hypothesis makes a failing program smaller: few statements, small inputs.
    """
    # The records are drawn by the other strategies of this package.
    from minidl.testing.records import ops
    from minidl.testing.strategies.forms import FORMS

    forms = FORMS if forms is None else forms
    draft = Draft(draw, {record.name: record.reference for record in ops()})
    for _ in range(max_statements):
        draw(maybe_one(draft, forms))
    assume(draft.statements)
    last = draft.statements[-1].targets
    return Program(draft.inputs, draft.statements, draw(st.sampled_from([last, draft.unread])))


@st.composite
def maybe_one(draw, draft, forms):
    """Adds a statement, if the form that is drawn fits the values that are there."""
    if draw(st.integers(0, 4)) == 0:
        return
    try:
        draw(st.sampled_from(forms))(draft)
    except Unfit:
        draft.forget()
