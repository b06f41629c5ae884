"""`save` and `load`: trees of tensors and plain values in one safetensors file.

    minidl.save({"model": model.state_dict(), "epoch": 3}, "run.safetensors")
    minidl.load("run.safetensors")["epoch"]

A tree is made of dict, list, tuple, Tensor, bool, int, float, str and None. Its tensors are the
tensors of the file, named by their path ("model.0.weight"), so that other tools read them; the rest
of the tree is JSON in the file's metadata, under "minidl". Nothing in a file is ever executed.
Format: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
import math
import mmap as memory_map
import os
import struct
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

import minidl
from minidl.device import address, device, device_of, of, on, xp
from minidl.tape import wrap

FORMAT = 1
DTYPES = {
    "BOOL": "?",
    "U8": "u1",
    "I8": "i1",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
}


def save(obj: Any, f: str | os.PathLike | BinaryIO) -> None:
    """Writes the tree `obj` to the file named `f`, or into `f` if that has a `write`.

    Equal trees give equal bytes. Dicts keep their order and their keys (str, int, float, bool,
    None). Tensors that are the same memory are stored once and share it again after loading; two
    that are the same memory, shape and strides come back as one. Subclasses of dict, list, tuple
    and of the plain types come back as these; a Parameter, or any tensor that requires a gradient,
    comes back as a plain tensor, as in a state dict. The file gets its name when it is complete.

    Raises TypeError, naming the place in the tree, for anything else, and ValueError for a list or
    dict that contains itself.
    """
    from safetensors.numpy import save as to_bytes

    arrays, references = _store(_tensors(obj, "obj", (), set()))
    description = {"format": FORMAT, "tree": _encode(obj, references)}
    text = json.dumps(description, separators=(",", ":"), allow_nan=False)
    data = to_bytes(arrays, metadata={"minidl": text})
    if hasattr(f, "write"):
        f.write(data)
        return
    path = Path(f)
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


Location = str | device | dict[str, str] | Callable[[minidl.Tensor, str], Any] | None


def load(
    f: str | os.PathLike | BinaryIO,
    map_location: Location = None,
    *,
    weights_only: bool = True,
    mmap: bool | None = None,
) -> Any:
    """The tree in the file named `f`, or in `f` if that has a `read`.

    map_location: the device for its tensors. A file knows of no devices, all it has is "cpu": a
        dict is asked for that name, and a function is called with each tensor and "cpu", and gives
        the tensor to use or None for this one.
    mmap: read parts of the file when they are used; what is written to the tensors stays in memory.
    weights_only: is there for PyTorch's sake: pickles are never read, whatever it says.

    A safetensors file that `save` did not write is a dict from names to tensors; bfloat16 becomes
    float32. Raises FileNotFoundError; ValueError for a file that is cut short, damaged or of
    another kind, with the lines that convert a PyTorch checkpoint.
    """
    if hasattr(f, "read"):
        if mmap:
            raise ValueError("load: mmap=True needs the name of a file")
        path = Path(getattr(f, "name", "the file"))
        arrays, text = _read(path, f.read())
    else:
        path = Path(f)
        arrays, text = _read_mapped(path) if mmap else _read(path, path.read_bytes())
    tensors = {name: _moved(minidl.from_numpy(a), map_location) for name, a in arrays.items()}
    if text is None:
        return tensors
    try:
        description = json.loads(text)
        version = description["format"]
        if version == FORMAT:
            return _decode(description["tree"], tensors, {})
    except (ValueError, KeyError, TypeError, RecursionError, struct.error) as error:
        raise ValueError(f"load: {path} describes no tree that save could have written") from error
    raise ValueError(
        f"load: {path} has format {version!r}, this minidl reads {FORMAT}; update minidl"
    )


def _moved(tensor: minidl.Tensor, map_location: Location) -> minidl.Tensor:
    if isinstance(map_location, dict):
        map_location = map_location.get("cpu")
    elif callable(map_location):
        found = map_location(tensor, "cpu")
        return tensor if found is None else found
    return tensor if map_location is None else tensor.to(map_location)


# ------------------------------------------------------------------------------- the tree, saving


def _tensors(
    tree: Any, place: str, path: tuple[str, ...], parents: set[int]
) -> Iterator[tuple[str, minidl.Tensor]]:
    """The tensors of a tree with their names, in order; refuses what cannot be saved."""
    if isinstance(tree, minidl.Tensor):
        yield ".".join(path) or "tensor", tree
    elif isinstance(tree, dict | list | tuple):
        if id(tree) in parents:
            raise ValueError(f"save: {place} contains itself")
        if isinstance(tree, dict):
            for key in tree:
                if not isinstance(key, str | int | float | None):
                    raise TypeError(
                        f"save: {place} has the key {key!r}; keys are str, int, float, bool or None"
                    )
        entries = tree.items() if isinstance(tree, dict) else enumerate(tree)
        for key, value in entries:
            yield from _tensors(value, f"{place}[{key!r}]", (*path, str(key)), parents | {id(tree)})
    elif not isinstance(tree, bool | int | float | str | None):
        raise TypeError(
            f"save: {place} is of type {type(tree).__module__}.{type(tree).__qualname__}; expected "
            f"dict, list, tuple, Tensor, bool, int, float, str or None{_advice(tree)}"
        )


def _advice(value: Any) -> str:
    if hasattr(value, "state_dict"):
        return "; save its state_dict()"
    if isinstance(value, np.generic):
        return "; save its item()"
    if isinstance(value, np.ndarray):
        return "; save minidl.from_numpy of it"
    return ""


def _encode(tree: Any, references: dict[Hashable, dict]) -> Any:
    """The tree as JSON: a list is itself, everything JSON has not is a dict of one entry."""
    if isinstance(tree, minidl.Tensor):
        return references[_identity(tree)]
    if isinstance(tree, dict):
        pairs = [[_encode(key, {}), _encode(tree[key], references)] for key in tree]
        return {"dict": pairs}
    if isinstance(tree, tuple):
        return {"tuple": [_encode(value, references) for value in tree]}
    if isinstance(tree, list):
        return [_encode(value, references) for value in tree]
    if isinstance(tree, float) and not math.isfinite(tree):
        return {"float": struct.pack("<d", tree).hex()}
    return tree


# ------------------------------------------------------------------------- the memory of tensors


def _identity(tensor: minidl.Tensor) -> Hashable:
    """Equal for two tensors when they are the same view of the same memory."""
    array = tensor._array
    if array.size == 0:
        return id(tensor)
    return address(array), array.shape, array.strides, str(array.dtype)


def _bounds(array: Any) -> tuple[int, int]:
    """The addresses of an array's first byte and of the one after its last."""
    low = high = address(array)
    for size, stride in zip(array.shape, array.strides, strict=True):
        reach = (size - 1) * stride
        low, high = low + min(reach, 0), high + max(reach, 0)
    return low, high + array.itemsize


