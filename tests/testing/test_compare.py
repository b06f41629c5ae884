"""assert_close and to_numpy."""

import numpy as np
import pytest

import minidl
from minidl.testing import TOLERANCES, assert_close, to_numpy

pytestmark = pytest.mark.smoke


def test_to_numpy_reads_anything(device):
    x = minidl.ones(2, device=device, requires_grad=True)
    for value in (x, x * 1, x.detach(), np.ones(2), [1.0, 1.0]):
        array = to_numpy(value)
        assert type(array) is np.ndarray
        assert array.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_tolerance_of_each_type(dtype):
    rtol, atol = TOLERANCES[dtype]
    expected = np.ones(3)
    within, outside = ((1 + k * (rtol + atol)) * expected for k in (0.5, 2.0))
    if dtype != np.float64:  # the numbers themselves must be exact enough to tell
        within, outside = within.astype(dtype), outside.astype(dtype)
        expected = expected.astype(dtype)
    assert_close(within, expected)
    with pytest.raises(AssertionError, match="3 of 3 elements"):
        assert_close(outside, expected)


def test_integers_and_booleans_are_exact():
    assert_close([1, 2], [1, 2])
    with pytest.raises(AssertionError):
        assert_close(np.array([10**9]), np.array([10**9 + 1]))
    with pytest.raises(AssertionError):
        assert_close(np.array([True]), np.array([False]))


def test_the_worst_element_is_named(device):
    a = minidl.tensor([[1.0, 2.0], [3.0, 4.5]], device=device)
    b = minidl.tensor([[1.25, 2.0], [3.5, 4.25]], device=device)
    with pytest.raises(
        AssertionError, match=r"3 of 4 elements.*worst at \(1, 0\): 3, expected 3.5"
    ):
        assert_close(a, b)


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (np.ones(2), np.ones(3), "shapes differ"),
        (np.ones(2), np.ones((2, 1)), "shapes differ"),
        (np.ones(2, "f4"), np.ones(2), "dtypes differ"),
        ([1, 2], [1], "lengths differ"),
        ({"a": 1}, {"b": 1}, "keys differ"),
        ([1.0, float("nan")], [1.0, float("nan")], "differ"),
        ([1.0, float("inf")], [1.0, -float("inf")], "differ"),
    ],
)
def test_what_is_refused(a, b, words):
    with pytest.raises(AssertionError, match=words):
        assert_close(a, b)


def test_what_is_allowed():
    nan, inf = float("nan"), float("inf")
    assert_close(np.array([nan, inf]), np.array([nan, inf]), equal_nan=True)
    assert_close(np.ones(2, "f4"), np.ones(2), check_dtype=False)
    assert_close({"a": [minidl.ones(2)]}, {"a": [np.ones(2, "f4")]})
    assert_close(np.array([1.0]), np.array([1.2]), rtol=0.0, atol=0.5)
    assert_close(np.zeros(0), np.zeros(0))


def test_tolerances_come_in_pairs():
    with pytest.raises(ValueError, match="both"):
        assert_close(1.0, 1.0, rtol=0.1)


def test_the_path_to_the_wrong_item():
    with pytest.raises(AssertionError, match=r"weights\['a'\]\[1\]"):
        assert_close({"a": [1.0, 2.0]}, {"a": [1.0, 3.0]}, msg="weights")
