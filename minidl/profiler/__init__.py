"""Where the time goes: calls, time and memory of every op.

    with minidl.profiler.profile() as p:
        loss = model(x).sum()
        loss.backward()
    print(p.table())

Nothing of it runs while no profile does. https://docs.pytorch.org/docs/stable/profiler.html
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from ..tape import named_like
from .events import Event, Events
from .exchange import exchange
from .table import Averages, Row, averages

__all__ = ["Averages", "Event", "Row", "profile", "record_function"]

# From which share of the time, and how much of it, an op without its kernel is worth a warning.
HOT, LONG = 0.1, 1000  # microseconds

_running: profile | None = None


class profile:
    """Times every op inside of `with profile() as p:`, in all threads; one at a time.

    At its end it warns of ops that took a tenth of the time or more, and a millisecond at least,
    without the kernel they have.
    """

    def __init__(self) -> None:
        self._events = Events()
        self._undo: list[Callable[[], None]] = []
        self._start = self._end = 0

    def __enter__(self) -> profile:
        global _running
        if _running is not None:
            raise RuntimeError("profile: another profile is running; only one can.")
        _running = self
        self._undo = exchange(self._events)
        self._start = perf_counter_ns()
        return self

    def __exit__(self, error: Any, *exc: object) -> None:
        global _running
        self._end = perf_counter_ns()
        while self._undo:
            self._undo.pop()()
        _running = None
        if error is None:
            self._warn()

    def events(self) -> list[Event]:
        """Every call, in the order in which they ended."""
        return self._events.finished

    def key_averages(self) -> Averages:
        """One row per op, and per name given to `record_function`."""
        return averages(self.events(), (self._end - self._start) / 1e3)

    def table(self, sort_by: str = "self_cpu_time_total", row_limit: int = 100) -> str:
        """`key_averages().table(...)`"""
        return self.key_averages().table(sort_by, row_limit)

    def export_chrome_trace(self, path: str | os.PathLike) -> None:
        """Writes the events as JSON for chrome://tracing or https://ui.perfetto.dev."""
        spans = [self._span(event) for event in self.events()]
        Path(path).write_text(json.dumps({"traceEvents": spans, "displayTimeUnit": "ms"}))

    def _span(self, event: Event) -> dict[str, Any]:
        return {
            "name": event.name + (" backward" if event.kind == "backward" else ""),
            "cat": event.kind,
            "ph": "X",  # complete: start and duration, in microseconds
            "ts": (event.start - self._start) / 1e3,
            "dur": (event.end - event.start) / 1e3,
            "pid": os.getpid(),
            "tid": event.thread,
            "args": {"ran as": event.ran, "bytes": event.bytes} if event.ran else {},
        }

    def _warn(self) -> None:
        found = self.key_averages()
        hot = []
        for row in sorted(found, key=lambda row: -row.cpu_time_total):
            share = row.cpu_time_total / found.microseconds
            missed = [e.missed for e in self.events() if e.name == row.key and not e.rule]
            reasons = [reason for reason in missed if reason]
            if reasons and share >= HOT and row.cpu_time_total >= LONG:
                calls = f"{len(reasons)} of {row.count} calls"
                hot.append(f"{row.key} ({100 * share:.0f} % of the time, {calls}: {reasons[0]})")
        if hot:
            warnings.warn(f"profiler: ran without the kernel: {'; '.join(hot)}.", stacklevel=3)


class record_function:
    """Times a stretch of code under a name, if a profile runs: a context manager and a decorator.

    https://docs.pytorch.org/docs/stable/generated/torch.autograd.profiler.record_function.html
    """

    def __init__(self, name: str):
        self.name = name
        self._open: list[tuple[Events, Event] | None] = []

    def __enter__(self) -> record_function:
        events = None if _running is None else _running._events
        self._open.append(events and (events, events.begin(Event(self.name, "range"))))
        return self

    def __exit__(self, *exc: object) -> None:
        opened = self._open.pop()
        if opened is not None:
            events, event = opened
            events.finish(event)

    def __call__(self, function: Callable) -> Callable:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name):
                return function(*args, **kwargs)

        return named_like(function, wrapped)
