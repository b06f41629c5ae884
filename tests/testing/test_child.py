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


def leaves_one(after):
    """Forks a process that lives on, with all that was open, and ends."""

    def function():
        if not os.fork():
            time.sleep(60)
            os._exit(0)
        return after()

    return function


def test_child_that_leaves_one_behind():
    start = time.perf_counter()
    assert child.run(leaves_one(lambda: str(os.getpid()).encode()), 30)
    with pytest.raises(child.Crash, match=r"exit\(3\)"):
        child.run(leaves_one(lambda: os._exit(3)), 30)
    assert time.perf_counter() - start < 10


def test_what_was_left_behind_is_killed():
    def function():
        pid = os.fork()
        if not pid:
            time.sleep(60)
            os._exit(0)
        return str(pid).encode()

    pid = int(child.run(function, 30))
    for _ in range(100):  # until its new parent has heard of its end
        if not is_alive(pid):
            return
        time.sleep(0.05)
    os.kill(pid, 9)
    pytest.fail("it lives")


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return not os.path.isdir("/proc/self")


def test_child_of_a_child():
    assert child.run(lambda: child.run(lambda: b"inside", 10), 30) == b"inside"

    def outer():
        with pytest.raises(child.TimeOut):
            child.run(lambda: time.sleep(60), 0.2)
        return b"goes on"

    assert child.run(outer, 30) == b"goes on"


def test_child_that_closes_what_it_should_write_to():
    def function():
        os.closerange(3, 100)
        time.sleep(60)

    with pytest.raises(child.TimeOut):
        child.run(function, 0.5)
