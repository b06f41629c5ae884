"""Datasets, samplers and collation."""

from collections import Counter, OrderedDict, namedtuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl.utils.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    StackDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    default_convert,
    random_split,
)


def seeded(seed):
    generator = minidl.Generator()
    generator.manual_seed(seed)
    return generator


# datasets


def test_tensor_dataset():
    x, y = minidl.arange(6.0).reshape(3, 2), minidl.tensor([7, 8, 9])
    data = TensorDataset(x, y)
    assert len(data) == 3
    row, label = data[-1]
    assert row.tolist() == [4.0, 5.0] and label.item() == 9


def test_tensor_dataset_errors():
    with pytest.raises(minidl.ShapeError, match=r"equally long, got shapes \(3, 2\), \(4,\)"):
        TensorDataset(minidl.zeros(3, 2), minidl.zeros(4))
    with pytest.raises(minidl.ShapeError, match="first dimension"):
        TensorDataset(minidl.tensor(1.0))
    with pytest.raises(TypeError, match=r"got ndarray.*from_numpy"):
        TensorDataset(np.zeros(3))
    with pytest.raises(ValueError, match="at least one tensor"):
        TensorDataset()


@given(st.lists(st.lists(st.integers(), max_size=4), min_size=1, max_size=5))
def test_concat_dataset_is_the_sum_of_lists(parts):
    flat, data = [item for part in parts for item in part], ConcatDataset(parts)
    assert len(data) == len(flat)
    assert [data[i] for i in range(len(flat))] == flat
    assert [data[-1 - i] for i in range(len(flat))] == flat[::-1]
    for outside in (len(flat), -len(flat) - 1):
        with pytest.raises(IndexError, match="out of range"):
            data[outside]


def test_datasets_are_added():
    class Squares(Dataset):
        def __getitem__(self, index):
            return index**2

        def __len__(self):
            return 3

    data = Squares() + Subset("abc", [2, 0])
    assert [data[i] for i in range(len(data))] == [0, 1, 4, "c", "a"]
    with pytest.raises(ValueError, match="at least one dataset"):
        ConcatDataset([])
    with pytest.raises(NotImplementedError, match="Dataset needs a __getitem__"):
        Dataset()[0]


@given(st.lists(st.integers(0, 8), min_size=1, max_size=5), st.integers(0, 100))
def test_random_split_parts_the_items(lengths, seed):
    if sum(lengths) == 1:
        lengths.append(1)  # lengths that sum to 1 are fractions
    n = sum(lengths)
    parts = random_split(range(n), lengths, seeded(seed))
    assert [len(part) for part in parts] == lengths
    items = [part[i] for part in parts for i in range(len(part))]
    assert sorted(items) == list(range(n))
    again = random_split(range(n), lengths, seeded(seed))
    assert [part.indices for part in again] == [part.indices for part in parts]


def test_random_split_shuffles_and_follows_the_global_seed():
    minidl.manual_seed(3)
    first, rest = random_split(range(100), [50, 50])
    assert first.indices != sorted(first.indices)
    minidl.manual_seed(3)
    assert random_split(range(100), [50, 50])[1].indices == rest.indices


@pytest.mark.parametrize(
    "n, fractions, lengths",
    [
        (10, [0.3, 0.3, 0.4], [3, 3, 4]),
        (10, [0.33, 0.33, 0.34], [4, 3, 3]),
        (11, [0.5, 0.5], [6, 5]),
        (7, [1.0], [7]),
    ],
)
def test_random_split_fractions(n, fractions, lengths):
    assert [len(part) for part in random_split(range(n), fractions)] == lengths


def test_random_split_errors():
    for lengths in ([3, 3], [0.5, 0.2], [12, -2], [0.7, 0.7], [2.5, 7.5]):
        with pytest.raises(ValueError, match="must sum to 10"):
            random_split(range(10), lengths)
    with pytest.raises(ValueError, match="must not be negative"):
        random_split(range(10), [1.5, -0.5])
    with pytest.warns(UserWarning, match="an empty subset"):
        random_split(range(1), [0.5, 0.5])


# samplers


@given(st.integers(1, 40), st.integers(0, 2**40), st.integers(0, 1000))
def test_random_sampler_is_a_function_of_seed_and_epoch(n, seed, epoch):
    def order(sampler):
        sampler.set_epoch(epoch)
        return list(sampler)

    sampler = RandomSampler(range(n), generator=seeded(seed))
    first = order(sampler)
    assert sorted(first) == list(range(n))
    used = seeded(seed)
    minidl.rand(7, generator=used)  # what was drawn before has no part in it
    assert order(RandomSampler(range(n), generator=used)) == first
    assert order(sampler) == first


