"""Kernels of softmax and its kin, and of sums."""

import itertools

import numpy as np
import pytest

import minidl
from minidl import kernels
from minidl.kernels.cpu import reduce
from tests import parity

FUNCTIONS = {
    "softmax": minidl.softmax,
    "log_softmax": minidl.log_softmax,
    "logsumexp": minidl.logsumexp,
}
EACH = pytest.mark.parametrize("name", FUNCTIONS)
nan, inf = np.nan, np.inf


def numbers(*shape, scale=3.0):
    return scale * np.random.default_rng(5).standard_normal(shape)


@EACH
@pytest.mark.parametrize("shape", [(1,), (17,), (3, 1), (5, 33), (2, 3, 129), (1, 9001)])
def test_as_the_definition(name, shape):
    parity.check(lambda x: FUNCTIONS[name](x, -1), numbers(*shape), kernel=name)


@EACH
def test_in_any_layout(name):
    for x in parity.layouts(numbers(2, 5, 6, 31)):
        parity.check(lambda x: FUNCTIONS[name](x, 3), x, kernel=name)


@EACH
def test_channels_that_lie_last_in_memory(name):
    x = np.ascontiguousarray(numbers(2, 6, 7, 19)).transpose(0, 3, 1, 2)
    parity.check(lambda x: FUNCTIONS[name](x, 1), x, kernel=name)
    with parity.kernels_used() as used:
        parity.check(lambda x: FUNCTIONS[name](x, 2), x)
    assert name not in used


@EACH
def test_same_bits_on_any_number_of_threads(name):
    parity.same_bits(lambda x: FUNCTIONS[name](x, 1), numbers(50, 333))


@EACH
def test_nan_and_infinity_as_in_the_definition(name):
    x = numbers(7, 40)
    x[0, 3], x[1, 3], x[2, 3], x[3, 3:9] = nan, inf, -inf, inf
    x[4], x[5, 1:] = -inf, -inf
    x[6] = 1e4 * x[6]
    parity.check(lambda x: FUNCTIONS[name](x, 1), x, kernel=name)


@EACH
def test_rows_far_from_zero(name):
    """The largest number is subtracted before anything is added to it."""
    near = numbers(20, 50).astype(np.float32).round(4)
    far = near + np.float32(512)
    exact = near + (far - np.float32(512) - near)  # what is left of it next to 512
    a, b = (FUNCTIONS[name](minidl.from_numpy(x), 1).numpy() for x in (far, exact))
    np.testing.assert_allclose(a, b + 512 if name == "logsumexp" else b, rtol=1e-6, atol=1e-6)


def test_a_masked_score_gets_nothing():
    x = minidl.tensor([[0.0, -inf, -1000.0]])
    assert minidl.softmax(x, 1)[0].tolist() == [1.0, 0.0, 0.0]


@EACH
def test_second_derivative(name):
    def slope(x):
        (first,) = minidl.autograd.grad((FUNCTIONS[name](x, 1) ** 2).sum(), x, create_graph=True)
        return first * 1.0

    parity.check(slope, numbers(6, 45), kernel=name)


@EACH
def test_calls_that_the_kernel_refuses(name):
    with parity.kernels_used() as used:
        FUNCTIONS[name](minidl.zeros(3, 0), 0)
        FUNCTIONS[name](minidl.zeros(3, 4, dtype=minidl.float64), 1)
        minidl.logsumexp(minidl.zeros(3, 4), (0, 1))
    assert name not in used


# --------------------------------------------------------------------------------------------- sums


@pytest.fixture
def small_sums(monkeypatch):
    """Sums of few numbers run the kernel too."""
    monkeypatch.setattr(reduce, "ENOUGH", 0)


SHAPES = [(5000,), (3, 1, 1000), (70, 41), (2049, 3), (7, 8, 9, 10), (4100, 16), (2, 3000, 33)]
SHAPES += [(2, 1025)]  # one more than fills a piece


def dims(ndim):
    return [d for k in range(1, ndim + 1) for d in itertools.combinations(range(ndim), k)]


@pytest.mark.parametrize(("shape", "dim"), [(s, d) for s in SHAPES for d in dims(len(s))])
def test_sum_over_any_dimensions(shape, dim, small_sums):
    x = numbers(*shape)
    for keepdim in (False, True):
        parity.check(lambda x: x.sum(dim, keepdim), x, kernel="sum")  # noqa: B023


@pytest.mark.parametrize("dim", [-1, -2, -3, (-1, 0), (1, -3), (-2, -1), (-1, -2, -3)], ids=str)
def test_sum_over_dimensions_counted_from_the_end(dim, small_sums):
    for keepdim in (False, True):
        parity.check(lambda x: x.sum(dim, keepdim), numbers(5, 7, 11), kernel="sum")  # noqa: B023


def test_sum_in_any_layout(small_sums):
    for x in parity.layouts(numbers(4, 11, 13, 9)):
        dense = x.astype(np.float32, order="K")
        for dim in dims(4):
            out = minidl.from_numpy(dense).sum(dim).numpy()
            np.testing.assert_allclose(out, x.sum(dim), atol=1e-3)


@pytest.mark.parametrize("shape", [(1 << 22,), (1 << 21, 2), (1 << 18, 16), (4, 1 << 20)])
@pytest.mark.parametrize("dim", [0, None])
def test_a_long_sum_keeps_its_digits(shape, dim):
    """Added one by one, four million times 0.1 would be off by percents; here each number takes
    part in fewer than 128 + 128 + 128 roundings, which all go the same way."""
    x = np.full(shape, 0.1, np.float32)
    exact = x.astype(float).sum(dim)
    assert abs(minidl.from_numpy(x).sum(dim).numpy() / exact - 1).max() < 3e-6


def test_sum_has_the_same_bits_on_any_number_of_threads(small_sums):
    for dim in (0, 1, None, (0, 2)):
        parity.same_bits(lambda x: x.sum(dim), numbers(40, 30, 77))  # noqa: B023


def test_sum_keeps_nan_and_infinity(small_sums):
    x = numbers(60, 50)
    x[1, 1], x[2, 2], x[3, 3] = nan, inf, -inf
    for dim in (0, 1):
        parity.check(lambda x: x.sum(dim), x, kernel="sum")  # noqa: B023


def test_sums_that_the_kernel_refuses():
    x = np.zeros((256, 256), np.float32)
    takes = kernels.load("sum").eligible
    assert takes(x, None, False) and takes(x, -1, True) and takes(x, -2, True)
    assert takes(x.T, (0, 1), False)
    assert not takes(x[:, ::2], 0, False)  # gaps
    assert not takes(np.broadcast_to(x[0], (256, 256)), 0, False)
    assert not takes(x[:8], 0, False)  # small
    assert not takes(x, 2, False) and not takes(x, (0, 0), False)
    assert not takes(x.astype(int), 0, False)


def test_few_columns_are_seen_as_wide_rows():
    assert reduce._fold(1 << 18, 16) == 8
    assert reduce._fold(7, 3) == 1
