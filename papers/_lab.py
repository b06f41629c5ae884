"""What the papers share and no paper is about: stages, progress, checkpoints, claims, results.

A paper file defines
    PAPER        a `Paper`: year, title, claim, published parameter count, minutes
    Config       a frozen dataclass of `setting`s; one of them is `seed`
    SMOKE, FULL  the settings that `--smoke` and `--full` change
    load(config, size)   the data sets, or an error that says how to get them
    measure(run, *data)  the experiment, in stages (`run.stage`); it states claims (`run.claim`)
and spells its training loops out. They walk `Training.epochs` and `.batches`, or `.updates`, or
`.steps`; that is all that Ctrl-C and `--resume` need: what is done is skipped.
"""

import contextlib
import dataclasses
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
from ._record import Misuse as Misuse
from ._training import NotFinite as NotFinite
from ._training import Training as Training
from ._training import require_finite, skip

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None


@dataclasses.dataclass(frozen=True)
class Paper:
    """What `python -m papers` lists, and what a run needs."""

    year: int
    title: str
    claim: str
    published: int  # parameters of the full-size model
    minutes: float  # that a default run takes on 2 cores
    items: str = "images"  # what `Training.report` counts
    packages: tuple[str, ...] = ("matplotlib", "tqdm")
    judged_on: tuple[str, ...] = ()  # the data that the thresholds were made on; (): on any


def setting(
    default: Any,
    meaning: str,
    least: float | None = None,
    choices: tuple | None = None,
    most: float | None = None,
) -> Any:
    """A field of a Config: its default, the sentence that `--help` prints, its least and its
    largest value or the values it can have."""
    metadata = {"meaning": meaning, "least": least, "choices": choices, "most": most}
    return dataclasses.field(default=default, metadata=metadata)


def filling(batch: int, data: list, *limits: int) -> list:
    """The data sets, if the training examples of each, and so many of them, fill a batch."""
    counts = [len(d.train_images if hasattr(d, "train_images") else d.train) for d in data]
    if batch > (count := min(*counts, *limits, math.inf)):
        raise Misuse(
            f"a batch of {batch} is more than the {count} examples to train on: take a smaller one"
        )
    return data


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """No other process runs in this folder. However this one ends, the lock ends with it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Misuse(
                f"another run is going on in {folder}: wait for it, or name another --out"
            ) from None
        yield


def load(path: Path) -> Any:
    """A file of an earlier session; Misuse if it is not as that left it."""
    try:
        return minidl.load(path)
    except (OSError, ValueError) as error:
        raise Misuse(
            f"{path} cannot be read ({error}): delete the run, or name another --out"
        ) from error


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
        self.pictures: list[str] = []  # files of the folder
        self.built = self.checkpoint = self.bar = None
        self.in_step = self.stopping = False

    # ------------------------------------------------------------------- for the paper's file

    def stage(self, name: str, measure: Callable, *arguments: Any, steps: int = 0) -> Any:
        """`measure(*arguments)`: a tree of numbers and texts. A resumed run knows those of finished
        stages. Every stage starts from the config's seed.

        steps: how far a stage that is not run again moves the progress bar.
        """
        if name not in self.stages:
            minidl.manual_seed(self.config.seed)
            found = measure(*arguments)
            require_finite(name, found)
            self.stages[name] = found
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
            self.bar.items = 0
            yield
        self.bar = None

    def claim(self, *entries: Any, exact: bool = False, on: Any = None, **more: Any) -> None:
        """State what was measured: the arguments are those of `_record.claim`. It is judged only
        where its threshold was made: in default runs, on the data of `Paper.judged_on`.

        exact: true at any size, so that it is judged always. on: the data set, if not all.
        """
        claim, known = _record.claim(*entries, **more), self.paper.judged_on
        names = {data.name for data in ([on] if on is not None else self.data)}
        if not exact and claim["holds"] is not None:
            if known and not names <= set(known):
                claim["threshold"] += f", on {' or '.join(known)}"
                claim["holds"] = None
            elif self.size == "full":
                claim["threshold"] += ", in a default run"
            if self.size != "default":
                claim["holds"] = None
        self.claims.append(claim)

    def keep(self, name: str, what: Any) -> None:
        """Write the state of a trained model, or a tree of tensors, to
        `checkpoints/<name>.safetensors`."""
        tree = what.state_dict() if isinstance(what, nn.Module) else what
        minidl.save(tree, self.checkpoints / f"{name}.safetensors")

    def kept(self, name: str) -> dict:
        """What `keep` wrote."""
        return load(self.checkpoints / f"{name}.safetensors")

    @contextlib.contextmanager
    def figure(self, width: float, height: float) -> Iterator[Any]:
        """A matplotlib figure to draw on, in inches; it becomes `figure.png`."""
        from matplotlib.figure import Figure

        figure = Figure((width, height), layout="constrained")
        yield figure
        with self.picture("figure.png") as path:
            figure.savefig(path, format="png", dpi=120)

    @contextlib.contextmanager
    def picture(self, name: str) -> Iterator[Path]:
        """The path to write a picture to, as an animated GIF; it is in the record from then on."""
        with _record.replacing(self.folder / name) as path:
            yield path
        self.pictures.append(name)

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
        if minutes is not None and self.last.exists():
            self.checkpoint = load(self.last)
            metrics = self.checkpoint["metrics"]
            self.stages, self.curves = metrics["stages"], metrics["curves"]
            if not log.exists() or log.stat().st_size < metrics["log"]:
                raise Misuse(
                    f"{log} is not what the checkpoint beside it continues: delete the run, or "
                    "name another --out"
                )
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

    def save(self, stage: str, epoch: int = 0, step: int = 0, recent: Any = None, **parts) -> None:
        """Write the checkpoint that `--resume` reads."""
        self.log.flush()
        state = {name: part.state_dict() for name, part in parts.items() if part is not None}
        metrics = {"stages": self.stages, "curves": self.curves, "recent": recent or {}}
        metrics["log"] = self.log.tell()
        where = {"stage": stage, "epoch": epoch, "step": step, "metrics": metrics}
        minidl.save({**state, "generator": minidl.get_rng_state(), **where}, self.last)

    def write(self, state: str) -> None:
        """Write `metrics.json`."""
        _record.write(self.folder / "metrics.json", _record.of(self, state))
