"""What pytest shows, and writes to a file, at the end of a run of tasks or of registered ops."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# Of several tests that a task has, the first status in this list is the task's.
STATUSES = ("not yet", "crashed", "timed out", "not judged", "skipped", "waits", "passed")
PASSED, WAITS = "passed", "waits"


def summarize(terminal: Any, reports: Iterable[Any]) -> None:
    """Show the tables; write the JSON file that `--minidl-report` names."""
    summary = summary_of(reports)
    config = terminal.config
    terminal.ensure_newline()
    if summary["tasks"]:
        terminal.section("tasks")
        terminal.write_line(tasks_table(summary))
    if summary["ops"]:
        terminal.section("ops")
        terminal.write_line(ops_table(summary["ops"]))
    file = config.getoption("minidl_report")
    if file:
        settings = {
            "feedback": config.getoption("minidl_feedback") or config.getini("minidl_feedback"),
            "profile": _profile(),
        }
        text = json.dumps(settings | summary, indent=2) + "\n"
        (config.invocation_params.dir / Path(file)).write_text(text, encoding="utf-8")


def summary_of(reports: Iterable[Any]) -> dict[str, Any]:
    """Points, tasks, ops and what could not be collected, from pytest's reports, as plain data."""
    tests, errors = _tests(reports)
    tasks: dict[str, dict] = {}
    ops: dict[str, dict] = {}
    for nodeid, test in sorted(tests.items()):
        row = {"test": nodeid, "status": test["status"], "seconds": round(test["seconds"], 2)}
        row["feedback"] = test["text"]
        if "task" in test:
            task = tasks.setdefault(test["task"], {k: test[k] for k in ("task", "title", "needs")})
            task.setdefault("of", test["points"])
            task.setdefault("tests", []).append(row)
        else:
            file = nodeid.partition("::")[0]
            op = ops.setdefault(f"{file}::{test['op']}", {"op": test["op"], "file": file})
            op.setdefault("checks", []).append({"check": test["check"]} | row)
    for task in tasks.values():
        _judge(task, tasks)
    points = sum(task["points"] for task in tasks.values())
    return {
        "points": points,
        "of": sum(task["of"] for task in tasks.values()),
        "tasks": [tasks[name] for name in sorted(tasks, key=_by_number)],
        "ops": list(ops.values()),
        "errors": errors,
    }


def _tests(reports):
    """Of each test what its reports (setup, call, teardown) say together; and collection errors."""
    tests, errors = {}, []
    for report in reports:
        about = dict(getattr(report, "user_properties", ())).get("minidl")
        if about:
            test = tests.setdefault(report.nodeid, about | {"seconds": 0.0})
            test["seconds"] += report.duration
            if STATUSES.index(about["status"]) < STATUSES.index(test["status"]):
                test.update(status=about["status"], text=about["text"])
        elif report.__class__.__name__ == "CollectReport" and report.failed:
            errors.append(f"{report.nodeid}: {str(report.longrepr).strip()}")
    return tests, errors


def _judge(task: dict, tasks: dict[str, dict]) -> str:
    """Fill in a task's status, points and seconds; of what it needs, what is missing stays."""
    if "status" not in task:
        tests = task.pop("tests")
        task["status"] = min((test["status"] for test in tests), key=STATUSES.index)
        needed = [name for name in task["needs"] if name in tasks]
        task["needs"] = [name for name in needed if _judge(tasks[name], tasks) != PASSED]
        if task["status"] == PASSED and task["needs"]:
            task["status"] = WAITS
        task["points"] = task["of"] if task["status"] == PASSED else 0
        task["seconds"] = round(sum(test["seconds"] for test in tests), 2)
        task["tests"] = tests
    return task["status"]


def _by_number(name: str) -> list[tuple[int, str]]:
    """So that 3.10 comes after 3.9."""
    return [(int(part) if part.isdigit() else 0, part) for part in name.split(".")]


def _profile() -> str | None:
    settings = getattr(sys.modules.get("hypothesis"), "settings", None)
    return settings and settings.get_current_profile_name()


# ---------------------------------------------------------------------------------------- tables


def tasks_table(summary: dict) -> str:
    """A line for each task, and the sum."""
    rows = [("task", "title", "points", "", "time")]
    for task in summary["tasks"]:
        points = f"{task['points']:g} of {task['of']:g}"
        rows.append((task["task"], task["title"], points, _said(task), _time(task["seconds"])))
    total = f"{summary['points']:g} of {summary['of']:g} points"
    return "\n".join([*_aligned(rows), "", *_not_read(summary), total])


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s"


def _said(task: dict) -> str:
    if task["status"] == WAITS:
        return f"waits for {', '.join(task['needs'])}"
    passed = sum(test["status"] == PASSED for test in task["tests"])
    some = f" ({passed} of {len(task['tests'])} tests pass)" if passed else ""
    return task["status"] + (some if task["status"] != PASSED else "")


def _not_read(summary: dict) -> list[str]:
    count = len(summary["errors"])
    return [f"{count} file{'s' * (count > 1)} could not be read: see above"] if count else []


def ops_table(ops: list[dict]) -> str:
    """A line for each op: how many checks it passes, and the names of the others."""
    rows = [("op", "file", "checks passed", "time", "")]
    for op in ops:
        passed = [c for c in op["checks"] if c["status"] == PASSED]
        others = {status: [] for status in STATUSES if status != PASSED}
        for check in op["checks"]:
            others.get(check["status"], []).append(check["check"])
        said = "; ".join(f"{s}: {', '.join(names)}" for s, names in others.items() if names)
        seconds = sum(c["seconds"] for c in op["checks"])
        count = f"{len(passed)} of {len(op['checks'])}"
        rows.append((op["op"], op["file"], count, _time(seconds), said))
    return "\n".join(_aligned(rows))


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
