"""CIFAR-10: the canonical archive, and a JPEG re-encoding of it."""

import io
import pickle
import tarfile

import numpy as np

from .split import Split, in_turn

BATCHES = [f"cifar-10-batches-py/data_batch_{i}" for i in range(1, 6)]
TEST_BATCH = "cifar-10-batches-py/test_batch"


def parse_archive(contents: dict[str, bytes]) -> Split:
    """The arrays in `cifar-10-python.tar.gz` (https://www.cs.toronto.edu/~kriz/cifar.html)."""
    (archive,) = contents.values()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        train = [_parse_batch(tar.extractfile(name).read()) for name in BATCHES]
        test_images, test_labels = _parse_batch(tar.extractfile(TEST_BATCH).read())
    train_images = np.concatenate([images for images, _ in train])
    train_labels = np.concatenate([labels for _, labels in train])
    return train_images, train_labels, test_images, test_labels


def _parse_batch(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    batch = _BatchReader(io.BytesIO(data), encoding="bytes").load()
    images = batch[b"data"].values.reshape(-1, 3, 32, 32)  # a row is 1024 red, green, blue values
    return images, np.array(batch[b"labels"], np.int64)


class _PickledArray:
    """Stands for a NumPy array of bytes while it is read."""

    def __init__(self, *args):
        pass

    def __setstate__(self, state):
        _version, shape, _dtype, _fortran, data = state
        self.values = np.frombuffer(data, np.uint8).reshape(shape).copy()


class _PickledDtype:
    """Stands for the array's dtype, which is uint8."""

    def __init__(self, *args):
        pass

    def __setstate__(self, state):
        pass


class _BatchReader(pickle.Unpickler):
    """Reads a CIFAR batch, a pickle of 2009, without letting it name anything to call."""

    allowed = {  # noqa: RUF012
        ("numpy.core.multiarray", "_reconstruct"): _PickledArray,
        ("numpy", "ndarray"): _PickledArray,
        ("numpy", "dtype"): _PickledDtype,
    }

    def find_class(self, module: str, name: str):
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(f"a CIFAR batch does not contain {module}.{name}")
        return self.allowed[module, name]


def parse_jpegs(contents: dict[str, bytes]) -> Split:
    """The arrays in the train and test `.npz`: JPEGs end to end in `blob`, cut at `offsets`.

    The files are sorted by class; here the classes take turns.
    """
    train, test = contents.values()
    return *_decode(train), *_decode(test)


def _decode(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    try:
        from PIL import Image
    except ImportError:
        raise ImportError('cifar10-jpeg needs pillow: pip install "minidl[papers]"') from None

    archive = np.load(io.BytesIO(data), allow_pickle=False)
    blob, offsets = archive["blob"].tobytes(), archive["offsets"]
    labels = archive["labels"].astype(np.int64)
    order, _ = in_turn(labels)
    images = np.empty((len(labels), 3, 32, 32), np.uint8)
    for place, i in enumerate(order):
        jpeg = io.BytesIO(blob[offsets[i] : offsets[i + 1]])
        images[place] = np.asarray(Image.open(jpeg).convert("RGB")).transpose(2, 0, 1)
    return images, labels[order]
