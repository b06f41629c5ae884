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
]


def descend(lib, name, options):
    """The values of two parameters after each of 25 steps in a moving valley, in float64.

    The second parameter has no gradient in every fourth step, so its own count of steps lags.
    """
    options = dict(options, **({"betas": tuple(options["betas"])} if "betas" in options else {}))
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


def rates(lib, name, options):
    """The learning rates of two groups over 25 epochs, with one change by hand in the middle."""
    if name == "LambdaLR":
        options = {"lr_lambda": [lambda epoch: 0.95**epoch, lambda epoch: 1 / (1 + epoch)]}
    first, second = lib.zeros(1, requires_grad=True), lib.zeros(1, requires_grad=True)
    groups = [{"params": [first]}, {"params": [second], "lr": 0.2}]
    optimizer = lib.optim.SGD(groups, lr=1.0)
    schedule = getattr(lib.optim.lr_scheduler, name)(optimizer, **options)
    history = []
    for epoch in range(STEPS):
        history.append(list(schedule.get_last_lr()))
        optimizer.step()
        if epoch == 12:
            optimizer.param_groups[0]["lr"] *= 0.5
        schedule.step()
    return history


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


def assert_close(got, expected):
    for step, (a, b) in enumerate(zip(got, expected, strict=True)):
        a, b = (x if isinstance(x, list) else [x] for x in (a, b))
        assert all(
            math.isclose(x, y, rel_tol=1e-12, abs_tol=1e-14) for x, y in zip(a, b, strict=True)
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


if __name__ == "__main__":
    import torch

    warnings.simplefilter("error")
    write_table(torch)
