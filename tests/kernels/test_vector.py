"""Products of tiles against NumPy's, at every size around a tile's."""

import numpy as np
import pytest

pytest.importorskip("numba")

from minidl.kernels.cpu import jit, vector

gather_8x2 = vector.gather_block(8, 2)
gather_1x1 = vector.gather_block(1, 1, partial=True)
SENTINEL = np.float32(77)


@jit
def _gather(a, row_at, piece_at, length, step, b, out, place_at, n, keep):
    """Rows of 8 and single ones, columns of 32 and the rest."""
    rows, pieces = row_at.size, piece_at.size
    for i in range(rows):
        for j in range(n - n % 32 if i < rows - rows % 8 else 0, n, 16):
            gather_1x1(
                a, 3, row_at, piece_at, pieces, length, step, b, j, n, out, j, place_at, i,
                min(16, n - j), keep,
            )  # fmt: skip
    for i in range(0, rows - rows % 8, 8):
        for j in range(0, n - n % 32, 32):
            gather_8x2(
                a, 3, row_at, piece_at, pieces, length, step, b, j, n, out, j, place_at, i, 0, keep
            )


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("m", [1, 3, 4, 7, 8, 13, 17])
@pytest.mark.parametrize("n", [1, 15, 16, 17, 31, 32, 33, 50, 64])
def test_product(m, n, turned, keep):
    """Values; what lies around the output stays; so does the bit pattern wherever a tile begins."""
    k = 5
    a, b, before = numbers(m, k), numbers(k, n, seed=1), numbers(m, n, seed=2)
    out = np.full((m, n + 3), SENTINEL)
    out[:, :n] = before
    flat = np.append(np.full(2, SENTINEL), (a.T if turned else a).reshape(-1))
    row, step = (1, m) if turned else (k, 1)
    vector.product(
        flat, 2, row, step, b.reshape(-1), 0, n, out.reshape(-1), 0, n + 3, m, n, k, keep
    )
    expected = a.astype(float) @ b + keep * before
    np.testing.assert_allclose(out[:, :n], expected, rtol=1e-5, atol=1e-5)
    assert (out[:, n:] == SENTINEL).all()


def test_product_of_nothing_is_zero():
    out = np.full(6, SENTINEL)
    vector.product(numbers(4), 0, 0, 1, numbers(4), 0, 3, out, 0, 3, 2, 3, 0, False)
    assert not out.any()


def test_bits_do_not_depend_on_the_tile():
    m, n, k = 21, 50, 33
    a, b = numbers(m, k), numbers(k, n)
    out, alone = np.empty((m, n), np.float32), np.empty(1, np.float32)
    vector.product(
        a.reshape(-1), 0, k, 1, b.reshape(-1), 0, n, out.reshape(-1), 0, n, m, n, k, False
    )
    for i in range(m):
        for j in range(n):
            vector.product(
                a.reshape(-1), i * k, k, 1, b.reshape(-1), j, n, alone, 0, 1, 1, 1, k, False
            )
            assert alone[0] == out[i, j]


@pytest.mark.parametrize("special", [np.nan, np.inf])
def test_a_special_number_stays_in_its_row(special):
    a, b = numbers(9, 4), numbers(4, 40)
    a[8, 2] = special
    out = np.empty((9, 40), np.float32)
    vector.product(
        a.reshape(-1), 0, 4, 1, b.reshape(-1), 0, 40, out.reshape(-1), 0, 40, 9, 40, 4, False
    )
    assert np.isfinite(out[:8]).all()
    np.testing.assert_array_equal(np.isnan(out[8]), np.isnan(a[8] @ b))


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("n", [3, 16, 32, 45, 71])
@pytest.mark.parametrize("rows", [1, 8, 11])
def test_gather(rows, n, keep):
    rng = np.random.default_rng(0)
    length, step, pieces = 5, 2, 3
    a, b = numbers(200), numbers(pieces * length, n)
    row_at, piece_at = rng.integers(0, 90, rows), rng.integers(0, 90, pieces)
    run = (piece_at[:, None] + step * np.arange(length)).reshape(-1)
    matrix = a[3 + row_at[:, None] + run]  # (rows, k)
    out = np.full((rows, n), SENTINEL)
    place_at = n * rng.permutation(rows)
    _gather(a, row_at, piece_at, length, step, b.reshape(-1), out.reshape(-1), place_at, n, keep)
    expected = matrix.astype(float) @ b + keep * SENTINEL
    np.testing.assert_allclose(out[place_at // n], expected, rtol=1e-5, atol=1e-5)
