"""Running pytest inside this process: until a test fails, and to see which tests run which code."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Generator
from functools import partial
from importlib import util
from itertools import accumulate
from types import CodeType, FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from minidl.testing.mutation.attempts import time_left


def first_failure(tests: list[str]) -> str:
    """The name of the first test that fails, "" if all pass. tests: arguments of pytest."""
    return _run(tests, [])


def running(
    tests: list[str], codes: list[CodeType], seconds: float | None = None
) -> tuple[str, list[list[str]]]:
    """The first test that fails, "" if all pass, and for each code the node ids of those that run
    it, the quickest first: no other test can notice what is changed in it.

    seconds: leave out a test that fails or computes for longer, and go on; of the others, keep
    those that together take six times as long.
    """
    calls = _Calls(codes, seconds or 0.0)
    failed = _run(tests, [calls], stop=seconds is None)
    return failed if seconds is None else "", calls.tests


def _run(tests: list[str], plugins: list, stop: bool = True) -> str:
    # The same examples every time, no search for a small one, and no failure for being slow.
    settings.register_profile(
        "mutation",
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("mutation")
    failures = _Failures()
    options = ["-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *["-x"] * stop]
    for warning in USED_ALREADY:
        options += ["-W", f"ignore::{warning}"]
    if util.find_spec("xdist"):
        options.append("-n0")
    status = pytest.main([*options, *tests], plugins=[failures, *plugins])
    if status == pytest.ExitCode.OK:
        return ""
    if status == pytest.ExitCode.NO_TESTS_COLLECTED:
        return "finding a test"
    return failures.first or f"pytest ({pytest.ExitCode(status).name.lower()})"


# Here pytest's plugins meet a hypothesis that has been imported, and used.
USED_ALREADY = (
    "pytest.PytestAssertRewriteWarning",
    "hypothesis.errors.HypothesisSideeffectWarning",
)


def each(
    tests: list[str], tries: list[tuple[list[str], Callable[[Callable[[], str]], str]]]
) -> list[str]:
    """For each (node ids, attempt), what attempt(test) returns, where test() runs the tests of
    these names and returns the first that fails, "" if all pass. The tests are read only once."""
    tried = _Each(tries)
    _run(tests, [tried])
    return tried.caught


class _Failures:
    """A plugin that notes the first test that failed, or the file that could not be read."""

    first = ""

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.first:
            self.first = f"reading {report.nodeid}"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.first:
            self.first = report.nodeid.rsplit("::", 1)[-1]


LIMIT = 20.0  # seconds for one test on damaged code, where a loop may have become endless


class _Each(_Failures):
    """A plugin that runs tests for each attempt, in place of running all of them once."""

    def __init__(self, tries: list[tuple[list[str], Callable[[Callable[[], str]], str]]]):
        self.tries = tries
        self.caught: list[str] = []

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}

        def first_failure(names: list[str]) -> str:
            for name in names:
                time_left(LIMIT)
                items[name].config.hook.pytest_runtest_protocol(item=items[name], nextitem=None)
                if self.first:
                    break
            return self.first

        for names, attempt in self.tries:
            self.caught.append(attempt(partial(first_failure, names)))
        return True


class _Calls:
    """A plugin that notes which tests run each of some codes."""

    def __init__(self, codes: list[CodeType], seconds: float):
        self.numbers = {id(code): i for i, code in enumerate(codes)}  # a code's own hash is slow
        self.seconds = seconds
        self.running: list[dict[str, float]] = [{} for _ in codes]  # seconds of each test
        self.failed: set[str] = set()

    @property
    def tests(self) -> list[list[str]]:
        return [self._quickest(times) for times in self.running]

    def _quickest(self, times: dict[str, float]) -> list[str]:
        names = sorted(times, key=times.__getitem__)
        until = accumulate(times[name] for name in names)
        return [
            n for n, t in zip(names, until, strict=True) if not self.seconds or t < 6 * self.seconds
        ]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator:
        seen: set[int] = set()
        start = time.process_time()
        signal.signal(signal.SIGVTALRM, _too_long)
        signal.setitimer(signal.ITIMER_VIRTUAL, self.seconds)
        sys.setprofile(self._noting(seen))
        try:
            return (yield)
        finally:
            sys.setprofile(None)
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            for i in seen:
                if not self.seconds or item.nodeid not in self.failed:
                    self.running[i][item.nodeid] = time.process_time() - start

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)

    def _noting(self, seen: set[int]) -> Callable[[FrameType, str, Any], None]:
        numbers = self.numbers

        def note(frame: FrameType, event: str, argument: Any) -> None:
            number = numbers.get(id(frame.f_code))
            if number is not None:
                seen.add(number)

        return note


def _too_long(signal: int, frame: FrameType | None) -> None:
    raise TimeoutError("it computes for too long")
