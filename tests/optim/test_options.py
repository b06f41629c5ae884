"""Options out of range and speed switches of every optimizer; hooks; what is missing."""

import copy
import pickle

import pytest

import minidl
from minidl import optim
from minidl.optim import optimizer as base


def leaf(*values):
    return minidl.tensor(values, requires_grad=True)


def step(optimizer, p):
    optimizer.zero_grad()
    (p**2).sum().backward()
    optimizer.step()


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("RMSprop", {"lr": -1}, "Invalid learning rate: -1"),
        ("RMSprop", {"eps": -1}, "Invalid epsilon value: -1"),
        ("RMSprop", {"momentum": -1}, "Invalid momentum value: -1"),
        ("RMSprop", {"weight_decay": -1}, "Invalid weight_decay value: -1"),
        ("RMSprop", {"alpha": -1}, "Invalid alpha value: -1"),
        ("Adagrad", {"lr": -1}, "Invalid learning rate: -1"),
        ("Adagrad", {"lr_decay": -1}, "Invalid lr_decay value: -1"),
        ("Adagrad", {"weight_decay": -1}, "Invalid weight_decay value: -1"),
        ("Adagrad", {"initial_accumulator_value": -1}, "Invalid initial_accumulator_value value"),
        ("Adagrad", {"eps": -1}, "Invalid epsilon value: -1"),
        ("Adadelta", {"lr": -1}, "Invalid learning rate: -1"),
        ("Adadelta", {"rho": 1.5}, "Invalid rho value: 1.5"),
        ("Adadelta", {"eps": -1}, "Invalid epsilon value: -1"),
        ("Adadelta", {"weight_decay": -1}, "Invalid weight_decay value: -1"),
        ("Adamax", {"lr": -1}, "Invalid learning rate: -1"),
        ("Adamax", {"betas": (1.0, 0.9)}, "Invalid beta parameter at index 0: 1.0"),
        ("Adamax", {"eps": -1}, "Invalid epsilon value: -1"),
        ("NAdam", {"betas": (0.9, -0.1)}, "Invalid beta parameter at index 1: -0.1"),
        ("NAdam", {"momentum_decay": -1}, "Invalid momentum_decay value: -1"),
        ("RAdam", {"betas": (0.9, 1.0)}, "Invalid beta parameter at index 1: 1.0"),
        ("RAdam", {"weight_decay": -1}, "Invalid weight_decay value: -1"),
        ("ASGD", {"lr": -1}, "Invalid learning rate: -1"),
        ("ASGD", {"weight_decay": -1}, "Invalid weight_decay value: -1"),
        ("Rprop", {"lr": -1}, "Invalid learning rate: -1"),
        ("Rprop", {"etas": (1.1, 1.2)}, "Invalid eta values: 1.1, 1.2"),
        ("Adafactor", {"lr": -1}, "Invalid learning rate: -1"),
        ("Adafactor", {"beta2_decay": 1}, "beta2_decay should be <= 0 but is: 1"),
        ("Adafactor", {"eps": (-1, 1)}, "epsilon1 should be >= 0 but is: -1"),
        ("Adafactor", {"eps": (1, -1)}, "epsilon2 should be >= 0 but is: -1"),
        ("Adafactor", {"d": 0.5}, "Clipping threshold d should be >= 1 but is: 0.5"),
        ("Adafactor", {"weight_decay": -1}, "weight_decay should be >= 0 but is: -1"),
        ("LBFGS", {"lr": -1}, "Invalid learning rate: -1"),
        ("SGD", {"lr": minidl.ones(2)}, "Tensor lr must be 1-element"),
    ],
)
def test_options_out_of_range(kind, options, words):
    with pytest.raises(ValueError, match=words):
        getattr(optim, kind)([leaf(1.0)], **options)
    with pytest.raises(ValueError, match=words):
        getattr(optim, kind)([{"params": [leaf(1.0)], **options}])


KINDS = "SGD Adam AdamW RMSprop Adagrad Adadelta Adamax NAdam RAdam ASGD Rprop".split()


@pytest.mark.parametrize("kind", KINDS)
def test_switches(kind):
    """foreach changes nothing; differentiable is refused, as it would change what is recorded."""
    found = []
    for foreach in (None, True, False):
        p = leaf(1.0, 2.0)
        optimizer = getattr(optim, kind)([p], lr=0.1, foreach=foreach)
        step(optimizer, p)
        step(optimizer, p)
        found.append(p.tolist())
    assert found[0] == found[1] == found[2] != [1.0, 2.0]
    with pytest.raises(NotImplementedError, match=f"{kind}: differentiable=True"):
        getattr(optim, kind)([p], differentiable=True)


def test_adagrads_sum_is_there_before_the_first_step():
    p = leaf(1.0, 2.0)
    optimizer = optim.Adagrad([p], initial_accumulator_value=0.5)
    assert optimizer.state[p]["sum"].tolist() == [0.5, 0.5]
    assert list(optimizer.state_dict()["state"][0]) == ["step", "sum"]
    q = leaf(3.0)
    optimizer.add_param_group({"params": [q]})
    step(optimizer, q)
    assert optimizer.state[q]["sum"].tolist() == [36.5]


