"""How many threads minidl's kernels and NumPy's matrix products use."""

from __future__ import annotations

import os
import sys

__all__ = ["get_num_threads", "set_num_threads"]

_chosen: int | None = None


def set_num_threads(number: int) -> None:
    """Sets how many threads kernels and matrix products use, in the whole process.

    Kernels give the same bits for any number; matrix products may differ in the last digits. More
    than the cores that the process may use are not started. Raises ValueError below 1.
    https://docs.pytorch.org/docs/stable/generated/torch.set_num_threads.html
    """
    global _chosen
    if not isinstance(number, int) or number < 1:
        raise ValueError(f"set_num_threads: expected an integer of at least 1, got {number!r}.")
    from .kernels import blas

    _chosen = number
    blas.set_threads(number)
    pool = sys.modules.get("minidl.kernels.cpu.threads")  # if it is not loaded, it will ask
    if pool is not None:
        pool.set_count(number)


def get_num_threads() -> int:
    """How many threads kernels use; at first, as many as there are cores for this process.

    https://docs.pytorch.org/docs/stable/generated/torch.get_num_threads.html
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    most = int(os.environ.get("NUMBA_NUM_THREADS", cores or 1))
    return min(_chosen or most, most)
