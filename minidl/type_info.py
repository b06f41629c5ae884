"""What the element types can hold and which of two is the common one: finfo, result_type, ..."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .errors import DTypeError
from .tape import Tensor


class finfo:  # lower case as in PyTorch
    """Limits of a float type: bits, eps, max, min, tiny, smallest_normal, resolution, dtype.

    https://docs.pytorch.org/docs/stable/type_info.html
    """

    def __init__(self, type: Any = None):
        kind = dtypes.default_float() if type is None else dtypes.to_numpy(type)
        if kind.kind != "f":
            raise DTypeError(f"finfo: expected a float type, got {kind}; use iinfo.")
        found = np.finfo(kind)
        self.bits, self.dtype = found.bits, kind.name
        self.max, self.min, self.eps = float(found.max), float(found.min), float(found.eps)
        self.tiny = self.smallest_normal = float(found.tiny)
        self.resolution = float(found.resolution)

    def __repr__(self) -> str:
        names = ("resolution", "min", "max", "eps", "smallest_normal", "tiny", "dtype")
        return f"finfo({', '.join(f'{n}={getattr(self, n)}' for n in names)})"


class iinfo:  # lower case as in PyTorch
    """Limits of an integer type: bits, max, min, dtype.

    https://docs.pytorch.org/docs/stable/type_info.html
    """

    def __init__(self, type: Any):
        kind = dtypes.to_numpy(type)
        if kind.kind not in "iu":
            raise DTypeError(f"iinfo: expected an integer type, got {kind}; use finfo.")
        found = np.iinfo(kind)
        self.bits, self.dtype = found.bits, kind.name
        self.max, self.min = int(found.max), int(found.min)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


def promote_types(type1: Any, type2: Any) -> dtypes.dtype:
    """The smallest type for both, as for two tensors with dimensions.

    https://docs.pytorch.org/docs/stable/generated/torch.promote_types.html
    """
    return dtypes.of(dtypes.promote(dtypes.to_numpy(type1), dtypes.to_numpy(type2)))


def result_type(tensor1: Any, tensor2: Any) -> dtypes.dtype:
    """The type of the result of arithmetic on two tensors or numbers.

    https://docs.pytorch.org/docs/stable/generated/torch.result_type.html
    """
    return dtypes.of(dtypes.result_type([_ranked(tensor1), _ranked(tensor2)]))


def _ranked(value: Any) -> tuple[np.dtype, int]:
    if isinstance(value, Tensor):
        return value._array.dtype, 2 if value._array.ndim else 1
    return dtypes.of_scalar(value), 0


def can_cast(from_: Any, to: Any) -> bool:
    """Whether the step keeps the kind of number: bool, integer, float, in that order.

    https://docs.pytorch.org/docs/stable/generated/torch.can_cast.html
    """
    order = "b", "iu", "f"
    have, want = (
        next(i for i, kinds in enumerate(order) if dtypes.to_numpy(d).kind in kinds)
        for d in (from_, to)
    )
    return have <= want
