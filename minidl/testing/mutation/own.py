"""Damage minidl itself: every derivative rule and every kernel, against the checks of the records.

A rule is damaged by exchanging the code of its function, so that the function itself, which the op
holds, stays. A kernel is run as the Python that it was compiled from.
"""

from __future__ import annotations

import ast
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings

import minidl
from minidl import kernels, random
from minidl.kernels.cpu import parallel
from minidl.testing import child, records
from minidl.testing.checks import call
from minidl.testing.checks.op import OP_CHECKS
from minidl.testing.mutation import pytests
from minidl.testing.mutation.attempts import (
    caught_by,
    in_parallel,
    silence,
    time_left,
    with_progress,
)
from minidl.testing.mutation.damage import Damage, damages
from minidl.testing.mutation.recompile import compiled, node_of
from minidl.testing.mutation.report import Result
from minidl.testing.mutation.targets import CPU, Target, plain, users

EXAMPLES = 60  # samples of each record ...
DRAWN = 3 * EXAMPLES  # ... out of so many: hypothesis likes to repeat itself
HOME = Path(minidl.__file__).parent


Mutant = tuple[Target, Damage]


def run(
    targets: Iterable[Target], tests: Sequence[str] = (), progress: bool = False
) -> list[Result]:
    """Damages every target in every way, and checks the records of its ops each time.

    tests: arguments of pytest; run on what the checks do not notice. Raises RuntimeError if a
    check or one of these tests fails on code that is not damaged.
    """
    targets = list(targets)
    mutants = [(target, damage) for target in targets for damage in _damages(target)]
    if not mutants:
        raise RuntimeError("there is nothing to damage in these rules and kernels")
    running = _running(list(tests), targets) if tests else {}
    same_checks = _groups(list(enumerate(mutants)), lambda t: (tuple(t.ops), t.kernel))
    groups = in_parallel(_by_checks, same_checks)
    if progress:
        groups = with_progress(groups, len(mutants), len)
    caught = {i: by for group in groups for i, by in group}
    if tests:
        left = [(i, mutants[i]) for i, by in caught.items() if not by]
        same_kernel = _groups(left, lambda t: t.kernel)
        groups = in_parallel(partial(_by_tests, list(tests), running), same_kernel)
        if progress:
            groups = with_progress(groups, len(left), len)
        caught.update({i: by for group in groups for i, by in group})
    return [_result(mutants[i], by) for i, by in caught.items()]


