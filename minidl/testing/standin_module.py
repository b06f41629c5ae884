"""The stand-in's array module: the functions that CuPy has, with CuPy's arguments.

`cupy14.txt` lists both; it is written from the real CuPy by `tests/gpu/make_names.py`. What is not
in it raises AttributeError, an argument that CuPy does not take TypeError.
"""

from __future__ import annotations

import gc
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from .standin import DEVICES, computed, current, ndarray, synchronise, transfer, unwrap, view, wrap

TABLE = Path(__file__).with_name("cupy14.txt")

# Functions that make arrays from data of the host: a transfer, unless they are given an array.
FROM_HOST = "array asarray asanyarray ascontiguousarray asfortranarray".split()
# Functions whose first argument need not be an array; sequences of arrays among them.
ANY_FIRST = """
    arange linspace logspace zeros ones empty full eye identity indices tri concatenate stack hstack
    vstack dstack column_stack broadcast_arrays broadcast_shapes einsum meshgrid result_type
    can_cast promote_types shape ndim size isscalar array_equal ix_ select from_dlpack asnumpy
    unravel_index ravel_multi_index hanning hamming blackman kaiser bartlett common_type atleast_1d
    atleast_2d atleast_3d append
""".split()
# Functions that wait for the device, since the shape of their result, or an error, depends on
# values. (Linear algebra: minidl asks CuPy to report its errors.)
SYNCHRONISING = """
    nonzero flatnonzero argwhere unique bincount extract compress histogram union1d intersect1d
    setdiff1d trim_zeros array_split linalg.cholesky linalg.inv linalg.solve linalg.qr linalg.svd
    linalg.eigh linalg.eigvalsh linalg.eig linalg.eigvals linalg.lstsq linalg.pinv linalg.tensorinv
    linalg.tensorsolve linalg.matrix_rank linalg.cond
""".split()
# Views of their argument, or copies that keep its order; other results are in row-major order.
KEEP_ORDER = """
    reshape ravel transpose swapaxes moveaxis rollaxis squeeze expand_dims broadcast_to diagonal
    broadcast_arrays flip fliplr flipud rot90 asarray asanyarray ascontiguousarray asfortranarray
    array copy astype view split array_split empty_like zeros_like ones_like full_like real imag
    permute_dims matrix_transpose atleast_1d atleast_2d atleast_3d lib.stride_tricks.as_strided
    lib.stride_tricks.sliding_window_view linalg.matrix_transpose hsplit vsplit dsplit trim_zeros
""".split()
# The types that CuPy's atomic operations take (cupy/_core/_routines_indexing.pyx).
SCATTERED = {
    "add": "int32 float16 float32 float64 uint32 uint64",
    "subtract": "int32 float16 float32 float64 uint32 uint64",
    "maximum": "int32 float32 float64 uint32 uint64",
    "minimum": "int32 float32 float64 uint32 uint64",
}


@dataclass(frozen=True)
class Signature:
    """The arguments of a function: how many may come by position, and the names."""

    name: str
    positional: int
    names: frozenset[str]
    required: int
    anything: bool

    @staticmethod
    def of(name: str, words: list[str]) -> Signature:
        positional = required = 0
        by_position, names = True, set()
        for word in words:
            if word == "*":
                by_position = False
            elif word.startswith("*") and not word.startswith("**"):
                positional, by_position = 10**6, False
            elif not word.startswith("**"):
                names.add(word.rstrip("="))
                positional += by_position
                required += not word.endswith("=")
        anything = any(word.startswith("**") or word == "..." for word in words)
        return Signature(name, positional, frozenset(names), required, anything)

    def check(self, args: tuple, options: dict) -> None:
        if self.anything:
            return
        unknown = options.keys() - self.names
        if unknown:
            raise TypeError(f"{self.name}() got unexpected keyword arguments {sorted(unknown)}")
        if len(args) > self.positional or len(args) + len(options) < self.required:
            raise TypeError(f"{self.name}() got {len(args)} arguments; it takes {self.positional}")


