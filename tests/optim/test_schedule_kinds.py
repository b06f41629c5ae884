"""Schedules of schedules, cycles, plateaus. Numbers of PyTorch: `test_trajectories.py`."""

import copy
import math

import pytest

import minidl
from minidl.optim import SGD, Adam
from minidl.optim.lr_scheduler import (
    ChainedScheduler,
    ConstantLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiplicativeLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
    _LRScheduler,
)


def leaf():
    return minidl.zeros(1, requires_grad=True)


def sgd(lr=1.0, groups=1, **options):
    return SGD([{"params": [leaf()]} for _ in range(groups)], lr=lr, **options)


def advance(optimizer, schedule, steps):
    rates = []
    for _ in range(steps):
        optimizer.step()
        schedule.step()
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


# --------------------------------------------------------------------------------------- composed


def warm_up_and_decay(optimizer):
    warm_up = ConstantLR(optimizer, 0.5, total_iters=10)
    return SequentialLR(optimizer, [warm_up, ExponentialLR(optimizer, 0.5)], milestones=[2])


def test_sequential_begins_each_schedule_at_its_epoch_0():
    optimizer = sgd()
    schedule = warm_up_and_decay(optimizer)
    assert schedule.get_last_lr() == [0.5]
    assert advance(optimizer, schedule, 4) == [0.5, 1.0, 0.5, 0.25]
    assert schedule.last_epoch == 4


def test_sequential_within_sequential():
    """As in PyTorch the inner one takes a step when the outer is made, which is one too many."""
    optimizer = sgd()
    inner = warm_up_and_decay(optimizer)
    with pytest.warns(UserWarning, match=r"before `optimizer.step\(\)`"):
        schedule = SequentialLR(optimizer, [inner, StepLR(optimizer, 1, 0.1)], milestones=[3])
    assert schedule.get_last_lr() == [0.5]
    assert advance(optimizer, schedule, 4) == pytest.approx([1.0, 0.5, 1.0, 0.1])


def test_chained_multiplies():
    optimizer = sgd()
    schedule = ChainedScheduler(
        [StepLR(optimizer, 2, 0.5), MultiplicativeLR(optimizer, lambda e: 3)]
    )
    assert advance(optimizer, schedule, 3) == [3.0, 4.5, 13.5]
    assert schedule.get_last_lr() == [13.5]


@pytest.mark.parametrize("kind", [SequentialLR, ChainedScheduler])
def test_a_resumed_composition_goes_on(kind, tmp_path):
    def make(optimizer):
        if kind is SequentialLR:
            return warm_up_and_decay(optimizer)
        return ChainedScheduler([ExponentialLR(optimizer, 0.5), LinearLR(optimizer, 0.25)])

    optimizer = sgd()
    schedule = make(optimizer)
    advance(optimizer, schedule, 3)
    saved = {"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
    saved = copy.deepcopy(saved)
    minidl.save(saved, tmp_path / "run.safetensors")
    expected = advance(optimizer, schedule, 4)
    for state in (saved, minidl.load(tmp_path / "run.safetensors")):
        other = sgd(lr=7.0)
        resumed = make(other)
        other.load_state_dict(state["optimizer"])
        resumed.load_state_dict(state["schedule"])
        assert advance(other, resumed, 4) == expected
    assert [type(inner) for inner in saved["schedule"]["_schedulers"]] == [dict, dict]


def test_compositions_refuse():
    optimizer, other = sgd(), sgd()
    with pytest.raises(ValueError, match="at least one scheduler"):
        SequentialLR(optimizer, [], [])
    with pytest.raises(ValueError, match="at least one scheduler to be chained"):
        ChainedScheduler([])
    with pytest.raises(
        ValueError, match=r"number of schedulers 1 and the number of milestones .* 1"
    ):
        SequentialLR(optimizer, [StepLR(optimizer, 1)], [1])
    for make in (lambda s: SequentialLR(optimizer, s, [1]), lambda s: ChainedScheduler(s)):
        with pytest.raises(ValueError, match="same optimizer, but StepLR at index 1"):
            make([StepLR(optimizer, 1), StepLR(other, 1)])
        with pytest.raises(ValueError, match="does not support `ReduceLROnPlateau`"):
            make([StepLR(optimizer, 1), ReduceLROnPlateau(optimizer)])
        with pytest.raises(TypeError, match="at index 1 should have `optimizer`"):
            make([StepLR(optimizer, 1), 3])


# ----------------------------------------------------------------------------------------- cycles


def test_cyclic_goes_up_and_down():
    optimizer = sgd(momentum=0.1)
    schedule = CyclicLR(optimizer, 1.0, 3.0, step_size_up=2, step_size_down=1, base_momentum=0.5)
    assert optimizer.param_groups[0]["momentum"] == 0.9
    assert advance(optimizer, schedule, 6) == pytest.approx([2.0, 3.0, 1.0, 2.0, 3.0, 1.0])
    schedule.step()
    assert optimizer.param_groups[0]["momentum"] == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("options", "peaks"),
    [
        ({}, [2, 2, 2]),
        ({"mode": "triangular2"}, [2, 1.5, 1.25]),
        ({"mode": "exp_range", "gamma": 0.5}, [1.5, 1.125, 1.03125]),
        ({"scale_fn": lambda cycle: 1 / cycle}, [2, 1.5, 4 / 3]),
        ({"scale_fn": lambda step: 2 / (1 + step), "scale_mode": "iterations"}, [2, 1.5, 4 / 3]),
    ],
)
def test_heights_of_cycles(options, peaks):
    optimizer = sgd()
    schedule = CyclicLR(optimizer, 1.0, 2.0, 1, cycle_momentum=False, **options)
    assert advance(optimizer, schedule, 5)[::2] == pytest.approx(peaks)


