"""The tasks of an assignment: tests that have a name, points and a time limit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Task:
    """What `task` was given."""

    name: str
    points: float
    title: str
    needs: tuple[str, ...]
    seconds: float


def task(
    name: str,
    *,
    points: float = 1,
    title: str = "",
    needs: Sequence[str] = (),
    seconds: float = 60.0,
) -> pytest.MarkDecorator:
    """A decorator that makes a test, or a class of tests, a task.

        @task("3.2", points=3, title="derivative of softmax", needs=["3.1"])
        @given(x=strategies.arrays())
        def test_softmax_vjp(x):
            assert_vjp(ops.softmax, ops.softmax_vjp, x)

    points: given if every test of the task passes, and every task that it needs.
    title: what the report calls it.
    needs: names of tasks that come before. Where one of them has failed, this one is not run.
    seconds: how long its tests may take together. Each runs in a process of its own, which is
        killed when the time is over; so fixtures of any scope are made for each test.

    Several tests are one task if they are decorated with the same `task(...)`. It is a marker:
    `pytest -m "task(name='3.2')"` runs one task. Needs pytest.
    """
    if not isinstance(name, str):
        raise TypeError(f"task: the name is a string such as '3.2', got {name!r}")
    if isinstance(needs, str):
        raise TypeError(f"task {name}: needs is a list of names, got {needs!r}: write [{needs!r}]")
    if points < 0 or seconds <= 0:
        raise ValueError(
            f"task {name}: points must not be negative and seconds be positive, "
            f"got points={points}, seconds={seconds}"
        )
    return pytest.mark.task(
        name=name, points=points, title=title, needs=tuple(needs), seconds=float(seconds)
    )


def task_of(item: pytest.Item) -> Task | None:
    """The task that a test belongs to."""
    mark = item.get_closest_marker("task")
    if mark is None:
        return None
    if mark.args or set(mark.kwargs) != set(Task.__dataclass_fields__):
        raise pytest.UsageError(
            f"{item.nodeid}: a task is made by minidl.testing.task(...), "
            "not by pytest.mark.task(...)"
        )
    return Task(**mark.kwargs)


def check_tasks(items: Iterable[pytest.Item]) -> None:
    """Refuse tasks that contradict each other.

    Raises pytest.UsageError if two tests declare one task differently, or if a task needs one that
    comes later. Warns of one that is needed but not there: that may be a misspelt name.
    """
    seen: dict[str, tuple[Task, str]] = {}
    tasks = [(task, item.nodeid) for item in items if (task := task_of(item))]
    names = {task.name for task, _ in tasks}
    for task, where in tasks:
        first, first_where = seen.setdefault(task.name, (task, where))
        if task != first:
            raise pytest.UsageError(
                f"task {task.name} is declared twice, and differently:\n"
                f"  {first_where}: {first}\n  {where}: {task}\n"
                "Write task(...) once, and decorate both tests with it."
            )
        for need in task.needs:
            if need in names and (need not in seen or need == task.name):
                raise pytest.UsageError(
                    f"task {task.name} ({where}) needs {need}, which comes later: "
                    "put the tests of what is needed first"
                )
            if need not in names and where == first_where:
                message = f"task {task.name} ({where}) needs {need}, which is not in this run"
                next(iter(items)).warn(pytest.PytestWarning(message))
