"""Tensors from data and from nothing."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import dtypes
from ..device import Array, device_of, is_on, of, on
from ..device import device as Device
from ..errors import DTypeError, ShapeError
from ..tape import Leaf, Tensor, named_like, wrap
from ..views import share
from .shape import shape_of

__all__ = """
    tensor as_tensor from_numpy from_dlpack zeros ones empty full zeros_like ones_like empty_like
    full_like arange linspace logspace eye scalar_tensor tril_indices triu_indices empty_strided
    empty_permuted frombuffer asarray
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
        same_place = device is None or is_on(data._array, Device(device))
        if kind == data._array.dtype and same_place:
            return data
        return data.to(device=device, dtype=dtypes.of(kind))
    return _borrowed(_array_from(data, dtype, device, copy=False))


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
    with on(device) as home:
        return home.from_numpy(array.astype(kind, copy=copy or home.type != "cpu"))


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
    return _borrowed(array)


def _borrowed(array: Array) -> Tensor:
    """A tensor on memory that others see too."""
    t = wrap(array)
    share(t)
    return t


def from_dlpack(source: Any) -> Tensor:
    """A tensor on the memory of any object with `__dlpack__` (NumPy, CuPy, PyTorch, JAX).

    https://docs.pytorch.org/docs/stable/dlpack.html
    """
    kind, index = source.__dlpack_device__()
    with on(Device("cuda", index) if int(kind) == 2 else "cpu") as home:
        return _borrowed(home.module.from_dlpack(source))


def frombuffer(
    buffer: Any, *, dtype: object, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> Tensor:
    """A vector on the memory of a Python buffer (bytearray, mmap, ...), `offset` bytes in.

    https://docs.pytorch.org/docs/stable/generated/torch.frombuffer.html
    """
    return made(np.frombuffer(buffer, dtypes.to_numpy(dtype), count, offset), requires_grad)


def asarray(
    obj: Any,
    *,
    dtype: object = None,
    device: Where = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """`as_tensor`, with a copy if asked; copy=False refuses where one is needed.

    https://docs.pytorch.org/docs/stable/generated/torch.asarray.html
    """
    if copy:
        return tensor(obj, dtype=dtype, device=device, requires_grad=requires_grad)
    t = as_tensor(obj, dtype, device)
    shared = t is obj or (isinstance(obj, np.ndarray) and np.may_share_memory(obj, t._array))
    if copy is False and not shared:
        raise ValueError("asarray: copy=False, but this needs a copy.")
    return t.requires_grad_() if requires_grad else t


def sized(make: Callable) -> Callable:
    """Lets `make(2, 3)` and `make((2, 3))` also be written `make(size=(2, 3))`."""

    def call(*args: Any, size: Sequence[int] | None = None, **kwargs: Any) -> Tensor:
        return make(*(args if size is None else (*args, size)), **kwargs)

    return named_like(make, call)


def _filled(name: str, size: tuple, dtype: object, device: Where, *value: Any) -> Array:
    shape = shape_of(size)
    if any(n < 0 for n in shape):
        raise ShapeError(f"{name}: sizes must not be negative, got {shape}.")
    kind = dtypes.default_float() if dtype is None else dtypes.to_numpy(dtype)
    with on(device) as home:
        return getattr(home.module, name)(shape, *value, dtype=kind)


@sized
def zeros(
    *size: int | Sequence[int],
    dtype: object = None,
    device: Where = None,
    requires_grad: bool = False,
) -> Tensor:
    """Zeros. https://docs.pytorch.org/docs/stable/generated/torch.zeros.html"""
    return made(_filled("zeros", size, dtype, device), requires_grad)


@sized
def ones(
    *size: int | Sequence[int],
    dtype: object = None,
    device: Where = None,
    requires_grad: bool = False,
) -> Tensor:
    """Ones. https://docs.pytorch.org/docs/stable/generated/torch.ones.html"""
    return made(_filled("ones", size, dtype, device), requires_grad)


@sized
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
    start, end, step = (_number(v, "arange") for v in (start, end, step))
    fractional = any(isinstance(v, float) for v in (start, end, step))
    kind = dtypes.default_float() if fractional else dtypes.I64
    kind = kind if dtype is None else dtypes.to_numpy(dtype)
    if kind == dtypes.I64:
        start, end, step = int(start), int(end), int(step)
    if step == 0 or (end - start) * step < 0:
        raise ShapeError(f"arange: step {step} does not lead from {start} to {end}.")
    with on(device) as home:
        return made(home.module.arange(start, end, step, dtype=kind), requires_grad)


def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: object = None,
    device: Where = None,
    requires_grad: bool = False,
) -> Tensor:
    """`steps` numbers at equal distances from start to end, both included.

    https://docs.pytorch.org/docs/stable/generated/torch.linspace.html
    """
    kind = dtypes.default_float() if dtype is None else dtypes.to_numpy(dtype)
    return made(_steps("linspace", start, end, steps, kind, device).astype(kind), requires_grad)


def _steps(name: str, start: Any, end: Any, steps: int, kind: np.dtype, device: Where) -> Array:
    """start ... end in float64, each half counted from its own end, as in PyTorch."""
    start, end = _number(start, name), _number(end, name)
    if operator.index(steps) < 0:
        raise ShapeError(f"{name}: the number of steps must not be negative, got {steps}.")
    if kind.kind != "f":
        start, end = int(start), int(end)
    with on(device) as home:
        i, step = home.module.arange(steps), (end - start) / max(steps - 1, 1)
        first_half = i < (steps + 1) // 2
        return home.module.where(first_half, start + step * i, end - step * (steps - 1 - i))


def _number(value: Any, name: str) -> Any:
    """A Python number, which may come as a 0-d tensor."""
    if not isinstance(value, Tensor):
        return value
    if value._array.ndim:
        raise ShapeError(f"{name}: expected a number or a 0-d tensor, got {value._array.shape}.")
    return value._array.item()


def logspace(
    start: float,
    end: float,
    steps: int,
    base: float = 10.0,
    *,
    dtype: object = None,
    device: Where = None,
    requires_grad: bool = False,
) -> Tensor:
    """base ** linspace(start, end, steps).

    https://docs.pytorch.org/docs/stable/generated/torch.logspace.html
    """
    kind = dtypes.default_float() if dtype is None else dtypes.to_numpy(dtype)
    exponents = _steps("logspace", start, end, steps, kind, device)
    return made((float(base) ** exponents).astype(kind), requires_grad)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: object = None,
    device: Where = None,
    requires_grad: bool = False,
) -> Tensor:
    """The matrix (n, m) with ones on its diagonal.

    https://docs.pytorch.org/docs/stable/generated/torch.eye.html
    """
    if n < 0 or (m or 0) < 0:
        raise ShapeError(f"eye: sizes must not be negative, got {n} and {m}.")
    kind = dtypes.default_float() if dtype is None else dtypes.to_numpy(dtype)
    with on(device) as home:
        return made(home.module.eye(n, m, dtype=kind), requires_grad)


