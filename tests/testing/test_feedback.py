"""What the end of a test is made into: a status, a text, points."""

import numpy as np
import pytest
from hypothesis import errors

from minidl.testing import CheckError, feedback, report


def judged(error, level="words", given=None):
    return feedback.judge(error, "softmax", "each row sums to 1", given or {}, level)


def test_levels_of_feedback():
    def check_error():
        return CheckError("softmax", "wrong", gap="1, not 2", words="twice too large")

    assert judged(check_error(), "what").text == "softmax: wrong"
    assert judged(check_error(), "gap").text == "softmax: wrong\n  1, not 2"
    assert judged(check_error()).text.endswith("\n  in words: twice too large")
    plain = judged(AssertionError("2 is not 1"), "what", {"x": np.zeros(2)})
    assert plain.text == "softmax: does not hold: each row sums to 1"
    plain = judged(AssertionError("2 is not 1"), "gap", {"x": np.zeros(2)})
    assert plain.text == (
        "softmax: does not hold: each row sums to 1\n  smallest input found\n"
        "    x = np.array([0.0, 0.0], np.float64)\n  2 is not 1"
    )


@pytest.mark.parametrize(
    "error",
    [
        errors.FailedHealthCheck("too slow"),
        errors.Unsatisfiable("nothing found"),
        errors.DeadlineExceeded.__new__(errors.DeadlineExceeded),
        errors.FlakyFailure("once", [AssertionError("x")]),
        errors.InvalidArgument("no"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_hypothesis_are_never_a_wrong_answer(error):
    assert judged(error).status == feedback.NOT_JUDGED


@pytest.mark.parametrize(
    "error",
    [AssertionError(), KeyError("x"), SystemExit(0), ExceptionGroup("two", [ValueError("bad")])],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_the_solution_are(error):
    assert judged(error).status == feedback.WRONG
    assert judged(error).text.startswith("softmax: ")


def test_a_task_takes_its_worst_status():
    def about(nodeid, name, status, needs=(), points=2):
        class Report:
            duration = 0.5

        Report.nodeid = nodeid
        task = {"task": name, "title": "", "needs": list(needs), "points": points}
        Report.user_properties = [("minidl", task | {"status": status, "text": ""})]
        return Report

    summary = report.summary_of(
        [
            about("a", "1", "passed"),
            about("b", "1", "timed out"),
            about("c", "1", "not yet"),
            about("d", "2", "passed", needs=["1"]),
            about("e", "3", "passed", needs=["elsewhere"]),
            about("f", "4", "not judged"),
            about("f", "4", "passed"),  # the report of its teardown
        ]
    )
    assert {t["task"]: t["status"] for t in summary["tasks"]} == {
        "1": "not yet",
        "2": "waits",
        "3": "passed",
        "4": "not judged",
    }
    assert (summary["points"], summary["of"]) == (2, 8)
    assert [t["seconds"] for t in summary["tasks"]] == [1.5, 0.5, 0.5, 1.0]
