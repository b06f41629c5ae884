"""Backward and grad: hooks, pruning, freed graphs, orders of derivatives, bad calls."""

from __future__ import annotations

import numpy as np
import pytest
from leaves import ones

import minidl
from minidl import GraphError, autograd
from minidl.device import Array
from minidl.makers import op

pytestmark = pytest.mark.smoke


# -------------------------------------------------------------------------------------------- hooks


def test_a_hook_sees_the_whole_gradient_and_may_change_it(device):
    x = ones(2, device=device)
    y = x * 3
    seen = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    y.register_hook(lambda g: g * 10)
    (y * 2 + y * 5).sum().backward()
    assert seen == [[7.0, 7.0]]
    assert x.grad.tolist() == [210.0, 210.0]


def test_a_hook_on_a_leaf_acts_before_accumulation(device):
    x = ones(2, device=device)
    x.register_hook(lambda g: -g)
    (x * 2).sum().backward()
    (x * 2).sum().backward()
    assert x.grad.tolist() == [-4.0, -4.0]


def test_a_removed_hook_is_silent(device):
    x = ones(2, device=device)
    handle = x.register_hook(lambda g: g * 100)
    handle.remove()
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_a_hook_belongs_to_the_value_it_was_put_on(device):
    """Put on before a write: sees the gradient of the old value."""
    x = ones(2, device=device)
    y = x * 1
    seen = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    y.mul_(3)
    (y * 2).sum().backward()
    assert seen == [[6.0, 6.0]]


def test_retain_grad_follows_the_tensor(device):
    x = ones(4, device=device)
    y = x * 1
    y.retain_grad()
    y[:2].mul_(3)
    (y * 2).sum().backward()
    assert y.grad.tolist() == [2.0] * 4
    assert x.grad.tolist() == [6.0, 6.0, 2.0, 2.0]


def test_retain_grad_is_what_the_hooks_leave_and_accumulates(device):
    x = ones(2, device=device)
    y = x * 1
    y.retain_grad()
    y.register_hook(lambda g: g * 2)
    z = (y * 3).sum()
    z.backward(retain_graph=True)
    assert y.grad.tolist() == [6.0, 6.0]
    z.backward()
    assert y.grad.tolist() == [12.0, 12.0]
    x.retain_grad()  # nothing to do on a leaf


def test_a_view_that_was_written_is_a_new_view_of_its_base(device):
    """As in PyTorch: only what used the view itself counts towards its gradient."""
    x = ones(4, device=device)
    y = x * 1
    v = y[:2]
    v.mul_(3)
    seen = []
    v.register_hook(lambda g: seen.append(g.tolist()))
    (y.sum() + (v * 5).sum()).backward()
    assert seen == [[5.0, 5.0]]
    assert x.grad.tolist() == [18.0, 18.0, 1.0, 1.0]


# -------------------------------------------------------------------------------- backward and grad


def test_grad_touches_no_grad_field_and_frees_only_its_part(device):
    x, y = ones(2, device=device), ones(2, device=device)
    a, b = x * x, y * y
    z = (a + b).sum()
    (gx,) = autograd.grad(z, x, retain_graph=False)
    assert gx.tolist() == [2.0, 2.0]
    assert x.grad is None and y.grad is None
    b.sum().backward()  # y's part was not on the way to x
    assert y.grad.tolist() == [2.0, 2.0]
    with pytest.raises(GraphError, match="second time"):
        a.sum().backward()


def test_grad_of_what_was_computed(device):
    x = ones(2, device=device)
    y = x * 3
    z = (y * y).sum()
    gy, gx, gz = autograd.grad(z, [y, x, z])
    assert (gy.tolist(), gx.tolist(), gz.item()) == ([6.0, 6.0], [18.0, 18.0], 1.0)


def test_unused_inputs(device):
    x, y = ones(2, device=device), ones(2, device=device)
    with pytest.raises(GraphError, match=r"input 1.*allow_unused=True"):
        autograd.grad((x * 2).sum(), [x, y], retain_graph=True)
    assert autograd.grad((x * 2).sum(), [x, y], allow_unused=True)[1] is None
    zeros = autograd.grad((x * 2).sum(), [x, y], materialize_grads=True)[1]
    assert zeros.tolist() == [0.0, 0.0]


