"""minidl's CUDA sources, compiled by g++ and run on the CPU.

`RawModule` has the interface of CuPy's. `with shim.device():` makes "cuda" the stand-in's arrays
with this RawModule, so that minidl's ops run their CUDA kernels in this process. At every launch

- the types of the arguments are compared with those of the C++ function;
- every array is copied to a place with zones around it, which must be as before afterwards, and
  arrays of constants must be too;
- the kernel runs in three orders of its threads (`orders`), with different numbers in the zones:
  if the results differ, a barrier is missing, threads race, or something outside was read;
- in the last of them every access to memory is looked at: races and accesses out of bounds are
  found where they do not show in the result, like `x[i] += 1` by two threads.

How threads and shared memory are imitated stands in `runtime.cpp`.
"""

from __future__ import annotations

import ctypes
import dataclasses
import fcntl
import hashlib
import importlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from minidl.device import register
from minidl.testing import standin_module
from minidl.testing.standin import current, ndarray

HEADER = Path(__file__).with_name("cuda_on_cpu.h")
RUNTIME = HEADER.with_name("runtime.cpp")
FLAGS = "-O1 -fPIC -fvisibility=hidden -fno-strict-aliasing -ffp-contract=off -w".split()
FLAGS.append("-U_FORTIFY_SOURCE")  # its longjmp refuses to go to another stack
CACHE = Path(tempfile.gettempdir()) / f"minidl-shim-{os.getuid()}"

FORWARD, REVERSE, SHUFFLED = ORDERS = (0, 1, 2)
orders: Sequence[int] = ORDERS  # those that every launch runs in
launched: set[tuple[str, str]] = set()  # (source code, instance) of every launch so far

tracking = True  # whether the last of the orders looks for races, and reads out of bounds

last_only = False  # whether a launch runs its last block only, on the arrays themselves, unwatched

ZONE = 4096  # bytes around each array
FILLS = {FORWARD: 0xFF, REVERSE: 0x7B, SHUFFLED: 0x11}  # nan, and finite numbers


class KernelError(Exception):
    """A kernel did what it must not do."""


def compiler() -> str | None:
    return shutil.which("g++")


# ------------------------------------------------------------------------------------- compiling

_SHARED = re.compile(r"(extern\s+)?__shared__\s+([\w ]+?)\s+(\w+)\s*((?:\[[^\]]*\])*)\s*;")


def as_cpp(code: str, names: Sequence[str]) -> str:
    """The source as g++ takes it: shared memory comes from the header, instances in a table."""

    def shared(found: re.Match) -> str:
        outside, kind, name, sizes = found.groups()
        if outside:
            return f"{kind}* {name} = ({kind}*)shim::dynamic_shared();"
        key = "[]() -> const void* { static char key; return &key; }"
        return f"auto& {name} = shim::shared<{kind}{sizes}>({key});"

    table = "\n".join(f"  shim::instance(&{name})," for name in names)
    return f"""#include "{HEADER.name}"
#line 1 "kernels.cu"
{_SHARED.sub(shared, code)}
#line 1 "instances"
const shim::Instance instances[] = {{
{table}
}};
"""


