"""In which order the items of a dataset are visited."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import minidl


class Sampler:
    """An iterable of indices with a length."""

    def __iter__(self) -> Iterator:
        raise NotImplementedError(f"{type(self).__name__} needs an __iter__")


class SequentialSampler(Sampler):
    """0, 1, 2, ..."""

    def __init__(self, data_source: Sequence):
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class _ShufflingSampler(Sampler):
    """What the shuffling samplers share: an order that is a function of (seed, epoch).

    The seed is that of `generator`, or of the global generator (`minidl.manual_seed`); neither is
    advanced. Every `iter` is one epoch; `set_epoch(n)` makes the next one epoch n.
    """

    def __init__(self, generator: minidl.Generator | None):
        self.generator = generator
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def _start_epoch(self) -> minidl.Generator:
        """The generator of this epoch; counts the epoch."""
        if self.generator is None:
            seed = minidl.initial_seed()
        else:
            seed = self.generator.initial_seed()
        digest = hashlib.sha256(f"epoch {self.epoch} of seed {seed}".encode()).digest()
        self.epoch += 1
        generator = minidl.Generator()
        generator.manual_seed(int.from_bytes(digest[:8], "little") >> 1)  # 63 bits
        return generator


class RandomSampler(_ShufflingSampler):
    """A permutation of the indices, or with `replacement` independent draws.

    num_samples: how many (default: one pass); more than one pass without replacement are several
    permutations after each other.
    """

    def __init__(
        self,
        data_source: Sequence,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: minidl.Generator | None = None,
    ):
        super().__init__(generator)
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        if len(data_source) == 0:
            raise ValueError("RandomSampler: cannot shuffle an empty dataset")
        if num_samples is not None and (not isinstance(num_samples, int) or num_samples <= 0):
            raise ValueError(f"RandomSampler: num_samples must be positive, got {num_samples}")

    @property
    def num_samples(self) -> int:
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        generator, n = self._start_epoch(), len(self.data_source)
        if self.replacement:
            return iter(minidl.randint(n, (self.num_samples,), generator=generator).tolist())
        passes = -(-self.num_samples // n)
        order = [i for _ in range(passes) for i in minidl.randperm(n, generator=generator).tolist()]
        return iter(order[: self.num_samples])

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(_ShufflingSampler):
    """A permutation of the given indices."""

    def __init__(self, indices: Sequence[int], generator: minidl.Generator | None = None):
        super().__init__(generator)
        self.indices = indices

    def __iter__(self) -> Iterator[int]:
        order = minidl.randperm(len(self.indices), generator=self._start_epoch()).tolist()
        return iter([self.indices[i] for i in order])

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(_ShufflingSampler):
    """num_samples draws of 0, 1, ..., each as likely as its weight; without replacement all
    different.

    https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.WeightedRandomSampler
    """

    def __init__(
        self,
        weights: Sequence[float] | minidl.Tensor,
        num_samples: int,
        replacement: bool = True,
        generator: minidl.Generator | None = None,
    ):
        super().__init__(generator)
        require_positive("WeightedRandomSampler", "num_samples", num_samples)
        self.weights = minidl.as_tensor(weights, dtype=minidl.float64)
        if self.weights.ndim != 1:
            raise ValueError(
                "WeightedRandomSampler: expected a 1-dimensional sequence of weights, got shape "
                f"{tuple(self.weights.shape)}"
            )
        self.num_samples = num_samples
        self.replacement = replacement

    def __iter__(self) -> Iterator[int]:
        generator = self._start_epoch()
        drawn = self.weights.multinomial(self.num_samples, self.replacement, generator=generator)
        return iter(drawn.tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """Lists of `batch_size` indices of `sampler`; a last, shorter one unless `drop_last`."""

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool):
        require_positive("BatchSampler", "batch_size", batch_size)
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def set_epoch(self, epoch: int) -> None:
        set_epoch(self.sampler, epoch)

    def __iter__(self) -> Iterator[list[int]]:
        return self._batches(iter(self.sampler))

    def _batches(self, indices: Iterator[int]) -> Iterator[list[int]]:
        while batch := list(islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        full, rest = divmod(len(self.sampler), self.batch_size)
        return full + (rest > 0 and not self.drop_last)


def require_positive(who: str, name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"{who}: {name} must be a positive integer, got {value!r}")


def set_epoch(sampler: Any, epoch: int) -> None:
    if hasattr(sampler, "set_epoch"):
        sampler.set_epoch(epoch)
