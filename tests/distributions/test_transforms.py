"""Transforms: inverses, the logarithm of the derivative, the distributions that they make."""

import numpy as np
import pytest
from families import tensor

import minidl
from minidl import distributions as d
from minidl.testing import to_numpy

MAKERS = {
    "exp": d.ExpTransform,
    "sigmoid": d.SigmoidTransform,
    "tanh": d.TanhTransform,
    "softplus": d.SoftplusTransform,
    "affine": lambda: d.AffineTransform(tensor([1.0, 2.0, 3.0]), tensor([2.0, -1.0, 0.5])),
    "affine of vectors": lambda: d.AffineTransform(1.0, tensor([2.0, -1.0, 0.5]), event_dim=1),
    "inverse": lambda: d.AffineTransform(1.0, 2.0).inv,
    "power": lambda: d.ComposeTransform([d.ExpTransform(), d.PowerTransform(1.5)]),
    "stick breaking": d.StickBreakingTransform,
    "compose": lambda: d.ComposeTransform([d.AffineTransform(0.5, 2.0), d.TanhTransform()]),
    "compose vectors": lambda: d.ComposeTransform(
        [d.AffineTransform(0.5, 2.0), d.StickBreakingTransform()]
    ),
}
X = tensor([[-0.5, 0.3, 1.2], [0.1, -1.0, 0.7]])


@pytest.mark.parametrize("name", MAKERS)
def test_inverse(name):
    transform = MAKERS[name]()
    np.testing.assert_allclose(to_numpy(transform.inv(transform(X))), to_numpy(X), rtol=1e-9)
    assert transform.bijective
    assert transform.inv.inv == transform
    assert transform.codomain.check(transform(X)).all()


@pytest.mark.parametrize("name", MAKERS)
def test_log_abs_det_jacobian(name):
    transform = MAKERS[name]()
    found = transform.log_abs_det_jacobian(X, transform(X))
    for row, value in zip(X, found, strict=True):
        jacobian = to_numpy(minidl.autograd.functional.jacobian(transform, row))[:3]
        _, expected = np.linalg.slogdet(jacobian)
        np.testing.assert_allclose(value.sum().item(), expected, rtol=1e-9)


@pytest.mark.parametrize("name", MAKERS)
def test_density_of_a_transformed_distribution(name):
    transform = MAKERS[name]()
    base = d.Normal(minidl.zeros(3, dtype=minidl.float64), 1.0)
    mine = d.TransformedDistribution(base, [transform])
    vectors = transform.codomain.event_dim
    assert len(mine.event_shape) == vectors
    y = transform(X)
    slope = transform.log_abs_det_jacobian(X, y)
    expected = base.log_prob(X).sum(-1) if vectors else base.log_prob(X)
    np.testing.assert_allclose(to_numpy(mine.log_prob(y)), to_numpy(expected - slope), rtol=1e-9)


def test_cdf_of_a_falling_transform():
    mine = d.TransformedDistribution(d.Normal(0.0, 1.0), [d.AffineTransform(1.0, -2.0)])
    x = minidl.tensor([-1.0, 0.3])
    np.testing.assert_allclose(
        to_numpy(mine.cdf(x)), to_numpy(d.Normal(1.0, 2.0).cdf(x)), rtol=1e-5
    )
    np.testing.assert_allclose(to_numpy(mine.icdf(mine.cdf(x))), to_numpy(x), rtol=1e-5)


def test_a_cache_makes_the_inverse_exact():
    far = d.Normal(minidl.full((100,), 20.0), 1.0)
    cached = d.TransformedDistribution(far, [d.TanhTransform(cache_size=1)])
    action = cached.rsample()
    assert action.max() == 1
    assert cached.log_prob(action).isfinite().all()
    plain = d.TransformedDistribution(far, [d.TanhTransform()])
    assert not plain.log_prob(plain.rsample()).isfinite().all()


def test_equality():
    assert d.ExpTransform() == d.ExpTransform()
    assert d.AffineTransform(0.0, 1.0) != d.AffineTransform(0.0, 2.0)
    assert d.AffineTransform(0.0, 1.0) != d.ExpTransform()
    assert d.identity_transform(X) is X


def test_a_logistic_distribution_from_a_uniform_one():
    mine = d.TransformedDistribution(
        d.Uniform(0.0, 1.0), [d.SigmoidTransform().inv, d.AffineTransform(1.0, 2.0)]
    )
    x = minidl.tensor([-3.0, 0.5, 4.0])
    z = (to_numpy(x) - 1) / 2
    expected = -z - 2 * np.log1p(np.exp(-z)) - np.log(2)
    np.testing.assert_allclose(to_numpy(mine.log_prob(x)), expected, rtol=1e-5)
    assert mine.sample((3,)).shape == (3,)


def test_what_is_refused():
    with pytest.raises(ValueError, match="cache_size is 0 or 1"):
        d.ExpTransform(cache_size=2)
    with pytest.raises(NotImplementedError, match="no log_abs_det_jacobian"):
        d.SoftmaxTransform().log_abs_det_jacobian(X, X)
