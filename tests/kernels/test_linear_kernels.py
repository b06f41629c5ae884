"""The kernels of linear and matmul."""

import numpy as np
import pytest

import minidl
from minidl import kernels, ops
from minidl.kernels.cpu import linear, threads
from minidl.nn import functional as F
from tests import parity


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("lead", [(), (1,), (7,), (300,), (3, 5), (2, 0, 3)], ids=str)
@pytest.mark.parametrize("size", [(1, 1), (4, 16), (33, 17), (130, 260)], ids=str)
@pytest.mark.parametrize("biased", [False, True])
def test_linear(lead, size, biased):
    inside, outside = size
    arrays = [draw(*lead, inside), draw(outside, inside, seed=1)]
    if biased:
        arrays.append(draw(outside, seed=2))
    parity.check(F.linear, *arrays, kernel=None if 0 in lead else "linear")


def test_linear_of_inputs_anywhere_in_memory():
    for x in parity.layouts(draw(50, 40)):
        for weight in parity.layouts(draw(30, 40, seed=1)):
            parity.check(F.linear, x, weight, draw(30, seed=2), kernel="linear")


def test_nan_and_infinity():
    x = draw(300, 40)
    x[5, 7], x[200, 3] = np.nan, np.inf
    parity.check(F.linear, x, draw(20, 40, seed=1), draw(20, seed=2), kernel="linear")


def test_the_gradient_of_a_weight_is_kept_without_a_copy():
    layer, x = minidl.nn.Linear(20, 30), minidl.randn(40, 20)
    layer(x).sum().backward()
    for p in layer.parameters():
        assert p.grad._array.base is None and p.grad._array.flags.c_contiguous
        assert p.grad.shape == p.shape


@pytest.mark.parametrize("needs", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1)], ids=str)
def test_only_what_is_needed(needs):
    arrays = draw(9, 5), draw(3, 5, seed=1), draw(3, seed=2)
    leaves = [
        minidl.tensor(np.float32(a), requires_grad=bool(n))
        for a, n in zip(arrays, needs, strict=True)
    ]
    F.linear(*leaves).square().sum().backward()
    whole = [minidl.tensor(a, requires_grad=True) for a in arrays]
    F.linear(*whole).square().sum().backward()
    for got, exact, need in zip(leaves, whole, needs, strict=True):
        assert (got.grad is not None) == bool(need)
        if need:
            np.testing.assert_allclose(got.grad.numpy(), exact.grad.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rows", [0, 1, 127, 128, 129, 257])
def test_the_kernel_itself_sums_the_bias_gradient(rows):
    g, x, weight = (np.float32(draw(*s)) for s in ((rows, 3), (rows, 2), (3, 2)))
    _, _, db = linear.linear_backward(g, x, weight, (False, False, True))
    parity.close(db, g.astype(np.float64).sum(0))


def test_a_long_bias_gradient_keeps_its_digits():
    """Added one by one, these would be off by 6e-4 of the sum."""
    x = np.full((1 << 16, 1), 0.1, np.float32)
    exact = x.astype(np.float64).sum(0)
    np.testing.assert_allclose(linear.sum_of_rows(x), exact, rtol=3e-5)


def test_the_bias_gradient_has_the_same_bits_for_any_number_of_threads():
    g, found, before, grain = np.float32(draw(1000, 130)), [], threads.count(), threads.GRAIN
    threads.GRAIN = 0
    for count in (1, 2):
        threads.set_count(count)
        found.append(linear.sum_of_rows(g))
    threads.GRAIN = grain
    threads.set_count(before)
    np.testing.assert_array_equal(*found)
    parity.close(found[0], g.astype(np.float64).sum(0))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((130, 70), (70, 90)),
        ((5, 64, 70), (5, 70, 90)),
        ((2, 3, 64, 70), (2, 3, 70, 90)),
        ((5, 64, 70), (70, 90)),
        ((64, 70), (5, 70, 90)),
    ],
    ids=str,
)
def test_matmul(a, b):
    parity.check(ops.matmul, draw(*a), draw(*b, seed=1), kernel="matmul")
    parity.check(
        lambda x, y: x @ y.transpose(-1, -2),
        draw(*a),
        draw(*b[:-2], b[-1], b[-2], seed=1),
        kernel="matmul",
    )


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((4, 4), (4, 4)),  # small
        ((1, 3000), (3000, 3000)),  # one row
        ((1, 5, 64, 70), (3, 1, 70, 90)),  # broadcast
    ],
    ids=str,
)
def test_products_left_to_numpy(a, b):
    x, y = (minidl.tensor(np.float32(draw(*shape))) for shape in (a, b))
    with parity.kernels_used() as used:
        out = x @ y
    assert "matmul" not in used
    parity.close(out.numpy(), x.numpy().astype(np.float64) @ y.numpy())


def test_second_derivatives():
    def slope(x, weight, bias):
        (dx,) = minidl.autograd.grad(F.linear(x, weight, bias).square().sum(), x, create_graph=True)
        return dx

    parity.check(slope, draw(40, 30), draw(20, 30, seed=1), draw(20, seed=2), rtol=1e-4)


def test_without_openblas(monkeypatch):
    from minidl.kernels.cpu import gemm

    monkeypatch.setattr(gemm, "library", None)
    parity.check(F.linear, draw(200, 40), draw(90, 40), draw(90), kernel="linear")
    parity.check(ops.matmul, draw(4, 64, 70), draw(4, 70, 90), kernel="matmul")


def test_wrong_shapes_are_explained_by_the_definition():
    assert kernels.load("linear") is not None
    with pytest.raises(minidl.ShapeError, match="linear: weight"):
        F.linear(minidl.ones(2, 3), minidl.ones(4, 5))
    with pytest.raises(minidl.ShapeError, match="inner sizes differ"):
        minidl.ones(100, 100) @ minidl.ones(90, 100)