class Ufunc:
    """A function of CuPy that works element by element."""

    def __init__(self, name: str, function: Callable, scatters: bool):
        self.__name__, self._function, self._scatters = name, function, scatters
        self.nin = getattr(function, "nin", 1)

    def __call__(self, *args: Any, **options: Any) -> Any:
        unknown = options.keys() - {"out", "dtype", "casting"}
        if unknown:
            raise TypeError(f"Wrong arguments { ({k: options[k] for k in unknown}) }")
        for value in args:
            if value.__class__ is not ndarray and not isinstance(
                value, bool | int | float | np.generic
            ):
                raise TypeError(f"Unsupported type {type(value)}")
        out = options.get("out")
        if out is None:
            return computed(self._function(*map(unwrap, args), **options))
        options["out"] = unwrap(out)
        self._function(*map(unwrap, args), **options)
        return out

    def at(self, a: ndarray, indices: Any, b: Any = None) -> None:
        if not self._scatters:
            raise NotImplementedError(f"`cupy_{self.__name__}.at` is not supported yet")
        allowed = SCATTERED.get(self.__name__)
        if allowed and a.dtype.name not in allowed.split():
            raise TypeError(f"scatter of {self.__name__} supports only {allowed}, not {a.dtype}")
        from .standin import _key

        place = _key(a.shape, indices)[0]
        if self.__name__ in ("maximum", "minimum") and a.dtype.kind == "f":
            # cupy/_core/include/cupy/atomics.cuh: float64 is compared as float32, nan is forgotten
            function = np.fmax if self.__name__ == "maximum" else np.fmin
            function.at(unwrap(a), place, unwrap(b).astype(np.float32))
        else:
            self._function.at(unwrap(a), place, unwrap(b))

    def reduce(self, array, axis=0, dtype=None, out=None, keepdims=False):
        self._only("reduce", "add", "multiply")
        return wrap(self._function.reduce(unwrap(array), axis, dtype, unwrap(out), keepdims))

    def accumulate(self, array, axis=0, dtype=None, out=None):
        self._only("accumulate", "add", "multiply")
        return wrap(self._function.accumulate(unwrap(array), axis, dtype, unwrap(out)))

    def reduceat(self, array, indices, axis=0, dtype=None, out=None):
        self._only("reduceat", "add")
        return wrap(self._function.reduceat(unwrap(array), unwrap(indices), axis, dtype))

    def outer(self, a, b, **options):
        return computed(self._function.outer(unwrap(a), unwrap(b), **options))

    def _only(self, method: str, *names: str) -> None:
        if self.__name__ not in names:
            raise NotImplementedError(f"`cupy_{self.__name__}.{method}` is not supported yet")


def plain(name: str, function: Callable, words: list[str]) -> Callable:
    """A function of CuPy that is no ufunc."""
    signature = Signature.of(name, words)
    any_first = name in ANY_FIRST or name in FROM_HOST or not words
    keeps = name in KEEP_ORDER
    waits = name in SYNCHRONISING

    def call(*args: Any, **options: Any) -> Any:
        signature.check(args, options)
        of_array = bool(args) and args[0].__class__ is ndarray
        if not any_first and args and not of_array:
            raise TypeError(f"{name}: expected an array of the device, got {type(args[0])}")
        if waits:
            synchronise()
        given = options.get("out")
        result = function(*map(unwrap, args), **{k: unwrap(v) for k, v in options.items()})
        if given is not None:
            return given
        if keeps:
            return view(result, args[0]) if of_array else wrap(result)
        return computed(result)

    call.__name__ = call.__qualname__ = name
    return call


# ----------------------------------------------------------- functions that NumPy does otherwise


