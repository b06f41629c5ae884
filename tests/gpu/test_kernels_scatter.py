"""Reading and adding at positions by CUDA kernels, run by the shim."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import ops
from minidl.nn import functional as F
from minidl.tape import named
from minidl.testing import standin, to_numpy
from tests.gpu.parity import SPECIAL, check, layouts, on_shim
from tests.gpu.sources import needs_gxx
from tests.parity import kernels_used

pytestmark = needs_gxx
OPS = {"unindex", "add_at", "gather", "scatter_add"}
COUNTS = (1, 2, 31, 32, 33, 100)  # around the number from which positions are sorted
INTEGERS = ("int64", "int32", "int16", "uint8")


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def positions(high, *shape, low=0, kind="int64"):
    return np.random.default_rng(4).integers(low, high, shape).astype(kind)


@st.composite
def shapes(draw, dims=3):
    """Up to three sizes, one of them to be indexed, and how many positions there are."""
    shape = draw(st.lists(st.sampled_from((1, 2, 3, 7, 17)), min_size=1, max_size=dims))
    return tuple(shape), draw(st.integers(0, len(shape) - 1)), draw(st.sampled_from(COUNTS))


@given(shape=shapes(), layout=layouts, kind=st.sampled_from(INTEGERS[:3]), signs=st.booleans())
def test_slices_as_the_definition(shape, layout, kind, signs):
    """x[:, rows] and its derivative, with positions counted from the end too."""
    shape, dim, count = shape
    rows = positions(shape[dim], count, low=-shape[dim] if signs else 0, kind=kind)
    where = (slice(None),) * dim
    check(lambda x, i: x[(*where, i)], numbers(*shape), rows, kernel="unindex", layout=layout)


@given(shape=shapes(), layout=layouts, kind=st.sampled_from(INTEGERS))
def test_added_slices_as_the_definition(shape, layout, kind):
    shape, dim, count = shape
    added = numbers(*shape[:dim], count, *shape[dim + 1 :], seed=1)
    rows = positions(shape[dim], count, kind=kind)
    check(
        lambda x, y, i: ops.index_add(x, dim, i, y),
        numbers(*shape),
        added,
        rows,
        kernel="add_at",
        layout=layout,
    )


@pytest.mark.parametrize("name", ["gather", "scatter_add"])
@given(shape=shapes(), layout=layouts, kind=st.sampled_from(INTEGERS))
def test_numbers_as_the_definition(name, shape, layout, kind):
    shape, dim, count = shape
    chosen = *shape[:dim], count, *shape[dim + 1 :]
    index = positions(shape[dim], *chosen, kind=kind)
    given, options = [numbers(*shape)], {"kernel": name, "layout": layout}
    if name == "gather":
        check(lambda x, i: ops.gather(x, dim, i), *given, index, **options)
    else:
        given.append(numbers(*chosen, seed=1))
        check(lambda x, y, i: ops.scatter_add(x, dim, i, y), *given, index, **options)


@pytest.mark.parametrize("width", [1, 31, 33, 255, 257])
def test_embedding(width):
    rows, table = positions(20, 7, 5), numbers(20, width)
    check(lambda w, i: F.embedding(i, w), table, rows, kernel="unindex")
    check(lambda w, i: F.embedding(i, w, padding_idx=5), table, rows, kernel="unindex")


def test_half():
    table, rows, index = numbers(9, 20), positions(9, 40), positions(9, 50, 20)
    check(lambda w, i: F.embedding(i, w), table, rows, kernel="unindex", types=["float16"])
    check(lambda x, i: ops.gather(x, 0, i), table, index, kernel="gather", types=["float16"])


def test_half_is_added_up_in_float():
    """1 and many numbers of which none changes a half's 1, but all together do."""
    x, y, rows = np.ones((1, 3)), np.full((64, 3), 2e-4), np.zeros(64, int)
    check(lambda x, y, i: ops.index_add(x, 0, i, y), x, y, rows, kernel="add_at", types=["float16"])


@pytest.mark.parametrize("special", SPECIAL)
def test_special_values(special):
    x, y, rows = numbers(9, 5), numbers(40, 5), positions(9, 40)
    y[17, 3] = special
    check(lambda x, y, i: ops.index_add(x, 0, i, y), x, y, rows, kernel="add_at")


