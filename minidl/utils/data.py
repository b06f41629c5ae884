"""Datasets, samplers and the loader, with the names of torch.utils.data.

https://docs.pytorch.org/docs/stable/data.html. Two things differ: workers are threads, and the
shuffled order depends on (seed, epoch) alone, so a run can be resumed in the middle of an epoch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice
from typing import Any

import minidl
from minidl.utils.collate import default_collate, default_convert
from minidl.utils.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from minidl.utils.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
    require_positive,
    set_epoch,
)
from minidl.utils.stream import (
    WorkerInfo,
    get_worker_info,
    read_stream,
    read_streams,
    start_worker,
)

from ..names import lookup

__all__ = [
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "default_collate",
    "default_convert",
    "get_worker_info",
    "random_split",
]


class DataLoader:
    """Batches of a dataset.

    dataset        with indices, or an IterableDataset
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
    shuffling an empty dataset; TypeError for a dataset without `[i]` or length that is no
    IterableDataset.
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
        is_stream = isinstance(dataset, IterableDataset)
        if is_stream and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError(
                "DataLoader: an IterableDataset gives its samples in its own order; leave out "
                "shuffle, sampler and batch_sampler"
            )
        if not is_stream and not hasattr(dataset, "__getitem__"):
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

        if sampler is None and batch_sampler is None and not is_stream:
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
        elif batch_size is not None and not is_stream:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        if collate_fn is None:
            single = batch_sampler is None and batch_size is None
            collate_fn = default_convert if single else default_collate

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
        if isinstance(self.dataset, IterableDataset):
            full, rest = divmod(len(self.dataset), self.batch_size or 1)  # type: ignore[arg-type]
            return full + (rest > 0 and not self.drop_last)
        return len(self._indices)

    def set_epoch(self, epoch: int, skip: int = 0) -> None:
        """The next `iter` is epoch number `epoch`, without its first `skip` batches."""
        if epoch < 0 or skip < 0:
            raise ValueError(f"set_epoch: expected numbers from 0 on, got {epoch}, skip={skip}")
        set_epoch(self._indices, epoch)
        self._skip = skip

    def __iter__(self) -> Iterator:
        if isinstance(self.dataset, IterableDataset):
            batches = islice(self._iterate_stream(), self._skip, None)
            self._skip = 0
            return batches
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
        if hasattr(dataset, "__getitems__"):  # for datasets that read several at once
            return lambda indices: collate(dataset.__getitems__(indices))
        return lambda indices: collate([dataset[i] for i in indices])

    def _iterate_stream(self) -> Iterator:
        def read(dataset: Any) -> Iterator:
            return read_stream(dataset, self.batch_size, self.drop_last, self.collate_fn)

        if self.num_workers == 0:
            return read(self.dataset)
        ahead = self.prefetch_factor or 2
        return read_streams(self.dataset, read, self.num_workers, ahead, self.worker_init_fn)

    def _iterate_threads(self, fetch: Callable, indices: Iterator) -> Iterator:
        from concurrent.futures import ThreadPoolExecutor

        numbers, seed = count(), minidl.initial_seed()

        def work(index: Any, grad: bool) -> Any:
            if get_worker_info() is None:
                n = next(numbers)
                info = WorkerInfo(n, self.num_workers, seed + n, self.dataset)
                start_worker(info, self.worker_init_fn)
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


__getattr__ = lookup(globals())
