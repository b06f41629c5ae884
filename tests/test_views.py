"""Changes in place through views, where the memory is not in row-major order."""

import numpy as np
import pytest

import minidl
from minidl.autograd import grad
from minidl.errors import GraphError


def test_a_write_through_a_flattened_view_of_a_column_major_base():
    w = minidl.arange(24.0, dtype=minidl.float64).reshape(2, 3, 4).requires_grad_()
    y = w.permute(2, 0, 1) * 2  # NumPy keeps the order of the memory: y is not row-major
    assert not y.is_contiguous()
    rows = y.permute(1, 2, 0).flatten(1)
    rows[0] = 0
    assert y[:, 0].abs().sum().item() == 0  # it was a view
    (g,) = grad((y * y).sum(), w)
    expected = 8 * np.arange(24.0).reshape(2, 3, 4)
    expected[0] = 0
    np.testing.assert_allclose(g.numpy(), expected)


def test_in_place_twice_through_a_view_of_a_column_major_base():
    x = minidl.tensor([2.0, 3.0], dtype=minidl.float64, requires_grad=True)
    base = minidl.from_numpy(np.asfortranarray(np.arange(4.0).reshape(2, 2)))
    flat = base.T.view(-1)
    flat.mul_(x.repeat(2))
    flat.mul_(x.repeat(2))
    (g,) = grad(base.sum(), x)
    # flat is [0, 2, 1, 3]: 0 x0^2 + 2 x1^2 + x0^2 + 3 x1^2
    np.testing.assert_allclose(g.numpy(), [2 * 2.0, 2 * 5 * 3.0])


def test_a_view_of_a_leaf_that_is_itself_a_view_is_not_written():
    leaf = minidl.zeros(3)[:2].requires_grad_()
    with pytest.raises(GraphError, match="view of a leaf"):
        leaf[:1].add_(1)


def test_a_view_made_under_no_grad_is_not_written_while_recording():
    x = minidl.ones(3, requires_grad=True)
    y = x * 1
    with minidl.no_grad():
        v = y[:2]
    for write in (lambda: v.mul_(2), lambda: v.fill_(0), lambda: v.__setitem__(0, 1.0)):
        with pytest.raises(GraphError, match="made under no_grad"):
            write()
    assert y.tolist() == [1.0, 1.0, 1.0]


def test_picking_one_element_gives_a_view():
    x = minidl.zeros(2, 2)
    x[0, 1].fill_(5.0)
    assert x.tolist() == [[0.0, 5.0], [0.0, 0.0]]
