"""no_grad, enable_grad, set_grad_enabled, inference_mode; one mode for each thread."""

import threading

import numpy as np
import pytest
from leaves import ones

import minidl
from minidl.testing import to_numpy

pytestmark = pytest.mark.smoke


def test_modes_nest_and_are_restored(device):
    x = ones(2, device=device)
    with minidl.no_grad():
        assert not (x * 2).requires_grad
        with minidl.enable_grad():
            assert (x * 2).requires_grad
        assert not minidl.is_grad_enabled()
        with pytest.raises(ZeroDivisionError), minidl.enable_grad():
            _ = 1 / 0
        assert not minidl.is_grad_enabled()
    assert minidl.is_grad_enabled()
    with minidl.inference_mode():
        assert not (x * 2).requires_grad


def test_modes_as_decorators(device):
    x = ones(2, device=device)

    @minidl.no_grad()
    def without(y):
        """Doc."""
        return y * 2

    assert not without(x).requires_grad
    assert without.__name__ == "without" and without.__doc__ == "Doc."
    assert minidl.enable_grad()(lambda y: y * 2)(x).requires_grad


def test_set_grad_enabled_works_at_once_and_as_a_context(device):
    x = ones(2, device=device)
    minidl.set_grad_enabled(False)
    try:
        assert not (x * 2).requires_grad
    finally:
        minidl.set_grad_enabled(True)
    with minidl.set_grad_enabled(False):
        assert not (x * 2).requires_grad
    assert minidl.is_grad_enabled()


def test_modes_are_per_thread(device):
    seen = []
    with minidl.no_grad():
        thread = threading.Thread(target=lambda: seen.append(minidl.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_backward_in_several_threads(device):
    leaves = [ones(50, device=device) for _ in range(4)]

    def work(leaf):
        for _ in range(50):
            (leaf * 2).tanh().sum().backward()

    threads = [threading.Thread(target=work, args=(leaf,)) for leaf in leaves]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for leaf in leaves:
        expected = np.full(50, 50 * 2 * (1 - np.tanh(2.0) ** 2))
        np.testing.assert_allclose(to_numpy(leaf.grad), expected)
