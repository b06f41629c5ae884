"""nn.init: distributions, bounds, generators, and what layers start from."""

import math

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.nn import init
from minidl.testing import to_numpy


def filled(function, *shape, **options):
    minidl.manual_seed(0)
    tensor = minidl.empty(*shape, device=options.pop("device", "cpu"))
    assert function(tensor, **options) is tensor
    return to_numpy(tensor)


def uniform_within(a, bound):
    assert abs(a).max() <= bound
    assert abs(a).max() > 0.99 * bound
    assert abs(a.mean()) < 0.03 * bound
    assert a.std() == pytest.approx(bound / math.sqrt(3), rel=0.02)


def normal_with(a, std):
    assert abs(a.mean()) < 0.03 * std
    assert a.std() == pytest.approx(std, rel=0.02)
    assert 3.0 * std < abs(a).max() < 6 * std


def test_plain_fillings(device):
    a = filled(init.uniform_, 100, 100, a=2.0, b=5.0, device=device)
    uniform_within(a - 3.5, 1.5)
    normal_with(filled(init.normal_, 100, 100, mean=1.0, std=0.2, device=device) - 1, 0.2)
    np.testing.assert_array_equal(filled(init.constant_, 3, val=0.3), np.float32([0.3, 0.3, 0.3]))
    np.testing.assert_array_equal(filled(init.ones_, 2), [1, 1])
    np.testing.assert_array_equal(filled(init.zeros_, 2), [0, 0])


def test_they_write_into_parameters():
    p = nn.Parameter(minidl.zeros(2))
    assert init.ones_(p) is p
    assert p.is_leaf
    np.testing.assert_array_equal(to_numpy(p.detach()), [1, 1])


def test_xavier(device):
    # weight (200, 50, 2, 2): fan_in 50 * 4, fan_out 200 * 4
    bound = 1.5 * math.sqrt(6 / 1000)
    uniform_within(filled(init.xavier_uniform_, 200, 50, 2, 2, gain=1.5, device=device), bound)
    normal_with(filled(init.xavier_normal_, 200, 50, 2, 2, device=device), math.sqrt(2 / 1000))


def test_kaiming(device):
    shape = (200, 50, 2, 2)
    uniform_within(filled(init.kaiming_uniform_, *shape, device=device), math.sqrt(6 / 200))
    a = filled(init.kaiming_uniform_, *shape, a=1.0, mode="fan_out")
    uniform_within(a, math.sqrt(3 / 800))
    a = filled(init.kaiming_normal_, *shape, nonlinearity="relu")
    normal_with(a, math.sqrt(2 / 200))
    a = filled(init.kaiming_normal_, *shape, nonlinearity="tanh", mode="fan_out")
    normal_with(a, 5 / 3 / math.sqrt(800))


@pytest.mark.parametrize(
    ("name", "param", "gain"),
    [
        ("linear", None, 1),
        ("conv2d", None, 1),
        ("conv_transpose3d", None, 1),
        ("sigmoid", None, 1),
        ("tanh", None, 5 / 3),
        ("relu", None, math.sqrt(2)),
        ("leaky_relu", None, math.sqrt(2 / 1.0001)),
        ("leaky_relu", 2, math.sqrt(2 / 5)),
        ("selu", None, 0.75),
    ],
)
def test_gain(name, param, gain):
    assert init.calculate_gain(name, param) == pytest.approx(gain, rel=1e-15)


