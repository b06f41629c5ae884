"""Checkpointing: the same numbers, less memory, and what it must refuse."""

import gc
import weakref

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.testing import gradcheck, gradgradcheck, to_numpy
from minidl.utils.checkpoint import checkpoint, checkpoint_sequential


def close(a, b):
    np.testing.assert_allclose(to_numpy(a), to_numpy(b), rtol=1e-12)


def double(*shape, device="cpu"):
    return minidl.randn(*shape, dtype=minidl.float64, device=device).requires_grad_()


def test_gradients_are_those_without_it(device):
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double().to(device)
    x, v = double(5, 4, device=device), double(5, 3, device=device).detach()
    model(x).backward(v)
    expected = [x.grad, *(p.grad for p in model.parameters())]
    x.grad = None
    model.zero_grad()
    checkpoint(model, x).backward(v)
    for found, right in zip([x.grad, *(p.grad for p in model.parameters())], expected, strict=True):
        close(found, right)


def test_derivatives_of_both_orders(device):
    def function(x, w):
        return checkpoint(lambda a, b: (a @ b).tanh() * a.sum(), x, w)

    inputs = (double(3, 3, device=device), double(3, 3, device=device))
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


def test_several_outputs_of_which_one_is_used(device):
    x, y = double(3, device=device), double(3, device=device)
    _, extra, b = checkpoint(lambda x, y: (x * y, "text", [x.exp(), y.detach()]), x, y)
    assert extra == "text"
    assert not b[1].requires_grad
    gx, gy = minidl.autograd.grad((b[0] * 2).sum(), [x, y], allow_unused=True)
    close(gx, 2 * x.detach().exp())
    assert gy is None


def test_tensors_of_the_code_around_it_get_gradients(device):
    x = double(3, device=device)
    c = x * 2
    d = c * c  # both are read inside: each must get its own share only
    out = checkpoint(lambda: c * d)
    (found,) = minidl.autograd.grad(out.sum(), x)
    close(found, 24 * x.detach() ** 2)


def test_an_argument_given_back_and_one_computed_from_the_other(device):
    x = double(3, device=device)
    y = x * 3
    first, second = checkpoint(lambda a, b: (a, a * b), x, y)
    (found,) = minidl.autograd.grad((first + second).sum(), x)
    close(found, 1 + 6 * x.detach())


@pytest.mark.parametrize("preserve", [True, False])
def test_random_numbers(device, preserve):
    x = minidl.ones(1000, device=device, requires_grad=True)
    out = checkpoint(
        lambda x: nn.functional.dropout(x, 0.5), x, preserve_rng_state=preserve, use_reentrant=False
    )
    before = minidl.get_rng_state().tolist()
    out.sum().backward()
    assert bool((x.grad == out.detach()).all()) is preserve
    if preserve:
        assert minidl.get_rng_state().tolist() == before


def test_only_the_inputs_stay_alive():
    gc.disable()
    try:
        x = double(10)
        inner = []

        def function(x):
            hidden = x.exp()
            inner.append(weakref.ref(hidden))
            return hidden * hidden

        out = checkpoint(function, x)
        assert inner[0]() is None
        out.sum().backward()
        assert all(ref() is None for ref in inner)
        close(x.grad, 2 * minidl.exp(2 * x.detach()))
        node = weakref.ref(out.grad_fn)
        del out
        assert node() is None
    finally:
        gc.enable()


def test_checkpoints_inside_checkpoints(device):
    x = double(3, device=device)

    def outer(x):
        return checkpoint(lambda y: y.sin() * y, x * 2)

    (found,) = minidl.autograd.grad(checkpoint(outer, x).sum(), x)
    y = 2 * x.detach()
    close(found, 2 * (y.cos() * y + y.sin()))


def test_without_recording_it_is_a_call(device):
    x = double(3, device=device)
    with minidl.no_grad():
        assert not checkpoint(lambda x: x * 2, x).requires_grad
    assert checkpoint(lambda x: x.detach() * 2, x).requires_grad is False


def test_a_function_that_does_something_else_the_second_time_is_refused():
    x, other = double(3), double(3)
    calls = []

    def fickle(x):
        calls.append(1)
        return x * 2 if len(calls) == 1 else x * other

    out = checkpoint(fickle, x).sum()
    with pytest.raises(RuntimeError, match="the same both times"):
        out.backward()


@pytest.mark.parametrize("segments", [1, 2, 3])
def test_sequential(device, segments):
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    model = model.double().to(device)
    x = double(3, 4, device=device)
    (expected,) = minidl.autograd.grad(model(x).sum(), x)
    found = checkpoint_sequential(model, segments, x, use_reentrant=False)
    close(found, model(x))
    close(minidl.autograd.grad(found.sum(), x)[0], expected)
