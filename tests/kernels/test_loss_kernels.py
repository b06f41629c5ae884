"""Kernels of losses, and of dropout."""

import numpy as np
import pytest

import minidl
from minidl.nn import functional as F
from minidl.ops.dropout import _dropout
from minidl.random import uniforms, words
from tests import parity

nan, inf = np.nan, np.inf


def numbers(*shape, scale=3.0):
    return scale * np.random.default_rng(6).standard_normal(shape)


def labels(classes, *shape, ignored=None):
    found = np.random.default_rng(7).integers(0, classes, shape)
    if ignored is not None:
        found.reshape(-1)[::3] = ignored
    return minidl.from_numpy(found)


REDUCTION = pytest.mark.parametrize("reduction", ["mean", "sum", "none"])


@REDUCTION
@pytest.mark.parametrize("ignored", [None, -100, 5])
@pytest.mark.parametrize("options", ["", "smooth", "weight"])
@pytest.mark.parametrize("shape", [(13, 7), (4, 101, 3), (2, 9, 5, 3), (11,)])
def test_cross_entropy(reduction, ignored, options, shape):
    classes = shape[1] if len(shape) > 1 else shape[0]
    rest = (shape[0], *shape[2:]) if len(shape) > 1 else ()
    target = labels(classes, *rest, ignored=ignored if rest else None)
    weight = np.random.default_rng(8).random(classes)

    def loss(x):
        return F.cross_entropy(
            x,
            target,
            minidl.tensor(weight, dtype=x.dtype) if options == "weight" else None,
            ignore_index=-100 if ignored is None else ignored,
            reduction=reduction,
            label_smoothing=0.2 if options == "smooth" else 0.0,
        )

    parity.check(loss, numbers(*shape), kernel="cross_entropy")


def test_cross_entropy_of_a_large_vocabulary():
    target = labels(20011, 5)
    parity.check(lambda x: F.cross_entropy(x, target), numbers(5, 20011), kernel="cross_entropy")


def test_cross_entropy_of_large_logits():
    """The largest logit is subtracted before anything is added to it."""
    target = labels(50, 20)
    for smoothing in (0.0, 0.3):
        parity.check(
            lambda x: F.cross_entropy(x, target, label_smoothing=smoothing),  # noqa: B023
            1e4 + numbers(20, 50).round(),
            kernel="cross_entropy",
        )


def test_cross_entropy_in_any_layout():
    target = labels(8, 3, 5, 6)
    for x in parity.layouts(numbers(3, 8, 5, 6)):
        parity.check(lambda x: F.cross_entropy(x, target), x, kernel="cross_entropy")


@REDUCTION
def test_cross_entropy_nan_and_infinity_as_in_the_definition(reduction):
    x, target = numbers(8, 6), labels(6, 8)
    target[5] = target[6] = -100
    x[0, 1], x[1, 2], x[2, int(target[2])], x[3, int(target[3])] = nan, inf, -inf, inf
    x[4], x[5, 1], x[6, 2] = -inf, nan, inf
    for row in range(8):  # one at a time: a nan would hide the rest
        one = slice(row, row + 1)
        parity.check(
            lambda x: F.cross_entropy(x, target[one], reduction="sum"),  # noqa: B023
            x[one],
            kernel="cross_entropy",
        )
    parity.check(lambda x: F.cross_entropy(x, target, reduction="none"), x)


def test_labels_that_change_after_the_forward():
    """The gradient is that of the labels as they were."""
    x, target = minidl.randn(40, 9, requires_grad=True), labels(9, 40)
    loss = F.cross_entropy(x, target)
    (expected,) = minidl.autograd.grad(F.cross_entropy(x, target.clone()), x)
    target.fill_(0)
    (found,) = minidl.autograd.grad(loss, x)
    np.testing.assert_array_equal(found.numpy(), expected.numpy())


@pytest.mark.parametrize("bad", [9, -1, 1000])
def test_labels_outside_are_refused(bad):
    target = labels(9, 40)
    target[17] = bad
    with pytest.raises(IndexError, match=f"cross_entropy: label: index {bad} is out of range"):
        F.cross_entropy(minidl.randn(40, 9), target)


def test_all_labels_ignored():
    x, target = minidl.randn(4, 3, requires_grad=True), minidl.full((4,), -100)
    for smoothing in (0.0, 0.1):
        loss = F.cross_entropy(x, target, label_smoothing=smoothing)
        assert np.isnan(loss.item())
        (gradient,) = minidl.autograd.grad(loss, x)
        assert (gradient == 0).all()
    assert F.cross_entropy(x, target, reduction="sum").item() == 0.0


