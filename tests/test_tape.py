"""The tape: the order of the walk, graphs of any depth, and what stays alive."""

import gc
import weakref

import numpy as np
import pytest
from leaves import ones

import minidl
from minidl import GraphError, autograd
from minidl.testing import gradcheck, gradgradcheck, to_numpy


@pytest.fixture
def collector_off():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


# ---------------------------------------------------------------------------------- order and depth


def test_chain_of_100_000_ops(device):
    x = ones((), device=device)
    y = x
    for _ in range(100_000):
        y = y + 1e-9
    y.backward()
    assert x.grad.item() == 1.0


def test_shared_graph_of_depth_10_000(device):
    """y = y/2 + y/2 has 2^10000 paths; each node runs once."""
    x = ones((), device=device)
    y = x
    for _ in range(10_000):
        half = y * 0.5
        y = half + half
    y.backward()
    assert x.grad.item() == 1.0


def test_dropping_a_graph_of_300_000_nodes(device):
    x = ones((), device=device)
    y = x
    for _ in range(300_000):
        y = y * 0.999999
    del y
    y = x * 2
    y.backward()
    assert x.grad.item() == 2.0


def test_dropping_a_chain_of_views_and_writes(device):
    x = ones(3, device=device)
    y = x * 1
    for _ in range(50_000):
        y.mul_(1.0)
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0, 1.0]
    v = x * 1
    for _ in range(20_000):
        v = v[:]
    v.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]


def test_each_node_runs_after_all_that_used_it(device):
    """A diamond whose short side was recorded first and whose long side last."""
    x = ones((), device=device)
    a = x * 2
    short = a * 3
    long = a
    for _ in range(5):
        long = long * 2
    (short * long).backward()
    assert x.grad.item() == 2 * (2 * 3) * (2 * 2**5)


def test_edges_are_those_of_the_forward(device):
    """Changing y after z was made from it changes nothing about z."""
    x = ones(3, device=device)
    y = x * 1
    z = y + 1
    y.mul_(3)
    z.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0, 1.0]


# ------------------------------------------------------------------------------------------- memory


def test_no_graph_alive_after_backward(collector_off, device):
    x = ones(4, 4, device=device)
    y = (x * 2).tanh()
    z = (y * y).sum()
    alive = [weakref.ref(t) for t in (y, z, y.grad_fn, z.grad_fn)]
    z.backward()
    del y, z
    assert [ref() for ref in alive] == [None] * 4


OPS_IN_A_GRAPH = {
    "elementwise": lambda x: (x.exp() * x).tanh(),
    "views": lambda x: (x * 1)[0].t().reshape(-1)[1:],
    "in place": lambda x: (x * 1).mul_(2).add_(x),
    "in place on a view": lambda x: written(x),
    "softmax": lambda x: minidl.softmax(x, -1),
    "several outputs": lambda x: x.max(1)[0] + sum(x.split(2, 1))[:, 0],
    "hooks": lambda x: hooked(x),
    "retain_grad": lambda x: retained(x),
    "matmul": lambda x: x @ x,
    "create_graph": lambda x: autograd.grad(x.exp().sum(), x, create_graph=True)[0],
    "function": lambda x: Doubled.apply(x),
    "batch_norm": lambda x: minidl.ops.batch_norm(x, None, None, training=True),
}


class Doubled(autograd.Function):
    @staticmethod
    def forward(ctx, x):
        out = x * 2
        ctx.save_for_backward(x, out)
        return out

    @staticmethod
    def backward(ctx, g):
        return g * 2


def written(x):
    y = x * 1
    y[0].mul_(3)
    y[1:, 1:] = x[1:, 1:] * 2
    return y


def hooked(x):
    y = x * 1
    y.register_hook(lambda g: g * y.shape[0])
    return y


def retained(x):
    y = x * 1
    y.retain_grad()
    return y


@pytest.mark.parametrize("name", OPS_IN_A_GRAPH)
@pytest.mark.parametrize("with_backward", [True, False])
def test_no_graph_alive_after_dropping_it(name, with_backward, collector_off, device):
    x = ones(4, 4, device=device)
    y = OPS_IN_A_GRAPH[name](x)
    out = y.sum()
    if name == "hooks":
        out = (y * 1).sum()
    alive = [weakref.ref(y), weakref.ref(y.grad_fn), weakref.ref(out.grad_fn)]
    if with_backward:
        out.backward(retain_graph=True)
    del y, out
    if name == "hooks":  # the hook itself holds y: a cycle that the user made
        gc.collect()
    assert [ref() for ref in alive] == [None] * 3


def test_a_freed_graph_says_so(device):
    x = ones(3, device=device)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(GraphError, match=r"second time.*freed.*retain_graph=True"):
        y.backward()
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [6.0, 6.0, 6.0]


def test_gradients_do_not_share_memory(device):
    a, b = ones(3, device=device), ones(3, device=device)
    (a + b).sum().backward()
    a.grad.mul_(5)
    assert b.grad.tolist() == [1.0, 1.0, 1.0]
    c = ones(3, device=device)
    g = minidl.tensor([1.0, 2.0, 3.0], dtype=minidl.float64, device=device)
    (c * 1).backward(g)
    d = ones(3, device=device)
    d.clone().backward(g)
    d.grad.mul_(0)
    c.grad.mul_(0)
    assert g.tolist() == [1.0, 2.0, 3.0]


def test_a_leafs_gradient_is_dense_and_its_own(device):
    x = ones(3, 2, device=device)
    x.sum().backward()
    array = to_numpy(x.grad)
    assert array.flags.writeable and array.flags.c_contiguous
    assert x.grad.dtype == x.dtype
    x.grad = None
    x.t().exp().t().backward(ones(3, 2, device=device, requires_grad=False))
    assert to_numpy(x.grad).flags.writeable
    x.grad[0, 0] = 7.0


def test_gradients_accumulate_in_place_of_the_same_tensor(device):
    x = ones(3, device=device)
    x.sum().backward()
    first = x.grad
    (2 * x).sum().backward()
    assert x.grad is first
    assert first.tolist() == [3.0, 3.0, 3.0]


# ---------------------------------------------------------------------------------- several outputs


def test_one_of_several_outputs(device):
    for pick in range(3):
        x = minidl.tensor(np.arange(6.0).reshape(2, 3), device=device, requires_grad=True)
        parts = x.unbind(1)
        parts[pick].sum().backward()
        expected = np.zeros((2, 3))
        expected[:, pick] = 1
        np.testing.assert_array_equal(to_numpy(x.grad), expected)


class SumAndDifference(autograd.Function):
    seen = []  # noqa: RUF012

    @staticmethod
    def forward(ctx, x, y):
        return x + y, x - y

    @staticmethod
    def backward(ctx, g, h):
        SumAndDifference.seen.append((g.tolist(), h.tolist()))
        return g + h, g - h


def test_a_function_with_two_outputs(device):
    x, y = ones(2, device=device), ones(2, device=device)
    total, difference = SumAndDifference.apply(x, y)
    (total * 3).sum().backward()
    assert (x.grad.tolist(), y.grad.tolist()) == ([3.0, 3.0], [3.0, 3.0])
    assert SumAndDifference.seen.pop() == ([3.0, 3.0], [0.0, 0.0])
    total, difference = SumAndDifference.apply(x, y)
    (total + difference).sum().backward()
    assert x.grad.tolist() == [5.0, 5.0]
    assert gradcheck(SumAndDifference.apply, (x, y))
    assert gradgradcheck(SumAndDifference.apply, (x, y))
