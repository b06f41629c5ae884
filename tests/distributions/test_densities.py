"""Densities, moments, entropies, cdfs and their inverses against SciPy; derivatives of log_prob."""

import numpy as np
import pytest
from families import CONTINUOUS, WHOLE, both, tensor
from scipy import stats

import minidl
from minidl import distributions as d
from minidl.testing import gradcheck, to_numpy

LEVELS = np.array([[0.1], [0.5], [0.93]])
NO_CDF = ("StudentT", "Beta", *WHOLE)
NO_ICDF = ("Gamma", "InverseGamma", "Chi2", *NO_CDF)
NO_ENTROPY = ("NegativeBinomial", "Poisson")


def close(found, expected, rtol=1e-7):
    expected = np.broadcast_to(expected, found.shape)
    np.testing.assert_allclose(to_numpy(found), expected, rtol=rtol, atol=1e-10)


@pytest.mark.parametrize("name", [*CONTINUOUS, *WHOLE])
def test_log_prob(name):
    mine, reference, parameters = both(name)
    x = reference.ppf(LEVELS)
    log_prob = reference.logpmf if name in WHOLE else reference.logpdf
    close(mine.log_prob(tensor(x.tolist())), log_prob(x))
    make = {**CONTINUOUS, **WHOLE}[name][2]
    at = tensor(x.tolist())

    def of_both(first, second):
        return make(first, second).log_prob(at) + 0 * (first + second)

    def of_the_first(first):
        return make(first, parameters[1].detach()).log_prob(at)

    assert (
        gradcheck(of_the_first, parameters[0]) if name in WHOLE else gradcheck(of_both, parameters)
    )


@pytest.mark.parametrize("name", [*CONTINUOUS, *WHOLE])
def test_moments_and_entropy(name):
    mine, reference, _ = both(name)
    if "Cauchy" not in name:  # whose integrals do not converge
        close(mine.mean, reference.mean())
        close(mine.variance, reference.var())
        close(mine.stddev, reference.std())
    if name not in NO_ENTROPY:
        entropy = reference.entropy()
        close(mine.entropy(), entropy, 1e-6)
        close(mine.perplexity(), np.exp(entropy), 1e-6)


@pytest.mark.parametrize("name", [name for name in CONTINUOUS if name not in NO_CDF])
def test_cdf_and_its_inverse(name):
    mine, reference, _ = both(name)
    x = reference.ppf(LEVELS)
    close(mine.cdf(tensor(x.tolist())), LEVELS)
    if name not in NO_ICDF:
        close(mine.icdf(tensor(LEVELS.tolist())), x)


def test_the_mode_has_the_highest_density():
    for name in ["Normal", "Gumbel", "LogNormal", "Beta", "Gamma", "InverseGamma", "Weibull"]:
        first, second, make, _ = CONTINUOUS[name]
        mine = make(tensor(first[1] + 3.1), tensor(second[1] + 0.1))
        for other in (0.99, 1.01):
            assert mine.log_prob(mine.mode) > mine.log_prob(mine.mode * other), name


def test_dirichlet():
    a = [0.7, 2.0, 3.5]
    mine, reference = d.Dirichlet(tensor(a)), stats.dirichlet(a)
    x = np.array([0.2, 0.3, 0.5])
    close(mine.log_prob(tensor(x.tolist())), reference.logpdf(x))
    close(mine.mean, reference.mean())
    close(mine.variance, reference.var())
    close(mine.entropy(), reference.entropy())
    close(d.Dirichlet(tensor([2.0, 3.0, 4.0])).mode, np.array([1, 2, 3]) / 6)


