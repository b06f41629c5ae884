"""Which update rules run as compiled kernels.

The function that holds an update rule's formula is its definition: NumPy computes it, on the GPU
CuPy. minidl/kernels/cpu/optimizers.py has a function of the same name and arguments, which takes
float32 arrays in the CPU's memory as one long row. Arrays that lie in another order, and
everything under `kernels.disabled()`, are left to the definition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy import ndarray

from .. import dtypes, kernels

F32 = dtypes.F32


def fastest(step: Callable, *arrays: Any) -> tuple[Callable, tuple[Any, ...] | list[Any]]:
    """The kernel of an update rule, and the arrays as it takes them; or both as they are.

    arrays: the parameter, its gradient, and the state, each of the parameter's shape, or None.
    """
    kernel = kernels.function(step.__name__)
    if kernel is None:
        return step, arrays
    shape, rows = arrays[0].shape, []
    for x in arrays:
        if x is not None:
            if x.__class__ is not ndarray or x.dtype is not F32 or x.shape != shape:
                return step, arrays
            if not x.flags.carray:  # in row order, aligned, writable
                return step, arrays
            x = x.reshape(-1)
        rows.append(x)
    return kernel, rows
