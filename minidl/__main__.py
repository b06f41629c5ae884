"""The command line: `minidl <verb>`, which is `python -m minidl <verb>`."""

import argparse
import ctypes
import logging
import os
import platform
import sys
from importlib import metadata, util
from pathlib import Path

from . import __version__

WELCOME = """\
What now?

  python -m minidl doctor          what is installed, what is missing, what to do about it
  python -m minidl doctor --lines  count the lines of the core
  python -m minidl run train.py    run a file written for PyTorch
  python -m minidl warmup          compile the CPU kernels now, not when they are first used

In a clone of the source:
  python examples/hello_tensor.py  the first thing to read and run
  python -m papers                 the papers; `python -m papers alexnet` runs one
  pytest                           the tests"""

# What a reader has to read to understand the engine: the promise is a weekend.
WEEKEND = (
    "scalar.py",
    "dtypes.py",
    "device.py",
    "tape.py",
    "tensor.py",
    "ops/elementwise.py",
    "ops/compare.py",
    "ops/reduce.py",
    "ops/shape.py",
)
MOST_LINES = 3000


def main(arguments: list[str] | None = None) -> int:
    """Run one verb. Returns 0, or 1 when what was checked is not so; wrong usage exits with 2."""
    parser = argparse.ArgumentParser(
        prog="minidl", description="A deep-learning framework you can read in a weekend."
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    text = "show what is installed, what is missing and what to do about it"
    doctor = verbs.add_parser("doctor", help=text, description=text)
    doctor.add_argument(
        "--lines",
        action="store_true",
        help=f"count the lines of the core instead; fail above {MOST_LINES}",
    )
    text = "run a Python file written for PyTorch: `import torch` gives minidl"
    runs = verbs.add_parser("run", help=text, description=text)
    runs.add_argument("script", help="the file")
    runs.add_argument("arguments", nargs=argparse.REMAINDER, help="what the file is given")
    text = "compile all CPU kernels now, so that no later run waits for it"
    verbs.add_parser("warmup", help=text, description=text)
    options = parser.parse_args(arguments)
    if options.verb is None:
        print(WELCOME)
        return 0
    if options.verb == "warmup":
        return warm_up()
    if options.verb == "run":
        return run_script(options.script, options.arguments)
    return count_lines() if options.lines else examine()


def run_script(script: str, arguments: list[str]) -> int:
    """Run a file written for PyTorch; 2 if it is not there."""
    from .run import run

    try:
        run(script, arguments)
    except FileNotFoundError as error:
        if error.filename is not None:
            raise  # the script's own
        print(error, file=sys.stderr)
        return 2
    return 0


def warm_up() -> int:
    """Compile every kernel, with a progress bar; 1 if Numba is not there."""
    if util.find_spec("numba") is None:
        print("numba is missing: pip install numba", file=sys.stderr)
        return 1
    from .kernels.cpu import FOLDER
    from .warmup import steps

    logging.getLogger("minidl").setLevel(logging.ERROR)  # it would say the same again
    print(f"compiled kernels are kept in {FOLDER}")
    todo = list(steps())
    if util.find_spec("tqdm") is None:
        for i, (name, run) in enumerate(todo):
            print(f"{i + 1} of {len(todo)}: {name}", flush=True)
            run()
        return 0
    from tqdm import tqdm

    with tqdm(todo, unit="step") as bar:
        for name, run in bar:
            bar.set_description(name)
            run()
    return 0


def count_lines() -> int:
    """Print the length of each file of the core; 1 if they are longer than promised."""
    folder = Path(__file__).parent
    total = 0
    for name in WEEKEND:
        lines = len((folder / name).read_text(encoding="utf-8").splitlines())
        total += lines
        print(f"{lines:6d}  minidl/{name}")
    print(f"{total:6d}  together; the promise is at most {MOST_LINES}")
    return int(total > MOST_LINES)


def examine() -> int:
    """Print one line for each thing that minidl uses, with the remedy where one is missing."""
    rows = [
        ("minidl", f"{__version__}  in {Path(__file__).parent}"),
        ("python", f"{platform.python_version()}  {system()}"),
        ("numpy", blas()),
        ("scipy", version("scipy") or "missing: pip install scipy"),
        ("numba", numba()),
        ("cupy", cupy()),
        ("driver", driver()),
        ("gpu", gpus()),
        *data(),
        ("caches", caches()),
    ]
    for name, state in rows:
        print(f"{name:8}  {state}")
    return 0


def version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def system() -> str:
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def blas() -> str:
    """NumPy's version, and the library that multiplies its matrices."""
    import numpy as np

    built = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    text = f"{np.__version__}  {built['name']} {built['version']}"
    if util.find_spec("threadpoolctl") is None:
        return text + " (number of threads: pip install threadpoolctl)"
    from threadpoolctl import threadpool_info

    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return text + "".join(f", {pool['num_threads']} threads" for pool in pools[:1])


def numba() -> str:
    from . import kernels

    found = version("numba")
    if found is None:
        return "missing: pip install numba (without it every op runs from its definition, slower)"
    if not kernels.enabled():
        return f"{found}  kernels off: unset MINIDL_KERNELS"
    from .kernels.cpu import malloc, threads

    pool = f"{threads.count()} threads of {threads.layer()}"
    memory = "kept" if malloc.kept else "given back (no glibc, or MINIDL_MALLOC=off)"
    return f"{found}  kernels on, for {len(kernels.CPU)} ops; {pool}; freed memory is {memory}"


def cupy() -> str:
    """CuPy's version, or which extra to install: that of the CUDA version that the driver knows."""
    names = [d.metadata["Name"] or "" for d in metadata.distributions()]
    found = sorted({n for n in names if n == "cupy" or n.startswith(("cupy-cuda", "cupy-rocm"))})
    if not found:
        extra = "cuda13" if driver_version() >= 13000 else "cuda12"
        return f"missing, needed for device='cuda' only: pip install 'minidl[{extra}]'"
    text = ", ".join(f"{version(name)} ({name})" for name in found)
    if len(found) > 1:
        return f"{text}: they overwrite each other; uninstall all but one"
    if os.environ.get("MINIDL_CUDA") == "standin":
        return f"{text}, not used: MINIDL_CUDA=standin chooses a stand-in without a GPU"
    return text


def driver() -> str:
    """Which CUDA version NVIDIA's driver knows."""
    known = driver_version()
    if known == 0:
        where = "https://www.nvidia.com/drivers"
        return f"missing, needed for device='cuda' only: install NVIDIA's, {where}"
    text = f"knows CUDA {known // 1000}.{known % 1000 // 10}"
    return text if known >= 12000 else f"{text}: too old for CuPy, which needs 12.0; update it"


def driver_version() -> int:
    """1000 * major + 10 * minor of the newest CUDA that the driver knows; 0 if there is none."""
    name = "nvcuda.dll" if os.name == "nt" else "libcuda.so.1"
    found = ctypes.c_int(0)
    try:
        ctypes.CDLL(name).cuDriverGetVersion(ctypes.byref(found))
    except (OSError, AttributeError):
        return 0
    return found.value


def gpus() -> str:
    """The GPUs as `minidl.device` finds them, or why it finds none."""
    from . import cuda
    from .device import backend
    from .errors import DeviceError

    try:
        count = backend("cuda").count()
    except (DeviceError, ValueError) as error:  # ValueError: MINIDL_CUDA
        return f"none. {error}"
    return ", ".join(f"cuda:{i} {cuda.get_device_name(i)}" for i in range(count))


def data() -> list[tuple[str, str]]:
    """The data folder, and where each data set is or would come from."""
    from .datasets.catalog import SETS
    from .datasets.files import data_folder, locate
    from .datasets.packaged import package_folder

    origin = "from MINIDL_DATA" if os.environ.get("MINIDL_DATA") else "MINIDL_DATA chooses another"
    rows = [("data", f"{data_folder()}  ({origin})")]
    for entry in SETS.values():
        if entry.package:
            state = (
                f"inside {entry.distribution}"
                if package_folder(entry.package)
                else f"missing: pip install {entry.distribution}"
            )
        elif all(locate(data_folder() / entry.folder, file) for file in entry.files):
            state = "in the data folder"
        elif any(file.urls for file in entry.files):
            state = "not yet here: downloaded at first use"
        else:
            state = f"not here and not public: put it into {entry.folder}/ of the data folder"
        rows.append(("", f"{entry.name:13}  {state}"))
    return rows


def caches() -> str:
    """Where compiled kernels are kept."""
    if util.find_spec("numba") is None:
        return "no compiled kernels without numba"
    from .kernels.cpu import FOLDER

    return f"compiled kernels: {FOLDER} (may be deleted at any time)"


if __name__ == "__main__":
    sys.exit(main())
