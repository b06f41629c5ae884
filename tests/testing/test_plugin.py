"""The pytest plugin on small projects: each test runs pytest in a process of its own."""

import json
import os
import re
import subprocess
import sys
import textwrap
import tomllib

import pytest
from hypothesis import settings
from project import PATH, PLUGIN, ROOT, run

from minidl.testing import profiles, register, registry, task


@pytest.fixture
def folder(tmp_path):
    return tmp_path


# ---------------------------------------------------------------------------- what became of a task

ASSIGNMENT = """
    import os, time
    import numpy as np, pytest
    from hypothesis import assume, given, strategies as st
    from minidl.testing import CheckError, assert_close, strategies, task

    calls = []
    one = task("1.1", points=2, title="sums", seconds=30)

    @one
    @given(x=strategies.arrays(strategies.shapes(1, empty=False)))
    def test_sum(x):
        '''the sum of two is the larger one'''
        x += 0.25  # what is shown is the argument, not what became of it
        assert_close(x.sum() * (1 + (x > 1.0).any()), x.sum())

    @one
    def test_fine():
        pass

    @task("1.2", needs=["1.1"])
    def test_needs_a_failed_one():
        open("was_run.txt", "w").close()

    @task("1.3", needs=["1.2"])
    class TestNeedsOneThatWaits:
        def test_it(self):
            pass

    two = task("2.1", seconds=0.5)

    @two
    def test_hangs():
        print("before the loop")
        while True:
            try:
                time.sleep(100)
            except BaseException:
                pass

    @two
    def test_after_the_time_is_over():
        time.sleep(30)

    @task("2.2")
    def test_crashes():
        os.kill(os.getpid(), 11)

    @task("2.3")
    def test_leaves():
        os._exit(0)

    @task("3.1")
    @given(x=strategies.arrays(strategies.shapes()))
    def test_flaky(x):
        calls.append(1)
        assert len(calls) != 3

    @task("3.2")
    @given(st.integers())
    def test_health(x):
        assume(False)

    @task("4.1", points=3)
    @given(x=strategies.arrays(strategies.shapes(1)))
    def test_raises(x):
        helper(x)

    def helper(x):
        return x.reshape(7, 7)

    @pytest.fixture(scope="module")
    def solution():
        import nothing_there

    @task("4.2")
    def test_import(solution):
        pass

    @task("4.3")
    @given(x=strategies.arrays(strategies.shapes(1, empty=False)))
    def test_words(x):
        raise CheckError("op", "wrong", gap="1, not 2", words=lambda: f"of {np.unique(x).size}")

    @task("5.1", points=1.5)
    def test_good():
        print(os.getpid())

    @task("5.10")
    def test_last():
        assert calls == [], "another test's process was this one"

    def test_ordinary():
        assert True
"""

STATUS = {
    "1.1": "not yet",
    "1.2": "waits",
    "1.3": "waits",
    "2.1": "timed out",
    "2.2": "crashed",
    "2.3": "crashed",
    "3.1": "not judged",
    "3.2": "not judged",
    "4.1": "not yet",
    "4.2": "not yet",
    "4.3": "not yet",
    "5.1": "passed",
    "5.10": "passed",
}


def graded(folder, *arguments):
    options = ["--hypothesis-profile=grading", "--minidl-report", "report.json"]
    done = run(folder, *options, *arguments, test_assignment=ASSIGNMENT)
    return done, json.loads((folder / "report.json").read_text())


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    return graded(tmp_path_factory.mktemp("first"))


def test_what_waits_is_not_run(tmp_path):
    done, _ = graded(tmp_path, "-m", "task(name='1.2')")
    assert done.returncode == 0  # what it needs is not in this run
    assert (tmp_path / "was_run.txt").exists()
    (tmp_path / "was_run.txt").unlink()
    graded(tmp_path, "-m", "task(name='1.1') or task(name='1.2')")
    assert not (tmp_path / "was_run.txt").exists()


