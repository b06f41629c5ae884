"""What Python, NumPy and other libraries ask of a Tensor: numbers, iteration, arrays, text, copies.

The methods of `Protocols` are moved onto Tensor by `minidl/tensor.py`.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from . import device as devices
from . import dtypes, ops
from .errors import GraphError, ShapeError
from .ops import create
from .tape import Tensor, wrap
from .views import share


class Protocols:
    """Special methods; see the module's first lines."""

    def __array__(self: Tensor, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __dlpack__(self: Tensor, **options: Any) -> Any:
        if self.requires_grad:
            raise GraphError("__dlpack__: this tensor requires a gradient; use x.detach().")
        share(self)
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self: Tensor) -> tuple:
        return self._array.__dlpack_device__()

    def __len__(self: Tensor) -> int:
        if self._array.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self._array.shape[0]

    def __iter__(self: Tensor) -> Iterator[Tensor]:
        if self._array.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(ops.unbind(self, 0))

    def __bool__(self: Tensor) -> bool:
        if self._array.size != 1:
            raise ShapeError(
                f"a tensor of shape {self._array.shape} is neither true nor false; use .any(), "
                ".all(), or compare with `is None`."
            )
        return bool(self._array.item())

    def __int__(self: Tensor) -> int:
        return int(self.item())

    def __float__(self: Tensor) -> float:
        return float(self.item())

    def __index__(self: Tensor) -> int:
        return operator.index(self.item())

    def __contains__(self: Tensor, value: Any) -> bool:
        return bool((self == value).any())

    def __repr__(self: Tensor) -> str:
        array = devices.of(self._array).to_numpy(self._array)
        body = np.array2string(array, precision=4, separator=", ", prefix="tensor(", threshold=1000)
        extra = ""
        if self.device.type != "cpu":
            extra += f", device='{self.device}'"
        if array.dtype not in (dtypes.default_float(), dtypes.I64, dtypes.BOOL) or not array.size:
            extra += f", dtype={self.dtype}"
        if self.grad_fn is not None:
            extra += f", grad_fn=<{self.grad_fn.op.name}>"
        elif self.requires_grad:
            extra += ", requires_grad=True"
        return f"tensor({body}{extra})"

    def __format__(self: Tensor, spec: str) -> str:
        if self._array.ndim == 0 and self.__class__ is Tensor:
            return format(self.item(), spec)
        return object.__format__(self, spec)

    def __deepcopy__(self: Tensor, memo: dict) -> Tensor:
        if not self.is_leaf:
            raise GraphError("deepcopy: only leaf tensors can be copied; use x.detach().clone().")
        copied = _new_like(self, devices.copied(self._array))
        memo[id(self)] = copied
        if self.grad is not None:
            copied.grad = self.grad.__deepcopy__(memo)
        return copied

    def __reduce_ex__(self: Tensor, protocol: Any) -> tuple:
        if not self.is_leaf:
            raise GraphError("pickle: only leaf tensors can be pickled; use x.detach().")
        array = devices.of(self._array).to_numpy(self._array)
        return _rebuilt, (self.__class__, array, self.requires_grad)


def _new_like(t: Tensor, array: Any) -> Tensor:
    copied = wrap(array, t.__class__)
    if t.__class__ is not Tensor:
        copied.__dict__.update(t.__dict__)
    return create.with_gradient(copied) if t.requires_grad else copied


def _rebuilt(kind: type, array: np.ndarray, requires_grad: bool) -> Tensor:
    t = wrap(array, kind)
    return create.with_gradient(t) if requires_grad else t
