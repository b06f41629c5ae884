"""Where a function can be damaged: the places of its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Where a node hangs in the tree: `parent.field`, or an element of that list."""

    parent: ast.AST
    field: str
    index: int | None = None

    @property
    def node(self) -> ast.AST:
        value = getattr(self.parent, self.field)
        return value if self.index is None else value[self.index]

    def put(self, node: ast.AST) -> None:
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node

    @contextmanager
    def holding(self, node: ast.AST) -> Iterator[None]:
        """The tree has `node` here inside, and is as before afterwards."""
        before = self.node
        self.put(node)
        try:
            yield
        finally:
            self.put(before)

    @property
    def is_result(self) -> bool:
        """Whether a return statement or a lambda gives back the node itself."""
        if isinstance(self.parent, ast.Lambda):
            return self.field == "body"
        return isinstance(self.parent, ast.Return)


def functions(tree: ast.Module) -> list[tuple[str, ast.AST]]:
    """(name, node) of a file's functions, methods and lambdas; those inside a function are its."""
    return list(_functions(tree, ""))


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.AST]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + child.name, child
        elif isinstance(child, ast.Lambda):
            yield prefix + "lambda", child
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")
        else:
            yield from _functions(child, prefix)


# Types, defaults, the words of an error, `strict=` and `copy=` decide nothing about the numbers.
SKIPPED = (
    ast.arguments,
    ast.expr_context,
    ast.Raise,
    ast.Assert,
    ast.JoinedStr,
    ast.Import,
    ast.ImportFrom,
)


def places(function: ast.AST) -> Iterator[tuple[Place, ast.AST]]:
    """The places of the statements and expressions in a function's body, each with its statement.

    Of a lambda, the statement is the lambda.
    """
    if isinstance(function, ast.Lambda):
        yield from _below(Place(function, "body"), function)
    else:
        yield from _body(function)


def _body(function: ast.AST) -> Iterator[tuple[Place, ast.AST]]:
    documented = ast.get_docstring(function, clean=False) is not None
    for i in range(int(documented), len(function.body)):
        yield from _below(Place(function, "body", i), function.body[i])


def _below(place: Place, statement: ast.AST) -> Iterator[tuple[Place, ast.AST]]:
    node = place.node
    if isinstance(node, SKIPPED) or getattr(node, "arg", "") in ("strict", "copy"):
        return
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield from _body(node)
        return
    yield place, statement
    if is_negative_number(node):
        return  # -1 is one number, not 1 and a sign
    for field, value in ast.iter_fields(node):
        if field == "annotation":
            continue
        for i, child in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(child, ast.AST):
                inner = Place(node, field, i if isinstance(value, list) else None)
                yield from _below(inner, child if isinstance(child, ast.stmt) else statement)


def is_negative_number(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.UnaryOp)
        and isinstance(node.op, ast.USub)
        and isinstance(node.operand, ast.Constant)
    )


def results(place: Place) -> Iterator[Place]:
    """Where the numbers are in what is returned: each element of a tuple, each branch of an if."""
    node = place.node
    if isinstance(node, ast.Tuple | ast.List):
        for i in range(len(node.elts)):
            yield from results(Place(node, "elts", i))
    elif isinstance(node, ast.ListComp | ast.GeneratorExp):
        yield from results(Place(node, "elt"))
    elif isinstance(node, ast.IfExp):
        yield from results(Place(node, "body"))
        yield from results(Place(node, "orelse"))
    elif node is not None and not isinstance(node, NO_NUMBER) and not _is_not(node):
        yield place


NO_NUMBER = (ast.Constant, ast.Compare, ast.BoolOp)


def _is_not(node: ast.AST) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
