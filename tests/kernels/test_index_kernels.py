"""Kernels that read and add at positions, against NumPy's `add.at` and fancy indexing."""

import numpy as np
import pytest

import minidl
from minidl import kernels, ops
from minidl.nn import functional as F
from tests import parity


def numbers(*shape):
    return np.random.default_rng(3).standard_normal(shape)


def positions(high, *shape, low=0):
    return np.random.default_rng(4).integers(low, high, shape)


def index(high, *shape, low=0, dtype="int64"):
    return minidl.from_numpy(positions(high, *shape, low=low).astype(dtype))


@pytest.mark.parametrize("shape", [(3,), (500,), (7, 41)])
@pytest.mark.parametrize("width", [1, 3, 64, 65, 130])
def test_embedding(shape, width):
    rows, table = index(200, *shape), numbers(200, width)
    parity.check(lambda w: F.embedding(rows, w), table, kernel="unindex")
    parity.check(lambda w: F.embedding(rows, w, padding_idx=5), table, kernel="unindex")


@pytest.mark.parametrize("dtype", ["int32", "uint8", "int16"])
def test_positions_of_any_integer_type(dtype):
    rows = index(100, 70, dtype=dtype)
    parity.check(lambda w: F.embedding(rows, w), numbers(200, 65), kernel="unindex")
    parity.check(lambda x: ops.gather(x, 0, rows[:, None]), numbers(100, 1), kernel="gather")


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_index_select_and_add(dim):
    x = numbers(17, 19, 23)
    places = index(x.shape[dim], 40)
    parity.check(lambda x: ops.index_select(x, dim, places), x, kernel="unindex")
    shape = list(x.shape)
    shape[dim] = 40
    parity.check(lambda x, y: ops.index_add(x, dim, places, y), x, numbers(*shape), kernel="add_at")


def test_positions_from_the_end():
    rows = index(50, 300, low=-50)
    parity.check(lambda x: x[rows], numbers(50, 60), kernel="unindex")
    parity.check(lambda x: x[:, rows], numbers(60, 50), kernel="unindex")


@pytest.mark.parametrize("dim", [0, 1, 2, -2])
def test_gather_and_scatter_add(dim):
    x = numbers(11, 70, 13)
    shape = list(x.shape)
    shape[dim] = 30
    places = index(x.shape[dim], *shape)
    parity.check(lambda x: ops.gather(x, dim, places), x, kernel="gather")
    parity.check(
        lambda x, y: ops.scatter_add(x, dim, places, y), x, numbers(*shape), kernel="scatter_add"
    )


@pytest.mark.parametrize("width", [64, 65, 128, 129])
def test_slices_of_several_pieces(width):
    x, places = numbers(3, 4, width), index(4, 3, 6, width)
    parity.check(lambda x: ops.gather(x, 1, places), x, kernel="gather")
    parity.check(
        lambda x, y: ops.scatter_add(x, 1, places, y),
        x, numbers(3, 6, width), kernel="scatter_add",
    )  # fmt: skip


def test_in_any_layout():
    rows, places = index(30, 90), index(30, 12, 30)
    for x in parity.layouts(numbers(30, 80)):
        parity.check(lambda x: F.embedding(rows, x), x, kernel="unindex")
    for x in parity.layouts(numbers(12, 30)):
        parity.check(lambda x: ops.gather(x, 1, places), x, kernel="gather")


def test_same_bits_as_adding_one_by_one():
    """In float32 the order of additions shows in the bits: it is the order of the positions."""
    rows, g = positions(10, 4000), numbers(4000, 100).astype("f4")
    expected = np.zeros((10, 100), "f4")
    np.add.at(expected, rows, g)
    w = minidl.zeros(10, 100, requires_grad=True)
    F.embedding(minidl.from_numpy(rows), w).backward(minidl.from_numpy(g))
    np.testing.assert_array_equal(w.grad.numpy(), expected)


def test_same_bits_on_any_number_of_threads():
    rows, places = index(20, 3000), index(20, 20, 150)
    parity.same_bits(lambda x: F.embedding(rows, x), numbers(20, 150))
    parity.same_bits(lambda x: ops.gather(x, 0, places), numbers(20, 150))
    parity.same_bits(lambda x: ops.gather(x, 1, places[:, :20]), numbers(20, 20))


def test_second_derivative():
    rows, places = index(50, 300), index(50, 50, 60)

    def slope(x, function):
        (first,) = minidl.autograd.grad((function(x) ** 3).sum(), x, create_graph=True)
        return first * 1.0

    parity.check(lambda x: slope(x, lambda x: F.embedding(rows, x)), numbers(50, 60))
    parity.check(lambda x: slope(x, lambda x: ops.gather(x, 0, places)), numbers(50, 60))


@pytest.mark.parametrize("bad", [50, -51])
def test_positions_outside_are_refused(bad):
    x = minidl.zeros(50, 60)
    places = minidl.full((60,), 3, dtype=minidl.int64)
    places[7] = bad
    message = str(bad)
    with pytest.raises(IndexError, match=message):
        x[places]
    with pytest.raises(IndexError, match=message):
        ops.index_add(x, 0, places, minidl.zeros(60, 60))
    with pytest.raises(IndexError, match=message):
        ops.gather(x, 0, places.reshape(1, 60))
    with pytest.raises(IndexError, match=message):
        ops.scatter_add(x, 0, places.reshape(1, 60), minidl.zeros(1, 60))


def test_numbers_that_the_kernels_refuse():
    """Masks, several arrays, smaller or empty indices: NumPy's own indexing runs."""
    x = numbers(40, 60)
    rows, columns = index(40, 9), index(60, 9)
    mask = minidl.from_numpy(x > 0)
    short = index(40, 5, 7)
    with parity.kernels_used() as used:
        parity.check(lambda x: x[rows, columns], x)
        parity.check(lambda x: x[mask], x)
        parity.check(lambda x: ops.gather(x, 0, short), x)
        parity.check(lambda x: x[rows[:0]], x)
        ops.gather(minidl.zeros(0, 3), 0, minidl.zeros(0, 3, dtype=minidl.int64))
    assert not used & {"unindex", "gather"}


def test_reading_rows_runs_the_kernel():
    take = kernels.function("take")
    x = numbers(40, 60).astype("f4")
    rows = positions(40, 8)
    np.testing.assert_array_equal(take(x, (rows,)), x[rows])
    np.testing.assert_array_equal(take(x, (slice(None), rows)), x[:, rows])
    np.testing.assert_array_equal(take(x, rows), x[rows])
    np.testing.assert_array_equal(take(x, (rows[:1],)), x[rows[:1]])
    np.testing.assert_array_equal(take(x[:, :2].copy(), (rows,)), x[rows, :2])


def test_what_reading_leaves_to_numpy():
    """Above all a position outside, which compiled code would read without a word."""
    take = kernels.function("take")
    x = numbers(40, 60).astype("f4")
    for bad in (40, -41):
        assert take(x, (np.array([3, bad]),)) is None
    for bad in (60, -61):
        assert take(x, (slice(None), np.array([3, bad]))) is None
    rows = positions(40, 8)
    assert take(x, (rows, slice(1, 3))) is None
    assert take(x, (rows, rows)) is None
    assert take(x.astype(float), (rows,)) is None
    assert take(x[:0], (slice(None), rows)) is None
