"""Activations with inplace=True: same values and gradients, in the input's own memory."""

import inspect

import numpy as np
import pytest

import minidl
from minidl.nn import activation_functions
from minidl.nn import functional as F
from minidl.testing import to_numpy

NAMES = [
    name
    for name, function in vars(activation_functions).items()
    if callable(function) and "inplace" in getattr(inspect.signature(function), "parameters", ())
    if not name.endswith("_")
]
MORE = {"threshold": (0.3, 2.0)}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("by_position", [False, True])
def test_inplace(name, by_position, device):
    function = getattr(F, name)
    given = MORE.get(name, ())
    if by_position:
        defaults = [p.default for p in inspect.signature(function).parameters.values()][1:-1]
        given = (*given, *defaults[len(given) :], True)
    x = np.random.default_rng(0).normal(size=(3, 4))
    results = []
    for place in (False, True):
        leaf = minidl.tensor(x, device=device, requires_grad=True)
        inner = leaf * 2
        if not place:
            out = function(inner, *MORE.get(name, ()))
        elif by_position:
            out = function(inner, *given)
        else:
            out = function(inner, *given, inplace=True)
        assert (out is inner) is place
        (out * out).sum().backward()
        results.append((to_numpy(out), to_numpy(leaf.grad)))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_allclose(results[0][1], results[1][1])


@pytest.mark.parametrize(
    "name", "celu_ elu_ hardtanh_ leaky_relu_ relu_ rrelu_ selu_ threshold_".split()
)
def test_functions_that_write_into_their_input(name, device):
    x = minidl.tensor([-2.0, -0.5, 0.5, 2.0], device=device)
    expected = getattr(F, name[:-1])(x, *MORE.get(name[:-1], ()))
    assert getattr(F, name)(x, *MORE.get(name[:-1], ())) is x
    np.testing.assert_array_equal(to_numpy(x), to_numpy(expected))


def test_a_leaf_that_needs_a_gradient_is_not_written_into(device):
    x = minidl.ones(2, device=device, requires_grad=True)
    with pytest.raises(RuntimeError):
        F.elu(x, inplace=True)
