"""The one pool of threads that all kernels share.

TBB starts a parallel loop in about a microsecond, sleeps when there is nothing to do, and allows
loops from several Python threads and after a fork. Where it is missing, Numba's own "workqueue" is
used: 20 microseconds or more for a loop, and a second thread that starts one while the first one
runs aborts the process, hence the lock. GNU's OpenMP is never chosen: its idle threads spin on the
cores that everybody else needs.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import site
import sys
import threading
from collections.abc import Callable
from typing import Any

import numba

from ...threads import get_num_threads

GRAIN = 32768  # less work than this is done before a second thread has woken up


def _load_tbb() -> bool:
    """Loads pip's TBB, which the system's loader does not find by itself."""
    name = "libtbb.so.12"
    for path in (f"{sys.prefix}/lib/{name}", f"{site.USER_BASE}/lib/{name}", name):
        with contextlib.suppress(OSError):
            ctypes.CDLL(path, ctypes.RTLD_GLOBAL)
            return True
    return False


def layer() -> str:
    """What runs the parallel loops: "tbb" or "workqueue"."""
    return numba.config.THREADING_LAYER


if "NUMBA_THREADING_LAYER" not in os.environ:
    numba.config.THREADING_LAYER = "tbb" if _load_tbb() else "workqueue"

_one_at_a_time = contextlib.nullcontext() if layer() == "tbb" else threading.Lock()
_pool = numba.config.NUMBA_NUM_THREADS  # its size: the cores that this process may use
_count = get_num_threads()
_here = threading.local()  # Numba's number of threads is set in each Python thread


def count() -> int:
    """How many threads a loop uses."""
    return _count


def set_count(number: int) -> None:
    global _count
    _count = min(number, _pool)


def run(loop: Callable, arguments: tuple) -> Any:
    """Runs a compiled parallel loop on `count()` threads."""
    with _one_at_a_time:
        if getattr(_here, "count", _pool) != _count:
            numba.set_num_threads(_count)
            _here.count = _count
        return loop(*arguments)
