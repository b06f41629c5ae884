"""The pytest plugin: registered ops, and the tasks of an assignment.

`_minidl_pytest` loads it when there is something to do. Each test that it looks after runs in a
process of its own, with a time limit, and its failure is told in a few lines without a traceback.
"""

import faulthandler
import functools
import inspect
import pickle
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _pytest.runner import runtestprotocol  # what runs one test, as pytest-xdist calls it too

from minidl import Tensor
from minidl.testing import child, feedback, registry
from minidl.testing.checks import checks_of, record_of
from minidl.testing.checks.search import distinct_numbers
from minidl.testing.errors import CheckError, SetupError
from minidl.testing.feedback import Verdict
from minidl.testing.tasks import task_of

OP_SECONDS = 60.0  # for one check of one op
PROPERTY = "minidl"  # the name under which a report carries what `report` reads

given_key = pytest.StashKey[dict[str, Any]]()
spent_key = pytest.StashKey[dict[str, float]]()
failed_key = pytest.StashKey[set[str]]()


def pytest_configure(config):
    config.stash[spent_key], config.stash[failed_key] = {}, set()
    files = _ops_files(config)
    if config.args_source is not config.ArgsSource.ARGS and files:
        config.args = []  # not the whole folder, when only these are asked for
    named = {(config.invocation_params.dir / arg).resolve() for arg in config.args}
    config.args += [str(file) for file in files if file not in named]


def _ops_files(config) -> list[Path]:
    files = [(config.invocation_params.dir / f).resolve() for f in config.getoption("minidl_ops")]
    for file in files:
        if not file.is_file():
            raise pytest.UsageError(f"--minidl-ops: there is no file {file}")
    return files


# ------------------------------------------------------------------------------- registered ops


def pytest_pycollect_makemodule(module_path, parent):
    if module_path.resolve() in _ops_files(parent.config):
        return OpsModule.from_parent(parent, path=module_path)


class OpsModule(pytest.Module):
    """A file given by --minidl-ops: its registered functions, and its tests if it has some."""

    def collect(self):
        yield from super().collect()
        found = registry.registered_in(vars(self.obj))
        if not found:
            raise self.CollectError(
                f"{self.path.name} registers no function: write "
                "@minidl.testing.register(reference=...) above those to be checked"
            )
        for registered in found:
            try:
                record = record_of(registered.function, **registered.options)
            except (SetupError, TypeError, ValueError) as error:
                where = f"{self.path.name}:{registered.line}: register"
                raise self.CollectError(f"{where}: {registered.name}: {error}") from None
            for name, check in checks_of(record).items():
                yield OpItem.from_parent(
                    self,
                    name=f"{registered.name}[{name}]",
                    registered=registered,
                    check_name=name,
                    check=check,
                )


class OpItem(pytest.Item):
    """One check of one op."""

    def __init__(self, *, registered, check_name, check, **kwargs):
        super().__init__(**kwargs)
        self.registered, self.check_name, self.check = registered, check_name, check

    def runtest(self):
        self.check()

    def reportinfo(self):
        return self.path, self.registered.line - 1, self.name


# ------------------------------------------------------------------- one test: process and limit


def _ours(item) -> bool:
    return isinstance(item, OpItem) or task_of(item) is not None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    if not _ours(item) or not child.AVAILABLE or item.config.getoption("usepdb"):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in _reports(item):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _reports(item) -> list[pytest.TestReport]:
    """Run a test, unless it waits for another one that failed, and book its time and failure."""
    spent, failed = item.config.stash[spent_key], item.config.stash[failed_key]
    name, needs, seconds = _part_of(item)
    missing = next((said for need, said in needs.items() if need in failed), None)
    if missing is not None:
        reports = [_report(item, feedback.waits(_name(item), missing), 0.0)]
    else:
        start = time.perf_counter()
        reports = _run(item, seconds - spent.get(name, 0.0), seconds)
        spent[name] = spent.get(name, 0.0) + time.perf_counter() - start
    if not all(report.passed for report in reports):
        failed.add(name)
    return reports


def _part_of(item) -> tuple[str, dict[str, str], float]:
    """What a test is part of, what that needs (and how it is called), and its seconds.

    A second derivative needs the first: where that is wrong, so is the other.
    """
    task = task_of(item)
    if task:
        return task.name, {need: f"task {need}" for need in task.needs}, task.seconds
    first = item.check_name.replace("second_derivative", "first_derivative")
    needs = {item.nodeid.replace(item.check_name, first): first}
    return item.nodeid, needs if first != item.check_name else {}, OP_SECONDS


