"""minidl/testing/README.md is run: every file is written, every command run, every output
compared."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from printed import differences, terminal

from minidl import testing
from minidl.testing import OP_CHECKS, strategies

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "minidl" / "testing" / "README.md"
TEXT = PAGE.read_text()
BLOCKS = re.findall(r"^```(python|console)\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\w+\.py)(: \w+)?\n")


def test_the_page_is_true(tmp_path):
    """One test, because a page is read from top to bottom: later blocks use earlier files."""
    for kind, block in BLOCKS:
        (write if kind == "python" else compare)(tmp_path, block)


def write(folder, source):
    """`# name.py` begins a file; `# name.py: backward` gives another line to what stands there."""
    name, place = FILE.match(source).groups()
    file, source = folder / name, FILE.sub("", source, count=1)
    if place:
        lines = file.read_text().splitlines()
        start = next(i for i, line in enumerate(lines) if f"def {place[2:]}(" in line)
        where = next(i for i in range(start, len(lines)) if "return" in lines[i])
        lines[where] = source.rstrip()
        source = "\n".join(lines) + "\n"
    file.write_text(source)


def compare(folder, session):
    for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        line, _, output = part.partition("\n")
        assert differences(settled(output), settled(run(folder, line))) == []


def run(folder, line):
    words = shlex.split(line)
    if words[0] == "pytest":
        words = ["python", "-m", *words]
    assert words[0] == "python"
    # The plugin by name, for a clone that is not installed.
    path = f"{ROOT}{os.pathsep}{ROOT / 'minidl/testing/entry_point'}"
    environment = terminal() | {"PYTHONPATH": path, "PYTEST_PLUGINS": "_minidl_pytest"}
    done = subprocess.run(
        [sys.executable, *words[1:]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr
    return done.stdout


def settled(text):
    """Without what changes: the time in pytest's last line, and the place of the folder."""
    text = re.sub(r"\((?:[^()\s/]+/)+(\w+\.py:\d+)\)", r"(\1)", text.strip())
    return re.sub(r" in [\d.]+s$", "", text)


def test_each_check_is_explained():
    rows = re.findall(r"^\| (`[^|]*) \| ", TEXT, flags=re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    of_all_functions = {c.__name__ for c in OP_CHECKS} - ONLY_MINIDL
    assert of_all_functions <= named
    assert {
        n for n in strategies.__all__ if n.islower() and not n.startswith("invalid")
    } - INNER <= {
        *named,
        *re.findall(r"`(\w+)`", TEXT),
    }


ONLY_MINIDL = {"first_derivative_fused", "second_derivative_fused", "kernel"}
INNER = {"sides", "windows"}  # parts of the geometries


def test_names_on_the_page_exist():
    for name in re.findall(r"from minidl.testing import (.*)", TEXT):
        for part in name.split(", "):
            assert hasattr(testing, part) or part == "strategies", part


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert target.startswith("https://") or (PAGE.parent / target).exists(), target
