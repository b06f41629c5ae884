"""The table: ratios with their spread, the bars, and what it was measured on."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable

from .workloads import BARS, MEAN_BAR

AGREE = 1e-4  # largest relative difference between the losses of two contenders


def text(results: dict) -> str:
    runs = results["runs"]
    others = [c for c in results["about"] if c != "minidl"]
    return "\n".join([table(rows(flat(runs), others)), "", *footer(results)])


def memory(runs: list[dict]) -> str:
    """The peaks of memory, in megabytes, and minidl's divided by PyTorch's."""
    made = [["step", "minidl MB", "torch MB", "ratio"]]
    for work in unique(run["work"] for run in runs):
        peaks = {run["contender"]: run["peak"] / 1e6 for run in runs if run["work"] == work}
        own, theirs = peaks["minidl"], peaks.get("torch")
        compared = ["-", "-"] if theirs is None else [f"{theirs:.3g}", f"{own / theirs:.2f}"]
        made.append([work.partition(",")[2], f"{own:.3g}", *compared])
    return table(made)


def rows(runs: list[dict], others: list[str]) -> list[list[str]]:
    """One row for each workload or op, and the geometric means."""
    head = ["step", "minidl ms"]
    for other in others:
        head += [f"{other} ms", "ratio (spread)"]
    made = [[*head, "bar", "losses"]]
    for name in unique(r["work"] for r in runs):
        own = times(runs, name, "minidl")
        row = [name, milliseconds(own)]
        for other in others:
            row += compared(own, times(runs, name, other))
        bar = judged(medians(runs, "torch").get(name), BARS.get(name))
        made.append([*row, bar, losses(runs, name)])
    means = {other: geometric(medians(runs, other)) for other in others}
    last = ["geometric mean", ""]
    for mean in means.values():
        last += ["", "-" if mean is None else f"{mean:.2f}"]
    return [*made, [*last, judged(means.get("torch"), MEAN_BAR), ""]]


def judged(ratio: float | None, bar: float | None) -> str:
    """The bar, and whether the ratio to PyTorch is under it."""
    if ratio is None or bar is None:
        return ""
    return f"{bar:.2f} {'met' if ratio <= bar else 'missed'}"


def flat(runs: list[dict]) -> list[dict]:
    """The runs with one entry for each op, where ops were timed."""
    made = []
    for run in runs:
        where = {"contender": run["contender"], "round": run["round"]}
        for op, time in run.get("times", {}).items():
            made.append({"work": op, "time": time} | where)
        if "times" not in run:
            made.append(run)
    return made


def ratios(runs: list[dict], name: str, other: str) -> list[float]:
    """minidl's time divided by the other's, round by round."""
    pairs = zip(times(runs, name, "minidl"), times(runs, name, other), strict=False)
    return [own / theirs for own, theirs in pairs]


def medians(runs: list[dict], other: str) -> dict[str, float]:
    """The median ratio of each workload that the other ran."""
    found = {name: ratios(runs, name, other) for name in unique(r["work"] for r in runs)}
    return {name: statistics.median(r) for name, r in found.items() if r}


def times(runs: list[dict], name: str, contender: str) -> list[float]:
    """The times of all rounds, in order."""
    return [r["time"] for r in runs if r["work"] == name and r["contender"] == contender]


def compared(own: list[float], theirs: list[float]) -> list[str]:
    """The other's time, and the median ratio with the smallest and the largest."""
    if not theirs:
        return ["-", "-"]
    found = [a / b for a, b in zip(own, theirs, strict=True)]
    spread = f"({min(found):.2f}-{max(found):.2f})"
    return [milliseconds(theirs), f"{statistics.median(found):.2f} {spread}"]


def milliseconds(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1e3:.3g}"


def geometric(found: dict[str, float]) -> float | None:
    """The geometric mean, or None of nothing."""
    if not found:
        return None
    return math.exp(statistics.fmean(map(math.log, found.values())))


def losses(runs: list[dict], name: str) -> str:
    """Whether the first losses of all contenders agree, and how closely."""
    found = [r["losses"] for r in runs if r["work"] == name and "losses" in r]
    if len({r["contender"] for r in runs if r["work"] == name}) < 2 or not found:
        return ""
    worst = max(
        abs(a - b) / max(abs(a), 1e-12) for row in found for a, b in zip(found[0], row, strict=True)
    )
    return f"{'agree to' if worst <= AGREE else 'DIFFER by'} {worst:.0e}"


def unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def table(rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rows = [rows[0], ["-" * w for w in widths], *rows[1:]]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows
    )


def footer(results: dict) -> list[str]:
    at = results["machine"]
    lines = [
        f"{results['date']}, {at['processor']}, {at['cores']} cores, {at['system']}, "
        f"{at['threads']} threads for each"
    ]
    settings = ", ".join(f"{k}={v}" for k, v in at["openblas"].items())
    if settings:
        lines.append(f"set: {settings}")
    same: dict[str, list[str]] = {}  # the contenders that are one library
    for contender, about in results["about"].items():
        versions = ", ".join(f"{k} {v}" for k, v in about.items())
        same.setdefault(versions, []).append(contender)
    return [*lines, *[f"{', '.join(names)}: {versions}" for versions, names in same.items()]]
