"""Arguments that functions take besides their own, as PyTorch's do.

NumPy's names: `axis` for `dim`, `keepdims` for `keepdim`, `x` or `a` for `input`. Every function
with a `dim` takes them; those without (`exp`, `add`, ...) run for each operator of each model and
stay bare. Functions that make tensors take `layout`, `pin_memory` and `memory_format`: values are
the same (`minidl/switches.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from ..tape import named_like, parameter_names

MEANT = {
    "axis": "dim",
    "keepdims": "keepdim",
    "x": "input",
    "a": "input",
    "x1": "input",
    "x2": "other",
}

CHANGE_NOTHING = {"layout", "pin_memory", "memory_format"}


def accept_in(family: ModuleType) -> dict[str, Callable]:
    """Lets a family's functions and methods take them; returns its public functions."""
    for name in {*family.__all__, *getattr(family, "METHODS", ())}:
        function = getattr(family, name)
        if callable(function) and (
            {"dim", "device"} & set(parameter_names(function)) or name == "clone"
        ):
            setattr(family, name, accepting(function))
    return {name: getattr(family, name) for name in family.__all__}


def accepting(function: Callable) -> Callable:
    """`function`, which may also be called with these arguments."""
    own = parameter_names(function)
    meant = {other: name for other, name in MEANT.items() if name in own and other not in own}
    ignored = set() if "dim" in own else CHANGE_NOTHING - set(own)

    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            given = [name for name in kwargs if name not in ignored]
            kwargs = {meant.get(name, name): kwargs[name] for name in given}
            if len(kwargs) < len(given):
                raise TypeError(
                    f"{function.__name__}() got one argument twice: {', '.join(given)}."
                )
        return function(*args, **kwargs)

    call.__dict__.update(function.__dict__)  # an op's `op` and `vjp`
    return named_like(function, call)
