"""Which results share memory with their input: PyTorch's list, op by op."""

import numpy as np
import pytest

import minidl
from minidl import ops
from minidl.testing import to_numpy

pytestmark = pytest.mark.smoke

VIEWS = {
    "x[0]": lambda x: x[0],
    "x[1:]": lambda x: x[1:],
    "x[..., ::2]": lambda x: x[..., ::2],
    "x[None]": lambda x: x[None],
    "x[:]": lambda x: x[:],
    "x[0, 1, 2]": lambda x: x[0, 1, 2],
    "view": lambda x: x.view(6, 4),
    "view -1": lambda x: x.view(-1),
    "reshape": lambda x: x.reshape(4, 6),
    "permute": lambda x: x.permute(2, 0, 1),
    "transpose": lambda x: x.transpose(0, 1),
    "T of a matrix": lambda x: x[0].T,
    "mT": lambda x: x.mT,
    "t": lambda x: x[0].t(),
    "movedim": lambda x: x.movedim(0, -1),
    "expand": lambda x: x[:1].expand(5, 3, 4),
    "squeeze": lambda x: x[:1].squeeze(0),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "flatten": lambda x: x.flatten(),
    "unflatten": lambda x: ops.unflatten(x, 2, (2, 2)),
    "narrow": lambda x: x.narrow(1, 0, 2),
    "diagonal": lambda x: x.diagonal(),
    "split": lambda x: x.split(1)[1],
    "chunk": lambda x: x.chunk(2)[0],
    "unbind": lambda x: x.unbind(0)[1],
    "detach": lambda x: x.detach(),
    "view of a view": lambda x: x[0][1:].t()[0],
    "to the same type": lambda x: x.to(x.dtype),
    "contiguous when it is": lambda x: x.contiguous(),
}
COPIES = {
    "clone": lambda x: x.clone(),
    "x[[0, 1]]": lambda x: x[[0, 1]],
    "x[x > 0]": lambda x: x[x > -1],
    "x[tensor]": lambda x: x[minidl.tensor([0, 1], device=x.device)],
    "reshape that must copy": lambda x: x.transpose(0, 1).reshape(-1),
    "flatten that must copy": lambda x: x.transpose(0, 1).flatten(),
    "contiguous that must copy": lambda x: x.transpose(0, 1).contiguous(),
    "flip": lambda x: x.flip(0),
    "roll": lambda x: x.roll(1, 0),
    "cat of one": lambda x: minidl.cat([x]),
    "stack": lambda x: minidl.stack([x]),
    "index_select": lambda x: x.index_select(0, minidl.tensor([0], device=x.device)),
    "repeat": lambda x: x.repeat(1, 1, 1),
    "pad by nothing": lambda x: ops.pad(x, (0, 0)),
    "x + 0": lambda x: x + 0,
    "relu": lambda x: x.relu(),
    "double": lambda x: x.double(),
    "clamp": lambda x: x.clamp(min=-1e9),
    "round of integers": lambda x: x.long().round(),
}


def tensor(device):
    return minidl.tensor(np.arange(24.0).reshape(2, 3, 4), dtype=minidl.float32, device=device)


@pytest.mark.parametrize("name", VIEWS)
def test_view_shares_memory_and_version(name, device):
    x = tensor(device)
    v = VIEWS[name](x)
    before = to_numpy(v).copy()
    version = x._version[0]
    x.add_(100)
    np.testing.assert_array_equal(to_numpy(v), before + 100)
    assert v._version[0] == x._version[0] > version


@pytest.mark.parametrize("name", COPIES)
def test_copy_has_its_own_memory(name, device):
    x = tensor(device)
    c = COPIES[name](x)
    before = to_numpy(c).copy()
    x.add_(100)
    np.testing.assert_array_equal(to_numpy(c), before)
    version = x._version[0]
    c.mul_(2)
    assert x._version[0] == version


@pytest.mark.parametrize("name", [n for n in VIEWS if n not in ("expand", "detach")])
def test_a_write_to_a_view_reaches_its_base_with_its_gradient(name, device):
    """y = x * 1, part of y overwritten by 3 times itself: d(sum y)/dx is 3 there, 1 elsewhere."""
    x = tensor(device).requires_grad_()
    y = x * 1
    part = VIEWS[name](y)
    part.mul_(3)
    marked = tensor(device)
    VIEWS[name](marked).fill_(-1)
    expected = np.where(to_numpy(marked) == -1, 3.0, 1.0)
    np.testing.assert_array_equal(to_numpy(y), to_numpy(x) * expected)
    y.sum().backward()
    np.testing.assert_array_equal(to_numpy(x.grad), expected)


def test_an_expanded_tensor_refuses_writes(device):
    with pytest.raises(RuntimeError, match=r"expanded.*clone\(\)"):
        tensor(device)[:1].expand(5, 3, 4).add_(1)


def test_numpy_shares_memory():
    array = np.zeros(3)
    t = minidl.from_numpy(array)
    array[0] = 1.0
    t[1] = 2.0
    assert t.tolist() == array.tolist() == t.numpy().tolist() == [1.0, 2.0, 0.0]
    assert np.shares_memory(t.numpy(), array)
    assert not np.shares_memory(minidl.tensor(array).numpy(), array)
    assert np.shares_memory(minidl.as_tensor(array).numpy(), array)
