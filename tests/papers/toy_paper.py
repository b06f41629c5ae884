"""A paper that takes a tenth of a second: two trainings with dropout and three claims."""

import dataclasses

import minidl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.utils.data import DataLoader, TensorDataset
from papers import _lab as lab
from papers._lab import setting

PAPER = lab.Paper(1999, "Toys", "A toy learns.", published=26, minutes=0.1)
SMOKE = {"epochs": 2}
FULL = {"epochs": 9}


@dataclasses.dataclass(frozen=True)
class Config:
    seed: int = setting(0, "Seed of everything.", 0)
    epochs: int = setting(4, "Passes over 60 points.", 1)
    rate: float = setting(0.1, "Learning rate, 100% sure.", 0, most=100)
    spoil: str = setting("", "Where to go wrong: nan, weight, huge, claim.")


class Points:
    """A data set, as `minidl.datasets` gives them."""

    name = "points"

    def line(self):
        return "data: points"

    def record(self):
        return {"name": "points", "real": False, "sha256": "0" * 64}


def load(config, size):
    return [Points()]


drawn = []  # the random numbers of losses that are spoilt


def objective(model, x, y, spoil):
    scores = model(x)
    if spoil == "nan":
        drawn.append(minidl.rand(()).item())
        scores = (scores - 1e9).log()
    if spoil == "huge":
        return F.cross_entropy(scores, y) + float("inf"), minidl.zeros(())
    return F.cross_entropy(scores, y), (scores.argmax(1) == y).float().mean()


def train(run, stage):
    c = run.config
    x = minidl.randn(60, 4)
    data = TensorDataset(x, (x[:, 0] > 0).long())
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 2))
    optimizer = optim.SGD(model.parameters(), c.rate, momentum=0.9)
    schedule = optim.lr_scheduler.StepLR(optimizer, 7, 0.5)
    loader = DataLoader(data, 10, shuffle=True)
    at = lab.Training(run, stage, model, optimizer, schedule)
    for epoch in at.epochs(c.epochs):
        model.train()
        for step, (x, y) in enumerate(at.batches(loader)):
            spoil = c.spoil if stage == "second" and (epoch, step) == (1, 2) else ""
            if spoil == "weight":
                with minidl.no_grad():
                    model[0].weight.fill_(float("nan"))
            loss, right = at.checked(objective, model, x, y, spoil)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            at.report(loss.item(), len(x), accuracy=right.item())
        model.eval()
        at.curve("after each epoch", objective(model, *data.tensors, "")[0].item(), epoch + 1)
    run.keep(stage, model)
    return objective(model, *data.tensors, "")[1].item()


def measure(run, points):
    run.built = 26
    with run.progress("toy", 2 * 6 * run.config.epochs):
        first = run.stage("first", train, run, "first", steps=6 * run.config.epochs)
        run.claim("exact", "1 is 1", "difference = 0", True, metric="gap", ours=[0.0], exact=True)
        second = run.stage("second", train, run, "second", steps=6 * run.config.epochs)
    holds = run.config.spoil != "claim"
    more = {"metric": "accuracy", "paper": (0.9, "table 1", "large")}
    run.claim("learns", "both learn", ">= 0", holds, ours=[first, second], baseline=[0, 0], **more)
    run.claim("open", "nobody knows", "reported", None, metric="luck", ours=[None])
    with run.figure(2, 2) as figure:
        figure.subplots().plot([0, 1])
