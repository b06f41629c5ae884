"""A function in a process of its own: its result, its end, its time."""

import os
import time

import pytest

from minidl.testing import child


def test_child_returns_bytes():
    assert child.run(lambda: b"x" * 1_000_000, 30) == b"x" * 1_000_000
    assert child.run(lambda: str(os.getpid()).encode(), 30) != str(os.getpid()).encode()


def test_child_is_killed():
    start = time.perf_counter()
    with pytest.raises(child.TimeOut):
        child.run(lambda: time.sleep(60), 0.2)
    assert time.perf_counter() - start < 10
    with pytest.raises(ChildProcessError):  # none is left
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize(
    ("function", "how"),
    [
        (lambda: os._exit(3), r"exit\(3\)"),
        (lambda: os._exit(0), r"exit\(0\)"),
        (lambda: os.kill(os.getpid(), 9), "Killed"),
        (lambda: 1 / 0, r"exit\(1\)"),
    ],
    ids=["exit", "quiet exit", "signal", "error"],
)
def test_child_that_ends_early(function, how):
    with pytest.raises(child.Crash, match=how):
        child.run(function, 30)
