"""nn.utils: gradient clipping, parameters as a vector, parametrizations, fusion."""

import copy

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.nn import utils
from minidl.nn.utils import parametrizations, parametrize
from minidl.testing import to_numpy


def with_gradient(*values):
    p = nn.Parameter(minidl.zeros(len(values)))
    p.grad = minidl.tensor(values)
    return p


def close(got, expected, tolerance=1e-6):
    np.testing.assert_allclose(to_numpy(got.detach()), to_numpy(expected.detach()), atol=tolerance)


# --------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize(("order", "norm"), [(2.0, 5.0), (1.0, 7.0), (float("inf"), 4.0)])
def test_clipping_by_the_norm(order, norm):
    params = [with_gradient(3.0), with_gradient(0.0, -4.0), nn.Parameter(minidl.zeros(1))]
    assert utils.clip_grad_norm_(params, 1.0, order).item() == pytest.approx(norm)
    assert params[0].grad.item() == pytest.approx(3 / norm, rel=1e-5)
    np.testing.assert_allclose(to_numpy(params[1].grad), [0, -4 / norm], rtol=1e-5)
    before = params[0].grad.item()
    utils.clip_grad_norm_(params[0], 100.0)
    assert params[0].grad.item() == before


def test_clipping_by_value():
    p = with_gradient(-3.0, 0.5, 2.0)
    utils.clip_grad_value_(p, 1.0)
    assert p.grad.tolist() == [-1, 0.5, 1]


def test_clipping_with_nothing_or_too_much():
    assert utils.clip_grad_norm_([], 1.0).item() == 0
    with pytest.warns(UserWarning, match="empty generator"):
        utils.clip_grad_norm_((p for p in []), 1.0)
    with pytest.raises(RuntimeError, match="non-finite"):
        utils.clip_grad_norm_(with_gradient(float("inf")), 1.0, error_if_nonfinite=True)
    with pytest.warns(FutureWarning, match="clip_grad_norm_"):
        utils.clip_grad_norm(with_gradient(1.0), 1.0)


def test_parameters_as_a_vector():
    net = nn.Linear(2, 3)
    vector = utils.parameters_to_vector(net.parameters())
    assert vector.shape == (9,)
    utils.vector_to_parameters(minidl.arange(9.0), net.parameters())
    assert net.weight.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert net.bias.tolist() == [6, 7, 8]
    with pytest.raises(TypeError, match="expected a Tensor, but got: list"):
        utils.vector_to_parameters([1.0], net.parameters())


# --------------------------------------------------------------------------------- parametrizations


class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).T

    def right_inverse(self, x):
        return x.triu()


class Doubled(nn.Module):
    def forward(self, x):
        return 2 * x


def test_a_parametrized_weight_is_computed_when_read():
    net = nn.Linear(3, 3)
    assert parametrize.register_parametrization(net, "weight", Symmetric()) is net
    close(net.weight, net.weight.T)
    assert isinstance(net, nn.Linear)
    assert type(net) is not nn.Linear
    assert parametrize.type_before_parametrizations(net) is nn.Linear
    assert list(net.state_dict()) == ["bias", "parametrizations.weight.original"]
    net(minidl.ones(1, 3)).sum().backward()
    assert net.parametrizations.weight.original.grad.abs().sum().item() > 0
    value = minidl.eye(3) * 4
    net.weight = value
    close(net.weight, value)
    parametrize.register_parametrization(net, "weight", Doubled())
    close(net.weight, 2 * value)
    with pytest.raises(RuntimeError, match="does not implement right_inverse"):
        net.weight = value
    twin = copy.deepcopy(net)
    with minidl.no_grad():
        twin.parametrizations.weight.original.zero_()
    close(net.weight, 2 * value)
    parametrize.remove_parametrizations(net, "weight")
    assert type(net) is nn.Linear
    assert [name for name, _ in net.named_parameters()] == ["bias", "weight"]
    close(net.weight, 2 * value)


def test_a_parametrization_may_be_taken_back():
    net = nn.Linear(2, 2)
    before = net.bias.detach().clone()
    parametrize.register_parametrization(net, "bias", Doubled())
    parametrize.remove_parametrizations(net, "bias", leave_parametrized=False)
    close(net.bias, before)
    assert not parametrize.is_parametrized(net)
    with pytest.raises(ValueError, match="does not have a parametrization on bias"):
        parametrize.remove_parametrizations(net, "bias")


