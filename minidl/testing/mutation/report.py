"""What became of the damages: the score, the survivors and their reasons."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Result:
    """One damage and what caught it ("" if nothing did).

    owner: the op, helper or function that was damaged; file, line: where.
    """

    owner: str
    kind: str
    file: str
    line: int
    before: str
    after: str
    caught_by: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What a reason is filed under: it holds when lines move."""
        return self.owner, self.before, self.after


class Report:
    """The results of all damages, and the reasons given for survivors.

    reasons: {(owner, before, after): why nothing can notice this damage}.
    Raises ValueError without a result: there is no share of nothing.
    """

    def __init__(self, results: Iterable[Result], reasons: dict[tuple, str] | None = None):
        self.results = sorted(results, key=lambda r: (r.file, r.line, r.owner, r.after))
        if not self.results:
            raise ValueError("a report of no damage: nothing was tried, so nothing is known")
        self.reasons = reasons or {}

    @property
    def survivors(self) -> list[Result]:
        return [r for r in self.results if not r.caught_by]

    @property
    def unexplained(self) -> list[Result]:
        return [r for r in self.survivors if r.key not in self.reasons]

    @property
    def score(self) -> float:
        """The share of damages that the tests caught, in percent."""
        return _percent(len(self.results) - len(self.survivors), len(self.results))

    def by(self, field: str) -> dict[str, tuple[int, int]]:
        """{owner or kind: (caught, damages)}"""
        whole = Counter(getattr(r, field) for r in self.results)
        caught = Counter(getattr(r, field) for r in self.results if r.caught_by)
        return {name: (caught[name], n) for name, n in whole.items()}

    def text(self) -> str:
        """Tables by owner and by kind, the survivors, the total."""
        lines = [*_table("function", self.by("owner")), "", *_table("damage", self.by("kind")), ""]
        if self.survivors:
            lines += ["not caught", *(line for r in self.survivors for line in self._survivor(r))]
            lines.append("")
        caught = len(self.results) - len(self.survivors)
        lines.append(f"{caught} of {len(self.results)} damages caught: {self.score:.1f} %")
        if self.reasons and self.unexplained:
            n = len(self.unexplained)
            lines.append(f"{n} survivors have no reason" if n > 1 else "1 survivor has no reason")
        return "\n".join(lines)

    def _survivor(self, r: Result) -> list[str]:
        before, after = shortened(r.before, r.after)
        lines = [f"  {r.file}:{r.line}  {r.owner}, {r.kind}", f"    {before}", f"    {after}"]
        why = self.reasons.get(r.key)
        return [*lines, f"    why: {why}"] if why else lines

    def save(self, path: Path) -> None:
        """All of it as JSON."""
        tables = {
            field: {k: {"caught": c, "damages": n} for k, (c, n) in self.by(field).items()}
            for field in ("owner", "kind")
        }
        survivors = [asdict(r) | {"why": self.reasons.get(r.key, "")} for r in self.survivors]
        content = {
            "score": round(self.score, 2),
            "damages": len(self.results),
            "caught": len(self.results) - len(self.survivors),
            "caught_by": dict(Counter(r.caught_by for r in self.results if r.caught_by)),
            **tables,
            "survivors": survivors,
        }
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_reasons(path: Path) -> dict[tuple, str]:
    """The reasons in a JSON list of {owner, before, after, why}; RuntimeError if it is not one."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return {(row["owner"], row["before"], row["after"]): row["why"] for row in rows}
    except (ValueError, TypeError, KeyError) as error:
        expected = "a JSON list of {owner, before, after, why}"
        raise RuntimeError(f"{path}: expected {expected}, but {error!r}") from error


def _table(title: str, rows: dict[str, tuple[int, int]]) -> list[str]:
    width = max(map(len, [title, *rows]))
    lines = [f"{title:{width}}  damages  caught"]
    for name, (caught, n) in sorted(rows.items()):
        lines.append(f"{name:{width}}  {n:7d}  {caught:6d}  {_percent(caught, n):5.1f} %")
    return lines


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole


def shortened(before: str, after: str, length: int = 90) -> tuple[str, str]:
    """Two long lines, cut to where they differ."""
    if max(len(before), len(after)) <= length:
        return before, after
    same = next(
        (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), len(before)
    )
    start = max(0, same - length // 3)
    return tuple(
        ("... " if start else "")
        + text[start : start + length]
        + (" ..." if len(text) > start + length else "")
        for text in (before, after)
    )