@contextmanager
def only_here(key: str) -> Iterator[None]:
    """Other processes that run the tests wait until this one is through."""
    CACHE.mkdir(exist_ok=True)
    with open(CACHE / f"{key}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def gxx(made: Path, *arguments: str) -> Path:
    """Runs the compiler; writes aside first, so that what is there is whole."""
    unfinished = made.with_suffix(".part")
    command = ["g++", *arguments, "-o", str(unfinished)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise KernelError(f"g++ refuses the source:\n{done.stderr}")
    return unfinished.rename(made)


def digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def runtime() -> Path:
    """The compiled runtime.cpp, which every library gets."""
    key = digest(RUNTIME.read_text(), HEADER.read_text(), *FLAGS)
    made = CACHE / f"{key}.o"
    with only_here(key):
        return made if made.exists() else gxx(made, *FLAGS, "-std=c++17", "-c", str(RUNTIME))


def build(code: str, names: Sequence[str], options: Sequence[str]) -> Path:
    """The shared library of a source: one for each content, kept between runs."""
    threads, text = runtime(), as_cpp(code, names)
    key = digest(threads.name, text, *options)
    library, source = CACHE / f"{key}.so", CACHE / f"{key}.cpp"
    with only_here(key):
        if not library.exists():
            source.write_text(text)
            flags = *FLAGS, *options, "-fsanitize=thread", f"-I{HEADER.parent}"
            kernels = gxx(library.with_suffix(".o"), *flags, "-c", str(source))
            gxx(library, "-shared", str(kernels), str(threads))
    return library


# ------------------------------------------------------------------------------------- launching


class RawModule:
    """cupy.RawModule(code=, options=, name_expressions=)."""

    def __init__(
        self, *, code: str, options: tuple[str, ...] = (), name_expressions: Sequence[str] = ()
    ):
        self.code, self.options, self.names = code, options, tuple(name_expressions)

    @property
    def library(self) -> ctypes.CDLL:
        if "_library" not in vars(self):
            self._library = ctypes.CDLL(str(build(self.code, self.names, self.options)))
            for function in (self._library.shim_signature, self._library.shim_launch):
                function.restype = ctypes.c_char_p
        return self._library

    def get_function(self, name: str) -> Callable:
        return Function(self, name)


class Function:
    """What RawModule.get_function returns: function(grid, block, args, shared_mem=0)."""

    def __init__(self, module: RawModule, name: str):
        self.module, self.name = module, name
        self.index = module.names.index(name)
        signature = module.library.shim_signature(self.index).decode()
        self.signature = signature.split(", ")

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple, *, shared_mem: int = 0
    ) -> None:
        launched.add((self.module.code, self.name))
        grid = tuple(max(1, n) for n in (*grid, 1, 1)[:3])
        block = tuple(max(1, n) for n in (*block, 1, 1)[:3])
        self._check_sizes(grid, block, shared_mem)
        if len(args) != len(self.signature):
            raise KernelError(
                f"{self.name}: takes {len(self.signature)} arguments ({', '.join(self.signature)}),"
                f" got {len(args)}."
            )
        values = [self._checked(i, a) for i, a in enumerate(args)]
        if last_only:
            given = [np.array(v.ctypes.data if v.__class__ is np.ndarray else v) for v in values]
            pointers = (ctypes.c_void_p * len(given))(*[v.ctypes.data for v in given])
            self._run(grid, block, pointers, shared_mem, FORWARD, False)
            return
        found = []
        for order in orders:
            memory = Memory(values, FILLS[order])
            tracked = tracking and order == orders[-1]
            if tracked:
                memory.track(self.module.library)
            arguments = memory.arguments(values)
            atomics = self._run(grid, block, arguments, shared_mem, order, tracked)
            memory.check(self.name, values, self.signature)
            found.append(memory.views(values))
        self._compare(found, atomics)
        memory.write_back()

    def _check_sizes(self, grid: tuple, block: tuple, shared: int) -> None:
        threads = block[0] * block[1] * block[2]
        if threads > 1024 or block[2] > 64:
            raise KernelError(f"{self.name}: a block has at most 1024 threads, not {block}.")
        if grid[0] >= 2**31 or max(grid[1:]) > 65535:
            raise KernelError(f"{self.name}: a grid has at most (2^31, 65535, 65535), not {grid}.")
        if shared > 48 * 1024:
            raise KernelError(f"{self.name}: {shared} bytes of shared memory; 48 KB is the limit.")

    def _checked(self, i: int, value: Any) -> Any:
        """The NumPy array or scalar that CuPy would pass for this argument."""
        wanted = self.signature[i]
        if value.__class__ is int:
            value = np.int64(value)
        elif value.__class__ is float:
            value = np.float64(value)
        elif value.__class__ is bool:
            value = np.int64(value)  # a bool is an int, for CuPy too
        if isinstance(value, ndarray):
            if value._device != current.device:
                raise KernelError(
                    f"{self.name}: argument {i} is on cuda:{value._device}, the launch on "
                    f"cuda:{current.device}."
                )
            came = value.dtype.str[1:] + "*"
        elif isinstance(value, np.generic):
            came = value.dtype.str[1:]
            if wanted.endswith("*") and value.dtype.itemsize == 8 and value == 0:
                return value  # a null pointer
        else:
            raise TypeError(f"{self.name}: argument {i}: Unsupported type {type(value)}")
        if came != wanted.removeprefix("const "):
            raise KernelError(f"{self.name}: argument {i} is '{wanted}', '{came}' came.")
        return value._host if isinstance(value, ndarray) else value

    def _run(
        self, grid: tuple, block: tuple, args: Any, shared: int, order: int, tracked: bool
    ) -> bool:
        atomics, three = ctypes.c_int(), ctypes.c_uint * 3
        failure = self.module.library.shim_launch(
            self.index, three(*grid), three(*block), args, ctypes.c_size_t(shared), order,
            tracked, last_only, ctypes.byref(atomics),
        )  # fmt: skip
        if failure:
            raise KernelError(f"{self.name}: {failure.decode()}.")
        return bool(atomics.value)

    def _compare(self, found: list[dict[int, np.ndarray]], atomics: bool) -> None:
        for other in found[1:]:
            for i, a in found[0].items():
                same = a.tobytes() == other[i].tobytes()
                if not same and atomics:  # a sum in another order
                    same = np.allclose(a, other[i], 1e-4, 1e-5, equal_nan=True)
                if not same:
                    raise KernelError(
                        f"{self.name}: argument {i} depends on the order of the threads: a barrier "
                        "is missing, threads race, or something outside of an array was read."
                    )


class Memory:
    """Copies of the arrays of a launch, with zones around them. Arrays that overlap share one."""

    def __init__(self, values: list, fill: int):
        self.fill = fill
        arrays = [v for v in values if isinstance(v, np.ndarray) and v.size]
        spans = sorted(np.lib.array_utils.byte_bounds(a) for a in arrays)
        self.spans: list[list[int]] = []
        for low, high in spans:
            if self.spans and low < self.spans[-1][1]:
                self.spans[-1][1] = max(high, self.spans[-1][1])
            else:
                self.spans.append([low, high])
        starts, end = [], ZONE
        for low, high in self.spans:
            starts.append(end)
            end += (high - low + 255) // 256 * 256 + ZONE
        whole = np.full(end + 256, fill, np.uint8)
        self.whole = whole[-whole.ctypes.data % 256 :][:end]  # as aligned as CUDA's memory
        self.starts = starts
        for (low, high), start in zip(self.spans, starts, strict=True):
            ctypes.memmove(self.whole.ctypes.data + start, low, high - low)

    def ends(self) -> list[int]:
        return [s + high - low for s, (low, high) in zip(self.starts, self.spans, strict=True)]

    def track(self, library: ctypes.CDLL) -> None:
        spans = [n for pair in zip(self.starts, self.ends(), strict=True) for n in pair]
        library.shim_track(
            ctypes.c_void_p(self.whole.ctypes.data), ctypes.c_size_t(self.whole.size),
            (ctypes.c_size_t * len(spans))(*spans), len(self.spans),
        )  # fmt: skip

    def _place(self, address: int) -> tuple[int, int]:
        """Which span an address is in, and where that is in the copy."""
        for i, (low, high) in enumerate(self.spans):
            if low <= address < high:
                return i, self.starts[i] + address - low
        raise KeyError(address)

    def arguments(self, values: list) -> Any:
        """An array of pointers to the arguments, as cuLaunchKernel takes it."""
        self.kept = []
        for v in values:
            if isinstance(v, np.ndarray):
                address = 0
                if v.size:
                    address = self.whole.ctypes.data + self._place(v.ctypes.data)[1]
                v = np.uint64(address)
            self.kept.append(np.array(v))
        return (ctypes.c_void_p * len(values))(*[k.ctypes.data for k in self.kept])

    def views(self, values: list) -> dict[int, np.ndarray]:
        """The arrays among the arguments, as they are now."""
        found = {}
        for number, v in enumerate(values):
            if isinstance(v, np.ndarray) and v.size:
                offset = self._place(v.ctypes.data)[1]
                found[number] = np.ndarray(v.shape, v.dtype, self.whole, offset, v.strides)
        return found

    def check(self, name: str, values: list, signature: list[str]) -> None:
        """Raises KernelError if something was written that must not be."""
        self.written = set()
        for v, wanted in zip(values, signature, strict=True):
            if isinstance(v, np.ndarray) and v.size and not wanted.startswith("const "):
                self.written.add(self._place(v.ctypes.data)[0])
        before = 0
        for i, (start, end) in enumerate(zip(self.starts, self.ends(), strict=True)):
            if (self.whole[before:start] != self.fill).any():
                raise KernelError(f"{name}: a write out of the bounds of an array.")
            low, high = self.spans[i]
            now = self.whole[start:end].tobytes()
            if i not in self.written and now != ctypes.string_at(low, high - low):
                raise KernelError(f"{name}: an array of constants was written to.")
            before = end
        if (self.whole[before:] != self.fill).any():
            raise KernelError(f"{name}: a write out of the bounds of an array.")

    def write_back(self) -> None:
        for i in self.written:
            low, high = self.spans[i]
            ctypes.memmove(low, self.whole.ctypes.data + self.starts[i], high - low)


# ------------------------------------------------------------------------------------ the device


class _Module(ModuleType):
    def __getattr__(self, name: str) -> Any:
        return getattr(standin_module.MODULE, name)


@cache
def module() -> ModuleType:
    """The stand-in's functions, and RawModule."""
    made = _Module("shim")
    made.RawModule = RawModule  # type: ignore[attr-defined]
    return made


@contextmanager
def device(*, in_orders: Sequence[int] = ORDERS) -> Iterator[str]:
    """Within, "cuda" is the stand-in with kernels."""
    global orders
    seam = importlib.import_module("minidl.device")  # `minidl.device` itself is the class
    before = dict(seam._by_type), dict(seam._by_class), orders
    register(dataclasses.replace(standin_module.backend(), module=module()))
    orders = in_orders
    try:
        yield "cuda"
    finally:
        for table, entries in zip((seam._by_type, seam._by_class), before[:2], strict=True):
            table.clear()
            table.update(entries)
        orders = before[2]
