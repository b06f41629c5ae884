"""Optimizers: groups, state, saving and loading, errors.

Their steps: `test_optimizer_checks.py` and `test_trajectories.py`.
"""

import copy
import inspect
import pickle

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.optim import (
    ASGD,
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
)
from minidl.testing import to_numpy

ALL = {
    "sgd": lambda params: SGD(params, lr=0.1),
    "sgd-momentum": lambda params: SGD(
        params, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01
    ),
    "adam": lambda params: Adam(params, lr=0.1, weight_decay=0.01),
    "adamw": lambda params: AdamW(params, lr=0.1, amsgrad=True),
    "rmsprop": lambda params: RMSprop(params, lr=0.1),
    "rmsprop-centered": lambda params: RMSprop(params, lr=0.01, momentum=0.9, centered=True),
    "adagrad": lambda params: Adagrad(params, lr=0.5),
    "adadelta": lambda params: Adadelta(params, lr=30.0),
    "adamax": lambda params: Adamax(params, lr=0.1),
    "nadam": lambda params: NAdam(params, lr=0.1),
    "radam": lambda params: RAdam(params, lr=0.2),
    "asgd": lambda params: ASGD(params, lr=0.1, t0=5),
    "rprop": lambda params: Rprop(params, lr=0.1),
    "adafactor": lambda params: Adafactor(params, lr=0.3),
}
every_optimizer = pytest.mark.parametrize("make", ALL.values(), ids=ALL)
NUMBERS = ("step", "mu_product", "eta", "mu")  # in the state: 0-d float32, whatever the parameter


def leaf(*values, device="cpu", dtype=minidl.float32):
    return minidl.tensor(values, dtype=dtype, device=device, requires_grad=True)


def step(optimizer, *params):
    """One step down the sum of the squares of the parameters."""
    optimizer.zero_grad()
    sum((p**2).sum() for p in params).backward()
    optimizer.step()


# ------------------------------------------------------------------------------------- the steps


@every_optimizer
def test_every_optimizer_descends(make, device):
    p = leaf(1.0, -2.0, device=device)
    optimizer = make([p])
    for _ in range(60):
        step(optimizer, p)
    assert (p**2).sum().item() < 0.2


def test_sgd_is_plain_descent(device):
    p = leaf(1.0, -2.0, device=device)
    step(SGD([p], lr=0.25), p)
    np.testing.assert_allclose(to_numpy(p.detach()), [0.5, -1.0])


def test_adams_first_step_is_the_learning_rate(device):
    p = leaf(1.0, -2.0, device=device)
    step(Adam([p], lr=0.25), p)
    np.testing.assert_allclose(to_numpy(p.detach()), [0.75, -1.75], rtol=1e-6)


@every_optimizer
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)], ids=str)
def test_shapes_and_memory(make, shape, device):
    """The parameter is written where it lives, whatever its shape or layout, in its own dtype."""
    for dtype in (minidl.float32, minidl.float64):
        data = minidl.ones(shape, dtype=dtype, device=device)
        p = nn.Parameter(data)
        optimizer = make([p])
        step(optimizer, p)
        step(optimizer, p)
        assert p.dtype == dtype
        assert (to_numpy(data) < 1).all()
        for name, value in optimizer.state[p].items():
            assert value.dtype == (minidl.float32 if name in NUMBERS else dtype)
            if name in ("row_var", "col_var"):  # of Adafactor
                assert value.shape == ((2, 1) if name == "row_var" else (1, 3))
            else:
                assert value.shape == (() if name in NUMBERS else shape)


def test_a_transposed_parameter():
    data = minidl.ones(3, 2).t()
    p = nn.Parameter(data)
    step(Adam([p], lr=0.5), p)
    np.testing.assert_allclose(to_numpy(data), np.full((2, 3), 0.5), rtol=1e-6)


@every_optimizer
def test_a_step_between_forward_and_backward_is_noticed(make):
    p = leaf(1.0)
    optimizer = make([p])
    step(optimizer, p)
    loss = (p * p).sum()
    optimizer.step()
    with pytest.raises(RuntimeError, match="in place"):
        loss.backward()


@every_optimizer
def test_state_is_no_part_of_a_graph(make):
    p = leaf(1.0, 2.0)
    optimizer = make([p])
    step(optimizer, p)
    assert not any(t.requires_grad for t in optimizer.state[p].values())


