"""The assignment in examples/coursework: the solution, the empty file, six mistakes, the page."""

import functools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import printed
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "coursework" / "softmax"
README = (FOLDER / "README.md").read_text()
WRONG = sorted(path.name for path in (FOLDER / "wrong").iterdir() if (path / "ops.py").exists())
TASKS = {"1.1": 2, "1.2": 1, "1.3": 3, "2.1": 2, "2.2": 1, "2.3": 3}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs a command line in a copy of the folder, each once: what it printed."""
    folder = tmp_path_factory.mktemp("softmax") / "softmax"
    shutil.copytree(
        FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__", ".hypothesis", "feedback.txt")
    )
    path = f"{ROOT}{os.pathsep}{ROOT / 'minidl/testing/entry_point'}"
    environment = printed.terminal() | {"PYTHONPATH": path}

    @functools.cache
    def run(command):
        words = shlex.split(command)
        if words[0] == "pytest":  # the plugin by name, for a clone that is not installed
            words = ["python", "-m", "pytest", "-p", "_minidl_pytest", *words[1:]]
            words += [] if "--minidl-report" in words else ["--minidl-report", report_of(command)]
        assert words[0] == "python"
        done = subprocess.run(
            [sys.executable, *words[1:]],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert printed.errors_in(done.stderr) == ""
        return done.stdout

    run.folder = folder
    return run


def report_of(command):
    return re.sub(r"\W+", "_", command) + ".json"


def command(solution):
    return f"pytest -q -o pythonpath={solution} --hypothesis-profile=grading"


def graded(run, solution, options=""):
    """The report of a solution."""
    run(command(solution) + options)
    return json.loads((run.folder / report_of(command(solution) + options)).read_text())


def differences(promised, got):
    """Of what pytest printed; its last line says `in 1.23s`."""
    return printed.differences(*[re.sub(r" in [\d.]+s$", "", t.strip()) for t in (promised, got)])


def test_the_solution_gets_full_marks(run):
    report = graded(run, "reference")
    assert {t["task"]: t["points"] for t in report["tasks"]} == TASKS
    assert (report["points"], report["of"], report["errors"]) == (12, 12, [])
    assert (report["profile"], report["feedback"]) == ("grading", "words")


def test_the_empty_file_gets_none_for_the_reason_that_it_is_empty(run):
    report = graded(run, "student")
    assert (report["points"], report["of"]) == (0, 12)
    for task in report["tasks"]:
        for test in task["tests"]:
            if task["status"] == "not yet":
                assert "NotImplementedError: write " in test["feedback"]
            else:
                assert re.search(r"waits for task [12]\.1", test["feedback"])


def test_a_file_that_is_no_python_gets_none_of_all_points(run):
    broken = run.folder / "broken"
    broken.mkdir()
    (broken / "ops.py").write_text("import numpy as np\ndef softmax(x:\n    return x\n")
    report = graded(run, "broken")
    assert (report["points"], report["of"]) == (0, 12)
    assert "ops.py:2: def softmax(x:" in report["tasks"][0]["tests"][0]["feedback"]


@pytest.mark.parametrize("name", WRONG)
def test_feedback_is_what_the_file_says(run, name):
    promised = (FOLDER / "wrong" / name / "feedback.txt").read_text()
    assert differences(promised, run(command(f"wrong/{name}"))) == []


# What must be said of each: the failing tasks, and words of the feedback.
MISTAKES = {
    "no_shift": (["1.2"], "nan, expected 1"),
    "elementwise": (["1.3"], "your rule treats each element alone"),
    "no_mean": (["2.3"], "2 times too large"),
    "forgets_g": (["2.3"], "does not depend on g"),
    "whole_array": (["1.1"], "divided by its sum over the last axis"),
    "in_place": (["1.1"], "softmax(x) leaves x as it is"),
}


def test_there_are_six_mistakes():
    assert sorted(MISTAKES) == WRONG
    assert len(WRONG) == 6


@pytest.mark.parametrize("name", WRONG)
def test_each_mistake_is_named_where_it_was_made(run, name):
    output = run(command(f"wrong/{name}"))
    tasks, words = MISTAKES[name]
    assert re.findall(r"^(\d\.\d) .* not yet", output, re.MULTILINE) == tasks
    assert words in " ".join(output.split())
    (points,) = re.findall(r"^(\d+) of 12 points", output, re.MULTILINE)
    (row,) = [line for line in README.splitlines() if line.startswith(f"| [`{name}`]")]
    assert row.endswith(f"| [{tasks[0]}](wrong/{name}/feedback.txt) | {points} |")
    docstring = (FOLDER / "wrong" / name / "ops.py").read_text().partition('"""')[2]
    assert row.partition(": ")[2].partition(" |")[0] in docstring


def test_without_words_the_same_but_the_words(run):
    with_words = graded(run, "wrong/elementwise")["tasks"][2]["tests"][0]["feedback"]
    without = graded(run, "wrong/elementwise", " --minidl-feedback=gap")
    without = without["tasks"][2]["tests"][0]["feedback"]
    before, _, after = with_words.partition("  in words: ")
    assert without == before + after[after.index("  the rule:") :]


def sessions():
    """The commands of the page and their outputs."""
    for block in re.findall(r"^```console\n(.*?)^```$", README, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            yield part.partition("\n")[::2]


def test_the_page_shows_what_is_printed(run):
    shown = list(sessions())
    assert len(shown) == 5
    for line, output in shown:
        assert differences(output, run(line)) == [], line


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target.startswith("https://") or (FOLDER / target).exists(), target


def test_the_solution_is_not_in_what_the_student_gets():
    student = (FOLDER / "student" / "ops.py").read_text()
    solution = (FOLDER / "reference" / "ops.py").read_text()
    body = [
        line.strip() for line in solution.splitlines() if line.startswith("    ") and "=" in line
    ]
    assert body
    for line in body:
        assert line not in student or line.startswith('"""'), line
