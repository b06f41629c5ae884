"""Numbers at the edge of their type, and definitions at the edge of their domain."""

import math

import numpy as np
import pytest

import minidl
from minidl.errors import DTypeError


def test_integers_wrap_around_as_in_pytorch():
    assert (minidl.tensor([1], dtype=minidl.int8) + 300).tolist() == [45]
    assert (minidl.tensor([1], dtype=minidl.uint8) * -1).tolist() == [255]


@pytest.mark.parametrize("divide", [lambda a, b: a // b, lambda a, b: a % b])
@pytest.mark.parametrize("other", [0, minidl.tensor([0])])
def test_integers_are_not_divided_by_zero(divide, other):
    with pytest.raises(RuntimeError, match="zero"):
        divide(minidl.tensor([1]), other)
    assert divide(minidl.tensor([7]), other + 2).tolist()[0] in (3, 1)


def test_types_of_data():
    assert minidl.tensor([np.float64(1.5)]).dtype == minidl.float64
    assert minidl.tensor([np.zeros(2), np.ones(2)]).dtype == minidl.float64
    assert minidl.tensor([1.5]).dtype == minidl.float32
    with pytest.raises(DTypeError, match="too large"):
        minidl.tensor(2**63)


def test_norms_of_every_kind():
    x = minidl.tensor([3.0, -4.0, 0.0], dtype=minidl.float64, requires_grad=True)
    assert minidl.norm(x, 0).item() == 2
    assert minidl.norm(x, math.inf).item() == 4
    assert minidl.norm(x, -math.inf).item() == 0
    assert minidl.norm(x).item() == 5


def test_variance_with_no_degree_of_freedom_left():
    assert minidl.tensor([1.0, 2.0]).var(correction=2).item() == math.inf
    assert math.isnan(minidl.tensor([1.0]).var().item())


def test_a_sum_in_a_given_integer_type():
    x = minidl.tensor([200, 100], dtype=minidl.uint8)
    assert x.sum().item() == 300
    total = x.sum(dtype=minidl.uint8)
    assert total.dtype == minidl.uint8 and total.item() == 44


def test_power_where_the_exponent_is_zero():
    x = minidl.tensor(4.0, dtype=minidl.float64, requires_grad=True)
    y = minidl.tensor(0.0, dtype=minidl.float64, requires_grad=True)
    (g,) = minidl.autograd.grad(x**y, x, create_graph=True)
    (h,) = minidl.autograd.grad(g, y)
    assert h.item() == pytest.approx(0.25)  # d/dy y x^(y - 1) = 1 / x at y = 0


def test_an_empty_list_picks_nothing():
    assert minidl.ones(3, 2)[[]].shape == (0, 2)


def test_a_uint8_index_is_refused_as_ambiguous():
    with pytest.raises(DTypeError, match=r"long.*bool"):
        minidl.ones(3)[minidl.tensor([1, 0, 1], dtype=minidl.uint8)]


def test_nan_in_maximum_keeps_the_gradient():
    x = minidl.tensor([math.nan], requires_grad=True)
    minidl.maximum(x, minidl.ones(1)).sum().backward()
    assert x.grad.tolist() == [1.0]


def test_long_sums_in_float32_stay_exact_to_six_digits():
    x = np.random.default_rng(0).random((200_000, 3), dtype=np.float32)
    expected = x.astype(np.float64).sum(0)
    for dim, keepdim in ((0, False), (0, True)):
        got = minidl.from_numpy(x).sum(dim, keepdim=keepdim).numpy()
        np.testing.assert_allclose(got.ravel(), expected, rtol=1e-6)
    odd = minidl.from_numpy(x[:1000].reshape(2, 500, 3)).sum((0, 1))
    np.testing.assert_allclose(odd.numpy(), x[:1000].astype(np.float64).sum(0), rtol=1e-6)


def test_adaptive_pooling_keeps_nan_in_its_window():
    x = minidl.tensor([[[[math.nan, -0.5]]]])
    out = minidl.adaptive_avg_pool2d(x, (None, 2)).tolist()[0][0][0]
    assert math.isnan(out[0]) and out[1] == -0.5


def test_a_root_norm_has_slope_zero_at_zero():
    x = minidl.tensor([0.0, 4.0, 9.0], dtype=minidl.float64, requires_grad=True)
    y = minidl.norm(x, 0.5)
    assert y.item() == pytest.approx(25.0)
    y.backward()
    np.testing.assert_allclose(x.grad.numpy(), [0.0, 5 / 2, 5 / 3])


def test_class_weights_must_fit_the_classes():
    logits, labels = minidl.zeros(2, 3), minidl.tensor([0, 1])
    for length in (2, 4):
        with pytest.raises(RuntimeError, match="3 classes"):
            minidl.cross_entropy(logits, labels, weight=minidl.ones(length))
    with pytest.raises(ValueError, match="ignore_index"):
        minidl.cross_entropy(logits, minidl.ones(2, 3) / 3, ignore_index=1)


def test_a_negative_base_has_a_gradient_of_nan():
    x = minidl.tensor([2.0], requires_grad=True)
    y = (-1.0) ** x
    y.sum().backward()
    assert y.item() == 1.0 and math.isnan(x.grad.item())


def test_writing_to_read_only_memory_names_the_operation():
    array = np.zeros(3)
    array.flags.writeable = False
    with pytest.raises(ValueError, match=r"add_.*read-only"):
        minidl.from_numpy(array).add_(1)


def test_sums_along_either_dimension_of_a_transposed_tensor_are_as_exact():
    x = minidl.full((300_000, 2), 0.1)
    for total in (x.sum(0), x.t().sum(1), x.t().mean(1) * 300_000):
        np.testing.assert_allclose(total.numpy(), 30_000.0, rtol=2e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: minidl.add(1.0, 2.0), "add.*must be a Tensor"),
        (lambda: minidl.cross_entropy(minidl.zeros(2, 3), [0, 1]), "cross_entropy.*'target'"),
        (lambda: minidl.flatten(3.0), "flatten.*'input'"),
        (lambda: minidl.where(True, 1.0, 2.0), "where.*'condition'"),
        (lambda: minidl.ones(2, 3).mean(0, 1), "mean: keepdim"),
        (lambda: minidl.reshape(minidl.ones(4), 4), "reshape: the shape"),
        (lambda: minidl.ones(1, requires_grad=True).backward(1.0), "a list of them"),
        (lambda: ~minidl.ones(2), "bitwise_not: expected a bool or integer"),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises(TypeError, match=words):
        call()


def test_ragged_lists_are_refused():
    with pytest.raises(ValueError, match="different lengths"):
        minidl.tensor([[1, 2], [3]])


def test_an_op_without_a_rule_says_so():
    from minidl.makers import op

    def half(input: "Array", other: "Array") -> "Array":  # noqa: F821
        return input / 2 + other

    function = op(half)
    function.vjp(other=lambda g: g)
    x = minidl.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="half has no rule for 'input'"):
        function(x, minidl.ones(2, requires_grad=True)).sum().backward()
    with pytest.raises(TypeError, match="annotated"):
        op(lambda input: input)
