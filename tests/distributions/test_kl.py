"""Divergences against sums and integrals of their definition."""

import numpy as np
import pytest
from families import CONTINUOUS, both, tensor
from scipy import integrate

import minidl
from minidl import distributions as d
from minidl.testing import gradcheck, to_numpy

SAME = """
    Normal Laplace Cauchy Gumbel LogNormal Gamma InverseGamma Beta Exponential HalfNormal HalfCauchy
    Chi2
""".split()
OTHERS = [
    ("Beta", "Normal"),
    ("Gamma", "Normal"),
    ("Gumbel", "Normal"),
    ("Laplace", "Normal"),
    ("Exponential", "Normal"),
    ("Uniform", "Normal"),
    ("Pareto", "Normal"),
    ("Normal", "Laplace"),
    ("Normal", "Gumbel"),
    ("Gamma", "Exponential"),
    ("Beta", "Exponential"),
    ("Pareto", "Exponential"),
    ("Exponential", "Gamma"),
]


def integral(p, q, reference, i):
    """E_p[ln p - ln q] of element i over p's quantiles."""
    p._validate_args = q._validate_args = False

    def at(u):
        x = minidl.full(p.batch_shape, float(reference.ppf(u)[i]), dtype=minidl.float64)
        return (p.log_prob(x) - q.log_prob(x))[i].item()

    return integrate.quad(at, 0, 1, epsabs=1e-7, limit=200)[0]


@pytest.mark.parametrize(("first", "second"), [*zip(SAME, SAME, strict=True), *OTHERS])
def test_continuous(first, second):
    p, reference, _ = both(first)
    a, b, make, _ = CONTINUOUS[second]
    q = make(tensor(a) * 1.5 + 0.2, tensor(b) * 0.8 + 0.1)
    found = d.kl_divergence(p, q)
    np.testing.assert_allclose(found[1].item(), integral(p, q, reference, 1), rtol=2e-5)
    assert found.shape == (2,)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: d.Bernoulli(logits=x),
        lambda x: d.Binomial(4, logits=x),
        lambda x: d.Categorical(logits=x),
        lambda x: d.OneHotCategorical(logits=x),
    ],
)
def test_discrete(make):
    p, q = make(tensor([0.3, -1.0, 0.7])), make(tensor([-0.2, 0.4, 1.0]))
    values = p.enumerate_support()
    expected = (p.log_prob(values).exp() * (p.log_prob(values) - q.log_prob(values))).sum(0)
    np.testing.assert_allclose(to_numpy(d.kl_divergence(p, q)), to_numpy(expected))


@pytest.mark.parametrize(
    ("p", "q"),
    [
        (d.Poisson(tensor(3.0)), d.Poisson(tensor(4.5))),
        (d.Geometric(tensor(0.3)), d.Geometric(tensor(0.5))),
    ],
)
def test_counts(p, q):
    k = minidl.arange(150).double()
    expected = (p.log_prob(k).exp() * (p.log_prob(k) - q.log_prob(k))).sum()
    np.testing.assert_allclose(d.kl_divergence(p, q).item(), expected.item())


def test_vectors():
    minidl.manual_seed(0)
    one = d.MultivariateNormal(tensor([0.0, 1.0]), tensor([[2.0, 0.5], [0.5, 1.0]]))
    two = d.MultivariateNormal(tensor([1.0, 1.0]), tensor([[1.0, -0.3], [-0.3, 1.0]]))
    pairs = [
        (one, two),
        (d.Dirichlet(tensor([1.0, 2.0, 3.0])), d.Dirichlet(tensor([2.0, 2.0, 1.0]))),
        (d.Independent(d.Normal(one.loc, 1.0), 1), d.Independent(d.Normal(two.loc, 2.0), 1)),
    ]
    for p, q in pairs:
        x = p.sample((40_000,))
        estimate = (p.log_prob(x) - q.log_prob(x)).mean().item()
        np.testing.assert_allclose(d.kl_divergence(p, q).item(), estimate, rtol=0.03)


def test_it_is_differentiable():
    at = [tensor([0.5, 1.2], requires_grad=True) for _ in range(4)]
    for make in (d.Normal, d.Gamma, d.Beta, d.Laplace):
        assert gradcheck(
            lambda a, b, x, y, make=make: d.kl_divergence(make(a, b), make(x.exp(), y.exp())),
            tuple(at),
        )


def test_infinite_where_q_has_no_probability():
    half = d.Uniform(0.0, 0.5)
    assert d.kl_divergence(d.Uniform(0.0, 1.0), half).item() == np.inf
    assert d.kl_divergence(d.Beta(2.0, 2.0), half).item() == np.inf
    assert (
        d.kl_divergence(d.Normal(minidl.zeros(3), 1.0), d.Exponential(1.0)).tolist() == [np.inf] * 3
    )
    assert d.kl_divergence(d.Bernoulli(0.5), d.Bernoulli(0.0)).item() == np.inf
    assert d.kl_divergence(d.Bernoulli(0.0), d.Bernoulli(0.0)).item() == 0


def test_register_and_what_is_missing():
    class Mine(d.Normal):
        pass

    normal, mine = d.Normal(0.0, 1.0), Mine(0.0, 1.0)
    assert d.kl_divergence(mine, normal).item() == 0  # inherited
    with pytest.raises(NotImplementedError, match="register_kl"):
        d.kl_divergence(normal, d.Bernoulli(0.5))
    with pytest.raises(TypeError, match="subclasses of Distribution"):
        d.register_kl(int, d.Normal)

    @d.register_kl(Mine, d.Normal)
    def special(p, q):
        return minidl.tensor(7.0)

    assert d.kl_divergence(mine, normal).item() == 7
