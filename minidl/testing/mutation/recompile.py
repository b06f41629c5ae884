"""From a function's code to its syntax tree, and back."""

from __future__ import annotations
import __future__

import ast
from functools import cache
from pathlib import Path
from types import CodeType


@cache
def _tree(file: str) -> ast.Module:
    return ast.parse(Path(file).read_text(encoding="utf-8"))


def node_of(code: CodeType) -> ast.AST:
    """The `def` or lambda in its file that this code was compiled from."""
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    found = [
        node
        for node in ast.walk(_tree(code.co_filename))
        if isinstance(node, ast.FunctionDef | ast.Lambda)
        and _first_line(node) == code.co_firstlineno
        and tuple(a.arg for a in (*node.args.args, *node.args.kwonlyargs)) == names
    ]
    if len(found) > 1:  # lambdas on one line: where is the code that does something?
        places = [(line, column) for line, _, column, end in code.co_positions() if end]
        found = [node for node in found if _begin(node) <= min(places) < _end(node)]
    if len(found) != 1:
        raise LookupError(
            f"{code.co_name} is not on line {code.co_firstlineno} of {code.co_filename}: has the "
            "file changed since it was imported?"
        )
    return found[0]


def _first_line(node: ast.AST) -> int:
    decorators = getattr(node, "decorator_list", [])
    return decorators[0].lineno if decorators else node.lineno


def _begin(node: ast.Lambda) -> tuple[int, int]:
    return node.body.lineno, node.body.col_offset


def _end(node: ast.Lambda) -> tuple[int, int]:
    return node.end_lineno, node.end_col_offset


def compiled(node: ast.AST, code: CodeType) -> CodeType:
    """The code of a `def` or lambda, to take the place of `code`."""
    if isinstance(node, ast.Lambda):
        statement: ast.stmt = ast.Expr(node, lineno=node.lineno, col_offset=0)
    else:
        statement = ast.FunctionDef(**{**dict(ast.iter_fields(node)), "decorator_list": []})
        ast.copy_location(statement, node)
    flags = code.co_flags & __future__.annotations.compiler_flag
    whole = compile(
        ast.Module([statement], []), code.co_filename, "exec", flags=flags, dont_inherit=True
    )
    found = [c for c in whole.co_consts if isinstance(c, CodeType) and c.co_name == code.co_name]
    return found[-1]  # a default value may hold a lambda too, which comes first
