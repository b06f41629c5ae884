"""Damage a file of yours, and see whether your tests notice: a grade for the tests."""

from __future__ import annotations

import ast
import gc
import importlib.util
import json
import os
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType

from minidl.testing import child
from minidl.testing.mutation import pytests
from minidl.testing.mutation.attempts import caught_by, in_parallel, silence, with_progress
from minidl.testing.mutation.damage import Damage, damages
from minidl.testing.mutation.places import functions
from minidl.testing.mutation.report import Result


def run(file: Path, tests: list[str], progress: bool = False) -> list[Result]:
    """Damages every function of `file` in every way, and runs the tests each time.

    tests: what pytest is given: files, folders, `file.py::test`, options. A test that fails ends a
    run. Raises RuntimeError if the file is not Python or has nothing to damage, if the tests do
    not pass as it is, or never import it.
    """
    path = file.resolve()
    tree = _parsed(file)
    found = [damage for name, node in functions(tree) for damage in damages(node, name)]
    if not found:
        raise RuntimeError(f"{file} has nothing to damage: no function in it computes anything")
    code = compile(tree, str(path), "exec", dont_inherit=True)
    _import(_modules_of_passing(path, code, tests))
    start = time.perf_counter()
    _modules_of_passing(path, code, tests)
    seconds = 10 + 10 * (time.perf_counter() - start)

    def attempt(damage: Damage) -> Result:
        with damage.place.holding(damage.node):
            code = compile(tree, str(path), "exec", dont_inherit=True)
        caught = caught_by(partial(_first_failure, path, code, tests), seconds)
        where = damage.function, damage.kind, str(file), damage.line
        return Result(*where, damage.before, damage.after, caught)

    results = in_parallel(attempt, found)
    return list(with_progress(results, len(found), lambda _: 1) if progress else results)


def _parsed(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_text(encoding="utf-8"), str(file))
    except SyntaxError as error:
        raise RuntimeError(f"{file}:{error.lineno} is not Python: {error.msg}") from error
    except ValueError as error:  # bytes that are not text
        raise RuntimeError(f"{file} is not Python: {error}") from error


def _modules_of_passing(path: Path, code: CodeType, tests: list[str]) -> list[str]:
    """The names of the modules that the tests import, if they pass and import the file."""

    def attempt() -> bytes:
        silence()
        with _imported_as(path, code) as seen:
            failed = pytests.first_failure(tests)
        return json.dumps([failed, len(seen), list(sys.modules)]).encode()

    failed, imports, modules = json.loads(child.run(attempt, LONGEST))
    if failed:
        raise RuntimeError(f"{failed} fails, but {path.name} is not damaged yet: repair that first")
    if not imports:
        raise RuntimeError(
            f"the tests ({' '.join(tests)}) never import {path}: nothing in it can be noticed. A "
            "test file cannot be damaged itself: move the functions to a file of their own"
        )
    return modules


def _import(names: list[str]) -> None:
    """Imports what is installed, once here and not in each of the attempts."""
    homes = tuple(sysconfig.get_paths()[key] for key in ("stdlib", "purelib", "platlib"))
    for name in names:
        if name not in sys.modules and not name.startswith(("pytest", "_pytest")):
            found = _found(name)
            if found is not None and str(found.origin).startswith(homes):
                importlib.import_module(name)
    gc.freeze()


def _found(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):  # a module that was made while the tests ran
        return None


LONGEST = 3600.0  # seconds for the tests on the file as it is


def _first_failure(path: Path, code: CodeType, tests: list[str]) -> str:
    """The first test that fails when the file at `path` has this code; "" if all pass."""
    with _imported_as(path, code):
        return pytests.first_failure(tests)


@contextmanager
def _imported_as(path: Path, code: CodeType) -> Iterator[list[str]]:
    """Inside, an import of the file at `path` runs `code`. Gives the list of such imports."""
    seen: list[str] = []
    before = SourceFileLoader.get_code

    def get_code(loader: SourceFileLoader, name: str) -> CodeType | None:
        if os.path.realpath(loader.path) != str(path):
            return before(loader, name)
        seen.append(name)
        return code

    SourceFileLoader.get_code = get_code
    try:
        yield seen
    finally:
        SourceFileLoader.get_code = before
