"""Every example has the house's form, runs, and prints what its docstring says."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from printed import differences, errors_in

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PARTS = ["Idea", "Run", "You will see", "Try", "Next"]


def parts(path):
    """The docstring as {part: text}; continued lines and the block below a heading included."""
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    pieces = re.split(rf"^({'|'.join(PARTS)})\b", docstring, flags=re.MULTILINE)
    return {"title": pieces[0].strip()} | dict(zip(pieces[1::2], pieces[2::2], strict=True))


def run(path, *arguments, **variables):
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    command = [sys.executable, path, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_there_are_examples():
    assert len(EXAMPLES) >= 3


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_form(path):
    said = parts(path)
    assert list(said) == ["title", *PARTS]
    assert all(text.strip() for text in said.values())
    assert re.match(rf"\s+python examples/{path.name} +\(\d+ s(; [^)]+)?\)\n", said["Run"])
    assert len(path.read_text().splitlines()) <= 120
    for name in re.findall(r"[\w/.]+\.(?:py|md)", said["Next"]):
        assert (ROOT / name).exists() or (path.parent / name).exists()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_prints_what_it_says(path):
    done = run(path)
    assert done.returncode == 0, done.stderr
    assert errors_in(done.stderr) == ""
    assert differences(parts(path)["You will see"], done.stdout) == []


@pytest.mark.parametrize("name", ["hello_tensor.py", "train_digits.py"])
def test_on_another_device_it_prints_the_same(name):
    path = ROOT / "examples" / name
    done = run(path, "--device", "cuda", MINIDL_CUDA="standin")
    assert done.returncode == 0, done.stderr
    assert differences(parts(path)["You will see"], done.stdout) == []
