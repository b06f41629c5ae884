"""Module: registration, names, modes, parameters."""

import numpy as np
import pytest
from nets import KEYS, NAMES, Net, Tied

import minidl
from minidl import nn
from minidl.testing import to_numpy

# ----------------------------------------------------------------------------------- registration


def test_attributes_are_sorted_by_what_they_are(device):
    net = Net(device)
    assert list(net._parameters) == ["scale"]
    assert list(net._modules) == ["first", "norm"]
    assert list(net._buffers) == ["seen", "cache"]
    assert net.name == "net"
    assert "name" in net.__dict__
    assert "first" not in net.__dict__
    assert {"first", "scale", "seen", "name", "forward"} <= set(dir(net))


def test_an_attribute_may_change_its_kind():
    net = Net()
    net.seen = nn.Parameter(minidl.ones(2))
    assert list(net._parameters) == ["scale", "seen"]
    assert "seen" not in net._buffers
    net.name = nn.Linear(1, 1)
    assert list(net._modules) == ["first", "norm", "name"]
    assert "name" not in net.__dict__
    net.first = None
    assert net.first is None
    net.cache = nn.Parameter(minidl.ones(1))
    assert "cache" in net.state_dict()
    assert net._non_persistent_buffers_set == set()
    del net.scale, net.norm
    assert not hasattr(net, "scale")
    assert not hasattr(net, "norm")


def test_a_buffer_takes_another_tensor_and_stays_what_it_is():
    net = Net()
    net.seen = minidl.ones(2)
    net.cache = minidl.ones(1)
    assert "seen" in net._buffers
    assert list(net.state_dict()) == KEYS


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("scale", minidl.ones(4), "as parameter 'scale'"),
        ("scale", 3.0, "as parameter 'scale'"),
        ("first", minidl.ones(4), "as child module 'first'"),
        ("seen", np.zeros(2), "as buffer 'seen'"),
    ],
)
def test_a_wrong_kind_is_refused(name, value, words):
    with pytest.raises(TypeError, match=words):
        setattr(Net(), name, value)


def test_forgetting_super_init_says_so():
    class Forgot(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"super\(\).__init__\(\)"):
        Forgot()

    class Late(nn.Module):
        def __init__(self):
            self.size = 3

    with pytest.raises(AttributeError, match=r"super\(\).__init__\(\)"):
        Late()(minidl.ones(1))


def test_a_missing_attribute_names_the_class():
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'second'"):
        Net().second  # noqa: B018


@pytest.mark.parametrize("register", ["register_parameter", "register_buffer", "register_module"])
@pytest.mark.parametrize(
    ("name", "error"), [("a.b", KeyError), ("", KeyError), (3, TypeError), ("forward", KeyError)]
)
def test_bad_names(register, name, error):
    with pytest.raises(error):
        getattr(nn.Module(), register)(name, None)


def test_registering_the_wrong_thing():
    module = nn.Module()
    with pytest.raises(TypeError, match="'Tensor' object to parameter 'w'"):
        module.register_parameter("w", minidl.ones(1))
    with pytest.raises(TypeError, match="'list' object to buffer 'b'"):
        module.register_buffer("b", [1.0])
    with pytest.raises(TypeError, match="int is not a Module subclass"):
        module.register_module("m", 3)


def test_forward_is_required():
    with pytest.raises(
        NotImplementedError, match=r'Module \[Module\] is missing the required "forw'
    ):
        nn.Module()(minidl.ones(1))


# -------------------------------------------------------------------------------------- the tree


def test_names(device):
    net = Net(device)
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert [name for name, _ in net.named_parameters(recurse=False)] == ["scale"]
    assert [name for name, _ in net.named_parameters(prefix="x")][1] == "x.first.weight"
    assert [name for name, _ in net.named_buffers()][:3] == ["seen", "cache", "norm.running_mean"]
    assert [name for name, _ in net.named_modules()] == ["", "first", "norm"]
    assert [name for name, _ in net.named_children()] == ["first", "norm"]
    assert list(net.modules()) == [net, net.first, net.norm]
    assert list(net.children()) == [net.first, net.norm]
    assert next(net.parameters()) is net.scale
    assert next(net.buffers()) is net.seen


def test_what_is_shared_is_named_once():
    net = Tied()
    assert [name for name, _ in net.named_parameters()] == ["table.weight"]
    every = ["table.weight", "out.weight", "again.weight"]
    assert [name for name, _ in net.named_parameters(remove_duplicate=False)] == every
    assert [name for name, _ in net.named_modules()] == ["", "table", "out"]
    assert [name for name, _ in net.named_modules(remove_duplicate=False)][-1] == "again"
    assert len(list(net.children())) == 2
    assert list(net.state_dict()) == every


