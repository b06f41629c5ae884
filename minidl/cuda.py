"""`minidl.cuda`: whether there is a GPU."""

from __future__ import annotations

from .device import backend
from .errors import DeviceError

__all__ = ["device_count", "is_available"]


def device_count() -> int:
    """How many GPUs CuPy can use; 0 without CuPy, a driver or a GPU."""
    try:
        return backend("cuda").count()
    except DeviceError:
        return 0


def is_available() -> bool:
    """Whether `device="cuda"` works."""
    return device_count() > 0
