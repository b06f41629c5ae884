"""Derivatives where a formula needs care: at zeros, ties, infinities and nan, and of one output
alone. Random samples keep away from these; damage to the rules there is noticed here."""

import math

import numpy as np
import pytest

import minidl
from minidl import linalg, ops
from minidl.testing import gradcheck, to_numpy

NAN, INF = math.nan, math.inf
LOG_2 = math.log(2)


def gradients(function, *arrays, device):
    leaves = [
        minidl.tensor(a, dtype=minidl.float64, device=device, requires_grad=True) for a in arrays
    ]
    return [to_numpy(g) for g in minidl.autograd.grad(function(*leaves).sum(), leaves)]


UNARY = {
    "nan_to_num": (ops.nan_to_num, [INF, NAN, 1.0], [0.0, 0.0, 1.0]),
    "mantissa": (lambda x: ops.frexp(x)[0], [3.0, 0.75, -10.0], [0.25, 1.0, 0.0625]),
    "logit": (ops.logit, [0.5, -0.5, 1.5, 0.0, 1.0], [4.0, NAN, NAN, INF, INF]),
    "sinc": (ops.sinc, [0.0, 0.5], [0.0, -4 / math.pi]),
    "i1": (ops.all_ops()["i1"], [0.0], [0.5]),
    "i1e": (ops.all_ops()["i1e"], [0.0], [0.5]),
    "median with ties": (ops.median, [1.0, 1.0, 2.0, 0.0, 1.0], [1 / 3, 1 / 3, 0, 0, 1 / 3]),
    "median of nan": (ops.median, [1.0, NAN], [0.0, 1.0]),
    "median without nan": (ops.nanmedian, [1.0, NAN, 3.0, 2.0], [0.0, 0.0, 0.0, 1.0]),
}


@pytest.mark.parametrize("name", UNARY)
def test_one_input(name, device):
    function, at, expected = UNARY[name]
    with np.errstate(all="ignore"):
        (got,) = gradients(function, at, device=device)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


BINARY = {
    "copysign": (ops.copysign, [0.0, 2.0, -3.0], [1.0, -1.0, -1.0], [0, -1, 1], [0, 0, 0]),
    "fmax": (ops.fmax, [1.0, 2.0, NAN, 3.0], [1.0, NAN, 2.0, 5.0], [1, 1, 0, 0], [0, 0, 1, 1]),
    "fmin": (ops.fmin, [1.0, 2.0, NAN, 9.0], [1.0, NAN, 2.0, 5.0], [1, 1, 0, 0], [0, 0, 1, 1]),
    "nextafter": (ops.nextafter, [1.0, 2.0], [2.0, 2.0], [1, 0], [0, 0]),
    "logaddexp": (ops.logaddexp, [INF, -INF, 1.0], [INF, -INF, 1.0], [0.5] * 3, [0.5] * 3),
    "xlogy": (
        ops.all_ops()["xlogy"],
        [0.0, 0.0, 0.0, 0.0, 1.0],
        [0.0, -1.0, 2.0, 0.5, 0.0],
        [0.0, 0.0, LOG_2, -LOG_2, -INF],
        [NAN, 0.0, 0.0, 0.0, INF],
    ),
    "xlog1py": (
        ops.all_ops()["xlog1py"],
        [0.0, 0.0, 0.0, 0.0, 1.0],
        [-1.0, -2.0, 1.0, -0.5, -1.0],
        [0.0, 0.0, LOG_2, -LOG_2, -INF],
        [NAN, 0.0, 0.0, 0.0, INF],
    ),
    "binary_cross_entropy": (
        ops.all_ops()["binary_cross_entropy"],
        [0.0, 1.0, 0.5],
        [1.0, 0.0, 1.0],
        [-1e12, 1e12, -2.0],
        [100.0, -100.0, 0.0],
    ),
}


@pytest.mark.parametrize("name", BINARY)
def test_two_inputs(name, device):
    function, x, y, of_x, of_y = BINARY[name]
    with np.errstate(all="ignore"):
        got_x, got_y = gradients(function, x, y, device=device)
    np.testing.assert_allclose(got_x, of_x, rtol=1e-12)
    np.testing.assert_allclose(got_y, of_y, rtol=1e-12)


@pytest.mark.parametrize("reduce", ["amax", "amin"])
def test_extremes_that_are_scattered_share_with_their_equals(reduce, device):
    index = minidl.tensor([0, 0, 1], device=device)
    sign = 1.0 if reduce == "amax" else -1.0
    got = gradients(
        lambda x, src: sign * ops.scatter_reduce(sign * x, 0, index, sign * src, reduce),
        [1.0, 2.0],
        [1.0, 1.0, 5.0],
        device=device,
    )
    np.testing.assert_allclose(got[0], [1 / 3, 0.0])
    np.testing.assert_allclose(got[1], [1 / 3, 1 / 3, 1.0])