def test_closure():
    p = leaf(3.0)
    optimizer = SGD([p], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = (p**2).sum()
        loss.backward()
        return loss

    with minidl.no_grad():
        assert optimizer.step(closure).item() == 9.0
    assert p.item() == 0.0
    assert optimizer.step() is None


def test_zero_grad():
    p = leaf(1.0)
    optimizer = SGD([p], lr=0.1)
    (p**2).sum().backward()
    gradient = p.grad
    optimizer.zero_grad(set_to_none=False)
    assert p.grad is gradient
    assert gradient.item() == 0
    optimizer.zero_grad()
    assert p.grad is None


def test_maximize_climbs():
    for kind in (SGD, Adam, AdamW):
        p = leaf(1.0)
        optimizer = kind([p], lr=0.1, maximize=True, weight_decay=0)
        step(optimizer, p)
        assert p.item() > 1


def test_the_rate_may_be_a_tensor():
    rate = minidl.tensor(0.25)
    p = leaf(2.0)
    optimizer = SGD([p], lr=rate)
    step(optimizer, p)
    assert p.item() == 1.0
    assert p.dtype == minidl.float32
    schedule = minidl.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    optimizer.step()
    schedule.step()
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == 0.125
    assert schedule.get_last_lr()[0] is not rate


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
def test_switches_that_ask_for_speed_change_nothing(kind):
    found = []
    for switches in ({}, {"foreach": True}, {"foreach": False}, {"fused": True}):
        p = leaf(1.0, 2.0)
        step(kind([p], lr=0.1, **switches), p)
        found.append(to_numpy(p.detach()))
    for a in found[1:]:
        np.testing.assert_array_equal(a, found[0])
    with pytest.raises(RuntimeError, match="cannot be `True` together"):
        kind([leaf(1.0)], fused=True, foreach=True)
    with pytest.raises(NotImplementedError, match="differentiable=True is not supported"):
        kind([leaf(1.0)], differentiable=True)


# ------------------------------------------------------------------------------------------ groups


def test_groups_have_their_own_options():
    a, b = leaf(1.0), leaf(1.0)
    optimizer = SGD([{"params": a, "lr": 0.25}, {"params": [b]}], lr=0.125)
    step(optimizer, a, b)
    assert (a.item(), b.item()) == (0.5, 0.75)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.125]
    c = leaf(1.0)
    optimizer.add_param_group({"params": [c], "momentum": 0.9})
    step(optimizer, a, b, c)
    assert list(optimizer.state) == [c]


def test_named_parameters():
    net = nn.Linear(2, 1)
    optimizer = SGD(net.named_parameters(), lr=0.1)
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
    assert optimizer.param_groups[0]["params"][0] is net.weight
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]
    with pytest.raises(ValueError, match="with/without names"):
        optimizer.add_param_group({"params": [leaf(1.0)]})
    with pytest.raises(ValueError, match="Some names are missing"):
        SGD([("a", leaf(1.0)), leaf(2.0)])


def test_repr():
    text = repr(SGD([leaf(1.0)], lr=0.5))
    assert text == (
        "SGD (\nParameter Group 0\n    dampening: 0\n    differentiable: False\n"
        "    foreach: None\n    fused: None\n    lr: 0.5\n    maximize: False\n"
        "    momentum: 0\n    nesterov: False\n    weight_decay: 0\n)"
    )


# ------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        (SGD, {"lr": -0.1}, "Invalid learning rate: -0.1"),
        (SGD, {"momentum": -1}, "Invalid momentum value: -1"),
        (SGD, {"weight_decay": -1}, "Invalid weight_decay value: -1"),
        (SGD, {"nesterov": True}, "Nesterov momentum requires a momentum and zero dampening"),
        (SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "zero dampening"),
        (Adam, {"lr": -0.1}, "Invalid learning rate: -0.1"),
        (Adam, {"lr": float("nan")}, "Invalid learning rate: nan"),
        (Adam, {"eps": -1}, "Invalid epsilon value: -1"),
        (Adam, {"betas": (1.0, 0.9)}, "Invalid beta parameter at index 0: 1.0"),
        (Adam, {"betas": (0.9, -0.1)}, "Invalid beta parameter at index 1: -0.1"),
        (AdamW, {"weight_decay": -1}, "Invalid weight_decay value: -1"),
    ],
)
def test_options_out_of_range(kind, options, words):
    with pytest.raises(ValueError, match=words):
        kind([leaf(1.0)], **options)
    with pytest.raises(ValueError, match=words):
        kind([{"params": [leaf(1.0)], **options}])


