"""How a loader reads datasets that are iterated instead of indexed, alone or with threads."""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import minidl


@dataclass
class WorkerInfo:
    """id: 0, ..., num_workers - 1. seed: another one in each thread. dataset: the thread's."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_here = threading.local()


def get_worker_info() -> WorkerInfo | None:
    """What is known of the loader's thread that this runs in; None elsewhere.

    https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.get_worker_info
    """
    return getattr(_here, "info", None)


def start_worker(info: WorkerInfo, init: Callable[[int], Any] | None) -> None:
    """Makes the current thread the worker of this info."""
    _here.info = info
    if init is not None:
        init(info.id)


def read_stream(dataset: Any, size: int | None, drop_last: bool, collate: Callable) -> Iterator:
    """Batches of `size` samples, or single samples where it is None."""
    samples = iter(dataset)
    if size is None:
        yield from map(collate, samples)
        return
    while batch := list(islice(samples, size)):
        if len(batch) == size or not drop_last:
            yield collate(batch)


def read_streams(
    dataset: Any,
    read: Callable[[Any], Iterator],
    num_workers: int,
    ahead: int,
    init: Callable[[int], Any] | None,
) -> Iterator:
    """The batches of `num_workers` threads in turns, each thread `ahead` of what is asked for."""
    from concurrent.futures import ThreadPoolExecutor

    seed, grad = minidl.initial_seed(), minidl.is_grad_enabled()

    def advance(number: int) -> list:
        """The next batch of the current thread in a list; an empty one at the end."""
        if get_worker_info() is None:
            own = copy.copy(dataset)
            start_worker(WorkerInfo(number, num_workers, seed + number, own), init)
            _here.batches = read(own)
        with minidl.set_grad_enabled(grad):  # each thread has its own grad mode
            return list(islice(_here.batches, 1))

    pools = [ThreadPoolExecutor(1, f"minidl-loader-{i}") for i in range(num_workers)]
    try:
        turns = deque(
            (i, pool, deque(pool.submit(advance, i) for _ in range(ahead)))
            for i, pool in enumerate(pools)
        )
        while turns:
            number, pool, waiting = turns.popleft()
            if found := waiting.popleft().result():
                waiting.append(pool.submit(advance, number))
                turns.append((number, pool, waiting))
                yield found[0]
    finally:
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)
