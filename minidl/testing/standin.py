"""A stand-in for CuPy's arrays, for tests on machines without a GPU: NumPy underneath, CuPy's rules
on top. No GPU code runs here, and nothing is learnt about speed, rounding or memory.

It refuses what CuPy 14 refuses: to become a NumPy array by itself, to mix with NumPy arrays, lists
in arithmetic, names and arguments that CuPy has not (`standin_module.py`). Like CuPy's, its
reductions give 0-d arrays, results of arithmetic are in row-major order, and integers outside an
axis wrap around. What CuPy leaves undefined shows: `empty` holds nan and extreme integers, and an
assignment that gives one place two different values raises `Undefined`. Transfers between the two
memories, and calls that wait for the device, are counted in `counts`.

CuPy's rules: https://docs.cupy.dev/en/stable/user_guide/difference.html

`MINIDL_CUDA=standin` makes it the device "cuda" (`minidl/device.py`).
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

__all__ = ["Undefined", "counted", "counts", "ndarray", "unwrap", "view", "wrap"]

DEVICES = 2  # as many as it takes to put two tensors on different ones


class Undefined(RuntimeError):
    """What was asked for has no defined result on a GPU."""


@dataclass
class Counts:
    """What has crossed between the two memories, and how often the host waited."""

    transfers: int = 0
    synchronisations: int = 0


counts = Counts()


@contextmanager
def counted() -> Iterator[Counts]:
    """Counts what happens within; the numbers are there afterwards."""
    found = Counts()
    before = Counts(counts.transfers, counts.synchronisations)
    try:
        yield found
    finally:
        found.transfers = counts.transfers - before.transfers
        found.synchronisations = counts.synchronisations - before.synchronisations


def transfer() -> None:
    counts.transfers += 1


def synchronise() -> None:
    counts.synchronisations += 1


class _Current:
    device = 0


current = _Current()


class ndarray:
    """An array "on the device". `_host` is the NumPy array underneath: its memory, strides and
    type are those of the array, so `_host.ctypes.data` is what a kernel would be given."""

    __slots__ = ("__weakref__", "_device", "_host", "base")

    __hash__ = None  # type: ignore[assignment]
    __array_priority__ = 100

    def __init__(self, host: np.ndarray, base: ndarray | None = None):
        self._host = host
        self._device = current.device
        self.base = base  # the array whose memory this is a part of

    # ---- what it is

    shape = property(lambda self: self._host.shape)
    strides = property(lambda self: self._host.strides)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    T = property(lambda self: view(self._host.T, self))
    mT = property(lambda self: view(self._host.mT, self))

    @property
    def flags(self) -> Any:
        """CuPy's has no `writeable`: all of its memory is."""
        flags = self._host.flags
        return SimpleNamespace(
            c_contiguous=flags.c_contiguous, f_contiguous=flags.f_contiguous, owndata=flags.owndata
        )

    @property
    def data(self) -> Any:
        """`data.ptr` is the address of the first element, in the host's memory."""
        return SimpleNamespace(ptr=self._host.ctypes.data)

    @property
    def device(self) -> Any:
        return SimpleNamespace(id=self._device)

    @property
    def __cuda_array_interface__(self) -> dict:
        return {**self._host.__array_interface__, "stream": None, "version": 3}

    def __len__(self) -> int:
        return len(self._host)

    def __repr__(self) -> str:
        return f"standin {self._host!r}"

    # ---- the ways to the host

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True):
        transfer()
        return self._host.copy() if out is None else np.copyto(out, self._host)

    def set(self, arr: np.ndarray, stream: Any = None) -> None:
        transfer()
        self._host[...] = arr

    def item(self) -> Any:
        synchronise()
        return self._host.item()

    def tolist(self) -> Any:
        transfer()
        return self._host.tolist()

    def tobytes(self, order: str = "C") -> bytes:
        transfer()
        return self._host.tobytes(order)

    def __reduce__(self) -> tuple:
        transfer()
        return _restored, (self._host,)

    def __array__(self, *args: Any, **options: Any) -> np.ndarray:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct "
            "a NumPy array explicitly."
        )

    def __dlpack__(self, **options: Any) -> Any:
        if options.get("stream") is None:  # NumPy asks: who knows the device names its stream
            raise BufferError("Unsupported device in DLTensor.")
        return self._host.__dlpack__(max_version=options.get("max_version"))

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self._device  # 2 is CUDA

    # ---- NumPy's functions, called with such an array, go to CuPy's of the same name

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        from .standin_module import MODULE

        own = getattr(MODULE, ufunc.__name__, None)
        if own is None:
            return NotImplemented
        return (own if method == "__call__" else getattr(own, method))(*inputs, **options)

    def __array_function__(self, function: Any, types: Any, args: tuple, options: dict) -> Any:
        from .standin_module import MODULE

        own = getattr(MODULE, function.__name__, None)
        return NotImplemented if own is None else own(*args, **options)

    # ---- elements

    def __iter__(self) -> Iterator[ndarray]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> ndarray:
        found, advanced = _key(self._host.shape, key)
        if not advanced:
            return view(self._host[found], self)
        return computed(np.array(unwrap(self)[found]))

    def __setitem__(self, key: Any, value: Any) -> None:
        found, advanced = _key(self._host.shape, key)
        if isinstance(value, ndarray):
            value = unwrap(value)
        elif isinstance(value, np.ndarray | list | tuple):
            if not advanced:
                raise ValueError(f"non-scalar {_name(value)} cannot be used for fill")
            transfer()
        unwrap(self)[found] = value
        if advanced and not _agrees(self._host[found], value):
            raise Undefined(
                "assignment to places of which one is named twice, with different values: on a "
                "GPU either may win."
            )