def test_cached_computes_once():
    net = parametrize.register_parametrization(nn.Linear(2, 2), "weight", Doubled())
    assert net.weight is not net.weight
    with parametrize.cached():
        assert net.weight is net.weight
    assert net.weight is not net.weight


def test_what_a_parametrization_may_not_do():
    class Flat(nn.Module):
        def forward(self, x):
            return x.flatten()

    net = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="may not change the shape"):
        parametrize.register_parametrization(net, "weight", Flat())
    with pytest.raises(ValueError, match="with name 'wieght'"):
        parametrize.register_parametrization(net, "wieght", Doubled())
    assert (
        parametrize.register_parametrization(net, "weight", Flat(), unsafe=True).weight.dim() == 1
    )


@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm(dim):
    net = nn.Linear(3, 4)
    weight = net.weight.detach().clone()
    parametrizations.weight_norm(net, dim=dim)
    close(net.weight, weight)
    parts = net.parametrizations.weight
    with minidl.no_grad():
        parts.original1.mul_(5.0)  # the direction: its length does not matter
    close(net.weight, weight)
    with minidl.no_grad():
        parts.original0.mul_(2.0)
    close(net.weight, 2 * weight)


def test_weight_norm_takes_old_state_dicts():
    with pytest.warns(FutureWarning, match="parametrizations.weight_norm"):
        old = utils.weight_norm(nn.Linear(3, 4))
    new = parametrizations.weight_norm(nn.Linear(3, 4))
    assert sorted(old.state_dict()) == ["bias", "weight_g", "weight_v"]
    new.load_state_dict(old.state_dict())
    x = minidl.randn(2, 3)
    close(new(x), old(x))
    expected = old(x)
    utils.remove_weight_norm(old)
    close(old(x), expected)
    assert sorted(old.state_dict()) == ["bias", "weight"]
    with pytest.raises(ValueError, match="not found"):
        utils.remove_weight_norm(old)


@pytest.mark.parametrize("norm", [utils.spectral_norm, parametrizations.spectral_norm])
def test_spectral_norm(norm):
    net = norm(nn.Linear(6, 4))
    x = minidl.ones(1, 6)
    for _ in range(100):
        net(x)
    net.eval()
    net(x)
    largest = np.linalg.svd(to_numpy(net.weight.detach()), compute_uv=False)[0]
    assert largest == pytest.approx(1, rel=1e-3)
    before = to_numpy(net.weight.detach()).copy()
    net(x)
    np.testing.assert_array_equal(to_numpy(net.weight.detach()), before)
    net(x).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_spectral_norm_is_removed():
    net = utils.spectral_norm(nn.Conv2d(2, 3, 2), n_power_iterations=2)
    assert list(net.state_dict()) == ["bias", "weight_orig", "weight_u", "weight_v"]
    assert net.state_dict()._metadata[""]["spectral_norm"] == {"weight.version": 1}
    with pytest.raises(RuntimeError, match="two spectral_norm hooks"):
        utils.spectral_norm(net)
    net.eval()
    x = minidl.randn(1, 2, 3, 3)
    expected = net(x)
    utils.remove_spectral_norm(net)
    close(net(x), expected)
    assert list(net.state_dict()) == ["bias", "weight"]


# ------------------------------------------------------------------------------------------- fusion


@pytest.mark.parametrize(
    ("layer", "norm", "fuse", "shape"),
    [
        (
            lambda: nn.Conv2d(2, 3, 2, bias=False),
            nn.BatchNorm2d,
            utils.fuse_conv_bn_eval,
            (4, 2, 3, 3),
        ),
        (lambda: nn.Linear(2, 3), nn.BatchNorm1d, utils.fuse_linear_bn_eval, (4, 2)),
    ],
)
def test_fused_layers_compute_the_same(layer, norm, fuse, shape):
    pair = nn.Sequential(layer(), norm(3))
    pair(minidl.randn(*shape) * 3 + 1)
    with pytest.raises(AssertionError, match="only for eval"):
        fuse(*pair)
    pair.eval()
    x = minidl.randn(*shape)
    close(fuse(*pair)(x), pair(x), 1e-5)


def test_skip_init_makes_the_module():
    assert utils.skip_init(nn.Linear, 2, 3).weight.shape == (3, 2)
    with pytest.raises(RuntimeError, match="Expected a Module"):
        utils.skip_init(int)
