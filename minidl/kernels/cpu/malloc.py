"""No page faults in a training loop.

glibc's malloc gets a large block from the kernel (mmap) and gives it back when it is freed. The
next one is new again: 4 KiB after 4 KiB, the first touch of each page stops the program while the
kernel clears it. That costs more than many an operation on the block. So large blocks come from the
heap like small ones, and the heap's end is not given back: after the first training step the
process has all the memory that a step needs. The price: it keeps its peak until it ends.
`MINIDL_MALLOC=off` leaves malloc as it is; other C libraries are left alone.
"""

from __future__ import annotations

import ctypes
import os

# From glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def keep_memory() -> bool:
    """Applies the settings; False where they do not exist or are not wanted."""
    if os.environ.get("MINIDL_MALLOC") == "off":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = (_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 64 * 2**20)
    return min([mallopt(name, value) for name, value in settings]) == 1


kept = keep_memory()