def from_host(name: str) -> Callable:
    """asarray and its like: the host's data are copied, the device's are not (but by `array`)."""
    function = getattr(np, name)
    signature = None

    def call(value: Any, *args: Any, **options: Any) -> Any:
        nonlocal signature
        signature = signature or Signature.of(name, rows()[name])
        signature.check((value, *args), options)
        options.pop("blocking", None)
        if value.__class__ is ndarray:
            result = function(unwrap(value), *args, **options)
            return value if result is value._host else view(result, value)
        if isinstance(value, list | tuple) and any(v.__class__ is ndarray for v in value):
            return MODULE.stack([MODULE.asarray(v, *args, **options) for v in value])
        transfer()
        options.pop("copy", None)
        return wrap(np.array(function(value, *args, **options)))

    return call


def poisoned(array: np.ndarray) -> ndarray:
    """Uninitialised memory, filled with what no program wants."""
    kind = array.dtype.kind
    if kind in "fc":
        array.fill(np.nan)
    elif kind in "iu":
        array.fill(np.iinfo(array.dtype).max)
    elif kind == "b":
        array.fill(True)
    return wrap(array)


def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking=True):
    return a.get(order=order, out=out) if isinstance(a, ndarray) else np.asarray(a)


def from_dlpack(array: Any, **options: Any) -> ndarray:
    if int(array.__dlpack_device__()[0]) != 2:
        raise BufferError("CuPy takes arrays of CUDA devices only")
    return wrap(np.from_dlpack(_OnHost(array)))


class _OnHost:
    """What shares its memory by DLPack, said to be on the CPU: there it is."""

    def __init__(self, array: Any):
        self.array = array

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(stream=1, max_version=options.get("max_version"))


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if condition.__class__ is not ndarray:
        raise TypeError(f"where: expected an array of the device, got {type(condition)}")
    if x is None and y is None:
        return MODULE.nonzero(condition)
    return computed(np.where(unwrap(condition), unwrap(x), unwrap(y)))


def take(a: Any, indices: Any, axis: int | None = None, out: Any = None) -> Any:
    if indices.__class__ is not ndarray and not np.isscalar(indices):
        transfer()
        indices = wrap(np.asarray(indices))
    return computed(np.take(unwrap(a), unwrap(indices), axis, mode="wrap"))


def take_along_axis(a: Any, indices: Any, axis: int | None) -> Any:
    size = a.size if axis is None else a.shape[axis]
    return computed(np.take_along_axis(unwrap(a), unwrap(indices) % max(size, 1), axis))


def repeat(a: Any, repeats: Any, axis: int | None = None) -> Any:
    if repeats.__class__ is ndarray:
        synchronise()
    return computed(np.repeat(unwrap(a), unwrap(repeats), axis))


def copy(a: Any, order: str = "C") -> Any:
    """On the current device, also from another."""
    return wrap(a._host.copy(order))


def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """A view that can be written to; NumPy's cannot."""
    found = np.diagonal(unwrap(a), offset, axis1, axis2)
    found.flags.writeable = a._host.flags.writeable
    return view(found, a)


DIFFERENT = {
    "diagonal": diagonal,
    "copy": copy,
    **{name: from_host(name) for name in FROM_HOST},
    "asnumpy": asnumpy,
    "from_dlpack": from_dlpack,
    "where": where,
    "take": take,
    "take_along_axis": take_along_axis,
    "repeat": repeat,
}
POISONED = ("empty", "empty_like")

# ------------------------------------------------------------------------------------- the module


@cache
def rows() -> dict[str, list[str]]:
    """The table: for each name the words that follow it."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()[1:]
    return {line.split()[0]: line.split()[1:] for line in lines}


def entry(name: str, words: list[str], function: Any) -> Any:
    """What stands in the stand-in's module under this name."""
    if words[:1] == ["same"]:
        return function
    if words[:1] == ["ufunc"]:
        return Ufunc(name, function, "at" in words)
    if name in DIFFERENT:
        return DIFFERENT[name]
    call = plain(name, function, words)
    if name in POISONED:
        return lambda *args, **options: poisoned(call(*args, **options)._host)
    return call


class Module(ModuleType):
    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"CuPy 14 has no {self.__name__}.{name}")


