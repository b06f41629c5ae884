"""Values and calls as Python that gives the same value or call again.

The text runs after `import minidl` and `import numpy as np`.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import minidl
from minidl import Tensor
from minidl.testing.compare import to_numpy

WIDTH = 88


def as_code(value: Any) -> str:
    """A value as Python: `minidl.tensor([[0.0, 1.0]], dtype=minidl.float64)`.

    Tensors (their numbers and type; always on the CPU, never with a graph), arrays, numbers,
    slices, types, None, strings, and tuples, lists and dicts of them. Numbers are exact.
    """
    if isinstance(value, Tensor):
        return _tensor_code(to_numpy(value))
    if isinstance(value, np.ndarray):
        if not value.size:
            return f"np.zeros({value.shape}, np.{value.dtype})"
        return f"np.array({_rows(value, 9)}, np.{value.dtype})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_code(k)}: {as_code(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(as_code, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(as_code, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, np.generic):
        return f"np.{value.dtype}({_number(value)})"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, slice):
        bounds = (value.start, value.stop, *([] if value.step is None else [value.step]))
        return f"slice{bounds}"
    if value is Ellipsis:
        return "..."
    if isinstance(value, type) and issubclass(value, np.generic):
        return f"np.{value.__name__}"
    return getattr(value, "__name__", None) or repr(value)


def call_as_code(
    name: str, args: Sequence, kwargs: dict[str, Any] | None = None, names: Sequence[str] = ()
) -> str:
    """A call as Python: `softmax(minidl.tensor([0.0, 1.0], dtype=minidl.float64), dim=-1)`.

    With `names` of the first arguments, each of these that is a tensor or an array gets a line of
    its own:

        x = minidl.tensor([0.0, 1.0], dtype=minidl.float64)
        softmax(x, dim=-1)
    """
    lines, given = [], []
    named = [names[i] if i < len(names) else "" for i in range(len(args))]
    for argument, value in zip(named, args, strict=True):
        if argument.isidentifier() and isinstance(value, Tensor | np.ndarray):
            lines.append(f"{argument} = {as_code(value)}")
            given.append(argument)
        else:
            given.append(as_code(value))
    given += [f"{key}={as_code(value)}" for key, value in (kwargs or {}).items()]
    return "\n".join([*lines, f"{name}({', '.join(given)})"])


def _tensor_code(array: np.ndarray) -> str:
    dtype = f"minidl.{array.dtype}"
    if not array.size:
        return f"minidl.zeros({array.shape}, dtype={dtype})"
    plain = array.dtype in (np.int64, np.bool_) or minidl.get_default_dtype() == array.dtype
    return f"minidl.tensor({_rows(array, 14)}{'' if plain else f', dtype={dtype}'})"


def _rows(array: np.ndarray, indent: int) -> str:
    """Nested lists: on one line if they fit, else a line for each of the first dimension."""
    if not array.ndim:
        return _number(array[()])
    flat = _nested(array)
    if len(flat) + indent <= WIDTH:
        return flat
    if array.ndim > 1:
        rows = [_rows(row, indent + 1) for row in array]
        return "[" + (",\n" + " " * (indent + 1)).join(rows) + "]"
    lines, line = [], ""
    for number in map(_number, array):
        if line and len(line) + len(number) + 2 + indent > WIDTH:
            lines.append(line)
            line = ""
        line += f"{', ' if line else ''}{number}"
    return "[" + (",\n" + " " * (indent + 1)).join([*lines, line]) + "]"


def _nested(array: np.ndarray) -> str:
    return f"[{', '.join(_nested(a) if a.ndim else _number(a[()]) for a in array)}]"


def _number(x: Any) -> str:
    """Python for a number, exact in its own type."""
    if isinstance(x, float | np.floating):
        if not math.isfinite(x):
            return f'float("{float(x)}")'
        return str(x) if isinstance(x, np.floating) else repr(x)
    return str(x)
