"""The record of a run: `metrics.json`, in the schema of the gallery, and what is printed of it."""

import contextlib
import dataclasses
import datetime
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import minidl

VERDICT = {True: "yes", False: "NO", None: "not judged"}
KEYS = "paper state size commit dirty date machine minutes data config claims pictures params"


class Misuse(Exception):
    """Something to put right, in a sentence that says what to do."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name to write to; the complete file then takes the place of `path`."""
    temporary = path.with_name(f".{path.name}.tmp")
    yield temporary
    os.replace(temporary, path)


def write(path: Path, record: dict) -> None:
    """A record as JSON: a line per entry, and per claim."""
    claims = ",\n ".join(map(json.dumps, record["claims"]))
    entries = {key: json.dumps(value) for key, value in record.items()}
    entries["claims"] = f"[\n {claims}\n]" if claims else "[]"
    text = ",\n".join(f'"{key}": {value}' for key, value in entries.items())
    with replacing(path) as temporary:
        temporary.write_text(f"{{\n{text}\n}}\n")


def read(folder: Path) -> dict:
    """The record of the last run in this folder; empty if there is none. Misuse if it is broken."""
    path, to_do = folder / "metrics.json", "delete it, or name another --out"
    if not path.exists():
        return {}
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise Misuse(f"{path} cannot be read ({error}): {to_do}") from error
    if not isinstance(record, dict) or not set(KEYS.split()) <= set(record):
        raise Misuse(f"{path} is not the record of a run of a paper: {to_do}")
    return record


def is_default(record: dict, name: str) -> bool:
    """Whether it is the record of a default run of this paper."""
    return (record.get("paper"), record.get("size")) == (name, "default")


def claim(
    id: str,
    text: str,
    threshold: str,
    holds: bool | None,
    *,
    metric: str,
    ours: Sequence[float],
    baseline: Sequence[float] = (),
    better: str = "higher",
    paper: tuple[Any, str, str] = (None, "", ""),
) -> dict:
    """An entry of `claims`.

    holds: None if it is reported but not judged. ours, baseline: a number for each seed.
    paper: what the paper found, where that stands, at which scale.
    """
    entry = {"id": id, "text": text, "metric": metric, "better": better, "ours": list(ours)}
    entry |= {"baseline": list(baseline), "threshold": threshold, "holds": holds}
    return entry | {"paper": dict(zip(("value", "where", "scale"), paper, strict=True))}


def of(run: Any, state: str) -> dict:
    """The record of a `_lab.Run`: the gallery's schema, and state, size, finished stages."""
    record = {"schema": 1, "paper": run.name, "state": state, "size": run.size, **commit()}
    record |= {"date": datetime.date.today().isoformat(), "machine": machine(run.device)}
    record |= {"minidl": minidl.__version__, "minutes": round(run.minutes, 2)}
    record |= {"data": data_entry(run.data), "config": dataclasses.asdict(run.config)}
    record |= {"claims": run.claims, "curves": run.curves}
    record |= {"figure": "figure.png" if "figure.png" in run.pictures else None}
    record |= {"pictures": run.pictures}
    record |= {"params": {"built": run.built, "published": run.paper.published}}
    return record | {"stages": run.stages}


def data_entry(sets: list) -> dict:
    """Name, real or made, sha256 of the data sets of a run."""
    records = list({data.name: data.record() for data in sets}.values())
    return {
        "name": " + ".join(record["name"] for record in records),
        "real": all(record["real"] for record in records),
        "sha256": " + ".join(record["sha256"] for record in records),
    }


def commit() -> dict:
    """The commit of this clone, and whether its files differ from it; None outside a clone."""

    def git(*words: str) -> str | None:
        command = ["git", "-C", str(Path(__file__).parent), *words]
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            return done.stdout.strip()
        return None

    head, changes = git("rev-parse", "--short", "HEAD"), git("status", "--porcelain")
    return {"commit": head, "dirty": None if changes is None else bool(changes)}


def machine(device: str) -> str:
    """Cores, processor, GPU or none."""
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.partition(": ")[2] for line in lines if "model name" in line)
    return f"{os.cpu_count()} cores, {processor}, {'GPU' if device == 'cuda' else 'no GPU'}"


def heading(run: Any) -> str:
    """What is printed first: how long it will take, which data it uses."""
    lines = sorted({data.line() for data in run.data})
    if run.size == "default":
        lines.insert(0, f"{run.name}: about {run.paper.minutes:g} minutes on 2 cores")
    return "\n".join(lines)


def report(run: Any, state: str) -> str:
    """What is printed at the end: the claims, where the results are, how to go on."""
    parts = ["", claims_table(run.claims)]
    if run.size == "smoke":
        parts.append("(A smoke run is too small to judge more than the exact facts.)")
    parts.append(f"\n{state} after {run.minutes:.1f} minutes: {run.folder}/")
    if state == "interrupted":
        size = "" if run.size == "default" else f"--{run.size} "
        line = f"python -m papers {run.name} {size}--resume --out {run.folder}"
        parts.append(f"go on with: {line}")
    return "\n".join(parts)


def claims_table(claims: list[dict]) -> str:
    """claim, measured, threshold, holds"""
    rows = [("claim", "measured", "threshold", "holds")]
    for claim in claims:
        rows.append((claim["text"], measured(claim), claim["threshold"], VERDICT[claim["holds"]]))
    return table(rows)


def measured(claim: dict) -> str:
    """Ours, against the baseline if there is one."""
    return " against ".join(summary(v) for v in (claim["ours"], claim["baseline"]) if v)


def summary(values: list[float | None]) -> str:
    """One number; of several, mean ± standard deviation; None is something that never happened."""
    if None in values:
        return "never"
    if len(values) == 1:
        return f"{values[0]:.4g}"
    return f"{statistics.mean(values):.4g} ± {statistics.stdev(values):.2g}"


def table(rows: list[tuple[str, ...]]) -> str:
    """Rows in columns; the first row is the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def one_line(record: dict) -> str:
    """How a run went."""
    if not record:
        return "none yet"
    judged = [claim["holds"] for claim in record["claims"] if claim["holds"] is not None]
    return (
        f"{record['state']} on {record['date']} after {record['minutes']:.1f} minutes, "
        f"{sum(judged)} of {len(judged)} claims hold, commit {record['commit'] or 'unknown'}"
    )
