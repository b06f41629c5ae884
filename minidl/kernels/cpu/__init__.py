"""Numba kernels. `jit` and `parallel` are the only users of Numba in minidl.

What each file here holds: the kernels of one family, and a table KERNELS that gives the registry a
forward, a backward and the condition under which they apply. Rules of the house:

- Constants are float32: a Python number would make the loop float64.
- Loops run from 0, over rows or slices: an index that could be negative costs Numba's wrap-around
  test, and with it the vector instructions.
- Work is split by shape alone, and no sum runs across a `prange`: so the bits do not depend on the
  number of threads.
- nan and infinity come out as in the definition, unless the op's docstring says otherwise.
"""

from __future__ import annotations

import hashlib
import logging
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import prange
from numba.core import event

from . import malloc, threads
from .cache import FOLDER, keep

__all__ = ["FOLDER", "jit", "malloc", "parallel", "prange", "threads"]

_log = logging.getLogger("minidl")


class _Notice(event.Listener):
    """Says once that the first use compiles: until then it looks as if nothing happened."""

    said = False

    def on_start(self, event: Any) -> None:
        if not _Notice.said:
            _Notice.said = True
            _log.warning("minidl: compiling CPU kernels, kept in %s for the next time", FOLDER)

    def on_end(self, event: Any) -> None: ...


event.register("numba:compile", _Notice())


# Sums may be reordered (or they would not be vectorised), a / b be a * (1 / b); but nan stays nan.
FAST = {"contract", "nsz", "arcp", "afn", "reassoc"}


# Inlined: a function that is called would be there once for each of its callers, optimised
# together with them, and the linker takes the one it met first. Then the order of a sum, and its
# last digit, would depend on what this process has compiled and what it found in the cache.
OPTIONS = {"fastmath": FAST, "error_model": "numpy", "nogil": True, "forceinline": True}


# What Numba makes parallel: the loops that say so, and not each sum, slice or array expression as
# well, which would cut small work smaller and take longer to compile.
LOOPS_ONLY = {
    "prange": True,
    "comprehension": False,
    "reduction": False,
    "inplace_binop": False,
    "setitem": False,
    "numpy": False,
    "stencil": False,
    "fusion": False,
}


def jit(function: Callable | None = None, **options: Any) -> Callable:
    """Numba's njit with the options of the house, cached on disk.

    Numba's cache watches only the file a function stands in. Here the hash of that file, of every
    file of this folder it takes a name from, and of the options stands in the function's qualified
    name, which is part of the cache's key: code compiled from other sources is never met.
    """
    if function is None:
        return lambda f: jit(f, **options)
    sources = "".join(sorted(_sources(function.__globals__, set())))
    settings = {name: sorted(v) if isinstance(v, set) else v for name, v in options.items()}
    stamp = hashlib.sha256(f"{sources}{sorted(settings.items())}".encode()).hexdigest()[:16]
    function.__qualname__ = f"{function.__qualname__}_{stamp}"
    options = OPTIONS | options
    return keep(numba.njit(function, **options))


def _sources(names: dict[str, Any], seen: set[str]) -> set[str]:
    """The hashes of the kernel files in which `names` (a module's globals) were made."""
    modules = {names["__name__"]} | {getattr(value, "__module__", None) for value in names.values()}
    modules |= {value.__name__ for value in names.values() if isinstance(value, types.ModuleType)}
    found = set()
    for module in modules:
        if module is not None and module.startswith(__name__) and module not in seen:
            seen.add(module)
            file = Path(sys.modules[module].__file__)
            found |= {f"{module} {hashlib.sha256(file.read_bytes()).hexdigest()}"}
            if module != __name__:  # whose names are all the kernel files imported so far
                found |= _sources(vars(sys.modules[module]), seen)
    return found


class parallel:
    """A kernel whose `prange` loops run on all threads when there is enough to do.

    `kernel(work, *arrays)`: work is about the number of simple steps (elements, say). It is
    compiled twice, each when first needed; the second copy has another name, because Numba's cache
    does not tell the two apart. Which one runs depends on `work` alone: the bits are the same for
    any number of threads.
    """

    def __init__(self, function: Callable):
        self.function = function
        self.serial = jit(_renamed(function, "serial"))
        self._parallel = None

    def __call__(self, work: int, *arguments: Any) -> Any:
        if work < threads.GRAIN:
            return self.serial(*arguments)
        if self._parallel is None:
            options = dict(LOOPS_ONLY)  # a copy: Numba empties it
            self._parallel = jit(_renamed(self.function, "parallel"), parallel=options)
        return threads.run(self._parallel, arguments)


def _renamed(function: Callable, suffix: str) -> Callable:
    copy = types.FunctionType(function.__code__, function.__globals__, function.__name__)
    copy.__qualname__ = f"{function.__qualname__}_{suffix}"
    copy.__module__ = function.__module__
    return copy
