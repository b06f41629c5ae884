"""Bringing operands to one type before an op runs, by recorded casts. The table: dtypes.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import device, dtypes
from .autocasting import brought
from .errors import DTypeError
from .tape import Op, Tensor, mode, named, wrap


def promoted(name: str, a: Any, b: Any, result: str = "same") -> tuple[Any, Any]:
    """Both operands in PyTorch's common type. Tensors are converted by a recorded op.

    Python scalars stay scalars (they take the tensor's type), arrays become tensors.
    """
    a, b = _tensor_or_number(name, a), _tensor_or_number(name, b)
    if result == "strict":
        _check_strict(name, a, b)
    if mode.autocast is not None:
        a, b = brought(name, (a, b))
    common = dtypes.result_type([_ranked(a), _ranked(b)])
    if result == "float" and common.kind != "f":
        common = dtypes.default_float()
    return _converted(name, a, common), _converted(name, b, common)


def _tensor_or_number(name: str, value: Any) -> Any:
    if isinstance(value, Tensor) or value.__class__ in (float, int, bool):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return wrap(value)
    raise TypeError(f"{name}() expects a Tensor or a number, got {kind_of(value)}.")


def _check_strict(name: str, a: Any, b: Any) -> None:
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)):
        raise TypeError(f"{name}() expects two tensors, got {kind_of(a)} and {kind_of(b)}.")
    if a._array.dtype != b._array.dtype:
        raise DTypeError(
            f"{name}: the tensors must have one type, got {a._array.dtype} and {b._array.dtype}; "
            "convert one with .to()."
        )


def _ranked(value: Any) -> tuple[np.dtype, int]:
    if isinstance(value, Tensor):
        return value._array.dtype, 2 if value._array.ndim else 1
    return dtypes.of_scalar(value), 0


def _converted(name: str, value: Any, to: np.dtype) -> Any:
    if not isinstance(value, Tensor):
        # integers wrap around, as PyTorch's do
        return float(value) if to.kind == "f" else np.asarray(value).astype(to).item()
    refuse_half(name, value._array)
    return value if value._array.dtype == to else cast(value, to)


def cast(t: Tensor, to: np.dtype) -> Tensor:
    """`t` in another type, by a recorded op whose rule casts the gradient back.

    Integers and bools carry no gradient: a cast to one ends the history.
    """
    if to.kind != "f":
        return wrap(t._array.astype(to))
    return named("cast")(t, to, t._array.dtype)


def prepared(op: Op, input: Tensor, to_float: bool) -> Tensor:
    """The input of a unary op in a type that it computes in."""
    refuse_half(op.name, input._array)
    if mode.autocast is not None:
        (input,) = brought(op.name, (input,))
    if to_float and input._array.dtype.kind != "f":
        return cast(input, dtypes.default_float())
    return input


def refuse_half(name: str, array: device.Array) -> None:
    """float16 is computed with on the GPU only."""
    if array.dtype == dtypes.F16 and device.of(array).type == "cpu":
        raise DTypeError(
            f"{name}: float16 is for storage on the CPU; compute in float32: x.float()."
        )


def values_are_checked(array: device.Array) -> bool:
    """Whether an error that depends on values is looked for: on a GPU only in anomaly mode, since
    to read them, the program would have to wait for it in every step."""
    return device.of(array).type == "cpu" or mode.anomaly


def need_tensors(name: str, **values: Any) -> None:
    """Raises TypeError naming the first of these arguments that is not a Tensor."""
    for key, value in values.items():
        if not isinstance(value, Tensor):
            raise TypeError(not_a_tensor(name, key, value))


def not_a_tensor(name: str, key: str, value: Any) -> str:
    """What to say of an argument that should be a tensor."""
    return (
        f"{name}(): '{key}' must be a Tensor, got {kind_of(value)}. "
        "minidl.tensor(data) makes one from a list, a number or an array."
    )


def kind_of(value: Any) -> str:
    """What to call a value in an error message."""
    return "None" if value is None else f"a {type(value).__name__}"
