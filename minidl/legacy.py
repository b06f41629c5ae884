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


def name_of(t: Tensor) -> str:
    """What `t.type()` says: "torch.FloatTensor", or "torch.cuda.FloatTensor" on a GPU."""
    name = next(name for name, known in _TYPES.items() if known == t.dtype)
    return f"torch.cuda.{name}" if t.is_cuda else f"torch.{name}"


def converted(t: Tensor, to: Any) -> Tensor:
    """`t` in an element type, or in the type and on the device that one of the constructors above,
    or a name that `name_of` gives, stands for."""
    name = to if isinstance(to, str) else getattr(to, "__name__", "")
    name = name.removeprefix("torch.")
    dtype = _TYPES.get(name.removeprefix("cuda."))
    if dtype is None:
        return t.to(dtype=to)
    return t.to("cuda" if name.startswith("cuda.") else "cpu", dtype)
