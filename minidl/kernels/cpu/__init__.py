"""Numba kernels. `jit` is the only user of Numba in minidl.

What each file here holds: the kernels of one family, and a table KERNELS that gives the registry a
forward, a backward and the condition under which they apply. Rules of the house: constants are
float32 (a Python number would make the loop float64), work is split by shape alone (so the bits do
not depend on the number of threads), and nan and infinity come out as in the definition.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

_home = Path(__file__).parent
_stamp = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(_home.glob("*.py")))).hexdigest()


def _choose_cache() -> None:
    """Numba caches compiled code beside the source; if that is read-only, in a temporary folder."""
    if "NUMBA_CACHE_DIR" in os.environ or os.access(_home, os.W_OK):
        return
    folder = Path(tempfile.gettempdir()) / f"minidl-numba-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    logging.getLogger("minidl").warning("compiled kernels are cached in %s", folder)


_choose_cache()


def jit(function: Callable | None = None, **options: Any) -> Callable:
    """Numba's njit with the options of the house, cached on disk.

    The hash of all kernel sources and the options stand in the function's qualified name, which is
    part of the cache's key: code compiled from other sources is never met.
    """
    if function is None:
        return lambda f: jit(f, **options)
    import numba

    stamp = hashlib.sha256(f"{_stamp}{sorted(options.items())}".encode()).hexdigest()[:16]
    function.__qualname__ = f"{function.__qualname__}_{stamp}"
    return numba.njit(function, cache=True, error_model="numpy", nogil=True, **options)
