"""Order and statistics where there are ties, nan and nothing: what the records stay away from."""

import math

import pytest

import minidl
from minidl import ShapeError, tensor

pytestmark = pytest.mark.smoke
NAN = math.nan


def listed(result):
    """Nested lists, None in place of nan."""
    if isinstance(result, tuple):
        return [listed(part) for part in result]
    return [None if isinstance(x, float) and math.isnan(x) else x for x in result.tolist()]


def test_medians_with_nan():
    x = tensor([[1.0, NAN, 2.0, NAN], [3.0, 1.0, 2.0, 4.0]])
    assert listed(minidl.median(x, 1)) == [[None, 2.0], [1, 2]]
    assert listed(minidl.nanmedian(x, 1)) == [[1.0, 2.0], [0, 2]]
    assert minidl.nanmedian(x).item() == 2.0
    assert math.isnan(minidl.median(x).item())
    assert math.isnan(minidl.median(tensor([])).item())


def test_equal_medians_share_the_gradient():
    x = tensor([2.0, 2.0, 1.0, 3.0, 2.0], requires_grad=True)
    minidl.median(x).backward()
    assert x.grad.tolist() == pytest.approx([1 / 3, 1 / 3, 0, 0, 1 / 3])


def test_quantiles_with_nan():
    x = tensor([[1.0, NAN, 3.0], [1.0, 2.0, 4.0]])
    assert listed(minidl.quantile(x, 0.5, dim=1)) == [None, 2.0]
    assert listed(minidl.nanquantile(x, 0.5, dim=1)) == [2.0, 2.0]
    assert listed(minidl.nanquantile(tensor([NAN, NAN]), tensor([0.5]))) == [None]


def test_a_quantile_has_a_derivative_in_its_fraction():
    q = tensor(0.3, requires_grad=True)
    minidl.quantile(tensor([1.0, 2.0, 4.0]), q).backward()
    assert q.grad.item() == pytest.approx(2.0)


def test_running_extremes_keep_nan_and_the_last_of_equal_ones():
    x = tensor([1.0, 3.0, 3.0, NAN, 5.0, NAN])
    assert listed(minidl.cummax(x, 0)) == [[1.0, 3.0, 3.0, None, None, None], [0, 1, 2, 3, 3, 5]]
    assert listed(minidl.cummin(x, 0)) == [[1.0, 1.0, 1.0, None, None, None], [0, 0, 0, 3, 3, 5]]


def test_unique_along_a_dimension():
    x = tensor([[1, 2], [1, 2], [0, 5]])
    found, inverse, counts = minidl.unique(x, return_inverse=True, return_counts=True, dim=0)
    assert found.tolist() == [[0, 5], [1, 2]]
    assert (inverse.tolist(), counts.tolist()) == ([1, 1, 0], [1, 2])
    found, inverse = minidl.unique_consecutive(x.T, return_inverse=True, dim=1)
    assert (found.tolist(), inverse.tolist()) == ([[1, 0], [2, 5]], [0, 0, 1])
    assert listed(minidl.unique(tensor([NAN, 1.0, NAN]))) == [1.0, None, None]


def test_search_in_an_order_given_by_positions():
    found = minidl.searchsorted(
        tensor([3.0, 1.0, 2.0]), tensor([2.0, 9.0]), sorter=tensor([1, 2, 0]), out_int32=True
    )
    assert (found.tolist(), found.dtype) == ([1, 3], minidl.int32)
    assert minidl.bucketize(2.5, tensor([1.0, 2.0, 3.0])).item() == 2


def test_sums_and_means_pass_over_nan():
    x = tensor([1.0, NAN, 3.0], requires_grad=True)
    assert minidl.nansum(x).item() == 4.0
    minidl.nanmean(x).backward()
    assert x.grad.tolist() == [0.5, 0.0, 0.5]


def test_variance_of_everything_without_correction():
    x = tensor([1.0, 3.0])
    assert [part.item() for part in minidl.var_mean(x, False)] == [1.0, 2.0]
    assert [part.item() for part in minidl.std_mean(x, correction=0)] == [1.0, 2.0]


def test_points_outside_the_edges_are_not_counted():
    hist, edges = minidl.histogram(
        tensor([0.0, 1.0, 2.0, 3.0]), tensor([1.0, 2.0, 3.0]), weight=tensor([1.0, 2.0, 3.0, 4.0])
    )
    assert (hist.tolist(), edges.tolist()) == ([2.0, 7.0], [1.0, 2.0, 3.0])
    with pytest.raises(ShapeError, match=r"\(1,\)"):
        minidl.histogram(tensor([1.0, 2.0]), 2, weight=tensor([1.0]))
    hist, edges = minidl.histogram(tensor([2.0, 2.0]), 1)
    assert (hist.tolist(), edges.tolist()) == ([2.0], [1.5, 2.5])


def test_differences_of_bools_say_where_they_change():
    assert minidl.diff(tensor([True, False, False])).tolist() == [True, False]


def test_logcumsumexp_of_minus_infinity_and_of_large_numbers():
    x = tensor([-math.inf, 1000.0, 1000.0], dtype=minidl.float64, requires_grad=True)
    y = minidl.logcumsumexp(x, 0)
    assert y.tolist() == [-math.inf, 1000.0, 1000.0 + math.log(2)]
    y[2].backward()
    assert x.grad.tolist() == pytest.approx([0.0, 0.5, 0.5])
