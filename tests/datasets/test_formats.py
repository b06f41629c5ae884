"""The file formats: IDX, the CIFAR archive, JPEGs in an npz, folders of images."""

import io
import pickle
import struct
import tarfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from minidl import datasets
from minidl.datasets import cifar
from minidl.datasets.idx import parse_idx, parse_mnist
from minidl.datasets.split import in_turn, split_by_class


def idx_bytes(array):
    header = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)))
def test_idx_round_trip(array):
    parsed = parse_idx(idx_bytes(array), "a")
    np.testing.assert_array_equal(parsed, array)
    assert parsed.shape == array.shape and parsed.flags.writeable


@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=3)),
    st.integers(min_value=0, max_value=200),
)
def test_idx_of_another_length_is_refused(array, length):
    data = idx_bytes(array)
    changed = (data + bytes(200))[:length]
    if length != len(data):
        with pytest.raises(ValueError, match="a\\.idx"):
            parse_idx(changed, "a.idx")


@pytest.mark.parametrize("start", [b"\0\0\x0d\x01", b"\x1f\x8b\x08\x00", b"\0\1\x08\1", b""])
def test_idx_of_another_type_is_refused(start):
    with pytest.raises(ValueError, match="starts with 00 00 08"):
        parse_idx(start + bytes(10), "a.idx")


def test_idx_with_huge_dimensions_does_not_allocate():
    header = b"\0\0\x08\x03" + struct.pack(">3I", 2**32 - 1, 2**32 - 1, 2**32 - 1)
    with pytest.raises(ValueError, match="needs"):
        parse_idx(header, "a.idx")


def test_mnist_needs_as_many_labels_as_images():
    images, labels = np.zeros((3, 2, 2), np.uint8), np.zeros(2, np.uint8)
    files = {"a": idx_bytes(images), "b": idx_bytes(labels)}
    with pytest.raises(ValueError, match=r"\(3, 2, 2\) and \(2,\)"):
        parse_mnist({**files, "c": files["a"], "d": files["b"]})


def test_mnist_labels_are_digits():
    images, labels = np.zeros((1, 2, 2), np.uint8), np.full(1, 10, np.uint8)
    files = {"a": idx_bytes(images), "b": idx_bytes(labels)}
    with pytest.raises(ValueError, match="found 10"):
        parse_mnist({**files, "c": files["a"], "d": files["b"]})


