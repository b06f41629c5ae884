"""The OpenBLAS inside NumPy's wheel, called directly: NumPy has no way to say how many threads.

These names are not documented. Where they are missing (another build of NumPy), `library` is None,
and what would use it does without.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np


def _find() -> ctypes.CDLL | None:
    for path in (Path(np.__file__).parents[1] / "numpy.libs").glob("libscipy_openblas64_*"):
        found = ctypes.CDLL(str(path))  # NumPy has loaded it: this is the same one
        if hasattr(found, "scipy_cblas_sgemm64_"):
            return found
    return None


library = _find()


def get_threads() -> int:
    return library.scipy_openblas_get_num_threads64_() if library else 1


def set_threads(number: int) -> None:
    if library:
        library.scipy_openblas_set_num_threads64_(number)
