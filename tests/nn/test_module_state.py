"""Module: moving, converting, copying, saving and loading."""

import copy
import pickle

import numpy as np
import pytest
from nets import KEYS, Net, Tied, assert_same, values

import minidl
from minidl import nn
from minidl.testing import to_numpy

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


def test_converting_everything_or_nothing():
    net = Net()
    assert net.type(minidl.float64).norm.num_batches_tracked.dtype == minidl.float64
    assert net.to_empty(device="cpu") is net
    assert net.scale.shape == (4,)
    assert net.share_memory() is net
    net.compile(mode="max-autotune")
    net._apply(lambda t: t.float(), recurse=False)
    assert net.scale.dtype == minidl.float32
    assert net.first.weight.dtype == minidl.float64


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