def _store(
    named: Iterator[tuple[str, minidl.Tensor]],
) -> tuple[dict[str, np.ndarray], dict[Hashable, dict]]:
    """The arrays of the file by name, and for each tensor's identity what stands in the tree."""
    members: dict[Hashable, tuple[str, Any]] = {}  # identity -> name, array
    used = {"__metadata__"}  # taken by the file format
    for path, tensor in named:
        identity = _identity(tensor)
        if identity not in members:
            name, n = path, 1
            while name in used:  # {"a": {"b": x}, "a.b": y}
                n += 1
                name = f"{path}~{n}"
            used.add(name)
            members[identity] = name, tensor._array

    arrays: dict[str, np.ndarray] = {}
    references: dict[Hashable, dict] = {}
    for group in _overlapping(members):
        if len(group) > 1 and _one_grid([members[identity][1] for identity in group]):
            _store_shared({identity: members[identity] for identity in group}, arrays, references)
            continue
        for identity in group:
            name, array = members[identity]
            arrays[name] = np.asarray(_to_numpy(array), order="C")
            references[identity] = {"tensor": name}
    return arrays, references


def _overlapping(members: dict[Hashable, tuple[str, Any]]) -> list[list[Hashable]]:
    """The identities in groups whose memory overlaps, each in the order of `members`."""
    groups: list[list[Hashable]] = []
    end = 0
    order = {identity: i for i, identity in enumerate(members)}
    whole = [identity for identity, (_, array) in members.items() if array.size]
    for identity in sorted(whole, key=lambda identity: _bounds(members[identity][1])):
        low, high = _bounds(members[identity][1])
        if low >= end:
            groups.append([])
        groups[-1].append(identity)
        end = max(end, high)
    groups += [[identity] for identity, (_, array) in members.items() if not array.size]
    return [sorted(group, key=order.__getitem__) for group in groups]


