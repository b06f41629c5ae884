"""25 steps of every optimizer and schedule against PyTorch's numbers in `trajectories.json`.

The numbers were written by this file, run where torch is installed (PyTorch 2.13.0, CPU, float64):

    python tests/optim/test_trajectories.py
"""

import json
import math
import warnings
from pathlib import Path

import pytest

import minidl

TABLE = Path(__file__).with_name("trajectories.json")
STEPS = 25

OPTIMIZERS = [
    ("SGD", {"lr": 0.05}),
    ("SGD", {"lr": 0.05, "momentum": 0.9}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.02}),
    ("SGD", {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.02}),
    ("SGD", {"lr": 0.002, "momentum": 0.5, "maximize": True, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": [0.8, 0.95], "eps": 1e-3}),
    ("Adam", {"lr": 0.05, "weight_decay": 0.1, "amsgrad": True}),
    ("Adam", {"lr": 0.05, "maximize": True}),
    ("Adam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdamW", {"lr": 0.05}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "amsgrad": True, "betas": [0.7, 0.9]}),
    ("AdamW", {"lr": 0.05, "maximize": True, "weight_decay": 0.2}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.02, "momentum": 0.9, "centered": True, "alpha": 0.9, "eps": 1e-3}),
    ("RMSprop", {"lr": 0.02, "maximize": True, "momentum": 0.5, "weight_decay": 0.1}),
    ("Adagrad", {"lr": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.3, "eps": 1e-3}),
    ("Adagrad", {"lr": 0.01, "maximize": True, "weight_decay": 0.1}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.7, "eps": 1e-2, "weight_decay": 0.1}),
    ("Adadelta", {"maximize": True}),
    ("Adamax", {"lr": 0.05}),
    ("Adamax", {"lr": 0.05, "betas": [0.7, 0.8], "eps": 0.1, "weight_decay": 0.1}),
    ("Adamax", {"maximize": True}),
    ("NAdam", {"lr": 0.05}),
    ("NAdam", {"lr": 0.05, "betas": [0.7, 0.9], "momentum_decay": 0.1, "weight_decay": 0.1}),
    ("NAdam", {"lr": 0.05, "decoupled_weight_decay": True, "weight_decay": 0.3}),
    ("NAdam", {"maximize": True, "eps": 1e-2}),
    ("RAdam", {"lr": 0.05}),
    ("RAdam", {"lr": 0.05, "betas": [0.7, 0.9], "eps": 1e-2, "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.05, "decoupled_weight_decay": True, "weight_decay": 0.3}),
    ("RAdam", {"maximize": True, "betas": [0.9, 0.99]}),
    ("ASGD", {"lr": 0.05}),
    ("ASGD", {"lr": 0.05, "lambd": 0.1, "alpha": 0.5, "t0": 5, "weight_decay": 0.1}),
    ("ASGD", {"lr": 0.001, "maximize": True, "t0": 0}),
    ("Rprop", {}),
    ("Rprop", {"lr": 0.2, "etas": [0.3, 1.5], "step_sizes": [0.01, 0.25]}),
    ("Rprop", {"maximize": True}),
    ("Adafactor", {}),
    ("Adafactor", {"lr": 0.2, "eps": [1e-3, 1e-2], "d": 2.0, "weight_decay": 0.1}),
    ("Adafactor", {"beta2_decay": -0.5, "maximize": True}),
]

QUASI_NEWTON = [
    {"lr": 0.005, "max_iter": 2},
    {"lr": 0.005, "max_iter": 4, "history_size": 3, "max_eval": 3},
    {"line_search_fn": "strong_wolfe", "max_iter": 1, "max_eval": 5},
    {"line_search_fn": "strong_wolfe", "max_iter": 2, "history_size": 3},
    {"line_search_fn": "strong_wolfe"},
]

SCHEDULES = [
    ("StepLR", {"step_size": 7, "gamma": 0.3}),
    ("MultiStepLR", {"milestones": [3, 8, 8, 20], "gamma": 0.5}),
    ("ExponentialLR", {"gamma": 0.9}),
    ("LinearLR", {}),
    ("LinearLR", {"start_factor": 0.1, "end_factor": 0.7, "total_iters": 15}),
    ("CosineAnnealingLR", {"T_max": 10}),
    ("CosineAnnealingLR", {"T_max": 25, "eta_min": 0.01}),
    ("LambdaLR", {}),
    ("MultiplicativeLR", {}),
    ("ConstantLR", {}),
    ("ConstantLR", {"factor": 0.2, "total_iters": 9}),
    ("PolynomialLR", {"total_iters": 20, "power": 2.0}),
    ("CosineAnnealingWarmRestarts", {"T_0": 3}),
    ("CosineAnnealingWarmRestarts", {"T_0": 2, "T_mult": 2, "eta_min": 0.01}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": [0.5, 1.0], "step_size_up": 4}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 1, "step_size_up": 2, "mode": "triangular2"}),
    (
        "CyclicLR",
        {"base_lr": 0.1, "max_lr": 1, "step_size_up": 4, "step_size_down": 2, "mode": "exp_range"}
        | {"gamma": 0.95, "base_momentum": 0.5},
    ),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": 30}),
    ("OneCycleLR", {"max_lr": [0.5, 0.1], "epochs": 5, "steps_per_epoch": 6, "three_phase": True}),
    (
        "OneCycleLR",
        {"max_lr": 0.5, "total_steps": 25, "anneal_strategy": "linear", "pct_start": 0.45}
        | {"div_factor": 5.0, "final_div_factor": 10.0, "cycle_momentum": False},
    ),
    ("ReduceLROnPlateau", {"patience": 1}),
    ("ReduceLROnPlateau", {"patience": 0, "factor": 0.5, "cooldown": 2, "min_lr": [0.01, 0.15]}),
    ("ReduceLROnPlateau", {"mode": "max", "patience": 2, "threshold": 0.1}),
    ("ReduceLROnPlateau", {"patience": 1, "threshold": 0.2, "threshold_mode": "abs"}),
    ("SWALR", {"swa_lr": 0.05}),
    ("SWALR", {"swa_lr": [0.05, 0.5], "anneal_epochs": 6, "anneal_strategy": "linear"}),
]

COMPOSED = ["SequentialLR", "ChainedScheduler"]
AVERAGES = ["get_swa_avg_fn", "get_ema_avg_fn"]
METRICS = [math.cos(epoch) / (1 + epoch) for epoch in range(STEPS)]  # for ReduceLROnPlateau


def descend(lib, name, options):
    """The values of two parameters after each of 25 steps in a moving valley, in float64.

    The second parameter has no gradient in every fourth step, so its own count of steps lags.
    """
    pairs = {key: tuple(value) for key, value in options.items() if isinstance(value, list)}
    options = {**options, **pairs}  # JSON has no tuples
    a = lib.tensor([1.5, -0.5], dtype=lib.float64, requires_grad=True)
    b = lib.tensor(0.7, dtype=lib.float64, requires_grad=True)
    optimizer = getattr(lib.optim, name)([a, b], **options)
    path = []
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = (a[0] - 1) ** 2 + 2 * (a[1] - a[0]) ** 2 / (step + 1)
        if step % 4 != 3:
            loss = loss + (b - 0.1 * step) ** 2
        loss.backward()
        optimizer.step()
        path.append([a[0].item(), a[1].item(), b.item()])
    return path


def factors(lib):
    """A matrix under Adafactor, which keeps rows and columns only of its second moment."""
    w = lib.tensor([[1.5, -0.5], [0.2, 2.0], [1.0, -3.0]], dtype=lib.float64, requires_grad=True)
    optimizer = lib.optim.Adafactor([w], lr=0.1)
    path = []
    for step in range(STEPS):
        optimizer.zero_grad()
        ((w - 0.1 * step) ** 2).sum().backward()
        optimizer.step()
        path.append(w.detach().reshape(-1).tolist())
    return path


def quasi_newton(lib, options):
    """25 steps of L-BFGS down Rosenbrock's valley, and the number of evaluations so far."""
    x = lib.tensor([-1.2, 1.0, 0.5], dtype=lib.float64, requires_grad=True)
    y = lib.tensor(2.0, dtype=lib.float64, requires_grad=True)
    unused = lib.tensor([1.0], dtype=lib.float64, requires_grad=True)
    optimizer = lib.optim.LBFGS([x, unused, y], **options)
    calls = []

    def closure():
        optimizer.zero_grad()
        valley = 100 * ((x[1] - x[0] ** 2) ** 2 + (x[2] - x[1] ** 2) ** 2 + (y - x[2] ** 2) ** 2)
        loss = valley + ((1 - x) ** 2).sum()
        loss.backward()
        calls.append(loss.item())
        return loss

    path = []
    for _ in range(STEPS):
        optimizer.step(closure)
        path.append([*x.tolist(), y.item(), len(calls)])
    return path


def rates(lib, name, options):
    """Rate and momentum of two groups over 25 epochs, with one change by hand in the middle."""
    if name in ("LambdaLR", "MultiplicativeLR"):
        options = {"lr_lambda": [lambda epoch: 0.95**epoch, lambda epoch: 1 / (1 + epoch)]}
    first, second = lib.zeros(1, requires_grad=True), lib.zeros(1, requires_grad=True)
    groups = [{"params": [first]}, {"params": [second], "lr": 0.2}]
    optimizer = lib.optim.SGD(groups, lr=1.0, momentum=0.3)
    home = lib.optim.swa_utils if name == "SWALR" else lib.optim.lr_scheduler
    schedule = getattr(home, name)(optimizer, **options)
    history = []
    for epoch in range(STEPS):
        momenta = [group["momentum"] for group in optimizer.param_groups]
        history.append([*schedule.get_last_lr(), *momenta])
        optimizer.step()
        if epoch == 12:
            optimizer.param_groups[0]["lr"] *= 0.5
        schedule.step(*(METRICS[epoch : epoch + 1] if name == "ReduceLROnPlateau" else []))
    return history


def composed(lib, kind):
    """A warm-up, then a cosine, then steps; or all of them at once."""
    optimizer = lib.optim.SGD([lib.zeros(1, requires_grad=True)], lr=1.0)
    known = lib.optim.lr_scheduler
    inner = [
        known.LinearLR(optimizer, start_factor=0.25, total_iters=5),
        known.CosineAnnealingLR(optimizer, T_max=8, eta_min=0.05),
        known.StepLR(optimizer, step_size=2, gamma=0.8),
    ]
    if kind == "SequentialLR":
        schedule = known.SequentialLR(optimizer, inner, milestones=[5, 14])
    else:
        schedule = known.ChainedScheduler(inner)
    history = []
    for _ in range(STEPS):
        history.append(list(schedule.get_last_lr()))
        optimizer.step()
        schedule.step()
    return history


def averages(lib, average):
    """The averages of a weight and a buffer that take 25 values."""
    utils = lib.optim.swa_utils
    model = lib.nn.BatchNorm1d(1, affine=True, dtype=lib.float64)
    averaged = utils.AveragedModel(model, avg_fn=getattr(utils, average)(), use_buffers=True)
    path = []
    for step in range(STEPS):
        with lib.no_grad():
            model.weight.fill_(math.sin(step))
            model.running_mean.fill_(math.cos(step))
        averaged.update_parameters(model)
        state = averaged.state_dict()
        path.append([state["module.weight"].item(), state["module.running_mean"].item()])
    return path


def chained(lib):
    """Two schedules on one optimizer: a warm-up that is cut by another schedule's factor."""
    optimizer = lib.optim.SGD([lib.zeros(1, requires_grad=True)], lr=1.0)
    warm_up = lib.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.25, total_iters=8)
    decay = lib.optim.lr_scheduler.StepLR(optimizer, step_size=5, gamma=0.5)
    history = []
    for _ in range(STEPS):
        history.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        warm_up.step()
        decay.step()
    return history


def key(name, options):
    return f"{name} {json.dumps(options)}"


def write_table(torch):
    table = {
        "made": f"python tests/optim/test_trajectories.py with PyTorch {torch.__version__}",
        "optimizers": {key(*case): descend(torch, *case) for case in OPTIMIZERS},
        "schedules": {key(*case): rates(torch, *case) for case in SCHEDULES},
        "chained": chained(torch),
        "factors": factors(torch),
        "quasi_newton": {key("LBFGS", case): quasi_newton(torch, case) for case in QUASI_NEWTON},
        "composed": {kind: composed(torch, kind) for kind in COMPOSED},
        "averages": {average: averages(torch, average) for average in AVERAGES},
    }
    rows = json.dumps(table, indent=1)
    TABLE.write_text(_one_line_per_row(rows) + "\n")


def _one_line_per_row(text):
    """JSON with innermost lists on one line: a row is what one step gave."""
    lines, row = [], None
    for line in text.split("\n"):
        stripped = line.strip()
        if row is None and stripped.endswith("[") and ":" not in stripped:
            row = line.rstrip()
        elif row is not None:
            row += stripped + (" " if stripped.endswith(",") else "")
            if stripped.startswith("]"):
                lines.append(row.rstrip())
                row = None
        else:
            lines.append(line)
    return "\n".join(lines)


def assert_close(got, expected, rel_tol=1e-12):
    for step, (a, b) in enumerate(zip(got, expected, strict=True)):
        a, b = (x if isinstance(x, list) else [x] for x in (a, b))
        assert all(
            math.isclose(x, y, rel_tol=rel_tol, abs_tol=1e-14) for x, y in zip(a, b, strict=True)
        ), f"step {step}: got {a}, PyTorch has {b}"


@pytest.fixture(scope="module")
def table():
    return json.loads(TABLE.read_text())


@pytest.mark.parametrize("case", OPTIMIZERS, ids=lambda case: key(*case))
def test_optimizer(table, case):
    assert_close(descend(minidl, *case), table["optimizers"][key(*case)])


@pytest.mark.parametrize("case", SCHEDULES, ids=lambda case: key(*case))
def test_schedule(table, case):
    assert_close(rates(minidl, *case), table["schedules"][key(*case)])


def test_chained_schedules(table):
    assert_close(chained(minidl), table["chained"])


def test_adafactor_of_a_matrix(table):
    assert_close(factors(minidl), table["factors"])


@pytest.mark.parametrize("case", QUASI_NEWTON, ids=lambda case: key("LBFGS", case))
def test_quasi_newton(table, case):
    """Rounding grows on the way through the bend: PyTorch started 1e-15 aside is 1e-9 away."""
    assert_close(quasi_newton(minidl, case), table["quasi_newton"][key("LBFGS", case)], 1e-7)


@pytest.mark.parametrize("kind", COMPOSED)
def test_composed_schedules(table, kind):
    assert_close(composed(minidl, kind), table["composed"][kind])


@pytest.mark.parametrize("average", AVERAGES)
def test_averages(table, average):
    assert_close(averages(minidl, average), table["averages"][average])


if __name__ == "__main__":
    import torch

    warnings.simplefilter("error")
    write_table(torch)
