"""Tensors from data and from nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import dtypes
from ..device import Array, backend, device_of, of
from ..device import device as Device
from ..errors import DTypeError, ShapeError
from ..tape import Leaf, Tensor, wrap
from .shape import shape_of

__all__ = """
    tensor as_tensor from_numpy from_dlpack zeros ones empty full zeros_like ones_like empty_like
    full_like arange linspace eye
""".split()


Where = str | Device | None


def made(array: Array, requires_grad: bool = False) -> Tensor:
    """A tensor on `array`, a leaf that requires a gradient if asked."""
    t = wrap(array)
    return with_gradient(t) if requires_grad else t


def with_gradient(t: Tensor) -> Tensor:
    """Makes `t` a leaf that requires a gradient. Raises DTypeError unless its type is a float."""
    if t._array.dtype.kind != "f":
        raise DTypeError(
            f"only float tensors can require a gradient, this one has type {t._array.dtype}; "
            "convert it first, as in x.float()."
        )
    if t._node is None:
        t._node = Leaf(t)
        t._view = None  # from here on it is a root of its own: its views are views of a leaf
    return t


def tensor(
    data: Any, *, dtype: object = None, device: Where = None, requires_grad: bool = False
) -> Tensor:
    """A tensor with its own copy of `data`: numbers, (nested) lists, arrays, or a tensor.

    Python floats become the default float type, ints int64. Arrays keep their type.
    https://docs.pytorch.org/docs/stable/generated/torch.tensor.html
    """
    return made(_array_from(data, dtype, device, copy=True), requires_grad)


def as_tensor(data: Any, dtype: object = None, device: Where = None) -> Tensor:
    """As `tensor`, but without a copy where the data is an array or tensor that fits already."""
    if isinstance(data, Tensor):
        kind = data._array.dtype if dtype is None else dtypes.to_numpy(dtype)
        same_place = device is None or Device(device).type == data.device.type
        if kind == data._array.dtype and same_place:
            return data
        return data.to(device=device, dtype=dtypes.of(kind))
    return wrap(_array_from(data, dtype, device, copy=False))


def _array_from(data: Any, dtype: object, device: Where, copy: bool) -> Array:
    kind = None if dtype is None else dtypes.to_numpy(dtype)
    if isinstance(data, Tensor):
        data = data._array
        device = device_of(data) if device is None else device
        data = of(data).to_numpy(data)
    elif isinstance(data, (list, tuple)):
        data = _without_tensors(data)
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ShapeError(f"tensor: the nested lists have different lengths ({error}).") from None
    if array.dtype.kind not in "biuf":
        raise DTypeError(
            f"tensor: expected numbers or nested lists of one shape, got {type(data).__name__} "
            f"that NumPy reads as {array.dtype}."
        )
    if kind is None:
        typed = isinstance(_first(data), (np.ndarray, np.generic))
        if array.dtype == np.uint64 and not typed:
            raise DTypeError("tensor: an integer is too large for int64.")
        kind = array.dtype if typed else dtypes.of_scalar(array.dtype.type(0))
        if not typed and array.size == 0:
            kind = dtypes.default_float()
        dtypes.to_numpy(kind)  # refuses types that minidl does not have
    home = backend(device or "cpu")
    array = array.astype(kind, copy=copy or home.type != "cpu")
    return home.from_numpy(array)


def _first(data: Any) -> Any:
    """The first element of nested lists: NumPy's numbers and arrays keep their types there too."""
    while isinstance(data, list) and data:
        data = data[0]
    return data


def _without_tensors(data: Any) -> Any:
    """Nested lists in which tensors stand as numbers or lists."""
    if isinstance(data, Tensor):
        return data.tolist()
    return [_without_tensors(x) for x in data] if isinstance(data, (list, tuple)) else data


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor on the memory of a NumPy array: a change of one is a change of both.

    https://docs.pytorch.org/docs/stable/generated/torch.from_numpy.html
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: expected a numpy.ndarray, got {type(array).__name__}.")
    dtypes.to_numpy(array.dtype)
    return wrap(array)


def from_dlpack(source: Any) -> Tensor:
    """A tensor on the memory of any object with `__dlpack__` (NumPy, CuPy, PyTorch, JAX).

    https://docs.pytorch.org/docs/stable/dlpack.html
    """
    kind, _ = source.__dlpack_device__()
    home = backend("cuda" if int(kind) == 2 else "cpu")
    return wrap(home.module.from_dlpack(source))


