"""`python -m papers report`: one static page of all papers, from their `metrics.json` alone."""

import html
import importlib
import re
import subprocess
from pathlib import Path
from string import Template

from . import _record

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>minidl: the papers, measured again</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem;
         color: #1b1b1b; background: #fff }
  section { border-top: 1px solid #bbb; margin-top: 2.5rem }
  h2 { margin-bottom: 0 } .claim { font-style: italic; margin-top: .2rem }
  img { max-width: 100%; height: auto }
  .scroll { overflow-x: auto } table { border-collapse: collapse; font-size: 90% }
  th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #ddd;
           vertical-align: top; font-variant-numeric: tabular-nums }
  .yes { color: #00563b; font-weight: 600 } .no { color: #a33800; font-weight: 600 }
  .open, .about { color: #555 } code { background: #f2f2f2; padding: .1rem .3rem }
</style>
<h1>The papers, measured again</h1>
<p>$summary</p>
$sections
</html>
""")
VERDICTS = {
    True: '<td class="yes">holds</td>',
    False: '<td class="no">does not hold</td>',
    None: '<td class="open">reported, not judged</td>',
}
STALE = '<td class="open">not measured at this commit</td>'


def write(papers: dict[str, object], folder: Path) -> Path:
    """Write `index.html` into the folder of the runs. papers: name -> `_lab.Paper`, in order."""
    records, unreadable = runs(folder)
    sections, judged = [], []
    for name, about in papers.items():
        record = records.get(folder / name, {})
        record = record if _record.is_default(record, name) else {}
        others = {
            place: other
            for place, other in records.items()
            if other["paper"] == name and other is not record and other["size"] != "smoke"
        }
        fresh = bool(record) and measured_at_this_commit(name, record)
        judged += [c["holds"] for c in record.get("claims", []) if fresh]
        sections.append(section(name, about, record, fresh, others, folder))
    held, failed = judged.count(True), judged.count(False)
    if unreadable:
        lines = "".join(f'<p class="about">{html.escape(why)}</p>' for why in unreadable)
        sections.append(f"<section>\n<h2>Not readable</h2>\n{lines}\n</section>")
    summary = f"{held} claims hold, {failed} do not, {judged.count(None)} are reported, not judged."
    folder.mkdir(parents=True, exist_ok=True)
    with _record.replacing(folder / "index.html") as path:
        path.write_text(PAGE.substitute(summary=summary, sections="\n".join(sections)))
    return folder / "index.html"


def runs(folder: Path) -> tuple[dict[Path, dict], list[str]]:
    """The record of every run in this folder and in `verify` below it; why not of others."""
    records, unreadable = {}, []
    for path in sorted([*folder.glob("*/metrics.json"), *folder.glob("verify/*/metrics.json")]):
        try:
            records[path.parent] = _record.read(path.parent)
        except _record.Misuse as error:
            unreadable.append(str(error))
    return records, unreadable


def measured_at_this_commit(name: str, record: dict) -> bool:
    """Whether the paper's file, what it shares and minidl are what they were when it ran."""
    if not record["commit"] or record["dirty"]:
        return False
    command = ["git", "-C", str(Path(__file__).parent), "diff", "--quiet", record["commit"], "--"]
    command += [f"{name}.py", "_*.py", "../minidl"]
    return subprocess.run(command, capture_output=True).returncode == 0


def section(
    name: str, about: object, record: dict, fresh: bool, others: dict[Path, dict], folder: Path
) -> str:
    """What the page says of one paper: its last default run, and in a line each of the others."""
    parts = [
        f'<section id="{name}">',
        f"<h2>{about.year}. {html.escape(about.title)}</h2>",
        f'<p class="claim">{html.escape(about.claim)}</p>',
    ]
    if not record:
        minutes = f"about {about.minutes:g} minutes on 2 cores"
        parts.append(f"<p>Not measured yet: <code>python -m papers {name}</code>, {minutes}.</p>")
    else:
        parts.append(claims_table(record["claims"], fresh))
        for picture in record["pictures"]:
            picture = html.escape(picture)
            alt = f"{name}: what the run measured ({picture})"
            parts.append(f'<p><img src="{name}/{picture}" alt="{alt}"></p>')
        parts.append(f'<p class="about">{origin(name, record)}</p>')
        parts.append(f'<p class="about">{html.escape(simplified(name))}</p>')
    for place, other in others.items():
        which = f"{place.relative_to(folder)} ({other['size']}, seed {other['config']['seed']})"
        text = html.escape(f"{which}: {_record.one_line(other)}")
        parts.append(f'<p class="about">{text}</p>')
    return "\n".join([*parts, "</section>"])


def simplified(name: str) -> str:
    """What the header of the paper's file says that it simplifies."""
    header = importlib.import_module(f"{__package__}.{name}").__doc__ or ""
    found = re.search(r"^Simplified +(.*?)(?=^\S|\Z)", header, flags=re.MULTILINE | re.DOTALL)
    return "Simplified: " + " ".join(found[1].split()) if found else ""


def claims_table(claims: list[dict], fresh: bool) -> str:
    """claim, measured, threshold, verdict, what the paper says"""
    titles = ("claim", "metric", "measured", "threshold", "verdict", "the paper says")
    rows = ["<tr>" + "".join(f"<th>{title}</th>" for title in titles) + "</tr>"]
    for claim in claims:
        said = claim["paper"]
        paper = (
            "" if said["value"] is None else f"{said['value']} ({said['where']}, {said['scale']})"
        )
        texts = (claim["text"], claim["metric"], _record.measured(claim), claim["threshold"])
        cells = [f"<td>{html.escape(text)}</td>" for text in texts]
        cells += [VERDICTS[claim["holds"]] if fresh else STALE, f"<td>{html.escape(paper)}</td>"]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return '<div class="scroll"><table>\n' + "\n".join(rows) + "\n</table></div>"


def origin(name: str, record: dict) -> str:
    """Data, time, commit, machine, size of the full model."""
    data = record["data"]
    built = record["params"]["built"]
    facts = [
        f"{record['state']} on {record['date']} after {record['minutes']:.1f} minutes",
        f"data: {data['name']} ({'real' if data['real'] else 'made'})",
        f"seed {record['config']['seed']}",
        f"commit {record['commit'] or 'unknown'}{' with changes' if record['dirty'] else ''}",
        record["machine"],
    ]
    if built is not None:
        published = record["params"]["published"]
        facts.append(f"full-size model: {built:,} parameters ({published:,} expected)")
    return html.escape("; ".join(facts)) + f"; <code>python -m papers {name}</code>"
