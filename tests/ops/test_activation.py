"""Activations where the records do not look: at kinks, at infinity, at random."""

import math

import numpy as np
import pytest

import minidl
from minidl import ops
from minidl.testing import to_numpy

INF = math.inf


# What PyTorch gives at the kinks.
@pytest.mark.parametrize(
    ("function", "at", "value", "slope"),
    [
        (ops.relu6, 0.0, 0.0, 0.0),
        (ops.relu6, 6.0, 6.0, 0.0),
        (ops.hardtanh, -1.0, -1.0, 0.0),
        (ops.hardtanh, 1.0, 1.0, 0.0),
        (ops.hardsigmoid, -3.0, 0.0, 0.0),
        (ops.hardsigmoid, 3.0, 1.0, 0.0),
        (ops.hardswish, -3.0, 0.0, 0.0),
        (ops.hardswish, 3.0, 3.0, 1.0),
        (ops.hardshrink, 0.5, 0.0, 0.0),
        (ops.softshrink, 0.5, 0.0, 0.0),
        (ops.softshrink, -0.5, 0.0, 0.0),
        (ops.leaky_relu, 0.0, 0.0, 0.01),
        (ops.elu, 0.0, 0.0, 1.0),
        (lambda x: ops.elu(x, 0.5), 0.0, 0.0, 0.5),
        (lambda x: ops.celu(x, 0.5), 0.0, 0.0, 1.0),
        (lambda x: ops.threshold(x, 1.0, 7.0), 1.0, 7.0, 0.0),
        (lambda x: ops.prelu(x, minidl.tensor(0.25, device=x.device)), 0.0, 0.0, 0.25),
        (ops.softsign, 0.0, 0.0, 1.0),
    ],
)
def test_kinks(function, at, value, slope, device):
    x = minidl.tensor(at, dtype=minidl.float64, device=device, requires_grad=True)
    y = function(x)
    y.backward()
    np.testing.assert_allclose([y.item(), x.grad.item()], [value, slope], atol=1e-15)


@pytest.mark.parametrize(
    ("function", "low", "high"),
    [
        (ops.relu6, 0, 6),
        (ops.hardtanh, -1, 1),
        (ops.hardsigmoid, 0, 1),
        (ops.hardshrink, -INF, INF),
        (ops.softshrink, -INF, INF),
        (ops.elu, -1, INF),
        (ops.celu, -1, INF),
        (ops.selu, -1.7580993408473766, INF),
        (ops.softplus, 0, INF),
        (ops.logsigmoid, -INF, 0),
    ],
)
def test_infinity(function, low, high, device):
    """The limits, and derivatives that are numbers; nan stays nan."""
    x = minidl.tensor([-INF, INF], dtype=minidl.float64, device=device, requires_grad=True)
    y = function(x)
    np.testing.assert_allclose(to_numpy(y), [low, high])
    y.backward(minidl.ones_like(y))
    assert np.isfinite(to_numpy(x.grad)).all()
    assert math.isnan(function(minidl.tensor(math.nan, device=device)).item())


def test_integers_stay_integers(device):
    x = minidl.tensor([-7, 1, 9], device=device)
    for y, expected in [
        (ops.relu6(x), [0, 1, 6]),
        (ops.hardtanh(x, -2, 3), [-2, 1, 3]),
        (ops.threshold(x, 1, 5), [5, 5, 9]),
    ]:
        assert y.dtype == minidl.int64
        assert to_numpy(y).tolist() == expected


def test_rrelu_in_training_draws_slopes(device):
    minidl.manual_seed(0)
    y = to_numpy(ops.rrelu(-minidl.ones(4000, device=device), 0.2, 0.4, training=True))
    assert -0.4 <= y.min() < -0.39
    assert -0.21 < y.max() <= -0.2
    assert abs(y.mean() + 0.3) < 0.01
    assert to_numpy(ops.rrelu(minidl.ones(3, device=device), training=True)).tolist() == [1, 1, 1]


def test_gumbel_softmax_draws_from_softmax(device):
    minidl.manual_seed(0)
    p = np.array([0.2, 0.3, 0.5])
    logits = minidl.tensor(np.log([p] * 4000), device=device, requires_grad=True)
    drawn = ops.gumbel_softmax(logits, hard=True)
    hard = to_numpy(drawn)
    np.testing.assert_allclose(hard.max(1), 1)
    np.testing.assert_allclose(hard.sum(1), 1)
    np.testing.assert_allclose(hard.mean(0), p, atol=0.03)
    drawn[:, 0].sum().backward()  # goes through the soft draw
    assert np.abs(to_numpy(logits.grad)).max() > 0.01