@pytest.mark.parametrize("rows_and_columns", [(50, 20), (20, 50), (30, 30)])
def test_orthogonal(device, rows_and_columns):
    rows, columns = rows_and_columns
    a = filled(init.orthogonal_, rows, columns // 5, 5, gain=2.0, device=device)
    q = a.reshape(rows, columns).astype(np.float64) / 2
    product = q.T @ q if rows >= columns else q @ q.T
    np.testing.assert_allclose(product, np.eye(len(product)), atol=2e-6)


def test_orthogonal_matrices_are_uniform():
    """The first element of Q has either sign equally often; a bare QR makes it negative always."""
    minidl.manual_seed(0)
    signs = [init.orthogonal_(minidl.empty(3, 3))[0, 0].item() > 0 for _ in range(200)]
    assert 70 < sum(signs) < 130


def density_bins(a, low, high, mean, std, bins=10):
    """Counts in equal bins, and the counts expected of the truncated normal distribution."""

    def below(x):
        return (1 + math.erf((x - mean) / std / math.sqrt(2))) / 2

    edges = np.linspace(low, high, bins + 1)
    share = np.diff([below(e) for e in edges]) / (below(high) - below(low))
    return np.histogram(a, edges)[0], share * a.size


@pytest.mark.parametrize(
    ("mean", "std", "low", "high"),
    [(0.0, 1.0, -2.0, 2.0), (0.5, 2.0, -1.0, 1.5), (0.0, 1.0, 1.5, 2.0), (1.0, 0.02, 0.9, 2.0)],
)
def test_truncated_normal(device, mean, std, low, high):
    a = filled(init.trunc_normal_, 200, 100, mean=mean, std=std, a=low, b=high, device=device)
    assert low <= a.min()
    assert a.max() <= high
    counts, expected = density_bins(a, low, high, mean, std)
    likely = expected > 5
    chi_square = ((counts - expected)[likely] ** 2 / expected[likely]).sum()
    assert chi_square < 30  # nine degrees of freedom: exceeded once in 2,000 draws


def test_truncated_normal_warns_when_the_mean_is_far_out():
    with pytest.warns(UserWarning, match="more than 2 std from"):
        init.trunc_normal_(minidl.empty(5), mean=10.0, std=1.0)


@pytest.mark.parametrize(
    "function",
    [
        init.uniform_,
        init.normal_,
        init.xavier_uniform_,
        init.xavier_normal_,
        init.kaiming_uniform_,
        init.kaiming_normal_,
        init.trunc_normal_,
        init.orthogonal_,
    ],
)
def test_a_generator_decides_alone(function):
    drawn = []
    for seed, own in [(1, 5), (2, 5), (2, 6)]:
        minidl.manual_seed(seed)
        tensor = minidl.empty(4, 6)
        function(tensor, generator=minidl.Generator().manual_seed(own))
        drawn.append(to_numpy(tensor))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[1] != drawn[2]).any()


def test_refusals():
    with pytest.raises(ValueError, match="fewer than 2 dimensions"):
        init.xavier_uniform_(minidl.empty(3))
    with pytest.raises(ValueError, match="2 or more dimensions"):
        init.orthogonal_(minidl.empty(3))
    with pytest.raises(ValueError, match="Mode fan_avg not supported"):
        init.kaiming_normal_(minidl.empty(3, 3), mode="fan_avg")
    with pytest.raises(ValueError, match="Unsupported nonlinearity swish"):
        init.calculate_gain("swish")
    with pytest.raises(ValueError, match="not a valid number"):
        init.calculate_gain("leaky_relu", True)


def test_empty_weights():
    assert init.kaiming_uniform_(minidl.empty(0, 3)).numel() == 0
    assert init.orthogonal_(minidl.empty(0, 3)).numel() == 0
    assert init.trunc_normal_(minidl.empty(0, 3)).numel() == 0
    assert nn.Linear(0, 3).weight.shape == (3, 0)


def test_what_layers_start_from(device):
    minidl.manual_seed(1)
    linear = nn.Linear(100, 200, device=device)
    uniform_within(to_numpy(linear.weight.detach()), 0.1)
    assert 0.095 < abs(to_numpy(linear.bias.detach())).max() <= 0.1
    conv = nn.Conv2d(40, 100, 5, groups=2, device=device)
    bound = 1 / math.sqrt(20 * 25)
    uniform_within(to_numpy(conv.weight.detach()), bound)
    assert 0.9 * bound < abs(to_numpy(conv.bias.detach())).max() <= bound
    normal_with(to_numpy(nn.Embedding(200, 100, device=device).weight.detach()), 1.0)


def test_layers_follow_the_default_dtype_and_the_argument():
    assert nn.Linear(2, 2).weight.dtype == minidl.float32
    assert nn.Linear(2, 2, dtype=minidl.float64).bias.dtype == minidl.float64
    norm = nn.BatchNorm2d(2, dtype=minidl.float64)
    assert norm.running_var.dtype == minidl.float64
    assert norm.num_batches_tracked.dtype == minidl.int64


def test_the_same_seed_gives_the_same_layers():
    def make():
        minidl.manual_seed(7)
        return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(3, 4)).state_dict()

    first, second = make(), make()
    for name, tensor in first.items():
        np.testing.assert_array_equal(to_numpy(tensor), to_numpy(second[name]))