@pytest.mark.parametrize("reduce", ["amax", "amin"])
def test_an_extreme_that_is_nan_gives_nan(reduce, device):
    index = minidl.tensor([0, 0, 1], device=device)
    got = gradients(
        lambda x, src: ops.scatter_reduce(x, 0, index, src, reduce),
        [1.0, 2.0, NAN],
        [NAN, 3.0, 2.0],
        device=device,
    )
    np.testing.assert_allclose(got[0], [NAN, 0.5, NAN])
    np.testing.assert_allclose(got[1], [NAN, NAN, 0.5])


def test_cumulative_sums_of_exponentials(device):
    """The gradient is linear in what comes in, also where that is 0; nothing overflows."""
    x = minidl.tensor([0.0, 1.0, 2.0], dtype=minidl.float64, device=device)
    _, slope = minidl.func.jvp(lambda x: ops.logcumsumexp(x, 0), (x,), (minidl.ones_like(x),))
    np.testing.assert_allclose(to_numpy(slope), [1.0, 1.0, 1.0], rtol=1e-12)
    for at, expected in (
        ([-INF, -INF, 0.0, 0.0], [0.0, 0.0, 1.5, 0.5]),
        ([1e4, -1e4, 1e4], [2.5, 0.0, 0.5]),
        ([-1e300, 0.0, 1e300], [1.0, 1.0, 1.0]),
        ([], []),
    ):
        (got,) = gradients(lambda x: ops.logcumsumexp(x, 0), at, device=device)
        np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_determinants_of_singular_matrices(scale, device):
    """The gradient is the matrix of cofactors."""
    a = np.array([[[1.0, 2], [2, 4]], [[0, 0], [0, 0]], [[1, 2], [3, 4]], [[3, 0], [5, 0]]])
    cofactors = [[[4.0, -2], [-2, 1]], [[0, 0], [0, 0]], [[4, -3], [-2, 1]], [[0, -5], [0, 3]]]
    (got,) = gradients(linalg.det, a * scale, device=device)
    np.testing.assert_allclose(got, np.array(cofactors) * scale, rtol=1e-6, atol=1e-9 * scale)
    (got,) = gradients(linalg.det, a[None] * scale, device=device)
    np.testing.assert_allclose(got[0], np.array(cofactors) * scale, rtol=1e-6, atol=1e-9 * scale)
    (got,) = gradients(linalg.det, [[0.0]], device=device)
    np.testing.assert_allclose(got, [[1.0]], rtol=1e-9)
    (got,) = gradients(linalg.det, np.array([[1.0, -1], [-1, 1]]) * 1e-30, device=device)
    np.testing.assert_allclose(got, np.full((2, 2), 1e-30), rtol=1e-6)


MATRIX = [[2.0, 0.5, -0.3], [0.1, 3.0, 0.7], [-0.4, 0.2, 1.0]]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: linalg.eigh(x + x.mT)[0],
        lambda x: linalg.eigh(x + x.mT)[1] ** 2,
        lambda x: linalg.qr(x)[1],
        lambda x: linalg.qr(x)[0],
        lambda x: linalg.svd(x)[1],
        lambda x: linalg.slogdet(x)[1],
        lambda x: ops.prod(x),
    ],
)
def test_one_output_alone(function, device):
    gradcheck(function, minidl.tensor(MATRIX, dtype=minidl.float64, device=device).requires_grad_())


@pytest.mark.parametrize("output", [0, 2])
def test_singular_vectors_of_a_singular_matrix(output, device):
    x = minidl.tensor([[3.0, 1, 0], [0, 2, 0], [0, 0, 0]], dtype=minidl.float64, device=device)
    gradcheck(lambda x: linalg.svd(x)[output] ** 2, x.requires_grad_())


def test_the_sign_of_a_determinant_is_flat(device):
    (got,) = gradients(lambda x: linalg.slogdet(x)[0], MATRIX, device=device)
    np.testing.assert_array_equal(got, np.zeros((3, 3)))


def test_the_gradient_of_a_symmetric_matrix_is_symmetric(device):
    a = np.array(MATRIX) @ np.array(MATRIX).T
    (got,) = gradients(linalg.cholesky, a, device=device)
    np.testing.assert_allclose(got, got.T, rtol=1e-12)


def test_what_a_decomposition_keeps_is_its_own(device):
    """Its results may be overwritten before backward."""
    x = minidl.tensor(MATRIX, dtype=minidl.float64, device=device)
    x = (x + x.mT).requires_grad_()
    w, v = linalg.eigh(x)
    (expected,) = minidl.autograd.grad(v.sum() + w.sum(), x, retain_graph=True)
    for t in (w, v):
        t.detach().fill_(7.0)
    (got,) = minidl.autograd.grad(v.sum() + w.sum(), x)
    np.testing.assert_array_equal(to_numpy(got), to_numpy(expected))


def test_a_solution_is_not_its_right_side(device):
    one, b = (minidl.tensor([[n]], device=device) for n in (1.0, 2.0))
    linalg.solve_triangular(one, b, upper=False, unitriangular=True).mul_(3.0)
    assert b.item() == 2.0


def test_patches_are_not_their_image(device):
    x = minidl.ones(1, 2, 2, 2, device=device)
    minidl.nn.functional.unfold(x, 1).fill_(7.0)
    np.testing.assert_array_equal(to_numpy(x), np.ones((1, 2, 2, 2)))