@pytest.mark.parametrize("three_phase", [False, True])
def test_one_cycle(three_phase):
    optimizer = Adam([leaf()], lr=123.0)
    schedule = OneCycleLR(
        optimizer, 1.0, 10, pct_start=0.4, anneal_strategy="linear", three_phase=three_phase
    )
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.04)
    assert optimizer.param_groups[0]["betas"] == (0.95, 0.999)
    rates = advance(optimizer, schedule, 3)
    assert rates == pytest.approx([0.36, 0.68, 1.0])
    assert optimizer.param_groups[0]["betas"] == pytest.approx((0.85, 0.999))
    rates = advance(optimizer, schedule, 6)
    middle = [0.68, 0.36, 0.04] if three_phase else [1 - i / 6 * (1 - 4e-6) for i in (1, 2, 3)]
    assert rates[:3] == pytest.approx(middle)
    assert rates[-1] == pytest.approx(4e-6)
    assert optimizer.param_groups[0]["betas"] == pytest.approx((0.95, 0.999))
    advance(optimizer, schedule, 1)
    with pytest.raises(ValueError, match=r"Tried to step 11 times. The specified number .* is 10"):
        schedule.step()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda o: CyclicLR(o, 0.1, 1.0, mode="square"), "mode is invalid"),
        (lambda o: CyclicLR(o, [0.1, 0.2, 0.3], 1.0), "base_lr has 3 values, param_groups has 2"),
        (lambda o: OneCycleLR(o, 1.0), "either total_steps OR"),
        (lambda o: OneCycleLR(o, 1.0, epochs=3), "either total_steps OR"),
        (lambda o: OneCycleLR(o, 1.0, 0), "positive integer total_steps, but got 0"),
        (lambda o: OneCycleLR(o, 1.0, epochs=2, steps_per_epoch=-1), "integer steps_per_epoch"),
        (lambda o: OneCycleLR(o, 1.0, 10, pct_start=2.0), "between 0 and 1 pct_start, but got 2.0"),
        (lambda o: OneCycleLR(o, 1.0, 10, anneal_strategy="sine"), "instead got sine"),
        (lambda o: CosineAnnealingWarmRestarts(o, 0), "positive integer T_0, but got 0"),
        (lambda o: CosineAnnealingWarmRestarts(o, 2, 0), "integer T_mult >= 1, but got 0"),
        (lambda o: CosineAnnealingWarmRestarts(o, 2, eta_min="0"), "float or int eta_min"),
        (lambda o: CosineAnnealingWarmRestarts(o, 2).step(-1), "non-negative epoch, but got -1"),
        (lambda o: ConstantLR(o, 1.5), "between 0 and 1, got 1.5"),
        (lambda o: ReduceLROnPlateau(o, factor=1.0), "Factor should be < 1.0"),
        (lambda o: ReduceLROnPlateau(o, "lowest"), "mode lowest is unknown"),
        (lambda o: ReduceLROnPlateau(o, threshold_mode="log"), "threshold mode log is unknown"),
        (lambda o: ReduceLROnPlateau(o, min_lr=[0.1]), "expected 2 min_lrs, got 1"),
    ],
)
def test_refusals(make, words):
    with pytest.raises(ValueError, match=words):
        make(sgd(groups=2, momentum=0.5))


