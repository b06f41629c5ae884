"""CUDA kernels: C++ sources, compiled by the array module of the arrays they are called with.

A family of kernels is two files of one name: `softmax.cu` holds the C++, `softmax.py` says which
instances of its templates there are, launches them, and offers them to the registry as `Kernel`s.
CuPy's RawModule compiles a whole file at its first launch (NVRTC, then a cache on disk), for the
device in use. Anything else with a RawModule will do: the tests run these sources on the CPU.

A GPU believes what it is told. Given a Python float for a `float` parameter it reads half of a
double; given a float64 array for a `float*`, or one with gaps, it reads wrong numbers. So `launch`
reads the parameters from the source, brings numbers to their types, and refuses other arrays.

https://docs.cupy.dev/en/stable/user_guide/kernel.html#raw-modules
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ... import dtypes
from ...device import Array, device_of, xp
from ...errors import DeviceError

FOLDER = Path(__file__).parent
OPTIONS = ("-std=c++17",)
THREADS = 256  # of a block whose threads do not work together

# The first two template arguments of most kernels: the type in which numbers are stored, and the
# one in which they are computed with.
TYPES = {
    dtypes.F32: "float, float",
    dtypes.F64: "double, double",
    np.dtype("float16"): "half_t, float",
}

_C_TYPES = {
    "bool": np.dtype("bool"),
    "unsigned char": np.dtype("uint8"),
    "int": np.dtype("int32"),
    "unsigned": np.dtype("uint32"),
    "long long": np.dtype("int64"),
    "unsigned long long": np.dtype("uint64"),
    "half_t": np.dtype("float16"),
    "float": dtypes.F32,
    "double": dtypes.F64,
}
_INCLUDE = re.compile(r'^#include "(\w+\.cuh)"$', re.MULTILINE)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_KERNEL = re.compile(
    r"(?:template\s*<([^>]*)>\s*)?__global__\s+void\s+(?:__launch_bounds__\(\w+\)\s+)?"
    r"(\w+)\s*\(([^)]*)\)"
)


class Parameter:
    """A kernel's parameter: `const float* x` is an array, `float x` a number."""

    __slots__ = ("dtype", "is_array", "name")

    def __init__(self, text: str, types: dict[str, str]):
        kind, self.name = text.replace("*", "* ").rsplit(maxsplit=1)
        self.is_array = "*" in kind
        kind = re.sub(r"\b(const|__restrict__)\b|\*", " ", kind)
        kind = " ".join(kind.split())
        self.dtype = _C_TYPES[types.get(kind, kind)]

    def argument(self, value: Any, kernel: str) -> Any:
        """`value` as the kernel must get it; raises TypeError or ValueError if it is another."""
        if not self.is_array:
            if self.dtype.kind != "f":
                value = operator.index(value)
            return self.dtype.type(value)
        if value is None:
            return np.uint64(0)  # a null pointer
        if value.dtype != self.dtype:
            raise TypeError(
                f"{kernel}: '{self.name}' must be {self.dtype}, an array of {value.dtype} came."
            )
        if not value.flags.c_contiguous:
            raise ValueError(
                f"{kernel}: '{self.name}' must be contiguous, an array of shape {value.shape} and "
                f"strides {value.strides} came; use ascontiguousarray."
            )
        return value


