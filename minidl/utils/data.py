"""Datasets, samplers and the loader, with the names of torch.utils.data.

https://docs.pytorch.org/docs/stable/data.html. Two things differ: workers are threads, and the
shuffled order depends on (seed, epoch) alone, so a run can be resumed in the middle of an epoch.
"""

from __future__ import annotations

import math
import threading
import warnings
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, count, islice
from typing import Any

import minidl
from minidl.errors import ShapeError
from minidl.utils.collate import default_collate, default_convert
from minidl.utils.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    require_positive,
    set_epoch,
)

__all__ = [
    "BatchSampler",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "default_collate",
    "default_convert",
    "random_split",
]

# --------------------------------------------------------------------------------------- datasets


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


# ----------------------------------------------------------------------------------------- loader


class DataLoader:
    """Batches of a dataset.

    batch_size     items in a batch; None gives single items, through `default_convert`
    shuffle        a new order in each epoch, else 0, 1, 2, ...
    sampler        an iterable of indices, instead of `shuffle`
    batch_sampler  an iterable of lists of indices, instead of all of the above and `drop_last`
    num_workers    threads that load ahead; the batches and their order are those of num_workers=0
    collate_fn     makes a batch of a list of samples (default: `default_collate`)
    drop_last      leave out a last batch that is not full
    generator      its seed orders the epochs (default: the seed of `minidl.manual_seed`)
    worker_init_fn  called with the number of the thread, in each thread, before its first batch

    The other arguments of PyTorch are accepted and do nothing; they concern processes and pinned
    memory. An error in a thread is raised where the batch is asked for, with its own traceback.

    **Order.** With `shuffle` it is a function of (seed, epoch) only; each `iter(loader)` is one
    epoch, and neither the generator nor the number of threads has a part in it. To go on with epoch
    3 after its first 120 batches, in a run that was interrupted:

        loader.set_epoch(3, skip=120)
        for batch in loader: ...

    which loads none of the 120. Two loaders with the same seed and length shuffle alike; give one
    another `generator` if that matters. Random numbers that `dataset[i]` itself draws from the
    global generator are not part of this: with threads their order is a matter of timing.

    Raises ValueError for sizes that are not positive, for arguments that exclude each other and for
    shuffling an empty dataset; TypeError for a dataset without `[i]` or length.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[list[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: minidl.Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ):
        if not hasattr(dataset, "__getitem__"):
            raise TypeError(
                f"DataLoader: a dataset needs __getitem__; {type(dataset).__name__} has none"
            )
        if num_workers < 0:
            raise ValueError(f"DataLoader: num_workers must not be negative, got {num_workers}")
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: give either a sampler or shuffle=True")
        if batch_sampler is not None and (
            batch_size != 1 or shuffle or sampler is not None or drop_last
        ):
            raise ValueError(
                "DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last"
            )
        if batch_size is None and drop_last:
            raise ValueError("DataLoader: batch_size=None makes no batches, so drop_last is out")
        if batch_size is not None:
            require_positive("DataLoader", "batch_size", batch_size)

        if sampler is None and batch_sampler is None:
            if not hasattr(dataset, "__len__"):
                raise TypeError(
                    f"DataLoader: {type(dataset).__name__} has no __len__; give a sampler"
                )
            if shuffle:
                sampler = RandomSampler(dataset, generator=generator)
            else:
                sampler = SequentialSampler(dataset)
        if batch_sampler is not None:
            batch_size = None
        elif batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        if collate_fn is None:
            collate_fn = default_convert if batch_sampler is None else default_collate

        self.dataset = dataset
        self.batch_size = batch_size
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.num_workers = num_workers
        self.collate_fn = collate_fn
        self.drop_last = drop_last
        self.generator = generator
        self.worker_init_fn = worker_init_fn
        self.prefetch_factor = prefetch_factor
        self._skip = 0

    @property
    def _indices(self) -> Iterable:
        """What is iterated: lists of indices, or single ones with `batch_size=None`."""
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def __len__(self) -> int:
        return len(self._indices)

    def set_epoch(self, epoch: int, skip: int = 0) -> None:
        """The next `iter` is epoch number `epoch`, without its first `skip` batches."""
        if epoch < 0 or skip < 0:
            raise ValueError(f"set_epoch: expected numbers from 0 on, got {epoch}, skip={skip}")
        set_epoch(self._indices, epoch)
        self._skip = skip

    def __iter__(self) -> Iterator:
        indices = islice(iter(self._indices), self._skip, None)
        self._skip = 0
        fetch = self._fetcher()
        if self.num_workers == 0:
            return map(fetch, indices)
        return self._iterate_threads(fetch, indices)

    def _fetcher(self) -> Callable[[Any], Any]:
        dataset, collate = self.dataset, self.collate_fn
        if self.batch_sampler is None:
            return lambda index: collate(dataset[index])
        if collate is default_collate and (rows := _row_reader(dataset)) is not None:
            return rows
        return lambda indices: collate([dataset[i] for i in indices])

    def _iterate_threads(self, fetch: Callable, indices: Iterator) -> Iterator:
        from concurrent.futures import ThreadPoolExecutor

        worker = threading.local()
        numbers = count()

        def work(index: Any, grad: bool) -> Any:
            if self.worker_init_fn is not None and not hasattr(worker, "number"):
                worker.number = next(numbers)
                self.worker_init_fn(worker.number)
            with minidl.set_grad_enabled(grad):  # each thread has its own grad mode
                return fetch(index)

        pool = ThreadPoolExecutor(self.num_workers, thread_name_prefix="minidl-loader")
        try:
            ahead = self.num_workers * (self.prefetch_factor or 2)
            waiting: deque = deque()
            while True:
                for index in islice(indices, ahead - len(waiting)):
                    waiting.append(pool.submit(work, index, minidl.is_grad_enabled()))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _row_reader(dataset: Dataset) -> Callable[[list[int]], list] | None:
    """For tensors, also behind subsets: a batch by one indexing of each tensor, or None.

    Gives what `default_collate` of the single items gives. Subclasses may have their own
    `__getitem__`, so they take the long way.
    """
    if type(dataset) is TensorDataset:

        def rows(indices: list[int]) -> list:
            if len(indices) == 0:
                raise ValueError("DataLoader: the batch is empty")
            return [tensor[indices] for tensor in dataset.tensors]

        return rows
    if type(dataset) is Subset and (inner := _row_reader(dataset.dataset)) is not None:
        return lambda indices: inner([dataset.indices[i] for i in indices])
    return None