@pytest.mark.parametrize(
    ("kind", "name", "nearest"),
    [
        (SGD, "learning_rate", "lr"),
        (SGD, "momentun", "momentum"),
        (SGD, "weightdecay", "weight_decay"),
        (SGD, "betas", None),
        (Adam, "beta1", "betas"),
        (Adam, "epsilon", "eps"),
        (AdamW, "amsgrd", "amsgrad"),
    ],
)
def test_unknown_arguments(kind, name, nearest):
    words = f"{kind.__name__} got an unexpected keyword argument '{name}'"
    with pytest.raises(TypeError, match=words) as caught:
        kind([leaf(1.0)], **{name: 0.1})
    hint = str(caught.value).partition("did you mean ")[2]
    assert hint.startswith(f"'{nearest}'? It takes: params, lr, ") or (nearest is None and not hint)


def test_signatures_can_be_inspected():
    assert list(inspect.signature(SGD).parameters)[:3] == ["params", "lr", "momentum"]


def test_parameters_that_are_none():
    net = nn.Linear(1, 1)
    read = net.parameters()
    list(read)
    for params in ([], read, iter(())):
        with pytest.raises(ValueError, match=r"SGD: optimizer got an empty parameter list"):
            SGD(params)


def test_parameters_that_are_wrong():
    p = leaf(1.0)
    net = nn.Sequential(nn.Linear(1, 1))
    for params, words in [
        (p, "got one Tensor; put it in a list"),
        (net, r"got the module Sequential; pass its \.parameters\(\)"),
        ([1.0], "one of the params is float"),
        ([np.ones(2)], "one of the params is ndarray"),
        ([{"params": {p}}], "Please use a list instead"),
    ]:
        with pytest.raises(TypeError, match=words):
            SGD(params)
    with pytest.raises(ValueError, match="can't optimize a non-leaf Tensor"):
        SGD([p * 2])
    with pytest.raises(ValueError, match="more than one parameter group"):
        SGD([{"params": [p]}, {"params": [leaf(2.0), p]}])
    with pytest.warns(UserWarning, match="duplicate parameters"):
        SGD([p, p])
    with pytest.raises(TypeError, match="param_group must be a dict"):
        SGD([p]).add_param_group([leaf(1.0)])


def test_a_refused_group_is_not_added():
    optimizer = SGD([leaf(1.0)])
    with pytest.raises(ValueError, match="Invalid learning rate"):
        optimizer.add_param_group({"params": [leaf(1.0)], "lr": -1})
    assert len(optimizer.param_groups) == 1


# -------------------------------------------------------------------------------- saving, loading


def test_state_dict_has_pytorchs_layout():
    a, b, c = leaf(1.0), leaf(1.0), leaf(1.0)
    optimizer = Adam([{"params": [a, b]}, {"params": [c], "lr": 0.5}], amsgrad=True)
    step(optimizer, a, c)
    state = optimizer.state_dict()
    assert list(state) == ["state", "param_groups"]
    assert list(state["state"]) == [0, 2]
    assert list(state["state"][0]) == ["step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"]
    assert state["state"][0]["step"].item() == 1.0
    assert state["param_groups"] == [
        {
            "lr": rate,
            "betas": (0.9, 0.999),
            "eps": 1e-08,
            "weight_decay": 0,
            "amsgrad": True,
            "maximize": False,
            "foreach": None,
            "capturable": False,
            "differentiable": False,
            "fused": None,
            "decoupled_weight_decay": False,
            "params": numbers,
        }
        for rate, numbers in [(1e-3, [0, 1]), (0.5, [2])]
    ]
    plain = SGD([a])
    step(plain, a)
    assert plain.state_dict()["state"] == {}
    heavy = SGD([a], momentum=0.9)
    step(heavy, a)
    assert list(heavy.state_dict()["state"][0]) == ["momentum_buffer"]


def both_ways(state, tmp_path):
    """A state as it is, and as a file gives it back."""
    minidl.save(state, tmp_path / "optimizer.safetensors")
    return [state, minidl.load(tmp_path / "optimizer.safetensors")]


@every_optimizer
def test_a_resumed_run_goes_on_bit_for_bit(make, tmp_path):
    p = leaf(1.0, -2.0)
    optimizer = make([p])
    for _ in range(3):
        step(optimizer, p)
    start = to_numpy(p.detach()).copy()
    state = copy.deepcopy(optimizer.state_dict())
    for _ in range(3):
        step(optimizer, p)
    for saved in both_ways(state, tmp_path):
        again = leaf(*start.tolist())
        resumed = make([again])
        resumed.load_state_dict(saved)
        for _ in range(3):
            step(resumed, again)
        np.testing.assert_array_equal(to_numpy(again.detach()), to_numpy(p.detach()))