def test_random_sampler_epochs_and_seeds_differ():
    sampler = RandomSampler(range(50), generator=seeded(0))
    epochs = [tuple(sampler) for _ in range(20)]
    assert len(set(epochs)) == 20
    assert sampler.epoch == 20
    assert tuple(RandomSampler(range(50), generator=seeded(1))) not in epochs
    minidl.manual_seed(0)
    assert tuple(RandomSampler(range(50))) == epochs[0]


def test_random_sampler_is_uniform():
    """Each item is as often first, and each pair as often in order, as chance has it."""
    sampler = RandomSampler(range(4), generator=seeded(0))
    orders = [tuple(sampler) for _ in range(2400)]
    counts = Counter(orders)
    assert len(counts) == 24
    chi_square = sum((count - 100) ** 2 / 100 for count in counts.values())
    assert chi_square < 49.7  # 23 degrees of freedom, 0.1 %


def test_random_sampler_does_not_advance_any_generator():
    minidl.manual_seed(5)
    generator = seeded(5)
    before = [minidl.get_rng_state().tolist(), generator.get_state().tolist()]
    list(RandomSampler(range(9)))
    list(RandomSampler(range(9), generator=generator))
    list(SubsetRandomSampler(range(9), generator))
    assert [minidl.get_rng_state().tolist(), generator.get_state().tolist()] == before


def test_random_sampler_num_samples():
    sampler = RandomSampler(range(3), num_samples=8, generator=seeded(0))
    order = list(sampler)
    assert len(sampler) == len(order) == 8
    assert sorted(order[:3]) == sorted(order[3:6]) == [0, 1, 2]
    draws = list(RandomSampler(range(3), True, 300, seeded(0)))
    assert len(draws) == 300 and min(Counter(draws).values()) > 60 and set(draws) == {0, 1, 2}


def test_random_sampler_errors():
    with pytest.raises(ValueError, match="empty dataset"):
        RandomSampler([])
    with pytest.raises(ValueError, match="num_samples must be positive, got 0"):
        RandomSampler(range(3), num_samples=0)


def test_subset_random_sampler():
    sampler = SubsetRandomSampler([5, 6, 9], seeded(0))
    epochs = [tuple(sampler) for _ in range(40)]
    assert len(sampler) == 3 and set(map(frozenset, epochs)) == {frozenset((5, 6, 9))}
    assert len(set(epochs)) == 6
    sampler.set_epoch(0)
    assert tuple(sampler) == epochs[0]