def test_refusals_of_types():
    class Plain(minidl.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 1.0})

    for make in (lambda o: CyclicLR(o, 0.1, 1.0), lambda o: OneCycleLR(o, 1.0, 10)):
        with pytest.raises(ValueError, match="Plain has neither; pass cycle_momentum=False"):
            make(Plain([leaf()]))
        with pytest.raises(TypeError, match="int is not an Optimizer"):
            make(3)
    with pytest.raises(TypeError, match="int is not an Optimizer"):
        ReduceLROnPlateau(3)
    with pytest.raises(TypeError, match="should be a function, but got float"):
        MultiplicativeLR(sgd(), 0.5)


def test_warm_restarts_take_fractions_of_epochs():
    optimizer = sgd()
    schedule = CosineAnnealingWarmRestarts(optimizer, T_0=2, T_mult=2)
    for epoch, part in [(0.5, 0.25), (1.5, 0.75), (2, 0.0), (4, 0.5), (6, 0.0), (8, 0.25)]:
        schedule.step(epoch)
        assert schedule.get_last_lr()[0] == pytest.approx((1 + math.cos(math.pi * part)) / 2)
    assert schedule.last_epoch == 8


# ---------------------------------------------------------------------------------------- plateau


def watch(values, **options):
    optimizer = sgd()
    schedule = ReduceLROnPlateau(optimizer, factor=0.5, **options)
    rates = []
    for value in values:
        schedule.step(value)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


def test_plateau():
    assert watch([5, 4, 4, 4, 3], patience=1) == [1, 1, 1, 0.5, 0.5]
    assert watch([5, 6, 6, 6, 6], patience=0, cooldown=1) == [1, 0.5, 0.5, 0.25, 0.25]
    assert watch([5, 6, 7, 7], patience=0, mode="max") == [1, 1, 1, 0.5]
    assert watch([10, 9.5, 8], patience=0, threshold=0.1) == [1, 0.5, 0.5]
    assert watch([10, 9.5, 9], patience=0, threshold=0.1, threshold_mode="abs") == [1, 1, 1]
    assert watch([1, 1, 1, 1], patience=0, min_lr=0.3) == [1, 0.5, 0.3, 0.3]
    assert watch([1, 1], patience=0, eps=0.6) == [1, 1]
    assert watch([minidl.tensor(1.0), float("nan")], patience=0) == [1, 0.5]


def test_a_group_that_comes_later():
    optimizer = sgd()
    single = ReduceLROnPlateau(optimizer, patience=0)
    listed = ReduceLROnPlateau(optimizer, patience=0, min_lr=[0.1])
    optimizer.add_param_group({"params": [leaf()], "lr": 2.0})
    for value in (1, 1):
        single.step(value)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.2]
    listed.step(1)
    with pytest.raises(RuntimeError, match=r"\(2\) differs from when .* initialized \(1\)"):
        listed.step(1)


def test_a_resumed_plateau_goes_on(tmp_path):
    values = [3, 2, 2, 2, 1, 1, 1, 1, 1]
    expected = watch(values, patience=1, cooldown=1)
    optimizer = sgd()
    first = ReduceLROnPlateau(optimizer, factor=0.5, patience=1, cooldown=1)
    for value in values[:4]:
        first.step(value)
    minidl.save(first.state_dict(), tmp_path / "schedule.safetensors")
    second = ReduceLROnPlateau(optimizer, factor=0.1)
    second.load_state_dict(minidl.load(tmp_path / "schedule.safetensors"))
    for value, rate in zip(values[4:], expected[4:], strict=True):
        second.step(value)
        assert second.get_last_lr() == [rate]


# ----------------------------------------------------------------------------------------- names


def test_the_old_name_of_the_base_class():
    class Halves(_LRScheduler):
        def get_lr(self):
            return [base * 0.5**self.last_epoch for base in self.base_lrs]

    optimizer = sgd()
    assert advance(optimizer, Halves(optimizer), 2) == [0.5, 0.25]
    assert issubclass(_LRScheduler, LRScheduler)


def test_a_rate_that_is_a_tensor_stays_the_same_tensor():
    rate = minidl.tensor(1.0)
    for make in (
        lambda o: warm_up_and_decay(o),
        lambda o: LambdaLR(o, lambda epoch: 0.5),
        lambda o: CyclicLR(o, 0.5, 1.0, 2, cycle_momentum=False),
    ):
        optimizer = SGD([leaf()], lr=rate)
        schedule = make(optimizer)
        advance(optimizer, schedule, 3)
        assert optimizer.param_groups[0]["lr"] is rate
        assert schedule.get_last_lr()[0] is not rate
