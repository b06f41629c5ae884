"""Tensors inside nested tuples and lists, as ops take and return them."""

import functools
import inspect
from collections.abc import Callable, Iterator

from minidl import Tensor


def tensors(tree) -> list[Tensor]:
    """The tensors in nested tuples and lists, in order."""
    if isinstance(tree, tuple | list):
        return [t for branch in tree for t in tensors(branch)]
    return [tree] if isinstance(tree, Tensor) else []


def replace(tree, new: Iterator[Tensor]):
    """The same tree, each tensor replaced by the next of `new`."""
    if isinstance(tree, tuple | list):
        return type(tree)(replace(branch, new) for branch in tree)
    return next(new) if isinstance(tree, Tensor) else tree


def function_name(func: Callable) -> str:
    while isinstance(func, functools.partial):
        func = func.func
    if inspect.ismethod(func) and isinstance(func.__self__, type):  # the `apply` of a Function
        return func.__self__.__name__
    return getattr(func, "__name__", type(func).__name__)


def input_names(func: Callable, inputs: tuple) -> list[str]:
    """What to call each tensor among the inputs of `func`: "x", "tensors[1]", or "input 0"."""
    try:
        parameters = inspect.signature(func).parameters.values()
    except ValueError:  # compiled functions have none
        parameters = ()
    positional = [p.name for p in parameters if p.kind <= p.POSITIONAL_OR_KEYWORD]
    names = []
    for i, value in enumerate(inputs):
        name = positional[i] if i < len(positional) else f"input {i}"
        if isinstance(value, Tensor):
            names.append(name)
        else:
            names += [f"{name}[{j}]" for j in range(len(tensors(value)))]
    return names
