"""Small projects, in which pytest runs in a process of its own."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from printed import terminal

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "minidl/testing/entry_point"
PATH = f"{ROOT}{os.pathsep}{PLUGIN}"  # for a clone that is not installed


def run(folder, *arguments, **files):
    """Run pytest in a folder, after writing `name="source"` there as name.py."""
    for name, source in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(source))
    environment = terminal() | {"PYTHONPATH": PATH}
    command = [sys.executable, "-m", "pytest", "-p", "_minidl_pytest", "--rootdir", "."]
    command += ["-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
