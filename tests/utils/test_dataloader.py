"""The loader: which batches, in which order, with and without threads."""

import threading
import time
import traceback

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl
from minidl.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    get_worker_info,
    random_split,
)


def seeded(seed):
    generator = minidl.Generator()
    generator.manual_seed(seed)
    return generator


def rows(n):
    return TensorDataset(minidl.arange(2.0 * n).reshape(n, 2), minidl.arange(n))


class Slow(Dataset):
    """Items that take longer the earlier they come, so that threads overtake each other."""

    def __init__(self, n):
        self.n = n

    def __getitem__(self, index):
        time.sleep(0.0005 * (self.n - index))
        return index, np.full(2, index)

    def __len__(self):
        return self.n


def lists(loader):
    return [[part.tolist() for part in batch] for batch in loader]


loaders = st.fixed_dictionaries(
    {
        "n": st.integers(1, 12),
        "batch_size": st.integers(1, 5),
        "shuffle": st.booleans(),
        "drop_last": st.booleans(),
        "seed": st.integers(0, 1000),
        "workers": st.integers(1, 4),
    }
)


@settings(deadline=None)
@given(loaders)
def test_every_item_once_and_threads_change_nothing(config):
    n, size = config["n"], config["batch_size"]

    def loader(dataset, workers):
        return DataLoader(
            dataset,
            size,
            config["shuffle"],
            num_workers=workers,
            drop_last=config["drop_last"],
            generator=seeded(config["seed"]),
        )

    plain, threads = loader(rows(n), 0), loader(rows(n), config["workers"])
    for _ in range(2):
        batches = lists(plain)
        assert batches == lists(threads)
        assert len(batches) == len(plain)
        seen = [i for _, labels in batches for i in labels]
        expected = n - n % size if config["drop_last"] else n
        assert len(seen) == len(set(seen)) == expected
        assert all(len(labels) == size for _, labels in batches[: n // size])
        assert config["shuffle"] or seen == sorted(seen)
        for x, labels in batches:
            assert x == [[2.0 * i, 2.0 * i + 1] for i in labels]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_threads_keep_the_order_when_they_overtake(workers):
    expected = lists(DataLoader(Slow(20), 3, True, generator=seeded(1)))
    assert lists(DataLoader(Slow(20), 3, True, num_workers=workers, generator=seeded(1))) == (
        expected
    )


def test_threads_load_at_the_same_time():
    """Two items that wait for each other can only come if two threads load them."""
    both = threading.Barrier(2)

    class Meeting(Dataset):
        def __getitem__(self, index):
            both.wait(timeout=10)
            return index

        def __len__(self):
            return 2

    assert [batch.item() for batch in DataLoader(Meeting(), num_workers=2)] == [0, 1]


def test_threads_load_ahead_only_so_far():
    loaded = []

    class Counting(Dataset):
        def __getitem__(self, index):
            loaded.append(index)
            return index

        def __len__(self):
            return 1000

    iterator = iter(DataLoader(Counting(), num_workers=2, prefetch_factor=3))
    next(iterator)
    time.sleep(0.05)
    iterator.close()
    assert len(loaded) <= 7


def test_closing_drops_what_is_still_to_load():
    loaded, go_on = [], threading.Event()

    class Waiting(Dataset):
        def __getitem__(self, index):
            loaded.append(index)
            if index > 0:
                go_on.wait(timeout=10)
            return index

        def __len__(self):
            return 1000

    iterator = iter(DataLoader(Waiting(), num_workers=1, prefetch_factor=8))
    next(iterator)
    iterator.close()
    go_on.set()
    for thread in loader_threads():
        thread.join(timeout=5)
    assert len(loaded) <= 2


@given(
    st.integers(1, 12),
    st.integers(1, 4),
    st.integers(0, 50),
    st.integers(0, 3),
    st.integers(0, 14),
    st.sampled_from([0, 2]),
)
@settings(deadline=None)
def test_resume_skips_without_loading(n, size, seed, epoch, skip, workers):
    """A new loader at (epoch, skip) gives what the old one would have given from there."""
    old = DataLoader(rows(n), size, True, generator=seeded(seed))
    runs = [lists(old) for _ in range(epoch + 2)]

    loaded = []

    class Watched(Dataset):
        def __getitem__(self, index):
            loaded.append(index)
            return rows(n)[index]

        def __len__(self):
            return n

    new = DataLoader(Watched(), size, True, num_workers=workers, generator=seeded(seed))
    new.set_epoch(epoch, skip=skip)
    assert lists(new) == runs[epoch][skip:]
    assert len(loaded) == sum(len(labels) for _, labels in runs[epoch][skip:])
    assert lists(new) == runs[epoch + 1]  # the epoch after it is whole again


def test_order_follows_the_global_seed_and_nothing_else():
    minidl.manual_seed(11)
    first = lists(DataLoader(rows(30), 7, True))
    minidl.manual_seed(11)
    minidl.rand(100)
    assert lists(DataLoader(rows(30), 7, True)) == first
    loader = DataLoader(rows(30), 7, True)
    minidl.manual_seed(12)
    assert lists(loader) != first


def test_stopping_early_counts_the_epoch():
    loader = DataLoader(rows(20), 4, True, num_workers=2, generator=seeded(0))
    whole = DataLoader(rows(20), 4, True, generator=seeded(0))
    next(iter(loader))
    lists(whole)
    assert lists(loader) == lists(whole)


def test_two_iterators_at_a_time_do_not_disturb_each_other():
    loader = DataLoader(rows(12), 3, True, generator=seeded(0))
    a, b = iter(loader), iter(loader)
    mixed = [(next(a)[1].tolist(), next(b)[1].tolist()) for _ in range(4)]
    again = DataLoader(rows(12), 3, True, generator=seeded(0))
    apart = [[labels for _, labels in lists(again)] for _ in range(2)]
    assert [list(epoch) for epoch in zip(*mixed, strict=True)] == apart


class Bad(Dataset):
    def __getitem__(self, index):
        if index == 5:
            raise_here()
        return index

    def __len__(self):
        return 9


def raise_here():
    raise KeyError("the fifth item is broken")


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_error_surfaces_at_its_batch_with_its_traceback(workers):
    loader = DataLoader(Bad(), 2, num_workers=workers)
    got = []
    with pytest.raises(KeyError, match="the fifth item") as error:
        for batch in loader:
            got.append(batch.tolist())
    assert got == [[0, 1], [2, 3]]
    frames = [frame.name for frame in traceback.extract_tb(error.value.__traceback__)]
    assert frames[-2:] == ["__getitem__", "raise_here"]


def loader_threads():
    return [t for t in threading.enumerate() if t.name.startswith("minidl-loader")]


def test_threads_end():
    for stop_after in (1, None):
        for i, _ in enumerate(DataLoader(Slow(12), 2, num_workers=3)):
            if i == stop_after:
                break
        for thread in loader_threads():
            thread.join(timeout=5)
        assert loader_threads() == []


def test_threads_take_the_grad_mode_of_the_caller():
    x = minidl.ones(4, 2, requires_grad=True)
    for workers in (0, 2):
        loader = DataLoader(TensorDataset(x), 2, num_workers=workers)
        assert next(iter(loader))[0].requires_grad
        with minidl.no_grad():
            assert not next(iter(loader))[0].requires_grad


def test_worker_init_fn_runs_once_in_each_thread():
    calls = []
    meet = threading.Barrier(3)

    def init(number):
        calls.append((number, threading.get_ident()))
        meet.wait(timeout=10)  # so that each of the three threads takes part

    list(DataLoader(range(9), num_workers=3, worker_init_fn=init))
    assert sorted(number for number, _ in calls) == [0, 1, 2]
    assert len({thread for _, thread in calls}) == 3


def test_tensors_are_indexed_once_a_batch(monkeypatch):
    """The short way for tensors, also behind subsets, gives what the long way gives."""
    base = rows(40)
    subset, _ = random_split(base, [30, 10], seeded(0))
    nested = Subset(subset, range(29, 4, -1))

    def long_way(batch):
        return [minidl.stack([item[k] for item in batch]) for k in range(2)]

    for dataset in (base, subset, nested, ConcatDataset([base, subset])):
        slow = DataLoader(dataset, 7, True, collate_fn=long_way, generator=seeded(2))
        fast = DataLoader(dataset, 7, True, generator=seeded(2))
        assert lists(fast) == lists(slow)

    def refuse(self, index):
        raise AssertionError("an item was asked for")

    monkeypatch.setattr(TensorDataset, "__getitem__", refuse)
    for dataset in (base, subset, nested):
        lists(DataLoader(dataset, 7))


def test_subclass_with_its_own_items_is_asked_for_them():
    class Doubled(TensorDataset):
        def __getitem__(self, index):
            return tuple(2 * part for part in super().__getitem__(index))

    data = Doubled(minidl.arange(4))
    assert lists(DataLoader(data, 4)) == [[[0, 2, 4, 6]]]
    assert lists(DataLoader(Subset(data, [3]), 4)) == [[[6]]]


def test_batches_are_copies():
    source = minidl.zeros(4)
    for (batch,) in DataLoader(TensorDataset(source), 4):
        batch.fill_(1.0)
    assert source.tolist() == [0.0] * 4


def test_samplers_and_batch_samplers():
    assert lists(DataLoader(rows(9), 2, sampler=[8, 0, 1]))[0][1] == [8, 0]
    batches = [[1, 1], [], [5]][::2]
    loader = DataLoader(rows(9), batch_sampler=batches)
    assert [labels for _, labels in lists(loader)] == [[1, 1], [5]] and len(loader) == 2
    with pytest.raises(ValueError, match="empty"):
        lists(DataLoader(rows(9), batch_sampler=[[]]))
    loader = DataLoader(range(9), 2, sampler=SubsetRandomSampler([3, 4, 5, 6], seeded(0)))
    first = [batch.tolist() for batch in loader]
    loader.set_epoch(0, skip=1)
    assert [batch.tolist() for batch in loader] == first[1:]


def test_without_batches():
    loader = DataLoader([np.zeros(2), "text"], batch_size=None)
    first, second = loader
    assert isinstance(first, minidl.Tensor) and second == "text" and len(loader) == 2
    loader = DataLoader(range(5), batch_size=None, shuffle=True, generator=seeded(0))
    assert sorted(loader) == list(range(5))


def test_accepts_what_pytorch_accepts():
    loader = DataLoader(
        range(4),
        2,
        False,
        None,
        None,
        0,
        None,
        True,
        False,
        0,
        None,
        None,
        None,
        prefetch_factor=None,
        persistent_workers=False,
        pin_memory_device="",
        in_order=True,
    )
    assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3]]


