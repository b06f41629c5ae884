"""The IDX format of MNIST and Fashion-MNIST.

http://yann.lecun.com/exdb/mnist/: two zero bytes, the type (8 = unsigned byte), the number of
dimensions, each dimension as a big-endian 32-bit integer, then the values in row-major order.
"""

import struct
from math import prod

import numpy as np

from .split import Split


def parse_idx(data: bytes, name: str) -> np.ndarray:
    """The uint8 array in an IDX file's bytes; ValueError naming `name` when it is not one."""
    if len(data) < 4 or data[:3] != b"\0\0\x08":
        raise ValueError(f"{name}: an IDX file of bytes starts with 00 00 08, not {data[:3].hex()}")
    dims = data[3]
    start = 4 + 4 * dims
    if len(data) < start:
        raise ValueError(f"{name}: the header announces {dims} dimensions but ends before them")
    shape = struct.unpack(f">{dims}I", data[4:start])
    if len(data) - start != prod(shape):
        raise ValueError(
            f"{name}: shape {shape} needs {prod(shape):,} bytes, the file has {len(data) - start:,}"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape).copy()


def parse_mnist(contents: dict[str, bytes]) -> Split:
    """Train images, train labels, test images, test labels, from the four unzipped files."""
    arrays = [parse_idx(data, name) for name, data in contents.items()]
    for images, labels in (arrays[:2], arrays[2:]):
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise ValueError(
                f"expected images (N, H, W) and labels (N,), got {images.shape} and {labels.shape}"
            )
        if labels.size and labels.max() > 9:
            raise ValueError(f"labels go from 0 to 9, found {labels.max()}")
    train_images, train_labels, test_images, test_labels = arrays
    return (
        train_images[:, None],  # (N, 1, H, W)
        train_labels.astype(np.int64),
        test_images[:, None],
        test_labels.astype(np.int64),
    )
