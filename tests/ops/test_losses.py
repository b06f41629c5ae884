"""Losses where the records do not look: at the ends of their range, and their old arguments."""

import math

import numpy as np
import pytest

import minidl
from minidl import ops
from minidl.testing import to_numpy


# Values and derivatives as in PyTorch.
@pytest.mark.parametrize(
    ("p", "target", "loss", "slope"),
    [
        (0.0, 0.0, 0.0, 0.0),
        (0.0, 1.0, 100.0, -1e12),
        (1.0, 0.0, 100.0, 1e12),
        (1.0, 1.0, 0.0, 0.0),
        (0.0, 0.5, 50.0, -0.5e12),
    ],
)
def test_binary_cross_entropy_of_certainty(p, target, loss, slope, device):
    x = minidl.tensor([p], dtype=minidl.float64, device=device, requires_grad=True)
    y = ops.binary_cross_entropy(x, minidl.tensor([target], dtype=minidl.float64, device=device))
    y.backward()
    np.testing.assert_allclose([y.item(), x.grad.item()], [loss, slope])


def test_kl_div_of_impossible_events(device):
    x = minidl.tensor([-1.0, -2.0], device=device, requires_grad=True)
    target = minidl.tensor([0.0, 1.0], device=device, requires_grad=True)
    loss = ops.kl_div(x, target, reduction="none")
    assert to_numpy(loss).tolist() == [0.0, 2.0]
    loss.sum().backward()
    assert np.isfinite(to_numpy(target.grad)).all()


def test_small_variances_count_as_eps_and_keep_their_gradient(device):
    var = minidl.tensor([0.0, 1e-9], dtype=minidl.float64, device=device, requires_grad=True)
    zero = minidl.zeros(2, dtype=minidl.float64, device=device)
    loss = ops.gaussian_nll_loss(zero, zero, var, eps=0.01, reduction="sum")
    loss.backward()
    np.testing.assert_allclose(loss.item(), math.log(0.01))
    np.testing.assert_allclose(to_numpy(var.grad), [50.0, 50.0])


@pytest.mark.parametrize(
    ("old", "meant"),
    [
        ({"size_average": True}, "mean"),
        ({"size_average": False}, "sum"),
        ({"reduce": False}, "none"),
        ({"reduce": True}, "mean"),
        ({"size_average": False, "reduce": False}, "none"),
    ],
)
def test_old_names_of_reduction(old, meant, device):
    x, y = minidl.tensor([[1.0, 2.0], [3.0, 5.0]], device=device)
    with pytest.warns(UserWarning, match=f"write reduction='{meant}'"):
        loss = ops.mse_loss(x, y, **old)
    np.testing.assert_array_equal(to_numpy(loss), to_numpy(ops.mse_loss(x, y, reduction=meant)))


# ---------------------------------------------------------------------------------------------- ctc


def sequences(device):
    rng = np.random.default_rng(0)
    scores = minidl.tensor(rng.normal(size=(5, 2, 4)), device=device, requires_grad=True)
    return scores, minidl.tensor([[1, 2, 2], [3, 1, 0]], device=device)


def test_ctc_takes_targets_one_after_the_other(device):
    scores, targets = sequences(device)
    log_probs = ops.log_softmax(scores, 2)
    flat = minidl.tensor([1, 2, 2, 3, 1], device=device)
    padded = ops.ctc_loss(log_probs, targets, [5, 4], [3, 2], reduction="none")
    joined = ops.ctc_loss(log_probs, flat, [5, 4], [3, 2], reduction="none")
    np.testing.assert_array_equal(to_numpy(padded), to_numpy(joined))
    alone = ops.ctc_loss(log_probs[:, 1], flat[3:], [4], [2], reduction="none")
    assert alone.shape == ()
    np.testing.assert_allclose(alone.item(), to_numpy(padded)[1])


def test_ctc_gradient_is_that_before_log_softmax(device):
    """e^log_probs - share of the paths: the derivative by scores, also when log_probs is a leaf."""
    scores, targets = sequences(device)
    ops.ctc_loss(ops.log_softmax(scores, 2), targets, [5, 4], [3, 2]).backward()
    leaf = ops.log_softmax(scores, 2).detach().requires_grad_()
    ops.ctc_loss(leaf, targets, [5, 4], [3, 2]).backward()
    np.testing.assert_allclose(to_numpy(leaf.grad), to_numpy(scores.grad), atol=1e-12)
    assert (to_numpy(leaf.grad)[4, 1] == 0).all()  # behind the end of the second input


def test_ctc_of_a_target_too_long_for_its_input(device):
    scores, targets = sequences(device)
    log_probs = ops.log_softmax(scores, 2)
    call = (log_probs, targets, [3, 4], [3, 2])  # 1 2 2 needs four steps
    infinite = to_numpy(ops.ctc_loss(*call, reduction="none"))
    zero = ops.ctc_loss(*call, reduction="none", zero_infinity=True)
    assert infinite[0] == math.inf
    assert to_numpy(zero).tolist() == [0.0, infinite[1]]
    zero.sum().backward()
    assert (to_numpy(scores.grad)[:, 0] == 0).all()
    assert np.isfinite(to_numpy(scores.grad)).all()


def test_ctc_of_probabilities_of_zero(device):
    log_probs = minidl.full((2, 1, 3), -math.inf, dtype=minidl.float64, device=device)
    log_probs[0, 0, 1] = 0.0
    log_probs[1, 0, 0] = 0.0
    log_probs.requires_grad_()
    loss = ops.ctc_loss(log_probs, minidl.tensor([[1]], device=device), [2], [1])
    loss.backward()
    assert loss.item() == 0
    assert np.isfinite(to_numpy(log_probs.grad)).all()
