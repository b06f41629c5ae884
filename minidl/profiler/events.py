"""What a profile writes down: an event per call, with its place inside of other events."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from ..tape import Node

BACKWARD = ("backward", "walk")


@dataclass(eq=False, slots=True)
class Event:
    """One call: of an op's forward, of its derivative rules, or of a named stretch of code.

    kind     "forward", "backward" (rules), "walk" (a whole backward pass) or "range"
    ran      how a forward ran: "kernel", "definition", or the array module's name ("numpy")
    missed   why an op that has a kernel ran without it, or ""
    start, end  in nanoseconds; `inner` is the part that was spent in events inside
    bytes    of the results
    outer    the event that this one is inside of; for "backward", the one that recorded the node
    rule     whether it is part of a backward: called by a rule, or by the walk to sum gradients
    """

    name: str
    kind: str
    ran: str = ""
    missed: str = ""
    start: int = 0
    end: int = 0
    inner: int = 0
    bytes: int = 0
    thread: int = 0
    outer: Event | None = None
    rule: bool = False

    @property
    def own(self) -> int:
        """Nanoseconds, without those of the events inside."""
        return self.end - self.start - self.inner

    def around(self) -> Iterator[Event]:
        """The events that this one is inside of, innermost first."""
        event = self.outer
        while event is not None:
            yield event
            event = event.outer


class _Here(threading.local):
    """Per thread: the events that are open, and the node whose rules run."""

    def __init__(self) -> None:
        self.open: list[Event] = []
        self.node: Node | None = None


class Events:
    """The finished events of all threads, and inside of which event each node was recorded."""

    def __init__(self) -> None:
        self.finished: list[Event] = []
        self.here = _Here()
        self.recorded_in: WeakKeyDictionary[Node, Event] = WeakKeyDictionary()

    def begin(self, event: Event, outer: Event | None = None) -> Event:
        """Opens an event. outer: instead of the one that is open in this thread."""
        opened = self.here.open
        if opened:
            event.outer = opened[-1]
            event.rule = opened[-1].rule or opened[-1].kind in BACKWARD
        if outer is not None:
            event.outer = outer
        event.thread = threading.get_native_id()
        opened.append(event)
        event.start = time.perf_counter_ns()
        return event

    def finish(self, event: Event) -> None:
        """Closes an event, and those inside that an error has left open."""
        event.end = time.perf_counter_ns()
        opened = self.here.open
        while opened.pop() is not event:
            pass
        # The ops that a rule or the walk calls are part of it; other rules are not.
        if opened and (opened[-1].kind not in BACKWARD or event.kind in BACKWARD):
            opened[-1].inner += event.end - event.start
        self.finished.append(event)
