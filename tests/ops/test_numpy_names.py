"""`axis`, `keepdims`, `x`, `a`: NumPy's argument names mean PyTorch's."""

import pytest

import minidl

pytestmark = pytest.mark.smoke


def test_axis_and_keepdims(device):
    x = minidl.arange(6.0, device=device).reshape(2, 3)
    assert minidl.sum(x, axis=0, keepdims=True).shape == (1, 3)
    assert x.mean(axis=1).tolist() == x.mean(dim=1).tolist()
    assert minidl.amax(x, axis=(0, 1)).item() == 5.0
    assert minidl.cat([x, x], axis=1).shape == (2, 6)
    assert minidl.stack([x, x], axis=-1).shape == (2, 3, 2)
    assert x.softmax(axis=0).tolist() == x.softmax(0).tolist()
    assert x.max(axis=1).indices.tolist() == [2, 2]
    assert minidl.unsqueeze(x, axis=0).shape == (1, 2, 3)
    assert minidl.argmax(a=x, axis=1, keepdims=True).shape == (2, 1)
    assert minidl.mean(x=x).item() == 2.5


def test_one_argument_under_two_names(device):
    x = minidl.zeros(2, 3, device=device)
    with pytest.raises(TypeError, match=r"sum.*twice"):
        minidl.sum(x, dim=0, axis=1)
    with pytest.raises(TypeError, match="axes"):
        minidl.sum(x, axes=0)
