"""Run a function in a forked process with a time limit."""

import os
import select
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable

AVAILABLE = hasattr(os, "fork")


class TimeOut(Exception):
    """The function was still running when its time was over; its process was killed."""


class Crash(Exception):
    """The process of the function ended without a result; `how` says by what."""

    def __init__(self, status: int):
        code = os.waitstatus_to_exitcode(status)
        self.how = f"signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"exit({code})"
        super().__init__(self.how)


def run(function: Callable[[], bytes], seconds: float) -> bytes:
    """Return the bytes, at least one, that `function()` returns in a forked copy of this process.

    The copy is killed after `seconds`, whatever it does: a loop in compiled code, which no signal
    handler of Python's interrupts, ends too, and a crash or a changed global stays there.

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
    status = None
    try:
        result = _read(readable, time.monotonic() + seconds)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.close(readable)
        status = os.waitpid(pid, 0)[1]
    if status or not result:  # an `os._exit(0)` on the way, too
        raise Crash(status)
    return result


def _child(function: Callable[[], bytes], readable: int, writable: int) -> None:
    status = 1
    try:
        os.close(readable)
        with os.fdopen(writable, "wb") as pipe:
            pipe.write(function())
        status = 0
    except BaseException:
        traceback.print_exc(limit=-8)
    finally:
        _flush()
        os._exit(status)  # nothing of the parent's is to be finished twice


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def _read(readable: int, deadline: float) -> bytes:
    parts = []
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([readable], [], [], left)[0]:
            raise TimeOut
        part = os.read(readable, 1 << 16)
        if not part:
            return b"".join(parts)
        parts.append(part)
