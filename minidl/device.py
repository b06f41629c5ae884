"""Where arrays live: the one seam between minidl and its array libraries.

A backend is an array class, the module that computes on it, and two copies (to and from NumPy).
"cpu" is NumPy. "cuda" is CuPy, imported when it is first asked for; this is the only file that
imports it. `MINIDL_CUDA=standin` makes "cuda" a stand-in that has CuPy's rules and needs no GPU
(`minidl/testing/standin.py`); tests register others with `register`. Nothing else has to know.

Operations run on CuPy's current GPU, where also `device="cuda"` puts tensors; to compute on another
one, `with minidl.cuda.device(1):` or `minidl.cuda.set_device(1)`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from .errors import DeviceError

Array = Any  # numpy.ndarray or cupy.ndarray
Arrays = Any  # several of them


@dataclass(frozen=True)
class Backend:
    """An array library.

    type: the device's name ("cpu", "cuda").       array_class: the class of its arrays.
    module: what computes on them (NumPy's names).  special: name of its scipy.special.
    from_numpy, to_numpy: copies between it and NumPy; on the CPU both return their argument.
    count: how many such devices there are.
    """

    type: str
    array_class: type
    module: ModuleType
    special: str
    from_numpy: Callable[[np.ndarray], Array]
    to_numpy: Callable[[Array], np.ndarray]
    count: Callable[[], int] = lambda: 1


class device:  # lower case as in PyTorch
    """`device("cpu")`, `device("cuda")`, `device("cuda:1")`, `device("cuda", 1)`, `device(1)`."""

    __slots__ = ("index", "type")

    def __init__(self, type: str | int | device, index: int | None = None):
        text = f"cuda:{type}" if isinstance(type, int) else str(type)
        name, _, number = (text if index is None else f"{text}:{index!r}").partition(":")
        if name not in ("cpu", "cuda") or (number and not number.isdigit()):
            given = repr(type) if index is None else f"{type!r}, {index!r}"
            raise DeviceError(f"device({given}): expected 'cpu', 'cuda' or 'cuda:N'.")
        self.type = name
        self.index = int(number) if number else None

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{index})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            other = device(other)
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))


def _same(array: np.ndarray) -> np.ndarray:
    return array


CPU = Backend("cpu", np.ndarray, np, "scipy.special", _same, _same)
_by_type: dict[str, Backend] = {"cpu": CPU}
_by_class: dict[type, Backend] = {np.ndarray: CPU}


def register(backend: Backend) -> None:
    """Makes `backend` the one for its device type. A stand-in for tests enters here."""
    _by_type[backend.type] = backend
    _by_class[backend.array_class] = backend


def backend(where: str | device) -> Backend:
    """The backend of a device. Raises DeviceError, saying what is missing, if it is not there."""
    name = device(where).type
    if name not in _by_type:
        register(_load_cuda())
    return _by_type[name]


def _load_cuda() -> Backend:
    from .cuda import is_standin_chosen, what_is_missing

    if is_standin_chosen():
        return importlib.import_module("minidl.testing.standin_module").backend()
    try:
        cupy = importlib.import_module("cupy")
    except Exception as error:  # of CuPy, or of what it loads
        raise DeviceError(what_is_missing(error)) from error
    if not cupy.cuda.is_available():
        raise DeviceError(what_is_missing(cupy))
    with suppress(ImportError, AttributeError):  # a singular matrix is an error, as in NumPy
        importlib.import_module("cupyx").seterr(linalg="raise")
    count = cupy.cuda.runtime.getDeviceCount
    return Backend(
        "cuda", cupy.ndarray, cupy, "cupyx.scipy.special", cupy.asarray, cupy.asnumpy, count
    )


def on(where: str | device | None) -> AbstractContextManager[Backend]:
    """`with on("cuda:1") as home:` what home's module makes within is there; None is the CPU."""
    if where is None:
        return _ON_CPU
    place = device(where)
    home = backend(place)
    if home.type == "cpu" or place.index is None or (place.index == 0 and home.count() == 1):
        return nullcontext(home)
    return _on_gpu(home, place.index)


_ON_CPU = nullcontext(CPU)


@contextmanager
def _on_gpu(home: Backend, index: int) -> Iterator[Backend]:
    if index >= home.count():
        raise DeviceError(f"device 'cuda:{index}': there are {home.count()} GPUs, counted from 0.")
    with home.module.cuda.Device(index):
        yield home


def moved(array: Array, to: str | device) -> Array:
    """A copy of `array` on another device, or another GPU; itself if it is there already."""
    place, source = device(to), of(array)
    if is_on(array, place):
        return array
    with on(place) as target:
        if target.type == source.type:  # from one GPU to another, without the host
            return array.copy()
        return target.from_numpy(source.to_numpy(array))


def copied(array: Array) -> Array:
    """A copy on the GPU where it is: CuPy's own `copy` puts it on the current one."""
    if array.__class__ is np.ndarray:
        return array.copy()
    with on(device_of(array)):
        return array.copy()


def is_on(array: Array, where: device) -> bool:
    """Whether the array is there; "cuda" without an index is any GPU."""
    here = device_of(array)
    return here.type == where.type and (where.index is None or here.index in (None, where.index))


def of(array: Array) -> Backend:
    """The backend that an array belongs to."""
    found = _by_class.get(array.__class__)
    if found is not None:
        return found
    for array_class, known in _by_class.items():
        if isinstance(array, array_class):
            return known
    if isinstance(array, np.generic):
        return CPU
    raise DeviceError(f"{type(array).__name__} is not an array of a known device.")


def xp(array: Array) -> Any:
    """The array module of `array`: NumPy or CuPy. Ops call `xp(x).exp(x)`."""
    return np if array.__class__ is np.ndarray else of(array).module


def special(array: Array) -> Any:
    """scipy.special or its CuPy twin, imported at first use: it is slow to import."""
    return importlib.import_module(of(array).special)


def on_host(function: Callable, array: Array) -> Array:
    """function(array) for a function that only SciPy has: computed on the CPU."""
    home = of(array)
    return home.from_numpy(function(home.to_numpy(array)))


def as_array(value: Array, like: Array) -> Array:
    """`value` as an array: NumPy's reductions return scalars, minidl keeps 0-d arrays."""
    return value if value.__class__ in _by_class else of(like).module.asarray(value)


def scalar(value: Any, dtype: Any, like: Array) -> Array:
    """A 0-d array; on a GPU it is filled there, which needs no transfer."""
    if like.__class__ is np.ndarray:
        return np.asarray(value, dtype)
    return of(like).module.full((), value, dtype)


def device_of(array: Array) -> device:
    found = of(array)
    if found.type == "cpu":
        return device("cpu")
    return device(found.type, int(getattr(getattr(array, "device", None), "id", 0)))


def address(array: Array) -> int:
    """Where its first element lies."""
    interface = getattr(array, "__array_interface__", None) or array.__cuda_array_interface__
    return interface["data"][0]
