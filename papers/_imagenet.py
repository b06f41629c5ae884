"""ImageNet's ways, which later papers kept: a folder of images, crops, colours, errors, plateaus.

[A] is Krizhevsky, Sutskever, Hinton (NIPS 2012).
"""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np

import minidl
from minidl import datasets
from minidl.utils.data import Dataset, Subset

from ._images import shuffled
from ._lab import Misuse

SIDE, CROP = 256, 227  # [A] says crops of 224, but only 227 gives its 55 x 55 maps
CENTRE = ((0.5, 0.5, False),)  # shares of the margin above and to the left; mirrored or not
TEN = tuple(
    (top, left, mirrored)
    for top, left in ((0, 0), (0, 1), (1, 0), (1, 1), CENTRE[0][:2])
    for mirrored in (False, True)
)


@dataclasses.dataclass(frozen=True)
class Folder:
    """A user's own images: `path/train/<class>/` and `path/val/<class>/`."""

    path: Path
    classes: list[str]
    train: Dataset
    val: Dataset
    sha256: str  # of the files' names and sizes: reading ImageNet's 150 GB would take an hour

    @property
    def name(self) -> str:
        return self.path.name

    def line(self) -> str:
        sizes = f"{len(self.train):,} training and {len(self.val):,} validation images"
        return f"data: {self.path} ({sizes}, {len(self.classes):,} classes)"

    def record(self) -> dict:
        return {"name": self.name, "real": True, "sha256": self.sha256}


def folder(path: str, seed: int) -> Folder:
    """The images below `path`; without `val/`, one in 20 is held out."""
    if not path:
        raise Misuse("--full needs --images FOLDER, with train/<class>/ and val/<class>/ in it")
    train, val = datasets.folder(path, size=SIDE)
    digest = hashlib.sha256()
    for file, label in train.samples + (val.samples if val else []):
        digest.update(f"{file.relative_to(path)} {file.stat().st_size} {label}\n".encode())
    classes = train.classes
    if val is None:
        order = shuffled(len(train), seed).tolist()
        held_out = -(-len(order) // 20)
        train, val = Subset(train, order[held_out:]), Subset(train, order[:held_out])
    return Folder(Path(path), classes, train, val, digest.hexdigest())


def colour_statistics(images, seed: int, count: int = 1000) -> dict:
    """Mean colour (3, in 0..255) and, in the columns of `colours` (3, 3), the principal components
    of the colours times their eigenvalues ([A] 4.1), from `count` images."""
    chosen = shuffled(len(images), seed)[:count].tolist()
    pixels = [images[i][0][:, ::4, ::4].reshape(3, -1) for i in chosen]
    pixels = np.concatenate(pixels, axis=1)  # (3, pixels)
    values, vectors = np.linalg.eigh(np.cov(pixels / 255))
    return {"mean": pixels.mean(1).tolist(), "colours": (vectors * values).tolist()}


def augment(images: minidl.Tensor, mean, colours, size: int = CROP) -> minidl.Tensor:
    """Bytes (B, 3, 256, 256) to (B, 3, size, size): random crop, mirror and colour ([A] 4.1).

    [p1, p2, p3] [a1 l1, a2 l2, a3 l3]' is added to each pixel, p and l the components and their
    eigenvalues for pixels in 0..1, a ~ N(0, 0.1) drawn once for an image.
    """
    count, device = len(images), images.device
    x = random_crops(images, size).float()
    shift = 0.1 * minidl.randn(count, 3, device=device) @ minidl.tensor(colours, device=device).T
    return x - column(mean, device) + 255 * shift[:, :, None, None]


def random_crops(images: minidl.Tensor, size: int) -> minidl.Tensor:
    """A crop (C, size, size) of each image (C, W, W), anywhere; one in two is mirrored."""
    count, width = len(images), images.shape[3]
    corners = minidl.randint(0, width - size + 1, (count, 2)).tolist()
    crops = [
        image[:, i : i + size, j : j + size] for image, (i, j) in zip(images, corners, strict=True)
    ]
    x = minidl.stack(crops)
    return minidl.where(minidl.rand(count, 1, 1, 1, device=x.device) < 0.5, x.flip(3), x)


def crops(images: minidl.Tensor, mean, where, size: int = CROP):
    """The crops (B, 3, size, size) at `where`, CENTRE or TEN ([A] 4.1), one after the other."""
    margin = SIDE - size
    for share_above, share_left, mirrored in where:
        top, left = int(margin * share_above), int(margin * share_left)
        x = images[:, :, top : top + size, left : left + size].float() - column(mean, images.device)
        yield x.flip(3) if mirrored else x


def column(colour, device) -> minidl.Tensor:
    return minidl.tensor(colour, device=device)[:, None, None]  # (3, 1, 1)


@minidl.no_grad()
def errors(run, model, loader, mean, where, size: int = CROP) -> list[float]:
    """Top-1 and top-5 error, %, of the mean prediction for these crops of each image."""
    model.eval()
    wrong, count = [0, 0], 0
    for images, y in loader:
        images, y = images.to(run.device), y.to(run.device)
        prediction = sum(model(x).softmax(1) for x in crops(images, mean, where, size))
        _, best = prediction.topk(min(5, prediction.shape[1]), 1)
        hits = best == y[:, None]  # (B, 5)
        wrong[0] += len(y) - hits[:, 0].sum().item()
        wrong[1] += len(y) - hits.sum().item()
        count += len(y)
    return [100 * w / count for w in wrong]


class Plateau:
    """[A] 5: the rate is divided by 10 when the validation error stops improving."""

    def __init__(self, optimizer, patience):
        self.optimizer, self.patience = optimizer, patience
        self.best, self.waited = 100.0, 0  # error in %, epochs since

    def step(self, error):
        self.best, self.waited = min(error, self.best), 0 if error < self.best else self.waited + 1
        if self.waited == self.patience:
            self.waited = 0
            for group in self.optimizer.param_groups:
                group["lr"] /= 10

    def state_dict(self):
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state):
        self.best, self.waited = state["best"], state["waited"]