@pytest.mark.parametrize("count", [20, 4000])
def test_same_bits_as_adding_one_by_one(count):
    """In float32 the order of additions shows in the bits: it is the order of the positions."""
    rows, g = positions(10, count), numbers(count, 3).astype("f4")
    start = numbers(10, 3).astype("f4")
    expected = start.copy()
    np.add.at(expected, rows, g)
    with on_shim() as device:
        x, i, y = [minidl.tensor(a, device=device) for a in (start, rows, g)]
        slices = ops.index_add(x, 0, i, y)
        single = ops.scatter_add(x, 0, i[:, None].expand(-1, 3), y)
        np.testing.assert_array_equal(to_numpy(slices), expected)
        np.testing.assert_array_equal(to_numpy(single), expected)


@pytest.mark.parametrize("outside", [5, -6, 10**12])
def test_positions_outside_are_wrapped_around(outside):
    """As CuPy does: nothing outside of an array is read or written."""
    with on_shim() as device, kernels_used() as used:
        x = minidl.tensor(numbers(5, 3).astype("f4"), device=device).requires_grad_()
        rows = minidl.full((4,), outside, dtype=minidl.int64, device=device)
        index = rows[:, None].expand(4, 3)
        y = ops.gather(x, 0, index)
        np.testing.assert_array_equal(to_numpy(y), to_numpy(x)[[outside % 5] * 4])
        y.sum().backward()
        assert to_numpy(x.grad)[:, 0].tolist() == [4.0 * (i == outside % 5) for i in range(5)]
        added = ops.index_add(minidl.zeros(5, 3, device=device), 0, rows, y.detach())
        assert to_numpy(added != 0).any(1).tolist() == [i == outside % 5 for i in range(5)]
    assert {"gather", "add_at"} <= set(used)


@pytest.mark.parametrize("kind", ["int64", "int32", "int16", "int8", "uint8"])
@pytest.mark.parametrize("count", [1, 20, 40])
def test_every_kernel_wraps_positions_around(kind, count):
    """Of every type, from either end, few and many."""
    rows = positions(12, count, low=-12 if kind.startswith("i") else 0, kind=kind)
    rows[0] = 11 if kind == "uint8" else -12
    index, g = np.repeat(rows[:, None], 3, 1), numbers(count, 3).astype("f4")
    start = numbers(5, 3, seed=1).astype("f4")
    expected = start.copy()
    np.add.at(expected, rows.astype(int) % 5, g)
    with on_shim() as device, kernels_used() as used:
        x, y, i, at = [minidl.tensor(a, device=device) for a in (start, g, index, rows)]
        np.testing.assert_array_equal(to_numpy(ops.gather(x, 0, i)), start[rows.astype(int) % 5])
        np.testing.assert_array_equal(to_numpy(ops.scatter_add(x, 0, i, y)), expected)
        across = ops.scatter_add(x.T, 1, i.T, y.T)
        np.testing.assert_array_equal(to_numpy(across), expected.T)
        np.testing.assert_array_equal(to_numpy(ops.index_add(x, 0, at, y)), expected)
        added = named("unindex")(y, index=at._array, shape=(5, 3))
        np.testing.assert_allclose(to_numpy(added), expected - start, atol=1e-6)
    assert used >= OPS


def test_a_step_neither_transfers_nor_waits():
    with on_shim() as device, kernels_used() as used:
        table = minidl.randn(11, 4, device=device).requires_grad_()
        rows = minidl.tensor(positions(11, 40), device=device)
        index = minidl.tensor(positions(11, 40, 4), device=device)
        with standin.counted() as counts:
            (F.embedding(rows, table) * ops.gather(table, 0, index)).sum().backward()
    assert (counts.transfers, counts.synchronisations) == (0, 0)
    assert {"unindex", "gather"} <= set(used)


def test_second_derivative():
    def slope(x, call):
        (first,) = minidl.autograd.grad((call(x) ** 3).sum(), x, create_graph=True)
        return first * 1.0

    x, rows, index = numbers(9, 5), positions(9, 40), positions(9, 40, 5)
    check(lambda x, i: slope(x, lambda x: F.embedding(i, x)), x, rows, kernel="unindex")
    check(lambda x, i: slope(x, lambda x: ops.gather(x, 0, i)), x, index, kernel="gather")


def test_other_indices_and_types_are_left_to_the_definition():
    with on_shim() as device, kernels_used() as used:
        x = minidl.randn(5, 4, device=device).requires_grad_()
        rows = minidl.tensor([1, 3], device=device)
        x[rows, rows].sum().backward()
        x[x.detach() > 0].sum().backward()
        x[rows[:0]].sum().backward()
        ops.gather(minidl.ones(5, 4, dtype=minidl.int64, device=device), 0, rows[:, None])
        ops.gather(x, 0, rows[:, None])  # narrower than x
    assert not used & OPS