def _restored(host: np.ndarray) -> ndarray:
    transfer()
    return ndarray(host.copy())


def _name(value: Any) -> str:
    kind = type(value)
    return f"numpy.{kind.__name__}" if kind.__module__ == "numpy" else kind.__name__


def wrap(value: Any) -> Any:
    """NumPy arrays and scalars as arrays of the stand-in; tuples and lists of them as tuples."""
    if value.__class__ is np.ndarray:
        return ndarray(value)
    if isinstance(value, np.generic):
        return ndarray(np.asarray(value))
    return tuple([wrap(v) for v in value]) if isinstance(value, tuple | list) else value


def view(value: Any, of: ndarray) -> Any:
    """As `wrap`, for what may share the memory of `of`."""
    if isinstance(value, tuple | list):
        return tuple([view(v, of) for v in value])
    found = wrap(value)
    if value.__class__ is np.ndarray and np.may_share_memory(value, of._host):
        found.base = of if of.base is None else of.base
        found._device = of._device
    return found


def computed(value: Any) -> Any:
    """As `wrap`, in row-major order, as the results of CuPy's kernels are."""
    if value.__class__ is np.ndarray:
        return ndarray(value if value.flags.c_contiguous else np.ascontiguousarray(value))
    return tuple([computed(v) for v in value]) if isinstance(value, tuple) else wrap(value)


def unwrap(value: Any) -> Any:
    """The memory of an array of the stand-in, in tuples, lists and dicts too; refuses NumPy's."""
    kind = value.__class__
    if kind is ndarray:
        if value._device != current.device:
            raise ValueError(
                f"Array device must be same as the current device: array device = {value._device} "
                f"while current = {current.device}"
            )
        return value._host
    if kind is np.ndarray:
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if kind is tuple or kind is list:
        return kind([unwrap(v) for v in value])
    return value


# ----------------------------------------------------------------------------------- indexing


def _key(shape: tuple[int, ...], key: Any) -> tuple[Any, bool]:
    """A key for the memory, with integers in arrays wrapped around; whether there is an array."""
    parts = list(key) if isinstance(key, tuple) else [key]
    parts = [_part(p) for p in parts]
    arrays = [p for p in parts if p.__class__ is np.ndarray]
    taken = sum(p.ndim if _is_mask(p) else p is not None and p is not Ellipsis for p in parts)
    if not any(p is Ellipsis for p in parts):
        parts.append(Ellipsis)  # so that a single element is a 0-d view too
    axis = 0
    for i, part in enumerate(parts):
        if part is None:
            continue
        if part is Ellipsis:
            axis += len(shape) - taken
        elif _is_mask(part):
            synchronise()  # the number of true elements decides about the result's shape
            axis += part.ndim
        else:
            if part.__class__ is np.ndarray and axis < len(shape) and shape[axis]:
                if part.dtype.kind not in "iu":
                    raise IndexError(
                        "arrays used as indices must be of integer or boolean type. "
                        f"(actual: {part.dtype.type})"
                    )
                parts[i] = part % shape[axis]
            axis += 1
    return tuple(parts), bool(arrays)


def _part(part: Any) -> Any:
    if part.__class__ is ndarray:
        return unwrap(part)
    if isinstance(part, list | tuple | np.ndarray | bool | np.bool_):
        transfer()
        return np.asarray(part) if np.size(part) else np.asarray(part, np.int32)
    return part


def _is_mask(part: Any) -> bool:
    return part.__class__ is np.ndarray and part.dtype.kind == "b"


def _agrees(written: np.ndarray, value: Any) -> bool:
    """Whether every place holds what it was given: not so if two values met in one."""
    with np.errstate(invalid="ignore", over="ignore"):
        value = np.asarray(value).astype(written.dtype)
    return bool(((written == value) | ((written != written) & (value != value))).all())


# ----------------------------------------------------------------------------------- operators

_BINARY = "add sub mul truediv floordiv mod pow matmul and_ or_ xor lshift rshift".split()
_COMPARISONS = "lt le gt ge eq ne".split()
_UNARY = "neg pos abs invert".split()


def _operand(value: Any) -> Any:
    """The other side of an operator; NotImplemented is left to that side."""
    if value.__class__ is ndarray:
        return unwrap(value)
    if isinstance(value, np.ndarray | list | tuple):
        raise TypeError(f"Unsupported type {type(value)}")
    return value if isinstance(value, bool | int | float | np.generic) else NotImplemented


def _attach() -> None:
    def binary(function: Any, swapped: bool = False) -> Any:
        def method(self: ndarray, other: Any) -> Any:
            other = _operand(other)
            if other is NotImplemented:
                return other
            own = unwrap(self)
            return computed(function(other, own) if swapped else function(own, other))

        return method

    def in_place(function: Any) -> Any:
        def method(self: ndarray, other: Any) -> Any:
            other = _operand(other)
            if other is NotImplemented:
                return other
            function(unwrap(self), other)
            return self

        return method

    def unary(function: Any) -> Any:
        return lambda self: computed(function(unwrap(self)))

    for name in _BINARY:
        function, stem = getattr(operator, name), name.rstrip("_")
        setattr(ndarray, f"__{stem}__", binary(function))
        setattr(ndarray, f"__r{stem}__", binary(function, swapped=True))
        if stem != "matmul":
            setattr(ndarray, f"__i{stem}__", in_place(getattr(operator, f"i{stem}")))
    for name in _COMPARISONS:
        setattr(ndarray, f"__{name}__", binary(getattr(operator, name)))
    for name in _UNARY:
        setattr(ndarray, f"__{name}__", unary(getattr(operator, name)))
    for kind in (bool, int, float):
        setattr(ndarray, f"__{kind.__name__}__", lambda self, kind=kind: kind(self.item()))


_attach()
