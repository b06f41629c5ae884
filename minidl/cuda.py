"""`minidl.cuda`: the GPUs, under PyTorch's names.

Operations run on the current GPU, where also `device="cuda"` puts tensors. To compute on another
one, make it the current one:

    with minidl.cuda.device(1):
        y = model(x.cuda())

https://docs.pytorch.org/docs/stable/cuda.html
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

from .device import backend
from .device import device as Device
from .errors import DeviceError

__all__ = """
    current_device device device_count empty_cache get_device_name is_available manual_seed
    manual_seed_all max_memory_reserved memory_allocated memory_reserved set_device synchronize
""".split()

Where = str | int | Device | None


def device_count() -> int:
    """How many GPUs CuPy can use; 0 without CuPy, a driver or a GPU."""
    try:
        return backend("cuda").count()
    except DeviceError:
        return 0


def is_available() -> bool:
    """Whether `device="cuda"` works."""
    return device_count() > 0


def current_device() -> int:
    """The number of the GPU on which operations run."""
    return int(_module().cuda.runtime.getDevice())


def set_device(device: Where) -> None:
    """Makes it the current GPU of this thread."""
    _gpu(device).use()


class device:  # lower case as in PyTorch
    """`with minidl.cuda.device(1):` makes it the current GPU within."""

    def __init__(self, device: Where):
        self._gpu = _gpu(device)

    def __enter__(self) -> device:
        self._gpu.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._gpu.__exit__(*error)


def get_device_name(device: Where = None) -> str:
    """What NVIDIA calls it."""
    properties = _module().cuda.runtime.getDeviceProperties(_gpu(device).id)
    return properties["name"].decode()


def synchronize(device: Where = None) -> None:
    """Waits until the GPU has done all that it was asked for: before a clock is read, say."""
    _gpu(device).synchronize()


def memory_allocated(device: Where = None) -> int:
    """Bytes that arrays hold on the GPU; 0 where there is none."""
    return _from_pool("used_bytes", device)


def memory_reserved(device: Where = None) -> int:
    """Bytes that CuPy has taken from the driver, those of freed arrays included."""
    return _from_pool("total_bytes", device)


max_memory_reserved = memory_reserved  # the pool does not shrink by itself


def empty_cache() -> None:
    """Gives the memory of freed arrays back to the driver."""
    if is_available():
        _module().get_default_memory_pool().free_all_blocks()


def manual_seed(seed: int) -> None:
    """Nothing: one generator draws for all devices, and `minidl.manual_seed` seeds it."""


manual_seed_all = manual_seed


def _module() -> Any:
    return backend("cuda").module


def place(where: Where) -> Device:
    """The device that a number, a name, or None for the current GPU means. Raises DeviceError for
    the CPU."""
    found = Device("cuda" if where is None else where)
    if found.type != "cuda":
        raise DeviceError(f"expected a GPU, as 1 or 'cuda:1', got {found}.")
    return found


def _gpu(where: Where) -> Any:
    """CuPy's `Device` of what `place` takes."""
    index = place(where).index
    if index is None:
        index = current_device()
    if index >= device_count():
        raise DeviceError(f"cuda:{index}: there are {device_count()} GPUs, counted from 0.")
    return _module().cuda.Device(index)


def _from_pool(number: str, where: Where) -> int:
    if not is_available():
        return 0
    with _gpu(where):
        return int(getattr(_module().get_default_memory_pool(), number)())


# --------------------------------------------------------- what is chosen, and what is missing


def is_standin_chosen() -> bool:
    """Whether MINIDL_CUDA asks for the stand-in; raises ValueError if it asks for anything else."""
    chosen = os.environ.get("MINIDL_CUDA", "")
    if chosen not in ("", "standin"):
        raise ValueError(
            f"MINIDL_CUDA is {chosen!r}: expected 'standin' (the stand-in without a GPU), or "
            "nothing for CuPy."
        )
    return chosen == "standin"


INSTALL = "pip install 'minidl[cuda12]' (CUDA 12) or 'minidl[cuda13]' (CUDA 13)"


def what_is_missing(cupy: ModuleType | Exception) -> str:
    """Why device "cuda" cannot be used: no CuPy (what importing it raised), or one that cannot be
    imported, no driver, an old one, or no GPU."""
    if isinstance(cupy, ModuleNotFoundError) and cupy.name == "cupy":
        return f"device 'cuda' needs CuPy, which is missing: {INSTALL}."
    if isinstance(cupy, Exception):
        said = " ".join(str(cupy).split())
        return (
            f"device 'cuda': CuPy is installed, but cannot be imported: {type(cupy).__name__}: "
            f"{said} If that does not help, uninstall it and {INSTALL}."
        )
    driver = cupy.cuda.runtime.driverGetVersion()
    if driver == 0:
        return (
            "device 'cuda': CuPy is installed, but there is no NVIDIA driver. Install it from "
            "https://www.nvidia.com/drivers (nvidia-smi then lists the GPU)."
        )
    try:
        cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # CuPy's own class of it
        if "InsufficientDriver" in str(error):
            return (
                f"device 'cuda': the NVIDIA driver is too old for the CuPy that is installed (it "
                f"knows CUDA {driver // 1000}.{driver % 1000 // 10}): update the driver, or "
                f"{INSTALL}, whichever the driver knows."
            )
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    hint = "" if visible is None else f" CUDA_VISIBLE_DEVICES is {visible!r}."
    return (
        f"device 'cuda': CuPy and an NVIDIA driver are installed, but there is no GPU.{hint} See "
        "nvidia-smi."
    )
