"""What training needs around the model: `minidl.utils.data`."""

from minidl.utils import data

__all__ = ["data"]