def _filled(name: str, size: tuple, dtype: object, device: Where, *value: Any) -> Array:
    shape = shape_of(size)
    if any(n < 0 for n in shape):
        raise ShapeError(f"{name}: sizes must not be negative, got {shape}.")
    kind = dtypes.default_float() if dtype is None else dtypes.to_numpy(dtype)
    return getattr(backend(device or "cpu").module, name)(shape, *value, dtype=kind)


def zeros(
    *size: int | Sequence[int],
    dtype: object = None,
    device: Where = None,
    requires_grad: bool = False,
) -> Tensor:
    """Zeros. https://docs.pytorch.org/docs/stable/generated/torch.zeros.html"""
    return made(_filled("zeros", size, dtype, device), requires_grad)


def ones(
    *size: int | Sequence[int],
    dtype: object = None,
    device: Where = None,
    requires_grad: bool = False,
) -> Tensor:
    """Ones. https://docs.pytorch.org/docs/stable/generated/torch.ones.html"""
    return made(_filled("ones", size, dtype, device), requires_grad)


def empty(
    *size: int | Sequence[int],
    dtype: object = None,
    device: Where = None,
    requires_grad: bool = False,
) -> Tensor:
    """Memory with any content. https://docs.pytorch.org/docs/stable/generated/torch.empty.html"""
    return made(_filled("empty", size, dtype, device), requires_grad)


def full(
    size: tuple[int, ...],
    fill_value: float,
    *,
    dtype: object = None,
    device: Where = None,
    requires_grad: bool = False,
) -> Tensor:
    """One value everywhere. https://docs.pytorch.org/docs/stable/generated/torch.full.html"""
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    kind = dtypes.of_scalar(fill_value) if dtype is None else dtype
    return made(_filled("full", (tuple(size),), kind, device, fill_value), requires_grad)


def _like(input: Tensor, dtype: object, device: Where) -> dict:
    return {"dtype": dtype or input.dtype, "device": device or input.device}


def zeros_like(
    input: Tensor, *, dtype: object = None, device: Where = None, requires_grad: bool = False
) -> Tensor:
    """Zeros in the shape, type and device of input."""
    return zeros(input.shape, requires_grad=requires_grad, **_like(input, dtype, device))


def ones_like(
    input: Tensor, *, dtype: object = None, device: Where = None, requires_grad: bool = False
) -> Tensor:
    """Ones in the shape, type and device of input."""
    return ones(input.shape, requires_grad=requires_grad, **_like(input, dtype, device))


def empty_like(
    input: Tensor, *, dtype: object = None, device: Where = None, requires_grad: bool = False
) -> Tensor:
    """Memory with any content in the shape, type and device of input."""
    return empty(input.shape, requires_grad=requires_grad, **_like(input, dtype, device))


def full_like(
    input: Tensor,
    fill_value: float,
    *,
    dtype: object = None,
    device: Where = None,
    requires_grad: bool = False,
) -> Tensor:
    """One value in the shape, type and device of input."""
    like = _like(input, dtype, device)
    return full(input.shape, fill_value, requires_grad=requires_grad, **like)


def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    *,
    dtype: object = None,
    device: Where = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... below end; start is 0 in arange(end).

    https://docs.pytorch.org/docs/stable/generated/torch.arange.html
    """
    if end is None:
        start, end = 0, start
    if step == 0 or (end - start) * step < 0:
        raise ValueError(f"arange: step {step} does not lead from {start} to {end}.")
    fractional = any(isinstance(v, float) for v in (start, end, step))
    kind = dtypes.default_float() if fractional else dtypes.I64
    kind = kind if dtype is None else dtypes.to_numpy(dtype)
    return made(backend(device or "cpu").module.arange(start, end, step, dtype=kind), requires_grad)


def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: object = None,
    device: Where = None,
    requires_grad: bool = False,
) -> Tensor:
    """`steps` numbers at equal distances from start to end, both included."""
    kind = dtypes.default_float() if dtype is None else dtypes.to_numpy(dtype)
    values = backend(device or "cpu").module.linspace(start, end, steps)
    return made(values.astype(kind), requires_grad)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: object = None,
    device: Where = None,
    requires_grad: bool = False,
) -> Tensor:
    """The matrix (n, m) with ones on its diagonal."""
    kind = dtypes.default_float() if dtype is None else dtypes.to_numpy(dtype)
    return made(backend(device or "cpu").module.eye(n, m, dtype=kind), requires_grad)
