"""A user's own images: one subfolder per class, decoded only when asked for."""

from pathlib import Path

import numpy as np

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".ppm", ".tif", ".tiff"}


class ImageFolder:
    """Images below `root/<class>/`, in the order of the paths. A Dataset.

    `samples` is the list of (path, class index), `classes` the sorted names of the subfolders.
    `self[i]` is (image, class index): the image as RGB, uint8 (3, H, W). With `size` its shorter
    side is scaled to `size` and the centre (3, size, size) cut out, as in Krizhevsky et al. 2012,
    section 2.
    """

    def __init__(self, root: str | Path, size: int | None = None):
        self.root = Path(root)
        self.size = size
        if size is not None and size <= 0:
            raise ValueError(f"ImageFolder: size must be positive, got {size}")
        if not self.root.is_dir():
            raise FileNotFoundError(f"ImageFolder: no folder {self.root}")
        folders = sorted(
            path for path in self.root.iterdir() if path.is_dir() and path.name[0] != "."
        )
        self.classes = [folder.name for folder in folders]
        self.samples = [
            (path, label)
            for label, folder in enumerate(folders)
            for path in sorted(folder.rglob("*"))
            if path.suffix.lower() in SUFFIXES and path.name[0] != "."
        ]
        if not self.samples:
            raise FileNotFoundError(
                f"ImageFolder: no images in {self.root}; expected {self.root}/<class>/<image>.jpg "
                f"(or {', '.join(sorted(SUFFIXES - {'.jpg'}))})"
            )

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        try:
            from PIL import Image
        except ImportError:
            raise ImportError('reading images needs pillow: pip install "minidl[papers]"') from None

        path, label = self.samples[index]
        try:
            with Image.open(path) as file:
                image = file.convert("RGB")
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(f"{path} cannot be read as an image: {error}") from error
        if self.size is not None:
            image = _scale_and_crop(image, self.size)
        return np.asarray(image).transpose(2, 0, 1).copy(), label  # (3, H, W)


def _scale_and_crop(image, size: int):
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    return image.resize((width, height)).crop((left, top, left + size, top + size))


def folder(path: str | Path, size: int | None = None) -> tuple[ImageFolder, ImageFolder | None]:
    """The training and validation images below `path`.

    `path/train/<class>/` and `path/val/<class>/`, or `path/<class>/` alone, for which the second
    is None. A class of `val` must be one of `train`; labels are the indices of `train`.
    """
    path = Path(path)
    if not (path / "train").is_dir():
        return ImageFolder(path, size), None
    train = ImageFolder(path / "train", size)
    if not (path / "val").is_dir():
        return train, None
    val = ImageFolder(path / "val", size)
    unknown = sorted(set(val.classes) - set(train.classes))
    if unknown:
        raise ValueError(f"{path}/val has classes that {path}/train has not: {', '.join(unknown)}")
    label = [train.classes.index(name) for name in val.classes]
    val.samples = [(image, label[index]) for image, index in val.samples]
    val.classes = train.classes
    return train, val