def test_several_outputs_add_up(device):
    x = ones(2, device=device)
    a, b = x * 2, x * 3
    g = minidl.tensor([1.0, 10.0], dtype=minidl.float64, device=device)
    assert autograd.grad([a, b], x, [g, g])[0].tolist() == [5.0, 50.0]
    y = x * 2
    assert autograd.grad([y, y.sum()], x, [g, None])[0].tolist() == [4.0, 22.0]


def test_backward_inputs(device):
    x, y = ones(2, device=device), ones(2, device=device)
    z = x * y
    z.sum().backward(inputs=[x])
    assert x.grad is not None and y.grad is None
    h = x * 2
    (h * h).sum().backward(inputs=h)
    assert h.grad.tolist() == [4.0, 4.0]


def test_derivatives_of_high_order(device):
    x = minidl.tensor(0.7, dtype=minidl.float64, device=device, requires_grad=True)
    y = x.sin()
    for order in range(1, 7):
        (y,) = autograd.grad(y, x, create_graph=True)
        expected = np.sin(0.7 + order * np.pi / 2)
        np.testing.assert_allclose(y.item(), expected, rtol=1e-12)


def test_create_graph_in_backward(device):
    x = minidl.tensor(2.0, dtype=minidl.float64, device=device, requires_grad=True)
    (x**3).backward(create_graph=True)
    first = x.grad
    assert first.requires_grad and first.item() == 12.0
    assert autograd.grad(first, x)[0].item() == 12.0


BAD = {
    "no graph": (lambda x: minidl.ones(1).backward(), "does not require a gradient"),
    "not a scalar": (lambda x: (x * 2).backward(), r"one element.*\(2,\).*sum"),
    "wrong cotangent": (lambda x: (x * 2).backward(minidl.ones(3)), r"\(3,\).*\(2,\)"),
    "integer cotangent": (lambda x: (x * 2).backward(minidl.ones(2).long()), "int64"),
    "input without gradient": (
        lambda x: autograd.grad(x.sum(), minidl.ones(2)),
        "input 0 does not require a gradient",
    ),
    "too few cotangents": (lambda x: autograd.grad([x, x * 2], x, [x]), "2 outputs.*1"),
    "hook without gradient": (lambda x: minidl.ones(1).register_hook(print), "require a gradient"),
    "requires_grad off": (lambda x: (x * 2).requires_grad_(False), "leaf.*detach"),
    "numpy of a leaf": (lambda x: x.numpy(), r"detach\(\)\.numpy\(\)"),
    "deepcopy of a result": (lambda x: __import__("copy").deepcopy(x * 2), "detach"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_calls_say_what_to_do(name, device):
    call, words = BAD[name]
    with pytest.raises(RuntimeError, match=f"(?s){words}"):
        call(ones(2, device=device))


# --------------------------------------------------------------------------------------------- rest


def test_data_is_out_of_sight(device):
    x = ones(2, device=device)
    y = x * x
    x.data.mul_(3)
    assert x.tolist() == [3.0, 3.0]
    x.data = minidl.zeros(3, dtype=minidl.float64, device=device)
    assert (x.shape, x.is_leaf, x.requires_grad) == ((3,), True, True)
    x.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0, 1.0]
    assert y.requires_grad


def test_requires_grad_of_results(device):
    x, c = ones(2, device=device), ones(2, device=device, requires_grad=False)
    assert (x * c).requires_grad and not (c * c).requires_grad
    assert not (x > 0).requires_grad and not x.argmax().requires_grad
    assert x.max(0)[0].requires_grad and not x.max(0)[1].requires_grad
    assert not x.detach().requires_grad
    assert x.is_leaf and c.is_leaf and not (x * c).is_leaf and (c * c).is_leaf


def test_a_float_result_of_integers_has_no_gradient(device):
    x = minidl.tensor([1, 2], device=device)
    assert not (x / 2).requires_grad
    y = ones(2, device=device)
    assert (x * y).requires_grad
    (x * y).sum().backward()
    assert y.grad.tolist() == [1.0, 2.0]


def test_a_rule_must_return_a_tensor(device):
    @op
    def halved(input: Array):
        return input / 2

    halved.vjp(input=lambda g: 0.5)
    out = halved(ones(2, device=device))
    with pytest.raises(TypeError, match="a rule of halved returned a float, expected a Tensor"):
        out.sum().backward()
