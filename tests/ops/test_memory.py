"""Views by strides, copies of views, and shapes changed in place."""

import numpy as np
import pytest

import minidl
from minidl import ops
from minidl.ops import memory
from minidl.testing import to_numpy

pytestmark = pytest.mark.smoke

COPIES = {
    "alias_copy": (),
    "as_strided_copy": ((2, 2), (1, 3)),
    "diagonal_copy": (),
    "expand_copy": ((2, 2, 3),),
    "narrow_copy": (1, 0, 2),
    "permute_copy": ((1, 0),),
    "split_with_sizes_copy": ([1, 1],),
    "squeeze_copy": (),
    "t_copy": (),
    "transpose_copy": (0, 1),
    "unbind_copy": (),
    "unfold_copy": (1, 2, 1),
    "unsqueeze_copy": (0,),
    "view_copy": ((3, 2),),
}


def test_every_copy_is_tested():
    assert {name for name in memory.__all__ if name.endswith("_copy")} == set(COPIES)


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_the_view_on_its_own_memory(name, device):
    x = minidl.arange(6.0, device=device).reshape(2, 3)
    view = name.removesuffix("_copy")
    view = getattr(ops, view, None) or getattr(minidl.Tensor, view, lambda x: x)
    copied, viewed = getattr(ops, name)(x, *COPIES[name]), view(x, *COPIES[name])
    copied, viewed = (r if isinstance(r, tuple) else (r,) for r in (copied, viewed))
    before = [to_numpy(v).copy() for v in viewed]
    x.zero_()
    for c, v, b in zip(copied, viewed, before, strict=True):
        np.testing.assert_array_equal(to_numpy(c), b)
        assert (to_numpy(v) == 0).all()


# ------------------------------------------------------------------------------- as_strided


def test_strides_count_in_the_memory_below(device):
    """As in PyTorch: from the view's first element, or from the offset in all of the memory."""
    x = minidl.arange(10.0, device=device)
    part = x[2:6]
    assert part.storage_offset() == 2
    assert part.as_strided((2, 2), (1, 3)).tolist() == [[2.0, 5.0], [3.0, 6.0]]
    assert part.as_strided((2,), (4,), 1).tolist() == [1.0, 5.0]
    part.as_strided((2,), (1,), 0).fill_(-1.0)
    assert x.tolist()[:3] == [-1.0, -1.0, 2.0]


def test_derivative_through_a_view_of_other_memory(device):
    """Overlapping windows of every second element; elements outside of the view get nothing."""
    x = minidl.arange(6.0, device=device, requires_grad=True)
    part = (x * 1)[::2]
    part.as_strided((2, 2), (2, 2)).sum().backward()
    assert x.grad.tolist() == [1.0, 0.0, 2.0, 0.0, 1.0, 0.0]


def test_a_recorded_write_through_strides_is_refused(device):
    y = minidl.ones(4, device=device, requires_grad=True) * 1
    with pytest.raises(minidl.GraphError):
        y.as_strided((2,), (2,)).mul_(2)


# ---------------------------------------------------------------------------------- resize_


def test_resize_uses_the_same_memory(device):
    x = minidl.arange(6.0, device=device)
    y = x[2:]
    assert y.resize_(2, 2).tolist() == [[2.0, 3.0], [4.0, 5.0]]
    assert x.resize_((2, 2)) is x
    x.fill_(0)
    assert y.tolist() == [[0.0, 0.0], [4.0, 5.0]]
    assert x.resize_(4, 2).shape == (4, 2)  # moves to larger memory
    assert x[:2].tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert x.resize_as_(minidl.zeros(3)).shape == (3,)
    with pytest.raises(minidl.GraphError, match="resize_"):
        minidl.ones(2, requires_grad=True).resize_(4)


# ------------------------------------------------------------------- shapes changed in place

CHANGES = {
    "squeeze_": ((2, 1, 3), (), (2, 3)),
    "unsqueeze_": ((2, 3), (1,), (2, 1, 3)),
    "transpose_": ((2, 3, 4), (0, 2), (4, 3, 2)),
    "t_": ((2, 3), (), (3, 2)),
    "swapaxes_": ((2, 3), (0, 1), (3, 2)),
    "swapdims_": ((2, 3), (0, 1), (3, 2)),
    "as_strided_": ((4,), ((2, 2), (1, 1)), (2, 2)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_shape_in_place(name, device):
    shape, arguments, expected = CHANGES[name]
    x = minidl.randn(*shape, device=device, requires_grad=True)
    y = x * 2
    plain = getattr(y, name[:-1])(*arguments)
    weights = minidl.randn(*expected, device=device)
    (wanted,) = minidl.autograd.grad((plain * weights).sum(), x, retain_graph=True)
    assert getattr(y, name)(*arguments) is y
    assert y.shape == expected
    np.testing.assert_array_equal(to_numpy(y.detach()), to_numpy(plain.detach()))
    if name != "as_strided_":
        y.mul_(3)  # a write after it still reaches the gradient
        wanted = 3 * wanted
    (got,) = minidl.autograd.grad((y * weights).sum(), x)
    np.testing.assert_allclose(to_numpy(got), to_numpy(wanted), rtol=1e-6)
    with pytest.raises(minidl.GraphError, match=name):
        getattr(x, name)(*arguments)


def test_memory_is_kept(device):
    x = minidl.zeros(2, 3, device=device)
    row = x[0]
    x.t_()[0] = 1.0
    assert row.tolist() == [1.0, 0.0, 0.0]
    assert x.unsqueeze_(0).shape == (1, 3, 2)