class Python2Pickler(pickle._Pickler):
    """Writes str and bytes as Python 2's str, as the CIFAR batches of 2009 have them."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_text(self, text):
        data = text.encode() if isinstance(text, str) else text
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)

    dispatch[str] = dispatch[bytes] = save_text

    def save_global(self, obj, name=None):
        names = {
            np.ndarray: "numpy\nndarray",
            np.dtype: "numpy\ndtype",
            np.empty(0).__reduce__()[0]: "numpy.core.multiarray\n_reconstruct",
        }
        self.write(b"c" + names[obj].encode() + b"\n")

    dispatch[type] = dispatch[type(in_turn)] = save_global

    def save_reduce(self, func, args, state=None, *rest, **named):
        self.save(func)
        self.save(args)
        self.write(pickle.REDUCE)
        if state is not None:
            self.save(state)
            self.write(pickle.BUILD)


def cifar_batch(images, labels):
    stream = io.BytesIO()
    batch = {"data": images.reshape(-1, 3072), "labels": labels.tolist(), "batch_label": "b"}
    Python2Pickler(stream, protocol=2).dump(batch)
    return stream.getvalue()


def cifar_archive(batches):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, data in batches.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def test_cifar_archive():
    rng = np.random.default_rng(0)
    names = [*cifar.BATCHES, cifar.TEST_BATCH]
    images = [rng.integers(0, 256, (4, 3, 32, 32), dtype=np.uint8) for _ in names]
    labels = [rng.integers(0, 10, 4) for _ in names]
    batches = {n: cifar_batch(x, y) for n, x, y in zip(names, images, labels, strict=True)}
    # what the official reader, pickle.load(file, encoding="bytes"), makes of it
    assert pickle.loads(batches[names[0]], encoding="bytes", fix_imports=False)[b"labels"] == (
        labels[0].tolist()
    )
    parsed = cifar.parse_archive({"cifar-10-python.tar.gz": cifar_archive(batches)})
    np.testing.assert_array_equal(parsed[0], np.concatenate(images[:5]))
    np.testing.assert_array_equal(parsed[1], np.concatenate(labels[:5]))
    np.testing.assert_array_equal(parsed[2], images[5])
    np.testing.assert_array_equal(parsed[3], labels[5])
    assert parsed[0].dtype == np.uint8 and parsed[1].dtype == np.int64
    assert parsed[0].shape == (20, 3, 32, 32)


def test_cifar_archive_calls_nothing():
    evil = b"cos\nsystem\n(S'touch /tmp/minidl-was-here'\ntR."
    with pytest.raises(pickle.UnpicklingError, match=r"os\.system|posix\.system"):
        cifar.parse_archive({"a": cifar_archive(dict.fromkeys(cifar.BATCHES, evil))})


def test_cifar_jpegs():
    labels = np.array([1, 1, 0, 0, 0], np.uint8)
    jpegs = []
    for i in range(5):
        stream = io.BytesIO()
        Image.new("RGB", (32, 32), (50 * i, 10, 200)).save(stream, "JPEG")
        jpegs.append(stream.getvalue())
    stream = io.BytesIO()
    np.savez(
        stream,
        blob=np.frombuffer(b"".join(jpegs), np.uint8),
        offsets=np.cumsum([0, *map(len, jpegs)]),
        labels=labels,
    )
    parsed = cifar.parse_jpegs({"train": stream.getvalue(), "test": stream.getvalue()})
    assert parsed[1].tolist() == [0, 1, 0, 1, 0]  # in turn
    assert parsed[0].shape == (5, 3, 32, 32)
    red = parsed[0][:, 0, 16, 16].astype(int)
    assert np.abs(red - [100, 0, 150, 50, 200]).max() <= 3


@given(hnp.arrays(np.int64, st.integers(0, 60), elements=st.integers(0, 4)))
def test_split_by_class(labels):
    images = np.arange(len(labels))  # stand for themselves
    train, train_labels, test, test_labels = split_by_class(images, labels)
    assert sorted([*train, *test]) == images.tolist()
    np.testing.assert_array_equal(labels[train], train_labels)
    np.testing.assert_array_equal(labels[test], test_labels)
    for label in range(5):
        members = images[labels == label]
        assert (test_labels == label).sum() == len(members) // 5
        expected = members[len(members) - len(members) // 5 :]
        np.testing.assert_array_equal(np.sort(test[test_labels == label]), expected)


@given(hnp.arrays(np.int64, st.integers(0, 60), elements=st.integers(0, 4)))
def test_in_turn_starts_with_one_of_each_class(labels):
    order, _ = in_turn(labels)
    classes = np.unique(labels)
    np.testing.assert_array_equal(labels[order][: len(classes)], classes)


@pytest.fixture
def image_folder(tmp_path):
    """train/ with cat and dog, val/ with dog only; red tells the images apart."""
    for i, place in enumerate(["train/cat/1.png", "train/dog/a/2.PNG", "val/dog/3.png"]):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40 + 20 * i, 40), (10 * i, 1, 2)).save(path, "PNG")
    (tmp_path / "train/cat/notes.txt").write_text("not an image")
    (tmp_path / "train/.cache").mkdir()
    return tmp_path


def test_folder_with_train_and_val(image_folder):
    train, val = datasets.folder(image_folder)
    assert train.classes == val.classes == ["cat", "dog"]
    assert [(path.name, label) for path, label in train.samples] == [("1.png", 0), ("2.PNG", 1)]
    assert len(train) == 2 and len(val) == 1
    image, label = val[0]
    assert image.shape == (3, 40, 80) and image.dtype == np.uint8 and label == 1
    assert image[:, 0, 0].tolist() == [20, 1, 2]


def test_folder_of_one_level(image_folder):
    train, val = datasets.folder(image_folder / "train")
    assert val is None and train.classes == ["cat", "dog"]
    assert datasets.folder(str(image_folder / "val"))[0].classes == ["dog"]


def test_folder_scales_and_crops(tmp_path):
    pixels = np.zeros((50, 100, 3), np.uint8)
    pixels[:, 25:75] = 200  # the square that remains
    (tmp_path / "c").mkdir()
    Image.fromarray(pixels).save(tmp_path / "c" / "wide.png")
    Image.fromarray(pixels.transpose(1, 0, 2)).save(tmp_path / "c" / "tall.png")
    images, _ = datasets.folder(tmp_path, size=25)
    for image, _label in (images[0], images[1]):
        assert image.shape == (3, 25, 25)
        assert image[:, 5:-5, 5:-5].min() >= 199 and image.mean() > 185


def test_folder_decodes_only_what_is_asked_for(image_folder):
    broken = image_folder / "train" / "cat" / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff not a jpeg")
    train, _ = datasets.folder(image_folder)
    train[0]
    index = [path.name for path, _ in train.samples].index("broken.jpg")
    with pytest.raises(ValueError, match=r"broken\.jpg cannot be read as an image"):
        train[index]


def test_folder_errors(tmp_path, image_folder):
    with pytest.raises(FileNotFoundError, match="no folder"):
        datasets.folder(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no images in"):
        datasets.folder(tmp_path / "empty")
    with pytest.raises(ValueError, match="size must be positive"):
        datasets.folder(image_folder, size=0)
    (image_folder / "val" / "bird").mkdir()
    with pytest.raises(ValueError, match=r"classes that .* has not: bird"):
        datasets.folder(image_folder)