def test_a_count_that_is_a_number_becomes_a_tensor():
    """So it stands in files that were written by early versions of PyTorch."""
    p, q = leaf(1.0), leaf(1.0)
    first, second = optim.Adam([p]), optim.Adam([q])
    step(first, p)
    state = first.state_dict()
    state["state"][0]["step"] = 1
    second.load_state_dict(state)
    step(second, q)
    assert second.state[q]["step"].item() == 2.0


def test_a_momentum_buffer_that_is_none():
    p = leaf(1.0)
    optimizer = optim.SGD([p], lr=0.1, momentum=0.9)
    state = optimizer.state_dict()
    optimizer.load_state_dict({**state, "state": {0: {"momentum_buffer": None}}})
    step(optimizer, p)
    assert optimizer.state[p]["momentum_buffer"].item() == 2.0


def test_what_is_missing_names_the_nearest():
    with pytest.raises(AttributeError, match="Did you mean RMSprop"):
        _ = optim.RMSProp
    with pytest.raises(AttributeError, match=r"'Muon'\. It works in bfloat16"):
        _ = optim.Muon
    with pytest.raises(AttributeError, match="no sparse gradients; use Adam"):
        _ = optim.SparseAdam


def test_a_required_option():
    class Plain(optim.Optimizer):
        def __init__(self, params, lr=base.required):
            super().__init__(params, {"lr": lr})

    assert Plain([{"params": [leaf(1.0)], "lr": 0.1}]).param_groups[0]["lr"] == 0.1
    with pytest.raises(ValueError, match="required optimization parameter lr"):
        Plain([leaf(1.0)])


# ------------------------------------------------------------------------------------------- hooks


def test_hooks_around_a_step():
    p = leaf(1.0)
    optimizer = optim.SGD([p], lr=0.25)
    seen = []
    optimizer.register_step_pre_hook(lambda o, args, kwargs: seen.append(("pre", p.item())))
    last = optimizer.register_step_post_hook(
        lambda o, args, kwargs: seen.append(("post", p.item()))
    )
    everyones = base.register_optimizer_step_pre_hook(lambda o, args, kwargs: seen.append(o))
    everyone_last = base.register_optimizer_step_post_hook(lambda o, args, kwargs: seen.append("x"))
    step(optimizer, p)
    everyones.remove()
    everyone_last.remove()
    assert seen == [optimizer, ("pre", 1.0), ("post", 0.5), "x"]
    last.remove()
    step(optimizer, p)
    assert seen[4:] == [("pre", 0.5)]


def test_a_hook_may_change_the_arguments():
    p = leaf(1.0)
    optimizer = optim.SGD([p], lr=0.25)

    def give_closure(o, args, kwargs):
        assert args == (optimizer,)
        return args, {"closure": lambda: 7.0}

    handle = optimizer.register_step_pre_hook(give_closure)
    assert optimizer.step() == 7.0
    handle.remove()
    optimizer.register_step_pre_hook(lambda *_: 3)
    with pytest.raises(RuntimeError, match="must return None or a tuple"):
        optimizer.step()


def test_the_step_of_a_subclass_runs_the_hooks_once():
    class Mine(optim.SGD):
        def step(self, closure=None):
            return super().step(closure)

    p, seen = leaf(1.0), []
    optimizer = Mine([p], lr=0.25)
    optimizer.register_step_post_hook(lambda *_: seen.append(p.item()))
    step(optimizer, p)
    assert seen == [0.5]


def test_hooks_around_state_dicts():
    p = leaf(1.0)
    optimizer = optim.SGD([p], lr=0.25)
    seen = []
    optimizer.register_state_dict_pre_hook(lambda o: seen.append("saving"))
    optimizer.register_state_dict_post_hook(lambda o, state: {**state, "note": 1})
    optimizer.register_state_dict_post_hook(lambda o, state: seen.append("note" in state), True)
    state = optimizer.state_dict()
    assert state["note"] == 1
    assert seen == ["saving", False]

    def halve(o, state):
        groups = [{**group, "lr": group["lr"] / 2} for group in state["param_groups"]]
        return {**state, "param_groups": groups}

    optimizer.register_load_state_dict_pre_hook(halve)
    optimizer.register_load_state_dict_post_hook(lambda o: seen.append(o.param_groups[0]["lr"]))
    optimizer.load_state_dict(state)
    assert seen[-1] == 0.125
    assert state["param_groups"][0]["lr"] == 0.25


def test_copies_have_no_hooks():
    p, seen = leaf(1.0), []
    optimizer = optim.SGD([p], lr=0.25)
    optimizer.register_step_post_hook(lambda *_: seen.append(1))
    for other in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        other.step()
        assert other.param_groups[0]["lr"] == 0.25
    assert seen == []