class Source:
    """A `.cu` file of this folder, and the kernels in it that can be launched.

    instances: for each kernel, the lists of template arguments it is compiled for ("" if it is no
    template): {"softmax": ["float, float", "double, double"]}. The tests compile and run them all.
    """

    def __init__(self, file: str, instances: dict[str, Iterable[str]]):
        self.file = file
        self._instances = {name: list(given) for name, given in instances.items()}
        self._code = ""
        self._modules: dict[Any, Any] = {}
        self._functions: dict[tuple, tuple[Callable, list[Parameter]]] = {}

    @property
    def code(self) -> str:
        """The text, with the `.cuh` files that it includes in it: RawModule takes one string."""
        if not self._code:
            self._code = _INCLUDE.sub(
                lambda include: (FOLDER / include[1]).read_text(), (FOLDER / self.file).read_text()
            )
        return self._code

    @property
    def instances(self) -> list[str]:
        """All that can be launched, as C++ names them."""
        return [
            _named(kernel, arguments)
            for kernel, given in self._instances.items()
            for arguments in given
        ]

    def parameters(self, kernel: str, arguments: str = "") -> list[Parameter]:
        """The parameters of a kernel with these template arguments, as the source declares them."""
        for template, name, text in _KERNEL.findall(_COMMENT.sub("", self.code)):
            if name == kernel:
                names = [part.split()[-1] for part in template.split(",") if part.strip()]
                given = [part.strip() for part in arguments.split(",")]
                types = dict(zip(names, given, strict=False))
                return [Parameter(part, types) for part in text.split(",")]
        raise KeyError(f"{self.file} has no kernel {kernel!r}.")

    def launch(
        self,
        kernel: str,
        arguments: str,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        *args: Any,
        shared: int = 0,
    ) -> None:
        """Starts the kernel; it runs while Python goes on.

        arguments: of the template. grid: how many blocks. block: how many threads in each.
        args: those of the kernel; the first is an array. shared: bytes of dynamic shared memory.
        """
        if 0 in grid:
            return
        module = xp(args[0])
        key = (module, kernel, arguments)
        function, parameters = self._functions.get(key) or self._load(key)
        if len(args) != len(parameters):
            raise TypeError(f"{kernel}: {len(parameters)} arguments expected, {len(args)} came.")
        values = [p.argument(a, kernel) for p, a in zip(parameters, args, strict=True)]
        arrays = {p.name: a for p, a in zip(parameters, args, strict=True) if p.is_array}
        _check_device(kernel, arrays, module.cuda.runtime.getDevice())
        function(grid, block, tuple(values), shared_mem=shared)

    def launch_each(self, kernel: str, written: Array, *args: Any) -> None:
        """Runs a kernel in the type of `written`, with a thread for each number of it."""
        grid = blocks(written.size, THREADS)
        self.launch(kernel, TYPES[written.dtype], grid, (THREADS,), *args)

    def _load(self, key: tuple) -> tuple[Callable, list[Parameter]]:
        module, kernel, arguments = key
        instance = _named(kernel, arguments)
        if arguments not in self._instances.get(kernel, ()):
            raise KeyError(f"{self.file} is not compiled for {instance}: add it to its instances.")
        if module not in self._modules:
            self._modules[module] = module.RawModule(
                code=self.code, options=OPTIONS, name_expressions=self.instances
            )
        function = self._modules[module].get_function(instance)
        self._functions[key] = function, self.parameters(kernel, arguments)
        return self._functions[key]


def _check_device(kernel: str, arrays: dict[str, Array | None], current: int) -> None:
    """Raises DeviceError unless all arrays are on the GPU that the kernel will run on."""
    elsewhere = {name: a for name, a in arrays.items() if a is not None and a.device.id != current}
    if elsewhere:
        found = ", ".join(f"'{name}' on {device_of(a)}" for name, a in elsewhere.items())
        index = next(iter(elsewhere.values())).device.id
        raise DeviceError(
            f"{kernel}: all arrays must be on cuda:{current}, the current GPU, where it would run; "
            f"got {found}: use `with minidl.cuda.device({index}):`, or move them with .to()."
        )


def _named(kernel: str, arguments: str) -> str:
    return f"{kernel}<{arguments}>" if arguments else kernel


def blocks(count: int, threads: int) -> tuple[int]:
    """The grid for `count` things, `threads` of them in a block."""
    return ((count + threads - 1) // threads,)


def contiguous(x: Array) -> Array:
    """x, or a copy of it in row order."""
    return x if x.flags.c_contiguous else xp(x).ascontiguousarray(x)


def memory_order(x: Array) -> tuple[int, ...]:
    """The dimensions from the outermost in memory to the innermost."""
    if x.flags.c_contiguous:
        return tuple(range(x.ndim))
    return tuple(sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis])))


def inverse(order: tuple[int, ...]) -> tuple[int, ...]:
    """The transposition that takes `order` back."""
    return tuple(sorted(range(len(order)), key=order.__getitem__))
