"""`minidl.cuda`: whether there is a GPU."""

from __future__ import annotations

from .device import backend
from .errors import DeviceError

__all__ = ["device_count", "is_available", "manual_seed", "manual_seed_all"]


def device_count() -> int:
    """How many GPUs CuPy can use; 0 without CuPy, a driver or a GPU."""
    try:
        return backend("cuda").count()
    except DeviceError:
        return 0


def is_available() -> bool:
    """Whether `device="cuda"` works."""
    return device_count() > 0


def manual_seed(seed: int) -> None:
    """Nothing: one generator draws for all devices, and `minidl.manual_seed` seeds it."""


manual_seed_all = manual_seed
