"""Names that PyTorch keeps from its first years: `torch.FloatTensor` and its kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import dtypes, ops
from .tape import Tensor

__all__ = """
    BoolTensor ByteTensor CharTensor DoubleTensor FloatTensor HalfTensor IntTensor LongTensor
    ShortTensor
""".split()

_TYPES = {
    "BoolTensor": dtypes.bool_,
    "ByteTensor": dtypes.uint8,
    "CharTensor": dtypes.int8,
    "DoubleTensor": dtypes.float64,
    "FloatTensor": dtypes.float32,
    "HalfTensor": dtypes.float16,
    "IntTensor": dtypes.int32,
    "LongTensor": dtypes.int64,
    "ShortTensor": dtypes.int16,
}


def _constructor(name: str, dtype: dtypes.dtype) -> Callable:
    def make(*data: Any) -> Tensor:
        if data and not all(isinstance(n, int) for n in data):
            return ops.tensor(*data, dtype=dtype)
        return ops.empty(data or (0,), dtype=dtype)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"`{name}(data)` is a tensor of {dtype}; `{name}(2, 3)` is uninitialised memory."
    return make


for _name, _dtype in _TYPES.items():
    globals()[_name] = _constructor(_name, _dtype)


def name_of(dtype: dtypes.dtype) -> str:
    """What `x.type()` says: "torch.FloatTensor"."""
    return next(f"torch.{name}" for name, known in _TYPES.items() if known == dtype)


def type_of(value: Any) -> dtypes.dtype:
    """The element type that a type, one of the constructors above, or its name stands for."""
    name = value if isinstance(value, str) else getattr(value, "__name__", "")
    return _TYPES.get(name.removeprefix("torch."), value)
