"""Hooks of modules: before and after forward, on gradients, on state dicts."""

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.testing import to_numpy


def test_hooks_see_and_replace(device):
    layer = nn.Linear(2, 2, device=device)
    x = minidl.ones(1, 2, device=device)
    plain = to_numpy(layer(x).detach())
    seen = []
    before = layer.register_forward_pre_hook(lambda m, args: (args[0] * 0,))
    after = layer.register_forward_hook(lambda m, args, out: seen.append((m, args, out)))
    np.testing.assert_allclose(to_numpy(layer(x).detach()), to_numpy(layer.bias.detach())[None])
    assert seen[0][0] is layer
    np.testing.assert_array_equal(to_numpy(seen[0][1][0]), [[0, 0]])
    before.remove()
    before.remove()
    layer.register_forward_hook(lambda m, args, out: out * 10)
    np.testing.assert_allclose(to_numpy(layer(x).detach()), plain * 10, rtol=1e-6)
    assert len(seen) == 2
    with after:
        pass
    layer(x)
    assert len(seen) == 2


def test_hooks_run_in_order_and_with_keywords():
    class Power(nn.Module):
        def forward(self, x, *, n=1):
            return x**n

    module, order = Power(), []
    module.register_forward_hook(lambda m, a, out: order.append("second"))
    module.register_forward_hook(lambda m, a, out: order.append("first"), prepend=True)
    module.register_forward_hook(
        lambda m, a, kw, out: order.append(kw["n"]), prepend=False, with_kwargs=True
    )
    module.register_forward_pre_hook(lambda m, a, kw: (a, {"n": kw["n"] + 1}), with_kwargs=True)
    assert module(minidl.tensor(2.0), n=2).item() == 8
    assert order == ["first", "second", 3]


def test_a_pre_hook_may_return_one_value():
    module = nn.Identity()
    module.register_forward_pre_hook(lambda m, args: args[0] + 1)
    assert module(minidl.tensor(2.0)).item() == 3


def test_an_always_called_hook_runs_when_forward_raises():
    class Broken(nn.Module):
        def forward(self, x):
            raise ValueError("broken")

    module, seen = Broken(), []
    module.register_forward_hook(lambda m, a, out: seen.append(out), always_call=True)
    module.register_forward_hook(lambda m, a, out: seen.append("never"))
    with pytest.raises(ValueError, match="broken"):
        module(1)
    assert seen == [None]


def test_a_pre_hook_with_keywords_returns_both():
    module = nn.Identity()
    module.register_forward_pre_hook(lambda m, args, kwargs: args, with_kwargs=True)
    with pytest.raises(RuntimeError, match="new_args, new_kwargs"):
        module(1)


# -------------------------------------------------------------------------------------- gradients


def test_backward_hooks_see_and_replace_gradients():
    layer, seen = nn.Linear(2, 1, bias=False), []
    x = minidl.ones(3, 2, requires_grad=True)
    layer.register_full_backward_pre_hook(lambda m, grad_output: (grad_output[0] * 2,))

    def hook(module, grad_input, grad_output):
        seen.append((module, grad_input[0].shape, grad_output[0].tolist()))
        return (grad_input[0] * 10,)

    handle = layer.register_full_backward_hook(hook)
    layer(x).sum().backward()
    assert seen == [(layer, (3, 2), [[2], [2], [2]])]
    expected = 20 * to_numpy(layer.weight.detach()).repeat(3, 0)
    np.testing.assert_allclose(to_numpy(x.grad), expected, rtol=1e-6)
    np.testing.assert_allclose(to_numpy(layer.weight.grad), [[6, 6]])
    handle.remove()
    layer(x).sum().backward()
    assert len(seen) == 1


def test_a_backward_hook_of_a_module_whose_inputs_need_no_gradient():
    layer, seen = nn.Linear(2, 1), []
    layer.register_full_backward_hook(lambda m, grad_in, grad_out: seen.append((grad_in, grad_out)))
    layer(minidl.ones(1, 2)).sum().backward()
    ((grad_in, (grad_out,)),) = seen
    assert grad_in == (None,)
    assert grad_out.tolist() == [[1]]
    with minidl.no_grad():
        layer(minidl.ones(1, 2))


def test_a_backward_hook_with_several_inputs_and_outputs():
    class Swap(nn.Module):
        def forward(self, x, scale, y):
            return y * scale, x

    module, seen = Swap(), []
    module.register_full_backward_hook(
        lambda m, grad_in, grad_out: seen.append((grad_in, grad_out))
    )
    x, y = (minidl.ones(1, requires_grad=True) for _ in range(2))
    a, _ = module(x, 3.0, y)
    a.sum().backward()
    (((gx, gs, gy), (ga, gb)),) = seen
    assert gs is None
    assert gb is None
    assert ga.item() == 1
    assert gy.item() == 3
    assert gx is None
    assert y.grad.item() == 3


def test_a_backward_hook_returns_one_gradient_for_each():
    layer = nn.Identity()
    layer.register_full_backward_hook(lambda m, grad_in, grad_out: (None, None))
    out = layer(minidl.ones(1, requires_grad=True))
    with pytest.raises(RuntimeError, match="got 2, but expected 1"):
        out.sum().backward()


def test_a_backward_hook_needs_tensors_to_come_out():
    class Dict(nn.Module):
        def forward(self, x):
            return {"x": x}

    module = Dict()
    module.register_full_backward_hook(lambda m, grad_in, grad_out: None)
    with pytest.warns(UserWarning, match="should be a Tensor or a tuple"):
        module(minidl.ones(1, requires_grad=True))


# ------------------------------------------------------------------------------------ state dicts


def test_hooks_around_saving_and_loading():
    net, seen = nn.Sequential(nn.Linear(1, 1)), []
    net[0].register_state_dict_pre_hook(lambda m, prefix, keep_vars: seen.append(prefix))
    net.register_state_dict_post_hook(
        lambda m, state, prefix, metadata: state.update(more=minidl.ones(1))
    )
    state = net.state_dict()
    assert seen == ["0."]
    assert list(state) == ["0.weight", "0.bias", "more"]
    other = nn.Sequential(nn.Linear(1, 1))
    other.register_load_state_dict_pre_hook(lambda m, state, prefix, *rest: state.pop("more"))

    def after(module, keys):
        seen.append(module[0].weight.item() == net[0].weight.item())
        keys.missing_keys.clear()

    other.register_load_state_dict_post_hook(after)
    del state["0.bias"]
    assert other.load_state_dict(state).missing_keys == []
    assert seen == ["0.", True]
    assert "more" in state


def test_extra_state_is_saved_and_loaded():
    class Counting(nn.Module):
        count = 0

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    net, other = Counting(), Counting()
    net.count = 3
    other.load_state_dict(net.state_dict())
    assert other.count == 3
    with pytest.raises(RuntimeError, match=r'Missing key.*"_extra_state"'):
        other.load_state_dict({})
    with pytest.raises(RuntimeError, match=r'Unexpected key.*"_extra_state"'):
        nn.Module().load_state_dict(net.state_dict())


def test_a_module_may_load_its_part_itself():
    class Renamed(nn.Linear):
        def _load_from_state_dict(self, state_dict, prefix, *args):
            state_dict[prefix + "weight"] = state_dict.pop(prefix + "w")
            super()._load_from_state_dict(state_dict, prefix, *args)

    net = nn.Sequential(Renamed(1, 1))
    net.load_state_dict({"0.w": minidl.full((1, 1), 5.0), "0.bias": minidl.zeros(1)})
    assert net[0].weight.item() == 5
