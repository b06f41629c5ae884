"""What the papers share and no paper is about: stages, progress, checkpoints, claims, results.

A paper file defines
    PAPER        a `Paper`: year, title, claim, published parameter count, minutes
    Config       a frozen dataclass of `setting`s; one of them is `seed`
    SMOKE, FULL  the settings that `--smoke` and `--full` change
    load(config, size)   the data sets, or an error that says how to get them
    measure(run, *data)  the experiment, in stages (`run.stage`); it states claims (`run.claim`)
and spells its training loops out. They walk `Training.epochs` and `Training.batches`; that is all
that Ctrl-C and `--resume` need: what is done is skipped.
"""

import contextlib
import dataclasses
import json
import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import minidl
from minidl import nn

from . import _record

CHECKPOINT_SECONDS = 30  # what a killed run loses at most, if a checkpoint is quickly written
LOG_EVERY = 20  # steps in a line of log.jsonl and in a point of a curve


class Misuse(Exception):
    """Something to put right before any work is done."""


class NotFinite(ArithmeticError):
    """A loss that is infinite or NaN."""


@dataclasses.dataclass(frozen=True)
class Paper:
    """What `python -m papers` lists, and what a run needs."""

    year: int
    title: str
    claim: str
    published: int  # parameters of the full-size model
    minutes: float  # that a default run takes on 2 cores
    packages: tuple[str, ...] = ("matplotlib", "tqdm")


def setting(default: Any, meaning: str, least: float | None = None) -> Any:
    """A field of a Config: its default, the sentence that `--help` prints, its least value."""
    return dataclasses.field(default=default, metadata={"meaning": meaning, "least": least})


@contextlib.contextmanager
def uninitialised() -> Iterator[None]:
    """Layers that are built inside draw no weights: to count parameters, or to draw them anew."""
    nothing = {"reset_parameters": lambda self: None}
    with mock.patch.multiple(nn.Linear, **nothing), mock.patch.multiple(nn.Conv2d, **nothing):
        yield


