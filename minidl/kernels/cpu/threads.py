"""The one pool of threads that all kernels share.

TBB starts a parallel loop in about a microsecond, sleeps when there is nothing to do, and allows
loops from several Python threads and after a fork. Where it is missing, Numba's own "workqueue" is
used: about 20 microseconds a loop, and only one thread may start one at a time. GNU's OpenMP is
never chosen: its idle threads spin on the cores that everybody else needs.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import site
import sys
import threading
from pathlib import Path

import numba

GRAIN = 32768  # less work than this is done before a second thread has woken up


def _load_tbb() -> bool:
    """Loads pip's TBB, which the system's loader does not find by itself."""
    for prefix in (sys.prefix, site.USER_BASE, ""):
        with contextlib.suppress(OSError, TypeError):
            ctypes.CDLL(
                str(Path(prefix, "lib", "libtbb.so.12")) if prefix else "libtbb.so.12",
                ctypes.RTLD_GLOBAL,
            )
            return True
    return False


if "NUMBA_THREADING_LAYER" not in os.environ:
    numba.config.THREADING_LAYER = "tbb" if _load_tbb() else "workqueue"

# Held around every parallel loop.
launch = contextlib.nullcontext() if numba.config.THREADING_LAYER == "tbb" else threading.Lock()


def count() -> int:
    """How many threads a loop may use."""
    return numba.get_num_threads()