def test_empty_dataset():
    assert list(DataLoader([], 4)) == [] and len(DataLoader([], 4)) == 0
    with pytest.raises(ValueError, match="cannot shuffle an empty dataset"):
        DataLoader([], 4, shuffle=True)


@pytest.mark.parametrize("size", [0, -3, 2.5])
def test_batch_size_error(size):
    with pytest.raises(ValueError, match=f"batch_size must be a positive integer, got {size}"):
        DataLoader(range(4), size)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_workers": -1}, "num_workers must not be negative"),
        ({"sampler": [1], "shuffle": True}, "either a sampler or shuffle"),
        ({"batch_sampler": [[1]], "batch_size": 2}, "batch_sampler excludes"),
        ({"batch_sampler": [[1]], "drop_last": True}, "batch_sampler excludes"),
        ({"batch_size": None, "drop_last": True}, "drop_last is out"),
    ],
)
def test_arguments_that_exclude_each_other(arguments, message):
    with pytest.raises(ValueError, match=message):
        DataLoader(range(4), **arguments)


def test_unknown_argument_and_useless_dataset():
    with pytest.raises(TypeError, match="shufle"):
        DataLoader(range(4), shufle=True)
    with pytest.raises(TypeError, match="generator has none"):
        DataLoader(i for i in range(3))

    class Endless:
        def __getitem__(self, index):
            return index

    with pytest.raises(TypeError, match="Endless has no __len__"):
        DataLoader(Endless())
    assert [int(b) for b in DataLoader(Endless(), sampler=[7, 8])] == [7, 8]
    with pytest.raises(ValueError, match="from 0 on"):
        DataLoader(range(4)).set_epoch(-1)


