"""The table of a profile: a row per op."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .events import Event


@dataclass(slots=True)
class Row:
    """All calls of one op. Times in microseconds; bytes are those of the results.

    `self_` times leave out the ops that it called. The backward of an op that is made of others
    is that of the nodes which they recorded. The row `backward` is the walk along the tape: what
    it does between the rules, the sums of gradients above all.
    """

    key: str
    ran: str = ""
    count: int = 0
    self_forward: float = 0
    forward: float = 0
    self_backward: float = 0
    backward: float = 0
    bytes: int = 0

    @property
    def cpu_time_total(self) -> float:
        return self.forward + self.backward

    @property
    def self_cpu_time_total(self) -> float:
        return self.self_forward + self.self_backward


class Averages(list[Row]):
    """A row per op; `microseconds` is the time of the whole profile."""

    def __init__(self, rows: Iterable[Row], microseconds: float):
        super().__init__(rows)
        self.microseconds = microseconds

    def table(self, sort_by: str = "self_cpu_time_total", row_limit: int = 100) -> str:
        """The `row_limit` rows with the largest `sort_by`, the name of a field of `Row`.

        self, forward, self bwd and backward are times; `self %` is the part of the whole time that
        the op itself took.
        """
        if sort_by not in SORTS:
            raise ValueError(f"table: sort_by is one of {', '.join(SORTS)}; got {sort_by!r}.")
        rows = sorted(self, key=lambda row: getattr(row, sort_by), reverse=sort_by != "key")
        shown = [HEAD, *[_cells(row, self.microseconds) for row in rows[:row_limit]]]
        widths = [max(len(line[i]) for line in shown) for i in range(len(HEAD))]
        lines = ["  ".join(_aligned(line, widths)).rstrip() for line in shown]
        lines.insert(1, "  ".join("-" * width for width in widths))
        outside = max(0, self.microseconds - sum(row.self_cpu_time_total for row in self))
        lines.append(f"{_time(self.microseconds)} in all, {_time(outside)} of it between the ops")
        return "\n".join(lines)


KINDS = ("forward", "backward")  # of the events that a backward may belong to
SORTS = [*Row.__slots__, "cpu_time_total", "self_cpu_time_total"]
HEAD = ["op", "ran as", "calls", "self", "forward", "self bwd", "backward", "self %", "bytes"]


def _cells(row: Row, whole: float) -> list[str]:
    times = (row.self_forward, row.forward, row.self_backward, row.backward)
    share = f"{100 * row.self_cpu_time_total / whole:.1f}"
    return [row.key, row.ran, str(row.count), *map(_time, times), share, _size(row.bytes)]


def _aligned(cells: list[str], widths: list[int]) -> list[str]:
    """Names to the left, numbers to the right."""
    pairs = list(zip(cells, widths, strict=True))
    return [c.ljust(w) for c, w in pairs[:2]] + [c.rjust(w) for c, w in pairs[2:]]


def _time(microseconds: float) -> str:
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if microseconds >= size:
            return f"{microseconds / size:.3f} {unit}"
    return f"{microseconds:.1f} us"


def _size(number: float) -> str:
    for unit in ("B", "KB", "MB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GB"


def averages(events: Iterable[Event], microseconds: float) -> Averages:
    """One row per op, and per name given to `record_function`."""
    rows: dict[str, Row] = {}
    for event in events:
        if event.kind == "walk":
            row = rows.setdefault(event.name, Row(event.name))
            row.count += 1
            row.self_backward += event.own / 1e3
            row.backward += event.own / 1e3
        elif event.kind == "backward":
            made_by = {e.name for e in event.around() if e.kind in KINDS} | {event.name}
            for name in made_by:
                rows.setdefault(name, Row(name)).backward += event.own / 1e3
            rows[event.name].self_backward += event.own / 1e3
        elif event.kind == "range" or not event.rule:  # what a rule calls is in its backward
            _add(rows.setdefault(event.name, Row(event.name)), event)
    return Averages(rows.values(), microseconds)


def _add(row: Row, event: Event) -> None:
    row.count += 1
    row.bytes += event.bytes
    row.self_forward += event.own / 1e3
    if all(e.name != event.name for e in event.around()):
        row.forward += (event.end - event.start) / 1e3
    if event.ran not in row.ran.split(", "):
        row.ran = f"{row.ran}, {event.ran}".removeprefix(", ")