def scalar_tensor(
    s: float, *, dtype: object = None, device: Where = None, requires_grad: bool = False
) -> Tensor:
    """A 0-d tensor of a number, in the default float type unless another is given."""
    kind = dtypes.default_float() if dtype is None else dtypes.to_numpy(dtype)
    with on(device) as home:
        return made(home.module.full((), s, dtype=kind), requires_grad)


def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: object = None, device: Where = None
) -> Tensor:
    """The positions on and below a diagonal of a (row, col) matrix, as (2, n), row by row.

    https://docs.pytorch.org/docs/stable/generated/torch.tril_indices.html
    """
    return _triangle_places("tril", row, col, offset, dtype, device)


def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: object = None, device: Where = None
) -> Tensor:
    """The positions on and above a diagonal of a (row, col) matrix, as (2, n), row by row.

    https://docs.pytorch.org/docs/stable/generated/torch.triu_indices.html
    """
    return _triangle_places("triu", row, col, offset, dtype, device)


def _triangle_places(
    name: str, row: int, col: int, offset: int, dtype: object, device: Where
) -> Tensor:
    kind = dtypes.I64 if dtype is None else dtypes.to_numpy(dtype)
    with on(device) as home:
        xp = home.module
        inside = getattr(xp, name)(xp.ones((row, col), bool), offset)
        return wrap(xp.stack(inside.nonzero()).astype(kind))


def empty_strided(
    size: Sequence[int],
    stride: Sequence[int],
    *,
    dtype: object = None,
    device: Where = None,
    requires_grad: bool = False,
) -> Tensor:
    """Memory with any content, element [i, j, ...] at i * stride[0] + j * stride[1] + ...

    https://docs.pytorch.org/docs/stable/generated/torch.empty_strided.html
    """
    shape, steps = tuple(size), tuple(stride)
    if len(shape) != len(steps):
        raise ShapeError(f"empty_strided: {len(shape)} sizes, but {len(steps)} strides.")
    last = sum((n - 1) * step for n, step in zip(shape, steps, strict=True))
    memory = _filled("empty", (0 if 0 in shape else last + 1,), dtype, device)
    xp, width = of(memory).module, memory.itemsize
    steps = tuple(step * width for step in steps)
    return made(xp.lib.stride_tricks.as_strided(memory, shape=shape, strides=steps), requires_grad)


def empty_permuted(
    size: Sequence[int],
    physical_layout: Sequence[int],
    *,
    dtype: object = None,
    device: Where = None,
    requires_grad: bool = False,
) -> Tensor:
    """Memory with any content whose dimensions lie in the order `physical_layout`, outermost first.

    https://docs.pytorch.org/docs/stable/generated/torch.empty_permuted.html
    """
    order = list(physical_layout)
    if sorted(order) != list(range(len(size))):
        raise ShapeError(
            f"empty_permuted: {tuple(order)} does not name each of {len(size)} dimensions once."
        )
    memory = _filled("empty", (tuple(size[d] for d in order),), dtype, device)
    return made(memory.transpose([order.index(d) for d in range(len(order))]), requires_grad)
