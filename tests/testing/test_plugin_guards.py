"""The pytest plugin where something is in its way: a path, a sample, a solution that cheats."""

import json

import pytest
from project import run


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def test_a_report_that_cannot_be_written_is_refused_before_the_run(folder):
    source = "def test_x(): open('was_run.txt', 'w').close()"
    for report, words in (("nowhere/r.json", "cannot be written"), (".", "is a folder")):
        done = run(folder, "--minidl-report", report, test_x=source)
        assert done.returncode == 4
        assert f"--minidl-report: {report} {words}" in done.stderr
    assert not (folder / "was_run.txt").exists()


def test_without_a_reference_every_input_must_matter(folder):
    source = """
        from minidl.testing import register

        @register(order=1)
        def first(x, y):
            return x * 2 + 0 * y

        @register(samples=5)
        def second(x):
            return x
    """
    done = run(folder, "--minidl-ops", "my_ops.py", my_ops=source)
    assert "second: samples is a hypothesis strategy" in done.stdout
    source = source.partition("        @register(samples=5)")[0]
    done = run(folder, "--minidl-ops", "my_ops.py", my_ops=source)
    assert "first[every_input_matters]" in done.stdout
    assert "first: the result does not depend on y" in done.stdout


def test_what_a_solution_changes_or_leaves_behind(folder):
    """A replaced assertion has no effect where the tests had theirs before, and a process that
    lives on does not hold up the grading."""
    solution = """
        import os, sys, time
        import minidl.testing
        for name in ("assert_close", "assert_vjp", "gradcheck"):
            setattr(minidl.testing, name, lambda *a, **k: None)
        sys.modules["minidl.testing.gradcheck"].check_function = lambda f: None
        if not os.fork():
            time.sleep(60)
            os._exit(0)

        def double(x): return 3 * x
        def double_vjp(g): return g
    """
    tests = """
        import numpy as np, pytest
        from minidl.testing import assert_close, assert_vjp, task

        @pytest.fixture
        def ops():
            import ops
            return ops

        @task("1")
        def test_value(ops): assert_close(ops.double(np.ones(2)), 2 * np.ones(2))

        @task("2")
        def test_vjp(ops): assert_vjp(ops.double, ops.double_vjp, np.ones(2))
    """
    done = run(folder, "--minidl-report", "r.json", ops=solution, test_it=tests)
    grade = json.loads((folder / "r.json").read_text())
    assert [t["status"] for t in grade["tasks"]] == ["not yet", "not yet"], done.stdout
    assert all(t["seconds"] < 30 for t in grade["tasks"])
