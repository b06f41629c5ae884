"""save and load: round trips, sharing, damage, and what is refused."""

import io
import json
import math
import os
import pickle
import stat
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minidl

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
arrays = hnp.arrays(
    st.sampled_from(DTYPES), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
)
keys = st.text() | st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none()
trees = st.recursive(
    scalars | arrays.map(minidl.from_numpy),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
    ),
    max_leaves=12,
)


def bits(x: float) -> bytes:
    return struct.pack("<d", x)


def assert_same(a, b):
    """Same types, same order, same bits."""
    assert type(a) is type(b)
    if isinstance(a, minidl.Tensor):
        assert a.dtype == b.dtype and tuple(a.shape) == tuple(b.shape)
        assert a.numpy().tobytes() == b.numpy().tobytes()
    elif isinstance(a, dict):
        assert [(type(key), key) for key in a] == [(type(key), key) for key in b]
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif isinstance(a, float):
        assert bits(a) == bits(b)
    else:
        assert a == b


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.safetensors"


def through(tree, path):
    minidl.save(tree, path)
    return minidl.load(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trees)
def test_round_trip(path, tree):
    assert_same(through(tree, path), tree)
    assert_same(minidl.load(path, mmap=True), tree)
    first = path.read_bytes()
    minidl.save(minidl.load(path), path)
    assert path.read_bytes() == first  # equal content, equal bytes


def test_floats_are_exact(path):
    nan = struct.unpack("<d", struct.pack("<Q", 0xFFF8_0000_0000_1234))[0]
    tree = [math.inf, -math.inf, math.nan, nan, -0.0, 0.1, 5e-324, 1.7976931348623157e308]
    assert [bits(x) for x in through(tree, path)] == [bits(x) for x in tree]
    tensor = minidl.tensor(tree, dtype=minidl.float64)
    assert through(tensor, path).numpy().tobytes() == tensor.numpy().tobytes()


def test_a_checkpoint_as_papers_write_it(path):
    tree = {
        "model": {"0.weight": minidl.ones(2, 3), "0.bias": minidl.zeros(2)},
        "optimizer": {
            "state": {0: {"step": 3, "exp_avg": minidl.ones(2, 3)}, 1: {}},
            "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "params": [0, 1]}],
        },
        "generator": minidl.get_rng_state(),
        "epoch": 3,
        "metrics": {"loss": [2.3, 0.9], "best": None},
    }
    assert_same(through(tree, path), tree)
    # any reader of the format finds the tensors under their path
    found = safetensors.numpy.load_file(path)
    assert sorted(found) == [
        "generator",
        "model.0.bias",
        "model.0.weight",
        "optimizer.state.0.exp_avg",
    ]
    np.testing.assert_array_equal(found["model.0.weight"], np.ones((2, 3)))


def test_a_state_dict_has_its_own_keys_in_the_file(path):
    minidl.save(OrderedDict(b=minidl.zeros(1), a=minidl.ones(1)), path)
    assert sorted(safetensors.numpy.load_file(path)) == ["a", "b"]
    loaded = minidl.load(path)
    assert type(loaded) is dict and list(loaded) == ["b", "a"]


def test_names_that_meet_are_told_apart(path):
    tree = {
        "a": {"b": minidl.tensor(1), "c": [minidl.tensor(2)]},
        "a.b": minidl.tensor(3),
        "a.b~2": minidl.tensor(4),
        "__metadata__": minidl.tensor(5),
        "": minidl.tensor(6),
        1: minidl.tensor(7),
        "1": minidl.tensor(8),
    }
    assert_same(through(tree, path), tree)


def test_single_values(path):
    assert through(None, path) is None
    assert through(minidl.tensor(2.5), path).item() == 2.5
    assert safetensors.numpy.load_file(path).keys() == {"tensor"}


def test_parameters_come_back_as_plain_tensors(path):
    x = minidl.ones(2, requires_grad=True)
    y = x * 2
    loaded = through({"x": x, "y": y}, path)
    assert type(loaded["x"]) is minidl.Tensor
    assert not loaded["x"].requires_grad and loaded["y"].tolist() == [2.0, 2.0]


def test_loaded_tensors_are_writable_and_their_own(path):
    a, b = through([minidl.zeros(3), minidl.zeros(3)], path)
    a.fill_(1.0)
    assert a.tolist() == [1.0] * 3 and b.tolist() == [0.0] * 3


def test_equal_content_gives_equal_bytes_whatever_the_layout(path):
    values = np.arange(6.0).reshape(2, 3)
    files = []
    for array in (values, np.asfortranarray(values), np.flip(np.flip(values, 0).copy(), 0)):
        minidl.save({"x": minidl.from_numpy(array)}, path)
        files.append(path.read_bytes())
    assert files[0] == files[1] == files[2]


