"""Write the type stubs `minidl/tape.pyi` (Tensor with the methods that are attached at import) and
`minidl/__init__.pyi` (the functions that are collected from the op families).

    python tests/make_stub.py
"""

import inspect
import pkgutil
import re
from pathlib import Path

import minidl
from minidl import Tensor, dtypes, ops

FOLDER = Path(minidl.__file__).parent

IMPORTS = '''\
"""What type checkers see of `{module}`; written by `python tests/make_stub.py`, do not edit."""

import builtins
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .device import device as _device
from .dtypes import dtype as _dtype
from .hooks import RemovableHandle as _RemovableHandle
from .random import Generator as _Generator
'''

# Methods like `float` and properties like `device` hide those names inside the class.
WORDS = {
    "Array": "Tensor",
    "Dim": "builtins.int | tuple[builtins.int, ...] | None",
    "Shape": "Sequence[builtins.int]",
    "Size": "builtins.int | tuple[builtins.int, ...]",
    "Where": "Any",
    "Device": "Any",
    "Node": "Any",
    "Generator": "_Generator",
    "RemovableHandle": "_RemovableHandle",
    "devices.device": "_device",
    "dtypes.dtype": "_dtype",
    **{name: f"builtins.{name}" for name in ("int", "float", "bool", "str", "tuple", "object")},
}
NOT_SHOWN = {"__module__", "__doc__", "__slots__", "__annotations__", "__weakref__"}

KNOWN = """
    Any Callable Iterator None Sequence Tensor _device _dtype dict list np.ndarray
""".split()
tuples: dict[str, str] = {}  # named tuples that functions return, and their modules


def stubs() -> dict[Path, str]:
    """The files and their texts."""
    texts = {"tape.py": tensor_class(), "minidl": package()}
    imports = "".join(
        f"from {module.removeprefix('minidl')} import {name} as _{name}\n"
        for name, module in sorted(tuples.items())
    )
    return {
        FOLDER / "tape.pyi": IMPORTS.format(module="tape.py") + imports + texts["tape.py"],
        FOLDER / "__init__.pyi": IMPORTS.format(module="minidl") + imports + texts["minidl"],
    }


def tensor_class() -> str:
    lines = ["\ndef __getattr__(name: str) -> Any: ...\n", "class Tensor:"]
    for name, value in sorted(vars(Tensor).items()):
        if isinstance(value, property):
            lines += property_lines(name, value)
        elif name == "__getattr__":
            continue  # it only says what is missing
        elif inspect.isfunction(value):
            lines.append(f"    def {name}({arguments(meant(name, value))}) -> {result(value)}: ...")
        elif name not in NOT_SHOWN and not name.startswith("_"):
            raise TypeError(f"Tensor.{name} is a {type(value).__name__}: say how it is typed")
    return "\n".join(lines) + "\n"


def meant(name: str, method):
    """Where the arguments of a method are written down: an in-place one takes its op's."""
    if list(inspect.signature(method).parameters) != ["self", "args", "kwargs"]:
        return method
    if name.startswith("__i"):
        return getattr(Tensor, name.replace("__i", "__"))
    return getattr(ops, name.removesuffix("_"), method)


def package() -> str:
    lines = []
    for name, value in sorted(vars(minidl).items()):
        if name.startswith("_") or inspect.ismodule(value):
            continue
        if inspect.isfunction(value) and getattr(ops, name, None) is value:
            lines.append(f"def {name}({arguments(value, None)}) -> {result(value)}: ...")
        elif isinstance(value, dtypes.dtype):
            lines.append(f"{name}: _dtype")
        elif inspect.isfunction(value) or inspect.isclass(value):
            home = value.__module__.removeprefix("minidl")
            lines.append(f"from {home} import {value.__name__} as {name}")
        else:
            lines.append(f"{name}: {'builtins.float' if isinstance(value, float) else 'Any'}")
    for name in ("load", "save"):
        lines.append(f"from .io import {name} as {name}")
    for _, name, _ in pkgutil.iter_modules(minidl.__path__):  # those imported later, too
        if not name.startswith("_") and inspect.ismodule(vars(minidl).get(name, pkgutil)):
            lines.append(f"from . import {name} as {name}")
    return "\n" + "\n".join(lines) + "\n"


def property_lines(name: str, value: property) -> list[str]:
    kind = result(value.fget)
    lines = ["    @property", f"    def {name}(self) -> {kind}: ..."]
    if value.fset is not None:
        lines += [f"    @{name}.setter", f"    def {name}(self, value: {kind}) -> None: ..."]
    return lines


def arguments(function, tensor: str | None = "self") -> str:
    """The parameters, the first under another name. Forwards of two operands also take numbers."""
    parameters = list(inspect.signature(function).parameters.values())
    shown, before = [], inspect.Parameter.POSITIONAL_ONLY
    for i, p in enumerate(parameters):
        if i == 0 and tensor is not None:
            shown.append(tensor)
            continue
        if p.kind is p.KEYWORD_ONLY and before not in (p.KEYWORD_ONLY, p.VAR_POSITIONAL):
            shown.append("*")
        before = p.kind
        number = [q.annotation for q in parameters] == ["Array", "Array"]
        kind = "Tensor | builtins.float" if number else said(p.annotation)
        star = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        default = "" if p.default is p.empty else " = ..."
        shown.append(f"{star}{p.name}: {kind}{default}")
    return ", ".join(shown)


def result(function) -> str:
    if function.__name__ == "__init__":
        return "None"
    return said(inspect.signature(function).return_annotation)


def said(annotation) -> str:
    """An annotation in words that the stub knows."""
    text = "Any" if annotation is inspect.Parameter.empty else str(annotation)
    text = text.replace("builtins.", "").replace("Arrays", "Sequence[Tensor]")
    return re.sub(r"[A-Za-z_][\w.]*", lambda m: word(m[0]), text)


def word(name: str) -> str:
    """A name in an annotation as the stub says it: a named tuple is imported, others are Any."""
    if name in WORDS or name in KNOWN:
        return WORDS.get(name, name)
    for family in ops.FAMILIES:
        found = getattr(family, name, None)
        if inspect.isclass(found):
            tuples[name] = found.__module__
            return f"_{name}"
    return "Any"


if __name__ == "__main__":
    for path, text in stubs().items():
        path.write_text(text, encoding="utf-8")