@given(st.integers(0, 20), st.integers(1, 8), st.booleans())
def test_batch_sampler(n, batch_size, drop_last):
    batches = list(sampler := BatchSampler(SequentialSampler(range(n)), batch_size, drop_last))
    assert len(batches) == len(sampler)
    flat = [i for batch in batches for i in batch]
    assert flat == list(range(n - n % batch_size if drop_last else n))
    assert all(len(batch) == batch_size for batch in batches[: n // batch_size])


@pytest.mark.parametrize("size", [0, -1, 2.0, True, None])
def test_batch_sampler_size(size):
    with pytest.raises(ValueError, match="batch_size must be a positive integer"):
        BatchSampler(range(3), size, False)


# collation


def same(a, b):
    assert isinstance(a, minidl.Tensor) and a.dtype == b.dtype
    assert a.tolist() == b.tolist()


def test_collate_numbers():
    same(default_collate([1, 2]), minidl.tensor([1, 2]))
    same(default_collate([True, False]), minidl.tensor([True, False]))
    same(default_collate([1.5, 2.0]), minidl.tensor([1.5, 2.0], dtype=minidl.float64))
    same(default_collate([np.float32(1), np.float32(2)]), minidl.tensor([1.0, 2.0]))
    same(default_collate([np.int16(1)]), minidl.tensor([1], dtype=minidl.int16))


def test_collate_arrays_and_tensors():
    arrays = [np.full((2, 3), i, np.uint8) for i in range(4)]
    same(default_collate(arrays), minidl.from_numpy(np.stack(arrays)))
    same(default_collate([minidl.from_numpy(a) for a in arrays]), minidl.tensor(np.stack(arrays)))


def test_collate_stacks_copies():
    source = np.zeros((2, 2), np.float32)
    default_collate(list(source)).fill_(1.0)
    assert source.sum() == 0


Point = namedtuple("Point", "x label")


def test_collate_nested():
    batch = [(Point(np.float32(i), "ab"[i]), {"a": [i, i + 1.0]}) for i in range(2)]
    points, rest = default_collate(batch)
    assert type(points) is Point and tuple(points.label) == ("a", "b")
    same(points.x, minidl.tensor([0.0, 1.0]))
    same(rest["a"][0], minidl.tensor([0, 1]))
    same(rest["a"][1], minidl.tensor([1.0, 2.0], dtype=minidl.float64))
    ordered = default_collate([OrderedDict(b=1, a=2)])
    assert type(ordered) is OrderedDict and list(ordered) == ["b", "a"]


def test_collate_errors():
    with pytest.raises(minidl.ShapeError, match=r"sample 0 has shape \(2,\), sample 1 has \(3,\)"):
        default_collate([np.zeros(2), np.zeros(3)])
    with pytest.raises(minidl.ShapeError, match="sample 2 has"):
        default_collate([minidl.zeros(2), minidl.zeros(2), minidl.zeros(2, 1)])
    with pytest.raises(minidl.ShapeError, match="sample 0 has length 2, sample 1 has 1"):
        default_collate([(1, 2), (1,)])
    with pytest.raises(TypeError, match=r"got NoneType.*collate_fn"):
        default_collate([(1, None)])
    with pytest.raises(ValueError, match="empty"):
        default_collate([])


def test_convert():
    tensor = minidl.zeros(2)
    converted = default_convert({"a": (np.arange(2), 3, "s"), "b": Point(np.float32(1), tensor)})
    same(converted["a"][0], minidl.arange(2))
    assert converted["a"][1:] == [3, "s"]
    assert type(converted["b"]) is Point and converted["b"].label is tensor
    assert converted["b"].x.item() == 1.0


# what was stacked, weighted, streamed


def test_stack_dataset():
    images, labels = [1.0, 2.0, 3.0], ["a", "b", "c"]
    pairs, named = StackDataset(images, labels), StackDataset(image=images, label=labels)
    assert len(pairs) == len(named) == 3
    assert pairs[1] == (2.0, "b")
    assert named[-1] == {"image": 3.0, "label": "c"}
    with pytest.raises(ValueError, match=r"equally long, got \[3, 2\]"):
        StackDataset(images, labels[:2])
    for args, kwargs in (((), {}), ((images,), {"label": labels})):
        with pytest.raises(ValueError, match="either datasets or named datasets"):
            StackDataset(*args, **kwargs)


def test_weighted_random_sampler():
    weights = [0.0, 1.0, 3.0]
    sampler = WeightedRandomSampler(weights, 4000, generator=seeded(3))
    counts = Counter(sampler)
    assert len(sampler) == sum(counts.values()) == 4000
    assert set(counts) == {1, 2}
    assert abs(counts[2] / 4000 - 0.75) < 0.03
    first, second = list(sampler), list(sampler)
    assert first != second
    sampler.set_epoch(1)
    assert list(sampler) == first
    assert sorted(WeightedRandomSampler(weights, 2, replacement=False)) == [1, 2]
    assert len(list(WeightedRandomSampler(minidl.tensor(weights), 5))) == 5
    with pytest.raises(ValueError, match="num_samples must be a positive integer"):
        WeightedRandomSampler(weights, 0)
    with pytest.raises(ValueError, match="1-dimensional"):
        WeightedRandomSampler([weights], 2)
    with pytest.raises(ValueError, match="replacement=True"):
        iter(WeightedRandomSampler(weights, 3, replacement=False))


class Numbers(IterableDataset):
    def __init__(self, start, stop):
        self.start, self.stop = start, stop

    def __iter__(self):
        return iter(range(self.start, self.stop))

    def __len__(self):
        return self.stop - self.start


def test_chained_streams():
    both = Numbers(0, 3) + Numbers(10, 12)
    assert isinstance(both, ChainDataset) and isinstance(both, Dataset)
    assert list(both) == [0, 1, 2, 10, 11]
    assert list(both) == [0, 1, 2, 10, 11]
    assert len(both) == 5
    with pytest.raises(TypeError, match="ConcatDataset takes"):
        ChainDataset([[1, 2]])
    with pytest.raises(TypeError, match="use ChainDataset"):
        ConcatDataset([Numbers(0, 3)])
