"""Element types and PyTorch's promotion rules.

PyTorch and NumPy disagree about mixed types (int32 + float32 is float32 there, float64 here), so
minidl decides the result type itself, before NumPy sees the arrays.
Rules: https://docs.pytorch.org/docs/stable/tensor_attributes.html
"""

from __future__ import annotations

import numpy as np

from .errors import DTypeError


class dtype:  # lower case as in PyTorch
    """An element type. Equal to NumPy's type of the same name; `np.dtype(minidl.float32)` works."""

    __slots__ = ("dtype", "is_floating_point", "itemsize", "name")

    def __init__(self, name: str):
        self.name = name
        self.dtype = np.dtype(name)  # NumPy reads this attribute
        self.itemsize = self.dtype.itemsize
        self.is_floating_point = self.dtype.kind == "f"

    def __repr__(self) -> str:
        return f"minidl.{self.name}"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, dtype):
            return self is other
        try:
            return other is not None and self.dtype == np.dtype(other)  # type: ignore[call-overload]
        except TypeError:
            return False

    def __hash__(self) -> int:
        return hash(self.dtype)

    def __reduce__(self) -> tuple:
        return of, (self.name,)


class _Unsupported:
    """A type whose name exists so that code can mention it; a tensor of it cannot be made."""

    def __init__(self, name: str, instead: str):
        self.name, self.instead = name, instead
        self.is_floating_point = name == "bfloat16"

    def __repr__(self) -> str:
        return f"minidl.{self.name}"


_NAMES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
_BY_NUMPY = {np.dtype(name): dtype(name) for name in _NAMES}
bool_, uint8, int8, int16, int32, int64, float16, float32, float64 = _BY_NUMPY.values()
bfloat16 = _Unsupported("bfloat16", "float32")
complex64 = _Unsupported("complex64", "two real tensors")
complex128 = _Unsupported("complex128", "two real tensors")

F16, F32, F64, I64, BOOL = (np.dtype(n) for n in ("f2", "f4", "f8", "i8", "?"))
_default = float32
_PYTHON = {bool: BOOL, int: I64}


def of(value: object) -> dtype:
    """The minidl type of a NumPy type, a type's name, or bool / int / float."""
    if isinstance(value, dtype):
        return value
    if value is float:
        return _default
    return _BY_NUMPY[to_numpy(value)]


def to_numpy(value: object) -> np.dtype:
    """The NumPy type for anything that names a supported type. Raises DTypeError for the rest."""
    if isinstance(value, dtype):
        return value.dtype
    if isinstance(value, _Unsupported):
        raise DTypeError(f"{value} tensors cannot be made in minidl; use {value.instead}.")
    if value is float:
        return _default.dtype
    try:
        found = np.dtype(value)  # type: ignore[call-overload]
    except TypeError:
        raise DTypeError(f"{value!r} is not a data type; minidl has {', '.join(_NAMES)}.") from None
    if found not in _BY_NUMPY:
        raise DTypeError(f"{found} is not supported; minidl has {', '.join(_NAMES)}.")
    return found


def get_default_dtype() -> dtype:
    """The type that Python floats become: float32 unless changed."""
    return _default


def set_default_dtype(d: dtype) -> None:
    """Sets the type that Python floats become. Raises DTypeError unless it is a float type."""
    global _default
    found = of(d)
    if not found.is_floating_point:
        raise DTypeError(f"set_default_dtype: expected a float type, got {found}.")
    _default = found


def default_float() -> np.dtype:
    return _default.dtype


def of_scalar(value: object) -> np.dtype:
    """The type a Python or NumPy scalar counts as (weakly): bool, int64, or the default float."""
    kind = np.asarray(value).dtype.kind
    if kind not in "biuf":
        raise DTypeError(
            f"expected a real number, got {value!r} of type {type(value).__name__}; "
            "minidl computes with bool, int and float."
        )
    return BOOL if kind == "b" else I64 if kind in "iu" else _default.dtype


def promote(a: np.dtype, b: np.dtype) -> np.dtype:
    """The smallest type for both; a float type wins over any integer type, as in PyTorch."""
    if a == b:
        return a
    if a.kind == "f" and b.kind != "f":
        return a
    if b.kind == "f" and a.kind != "f":
        return b
    return np.promote_types(a, b)


def _combine(higher: np.dtype | None, lower: np.dtype | None) -> np.dtype | None:
    """A lower rank changes the result only when its category (bool < int < float) is higher."""
    if higher is None or lower is None:
        return lower if higher is None else higher
    if higher.kind == "f" or (lower.kind != "f" and higher.kind != "b"):
        return higher
    return promote(higher, lower)


def result_type(operands: list[tuple[np.dtype, int]]) -> np.dtype:
    """The common type of operands given as (type, rank).

    rank 2: a tensor with dimensions, 1: a 0-d tensor, 0: a Python scalar.
    """
    by_rank: list[np.dtype | None] = [None, None, None]
    for found, rank in operands:
        seen = by_rank[rank]
        by_rank[rank] = found if seen is None else promote(seen, found)
    result = _combine(by_rank[2], _combine(by_rank[1], by_rank[0]))
    assert result is not None
    return result
