"""NVIDIA's compiler as a library, from PyPI's wheel: neither a GPU, a driver nor CuPy is needed.

https://docs.nvidia.com/cuda/nvrtc/index.html
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Sequence
from ctypes import byref, c_char_p, c_size_t, c_void_p
from functools import cache
from pathlib import Path

ARCHITECTURES = (70, 80, 90, 100, 120)  # Volta, Ampere, Hopper, and the two Blackwells

# What it says about every source for sm_70; no option turns it off.
OLD = "nvrtc: warning: Architectures prior to"


class CompileError(Exception):
    """The compiler's log."""


@cache
def library() -> ctypes.CDLL | None:
    """The compiler, or None if the wheel is not installed."""
    spec = importlib.util.find_spec("nvidia")
    for folder in spec.submodule_search_locations or () if spec else ():
        for path in sorted(Path(folder).glob("cuda_nvrtc/lib/libnvrtc.so*")):
            found = ctypes.CDLL(str(path))
            found.nvrtcGetErrorString.restype = c_char_p
            return found
    return None


def compiled(code: str, names: Sequence[str], arch: int, options: Sequence[str]) -> tuple:
    """(log, machine code) of a source with these instances of its templates, for sm_`arch`.

    Raises CompileError with the log if it does not compile, or has no such instance.
    """
    nvrtc, program = library(), c_void_p()

    def call(name: str, *args: object) -> None:
        status = getattr(nvrtc, name)(*args)
        if status:
            raise CompileError(f"{name}: {nvrtc.nvrtcGetErrorString(status).decode()}\n{log()}")

    def log() -> str:
        size = c_size_t()
        nvrtc.nvrtcGetProgramLogSize(program, byref(size))
        text = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, text)
        lines = text.value.decode().splitlines()
        return "\n".join(line for line in lines if not line.startswith(OLD))

    call("nvrtcCreateProgram", byref(program), code.encode(), b"kernels.cu", 0, None, None)
    try:
        for name in names:
            call("nvrtcAddNameExpression", program, name.encode())
        given = [f"-arch=sm_{arch}".encode(), *[o.encode() for o in options]]
        call("nvrtcCompileProgram", program, len(given), (c_char_p * len(given))(*given))
        for name in names:
            call("nvrtcGetLoweredName", program, name.encode(), byref(c_char_p()))
        size = c_size_t()
        call("nvrtcGetCUBINSize", program, byref(size))
        cubin = ctypes.create_string_buffer(size.value)
        call("nvrtcGetCUBIN", program, cubin)
        return log(), cubin.raw
    finally:
        nvrtc.nvrtcDestroyProgram(byref(program))
