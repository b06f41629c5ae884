"""Shapes, expansion, numbers and tensors, and what is refused."""

import copy

import numpy as np
import pytest
from families import CONTINUOUS, WHOLE, both

import minidl
from minidl import Size
from minidl import distributions as d
from minidl.testing import to_numpy

VECTORS = {
    "Dirichlet": lambda: d.Dirichlet(minidl.ones(2, 3)),
    "Categorical": lambda: d.Categorical(minidl.ones(2, 3)),
    "OneHotCategorical": lambda: d.OneHotCategorical(minidl.ones(2, 3)),
    "Multinomial": lambda: d.Multinomial(4, minidl.ones(2, 3)),
    "MultivariateNormal": lambda: d.MultivariateNormal(minidl.zeros(2, 3), minidl.eye(3)),
    "Independent": lambda: d.Independent(d.Normal(minidl.zeros(2, 3), 1.0), 1),
    "MixtureSameFamily": lambda: d.MixtureSameFamily(
        d.Categorical(minidl.ones(4)), d.Normal(minidl.zeros(2, 4), 1.0)
    ),
    "RelaxedOneHotCategorical": lambda: d.RelaxedOneHotCategorical(0.5, minidl.ones(2, 3)),
    "RelaxedBernoulli": lambda: d.RelaxedBernoulli(0.5, minidl.full((2,), 0.3)),
    "TransformedDistribution": lambda: d.TransformedDistribution(
        d.Normal(minidl.zeros(2, 3), 1.0), [d.StickBreakingTransform()]
    ),
}
ALL = {name: (lambda name=name: both(name)[0]) for name in [*CONTINUOUS, *WHOLE]} | VECTORS


@pytest.mark.parametrize("name", ALL)
def test_shapes(name):
    mine = ALL[name]()
    assert mine.batch_shape == (2,)
    x = mine.sample((5, 4))
    assert x.shape == (5, 4, 2, *mine.event_shape)
    assert not x.requires_grad
    assert mine.log_prob(x).shape == (5, 4, 2)
    assert mine.sample().shape == (2, *mine.event_shape)
    assert isinstance(mine.batch_shape, Size)


@pytest.mark.parametrize("name", ALL)
def test_expand(name):
    mine = ALL[name]()
    mine.log_prob(mine.sample())  # fills what is computed once
    wide = mine.expand((3, 2))
    assert type(wide) is type(mine)
    assert wide.batch_shape == (3, 2)
    assert wide.event_shape == mine.event_shape
    x = wide.sample((4,))
    assert x.shape == (4, 3, 2, *mine.event_shape)
    np.testing.assert_array_equal(to_numpy(wide.log_prob(x)), to_numpy(mine.log_prob(x)))
    assert mine.batch_shape == (2,)


@pytest.mark.parametrize("name", ALL)
def test_every_name_has_a_text_and_can_be_copied(name):
    mine = ALL[name]()
    assert repr(mine).startswith(type(mine).__name__ + "(")
    assert repr(copy.copy(mine)) == repr(mine)


def test_numbers_take_the_default_type_or_that_of_the_tensor_beside_them():
    mine = d.Normal(0, 1)
    assert mine.batch_shape == ()
    assert mine.sample().dtype == minidl.float32
    assert repr(mine) == "Normal(loc: 0.0, scale: 1.0)"
    double = d.Normal(minidl.zeros(2, dtype=minidl.float64), 1.0)
    assert double.sample().dtype == minidl.float64
    assert d.Normal(minidl.zeros(3, 1), minidl.ones(2)).batch_shape == (3, 2)


