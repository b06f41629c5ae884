"""What training needs around the model: `minidl.utils.data`, `minidl.utils.checkpoint`."""

from minidl.utils import checkpoint, data

__all__ = ["checkpoint", "data"]