def test_multivariate_normal_of_each_matrix():
    covariance = np.array([[2.0, 0.5, 0.1], [0.5, 1.0, -0.3], [0.1, -0.3, 0.8]])
    loc, x = [0.5, -1.0, 2.0], np.array([[0.0, 0.0, 1.0], [1.0, -2.0, 2.0]])
    reference = stats.multivariate_normal(loc, covariance)
    given = {
        "covariance_matrix": covariance,
        "precision_matrix": np.linalg.inv(covariance),
        "scale_tril": np.linalg.cholesky(covariance),
    }
    for name, matrix in given.items():
        mine = d.MultivariateNormal(tensor(loc), **{name: tensor(matrix.tolist())})
        close(mine.log_prob(tensor(x.tolist())), reference.logpdf(x))
        close(mine.entropy(), reference.entropy())
        close(mine.variance, np.diag(covariance))
        for other, expected in given.items():
            close(getattr(mine, other), expected)
    matrix = tensor(given["scale_tril"].tolist(), requires_grad=True)
    at = tensor(loc, requires_grad=True)
    assert gradcheck(
        lambda m, s: d.MultivariateNormal(m, scale_tril=s.tril()).log_prob(tensor(x.tolist())),
        (at, matrix),
    )


@pytest.mark.parametrize("given", ["probs", "logits"])
def test_categorical_and_its_forms(given):
    probs = np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]])
    value = probs if given == "probs" else np.log(probs) + 3.0
    options = {given: tensor(value.tolist())}
    mine, hot = d.Categorical(**options), d.OneHotCategorical(**options)
    numbers = minidl.tensor([2, 1])
    expected = np.log([0.3, 0.1])
    close(mine.log_prob(numbers), expected)
    close(hot.log_prob(minidl.nn.functional.one_hot(numbers, 3).double()), expected)
    close(mine.probs, probs)
    close(mine.entropy(), stats.entropy(probs, axis=-1))
    close(hot.variance, probs * (1 - probs))
    assert mine.mode.tolist() == [1, 2]
    assert hot.mode.tolist() == [[0, 1, 0], [0, 0, 1]]
    assert mine.enumerate_support().tolist() == [[0, 0], [1, 1], [2, 2]]
    assert hot.enumerate_support(False).shape == (3, 1, 3)
    many = d.Multinomial(4, **options)
    counts = np.array([[1, 2, 1], [0, 0, 4]])
    reference = [stats.multinomial(4, p) for p in probs]
    close(
        many.log_prob(tensor(counts.tolist())),
        [r.logpmf(c) for r, c in zip(reference, counts, strict=True)],
    )
    close(many.entropy(), [r.entropy() for r in reference])
    close(many.mean, 4 * probs)


def test_logits_and_probs_are_the_same_distribution():
    logits = tensor([-1.0, 0.5], requires_grad=True)
    value = tensor([0.0, 1.0])
    for make in (
        lambda **p: d.Bernoulli(**p),
        lambda **p: d.Geometric(**p),
        lambda **p: d.Binomial(3, **p),
        lambda **p: d.NegativeBinomial(3.0, **p),
        lambda **p: d.RelaxedBernoulli(0.7, **p).base_dist,
    ):
        a, b = make(logits=logits), make(probs=logits.sigmoid())
        close(a.log_prob(value), to_numpy(b.log_prob(value)))
        ga, gb = (minidl.autograd.grad(x.log_prob(value).sum(), logits)[0] for x in (a, b))
        close(ga, to_numpy(gb))


def test_probs_computed_without_gradients_have_them_later():
    logits = minidl.tensor([0.3, 0.7], requires_grad=True)
    mine = d.Categorical(logits=logits)
    mine.sample()
    assert mine.entropy().requires_grad
    assert mine.probs.requires_grad


def test_mixture_density_and_moments():
    probs, loc, scale = np.array([0.2, 0.8]), np.array([-1.0, 2.0]), np.array([0.5, 1.5])
    mine = d.MixtureSameFamily(
        d.Categorical(tensor(probs.tolist())),
        d.Normal(tensor(loc.tolist()), tensor(scale.tolist())),
    )
    x = np.array([-2.0, 0.3, 5.0])
    parts = stats.norm(loc, scale)
    close(mine.log_prob(tensor(x.tolist())), np.log((probs * parts.pdf(x[:, None])).sum(-1)))
    close(mine.cdf(tensor(x.tolist())), (probs * parts.cdf(x[:, None])).sum(-1))
    mean = (probs * loc).sum()
    close(mine.mean, mean)
    close(mine.variance, (probs * (scale**2 + loc**2)).sum() - mean**2)