def feedback_of(summary, name):
    (found,) = [t for t in summary["tasks"] if t["task"] == name]
    return "\n".join(test["feedback"] for test in found["tests"])


def test_each_task_has_its_status_and_points(first):
    done, summary = first
    assert {t["task"]: t["status"] for t in summary["tasks"]} == STATUS
    points = {t["task"]: (t["points"], t["of"]) for t in summary["tasks"]}
    assert (points["1.1"], points["5.1"], points["5.10"]) == ((0, 2), (1.5, 1.5), (1, 1))
    assert (summary["points"], summary["of"]) == (2.5, 16.5)
    assert (summary["profile"], summary["feedback"], summary["errors"]) == ("grading", "gap", [])
    assert done.returncode == 1


def test_the_table_is_readable(first):
    done, _ = first
    lines = [re.sub(r"\s+", " ", line) for line in done.stdout.splitlines()]
    start = next(i for i, line in enumerate(lines) if re.fullmatch("=+ tasks =+", line))
    assert lines[start + 1] == "task title points time"
    assert re.fullmatch(r"1.1 sums 0 of 2 not yet \(1 of 2 tests pass\) \d\.\d s", lines[start + 2])
    assert re.fullmatch(r"1.2 needs_a_failed_one 0 of 1 waits for 1.1 0.0 s", lines[start + 3])
    assert re.fullmatch(r"5.10 last 1 of 1 passed \d\.\d s", lines[start + 14])
    assert lines[start + 16] == "2.5 of 16.5 points"


def test_the_message_is_short(first):
    done, summary = first
    said = textwrap.dedent("""\
        sum: does not hold: the sum of two is the larger one
          smallest input found
            x = np.array([1.5], np.float64)
          assert_close: 1 of 1 elements differ""")
    assert said in done.stdout
    assert said in feedback_of(summary, "1.1")
    assert "Traceback" not in done.stdout
    assert "Failing test case" not in done.stdout and "Hypothesis --" not in done.stdout


def test_an_exception_names_the_line(first):
    _, summary = first
    said = feedback_of(summary, "4.1")
    assert "raises: ValueError: cannot reshape array of size" in said
    assert "x = np.array([" in said
    assert re.search(r"test_assignment.py:\d+: return x.reshape\(7, 7\)", said)
    assert "No module named 'nothing_there'" in feedback_of(summary, "4.2")


def test_what_hangs_is_stopped_and_the_rest_goes_on(first):
    done, summary = first
    (hangs,) = [t for t in summary["tasks"] if t["task"] == "2.1"]
    in_the_loop, after = [test["seconds"] for test in hangs["tests"]][::-1]
    assert 0.5 <= in_the_loop < 5
    assert after < 0.4  # nothing was left of their seconds
    assert [t["status"] for t in hangs["tests"]] == ["timed out", "timed out"]
    assert "still running after 0.5 s" in feedback_of(summary, "2.1")
    assert "before the loop" in done.stdout


def test_a_crash_is_reported(first):
    _, summary = first
    assert "signal 11 (Segmentation fault)" in feedback_of(summary, "2.2")
    assert "the process of the test ended" in feedback_of(summary, "2.3")


def test_what_hypothesis_complains_about_is_not_judged(first):
    _, summary = first
    assert "passed once and failed once" in feedback_of(summary, "3.1")
    assert "FailedHealthCheck" in feedback_of(summary, "3.2")
    assert "says nothing about the solution" in feedback_of(summary, "3.2")


def test_ordinary_tests_are_left_alone(first):
    done, _ = first
    assert "test_ordinary" not in done.stdout  # passed, and in no table
    assert re.search(r"\b3 passed\b.*\bskipped\b", done.stdout) or "4 passed" in done.stdout


