"""Where compiled kernels are kept, and how two processes that compile at a time stay apart."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import caching

_home = Path(__file__).parent
_log = logging.getLogger("minidl")


def _cache_folder() -> Path:
    """Numba caches compiled code beside the source; if that is read-only, in a temporary folder."""
    if "NUMBA_CACHE_DIR" in os.environ:
        return Path(os.environ["NUMBA_CACHE_DIR"])
    if os.access(_home, os.W_OK):
        return _home / "__pycache__"
    folder = Path(tempfile.gettempdir()) / f"minidl-numba-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    numba.config.CACHE_DIR = str(folder)
    _log.warning("minidl: %s is read-only; compiled kernels are kept in %s", _home, folder)
    return folder


FOLDER = _cache_folder()


class Files(caching.IndexDataCacheFile):
    """The files of one function: compiled code for each list of argument types, and their index.

    Numba numbers the code files 1, 2, ... and writes the index first. So of two processes that
    compile the function for different types at the same time, both take number 1, and the index of
    one may name the code of the other: code for contiguous rows would run on rows with gaps. Here
    the number is a hash of the key, and the code is there before the index names it. An entry of
    the index that the other process overwrites is compiled again by the next process.
    """

    def save(self, key: tuple, data: Any) -> None:
        number = int(hashlib.sha256(repr(key).encode()).hexdigest()[:15], 16)
        name = self._data_name(number)
        self._save_data(name, data)
        self._save_index(self._load_index() | {key: name})


def keep(function: Callable) -> Callable:
    """Keep what Numba compiles of this jitted function on disk."""
    function.enable_caching()
    function._cache._cache_file.__class__ = Files
    return function