class Run:
    """One run of one paper: its config, its folder, what it has measured so far."""

    def __init__(
        self, name: str, module: Any, config: Any, size: str, folder: Path, device: str
    ) -> None:
        self.name, self.paper, self.config, self.size = name, module.PAPER, config, size
        self.folder, self.device, self.measure = folder, device, module.measure
        self.data = module.load(config, size)
        self.stages: dict[str, Any] = {}  # results of the finished ones
        self.curves: dict[str, list] = {}  # name -> [[step, value], ...]
        self.claims: list[dict] = []
        self.built = self.drawn = self.checkpoint = self.bar = None
        self.in_step = self.stopping = False

    # ------------------------------------------------------------------- for the paper's file

    def stage(self, name: str, measure: Callable, *arguments: Any, steps: int = 0) -> Any:
        """`measure(*arguments)`: a tree of numbers and texts. A resumed run knows those of finished
        stages. Every stage starts from the config's seed.

        steps: how far a stage that is not run again moves the progress bar.
        """
        if name not in self.stages:
            minidl.manual_seed(self.config.seed)
            self.stages[name] = measure(*arguments)
            self.save(name)
            self.write("running")
        elif self.bar is not None:
            skip(self.bar, steps)
        return self.stages[name]

    @contextlib.contextmanager
    def progress(self, title: str, steps: int) -> Iterator[None]:
        """A progress bar over this many updates, of one training or of several."""
        from tqdm import tqdm

        form = "{desc} {percentage:3.0f}%|{bar:16}| step {n}/{total}, {remaining} left{postfix}"
        pause = 0.2 if sys.stderr.isatty() else 10
        how = {"bar_format": form, "mininterval": pause, "smoothing": 0}
        with tqdm(total=steps, desc=title, **how) as self.bar:
            self.bar.images = 0
            yield
        self.bar = None

    def claim(self, *entries: Any, exact: bool = False, **more: Any) -> None:
        """State what was measured: the arguments are those of `_record.claim`. exact: true at any
        size, so that it is judged under `--smoke` too."""
        claim = _record.claim(*entries, **more)
        if self.size == "smoke" and not exact:
            claim["holds"] = None
        self.claims.append(claim)

    def keep(self, name: str, model: nn.Module) -> None:
        """Write the parameters of a trained model to `checkpoints/<name>.safetensors`."""
        minidl.save(model.state_dict(), self.checkpoints / f"{name}.safetensors")

    def kept(self, name: str) -> dict:
        """The parameters that `keep` wrote."""
        return minidl.load(self.checkpoints / f"{name}.safetensors")

    @contextlib.contextmanager
    def figure(self, width: float, height: float) -> Iterator[Any]:
        """A matplotlib figure to draw on, in inches; it becomes `figure.png`."""
        from matplotlib.figure import Figure

        figure = Figure((width, height), layout="constrained")
        yield figure
        with _record.replacing(self.folder / "figure.png") as path:
            figure.savefig(path, format="png", dpi=120)
        self.drawn = "figure.png"

    # ----------------------------------------------------------------------- beginning and end

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def minutes(self) -> float:
        return (time.monotonic() - self.began) / 60

    def open(self, minutes: float | None = None) -> None:
        """Begin in an empty folder or, given the minutes it took so far, where the run stopped."""
        if minutes is None:
            shutil.rmtree(self.checkpoints, ignore_errors=True)
            (self.folder / "figure.png").unlink(missing_ok=True)
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        self.began = time.monotonic() - 60 * (minutes or 0)
        self.last, log = self.checkpoints / "last.safetensors", self.folder / "log.jsonl"
        if self.last.exists():
            self.checkpoint = minidl.load(self.last)
            metrics = self.checkpoint["metrics"]
            self.stages, self.curves = metrics["stages"], metrics["curves"]
            os.truncate(log, metrics["log"])  # the lines after the checkpoint will come again
        self.log = log.open("a" if self.checkpoint else "w")
        self.write("running")

    def carry_out(self) -> None:
        """The paper's `measure`; however it ends, what was measured is written and printed."""
        print(_record.heading(self), flush=True)
        usual = signal.signal(signal.SIGINT, self.interrupt)
        state = "failed"
        try:
            minidl.manual_seed(self.config.seed)
            self.measure(self, *self.data)
            state = "finished"
        except KeyboardInterrupt:
            state = "interrupted"
            raise
        finally:
            signal.signal(signal.SIGINT, usual)
            self.log.close()
            self.write(state)
            print(_record.report(self, state), flush=True)

    def interrupt(self, *_: Any) -> None:
        """Ctrl-C: a step that has begun is finished and saved; a second Ctrl-C cuts it short."""
        if self.stopping or not self.in_step:
            raise KeyboardInterrupt
        self.stopping = True

    def save(self, stage: str, epoch: int = 0, step: int = 0, recent: Any = (), **parts) -> None:
        """Write the checkpoint that `--resume` reads."""
        self.log.flush()
        state = {name: part.state_dict() for name, part in parts.items() if part is not None}
        metrics = {"stages": self.stages, "curves": self.curves, "recent": list(recent)}
        metrics["log"] = self.log.tell()
        where = {"stage": stage, "epoch": epoch, "step": step, "metrics": metrics}
        minidl.save({**state, "generator": minidl.get_rng_state(), **where}, self.last)

    def write(self, state: str) -> None:
        """Write `metrics.json`."""
        _record.write(self.folder / "metrics.json", _record.of(self, state))


