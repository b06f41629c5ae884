"""Run a function in a forked process with a time limit."""

import contextlib
import os
import select
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable

AVAILABLE = hasattr(os, "fork")

LENGTH = 8  # bytes, that hold the length of the result
LOOK = 0.05  # seconds between looks at whether the process lives

_inside = False  # whether this process is such a copy


class TimeOut(Exception):
    """The function was still running when its time was over; its process was killed."""


class Crash(Exception):
    """The process of the function ended without a result; `how` says by what, `signal` by which
    signal, 0 if by none."""

    def __init__(self, status: int):
        code = os.waitstatus_to_exitcode(status)
        self.signal = max(-code, 0)
        self.how = f"signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"exit({code})"
        super().__init__(self.how)


def run(function: Callable[[], bytes], seconds: float) -> bytes:
    """Return the bytes, at least one, that `function()` returns in a forked copy of this process.

    The copy is killed after `seconds`, whatever it does: a loop in compiled code, which no signal
    handler of Python's interrupts, ends too, and a crash or a changed global stays there. What it
    started itself and left behind is killed with it.

    Raises TimeOut, or Crash. POSIX only: see AVAILABLE.
    """
    _flush()  # or what is waiting there is printed by both
    readable, writable = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns where there are threads. Those of BLAS are told of a fork.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        _child(function, readable, writable)
    os.close(writable)
    try:
        deadline = time.monotonic() + seconds
        result = _read(readable, pid, deadline)
        while not _has_ended(pid):
            if time.monotonic() > deadline:
                raise TimeOut
            time.sleep(0.001)
    finally:
        os.close(readable)
        if not _inside:
            _end(os.killpg, pid)
        _end(os.kill, pid)  # before its `setsid`, it is in no group of its own
        status = os.waitpid(pid, 0)[1]
    if status or not result:  # an `os._exit(0)` on the way, too
        raise Crash(status)
    return result


def _end(kill: Callable, pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # of what has ended
        kill(pid, signal.SIGKILL)


def _child(function: Callable[[], bytes], readable: int, writable: int) -> None:
    global _inside
    status = 1
    try:
        os.close(readable)
        if not _inside:  # copies of a copy end with it
            os.setsid()
        _inside = True
        result = function()
        with os.fdopen(writable, "wb") as pipe:
            pipe.write(len(result).to_bytes(LENGTH) + result)
        status = 0
    except BaseException:
        traceback.print_exc(limit=-8)
    finally:
        _flush()
        os._exit(status)  # nothing of the parent's is to be finished twice


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def _has_ended(pid: int) -> bool:
    """Whether a process has ended; its status can still be asked for."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _read(readable: int, pid: int, deadline: float) -> bytes:
    """The result, after its length; empty if the process ended without one. The end of the file is
    not waited for: it comes only when all has ended that the process started."""
    data = bytearray()
    while len(data) < LENGTH or len(data) < LENGTH + int.from_bytes(data[:LENGTH]):
        ended = _has_ended(pid)
        if not select.select([readable], [], [], 0 if ended else LOOK)[0]:
            if ended:
                return b""
            if time.monotonic() > deadline:
                raise TimeOut
            continue
        part = os.read(readable, 1 << 16)
        if not part:
            return b""
        data += part
    return bytes(data[LENGTH:])
