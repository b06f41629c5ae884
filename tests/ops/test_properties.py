"""Questions about tensors and types, and the small methods of `minidl/ops/properties.py`."""

import numpy as np
import pytest

import minidl
from minidl.testing import to_numpy

pytestmark = pytest.mark.smoke


def test_questions(device):
    x = minidl.zeros(2, 3, device=device)
    assert minidl.is_tensor(x) and not minidl.is_tensor(to_numpy(x))
    assert (minidl.numel(x), x.nbytes, x.itemsize, x.ndimension()) == (6, 24, 4, 2)
    assert minidl.is_floating_point(x) and not minidl.is_floating_point(x.long())
    assert minidl.is_signed(x) and x.char().is_signed()
    assert not (x.byte().is_signed() or x.bool().is_signed() or x.is_complex())
    assert x.is_same_size(x + 1) and not minidl.is_same_size(x, x[0])
    assert minidl.is_nonzero(minidl.tensor([2.0], device=device))
    assert not minidl.tensor(0, device=device).is_nonzero()
    assert x.cpu().get_device() == -1
    with pytest.raises(minidl.ShapeError, match=r"is_nonzero.*\(2, 3\)"):
        x.is_nonzero()


def test_retains_grad(device):
    y = minidl.ones(2, device=device, requires_grad=True) * 2
    assert not y.retains_grad
    y.retain_grad()
    assert y.retains_grad


def test_unravel_index(device):
    flat = minidl.tensor([[0, 5], [3, 2]], device=device)
    rows, columns = minidl.unravel_index(flat, (2, 3))
    assert (rows.tolist(), columns.tolist()) == ([[0, 1], [1, 0]], [[0, 2], [0, 2]])
    with pytest.raises(IndexError, match=r"unravel_index.*\(2, 2\)"):
        minidl.unravel_index(flat, (2, 2))
    with pytest.raises(minidl.DTypeError, match="unravel_index"):
        minidl.unravel_index(flat.float(), (2, 3))


def test_methods_of_functions(device):
    x = minidl.arange(6.0, device=device).reshape(2, 3)
    assert x.where(x > 2, -1.0).tolist() == [[-1.0, -1.0, -1.0], [3.0, 4.0, 5.0]]
    assert x.unflatten(1, (3, 1)).shape == (2, 3, 1)
    x.narrow_copy(1, 0, 2).zero_()
    assert x.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    kinds = [x.byte(), x.char(), x.short()]
    assert [k.dtype.name for k in kinds] == ["uint8", "int8", "int16"]


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (7, 2), (7, 3), (3, 3, 3)])
@pytest.mark.parametrize("wrapped", [False, True])
def test_fill_diagonal(shape, wrapped, device):
    x = minidl.zeros(shape, device=device)
    assert x.fill_diagonal_(2.0, wrap=wrapped) is x
    expected = np.zeros(shape)
    np.fill_diagonal(expected, 2.0, wrap=wrapped)
    np.testing.assert_array_equal(to_numpy(x), expected)
    with pytest.raises(minidl.ShapeError, match="fill_diagonal_"):
        x.reshape(-1).fill_diagonal_(1.0)


def test_limits_of_types():
    info = minidl.finfo(minidl.float32)
    assert (info.bits, info.dtype, info.eps, info.max) == (
        32, "float32", float(np.finfo("f4").eps), float(np.finfo("f4").max),
    )  # fmt: skip
    assert info.min == -info.max and info.tiny == info.smallest_normal
    assert minidl.finfo().dtype == "float32" and "eps=" in repr(info)
    whole = minidl.iinfo(minidl.int8)
    assert (whole.bits, whole.min, whole.max, whole.dtype) == (8, -128, 127, "int8")
    assert repr(whole) == "iinfo(min=-128, max=127, dtype=int8)"
    with pytest.raises(minidl.DTypeError, match="iinfo"):
        minidl.finfo(minidl.int8)
    with pytest.raises(minidl.DTypeError, match="finfo"):
        minidl.iinfo(minidl.float32)


def test_common_types():
    assert minidl.promote_types(minidl.int32, minidl.float32) == minidl.float32
    assert minidl.promote_types(minidl.uint8, minidl.int8) == minidl.int16
    assert minidl.result_type(minidl.tensor([1]), 1.5) == minidl.float32
    whole = minidl.ones(2, dtype=minidl.int32)
    assert minidl.result_type(whole, minidl.tensor(1)) == minidl.int32
    order = [[minidl.bool], [minidl.uint8, minidl.int8, minidl.int64], [minidl.float32]]
    for i, kinds in enumerate(order):
        for j, others in enumerate(order):
            for a in kinds:
                assert {minidl.can_cast(a, b) for b in others} == {i <= j}
