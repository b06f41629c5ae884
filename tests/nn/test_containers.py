"""Sequential, ModuleList, ModuleDict, ParameterList, ParameterDict."""

import io
import pickle
from collections import OrderedDict

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.testing import to_numpy


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


def test_parameter_list():
    params = nn.ParameterList([minidl.zeros(2, 3), nn.Parameter(minidl.ones(1)), "word"])
    params.append(minidl.zeros(4))
    params += [minidl.ones(5)]
    assert len(params) == 5
    assert [name for name, _ in params.named_parameters()] == ["0", "1", "3", "4"]
    assert params[2] == "word"
    assert params[-1].requires_grad
    assert isinstance(params[1:3], nn.ParameterList)
    params[0] = minidl.zeros(7)
    assert [len(p) for p in params] == [7, 1, 4, 4, 5]
    text = "(1): Parameter containing: [minidl.float32 of size 1]\n    (2): Object of type: str"
    assert text in repr(params)
    with pytest.raises(IndexError, match="index 5 is out of range"):
        params[5]
    with pytest.raises(TypeError, match="with an iterable, but got Tensor"):
        params.extend(minidl.ones(2))
    with pytest.raises(RuntimeError, match="should not be called"):
        params(1)


def test_parameter_dict():
    params = nn.ParameterDict({"b": minidl.zeros(2), "a": minidl.ones(3)})
    assert list(params) == ["a", "b"]  # a plain dict is sorted
    params["keys_too"] = minidl.zeros(1)
    params.update(OrderedDict(z=minidl.zeros(1), c=5))
    assert list(params.keys()) == ["a", "b", "keys_too", "z", "c"]
    assert list(params.state_dict()) == ["a", "b", "keys_too", "z"]
    assert params["a"] is params.a
    assert params.pop("z").requires_grad
    assert params.popitem() == ("c", 5)
    assert params.get("q", 1) == 1
    assert params.setdefault("d", minidl.ones(1)) is params["d"]
    both = params | nn.ParameterDict([("e", minidl.ones(1))])
    assert list(both) == ["a", "b", "keys_too", "d", "e"]
    assert both["a"] is params["a"]
    assert "(a): Parameter containing: [torch.FloatTensor of size 3]" in repr(params)
    del params["a"]
    assert "a" not in params
    params.clear()
    assert len(params) == 0
    assert len(both.fromkeys(["x", "y"], 1)) == 2
    with pytest.raises(TypeError, match="expected a string as key, got int"):
        both[3]
    with pytest.raises(RuntimeError, match="should not be called"):
        both(1)
