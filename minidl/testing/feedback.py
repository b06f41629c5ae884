"""From the exception that ended a test to what its author is told."""

import linecache
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import errors
from hypothesis.strategies import DataObject

import minidl
from minidl.testing.code import as_code
from minidl.testing.errors import CheckError, SetupError

PASSED, WRONG, NOT_JUDGED = "passed", "not yet", "not judged"
TIMED_OUT, CRASHED, SKIPPED, WAITS = "timed out", "crashed", "skipped", "waits"

LIBRARIES = [sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")]
LIBRARIES.append(str(Path(minidl.__file__).parent))
LONGEST_MESSAGE = 400  # letters of the message of an exception that is not ours


class Held(Exception):
    """Raised in place of a CheckError: hypothesis writes out what it catches, and words take
    time."""

    def __init__(self, error: CheckError):
        self.error = error


@dataclass(frozen=True)
class Verdict:
    """status: one of the words above; text: what to tell."""

    status: str
    text: str = ""


def judge(
    error: BaseException, name: str, claim: str, given: dict[str, Any], level: str
) -> Verdict:
    """What became of a test that ended with this error.

    name, claim: of the test, as in "softmax" and "each row sums to 1".
    given: the arguments that hypothesis found.
    level: "what", "gap" or "words", see `CheckError.message`.

    What hypothesis itself complains about is not judged: it says nothing about the solution.
    """
    if isinstance(error, errors.Flaky):
        return Verdict(
            NOT_JUDGED,
            f"{name}: the same input passed once and failed once, so nothing is said about it.\n"
            "  Is a result random, or kept from one call to the next? Else run it again.",
        )
    if isinstance(error, errors.HypothesisException | SetupError):
        return Verdict(
            NOT_JUDGED,
            f"{name}: this test could not be made, which says nothing about the solution.\n"
            f"  {type(error).__name__}: {_shortened(error).partition(chr(10) * 2)[0]}",
        )
    if isinstance(error, BaseExceptionGroup):  # several failures: one at a time
        return judge(error.exceptions[0], name, claim, given, level)
    if isinstance(error, Held):
        error = error.error
    if not isinstance(error, CheckError):
        error = _as_check_error(error, name, claim)
    if not error.code:
        error.code = "\n".join(
            f"{key} = {as_code(value)}"
            for key, value in given.items()
            if not isinstance(value, DataObject)
        )
    error.smallest = error.smallest or bool(given)
    return Verdict(WRONG, error.message(level))


def timed_out(name: str, seconds: float) -> Verdict:
    return Verdict(
        TIMED_OUT,
        f"{name}: still running after {seconds:g} s, and stopped. Is there a loop without an end?",
    )


def waits(name: str, needed: str) -> Verdict:
    return Verdict(WAITS, f"{name}: waits for {needed}")


def crashed(name: str, how: str) -> Verdict:
    return Verdict(CRASHED, f"{name}: the process of the test ended by {how}")


def _as_check_error(error: BaseException, name: str, claim: str) -> CheckError:
    said = _shortened(error)
    if isinstance(error, AssertionError | pytest.fail.Exception):
        return CheckError(name, f"does not hold: {claim}" if claim else "a check failed", gap=said)
    what = f"{type(error).__name__}: {said.partition(chr(10))[0]}".rstrip(": ")
    return CheckError(name, what, gap=_place(error))


def _shortened(error: BaseException) -> str:
    text = str(error)
    return text if len(text) <= LONGEST_MESSAGE else text[:LONGEST_MESSAGE] + " ..."


def _place(error: BaseException) -> str:
    """The last line of the user's own code on the way to the error."""
    if isinstance(error, SyntaxError):  # of the file that was being imported
        return f"{Path(error.filename or '').name}:{error.lineno}: {(error.text or '').strip()}"
    place, trace = "", error.__traceback__
    while trace:
        file = trace.tb_frame.f_code.co_filename
        if not any(file.startswith(folder) for folder in LIBRARIES):
            line = linecache.getline(file, trace.tb_lineno).strip()
            place = f"{Path(file).name}:{trace.tb_lineno}: {line}"
        trace = trace.tb_next
    return place