def test_the_same_submission_gets_the_same_grade(first, tmp_path):
    """Also with two processes, one of which does not know that a task failed in the other."""
    done, summary = graded(tmp_path, "-n", "2")
    fields = ("task", "title", "status", "points", "of")
    for ours, theirs in zip(summary["tasks"], first[1]["tasks"], strict=True):
        assert {k: ours[k] for k in fields} == {k: theirs[k] for k in fields}
        if ours["status"] != "waits":
            assert feedback_of(summary, ours["task"]) == feedback_of(first[1], theirs["task"])
    assert "2.5 of 16.5 points" in done.stdout


def test_words_are_those_of_the_richest_input(first, tmp_path):
    assert "in words" not in feedback_of(first[1], "4.3")
    done, summary = graded(tmp_path, "-m", "task(name='4.3')", "--minidl-feedback=words")
    (said,) = re.findall(r"in words: of (\d+)", feedback_of(summary, "4.3"))
    assert "x = np.array([1.5], np.float64)" in feedback_of(summary, "4.3")
    assert int(said) > 1
    assert [t["task"] for t in summary["tasks"]] == ["4.3"]
    assert "15 deselected" in done.stdout


# ------------------------------------------------------------------------------------ declarations


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            """
            @task("1", points=1)
            def test_a(): pass
            @task("1", points=2)
            def test_b(): pass
            """,
            "task 1 is declared twice",
        ),
        (
            """
            @task("2", needs=["1"])
            def test_a(): pass
            @task("1")
            def test_b(): pass
            """,
            "task 2 (test_x.py::test_a) needs 1, which comes later",
        ),
        (
            """
            import pytest
            @pytest.mark.task("1")
            def test_a(): pass
            """,
            "a task is made by minidl.testing.task(...)",
        ),
    ],
)
def test_contradictions_are_refused(folder, source, words):
    source = "from minidl.testing import task\n" + textwrap.dedent(source)
    done = run(folder, test_x=source)
    assert done.returncode == 4
    assert words in done.stderr


def test_a_missing_need_is_a_warning(folder):
    source = """
        from minidl.testing import task
        @task("2", needs=["1.1"])
        def test_a(): pass
    """
    done = run(folder, test_x=source)
    assert done.returncode == 0
    assert "needs 1.1, which is not in this run" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((3.2, {}), TypeError, "string such as '3.2'"),
        (("3.2", {"needs": "3.1"}), TypeError, "write ['3.1']"),
        (("3.2", {"points": -1}), ValueError, "points=-1"),
        (("3.2", {"seconds": 0}), ValueError, "seconds=0"),
    ],
)
def test_wrong_declarations_are_refused(arguments, error, words):
    with pytest.raises(error, match=re.escape(words)):
        task(arguments[0], **arguments[1])


# ---------------------------------------------------------------------------------- registered ops

MY_OPS = """
    import numpy as np
    import minidl
    from minidl.autograd import Function
    from minidl.testing import register, strategies

    @register(reference=lambda x: np.log1p(np.exp(x)))
    def softplus(x):
        return minidl.log(1 + minidl.exp(x))

    class Cube(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * x * x * g

    register(reference=lambda x: x**3, samples=strategies.arrays(), order=1)(Cube.apply)

    def test_of_the_same_file():
        pass
"""


def test_ops_of_a_file(folder):
    done = run(
        folder,
        *("--minidl-ops", "my_ops.py", "--minidl-report", "report.json", "-v"),
        "--hypothesis-profile=dev",
        my_ops=MY_OPS,
        test_other="def test_other(): assert False",
    )
    assert done.returncode == 1
    assert "test_other" not in done.stdout  # only the file that was named
    assert "test_of_the_same_file PASSED" in done.stdout
    for check in ("values", "first_derivative", "second_derivative", "no_mutation", "layouts"):
        assert f"my_ops.py::softplus[{check}] PASSED" in done.stdout
    assert "my_ops.py::Cube[values] PASSED" in done.stdout
    assert "my_ops.py::Cube[first_derivative] FAILED" in done.stdout
    assert "Cube[second_derivative]" not in done.stdout  # order=1
    assert "Cube: wrong derivative with respect to" in done.stdout
    assert re.search(r"^Cube +my_ops.py .* not yet: first_derivative$", done.stdout, re.MULTILINE)
    assert re.search(r"^softplus +my_ops.py +(\d+) of \1 ", done.stdout, re.MULTILINE)
    summary = json.loads((folder / "report.json").read_text())
    assert [op["op"] for op in summary["ops"]] == ["Cube", "softplus"]
    checks = {check["check"]: check for check in summary["ops"][0]["checks"]}
    assert checks["first_derivative"]["status"] == "not yet"
    assert "finite differences" in checks["first_derivative"]["feedback"]