def test_loading_copies():
    p, q = leaf(1.0), leaf(1.0)
    first, second = SGD([p], momentum=0.9), SGD([q], momentum=0.9)
    step(first, p)
    state = first.state_dict()
    second.load_state_dict(state)
    step(second, q)
    assert state["state"][0]["momentum_buffer"].item() == 2.0
    assert state["param_groups"][0]["params"] == [0]


def test_loading_takes_the_parameters_dtype_but_not_for_the_count():
    p, q = leaf(1.0), leaf(1.0, dtype=minidl.float64)
    first, second = Adam([p]), Adam([q])
    step(first, p)
    second.load_state_dict(first.state_dict())
    assert second.state[q]["exp_avg"].dtype == minidl.float64
    assert second.state[q]["step"].dtype == minidl.float32


def test_loading_takes_the_options_and_keeps_new_ones():
    p = leaf(1.0)
    state = AdamW([p], lr=0.5).state_dict()
    del state["param_groups"][0]["decoupled_weight_decay"]
    del state["param_groups"][0]["amsgrad"]
    state["param_groups"][0]["note"] = "mine"
    optimizer = AdamW([p])
    optimizer.load_state_dict(state)
    group = optimizer.param_groups[0]
    assert group["lr"] == 0.5
    assert group["note"] == "mine"
    assert group["amsgrad"] is False
    assert group["decoupled_weight_decay"] is True
    adam = Adam([p]).state_dict()
    optimizer.load_state_dict(adam)
    assert optimizer.param_groups[0]["decoupled_weight_decay"] is True


def test_a_state_that_does_not_fit_changes_nothing():
    a, b = leaf(1.0), leaf(1.0)
    optimizer = SGD([a], lr=0.25)
    with pytest.raises(ValueError, match=r"different number of parameter groups: 2, the optimizer"):
        optimizer.load_state_dict(SGD([{"params": [a]}, {"params": [b]}]).state_dict())
    with pytest.raises(
        ValueError, match="doesn't match the size of optimizer's group: group 0 has 2"
    ):
        optimizer.load_state_dict(SGD([a, b]).state_dict())
    assert optimizer.param_groups[0]["lr"] == 0.25
    assert optimizer.param_groups[0]["params"] == [a]


def test_copies_keep_model_and_optimizer_together():
    net = nn.Linear(2, 1)
    optimizer = Adam(net.parameters(), lr=0.1)
    net(minidl.ones(1, 2)).sum().backward()
    optimizer.step()
    for net2, optimizer2 in (
        copy.deepcopy((net, optimizer)),
        pickle.loads(pickle.dumps((net, optimizer))),
    ):
        assert optimizer2.param_groups[0]["params"][0] is net2.weight
        assert optimizer2.state[net2.weight]["step"].item() == 1
        before = to_numpy(net.weight.detach()).copy()
        net2(minidl.ones(1, 2)).sum().backward()
        optimizer2.step()
        assert (to_numpy(net2.weight.detach()) != before).any()
        np.testing.assert_array_equal(to_numpy(net.weight.detach()), before)


# ------------------------------------------------------------------------------ users' optimizers


def test_an_optimizer_of_ones_own():
    """The way it is written for PyTorch: options in `defaults`, the loop in `step`."""

    class SignDescent(Optimizer):
        def __init__(self, params, lr=0.1):
            super().__init__(params, {"lr": lr})

        def __setstate__(self, state):
            super().__setstate__(state)
            for group in self.param_groups:
                group.setdefault("added_later", False)

        def step(self, closure=None):
            with minidl.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        if p.grad is not None:
                            self.state[p]["steps"] = self.state[p].get("steps", 0) + 1
                            p.add_(p.grad.sign(), alpha=-group["lr"])

    p = leaf(1.0, -2.0)
    optimizer = SignDescent([p], lr=0.5)
    schedule = minidl.optim.lr_scheduler.StepLR(optimizer, 1)
    step(optimizer, p)
    schedule.step()
    np.testing.assert_allclose(to_numpy(p.detach()), [0.5, -1.5])
    assert optimizer.state_dict()["state"] == {0: {"steps": 1}}
    other = SignDescent([leaf(0.0, 0.0)])
    other.load_state_dict(optimizer.state_dict())
    assert other.param_groups[0]["lr"] == pytest.approx(0.05)
    assert other.param_groups[0]["added_later"] is False
    with pytest.raises(TypeError, match="did you mean 'lr'"):
        SignDescent([p], rate=0.1)
    with pytest.raises(NotImplementedError, match="defines neither step nor _update"):
        bare = Optimizer([p], {})
        bare.step()
