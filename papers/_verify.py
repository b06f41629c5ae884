"""What several runs of a paper, each with another seed, found of its claims."""

import datetime
import json
from collections.abc import Iterable
from pathlib import Path

from . import _record


def add(claims: dict[tuple, dict], name: str, seed: int, found: list[dict]) -> None:
    """Add what a run found of its claims to those of the same paper's other seeds."""
    where = {"paper": name, **_record.commit()}
    for claim in found:
        key = name, claim["id"], claim["threshold"]
        about = where | {"id": claim["id"], "text": claim["text"]}
        entry = claims.setdefault(
            key, about | {"threshold": claim["threshold"], "holds": {}, "measured": {}}
        )
        entry["holds"][seed], entry["measured"][seed] = claim["holds"], _record.measured(claim)


def write(path: Path, claims: Iterable[dict], device: str) -> None:
    """What `verify` found: for each claim, seed by seed, whether it holds and what was measured."""
    lines = ",\n ".join(map(json.dumps, claims))
    about = {"date": datetime.date.today().isoformat(), "machine": _record.machine(device)}
    with _record.replacing(path) as temporary:
        temporary.write_text(f'{json.dumps(about)[:-1]}, "claims": [\n {lines}\n]}}\n')


def table(claims: Iterable[dict]) -> str:
    """paper, claim, on how many seeds it holds, threshold"""
    rows = [("paper", "claim", "holds", "threshold")]
    for claim in claims:
        held = list(claim["holds"].values())
        judged = "not judged" if None in held else f"{sum(held)} of {len(held)} seeds"
        rows.append((claim["paper"], claim["text"], judged, claim["threshold"]))
    return _record.table(rows)
