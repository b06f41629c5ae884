"""What a loaded data set is: the arrays, and where exactly they came from."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, repr=False, eq=False)
class ImageSet:
    """Labelled images as NumPy arrays, with their origin.

    name          which set this is; `load("mnist", fallback=True)` may give "mnist-5k"
    train_images  uint8 (N, C, H, W), values 0..255; test_images likewise
    train_labels  int64 (N,), indices into `classes`; test_labels likewise
    classes       the names of the classes
    source        "data folder <path>", "download to <path>" or "package <name> <version>"
    sha256        file name -> sha256 of its content (of the unzipped content for `.gz` files)
    requested     the name that was asked for
    reason        why `name` is not `requested`; empty when it is
    real          True: photographs or scans, not generated
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...]
    source: str
    sha256: dict[str, str]
    requested: str = ""
    reason: str = ""
    real: bool = True

    def line(self) -> str:
        """One line for the screen: which set, how large, from where, and in place of what."""
        shape = "x".join(map(str, self.train_images.shape[1:]))
        text = (
            f"data: {self.name} ({len(self.train_images):,} training and "
            f"{len(self.test_images):,} test images, {shape}) from {self.source}"
        )
        if self.reason:
            text += f", in place of {self.requested}: {self.reason}"
        return text

    def record(self) -> dict[str, Any]:
        """The `data` entry of a run's `metrics.json`.

        `sha256` is one number for the whole set: that of the lines `<sha256>  <file>` in the
        order of the file names, as `sha256sum` would print them; `files` has the parts.
        """
        lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(self.sha256.items()))
        return {
            "name": self.name,
            "requested": self.requested,
            "real": self.real,
            "source": self.source,
            "sha256": hashlib.sha256(lines.encode()).hexdigest(),
            "files": dict(self.sha256),
        }

    def __repr__(self) -> str:
        return f"<ImageSet {self.line()}>"
