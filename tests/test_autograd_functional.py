"""autograd.functional: Jacobians, Hessians and products, against formulas."""

import numpy as np
import pytest

import minidl
from minidl.autograd.functional import hessian, hvp, jacobian, jvp, vhp, vjp
from minidl.testing import to_numpy


def close(a, b):
    assert tuple(a.shape) == tuple(b.shape)
    np.testing.assert_allclose(to_numpy(a), to_numpy(b), rtol=1e-10, atol=1e-12)


@pytest.fixture
def x(device):
    return minidl.tensor([0.3, -1.2, 2.0], dtype=minidl.float64, device=device)


@pytest.fixture
def v(device):
    return minidl.tensor([1.5, 0.4, -0.7], dtype=minidl.float64, device=device)


def curved(x):
    return (x**3).sum() * x[0]


def test_jacobian_of_several(x, v):
    (aa, ab), (sa, sb) = jacobian(lambda a, b: (a * b, a.sum()), (x, v))
    close(aa, minidl.diag(v))
    close(ab, minidl.diag(x))
    close(sa, minidl.ones_like(x))
    close(sb, 0 * v)


def test_products_are_those_with_the_jacobian(x, v):
    def function(x):
        return (x[:, None] * x).sin().sum(1)

    matrix = jacobian(function, x)
    close(vjp(function, x, v)[1], v @ matrix)
    close(jvp(function, x, v)[1], matrix @ v)
    matrix = hessian(curved, x)
    close(matrix, matrix.T)
    close(vhp(curved, x, v)[1], v @ matrix)
    close(hvp(curved, x, v)[1], matrix @ v)
    close(hvp(curved, x, v)[0], curved(x))


def test_hessian_of_two_inputs(x, v):
    (aa, ab), (ba, bb) = hessian(lambda a, b: (a * b).sum() ** 2, (x, v))
    close(aa, 2 * v[:, None] * v)
    close(bb, 2 * x[:, None] * x)
    close(ab, ba.T)


def test_results_are_constants_unless_asked(x):
    w = x.clone().requires_grad_()
    assert not jacobian(lambda x: x**3, w).requires_grad
    matrix = jacobian(lambda x: x**3, w, create_graph=True)
    matrix.sum().backward()
    close(w.grad, 6 * x)
    assert x.grad is None


def test_what_does_not_depend_is_zero_or_refused(x, v):
    def first(a, b):
        return a * 2

    close(vjp(first, (x, v), x)[1][1], 0 * v)
    close(jvp(lambda a: a.detach(), x, v)[1], 0 * v)
    with pytest.raises(RuntimeError, match="does not depend"):
        jacobian(lambda a: a.detach(), x, strict=True)
    with pytest.raises(RuntimeError, match="input 1"):
        vjp(first, (x, v), x, strict=True)


BAD = {
    "no v": (lambda x: vjp(lambda x: x, x), "left out"),
    "v of another shape": (lambda x: jvp(lambda x: x, x, x[:2]), r"v\[0\] has shape \(2,\)"),
    "too many": (lambda x: vjp(lambda x: x, x, (x, x)), "2 tensors"),
    "not one element": (lambda x: hessian(lambda x: x, x), "one element"),
}


@pytest.mark.parametrize("case", BAD)
def test_errors(case, x):
    call, words = BAD[case]
    with pytest.raises(ValueError, match=words):
        call(x)
