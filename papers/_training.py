"""The place of one training in a run: which steps are done, when to save, what to report."""

import json
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import minidl
from minidl import nn

CHECKPOINT_SECONDS = 30  # what a killed run loses at most, if a checkpoint is quickly written
LOG_EVERY = 20  # steps in a line of log.jsonl and in a point of a curve


class NotFinite(ArithmeticError):
    """A loss, a weight or a result that is infinite or NaN."""


class Training:
    """The place of one training: at its start, or where the checkpoint of the run has it.

    more: what else a resumed training needs and has a `state_dict`, as the memory of an agent.
    """

    def __init__(
        self,
        run: Any,
        stage: str,
        model: nn.Module,
        optimizer: Any,
        schedule: Any = None,
        **more: Any,
    ) -> None:
        self.run, self.stage = run, stage
        self.parts = {"model": model, "optimizer": optimizer, "schedule": schedule, **more}
        self.epoch = self.step = 0  # finished epochs, finished steps of the present one
        self.total = -1  # finished steps; -1: no batch yet
        self.recent: dict[str, list] = {}  # the reported values since the last line of the log
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
        self.end()

    def batches(self, loader: Any, until: float = math.inf) -> Iterator[Any]:
        """The batches of this epoch that are not done; none after this many in all."""
        self.begin(self.epoch * len(loader) + self.step)
        loader.set_epoch(self.epoch, skip=self.step)
        for batch in loader if self.total < until else ():
            yield from self.safely(batch)
            if self.total >= until:
                return

    def updates(self, loader: Any, count: int) -> Iterator[Any]:
        """The batches that are not done of this many, in as many epochs as that takes."""
        for _ in self.epochs(math.ceil(count / len(loader))):
            yield from self.batches(loader, count)

    def steps(self, count: int) -> Iterator[int]:
        """The numbers of the steps that are not done, for a training without a loader."""
        self.begin(self.step)
        while self.step < count:
            yield from self.safely(self.step)
        self.end()

    def begin(self, done: int) -> None:
        """Know how many steps are done; the first time, move the bar over them."""
        first, self.total = self.total < 0, done
        if first and self.run.bar is not None:
            skip(self.run.bar, done)

    def safely(self, step: Any) -> Iterator[Any]:
        """One step: counted when it is done; then saved if it is time. Ctrl-C stops the run here,
        never within."""
        self.run.in_step = True
        yield step
        self.step, self.total = self.step + 1, self.total + 1
        if self.run.stopping or time.monotonic() > self.due:
            self.save()
        self.run.in_step = False
        if self.run.stopping:
            raise KeyboardInterrupt

    @minidl.no_grad()
    def end(self) -> None:
        """Raise NotFinite if the last update, which no loss follows, has spoilt a parameter: even
        its square must be finite, for what is computed with it."""
        for name, parameter in self.parts["model"].named_parameters():
            square = (parameter * parameter).sum().item()
            if not math.isfinite(square):
                where = f"{self.stage}: after step {self.total}, the last,"
                raise NotFinite(
                    f"{where} the squared length of {name} is {square}: lower the learning rate"
                )

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

    def report(self, loss: float, items: int, **values: float) -> None:
        """Show how this step went: its loss, how many images (or what `Paper.items` says) it took,
        any other values. Log the means of every LOG_EVERY steps and add them to the curves."""
        values = {"loss": loss, **values}
        for name, value in values.items():
            self.recent.setdefault(name, []).append(value)
        bar = self.run.bar
        if bar is not None:
            bar.items += items
            speed = bar.items / max(time.time() - bar.start_t, 1e-9)
            texts = [f"{name} {value:.3f}" for name, value in values.items()]
            texts.append(f"{speed:,.0f} {self.run.paper.items}/s")
            bar.set_postfix_str(", ".join(texts), refresh=False)
            bar.update()
        if (self.total + 1) % LOG_EVERY == 0:
            means = {name: sum(values) / len(values) for name, values in self.recent.items()}
            line = {"stage": self.stage, "epoch": self.epoch, "step": self.total + 1, **means}
            self.run.log.write(json.dumps(line) + "\n")
            for name, mean in means.items():
                self.curve(f"{self.stage}: {name}", mean, self.total + 1)
            self.recent = {}

    def curve(self, name: str, value: float, step: int) -> None:
        """Add a point to a curve of the record."""
        self.run.curves.setdefault(name, []).append([step, value])


def require_finite(name: str, found: Any) -> None:
    """Raise NotFinite if a number of this tree is infinite or NaN."""
    if isinstance(found, dict | list | tuple):
        parts = found.items() if isinstance(found, dict) else enumerate(found)
        for key, part in parts:
            require_finite(f"{name}, {key}", part)
    elif isinstance(found, float) and not math.isfinite(found):
        raise NotFinite(f"{name}: {found} was measured when the training was over")


def skip(bar: Any, steps: int) -> None:
    """Move a bar over steps of an earlier session; they do not count for its speed."""
    bar.n, bar.initial = bar.n + steps, bar.initial + steps
    bar.refresh()