def test_random_sampler_given_by_hand_is_shuffle():
    by_hand = DataLoader(rows(9), 2, sampler=RandomSampler(range(9), generator=seeded(4)))
    assert lists(by_hand) == lists(DataLoader(rows(9), 2, shuffle=True, generator=seeded(4)))


# streams


class Numbers(IterableDataset):
    """0, ..., n - 1; with `share`, in each thread the part that get_worker_info gives it."""

    def __init__(self, n, share=False):
        self.n, self.share = n, share

    def __iter__(self):
        info = get_worker_info() if self.share else None
        return iter(range(self.n) if info is None else range(info.id, self.n, info.num_workers))

    def __len__(self):
        return self.n


@pytest.mark.parametrize("drop_last", [False, True])
def test_stream(drop_last):
    loader = DataLoader(Numbers(5), batch_size=2, drop_last=drop_last)
    expected = [[0, 1], [2, 3]] + ([] if drop_last else [[4]])
    assert [batch.tolist() for batch in loader] == expected
    assert len(loader) == len(expected)
    assert list(DataLoader(Numbers(3), batch_size=None)) == [0, 1, 2]
    loader.set_epoch(0, skip=1)
    assert [batch.tolist() for batch in loader] == expected[1:]
    assert [batch.tolist() for batch in loader] == expected