# shared memory


def test_one_tensor_in_two_places(path):
    w = minidl.arange(6.0)
    loaded = through({"encoder": w, "decoder": [w, w.detach()]}, path)
    assert loaded["encoder"] is loaded["decoder"][0] is loaded["decoder"][1]
    assert list(safetensors.numpy.load_file(path)) == ["encoder"]


def views_of(x):
    return {
        "whole": x,
        "row": x[1],
        "column": x[:, 2],
        "transposed": x.t(),
        "corner": x[2:, 2:],
        "one": minidl.from_numpy(x.numpy()[0, 0, ...]),
        "wide": x[1].expand(5, 4),
        "backward": minidl.from_numpy(x.numpy()[::-1, ::-1]),
        "apart": minidl.arange(12.0).reshape(3, 4),
    }


@pytest.mark.parametrize("order", [1, -1])
def test_views_share_memory_again(path, order):
    x = minidl.arange(12.0).reshape(3, 4)
    tree = dict(list(views_of(x).items())[::order])
    loaded = through(tree, path)
    assert_same(loaded, tree)
    assert sorted(safetensors.numpy.load_file(path)) == ["apart", "whole"]
    for data in (tree, loaded):
        data["row"].mul_(10.0)
        data["backward"].numpy()[0, 0] = -7.0
    assert_same(loaded, tree)
    assert loaded["whole"].tolist()[1] == [40.0, 50.0, 60.0, 70.0]
    assert loaded["corner"].tolist() == [[10.0, -7.0]]
    assert loaded["apart"].tolist() == np.arange(12.0).reshape(3, 4).tolist()


def test_views_without_their_whole_store_no_foreign_bytes(path):
    """Rows 0 to 1 and 1 to 2 of a large tensor; what lies between strided views is zero."""
    x = minidl.full((1000, 4), 9.0)
    loaded = through([x[0:2], x[1:3]], path)
    (stored,) = safetensors.numpy.load_file(path).values()
    assert stored.shape == (12,)
    loaded[0][1].fill_(5.0)
    assert loaded[1].tolist()[0] == [5.0] * 4
    through([x[:3, 0], x[:3, 2]], path)
    (stored,) = safetensors.numpy.load_file(path).values()
    assert stored.tolist() == [9, 0, 9, 0, 9, 0, 9, 0, 9, 0, 9][: len(stored)]
    assert 3 not in stored and (stored[[1, 3, 5, 7]] == 0).all()
    minidl.save(x[0:2], path)
    assert safetensors.numpy.load_file(path)["tensor"].shape == (2, 4)


def test_a_write_to_a_loaded_view_is_seen_by_autograd(path):
    x = minidl.arange(1.0, 5.0)
    whole, part = through([x, x[:2]], path)
    leaf = minidl.ones(4, requires_grad=True)
    loss = (leaf * whole).sum()
    part.mul_(2.0)
    with pytest.raises(minidl.GraphError):
        loss.backward()


def test_neighbours_in_memory_are_not_mixed_up(path):
    x = minidl.arange(8.0)
    tree = [x[:4], x[4:], x[:0]]
    loaded = through(tree, path)
    assert_same(loaded, tree)
    assert len(safetensors.numpy.load_file(path)) == 3


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_random_views_keep_values_and_sharing(path, data):
    base = np.arange(24, dtype=data.draw(st.sampled_from(["int16", "float64"]))).reshape(4, 6)
    views = []
    for _ in range(data.draw(st.integers(1, 5))):
        index = data.draw(hnp.basic_indices(base.shape, allow_ellipsis=False))
        index = index if isinstance(index, tuple) else (index,)
        views.append(base[(*index, ...)])
    loaded = through([minidl.from_numpy(view) for view in views], path)
    ours = [tensor.numpy() for tensor in loaded]
    for a, b in zip(views, ours, strict=True):
        np.testing.assert_array_equal(a, b)
    for i in range(len(views)):
        for j in range(i):
            assert np.shares_memory(ours[i], ours[j]) == np.shares_memory(views[i], views[j])
    if views[0].size:
        views[0][...] = ours[0][...] = 99
        for a, b in zip(views, ours, strict=True):
            np.testing.assert_array_equal(a, b)


# files of others


