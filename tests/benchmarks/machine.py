"""What the numbers were measured on: processor, versions, and the kernels of the BLAS."""

from __future__ import annotations

import ctypes
import os
import platform
import re
from pathlib import Path
from typing import Any


def processor() -> str:
    """The processor's name, where the system tells it (Linux)."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    widest = next((name for name in ("avx512f", "avx2", "avx") if name in flags), "")
    return " ".join(filter(None, [names[0] if names else platform.machine(), widest]))


def about(library: Any) -> dict[str, str]:
    """Version and matrix products of one contender, asked in its own process."""
    name = library.__name__
    found = {"python": platform.python_version(), name: library.__version__}
    if name == "torch":
        found["blas"] = torch_blas(library)
    else:
        found["numpy"] = versioned("numpy")
        if name == "minidl":
            found["numba"] = versioned("numba")
            found["blas"] = numpy_blas()
    return found


def versioned(name: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def torch_blas(torch: Any) -> str:
    """PyTorch's BLAS, and the vector instructions it uses on this processor."""
    blas = re.search(r"BLAS_INFO=(\w+)", torch.__config__.show())
    return f"{blas[1] if blas else 'unknown'}, {torch.backends.cpu.get_cpu_capability()}"


def numpy_blas() -> str:
    """NumPy's BLAS, with the kernels that OpenBLAS chose for this processor."""
    import numpy as np

    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    kernels = openblas_kernels(Path(np.__file__).parent.with_name("numpy.libs"))
    return f"{blas['name']} {blas['version']}, {kernels} kernels"


def openblas_kernels(folder: Path) -> str:
    """`OPENBLAS_CORETYPE` as OpenBLAS settled it, read from the library that NumPy has loaded."""
    for path in folder.glob("*openblas*"):
        library = ctypes.CDLL(str(path))
        for symbol in ("scipy_openblas_get_corename64_", "openblas_get_corename64_"):
            if hasattr(library, symbol):
                corename = getattr(library, symbol)
                corename.restype = ctypes.c_char_p
                return corename().decode()
    return "unknown"


def describe(threads: int, env: dict[str, str]) -> dict[str, Any]:
    """The machine, and the settings of OpenBLAS that the contenders ran under."""
    settings = {k: v for k, v in env.items() if k.startswith("OPENBLAS_")}
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "system": f"{platform.system()} {platform.release()}",
        "openblas": settings,
    }