def space(prefix: str, numpys: Any) -> Module:
    """A namespace of CuPy: what the table has under `prefix`."""
    module = Module(f"standin.{prefix}".rstrip("."))
    for name, words in rows().items():
        stem = name.removeprefix(prefix)
        if name.startswith(prefix) and "." not in stem:
            setattr(module, stem, entry(name, words, getattr(numpys, stem, None)))
    return module


def attach_methods() -> None:
    def method(name: str, call: Callable) -> Callable:
        if name in KEEP_ORDER:
            return lambda self, *args, **options: view(call(self, *args, **options), self)
        return lambda self, *args, **options: computed(call(self, *args, **options))

    def of_numpy(name: str, words: list[str]) -> Callable:
        signature = Signature.of(f"ndarray.{name}", words)
        waits = name in SYNCHRONISING

        def call(self: ndarray, *args: Any, **options: Any) -> Any:
            signature.check(args, options)
            if waits:
                synchronise()
            function = getattr(unwrap(self), name)
            return function(*map(unwrap, args), **{k: unwrap(v) for k, v in options.items()})

        return method(name, call)

    for full, words in rows().items():
        name = full.removeprefix("ndarray.")
        if name in DIFFERENT:
            setattr(ndarray, name, DIFFERENT[name])
        elif full != name and name not in vars(ndarray):
            setattr(ndarray, name, of_numpy(name, words))


def special() -> Module:
    """The stand-in's cupyx.scipy.special."""
    return space("special.", importlib.import_module("scipy.special"))


# ----------------------------------------------------------------------------------- its `cuda`


class Device:
    """`with Device(1): ...` computes there."""

    def __init__(self, id: int = 0):
        if id >= DEVICES:
            raise RuntimeError(f"cudaErrorInvalidDevice: invalid device ordinal {id}")
        self.id = id

    def use(self) -> None:
        current.device = self.id

    def __enter__(self) -> Device:
        self._before = current.device
        current.device = self.id
        return self

    def __exit__(self, *error: object) -> None:
        current.device = self._before

    def synchronize(self) -> None:
        synchronise()


def used_bytes() -> int:
    """What all living arrays of the current device that own memory hold."""
    arrays = [a for a in gc.get_objects() if a.__class__ is ndarray]
    return sum(a.nbytes for a in arrays if a._device == current.device and a._host.base is None)


def make() -> Module:
    """The module of the stand-in."""
    module = space("", np)
    module.__version__ = "14 (stand-in)"
    module.ndarray = ndarray
    module.linalg = space("linalg.", np.linalg)
    module.lib = Module("standin.lib")
    module.lib.stride_tricks = space("lib.stride_tricks.", np.lib.stride_tricks)
    runtime = SimpleNamespace(
        getDeviceCount=lambda: DEVICES,
        getDevice=lambda: current.device,
        driverGetVersion=lambda: 0,
        runtimeGetVersion=lambda: 0,
        getDeviceProperties=lambda id: {"name": b"stand-in", "totalGlobalMem": 0},
    )
    module.cuda = SimpleNamespace(Device=Device, runtime=runtime, is_available=lambda: True)
    pool = SimpleNamespace(
        used_bytes=used_bytes, total_bytes=used_bytes, free_all_blocks=gc.collect
    )
    module.get_default_memory_pool = lambda: pool
    return module


def backend(module: Any = None) -> Any:
    """The backend "cuda" on this module, or on another one that has the stand-in's arrays."""
    from minidl.device import Backend

    module = MODULE if module is None else module
    special = "minidl.testing.standin_special"
    count = module.cuda.runtime.getDeviceCount
    return Backend("cuda", ndarray, module, special, module.asarray, module.asnumpy, count)


@contextmanager
def registered() -> Iterator[None]:
    """Makes the stand-in the device "cuda" for a while, also where there is a GPU."""
    seam = importlib.import_module("minidl.device")  # `minidl.device` itself is the class
    before = seam._by_type.get("cuda")
    seam.register(backend())
    try:
        yield
    finally:
        seam._by_type.pop("cuda")
        if before is not None:
            seam.register(before)


MODULE = make()
attach_methods()
