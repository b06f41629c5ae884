"""`python -m minidl run train.py`: a file written for PyTorch, run on minidl.

In this process `import torch` gives minidl, and `import torch.nn` gives `minidl.nn`: the same
modules under a second name. Nothing is written, and no other process is changed.
"""

from __future__ import annotations

import importlib
import importlib.util
import runpy
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

OTHER = "torch"

# PyTorch's modules whose contents are elsewhere here.
MOVED = {
    "nn.parameter": "nn",
    "nn.modules": "nn",
    "nn.modules.utils": "nn.ntuple",
    "optim.optimizer": "optim",
    "utils.data.dataset": "utils.data",
    "utils.data.dataloader": "utils.data",
    "utils.data.sampler": "utils.data",
    "autograd.variable": "autograd",
    "cuda.amp": "amp",
}


class _Same(Loader):
    """Loads a module by handing out the one that minidl has."""

    def __init__(self, module: ModuleType):
        self.module = module

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        self.spec = self.module.__spec__
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec  # the import system has just put the other name there


class Finder(MetaPathFinder):
    """Finds `torch` and what is below it in minidl."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != OTHER and not name.startswith(f"{OTHER}."):
            return None
        below = name.removeprefix(OTHER).removeprefix(".")
        everywhere = "nn" if below.startswith("nn.modules.") else below  # a file a kind of layer
        below = MOVED.get(below, everywhere)
        own = f"minidl.{below}".rstrip(".")
        try:
            module = importlib.import_module(own)
        except ModuleNotFoundError as error:
            if error.name is None or not own.startswith(error.name):
                raise  # something that minidl itself needs is missing
            raise ModuleNotFoundError(f"{name}: minidl has no module {own!r}", name=name) from None
        return ModuleSpec(name, _Same(module), is_package=True)


def run(script: str, arguments: Sequence[str]) -> None:
    """Runs a Python file as `python script arguments` would, with minidl in place of PyTorch."""
    path = Path(script)
    if not path.is_file():
        raise FileNotFoundError(f"run: there is no file {script}")
    if OTHER in sys.modules:
        raise RuntimeError(f"run: {OTHER} is already imported in this process")
    sys.meta_path.insert(0, Finder())
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(path.parent.resolve()))
    runpy.run_path(script, run_name="__main__")
