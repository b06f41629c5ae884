"""Schedules: closed forms, resuming, warnings. Trajectories: `test_trajectories.py`."""

import copy
import warnings

import pytest

import minidl
from minidl.optim import SGD
from minidl.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiplicativeLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    StepLR,
)
from minidl.optim.swa_utils import SWALR


class Halving:
    """A callable that remembers something, as LambdaLR can save it."""

    def __init__(self, base=0.5):
        self.base = base

    def __call__(self, epoch):
        return self.base**epoch


MAKERS = {
    "StepLR": lambda o, **k: StepLR(o, 3, **k),
    "MultiStepLR": lambda o, **k: MultiStepLR(o, [2, 5, 5], gamma=0.5, **k),
    "ExponentialLR": lambda o, **k: ExponentialLR(o, 0.9, **k),
    "LinearLR": lambda o, **k: LinearLR(o, 0.2, 0.8, 6, **k),
    "CosineAnnealingLR": lambda o, **k: CosineAnnealingLR(o, 6, eta_min=0.01, **k),
    "ConstantLR": lambda o, **k: ConstantLR(o, 0.25, 6, **k),
    "PolynomialLR": lambda o, **k: PolynomialLR(o, 10, 2.0, **k),
    "LambdaLR": lambda o, **k: LambdaLR(o, [Halving(), lambda epoch: 1 / (1 + epoch)], **k),
    "MultiplicativeLR": lambda o, **k: MultiplicativeLR(o, Halving(0.9), **k),
    "CosineAnnealingWarmRestarts": lambda o, **k: CosineAnnealingWarmRestarts(o, 3, 2, **k),
    "CyclicLR": lambda o, **k: CyclicLR(o, 0.1, 1.0, 3, mode="triangular2", **k),
    "CyclicLR-scaled": lambda o, **k: CyclicLR(o, 0.1, 1.0, 3, scale_fn=Halving(0.9), **k),
    "OneCycleLR": lambda o, **k: OneCycleLR(o, [1.0, 0.5], 20, **k),
    "SWALR": lambda o, **k: SWALR(o, 0.05, 6, **k),
}
CLOSED = (
    "StepLR MultiStepLR ExponentialLR LinearLR CosineAnnealingLR ConstantLR PolynomialLR".split()
)
every_schedule = pytest.mark.parametrize("name", MAKERS)


def two_groups(lr=1.0):
    first, second = (minidl.zeros(1, requires_grad=True) for _ in range(2))
    return SGD([{"params": [first]}, {"params": [second], "lr": 0.2}], lr=lr, momentum=0.5)


def advance(optimizer, schedule, epochs):
    history = []
    for _ in range(epochs):
        optimizer.step()
        schedule.step()
        history.append([group["lr"] for group in optimizer.param_groups])
    return history


@pytest.mark.parametrize("name", CLOSED)
def test_recursion_and_closed_form_agree(name):
    optimizer, jumping = two_groups(), two_groups()
    schedule, jumps = MAKERS[name](optimizer), MAKERS[name](jumping)
    jumping.step()
    for epoch in range(1, 20):
        advance(optimizer, schedule, 1)
        with pytest.warns(UserWarning, match="epoch parameter"):
            jumps.step(epoch)
        assert jumps.get_last_lr() == pytest.approx(schedule.get_last_lr(), rel=1e-12)


def test_lambda_jumps_too():
    optimizer = two_groups()
    schedule = MAKERS["LambdaLR"](optimizer)
    optimizer.step()
    with pytest.warns(UserWarning, match="epoch parameter"):
        schedule.step(3)
    assert schedule.get_last_lr() == [0.125, 0.05]


