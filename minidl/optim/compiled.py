"""Which update rules run as compiled kernels.

The function that holds an update rule's formula is its definition: NumPy computes it, on the GPU
CuPy. minidl/kernels/cpu/optimizers.py has a function of the same name and arguments, which takes
float32 arrays in the CPU's memory as one long row, minidl/kernels/cuda/optimizers.py one for
float32 and float64 arrays on a GPU. Arrays that lie in another order, and everything under
`kernels.disabled()`, are left to the definition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy import ndarray

from .. import dtypes, kernels
from ..device import xp

F32 = dtypes.F32


def fastest(step: Callable, *arrays: Any) -> tuple[Callable, tuple[Any, ...] | list[Any]]:
    """The kernel of an update rule, and the arrays as it takes them; or both as they are.

    arrays: the parameter, its gradient, and the state, each of the parameter's shape, or None.
    """
    kernel = kernels.function(step.__name__, arrays[0])
    if kernel is None:
        return step, arrays
    if arrays[0].__class__ is not ndarray:
        return _on_gpu(step, kernel, *arrays)
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


def _on_gpu(
    step: Callable, kernel: Callable, param: Any, grad: Any, *state: Any
) -> tuple[Callable, tuple[Any, ...]]:
    """As `fastest`; a gradient in another order is copied, since nothing is written to it."""
    given = [x for x in (param, grad, *state) if x is not None]
    kinds = {(x.__class__, x.dtype, x.shape) for x in given}
    written = [x for x in given if x is not grad]
    if len(kinds) > 1 or param.dtype not in (F32, dtypes.F64):
        return step, (param, grad, *state)
    if not all(x.flags.c_contiguous for x in written):
        return step, (param, grad, *state)
    return kernel, (param, xp(grad).ascontiguousarray(grad), *state)