def test_class_weights_with_a_gradient():
    """They are rare; the definition gives them one."""
    target = labels(9, 40)
    parity.check(lambda x, w: F.cross_entropy(x, target, w.abs()), numbers(40, 9), numbers(9) + 5.0)


PAIRS = {
    "mse_loss": F.mse_loss,
    "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("shape", [(1,), (4095,), (4097,), (3, 50, 41)])
def test_pairs_of_numbers(name, reduction, shape):
    y = np.random.default_rng(9).random(shape)
    parity.check(
        lambda x, y: PAIRS[name](x, y, reduction=reduction), numbers(*shape), y, kernel=name
    )
    target = minidl.tensor(y)
    parity.check(
        lambda x: PAIRS[name](x, target.to(x.dtype), reduction=reduction),
        numbers(*shape),
        kernel=name,
    )


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_in_any_layout(name):
    y = np.random.default_rng(9).random((3, 4, 5, 21))
    for x in parity.layouts(numbers(3, 4, 5, 21)):
        parity.check(PAIRS[name], x, y, kernel=name)
        parity.check(PAIRS[name], y, x.clip(0, 1), kernel=name)


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_with_nan_and_infinity(name):
    for special in (nan, inf, -inf, 100.0, -100.0):
        x, y = numbers(30), np.tile([0.0, 1.0], 15)
        x[4:6] = special
        parity.check(PAIRS[name], x, y, kernel=name)


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_that_the_kernel_refuses(name):
    x = minidl.zeros(6, 3)
    with parity.kernels_used() as used:
        PAIRS[name](x, x, reduction="none")
        PAIRS[name](x, x, weight=minidl.ones(6, 3))
        with pytest.raises(ValueError, match="reduction"):
            PAIRS[name](x, x, reduction="max")
    assert name not in used


LOSSES = PAIRS | {"cross_entropy": lambda x, y: F.cross_entropy(x, y.argmax(1))}


@pytest.mark.parametrize("name", LOSSES)
def test_same_bits_on_any_number_of_threads(name):
    y = np.random.default_rng(9).random((90, 150))
    parity.same_bits(LOSSES[name], numbers(90, 150), y)


@pytest.mark.parametrize("name", LOSSES)
def test_second_derivative(name):
    y = np.random.default_rng(9).random((6, 45))

    def slope(x, y):
        (first,) = minidl.autograd.grad(LOSSES[name](x, y) ** 2, x, create_graph=True)
        return first * 1.0

    parity.check(slope, numbers(6, 45), y, kernel=name)


# ------------------------------------------------------------------------------------------ dropout


@pytest.mark.parametrize("offset", [0, 1, 2, 3, 2**34 + 1])
@pytest.mark.parametrize("size", [1, 3, 4, 4095, 4096, 4097, 20001])
def test_random_words_are_those_of_the_definition(offset, size):
    found = words(2**40 + 12345, offset, size, stream=1)
    with minidl.kernels.disabled():
        np.testing.assert_array_equal(found, words(2**40 + 12345, offset, size, stream=1))


@pytest.mark.parametrize("p", [1e-9, 0.1, 1 / 3, 0.5, 1.0])
@pytest.mark.parametrize("offset", [0, 1, 3])
def test_dropout_drops_what_the_definition_drops(p, offset):
    x = numbers(4099)
    x[:3] = nan, inf, -inf
    parity.check(lambda x: _dropout(x, p, 2**40 + 1, offset, False), x, kernel="dropout")


def test_a_number_that_is_exactly_p_stays():
    u = uniforms(1, 0, 50, "float32")
    out = _dropout(minidl.ones(50), float(u[7]), 1, 0, False)
    assert out[7].item() > 0
    np.testing.assert_array_equal(out.numpy() > 0, u >= u[7])


def test_dropout_goes_by_the_logical_order():
    for x in parity.layouts(numbers(2, 3, 16, 90)):
        parity.check(lambda x: _dropout(x, 0.5, 1, 2, False), x, kernel="dropout")


def test_dropout_has_the_same_bits_on_any_number_of_threads():
    parity.same_bits(lambda x: _dropout(x, 0.5, 1, 2, False), numbers(30001))


def test_whole_channels_go_by_the_definition():
    with parity.kernels_used() as used:
        F.dropout2d(minidl.ones(2, 3, 4, 5))
    assert "dropout" not in used