@every_schedule
def test_a_resumed_schedule_goes_on_bit_for_bit(name, tmp_path):
    optimizer = two_groups()
    schedule = MAKERS[name](optimizer)
    advance(optimizer, schedule, 4)
    saved = {"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
    saved = copy.deepcopy(saved)
    minidl.save(saved, tmp_path / "run.safetensors")
    expected = advance(optimizer, schedule, 8)
    for state in (saved, minidl.load(tmp_path / "run.safetensors")):
        other = two_groups(lr=7.0)
        resumed = MAKERS[name](other)
        other.load_state_dict(state["optimizer"])
        resumed.load_state_dict(state["schedule"])
        assert advance(other, resumed, 8) == expected


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "SWALR"])
def test_last_epoch_continues_from_the_optimizer(name):
    """As in PyTorch: the saved groups hold `initial_lr`, and the rates are not changed again.

    (SWALR counts its own steps, not epochs.)
    """
    optimizer = two_groups()
    schedule = MAKERS[name](optimizer)
    advance(optimizer, schedule, 4)
    other = two_groups()
    other.load_state_dict(optimizer.state_dict())
    resumed = MAKERS[name](other, last_epoch=3)
    assert resumed.last_epoch == 4
    assert resumed.get_last_lr() == schedule.get_last_lr()
    assert advance(other, resumed, 8) == advance(optimizer, schedule, 8)
    with pytest.raises(KeyError, match="'initial_lr' is not specified in param_groups"):
        MAKERS[name](two_groups(), last_epoch=3)


def test_a_schedule_from_a_file_can_jump(tmp_path):
    optimizer = two_groups()
    minidl.save(MAKERS["MultiStepLR"](optimizer).state_dict(), tmp_path / "schedule.safetensors")
    schedule = MAKERS["MultiStepLR"](optimizer)
    schedule.load_state_dict(minidl.load(tmp_path / "schedule.safetensors"))
    optimizer.step()
    with pytest.warns(UserWarning, match="epoch parameter"):
        schedule.step(5)
    assert schedule.get_last_lr() == [0.125, 0.025]


def test_state_dicts_have_pytorchs_keys():
    schedule = MAKERS["MultiStepLR"](two_groups())
    assert list(schedule.state_dict()) == [
        "milestones",
        "gamma",
        "base_lrs",
        "last_epoch",
        "_step_count",
        "_is_initial",
        "_get_lr_called_within_step",
        "_last_lr",
    ]
    assert schedule.state_dict()["milestones"] == {2: 1, 5: 2}
    assert MAKERS["LambdaLR"](two_groups()).state_dict()["lr_lambdas"] == [{"base": 0.5}, None]


def test_callable_objects_of_lambda_are_restored():
    first = MAKERS["LambdaLR"](two_groups())
    first.lr_lambdas[0].base = 0.25
    second = MAKERS["LambdaLR"](two_groups())
    state = first.state_dict()
    second.load_state_dict(state)
    assert second.lr_lambdas[0].base == 0.25
    assert list(state)[-1] == "lr_lambdas"


def test_the_wrong_order_of_steps_warns_once():
    optimizer = two_groups()
    schedule = ExponentialLR(optimizer, 0.5)
    with pytest.warns(UserWarning, match=r"`lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
        schedule.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schedule.step()


def test_the_right_order_does_not_warn():
    optimizer = two_groups()
    schedule = ExponentialLR(optimizer, 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step()
        schedule.step()
        ExponentialLR(optimizer, 0.5).step()


def test_get_lr_is_not_for_users():
    schedule = ExponentialLR(two_groups(), 0.5)
    with pytest.warns(UserWarning, match="use `get_last_lr"):
        schedule.get_lr()


def test_refusals():
    with pytest.raises(TypeError, match="list is not an Optimizer"):
        StepLR([], 3)
    with pytest.raises(ValueError, match="Expected 2 lr_lambdas, but got 1"):
        LambdaLR(two_groups(), [lambda epoch: 1.0])
    with pytest.raises(ValueError, match="greater than 0 and less or equal to 1, got 0"):
        LinearLR(two_groups(), start_factor=0)
    with pytest.raises(ValueError, match=r"between 0 and 1, got 1\.5"):
        LinearLR(two_groups(), end_factor=1.5)


def test_a_schedule_of_ones_own():
    class Stairs(LRScheduler):
        def get_lr(self):
            return [base / (1 + self.last_epoch // 2) for base in self.base_lrs]

    optimizer = two_groups()
    assert advance(optimizer, Stairs(optimizer), 4) == [
        [1.0, 0.2],
        [0.5, 0.1],
        [0.5, 0.1],
        [1 / 3, 0.2 / 3],
    ]
    with pytest.raises(NotImplementedError, match="LRScheduler does not define get_lr"):
        LRScheduler(two_groups())