def _run(item, seconds: float, declared: float) -> list[pytest.TestReport]:
    """seconds: those that are left of the declared ones."""
    start = time.perf_counter()
    try:
        return _run_in_child(item, seconds)
    except child.TimeOut:
        verdict = feedback.timed_out(_name(item), declared)
    except child.Crash as error:
        verdict = feedback.crashed(_name(item), error.how)
    report = _report(item, verdict, time.perf_counter() - start)
    report.sections = _captured(item.config)
    return [report]


def _run_in_child(item, seconds) -> list[pytest.TestReport]:
    hook, config = item.config.hook, item.config

    def test() -> bytes:
        faulthandler.disable()  # a crash is reported, without the stack of pytest
        reports = runtestprotocol(item, nextitem=None, log=False)
        to_data = hook.pytest_report_to_serializable
        return pickle.dumps([to_data(config=config, report=report) for report in reports])

    from_data = hook.pytest_report_from_serializable
    return [from_data(config=config, data=d) for d in pickle.loads(child.run(test, seconds))]


def _report(item, verdict: Verdict, seconds: float) -> pytest.TestReport:
    """The report of a test whose process could not write one."""
    waits = verdict.status == feedback.WAITS
    report = pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords={},
        outcome="skipped" if waits else "failed",
        longrepr=(str(item.path), 0, verdict.text) if waits else verdict.text,
        when="call",
        duration=seconds,
    )
    _attach(report, item, verdict)
    return report


def _captured(config) -> list[tuple[str, str]]:
    """What a process printed before its end."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is None:
        return []
    texts = zip(("stdout", "stderr"), capture.read_global_capture(), strict=True)
    return [(f"Captured {name} call", text) for name, text in texts if text]


# ------------------------------------------------------------------------ one test: what is told


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item):
    test = getattr(getattr(item, "obj", None), "hypothesis", None)
    if test is None or task_of(item) is None:
        return (yield)
    with _watched(item, test):
        return (yield)


@contextmanager
def _watched(item, test) -> Iterator[None]:
    """While a property runs: keep the arguments of its latest call, and the words of each failing
    one. In a small input too many explanations of a mistake are true, so the words that are told
    are those of the failing input with the most distinct numbers."""
    inner = test.inner_test
    names = [n for n in inspect.signature(inner).parameters if n not in item.fixturenames]
    found = []

    def words() -> str:
        _, those = max(found, key=lambda pair: pair[0])
        return those() if callable(those) else those

    @functools.wraps(inner)
    def watched(*args, **kwargs):
        given = {name: _copied(kwargs[name]) for name in names if name in kwargs}
        item.stash[given_key] = given
        try:
            return inner(*args, **kwargs)
        except CheckError as error:
            found.append((distinct_numbers(given), error.unread("words")))
            error.words = words
            held = feedback.Held(error)
        raise held

    test.inner_test = watched
    try:
        yield
    finally:
        test.inner_test = inner


def _copied(value: Any) -> Any:
    """A copy that a solution which changes its arguments does not reach."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, tuple | list):
        return type(value)(_copied(v) for v in value)
    return value


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if not _ours(item):
        return report
    report.sections = [s for s in report.sections if s[0] != "Hypothesis"]
    verdict = Verdict(feedback.PASSED)
    if report.skipped:
        verdict = Verdict(feedback.SKIPPED, str(call.excinfo.value) if call.excinfo else "")
    elif report.failed:
        given = item.stash.get(given_key, {})
        level = item.config.getoption("minidl_feedback") or item.config.getini("minidl_feedback")
        verdict = feedback.judge(call.excinfo.value, _name(item), _claim(item), given, level)
        report.longrepr = verdict.text
    _attach(report, item, verdict)
    return report


def _attach(report, item, verdict: Verdict) -> None:
    about = {"status": verdict.status, "text": verdict.text}
    task = task_of(item)
    if task:
        about |= {"task": task.name, "points": task.points, "needs": list(task.needs)}
        about["title"] = task.title or _name(item)
    if isinstance(item, OpItem):
        about |= {"op": item.registered.name, "check": item.check_name}
    report.user_properties = [*report.user_properties, (PROPERTY, about)]


def _name(item) -> str:
    return item.name.removeprefix("test_").partition("[")[0]


def _claim(item) -> str:
    """The first line of a test's docstring."""
    doc = getattr(getattr(item, "obj", None), "__doc__", None) or ""
    return doc.strip().partition("\n")[0].rstrip(".")
