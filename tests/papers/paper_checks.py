"""What the tests of the papers share: digits, and what is done to models."""

import functools
import json
import os
import signal
from pathlib import Path

import pytest

import minidl
from minidl import datasets, optim

mnist_5k = functools.cache(functools.partial(datasets.load, "mnist-5k"))  # needs no network


def digits(count):
    """The first training images, (count, 1, 28, 28) in 0..1, and their labels."""
    data = mnist_5k()
    x = minidl.tensor(data.train_images[:count]).float() / 255
    return x, minidl.tensor(data.train_labels[:count])


def finite_gradients(model, x, y, objective):
    """Names of the parameters that get no gradient, one that is not finite, or only zeros."""
    objective(model, x, y)[0].backward()
    return [
        name
        for name, p in model.named_parameters()
        if p.grad is None or not minidl.isfinite(p.grad).all() or not p.grad.abs().sum() > 0
    ]


def loss_of_weights(model, objective, x, y):
    """The loss as a function of the model's parameters, and those parameters, for gradcheck."""
    places = [
        (module, name)
        for module in model.modules()
        for name, _ in module.named_parameters(recurse=False)
    ]
    weights = tuple(getattr(module, name).detach().clone() for module, name in places)
    for module, name in places:
        delattr(module, name)

    def loss(*values):
        for (module, name), value in zip(places, values, strict=True):
            setattr(module, name, value)
        return objective(model, x, y)[0]

    return loss, tuple(w.requires_grad_() for w in weights)


def overfit(model, x, y, objective, steps, rate):
    """The accuracy on one batch, in eval mode, after some steps on nothing else."""
    optimizer = optim.SGD(model.parameters(), rate, momentum=0.9)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        objective(model, x, y)[0].backward()
        optimizer.step()
    model.eval()
    return objective(model, x, y)[1].item()


def interrupted_after(steps, monkeypatch, start, *arguments):
    """A run with Ctrl-C after so many steps, as the terminal sends it: in the middle of a step."""
    from papers import _lab

    left, report = [steps], _lab.Training.report

    def pressing(self, *values, **more):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGINT)
        report(self, *values, **more)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(_lab.Training, "report", pressing)
        start(*arguments)


def outcome(folder, *files):
    """What two runs must have in common: the record but for the clock, the weights that were kept
    (stem -> bytes), the log, and these files."""
    folder = Path(folder)
    record = json.loads((folder / "metrics.json").read_text())
    del record["minutes"], record["date"]
    kept = sorted((folder / "checkpoints").glob("*.safetensors"))
    weights = {path.stem: path.read_bytes() for path in kept if path.stem != "last"}
    return record, weights, [(folder / name).read_bytes() for name in ("log.jsonl", *files)]
