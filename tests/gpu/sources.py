"""The CUDA sources of minidl, and what a machine without their compilers skips."""

from __future__ import annotations

import importlib

import pytest

from minidl.kernels.cuda import FOLDER, Source
from tests.gpu import nvrtc, shim

FILES = sorted(path.stem for path in FOLDER.glob("*.cu"))

needs_nvrtc = pytest.mark.skipif(
    nvrtc.library() is None,
    reason="NVRTC is not installed: pip install nvidia-cuda-nvrtc-cu12 (x86-64 Linux)",
)
needs_gxx = pytest.mark.skipif(
    shim.compiler() is None, reason="g++ is not installed: apt install g++"
)


def source(file: str) -> Source:
    return importlib.import_module(f"minidl.kernels.cuda.{file}").SOURCE
