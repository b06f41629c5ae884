"""The names of `minidl.special`, and values at the edges that the records stay away from."""

import math

import pytest

import minidl
from minidl import special, tensor

pytestmark = pytest.mark.smoke


def slope(function, x):
    leaf = tensor(x, dtype=minidl.float64, requires_grad=True)
    function(leaf).backward()
    return leaf.grad.item()


def test_every_name_is_there():
    assert all(callable(getattr(special, name)) for name in special.__all__)
    assert special.expit is minidl.sigmoid
    assert special.gammaln is minidl.lgamma


def test_a_wrong_name_is_answered_with_the_nearest():
    with pytest.raises(AttributeError, match="log_ndtr"):
        _ = special.log_ndt


def test_what_has_no_derivative_ends_the_history():
    x = tensor([1.0], requires_grad=True)
    assert not special.bessel_j0(x).requires_grad
    assert not special.legendre_polynomial_p(x, 3).requires_grad
    assert not minidl.heaviside(x, tensor([0.5])).requires_grad


def test_limits_at_zero():
    zero = tensor(0.0)
    assert minidl.sinc(zero).item() == 1
    assert special.entr(zero).item() == 0
    assert special.spherical_bessel_j0(zero).item() == 1
    assert minidl.xlogy(zero, zero).item() == 0
    assert minidl.xlogy(0.0, tensor(math.nan)).isnan().item()
    assert slope(minidl.sinc, 0.0) == 0
    assert slope(special.i1, 0.0) == 0.5
    assert slope(lambda x: minidl.xlogy(x, 0.0), 0.0) == 0


def test_logit_outside_of_its_domain():
    assert minidl.logit(tensor(1.0)).item() == math.inf
    assert math.isnan(slope(minidl.logit, 1.5))
    assert slope(lambda x: minidl.logit(x, eps=0.1), 0.05) == 0


def test_polynomials_of_low_degree():
    x = tensor([0.25, -2.0], dtype=minidl.float64)
    assert special.chebyshev_polynomial_t(x, 2).tolist() == (2 * x * x - 1).tolist()
    assert special.laguerre_polynomial_l(x, tensor([0, 1])).tolist() == [1.0, 3.0]
    assert special.hermite_polynomial_h(x, -1).tolist() == [0.0, 0.0]