def test_independent_sums_over_the_batch():
    base = d.Normal(minidl.zeros(4, 3), minidl.ones(3))
    mine, x = d.Independent(base, 1), minidl.randn(4, 3)
    assert (mine.batch_shape, mine.event_shape) == ((4,), (3,))
    assert mine.log_prob(x).tolist() == base.log_prob(x).sum(-1).tolist()
    assert mine.entropy().shape == (4,)
    with pytest.raises(ValueError, match="reinterpreted_batch_ndims <= 2"):
        d.Independent(base, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: d.Normal(0.0, -1.0), r"parameter scale .* GreaterThan\(lower_bound=0.0\)"),
        (lambda: d.Normal(float("nan"), 1.0), r"parameter loc .* Real\(\)"),
        (lambda: d.Normal([0.0], 1.0), "minidl.tensor"),
        (lambda: d.Bernoulli(1.5), r"parameter probs .* Interval"),
        (lambda: d.Bernoulli(), "exactly one of probs, logits; got none"),
        (lambda: d.Categorical(minidl.ones(2), minidl.ones(2)), "got probs and logits"),
        (lambda: d.Categorical(minidl.tensor(1.0)), "at least one-dimensional"),
        (lambda: d.Categorical(minidl.tensor([-1.0, 2.0])), r"Simplex\(\)"),
        (lambda: d.Geometric(0.0), "probs > 0"),
        (lambda: d.Uniform(1.0, 0.0), "low < high"),
        (
            lambda: d.MultivariateNormal(minidl.zeros(2), -minidl.eye(2)),
            r"covariance_matrix .* PositiveDefinite\(\)",
        ),
        (lambda: d.MultivariateNormal(minidl.zeros(2)), "exactly one of"),
        (lambda: d.Dirichlet(minidl.tensor(1.0)), "at least one-dimensional"),
        (lambda: d.MixtureSameFamily(d.Categorical(minidl.ones(3)), d.Normal(0.0, 1.0)), "3 comp"),
        (lambda: d.TransformedDistribution(d.Normal(0.0, 1.0), ["exp"]), "list of them"),
        (
            lambda: d.TransformedDistribution(d.Normal(0.0, 1.0), d.SoftmaxTransform()),
            "events of 1 dim",
        ),
    ],
)
def test_wrong_parameters(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: d.Normal(minidl.zeros(2), 1.0).log_prob(minidl.zeros(3)), "does not broadcast"),
        (lambda: d.Normal(0.0, 1.0).log_prob(0.5), "must be a Tensor, got float"),
        (lambda: d.Normal(0.0, 1.0).cdf(minidl.tensor(float("nan"))), r"support \(Real\(\)\)"),
        (lambda: d.Exponential(1.0).log_prob(minidl.tensor(-1.0)), "within the support"),
        (lambda: d.Poisson(1.0).log_prob(minidl.tensor(1.5)), r"NonnegativeInteger\(\)"),
        (lambda: d.Categorical(minidl.ones(3)).log_prob(minidl.tensor(3)), "IntegerInterval"),
        (lambda: d.Binomial(3, 0.5).log_prob(minidl.tensor(4.0)), "IntegerInterval"),
        (lambda: d.Dirichlet(minidl.ones(3)).log_prob(minidl.ones(3)), r"Simplex\(\)"),
        (lambda: d.Dirichlet(minidl.ones(3)).log_prob(minidl.ones(2)), "event_shape"),
        (lambda: d.OneHotCategorical(minidl.ones(2)).log_prob(minidl.ones(2)), r"OneHot\(\)"),
    ],
)
def test_wrong_values(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_checks_can_be_switched_off():
    mine = d.Normal(0.0, 1.0, validate_args=False)
    assert np.isnan(mine.log_prob(minidl.tensor(float("nan"))).item())
    assert np.isnan(d.Normal(0.0, -1.0, validate_args=False).log_prob(minidl.tensor(0.0)).item())
    d.Distribution.set_default_validate_args(False)
    try:
        d.Normal(0.0, -1.0)
    finally:
        d.Distribution.set_default_validate_args(True)
    with pytest.raises(ValueError, match="scale"):
        d.Normal(0.0, -1.0)


def test_what_a_distribution_has_not():
    with pytest.raises(NotImplementedError, match="Bernoulli has no rsample"):
        d.Bernoulli(0.5).rsample()
    with pytest.raises(NotImplementedError, match="StudentT has no cdf"):
        d.StudentT(3.0).cdf(minidl.tensor(0.0))
    with pytest.raises(TypeError, match=r"sample\(\(3,\)\)"):
        d.Normal(0.0, 1.0).sample(3)
    with pytest.raises(TypeError, match=r"sample\(\(3,\)\)"):
        d.Categorical(minidl.ones(2)).sample(3)


def test_supports_of_classes_and_of_instances():
    assert d.constraints.is_dependent(d.Uniform.support)
    assert repr(d.Normal.support) == "Real()"
    assert d.Uniform(0.0, 2.0).support.check(minidl.tensor([1.0, 3.0])).tolist() == [True, False]
    check = d.constraints.lower_cholesky.check
    assert check(minidl.eye(2)).item()
    assert not check(minidl.ones(2, 2)).item()
    assert not d.constraints.symmetric.check(minidl.tensor([[1.0, 2.0], [0.0, 1.0]])).item()


def test_policy_gradient():
    """The use in reinforcement learning: the gradient of -log_prob(action) * reward."""
    logits = minidl.tensor([[0.1, 0.2, 0.3]], requires_grad=True)
    mine = d.Categorical(logits=logits)
    action = mine.sample()
    (-mine.log_prob(action) * 2.0).sum().backward()
    expected = 2 * (to_numpy(mine.probs) - np.eye(3)[to_numpy(action)])
    np.testing.assert_allclose(to_numpy(logits.grad), expected, rtol=1e-5)
