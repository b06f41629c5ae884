"""What is drawn has the distribution that was asked for; gradients of samples."""

import numpy as np
import pytest
from families import CONTINUOUS, WHOLE, both, tensor
from scipy import special, stats

import minidl
from minidl import distributions as d
from minidl.testing import gradcheck, to_numpy

COUNT = 4000
REPARAMETRISED = [name for name in CONTINUOUS if name != "Uniform"]


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_samples(name):
    mine, reference, _ = both(name)
    minidl.manual_seed(0)
    drawn = to_numpy(mine.sample((COUNT,)))
    u = reference.cdf(drawn)  # uniform if the samples are right
    for column in u.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("name", WHOLE)
def test_whole_samples(name):
    mine, reference, _ = both(name)
    minidl.manual_seed(0)
    drawn = to_numpy(mine.sample((COUNT,)))
    assert (drawn == np.round(drawn)).all()
    assert (drawn >= 0).all()
    for k in range(4):
        p = reference.pmf(k)
        error = np.abs((drawn == k).mean(0) - p)
        assert (error <= 4 * np.sqrt(p * (1 - p) / COUNT)).all(), k


@pytest.mark.parametrize("concentration", [1e-4, 0.01, 0.7, 5.0, 300.0, 2e5])
def test_gamma_samples_of_any_concentration(concentration):
    minidl.manual_seed(1)
    drawn = d.drawing.draw_log_gamma(minidl.full((COUNT,), concentration, dtype=minidl.float64))
    assert drawn.isfinite().all()
    # P(a, x), and for x that underflow x^a / Gamma(a + 1)
    x = to_numpy(drawn)
    large = x > -600
    u = np.exp(concentration * np.minimum(x, -600) - special.gammaln(concentration + 1))
    u[large] = stats.gamma(concentration).cdf(np.exp(x[large]))
    assert stats.kstest(u, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("name", REPARAMETRISED)
def test_rsample_is_differentiable_in_the_parameters(name):
    make = CONTINUOUS[name][2]
    _, _, parameters = both(name)

    def draw(*parameters):
        minidl.manual_seed(2)
        return make(*parameters).rsample((3,)) + 0 * (parameters[0] + parameters[1])

    assert gradcheck(draw, tuple(parameters))


@pytest.mark.parametrize("concentration", [0.02, 1.0, 40.0, 999.0, 1001.0, 1e5])
def test_implicit_gradient_of_gamma(concentration):
    """Against differences of SciPy's quantile of the same uniform number."""
    a = minidl.full((5,), concentration, dtype=minidl.float64, requires_grad=True)
    minidl.manual_seed(3)
    u = to_numpy(minidl.rand(5, dtype=minidl.float64))
    minidl.manual_seed(3)
    drawn = d.drawing.draw_log_gamma(a)
    (slope,) = minidl.autograd.grad(drawn.sum(), a)
    h = 1e-4 * concentration

    def quantile(a):
        return np.log(stats.gamma(a).ppf(u))

    inner = quantile(concentration + h) - quantile(concentration - h)
    outer = quantile(concentration + 2 * h) - quantile(concentration - 2 * h)
    np.testing.assert_allclose(to_numpy(slope), (8 * inner - outer) / (12 * h), rtol=1e-6)


def test_second_derivative_of_a_gamma_sample_is_refused():
    a = tensor([2.0], requires_grad=True)
    x = d.Gamma(a, 1.0).rsample()
    (g,) = minidl.autograd.grad(x.sum(), a, create_graph=True)
    with pytest.raises(NotImplementedError, match="no second derivative"):
        minidl.autograd.grad(g.sum(), a)


def test_gradients_of_expectations():
    """d E[x] / d parameter, from samples: Beta and Dirichlet."""
    n = 20_000
    a = minidl.full((n,), 2.0, dtype=minidl.float64, requires_grad=True)
    b = minidl.full((n,), 3.0, dtype=minidl.float64, requires_grad=True)
    minidl.manual_seed(4)
    ga, gb = minidl.autograd.grad(d.Beta(a, b).rsample().sum(), (a, b))
    np.testing.assert_allclose(ga.mean().item(), 3 / 25, rtol=0.02)
    np.testing.assert_allclose(gb.mean().item(), -2 / 25, rtol=0.02)
    c = tensor([1.0, 2.0, 3.0], requires_grad=True)
    (g,) = minidl.autograd.grad(d.Dirichlet(c).rsample((n,))[:, 0].mean(), c)
    np.testing.assert_allclose(to_numpy(g), [5 / 36, -1 / 36, -1 / 36], atol=0.005)


def test_dirichlet_of_tiny_concentrations_stays_on_the_simplex():
    drawn = d.Dirichlet(minidl.full((1000, 3), 1e-4)).sample()
    assert not drawn.isnan().any()
    np.testing.assert_allclose(to_numpy(drawn.sum(-1)), 1, rtol=1e-6)


@pytest.mark.parametrize("rate", [0.0, 1e-3, 40.0, 1e6])
def test_poisson_of_any_rate(rate):
    minidl.manual_seed(5)
    drawn = to_numpy(d.Poisson(minidl.full((COUNT,), rate, dtype=minidl.float64)).sample())
    assert abs(drawn.mean() - rate) <= 4 * np.sqrt(rate / COUNT)
    assert abs(drawn.var() - rate) <= 0.12 * rate + 1e-3


@pytest.mark.parametrize(("n", "p"), [(0, 0.5), (7, 0.0), (7, 1.0), (1000, 0.01)])
def test_binomial_at_its_ends(n, p):
    minidl.manual_seed(6)
    drawn = to_numpy(d.Binomial(n, minidl.full((COUNT,), p)).sample())
    assert drawn.min() >= 0
    assert drawn.max() <= n
    assert abs(drawn.mean() - n * p) <= 4 * np.sqrt(n * p * (1 - p) / COUNT)


def test_vectors():
    minidl.manual_seed(7)
    probs = [0.2, 0.5, 0.3]
    covariance = np.array([[2.0, 0.5], [0.5, 1.0]])
    numbers = to_numpy(d.Categorical(tensor(probs)).sample((COUNT,)))
    np.testing.assert_allclose(np.bincount(numbers) / COUNT, probs, atol=0.03)
    hot = to_numpy(d.OneHotCategorical(tensor(probs)).sample((COUNT,)))
    np.testing.assert_allclose(hot.mean(0), probs, atol=0.03)
    counts = to_numpy(d.Multinomial(5, tensor(probs)).sample((COUNT,)))
    assert (counts.sum(-1) == 5).all()
    np.testing.assert_allclose(counts.mean(0) / 5, probs, atol=0.03)
    x = d.MultivariateNormal(tensor([1.0, -1.0]), tensor(covariance.tolist())).sample((COUNT,))
    np.testing.assert_allclose(np.cov(to_numpy(x).T), covariance, atol=0.12)
    mixture = d.MixtureSameFamily(
        d.Categorical(tensor([0.2, 0.8])), d.Normal(tensor([-9.0, 9.0]), tensor([1.0, 1.0]))
    )
    assert abs((to_numpy(mixture.sample((COUNT,))) > 0).mean() - 0.8) < 0.03


def test_relaxed_samples_tend_to_the_discrete_ones():
    minidl.manual_seed(8)
    probs = tensor([0.3, 0.7], requires_grad=True)
    x = d.RelaxedBernoulli(1e-3, probs=probs).rsample((COUNT,))
    np.testing.assert_allclose(to_numpy((x > 0.5).double().mean(0)), [0.3, 0.7], atol=0.03)
    y = d.RelaxedOneHotCategorical(1e-3, probs=probs).rsample((COUNT,))
    np.testing.assert_allclose(to_numpy(y.mean(0)), [0.3, 0.7], atol=0.03)
    soft = d.RelaxedOneHotCategorical(0.7, probs=probs)
    assert minidl.autograd.grad(soft.rsample()[0], probs)[0].abs().sum() > 0


def test_straight_through_has_the_gradient_of_probs():
    logits = tensor([0.1, 0.5, -1.0], requires_grad=True)
    mine = d.OneHotCategoricalStraightThrough(logits=logits)
    x, weights = mine.rsample(), tensor([1.0, 2.0, 4.0])
    np.testing.assert_allclose(sorted(x.tolist()), [0, 0, 1], atol=1e-12)
    (found,) = minidl.autograd.grad((x * weights).sum(), logits)
    (right,) = minidl.autograd.grad((logits.softmax(-1) * weights).sum(), logits)
    np.testing.assert_allclose(to_numpy(found), to_numpy(right))


def test_a_seed_gives_the_same_numbers_again():
    mine = d.Gamma(2.0, 1.0)
    minidl.manual_seed(9)
    first = mine.sample((5,)).tolist()
    minidl.manual_seed(9)
    assert mine.sample((3,)).tolist() == first[:3]  # each number from one place of the sequence