def test_get_by_dotted_name():
    net = nn.Sequential(Net(), nn.ReLU())
    assert net.get_submodule("0.first") is net[0].first
    assert net.get_submodule("") is net
    assert net.get_parameter("0.first.weight") is net[0].first.weight
    assert net.get_buffer("0.seen") is net[0].seen
    with pytest.raises(AttributeError, match="Net has no attribute `second`"):
        net.get_submodule("0.second")
    with pytest.raises(AttributeError, match=r"`scale` is not an nn\.Module"):
        net.get_submodule("0.scale")
    with pytest.raises(AttributeError, match=r"`seen` is not an nn\.Parameter"):
        net.get_parameter("0.seen")
    with pytest.raises(AttributeError, match="Linear has no attribute `scale`"):
        net.get_parameter("0.first.scale")


def test_set_by_dotted_name():
    net = nn.Sequential(Net(), nn.ReLU())
    net.set_submodule("0.first", nn.Identity())
    assert isinstance(net[0].first, nn.Identity)
    net.set_submodule("0.second", nn.Identity())
    assert "second" in net[0]._modules
    with pytest.raises(AttributeError, match="no attribute `third`"):
        net.set_submodule("0.third", nn.Identity(), strict=True)
    with pytest.raises(AttributeError, match=r"`scale` is not an nn\.Module"):
        net.set_submodule("0.scale", nn.Identity())
    with pytest.raises(ValueError, match="without a target name"):
        net.set_submodule("", nn.Identity())
    with pytest.raises(ValueError, match=r"not an nn\.Module"):
        net.set_submodule("0", 3)


def test_apply_reaches_children_first():
    net, order = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.ReLU())), []
    assert net.apply(lambda m: order.append(type(m).__name__)) is net
    assert order == ["Linear", "ReLU", "Sequential", "Sequential"]


def test_train_and_eval():
    net = Net()
    assert net.training
    assert net.norm.training
    assert net.eval() is net
    assert not net.training
    assert not net.norm.training
    net.train()
    assert net.norm.training
    with pytest.raises(ValueError, match="expected to be boolean"):
        net.train(1)


def test_freezing_and_forgetting_gradients(device):
    net = Net(device)
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    net.requires_grad_()
    net(minidl.randn(6, 3, device=device)).square().sum().backward()
    gradient = net.scale.grad
    net.zero_grad(set_to_none=False)
    assert net.scale.grad is gradient
    np.testing.assert_array_equal(to_numpy(gradient), np.zeros(4))
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_zero_grad_cuts_a_gradient_with_a_history():
    w = nn.Parameter(minidl.ones(2))
    net = nn.Module()
    net.w = w
    (w**3).sum().backward(create_graph=True)
    assert w.grad.requires_grad
    net.zero_grad(set_to_none=False)
    assert not w.grad.requires_grad
    np.testing.assert_array_equal(to_numpy(w.grad), [0, 0])


# ------------------------------------------------------------------------------------- parameters


def test_a_parameter_shares_memory_with_its_data(device):
    data = minidl.zeros(3, device=device)
    p = nn.Parameter(data)
    data.fill_(2.0)
    np.testing.assert_array_equal(to_numpy(p.detach()), [2, 2, 2])
    assert p.requires_grad
    assert p.is_leaf
    assert isinstance(p, minidl.Tensor)
    assert type(p * 2) is minidl.Tensor
    assert repr(p).startswith("Parameter containing:\ntensor(")


def test_a_parameter_of_a_computed_tensor_is_a_leaf():
    x = minidl.ones(2, requires_grad=True)
    p = nn.Parameter(x * 3)
    assert p.is_leaf
    (p * 2).sum().backward()
    assert x.grad is None
    np.testing.assert_array_equal(to_numpy(p.grad), [2, 2])


def test_a_parameter_made_without_recording_still_wants_its_gradient():
    with minidl.no_grad():
        assert nn.Parameter(minidl.ones(1)).requires_grad
    assert not nn.Parameter(minidl.ones(1), requires_grad=False).requires_grad
    assert not nn.Parameter(minidl.ones(1), False).requires_grad
    assert nn.Parameter().shape == (0,)


def test_integers_cannot_require_gradients():
    with pytest.raises(RuntimeError, match="float"):
        nn.Parameter(minidl.tensor([1, 2]))
    assert nn.Parameter(minidl.tensor([1, 2]), requires_grad=False).dtype == minidl.int64
    with pytest.raises(TypeError, match="data should be a Tensor, but got ndarray"):
        nn.Parameter(np.ones(2))


def test_a_write_to_the_data_is_seen_by_backward():
    data = minidl.ones(2)
    p = nn.Parameter(data)
    loss = (p * p).sum()
    data.mul_(2)
    with pytest.raises(RuntimeError, match="in place"):
        loss.backward()