def _one_grid(arrays: list) -> bool:
    """Whether the arrays have one dtype and lie on one grid of elements."""
    first = arrays[0]
    return all(
        array.dtype == first.dtype
        and (address(array) - address(first)) % first.itemsize == 0
        and all(stride % first.itemsize == 0 for stride in array.strides)
        for array in arrays
    )


def _store_shared(
    group: dict[Hashable, tuple[str, Any]],
    arrays: dict[str, np.ndarray],
    references: dict[Hashable, dict],
) -> None:
    """One stretch of memory for all of `group`: in the shape of the member that is all of it, if
    there is one, else one-dimensional. What no member covers is zero."""
    bounds = [_bounds(array) for _, array in group.values()]
    low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
    name, first = next(iter(group.values()))
    flat = np.zeros((high - low) // first.itemsize, np.dtype(str(first.dtype)))
    shape = flat.shape
    for own_name, array in group.values():
        offset = address(array) - low
        np.ndarray(array.shape, flat.dtype, flat, offset, array.strides)[...] = _to_numpy(array)
        if array.size == flat.size and array.flags.c_contiguous:
            name, shape = own_name, array.shape
    arrays[name] = flat.reshape(shape)
    for identity, (_, array) in group.items():
        strides = [stride // array.itemsize for stride in array.strides]
        offset = (address(array) - low) // array.itemsize
        references[identity] = {"view": [name, list(array.shape), strides, offset]}


def _to_numpy(array: Any) -> np.ndarray:
    return of(array).to_numpy(array)


# -------------------------------------------------------------------------------------- the file


def _read(path: Path, data: bytes) -> tuple[dict[str, np.ndarray], str | None]:
    """The arrays of a safetensors file in the order of its header, and minidl's metadata."""
    import safetensors

    header, _ = _header(path, data)
    try:
        raw = dict(safetensors.deserialize(data))
    except safetensors.SafetensorError as error:
        raise _damaged(path, error) from None
    metadata = header.pop("__metadata__", None) or {}
    arrays = {name: _to_array(path, name, raw[name]) for name in header}
    return arrays, metadata.get("minidl")


def _read_mapped(path: Path) -> tuple[dict[str, np.ndarray], str | None]:
    """The same with arrays that lie in the file, of which a page is copied when it is written."""
    import safetensors

    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise ValueError(_other_format(path, b""))
        data = memory_map.mmap(file.fileno(), 0, access=memory_map.ACCESS_COPY)
    header, start = _header(path, data)
    try:
        safetensors.safe_open(path, framework="numpy")  # checks what the header says
    except safetensors.SafetensorError as error:
        raise _damaged(path, error) from None
    metadata = header.pop("__metadata__", None) or {}
    arrays = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        part = np.frombuffer(data, np.uint8, end - begin, start + begin)
        arrays[name] = _to_array(path, name, {**entry, "data": part})
    return arrays, metadata.get("minidl")


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(f"load: {path} is a damaged safetensors file: {error}")


def _header(path: Path, data: Any) -> tuple[dict, int]:
    """The JSON header, and where the data begin: after eight bytes with its length and itself."""
    length = int.from_bytes(data[:8], "little")
    if data[8:9] != b"{" or length > 100_000_000:  # the format's own limit
        raise ValueError(_other_format(path, data))
    _require_length(path, data, 8 + length)
    try:
        header = json.loads(data[8 : 8 + length])
        ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
        expected = 8 + length + max(ends, default=0)
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise ValueError(f"load: {path} has a damaged safetensors header") from error
    _require_length(path, data, expected)
    return header, 8 + length


def _require_length(path: Path, data: Any, expected: int) -> None:
    if len(data) < expected:
        raise ValueError(
            f"load: {path} is cut short: it has {len(data):,} of at least {expected:,} bytes"
        )


def _to_array(path: Path, name: str, entry: dict) -> np.ndarray:
    dtype, shape, data = entry["dtype"], entry["shape"], entry["data"]
    if dtype == "BF16":  # the upper half of a float32
        bits = np.frombuffer(data, "<u2").astype(np.uint32) << 16
        return bits.view(np.float32).reshape(shape)
    if dtype not in DTYPES:
        raise ValueError(f"load: {path}: {name} is of type {dtype}, which minidl has not")
    array = np.frombuffer(data, DTYPES[dtype]).reshape(shape)
    return array if array.flags.writeable and array.flags.aligned else array.copy()


def _other_format(path: Path, data: Any) -> str:
    if data[:4] == b"PK\x03\x04" or (data[:1] == b"\x80" and data[1:2] in b"\2\3\4\5"):
        new = path.with_suffix(".safetensors")
        return (
            f"load: {path} is a pickle or a zip of pickles, which can run any code, so minidl does "
            "not read it. If it is a PyTorch state dict you trust, convert it where PyTorch is "
            "installed:\n"
            "    import torch; from safetensors.torch import save_file\n"
            f"    save_file({{k: v.clone().contiguous() for k, v in torch.load({str(path)!r}, "
            f'map_location="cpu").items()}}, {str(new)!r})'
        )
    if len(data) < 9:
        return f"load: {path} is cut short or empty: it has {len(data)} bytes"
    return f"load: {path} is not a safetensors file"


# ------------------------------------------------------------------------------ the tree, loading


def _decode(node: Any, tensors: dict[str, minidl.Tensor], views: dict[str, minidl.Tensor]) -> Any:
    """What `_encode` made `node` from. `views` remembers the views already made."""
    if isinstance(node, list):
        return [_decode(value, tensors, views) for value in node]
    if not isinstance(node, dict):
        return node
    ((kind, value),) = node.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "view":
        key = json.dumps(value)
        if key not in views:
            name, shape, strides, offset = value
            with on(device_of(tensors[name]._array)):
                views[key] = _view(tensors[name], shape, strides, offset)
        return views[key]
    if kind == "dict":
        return {_decode(key, {}, {}): _decode(entry, tensors, views) for key, entry in value}
    if kind == "tuple":
        return tuple(_decode(entry, tensors, views) for entry in value)
    if kind == "float":
        return struct.unpack("<d", bytes.fromhex(value))[0]
    raise ValueError(f"unknown kind {kind!r}")


def _view(base: minidl.Tensor, shape: list[int], strides: list[int], offset: int) -> minidl.Tensor:
    """A tensor on the memory of `base`; strides and offset count elements."""
    flat = base._array.reshape(-1)
    reaches = [(size - 1) * stride for size, stride in zip(shape, strides, strict=True)]
    low = offset + sum(min(reach, 0) for reach in reaches)
    high = offset + sum(max(reach, 0) for reach in reaches)
    if min(shape, default=1) < 1 or low < 0 or high >= flat.size:
        raise ValueError("the view leaves its memory")
    steps = [stride * flat.itemsize for stride in strides]
    tensor = wrap(xp(flat).lib.stride_tricks.as_strided(flat[offset:], shape, steps))
    tensor._version = base._version  # a write to one is seen by all
    return tensor
