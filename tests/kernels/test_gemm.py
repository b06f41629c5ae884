"""Matrix products split over threads."""

import threading

import numpy as np
import pytest

from minidl.kernels.cpu import gemm, threads

SIZES = [(1, 1, 1), (3, 5, 7), (33, 1, 65), (1, 700, 900), (900, 700, 1), (257, 129, 131)]
SIZES += [(64, 100, 600), (600, 100, 64)]  # split by columns, by rows


@pytest.fixture(params=["blas", "numpy"], autouse=True)
def library(request, monkeypatch):
    """With the OpenBLAS in NumPy's wheel, and with a NumPy that has another."""
    if request.param == "numpy":
        monkeypatch.setattr(gemm, "library", None)
        monkeypatch.setattr(gemm, "one_thread_each", None)  # so no call of sgemm goes through
    elif gemm.library is None:
        pytest.skip("NumPy has no OpenBLAS with the known names")


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def close(actual, expected):
    assert actual.dtype == np.float32 and actual.shape == expected.shape
    gap = np.abs(actual - expected).max(initial=0)
    assert gap <= 1e-5 * np.abs(expected).max(initial=0) + 1e-6


def lying(matrix):
    """The same matrix in row order, transposed, with gaps, and backwards in memory."""
    yield matrix
    yield np.asfortranarray(matrix)
    yield np.repeat(matrix, 2, axis=1)[:, ::2]
    yield matrix[::-1].copy()[::-1]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("with_start", [False, True])
def test_product(size, with_start):
    m, k, n = size
    start = draw(n, seed=2) if with_start else None
    for a in lying(draw(m, k)):
        for b in lying(draw(k, n, seed=1)):
            expected = a.astype(np.float64) @ b + (0 if start is None else start)
            close(gemm.multiply(a, b, start=start), expected)
            out = np.full((m, n), np.nan, np.float32)  # what was there must not matter
            assert gemm.multiply(a, b, out, start) is out
            close(out, expected)


@pytest.mark.parametrize("size", [(0, 3, 4), (3, 0, 4), (3, 4, 0)], ids=str)
def test_empty(size):
    m, k, n = size
    start = np.ones(n, np.float32)
    np.testing.assert_array_equal(gemm.multiply(draw(m, k), draw(k, n)), np.zeros((m, n)))
    np.testing.assert_array_equal(
        gemm.multiply(draw(m, k), draw(k, n), start=start), np.ones((m, n))
    )


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((2, 0), (0, 3)),
        ((600, 0), (0, 500)),  # so large that a thread or two would be used
        ((600, 500), (500, 0)),
        ((0, 300000), (300000, 1)),
        ((3, 0, 4), (3, 4, 5)),
        ((3, 4, 0), (3, 0, 5)),
        ((3, 4, 5), (3, 5, 0)),
    ],
    ids=str,
)
def test_empty_products_are_not_left_to_the_library(a, b, monkeypatch):
    """BLAS takes no matrix whose rows lie 0 apart."""
    monkeypatch.setattr(gemm, "one_thread_each", None)
    monkeypatch.setattr(threads, "count", lambda: 2)
    a, b = draw(*a), draw(*b)
    np.testing.assert_array_equal(gemm.multiply_batch(a, b), a @ b)
    if a.ndim == 2:
        np.testing.assert_array_equal(gemm.multiply(a, b), a @ b)


@pytest.mark.parametrize("split", [gemm._by_rows, gemm._by_columns])
@pytest.mark.parametrize("blocks", [1, 2, 3, 9])
def test_no_element_is_in_two_blocks(split, blocks, monkeypatch):
    """Or two threads could add to it at once."""
    times = np.zeros((7, 5), int)

    def block(*arguments):
        top, bottom, left, right = arguments[-4:]
        times[top:bottom, left:right] += 1

    monkeypatch.setattr(gemm, "_block", block)
    split.function(None, False, None, False, None, None, *times.shape, 4, blocks)
    np.testing.assert_array_equal(times, 1)


def test_nan_and_infinity():
    a, b = draw(600, 40), draw(40, 100)
    a[5, 7], a[500, 3] = np.nan, np.inf
    got = gemm.multiply(a, b)
    assert np.isnan(got[5]).all()
    np.testing.assert_array_equal(got[500], np.inf * np.sign(b[3]))
    assert np.isfinite(np.delete(got, [5, 500], axis=0)).all()


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((7, 20, 30), (7, 30, 40)),
        ((2, 3, 20, 30), (2, 3, 30, 40)),
        ((6, 20, 30), (30, 40)),
        ((20, 30), (6, 30, 40)),
        ((1, 200, 100), (1, 100, 90)),
        ((0, 2, 3), (0, 3, 4)),
        ((2, 0, 3), (2, 3, 4)),
        ((2, 3, 0), (2, 0, 4)),
    ],
    ids=str,
)
@pytest.mark.parametrize("count", [1, 100])
def test_batches(a, b, count, monkeypatch):
    monkeypatch.setattr(threads, "count", lambda: count)  # fewer than the products, and more
    for x in (draw(*a), draw(*a)[..., ::-1], draw(*a).swapaxes(-1, -2).copy().swapaxes(-1, -2)):
        for y in (draw(*b, seed=1), draw(*b, seed=1).swapaxes(-1, -2).copy().swapaxes(-1, -2)):
            close(gemm.multiply_batch(x, y), x.astype(np.float64) @ y)


@pytest.mark.parametrize("axes", [(0, 1), (0, 2), (1, 2), (1, 3)], ids=str)
def test_batches_with_dimensions_in_any_order_in_memory(axes, monkeypatch):
    monkeypatch.setattr(threads, "count", lambda: 2)
    a, b = draw(4, 3, 5, 6), draw(4, 3, 6, 7, seed=1)
    x, y = (z.swapaxes(*axes).copy().swapaxes(*axes) for z in (a, b))
    close(gemm.multiply_batch(x, y), a.astype(np.float64) @ b)


def test_a_batch_gives_the_same_bits_for_any_number_of_threads(monkeypatch):
    a, b = draw(8, 60, 50), draw(8, 50, 70)
    monkeypatch.setattr(threads, "GRAIN", 0)
    found = []
    before = threads.count()
    for count in (1, 2):
        threads.set_count(count)
        found.append(gemm.multiply_batch(a, b))
    threads.set_count(before)
    np.testing.assert_array_equal(*found)


def test_two_python_threads_at_once():
    a, b = draw(400, 300), draw(300, 200)
    expected, wrong = a.astype(np.float64) @ b, []

    def work():
        for _ in range(50):
            if np.abs(gemm.multiply(a, b) - expected).max() > 1e-3:
                wrong.append(1)

    workers = [threading.Thread(target=work) for _ in range(2)]
    before = gemm.blas.get_threads()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
    assert gemm.blas.get_threads() == before