def test_a_file_of_another_writer_is_a_flat_dict(path):
    values = {"b.weight": np.arange(6, dtype=np.float16).reshape(2, 3), "a": np.array(True)}
    safetensors.numpy.save_file(values, path, metadata={"format": "pt"})
    loaded = minidl.load(path)
    assert set(loaded) == set(values)
    for name, value in values.items():
        assert loaded[name].dtype == value.dtype
        np.testing.assert_array_equal(loaded[name].numpy(), value)
    loaded["a"].fill_(False)


def raw_file(entries: dict, data: bytes, metadata: dict | None = None) -> bytes:
    header = {"__metadata__": metadata, **entries} if metadata else entries
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def test_bfloat16_becomes_float32(path):
    values = np.array([1.0, -2.5, np.inf, 3e38, 1e-40], np.float32)
    upper = (values.view(np.uint32) >> 16).astype(np.uint16)
    entry = {"w": {"dtype": "BF16", "shape": [5], "data_offsets": [0, 10]}}
    path.write_bytes(raw_file(entry, upper.tobytes()))
    loaded = minidl.load(path)["w"]
    assert loaded.dtype == minidl.float32
    expected = (upper.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(loaded.numpy(), expected)
    assert loaded[:2].tolist() == [1.0, -2.5]


def test_a_type_that_minidl_has_not_is_named(path):
    safetensors.numpy.save_file({"w": np.zeros(2, np.uint32)}, path)
    with pytest.raises(ValueError, match="w is of type U32"):
        minidl.load(path)


def test_pickles_are_refused_with_the_lines_that_convert_them(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    for protocol in (2, 3, 4, 5):
        path = tmp_path / "model.pt"
        path.write_bytes(pickle.dumps({"x": Evil()}, protocol))
        with pytest.raises(ValueError, match="pickle") as error:
            minidl.load(path, weights_only=False)
        lines = str(error.value).splitlines()
        assert lines[1].strip() == "import torch; from safetensors.torch import save_file"
        assert str(path) in lines[2] and str(tmp_path / "model.safetensors") in lines[2]
        compile(lines[1].strip() + "\n" + lines[2].strip(), "advice", "exec")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    with pytest.raises(ValueError, match="zip of pickles"):
        minidl.load(path)
    assert not (tmp_path / "executed").exists()


# damage


def test_every_truncation_is_refused(path):
    minidl.save({"x": minidl.arange(3.0), "y": (1, 2.5)}, path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        for mmap in (False, True):
            with pytest.raises(ValueError, match=r"a\.safetensors is cut short"):
                minidl.load(path, mmap=mmap)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_is_refused_or_harmless(path, data):
    x = minidl.arange(12.0).reshape(3, 4)
    minidl.save({"x": x, "views": (x[1], x.t()), "n": [1, 2.5, math.nan]}, path)
    damaged = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    for mmap in (False, True):
        try:
            minidl.load(path, mmap=mmap)
        except ValueError as error:
            assert str(path) in str(error)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["dict", "tuple", "float", "tensor", "view", "x"]), inner)
    ),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(json_values)
