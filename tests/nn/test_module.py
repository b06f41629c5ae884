"""Module: registration, names, modes, hooks, moving, copying, saving and loading."""

import copy
import io
import pickle
from collections import OrderedDict

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.testing import to_numpy


class Net(nn.Module):
    """Two layers, a buffer of each kind, and a plain attribute."""

    def __init__(self, device="cpu"):
        super().__init__()
        self.first = nn.Linear(3, 4, device=device)
        self.scale = nn.Parameter(minidl.ones(4, device=device))
        self.norm = nn.BatchNorm1d(4, device=device)
        self.register_buffer("seen", minidl.zeros(2, device=device))
        self.register_buffer("cache", minidl.zeros(1, device=device), persistent=False)
        self.name = "net"

    def forward(self, x):
        return self.norm(self.first(x) * self.scale)


NAMES = ["scale", "first.weight", "first.bias", "norm.weight", "norm.bias"]
KEYS = [
    "scale",
    "seen",
    "first.weight",
    "first.bias",
    "norm.weight",
    "norm.bias",
    "norm.running_mean",
    "norm.running_var",
    "norm.num_batches_tracked",
]


class Tied(nn.Module):
    """An embedding whose table is also the output layer's weight, and one layer used twice."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(5, 3)
        self.out = nn.Linear(3, 5, bias=False)
        self.out.weight = self.table.weight
        self.again = self.out

    def forward(self, x):
        return self.again(self.table(x))


def values(module):
    return {name: to_numpy(t).copy() for name, t in module.state_dict().items()}


def assert_same(got, expected):
    assert list(got) == list(expected)
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name)


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


# ------------------------------------------------------------------------------------------ hooks


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


# ------------------------------------------------------------------------- moving and converting


def test_converting_keeps_parameters_and_counts(device):
    net = Net(device)
    net(minidl.ones(5, 3, device=device)).sum().backward()
    weight = net.first.weight
    assert net.double() is net
    assert net.first.weight is weight
    assert weight.dtype == minidl.float64
    assert weight.grad.dtype == minidl.float64
    assert net.norm.running_mean.dtype == minidl.float64
    assert net.norm.num_batches_tracked.dtype == minidl.int64
    assert net(minidl.ones(5, 3, dtype=minidl.float64, device=device)).dtype == minidl.float64
    assert net.float().first.weight.dtype == minidl.float32
    assert net.to(device).to(minidl.float64).scale.dtype == minidl.float64
    assert net.to(minidl.zeros(1)).scale.dtype == minidl.float32
    assert net.to(device="cpu", dtype=minidl.float64).scale.dtype == minidl.float64
    assert net.half().scale.dtype == minidl.float16
    with pytest.raises(TypeError, match="only accepts floating point dtypes"):
        net.to(minidl.int64)


def test_a_converted_net_is_still_the_optimizers():
    net = nn.Linear(2, 1)
    optimizer = minidl.optim.SGD(net.parameters(), lr=1.0)
    net.double()
    net(minidl.ones(1, 2, dtype=minidl.float64)).sum().backward()
    before = to_numpy(net.weight.detach()).copy()
    optimizer.step()
    np.testing.assert_allclose(to_numpy(net.weight.detach()), before - 1)


def test_tied_parameters_stay_tied():
    net = Tied().double()
    assert net.out.weight is net.table.weight
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert twin.out.weight is twin.table.weight
        assert twin.again is twin.out
        assert twin.table.weight is not net.table.weight
        assert_same(values(twin), values(net))
        with minidl.no_grad():
            twin.table.weight.fill_(0)
        assert net.table.weight.abs().sum().item() > 0


def test_copies_are_whole_and_apart(device):
    net = Net(device).eval()
    net.scale.rank = 7
    net.scale.requires_grad_(False)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert isinstance(twin.scale, nn.Parameter)
        assert twin.scale.rank == 7
        assert not twin.scale.requires_grad
        assert twin.first.weight.requires_grad
        assert not twin.training
        assert list(twin.state_dict()) == KEYS
        assert_same(values(twin), values(net))
        with minidl.no_grad():
            twin.seen.add_(1)
        np.testing.assert_array_equal(to_numpy(net.seen), [0, 0])


# ---------------------------------------------------------------------------- saving and loading


def test_state_dict_has_pytorchs_order_and_shares_memory(device):
    net = Net(device)
    state = net.state_dict()
    assert list(state) == KEYS
    assert not any(t.requires_grad for t in state.values())
    with minidl.no_grad():
        net.scale.fill_(5)
    np.testing.assert_array_equal(to_numpy(state["scale"]), [5, 5, 5, 5])
    assert net.state_dict(keep_vars=True)["scale"] is net.scale
    assert next(iter(net.state_dict(prefix="x."))) == "x.scale"
    assert state._metadata["norm"] == {"version": 2}


def test_load_copies_into_the_same_parameters(device):
    net, other = Net(device), Net(device)
    weight = net.first.weight
    result = net.load_state_dict(other.state_dict())
    assert result.missing_keys == result.unexpected_keys == []
    assert repr(result) == "<All keys matched successfully>"
    assert net.first.weight is weight
    assert_same(values(net), values(other))
    with minidl.no_grad():
        other.scale.fill_(9)
    assert to_numpy(net.scale.detach())[0] == 1


def test_load_converts_to_the_models_dtype():
    net, other = Net(), Net().double()
    net.load_state_dict(other.state_dict())
    assert net.scale.dtype == minidl.float32
    np.testing.assert_allclose(
        to_numpy(net.first.weight.detach()), to_numpy(other.first.weight.detach()), rtol=1e-7
    )


def test_assign_takes_the_tensors_themselves():
    net, other = Net(), Net().double()
    net.scale.requires_grad_(False)
    net.load_state_dict(other.state_dict(), assign=True)
    assert net.first.weight.dtype == minidl.float64
    assert isinstance(net.first.weight, nn.Parameter)
    assert not net.scale.requires_grad
    with minidl.no_grad():
        other.scale.fill_(9)
    assert to_numpy(net.scale.detach())[0] == 9


def test_strict_loading_names_everything_wrong_and_loads_nothing():
    net, other = Net(), Net()
    before = values(net)
    state = other.state_dict()
    del state["first.bias"], state["seen"]
    state["firts.bias"] = minidl.zeros(4)
    state["norm.gain"] = minidl.zeros(4)
    state["first.weight"] = minidl.zeros(3, 4)
    state["scale"] = np.zeros(4)
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    text = str(caught.value)
    assert text.startswith("Error(s) in loading state_dict for Net:\n\t")
    assert 'Missing key(s) in state_dict: "seen", "first.bias". ' in text
    assert 'Unexpected key(s) in state_dict: "firts.bias", "norm.gain". ' in text
    assert "size mismatch for first.weight: copying a param with shape " in text
    assert "(3, 4)" in text.replace("[", "(").replace("]", ")")
    assert 'named "scale", expected a Tensor from the checkpoint but received' in text
    assert_same(values(net), before)


def test_loose_loading_reports_and_loads_the_rest():
    net, other = Net(), Net()
    state = other.state_dict()
    del state["first.bias"]
    state["more"] = minidl.zeros(1)
    bias = to_numpy(net.first.bias.detach()).copy()
    result = net.load_state_dict(state, strict=False)
    assert result == (["first.bias"], ["more"])
    assert repr(result) == (
        "IncompatibleKeys(missing_keys=['first.bias'], unexpected_keys=['more'])"
    )
    np.testing.assert_array_equal(to_numpy(net.first.bias.detach()), bias)
    assert_same(
        {"w": to_numpy(net.first.weight.detach())}, {"w": to_numpy(other.first.weight.detach())}
    )
    state["scale"] = minidl.zeros(5)
    before = values(net)
    with pytest.raises(RuntimeError, match="size mismatch for scale"):
        net.load_state_dict(state, strict=False)
    assert_same(values(net), before)


def test_load_wants_a_mapping():
    with pytest.raises(TypeError, match="Expected state_dict to be dict-like"):
        Net().load_state_dict([("scale", minidl.ones(4))])


def test_old_batch_norm_states_have_no_count():
    net = nn.BatchNorm1d(2)
    plain = dict(net.state_dict())
    del plain["num_batches_tracked"]
    net.load_state_dict(plain)
    noted = net.state_dict()
    del noted["num_batches_tracked"]
    with pytest.raises(RuntimeError, match="num_batches_tracked"):
        net.load_state_dict(noted)


def test_a_file_gives_back_the_state(tmp_path):
    net, other = Net(), Net()
    minidl.save(net.state_dict(), tmp_path / "net.safetensors")
    other.load_state_dict(minidl.load(tmp_path / "net.safetensors"))
    assert_same(values(other), values(net))


# ------------------------------------------------------------------------------------- containers


def test_sequential_applies_in_order():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.ReLU())
    x = minidl.randn(3, 2, 2)
    expected = net[1](x.reshape(3, 4)).relu()
    np.testing.assert_array_equal(to_numpy(net(x).detach()), to_numpy(expected.detach()))


def test_sequential_is_a_list_of_modules():
    a, b, c = nn.Linear(1, 1), nn.ReLU(), nn.Tanh()
    net = nn.Sequential(a, b)
    assert len(net) == 2
    assert net[-1] is b
    assert list(net[:1]) == [a]
    net.append(c).insert(0, c)
    assert list(net) == [c, a, b, c]
    assert list(net._modules) == ["0", "1", "2", "3"]
    del net[0]
    assert list(net) == [a, b, c]
    assert net.pop(-1) is c
    net[1] = c
    assert list(net) == [a, c]
    assert list(net + nn.Sequential(b)) == [a, c, b]
    net += nn.Sequential(b)
    assert list(net) == [a, c, b]
    net *= 2
    assert list(net) == [a, c, b, a, c, b]
    assert len(2 * nn.Sequential(b)) == 2
    net.extend([a])
    assert net[6] is a
    with pytest.raises(IndexError, match="index 9 is out of range"):
        net[9]
    with pytest.raises(ValueError, match="takes a Sequential"):
        net + a
    with pytest.raises(TypeError, match="int is not a Module subclass"):
        nn.Sequential(3)


def test_sequential_with_names():
    net = nn.Sequential(OrderedDict(body=nn.Linear(1, 1), head=nn.ReLU()))
    assert net.body is net[0]
    assert list(net[1:]._modules) == ["head"]
    assert list(net.state_dict()) == ["body.weight", "body.bias"]


def test_module_list():
    a, b = nn.Linear(1, 1), nn.ReLU()
    layers = nn.ModuleList([a])
    layers += [b]
    layers.insert(1, b)
    assert list(layers) == [a, b, b]
    assert list(layers[1:]) == [b, b]
    layers[0] = b
    assert layers[0] is b
    longer = layers + nn.ModuleList([a])
    assert isinstance(longer, nn.ModuleList)
    assert len(list(longer.parameters())) == 2
    assert layers.pop(0) is b
    assert len(layers) == 2
    with pytest.raises(TypeError, match=r"ModuleList\.extend should be called with an iterable"):
        layers.extend(3)
    with pytest.raises(NotImplementedError):
        layers(minidl.ones(1))


def test_module_dict():
    choices = nn.ModuleDict({"b": nn.Linear(1, 1)})
    choices["a"] = nn.ReLU()
    choices.update([("c", nn.Tanh())])
    assert list(choices) == ["b", "a", "c"]
    assert "a" in choices
    assert len(choices) == 3
    assert [name for name, _ in choices.items()] == list(choices.keys())
    assert isinstance(choices.pop("a"), nn.ReLU)
    del choices["c"]
    assert list(choices.values()) == [choices["b"]]
    choices.clear()
    assert len(choices) == 0


def test_reprs_of_users_modules():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(1, 2)
            self.empty = None

        def extra_repr(self):
            return "depth=2\nwidth=3"

    assert repr(Block()) == (
        "Block(\n  depth=2\n  width=3\n"
        "  (layer): Linear(in_features=1, out_features=2, bias=True)\n)"
    )


def test_a_pickle_holds_no_more_than_its_values():
    layer = nn.Linear(100, 100, bias=False)
    assert len(pickle.dumps(layer)) < 4 * 100 * 100 + 3000
    buffer = io.BytesIO()
    pickle.dump(layer.weight, buffer)
    buffer.seek(0)
    assert isinstance(pickle.load(buffer), nn.Parameter)
