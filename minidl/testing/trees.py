"""The tensors inside a call: nested tuples and lists, names of arguments, names of functions."""

import functools
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from minidl import Tensor
from minidl.testing.errors import CheckError


def tensors(tree) -> list[Tensor]:
    """The tensors in nested tuples and lists, in order."""
    if isinstance(tree, tuple | list):
        return [t for branch in tree for t in tensors(branch)]
    return [tree] if isinstance(tree, Tensor) else []


def check_result(result) -> None:
    """Raises CheckError for what a function must not return."""
    if not isinstance(result, Tensor | tuple | list):
        kind = "None" if result is None else f"a {type(result).__name__}"
        raise CheckError("", f"it returns {kind}: return a tensor, or a tuple of tensors")


def replace(tree, new: Iterator[Tensor]):
    """The same tree, each tensor replaced by the next of `new`."""
    if isinstance(tree, tuple | list):
        return type(tree)(replace(branch, new) for branch in tree)
    return next(new) if isinstance(tree, Tensor) else tree


def unwrapped(func: Callable) -> Callable:
    while isinstance(func, functools.partial):
        func = func.func
    return func


def custom_function(func: Callable) -> type | None:
    """The autograd.Function whose `apply` this is."""
    func = unwrapped(func)
    return func.__self__ if inspect.ismethod(func) and isinstance(func.__self__, type) else None


def function_name(func: Callable) -> str:
    owner = custom_function(func)
    func = unwrapped(func)
    return owner.__name__ if owner else getattr(func, "__name__", type(func).__name__)


def parameters(func: Callable) -> list[str]:
    """The names of the parameters that may be given by position; of an `apply`, its forward's."""
    owner = custom_function(func)
    try:
        found = inspect.signature(owner.forward if owner else func).parameters.values()
    except ValueError:  # compiled functions have none
        return []
    return [p.name for p in found if p.kind <= p.POSITIONAL_OR_KEYWORD][1 if owner else 0 :]


def input_names(func: Callable, inputs: tuple) -> list[str]:
    """What to call each tensor among the inputs of `func`: "x", "tensors[1]", or "input 0"."""
    positional = parameters(func)
    names = []
    for i, value in enumerate(inputs):
        name = positional[i] if i < len(positional) else f"input {i}"
        if isinstance(value, Tensor):
            names.append(name)
        else:
            names += [f"{name}[{j}]" for j in range(len(tensors(value)))]
    return names


def call(func: Callable, inputs: tuple) -> tuple[str, tuple, dict[str, Any]]:
    """How to write `func(*inputs)`: a name, all arguments, all keywords."""
    keywords: dict[str, Any] = {}
    while isinstance(func, functools.partial):
        inputs, keywords = (*func.args, *inputs), {**func.keywords, **keywords}
        func = func.func
    name = function_name(func)
    if custom_function(func):
        name += ".apply"
    return name if "<" not in name else "function", inputs, keywords


def numbers(func: Callable, inputs: tuple) -> dict[str, float]:
    """The float arguments of `func(*inputs)` by name, defaults included."""
    _, args, keywords = call(func, inputs)
    owner = custom_function(func)
    try:
        found = inspect.signature(owner.forward if owner else unwrapped(func)).parameters
    except ValueError:
        found = {}
    by_name = {name: p.default for name, p in found.items()}
    by_name |= dict(zip(parameters(unwrapped(func)), args, strict=False))
    by_name |= keywords
    return {name: value for name, value in by_name.items() if isinstance(value, float)}


def line_of(func: Callable) -> str:
    """Where a function was written: "my_ops.py:12", from the current folder if it is inside."""
    code = getattr(inspect.unwrap(unwrapped(func)), "__code__", None)
    if code is None:
        return "compiled code"
    file, here = Path(code.co_filename).resolve(), Path.cwd()
    inside = file.is_relative_to(here)
    shown = file.relative_to(here).as_posix() if inside else "/".join(file.parts[-3:])
    return f"{shown}:{code.co_firstlineno}"