def test_a_made_up_tree_is_read_or_refused(path, tree):
    text = json.dumps({"format": 1, "tree": tree})
    entry = {"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    path.write_bytes(raw_file(entry, bytes(4), {"minidl": text}))
    try:
        minidl.load(path)
    except ValueError as error:
        assert "describes no tree" in str(error)


@pytest.mark.parametrize(
    "shape, strides, offset",
    [
        ([7], [1], 0),
        ([2], [6], 0),
        ([1], [1], 6),
        ([1], [1], -1),
        ([2], [-1], 0),
        ([2, 2], [5, 1], 0),
        ([0], [1], 0),
        ([2**40, 2**40], [1, 1], 0),
        ([2], [1, 1], 0),
        (["2"], [1], 0),
    ],
)
def test_a_view_outside_its_memory_is_refused(path, shape, strides, offset):
    view = {"view": ["x", shape, strides, offset]}
    entry = {"x": {"dtype": "F32", "shape": [6], "data_offsets": [0, 24]}}
    text = json.dumps({"format": 1, "tree": view})
    path.write_bytes(raw_file(entry, bytes(24), {"minidl": text}))
    with pytest.raises(ValueError, match="describes no tree"):
        minidl.load(path)


def test_a_later_format_is_named(path):
    text = json.dumps({"format": 2, "tree": None})
    path.write_bytes(raw_file({}, b"", {"minidl": text}))
    with pytest.raises(ValueError, match="has format 2, this minidl reads 1"):
        minidl.load(path)


def test_other_files_are_named(path):
    path.write_bytes(b"hello, this is no checkpoint")
    with pytest.raises(ValueError, match="is not a safetensors file"):
        minidl.load(path)
    path.write_bytes(struct.pack("<Q", 8) + b'{"a":]]}')
    with pytest.raises(ValueError, match="damaged safetensors header"):
        minidl.load(path)
    with pytest.raises(FileNotFoundError):
        minidl.load(path.with_name("none"))


# what cannot be saved, and how files are written


class Model:
    def state_dict(self):
        return {}


@pytest.mark.parametrize(
    "tree, message",
    [
        ({"a": [1, {2}]}, r"obj\['a'\]\[1\] is of type builtins\.set"),
        ({"a": np.zeros(2)}, r"numpy\.ndarray.*from_numpy"),
        ([np.float32(1)], r"obj\[0\].*item\(\)"),
        (Model(), r"Model; expected .*save its state_dict"),
        ({(1, 2): 3}, r"obj has the key \(1, 2\)"),
        (b"bytes", "bytes"),
    ],
)
def test_refused_values_are_named_by_their_place(path, tree, message):
    with pytest.raises(TypeError, match=message):
        minidl.save(tree, path)
    assert list(path.parent.iterdir()) == []


def test_a_tree_that_contains_itself(path):
    tree = {"a": []}
    tree["a"].append(tree)
    with pytest.raises(ValueError, match=r"obj\['a'\]\[0\] contains itself"):
        minidl.save(tree, path)
    shared = [1]
    assert through([shared, shared], path) == [[1], [1]]  # twice is not within


def test_a_failed_save_leaves_the_old_file(path, monkeypatch):
    minidl.save({"x": 1}, path)

    def fail(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        minidl.save({"x": 2}, path)
    assert minidl.load(path) == {"x": 1}
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_saved_file_is_as_readable_as_any_other(path):
    other = path.with_name("other")
    other.write_bytes(b"")
    minidl.save(1, path)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


def test_paths_may_be_strings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    minidl.save([1], "x.bin")
    assert minidl.load("x.bin") == [1]


def test_map_location(path, device):
    x = minidl.arange(6.0).reshape(2, 3)
    minidl.save({"x": x.to(device), "row": x.to(device)[0]}, path)
    loaded = minidl.load(path, map_location=device)
    assert loaded["x"].device == minidl.zeros(1, device=device).device
    assert loaded["x"].cpu().tolist() == x.tolist()
    assert loaded["row"].cpu().tolist() == x[0].tolist()


def test_map_location_as_a_dict_or_a_function(path, device):
    x = minidl.arange(3.0)
    minidl.save([x, x[1:]], path)
    for location in ({"cpu": device}, lambda tensor, place: tensor.to(device)):
        a, b = minidl.load(path, location)
        assert a.device == b.device == minidl.zeros(1, device=device).device
        assert b.cpu().tolist() == [1.0, 2.0]
    for location in ({"cuda:0": "cpu"}, lambda tensor, place: None):
        assert minidl.load(path, map_location=location)[0].tolist() == x.tolist()


def test_a_mapped_file_is_not_written(path):
    minidl.save({"x": minidl.arange(4.0), "half": minidl.ones(3, dtype=minidl.float16)}, path)
    before = path.read_bytes()
    loaded = minidl.load(path, mmap=True)
    loaded["x"].mul_(2)
    loaded["half"].zero_()
    assert loaded["x"].tolist() == [0.0, 2.0, 4.0, 6.0]
    assert path.read_bytes() == before
    assert minidl.load(path)["x"].tolist() == [0.0, 1.0, 2.0, 3.0]
    shared = minidl.zeros(2)
    minidl.save([shared, shared], path)
    a, b = minidl.load(path, mmap=True)
    a += 1
    assert b.tolist() == [1.0, 1.0]


def test_a_mapped_file_need_not_be_aligned(path):
    """A header whose length is no multiple of 4, as other programs may write it."""
    header = b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    header += b" " * ((1 - len(header)) % 4)
    data = struct.pack("<Q", len(header)) + header + struct.pack("<2f", 1.5, -2.0)
    path.write_bytes(data)
    assert minidl.load(path, mmap=True)["x"].tolist() == [1.5, -2.0]
    assert (minidl.load(path, mmap=True)["x"] * 2).tolist() == [3.0, -4.0]


def test_files_that_are_open(tmp_path):
    memory = io.BytesIO()
    minidl.save({"x": minidl.ones(2)}, memory)
    memory.seek(0)
    assert minidl.load(memory)["x"].tolist() == [1.0, 1.0]
    memory.seek(0)
    with pytest.raises(ValueError, match="name of a file"):
        minidl.load(memory, mmap=True)
    with open(tmp_path / "x", "wb") as file:
        minidl.save([1], file)
    with open(tmp_path / "x", "rb") as file:
        assert minidl.load(file) == [1]