def test_ops_beside_tests_that_are_named(folder):
    files = {"my_ops": MY_OPS, "test_other": "def test_other(): pass"}
    done = run(folder, "--minidl-ops", "my_ops.py", "test_other.py", "-k", "other", **files)
    assert done.returncode == 0
    assert re.search(r"1 passed, \d+ deselected", done.stdout)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def softplus(x): return x", "my_ops.py registers no function"),
        (
            "from minidl.testing import register\n@register(refrence=1)\ndef f(x): return x",
            "my_ops.py:2: register: f: ",
        ),
        ("import nothing_there", "No module named 'nothing_there'"),
    ],
)
def test_a_file_that_cannot_be_checked(folder, source, words):
    done = run(folder, "--minidl-ops=my_ops.py", "--minidl-report=report.json", my_ops=source)
    assert done.returncode == 2
    assert words in done.stdout
    (error,) = json.loads((folder / "report.json").read_text())["errors"]
    assert words in error


def test_a_file_that_is_not_there(folder):
    done = run(folder, "--minidl-ops", "my_ops.py")
    assert done.returncode == 4
    assert "there is no file" in done.stderr


def test_register_returns_the_function():
    def double(x):
        return x + x

    registered = register(order=1)(double)
    assert registered is double
    assert register(double) is double  # again, as when a module is reloaded
    (found,) = [r for r in registry.registered_in(globals()) if r.name == "double"]
    assert (found.function, found.options) == (double, {})
    with pytest.raises(ValueError, match="a lambda has none"):
        register(lambda x: x)


# -------------------------------------------------------------- projects that have nothing of it


def test_pytest_loads_it_from_its_entry_point(folder):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["pytest11"] == {"_minidl_pytest": "_minidl_pytest"}
    folders = project["tool"]["setuptools"]["package-dir"]
    assert ROOT / folders["_minidl_pytest"] == PLUGIN / "_minidl_pytest"
    installed = folder / "minidl-0.dist-info"  # as pip writes it
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: minidl\nVersion: 0\n")
    (installed / "entry_points.txt").write_text("[pytest11]\n_minidl_pytest = _minidl_pytest\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--help"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{PATH}"},
        capture_output=True,
        text=True,
    )
    assert "--minidl-ops=FILE" in done.stdout


def test_nothing_is_imported_where_nothing_is_asked_for(folder):
    source = """
        import sys
        def test_modules():
            assert not {"minidl", "numpy", "hypothesis"} & set(sys.modules)
    """
    done = run(folder, "-p", "no:hypothesispytest", test_x=source)
    assert done.returncode == 0, done.stdout
    assert "tasks" not in done.stdout


def test_profiles_of_the_project_come_first(folder):
    conftest = """
        from hypothesis import settings
        settings.register_profile("dev", max_examples=7)
    """
    source = """
        from hypothesis import settings
        def test_own(): assert settings().max_examples == 7
    """
    done = run(folder, "--hypothesis-profile=dev", conftest=conftest, test_x=source)
    assert done.returncode == 0, done.stdout


def test_the_grading_profile_remembers_nothing():
    grading = profiles.PROFILES["grading"]
    assert (grading.derandomize, grading.database, grading.deadline) == (True, None, None)
    assert grading.max_examples > settings.get_profile("dev").max_examples


def test_a_wrong_level_is_refused(folder):
    done = run(folder, "-o", "minidl_feedback=hints")
    assert done.returncode == 4
    assert "one of what, gap, words, got 'hints'" in done.stderr
