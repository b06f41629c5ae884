"""The error classes. Each is caught by code written for PyTorch and by code written for NumPy."""


class ShapeError(RuntimeError, ValueError):
    """Sizes do not fit the operation."""


class DTypeError(RuntimeError, TypeError):
    """An element type that the operation does not take."""


class DeviceError(RuntimeError):
    """Tensors on different devices, or a device that is not there."""


class GraphError(RuntimeError):
    """The recorded graph cannot do what was asked: freed, changed in place, not connected."""
