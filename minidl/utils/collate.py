"""From a list of samples to one batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

import minidl
from minidl.errors import ShapeError


def default_collate(batch: Sequence) -> Any:
    """Makes one batch of a list of samples.

    Tensors and NumPy arrays of one shape are stacked along a new first dimension; numbers become a
    tensor (Python floats float64, ints int64, bools bool); strings stay a sequence; tuples, lists,
    dicts and namedtuples are collated entry by entry (a tuple becomes a list, as in PyTorch).

    Raises ShapeError for samples of different shapes or lengths, TypeError for any other type.
    """
    if len(batch) == 0:
        raise ValueError("default_collate: the batch is empty")
    first = batch[0]
    if isinstance(first, minidl.Tensor):
        _require_same(batch, lambda item: tuple(item.shape), "shape")
        return minidl.stack(list(batch))
    if isinstance(first, np.ndarray):
        _require_same(batch, np.shape, "shape")
        return minidl.from_numpy(np.stack(batch))
    if isinstance(first, np.number | np.bool_):
        return minidl.from_numpy(np.asarray(batch))
    if isinstance(first, float):
        return minidl.tensor(list(batch), dtype=minidl.float64)
    if isinstance(first, int):
        return minidl.tensor(list(batch))
    if isinstance(first, str | bytes):
        return batch
    if isinstance(first, Mapping):
        return _like(first, {key: default_collate([item[key] for item in batch]) for key in first})
    if isinstance(first, Sequence):
        _require_same(batch, len, "length")
        columns = [default_collate(column) for column in zip(*batch, strict=True)]
        return type(first)(*columns) if hasattr(first, "_fields") else columns
    raise TypeError(
        "default_collate: samples must be tensors, NumPy arrays, numbers, strings, or tuples, "
        f"lists and dicts of these, got {type(first).__name__}; give the DataLoader a collate_fn"
    )


def _require_same(batch: Sequence, measure: Callable[[Any], Any], what: str) -> None:
    expected = measure(batch[0])
    for i, item in enumerate(batch):
        if measure(item) != expected:
            raise ShapeError(
                f"default_collate: samples of a batch must have one {what}; sample 0 has "
                f"{what} {expected}, sample {i} has {measure(item)}"
            )


def default_convert(data: Any) -> Any:
    """NumPy values become tensors, also inside dicts, tuples and lists; the rest stays."""
    if isinstance(data, np.ndarray | np.number | np.bool_):
        return minidl.as_tensor(data)
    if isinstance(data, Mapping):
        return _like(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(default_convert, data))
    if isinstance(data, tuple | list):
        return [default_convert(value) for value in data]
    return data


def _like(mapping: Mapping, values: dict) -> Mapping:
    """`values` in a mapping of the same kind."""
    if not isinstance(mapping, MutableMapping):
        return values
    clone = copy.copy(mapping)
    clone.update(values)
    return clone