def _damages(target: Target) -> list[Damage]:
    """Without those in the `work` that a parallel kernel is called with: it decides how many
    threads run, and no result."""
    work = set()
    for node in ast.walk(node_of(target.code)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called = target.functions[0].__globals__.get(node.func.id)
            if isinstance(called, parallel):
                work |= set(ast.walk(node.args[0]))
    return [d for d in damages(node_of(target.code), target.owner) if d.place.node not in work]


def _groups(mutants: list[tuple[int, Mutant]], key: Callable[[Target], Any]) -> list[list]:
    """Mutants with their numbers, those of the same key together; the largest groups first."""
    groups: dict[Any, list] = {}
    for i, mutant in mutants:
        groups.setdefault(key(mutant[0]), []).append((i, mutant))
    cut = [g[i : i + LARGEST] for g in groups.values() for i in range(0, len(g), LARGEST)]
    return sorted(cut, key=len, reverse=True)


LARGEST = 60  # mutants that one process tries


def _by_checks(group: list[tuple[int, Mutant]]) -> list[tuple[int, str]]:
    """(number, the first check that fails) for mutants of the same ops."""
    target = group[0][1][0]
    with _as_python(target.kernel):
        checks = _checks(target)
        passes = cache(partial(_passes, checks))
        caught = []
        for i, mutant in group:
            number = caught_by(partial(_damaged, mutant, partial(_first_failure, checks)), SECONDS)
            if number.isdecimal():
                passes(int(number))
                number = checks[int(number)][0]
            caught.append((i, number))
        return caught


def _first_failure(checks: list[tuple[str, Callable[[], None]]]) -> str:
    for number, (_, check) in enumerate(checks):
        time_left(CHECK)
        try:
            check()
        except Exception:
            return str(number)
    time_left(0)
    return ""


CHECK = 10.0  # seconds for one check: hundredths, but for a loop that has become endless
SECONDS = 1000.0  # for all of a mutant's


def _passes(checks: list[tuple[str, Callable[[], None]]], number: int) -> None:
    """Raises if a check that caught a mutant also fails without it."""
    name, check = checks[number]
    try:
        check()
    except AssertionError as error:
        raise RuntimeError(f"{name} fails on code that is not damaged: {error}") from None


Running = dict[CodeType, list[str]]  # the tests that run a target's code


def _running(tests: list[str], targets: list[Target]) -> Running:
    """Raises RuntimeError if a test fails on code that is not damaged."""
    of_kernel: dict[ModuleType | None, list[int]] = {}
    for i, target in enumerate(targets):
        of_kernel.setdefault(target.kernel, []).append(i)
    parts = in_parallel(partial(_running_in, tests, targets), list(of_kernel.values()))
    return {targets[i].code: names for part in parts for i, names in part}


def _running_in(
    tests: list[str], targets: list[Target], numbers: list[int]
) -> list[tuple[int, list[str]]]:
    """(number, tests) of the targets of one kernel, or of those of none."""
    codes = [(i, function.__code__) for i in numbers for function in targets[i].functions]

    def attempt() -> bytes:
        silence()
        seconds = ONE_TEST if kernel else None  # as Python some take for ever, and some must fail
        return json.dumps(pytests.running(tests, [code for _, code in codes], seconds)).encode()

    kernel = targets[numbers[0]].kernel
    with _as_python(kernel):
        failed, lists = json.loads(child.run(attempt, 5 * LONGEST))
    if failed:
        raise RuntimeError(f"{failed} fails on code that is not damaged")
    found: dict[int, list[str]] = {i: [] for i in numbers}
    for (i, _), names in zip(codes, lists, strict=True):
        found[i] += names
    return list(found.items())


def _by_tests(
    tests: list[str], running: Running, group: list[tuple[int, Mutant]]
) -> list[tuple[int, str]]:
    """(number, the first test that fails) for mutants of the same kernel."""

    def attempt() -> bytes:
        silence()
        tries = [(running[mutant[0].code], partial(_caught, mutant)) for _, mutant in group]
        return json.dumps(pytests.each(tests, tries)).encode()

    with _as_python(group[0][1][0].kernel):
        caught = json.loads(child.run(attempt, 10 * LONGEST * len(group)))
    return list(zip([i for i, _ in group], caught, strict=True))


def _caught(mutant: Mutant, test: Callable[[], str]) -> str:
    return caught_by(partial(_damaged, mutant, test), LONGEST)


LONGEST = 600.0  # seconds for the tests ...
ONE_TEST = 10.0  # ... and for one, where a kernel is run as Python


def _damaged(mutant: Mutant, test: Callable[[], str]) -> str:
    """Run a test with the mutant in place; for a process that ends with it."""
    target, damage = mutant
    with damage.place.holding(damage.node):
        code = compiled(node_of(target.code), target.code)
    for function in target.functions:
        function.__code__ = code
    return test()


def _result(mutant: Mutant, caught: str) -> Result:
    target, damage = mutant
    file = str(Path(target.code.co_filename).relative_to(HOME.parent))
    where = target.owner, damage.kind, file, damage.line
    return Result(*where, damage.before, damage.after, caught)


def _checks(target: Target) -> list[tuple[str, Callable[[], None]]]:
    """(name, check): the checks of its ops' records, on the same samples every time."""
    of = {record.name: record for record in records.ops()}
    order = sorted(OP_CHECKS, key=lambda check: "derivative" not in check.__name__)
    if target.kernel:
        order = [check for check in OP_CHECKS if check.__name__ == "kernel"]
    checks: list[tuple[str, Callable]] = []
    for name in target.ops:
        if name in kernels.FUNCTIONS:  # no op, so no record
            checks += [(name, FUNCTION_CHECKS[name])] if name in FUNCTION_CHECKS else []
            continue
        if name not in of:
            raise RuntimeError(f"{name} has no record: add one in minidl/testing/records")
        samples = _samples(of[name])
        for check in order:
            some = samples[: -(-EXAMPLES // check.cost)]
            checks += [(check.__name__, partial(check, of[name], sample)) for sample in some]
    return checks


def _samples(record: records.OpRecord) -> list[records.Sample]:
    """The same calls every time; those that differ in more than their numbers come first."""
    seen: Counter[str] = Counter()
    found: list[tuple[int, records.Sample]] = []

    @settings(
        max_examples=DRAWN,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(record.samples)
    def collect(sample):
        form = repr(call.map_arrays(lambda a: (a.dtype, a.shape), [sample.args, sample.kwargs]))
        found.append((seen[form], sample))
        seen[form] += 1

    collect()
    return [sample for _, sample in sorted(found, key=lambda pair: pair[0])[:EXAMPLES]]


@contextmanager
def _as_python(kernel: ModuleType | None) -> Iterator[None]:
    """Inside, compiled functions of this file of kernels, and of the files that use it, are the
    Python they were compiled from.

    New memory is full of nan there: what a damaged kernel forgets to write must not be found right
    because the same place held the right result before.
    """
    if kernel is None:
        yield
        return
    files = users(kernel)
    names = {file.__name__ for file in files}
    filling = ModuleType("numpy")
    vars(filling).update(vars(np))
    filling.empty, filling.empty_like = _filled(np.empty), _filled(np.empty_like)

    def uncompiled(value: Any) -> Any:
        if value is np:
            return filling
        function = plain(value)
        made_in = getattr(function, "__module__", "")
        others = made_in.startswith(CPU) and made_in not in names
        return value if others or isinstance(value, parallel) else function

    def on_one_thread(loop: parallel, work: int, *arguments: Any) -> Any:
        function = plain(loop)
        if not isinstance(function, FunctionType) or function.__module__ not in names:
            return compiled_loop(loop, work, *arguments)
        if function.__globals__ is vars(sys.modules[function.__module__]):
            return function(*arguments)
        # A copy of a loop with a formula in it, which is in globals of its own.
        own = {name: uncompiled(value) for name, value in function.__globals__.items()}
        return FunctionType(function.__code__, own)(*arguments)

    before, compiled_loop = [dict(vars(file)) for file in files], parallel.__call__
    for file in files:
        vars(file).update({name: uncompiled(value) for name, value in vars(file).items()})
    parallel.__call__ = on_one_thread
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        for file, values in zip(files, before, strict=True):
            vars(file).update(values)
        parallel.__call__ = compiled_loop


def _filled(make: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    def call(*args: Any, **kwargs: Any) -> np.ndarray:
        array = make(*args, **kwargs)
        array.fill(np.nan if array.dtype.kind == "f" else np.iinfo(array.dtype).max)
        return array

    return call


def _philox() -> None:
    """The words of the compiled generator are those of its definition."""
    calls = (0, 0, 9, 0), (2**62 + 5, 4 * 2**32 - 6, 13, 1), (7, 3, 1, 1), (5, 6, 4200, 0)
    for seed, offset, n, stream in calls:  # across counters, blocks, streams
        fast = random.words(seed, offset, n, None, stream)
        with kernels.disabled():
            np.testing.assert_array_equal(fast, random.words(seed, offset, n, None, stream))


FUNCTION_CHECKS = {"philox": _philox}  # of the others, tests alone can notice
