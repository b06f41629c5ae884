"""The CUDA kernels of losses, run by the shim."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import ops
from minidl.testing import standin
from tests.gpu.parity import SPECIAL, arrays, check, layouts, on_shim
from tests.gpu.sources import needs_gxx
from tests.parity import kernels_used

pytestmark = needs_gxx
PAIRS = {
    "mse_loss": ops.mse_loss,
    "binary_cross_entropy_with_logits": ops.binary_cross_entropy_with_logits,
}


@st.composite
def labelled(draw, special=SPECIAL):
    """Logits (N, C, ...) or (C,), and labels within the classes, some to be ignored."""
    x = draw(arrays(min_dims=1, max_dims=3, special=special))
    axis = min(x.ndim - 1, 1)
    random = np.random.default_rng(draw(st.integers(0, 99)))
    shape = x.shape[:axis] + x.shape[axis + 1 :]
    labels = random.integers(0, x.shape[axis], shape)
    ignored = random.random(shape) < draw(st.sampled_from([0, 0.3]))
    return x, np.where(ignored, -100, labels).astype(draw(st.sampled_from(["int64", "int32"])))


@given(labelled(), st.sampled_from(["mean", "sum", "none"]), layouts)
def test_cross_entropy(case, reduction, layout):
    check(
        lambda x, labels: ops.cross_entropy(x, labels, reduction=reduction),
        *case,
        kernel="cross_entropy",
        layout=layout,
    )


@given(labelled(special=()), st.sampled_from(["mean", "sum", "none"]), st.booleans())
def test_cross_entropy_with_weights_or_smoothing(case, reduction, smoothing):
    x, labels = case
    weight = np.linspace(0.5, 2, x.shape[min(x.ndim - 1, 1)])
    options = {"label_smoothing": 0.2} if smoothing else {}

    def call(x, labels, weight):
        given = None if smoothing else weight.detach()
        return ops.cross_entropy(x, labels, given, reduction=reduction, **options)

    check(call, x, labels, weight, kernel="cross_entropy")


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_all_labels_ignored(reduction):
    """The mean is nan, its gradient 0."""
    check(
        lambda x, labels: ops.cross_entropy(x, labels, reduction=reduction),
        np.random.default_rng(0).random((3, 5)),
        np.full(3, -100),
        kernel="cross_entropy",
    )


def test_a_label_that_is_no_class_gives_nan():
    """The check before the call finds it; should that be left out, no memory is misread."""
    x, labels = np.zeros((3, 4), np.float32), np.array([1, 4, -1])
    with on_shim():
        t = minidl.tape.wrap(standin.ndarray(x)).requires_grad_()
        loss = minidl.tape.named("cross_entropy")(
            t, minidl.tape.wrap(standin.ndarray(labels)), None, -100, "none", 0.0
        )
        loss.sum().backward()
    np.testing.assert_array_equal(np.isnan(loss._array._host), [False, True, True])
    np.testing.assert_array_equal(np.isnan(t.grad._array._host).all(1), [False, True, True])


@pytest.mark.parametrize("name", PAIRS)
@given(x=arrays(max_size=9000), seed=st.integers(0, 99), data=st.data(), layout=layouts)
def test_losses_of_pairs(name, x, seed, data, layout):
    target = np.random.default_rng(seed).random(x.shape)
    reduction = data.draw(st.sampled_from(["mean", "sum"]))
    check(
        lambda x, t: PAIRS[name](x, t, reduction=reduction),
        x,
        target,
        kernel=name,
        layout=layout,
    )


@pytest.mark.parametrize("name", PAIRS)
def test_only_the_gradients_that_are_needed(name):
    x = np.random.default_rng(0).random((4, 5))
    check(lambda x, t: PAIRS[name](x, t.detach()), x, x, kernel=name)
    check(lambda x, t: PAIRS[name](x.detach(), t), x, x, kernel=name)


@pytest.mark.parametrize("name", PAIRS)
def test_other_calls_are_left_to_the_definition(name):
    with on_shim() as device, kernels_used() as used:
        x = minidl.ones(3, 4, device=device)
        PAIRS[name](x, x, reduction="none")
        PAIRS[name](x[:0], x[:0], reduction="sum")
    assert name not in used


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_cross_entropy_far_from_zero(smoothing):
    """Logits around 10^4 leave the logarithm of the sum its digits."""
    x = np.random.default_rng(0).standard_normal((20, 30)).astype(np.float32) + np.float32(1e4)

    def call(x, labels):
        return ops.cross_entropy(x, labels, reduction="none", label_smoothing=smoothing)

    given = x.astype(float), np.arange(20)
    check(call, *given, kernel="cross_entropy", types=["float32"])