class Training:
    """The place of one training: at its start, or where the checkpoint of the run has it."""

    def __init__(
        self, run: Run, stage: str, model: nn.Module, optimizer: Any, schedule: Any = None
    ) -> None:
        self.run, self.stage = run, stage
        self.parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
        self.epoch = self.step = 0  # finished epochs, finished steps of the present one
        self.total = -1  # finished steps; -1: no batch yet
        self.recent: list = []  # loss and accuracy of the steps since the last line of the log
        self.due = time.monotonic() + CHECKPOINT_SECONDS
        there = run.checkpoint or {}
        if there.get("stage") == stage and "model" in there:
            for name, part in self.parts.items():
                if part is not None:
                    part.load_state_dict(there[name])
            self.epoch, self.step = there["epoch"], there["step"]
            self.recent = there["metrics"]["recent"]
            minidl.set_rng_state(there["generator"])

    def epochs(self, count: int) -> Iterator[int]:
        """The numbers of the epochs that are not finished."""
        while self.epoch < count:
            yield self.epoch
            self.epoch, self.step = self.epoch + 1, 0

    def batches(self, loader: Any) -> Iterator[Any]:
        """The batches of this epoch that are not done. Ctrl-C stops the run between two of them."""
        first, self.total = self.total < 0, self.epoch * len(loader) + self.step
        if first and self.run.bar is not None:
            skip(self.run.bar, self.total)
        loader.set_epoch(self.epoch, skip=self.step)
        for batch in loader:
            self.run.in_step = True
            yield batch
            self.step, self.total = self.step + 1, self.total + 1
            if self.run.stopping or time.monotonic() > self.due:
                self.save()
            self.run.in_step = False
            if self.run.stopping:
                raise KeyboardInterrupt

    def save(self) -> None:
        began = time.monotonic()
        self.run.save(self.stage, self.epoch, self.step, self.recent, **self.parts)
        ended = time.monotonic()
        self.due = ended + max(CHECKPOINT_SECONDS, 20 * (ended - began))  # 5 % of the time at most

    def checked(self, objective: Callable, *arguments: Any) -> Any:
        """`objective(*arguments)`, of which the first is the loss. If that is not finite, raises
        NotFinite with the step and the op, which a second time in anomaly mode finds."""
        before = minidl.get_rng_state()
        values = objective(*arguments)
        if math.isfinite(values[0].item()):
            return values
        where = f"{self.stage}: the loss is {values[0].item()} at step {self.total + 1}"
        for name, parameter in self.parts["model"].named_parameters():
            if not minidl.isfinite(parameter).all():
                raise NotFinite(f"{where}: {name} was not finite before it")
        minidl.set_rng_state(before)
        try:
            with minidl.autograd.detect_anomaly():
                objective(*arguments)[0].backward()
        except RuntimeError as error:
            raise NotFinite(f"{where}: {error}") from error
        raise NotFinite(f"{where}: no op made a nan; the loss is too large for its dtype")

    def report(self, loss: float, accuracy: float, images: int) -> None:
        """Show how this step went; log the means of every LOG_EVERY steps, add them to curves."""
        self.recent.append([loss, accuracy])
        bar = self.run.bar
        if bar is not None:
            bar.images += images
            speed = bar.images / max(time.time() - bar.start_t, 1e-9)
            text = f"loss {loss:.3f}, accuracy {accuracy:.0%}, {speed:,.0f} images/s"
            bar.set_postfix_str(text, refresh=False)
            bar.update()
        if (self.total + 1) % LOG_EVERY == 0:
            loss, accuracy = (sum(v) / len(v) for v in zip(*self.recent, strict=True))
            line = {"stage": self.stage, "epoch": self.epoch, "step": self.total + 1}
            line |= {"loss": loss, "accuracy": accuracy}
            self.run.log.write(json.dumps(line) + "\n")
            self.curve(f"{self.stage}: loss", loss, self.total + 1)
            self.curve(f"{self.stage}: accuracy", accuracy, self.total + 1)
            self.recent = []

    def curve(self, name: str, value: float, step: int) -> None:
        """Add a point to a curve of the record."""
        self.run.curves.setdefault(name, []).append([step, value])


def skip(bar: Any, steps: int) -> None:
    """Move a bar over steps of an earlier session; they do not count for its speed."""
    bar.n, bar.initial = bar.n + steps, bar.initial + steps
    bar.refresh()