def test_threads_take_turns_at_a_stream():
    loader = DataLoader(Numbers(7, share=True), batch_size=2, num_workers=2)
    assert [b.tolist() for b in loader] == [[0, 2], [1, 3], [4, 6], [5]]
    whole = DataLoader(Numbers(2), batch_size=2, num_workers=3)
    assert [b.tolist() for b in whole] == [[0, 1]] * 3  # no share: each thread gives everything


def test_a_worker_has_its_own_copy_of_the_stream():
    data = Numbers(6)

    def shorten(number):
        info = get_worker_info()
        assert (info.id, info.num_workers) == (number, 2)
        info.dataset.n = number + 1

    loader = DataLoader(data, batch_size=None, num_workers=2, worker_init_fn=shorten)
    assert list(loader) == [0, 0, 1]
    assert data.n == 6
    assert get_worker_info() is None


def test_workers_of_an_indexed_dataset_know_themselves():
    class Seen(Dataset):
        def __len__(self):
            return 40

        def __getitem__(self, i):
            info = get_worker_info()
            return (-1, 0) if info is None else (info.id, info.seed - minidl.initial_seed())

    assert {tuple(x) for x in DataLoader(Seen(), batch_size=None)} == {(-1, 0)}
    found = {tuple(x) for x in DataLoader(Seen(), batch_size=None, num_workers=2)}
    assert found <= {(0, 0), (1, 1)}


def test_an_error_in_a_stream_is_raised_where_the_batch_is_asked_for():
    class Broken(IterableDataset):
        def __iter__(self):
            yield 1
            raise OSError("disk full")

    for workers in (0, 2):
        batches = iter(DataLoader(Broken(), num_workers=workers))
        assert next(batches).tolist() == [1]
        with pytest.raises(OSError, match="disk full"):
            list(batches)


def test_a_stream_has_its_own_order():
    for options in ({"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}):
        with pytest.raises(ValueError, match="its own order"):
            DataLoader(Numbers(3), **options)


def test_a_dataset_that_reads_several_items_at_once():
    class Rows(Dataset):
        def __len__(self):
            return 4

        def __getitems__(self, indices):
            return [10 * i for i in indices]

    assert [b.tolist() for b in DataLoader(Rows(), batch_size=3)] == [[0, 10, 20], [30]]
