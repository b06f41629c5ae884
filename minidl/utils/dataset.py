"""Datasets: anything with `dataset[i]` and a length, and streams."""

from __future__ import annotations

import math
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from typing import Any

import minidl
from minidl.errors import ShapeError


class Dataset:
    """Anything with `dataset[i]` and `len(dataset)`; a list will do. `a + b` concatenates."""

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} needs a __getitem__")

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


class TensorDataset(Dataset):
    """Item i is the tuple of the i-th rows of the tensors, which must be equally long."""

    def __init__(self, *tensors: minidl.Tensor):
        if not tensors:
            raise ValueError("TensorDataset: expected at least one tensor, got none")
        for tensor in tensors:
            if not isinstance(tensor, minidl.Tensor):
                raise TypeError(
                    f"TensorDataset: expected tensors, got {type(tensor).__name__}; "
                    "minidl.from_numpy makes one from a NumPy array"
                )
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
        if min(tensor.ndim for tensor in tensors) == 0:
            raise ShapeError(f"TensorDataset: every tensor needs a first dimension, got {shapes}")
        if len({len(tensor) for tensor in tensors}) > 1:
            raise ShapeError(f"TensorDataset: tensors must be equally long, got shapes {shapes}")
        self.tensors = tensors

    def __getitem__(self, index: int) -> tuple[minidl.Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])


class Subset(Dataset):
    """The items of `dataset` at `indices`."""

    def __init__(self, dataset: Dataset, indices: Sequence[int]):
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)


class ConcatDataset(Dataset):
    """The items of several datasets, one after the other."""

    def __init__(self, datasets: Iterable[Dataset]):
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: expected at least one dataset, got none")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise TypeError("ConcatDataset: iterable datasets have no indices; use ChainDataset")
        self.cumulative_sizes = list(accumulate(len(dataset) for dataset in self.datasets))

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"ConcatDataset: index {index} is out of range for {len(self)} items")
        index %= len(self)
        which = bisect_right(self.cumulative_sizes, index)
        before = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][index - before]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


class StackDataset(Dataset):
    """Item i is the tuple of the items i of the datasets, or, for named ones, a dict of them.

    https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.StackDataset
    """

    def __init__(self, *args: Dataset, **kwargs: Dataset):
        if bool(args) == bool(kwargs):
            raise ValueError("StackDataset: expected either datasets or named datasets")
        self.datasets = args or kwargs
        lengths = [len(dataset) for dataset in args or kwargs.values()]
        if len(set(lengths)) > 1:
            raise ValueError(f"StackDataset: datasets must be equally long, got {lengths}")
        self._length = lengths[0]

    def __getitem__(self, index: int) -> tuple | dict:
        if isinstance(self.datasets, dict):
            return {name: dataset[index] for name, dataset in self.datasets.items()}
        return tuple(dataset[index] for dataset in self.datasets)

    def __len__(self) -> int:
        return self._length


class IterableDataset(Dataset):
    """A dataset with `__iter__`, for what comes as a stream. `a + b` is one after the other.

    With `num_workers=n` each of n threads iterates a copy of it, and their batches come in turns:
    without more, every sample n times. `get_worker_info()` inside `__iter__` tells the thread's
    number, by which it can take its share.
    https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.IterableDataset
    """

    def __iter__(self) -> Iterator:
        raise NotImplementedError(f"{type(self).__name__} needs an __iter__")

    def __add__(self, other: Dataset) -> ChainDataset:  # type: ignore[override]
        return ChainDataset([self, other])


class ChainDataset(IterableDataset):
    """Several iterable datasets, one after the other."""

    def __init__(self, datasets: Iterable[Dataset]):
        self.datasets = list(datasets)
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise TypeError(
                    f"ChainDataset: expected IterableDatasets, got {type(dataset).__name__}; "
                    "ConcatDataset takes datasets with indices"
                )

    def __iter__(self) -> Iterator:
        return chain.from_iterable(self.datasets)

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self.datasets)  # type: ignore[arg-type]


def random_split(
    dataset: Dataset, lengths: Sequence[int | float], generator: minidl.Generator | None = None
) -> list[Subset]:
    """Subsets of random, disjoint items, of the given lengths or, if they sum to 1, fractions.

    A fraction f gets floor(f n) items; what is left over goes one each to the first subsets.
    Draws one permutation from `generator` (default: the global one). Raises ValueError when the
    lengths do not sum to the length of the dataset.
    """
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        lengths = _fractions_to_lengths(len(dataset), lengths)
    whole = all(isinstance(length, int) and length >= 0 for length in lengths)
    if not whole or sum(lengths) != len(dataset):
        raise ValueError(
            f"random_split: the lengths {list(lengths)} must sum to {len(dataset)}, the length of "
            "the dataset, or be fractions that sum to 1"
        )
    order = minidl.randperm(len(dataset), generator=generator).tolist()
    ends = accumulate(lengths)
    return [
        Subset(dataset, order[end - length : end])
        for end, length in zip(ends, lengths, strict=True)
    ]


def _fractions_to_lengths(total: int, fractions: Sequence[float]) -> list[int]:
    if min(fractions) < 0:
        raise ValueError(f"random_split: fractions must not be negative, got {list(fractions)}")
    lengths = [math.floor(total * fraction) for fraction in fractions]
    for i in range(total - sum(lengths)):
        lengths[i % len(lengths)] += 1
    if 0 in lengths:
        warnings.warn(
            f"random_split: {list(fractions)} of {total} items gives {lengths}: an empty subset",
            stacklevel=3,
        )
    return lengths
