"""What the records of the scattering ops leave out: ties, zeros, 0-d and empty, in place."""

import numpy as np
import pytest

import minidl
from minidl.testing import gradcheck, gradgradcheck

pytestmark = pytest.mark.smoke


def leaf(values, device):
    return minidl.tensor(values, dtype=minidl.float64, device=device, requires_grad=True)


@pytest.mark.parametrize("how", ["amax", "amin"])
def test_equal_extremes_share_the_gradient(how, device):
    x, src = leaf([2.0, 9.0], device), leaf([2.0, 2.0], device)
    index = minidl.tensor([0, 0], device=device)
    x.scatter_reduce(0, index, src, how)[0].backward()
    np.testing.assert_allclose(x.grad.tolist(), [1 / 3, 0])
    np.testing.assert_allclose(src.grad.tolist(), [1 / 3, 1 / 3])


@pytest.mark.parametrize("zeros", [1, 2])
def test_products_with_zeros_have_both_derivatives(zeros, device):
    x = leaf([2.0, 3.0], device)
    src = leaf([0.0] * zeros + [5.0, 7.0], device)
    index = minidl.tensor([0] * (zeros + 1) + [1], device=device)

    def product(x, src):
        return x.scatter_reduce(0, index, src, "prod")

    assert product(x, src).tolist() == [0.0, 21.0]
    gradcheck(product, (x, src))
    gradgradcheck(product, (x, src))


def test_means_of_integers_round_down(device):
    x = minidl.tensor([-4, 1], device=device)
    index, src = minidl.tensor([0, 1], device=device), minidl.tensor([-3, 2], device=device)
    assert x.scatter_reduce(0, index, src, "mean").tolist() == [-4, 1]
    assert x.scatter_reduce(0, index, src, "amax", include_self=False).tolist() == [-3, 2]


def test_scatter_adds_and_multiplies(device):
    x, index = leaf([1.0, 2.0], device), minidl.tensor([0, 0], device=device)
    src = minidl.tensor([3.0, 5.0], dtype=minidl.float64, device=device)
    assert x.scatter(0, index, src, reduce="add").tolist() == [9.0, 2.0]
    assert x.scatter(0, index, src, reduce="multiply").tolist() == [15.0, 2.0]
    assert x.scatter(0, index, 3, reduce="multiply").tolist() == [9.0, 2.0]
    assert x.scatter(0, index, value=4.0).tolist() == [4.0, 2.0]


def test_repeated_positions_fill_once(device):
    x, value = leaf([1.0, 2.0], device), leaf(5.0, device)
    x.index_fill(0, minidl.tensor([0, 0], device=device), value).sum().backward()
    assert (x.grad.tolist(), value.grad.item()) == ([0.0, 1.0], 1.0)


def test_tensors_without_dimensions(device):
    x, i = leaf(2.0, device), minidl.tensor([0], device=device)
    one = minidl.tensor([3.0], dtype=minidl.float64, device=device)
    results = [
        x.index_select(0, i), x.index_add(0, i, one), x.index_copy(0, i, one),
        x.index_fill(0, i, 3.0), x.index_reduce(0, i, one, "prod"), x.scatter(0, i[0], 3.0),
        x.scatter_reduce(0, i[0], one[0], "sum"), x.put(i, one), x.gather(0, i[0]),
    ]  # fmt: skip
    assert [r.item() for r in results] == [2.0, 5.0, 3.0, 3.0, 6.0, 3.0, 5.0, 3.0, 2.0]
    assert {r.shape for r in results} == {()}
    assert minidl.nonzero(x).shape == (1, 0)
    assert minidl.nonzero(x, as_tuple=True)[0].tolist() == [0]


def test_an_empty_index_changes_nothing(device):
    x, none = leaf([1.0, 2.0], device), minidl.zeros(0, 3, dtype=minidl.int64, device=device)
    src = minidl.zeros(0, 3, dtype=minidl.float64, device=device)
    assert x.gather(0, none).shape == (0, 3)
    for y in (x.scatter(0, none, src), x.scatter_add(0, none, src)):
        assert y.tolist() == [1.0, 2.0]


IN_PLACE = {
    "index_add_": lambda i, s: (0, i, s),
    "index_copy_": lambda i, s: (0, i, s),
    "index_fill_": lambda i, s: (0, i, 2.0),
    "index_reduce_": lambda i, s: (0, i, s, "prod"),
    "index_put_": lambda i, s: ((i,), s),
    "scatter_": lambda i, s: (0, i, s),
    "scatter_reduce_": lambda i, s: (0, i, s, "mean"),
    "put_": lambda i, s: (i, s),
    "masked_scatter_": lambda i, s: (minidl.tensor([True, False, True], device=s.device), s),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_is_the_same_into_its_own_memory(name, device):
    x, s = leaf([1.0, 2.0, 3.0], device), leaf([5.0, 7.0], device)
    index = minidl.tensor([2, 0], device=device)
    arguments = IN_PLACE[name](index, s)
    expected = getattr(x * 2, name[:-1])(*arguments)
    y = x * 2
    assert getattr(y, name)(*arguments) is y
    assert y.tolist() == expected.tolist()
    w = minidl.tensor([1.0, 10.0, 100.0], dtype=minidl.float64, device=device)
    for got, wanted in zip(*[pulled(t, w, (x, s)) for t in (y, expected)], strict=True):
        assert got == wanted


def pulled(y, weights, leaves):
    grads = minidl.autograd.grad((y * weights).sum(), leaves, allow_unused=True)
    return [None if g is None else g.tolist() for g in grads]
