"""Functions to be checked by `pytest --minidl-ops FILE`."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minidl.testing import trees


@dataclass(frozen=True)
class Registered:
    """A function, what `check_op` is to be told about it, and where that is written."""

    function: Callable
    options: dict[str, Any]
    home: dict[str, Any]  # the namespace of the module that registered it
    line: int

    @property
    def name(self) -> str:
        return trees.function_name(self.function)


_registered: list[Registered] = []


def register(function: Callable | None = None, **options: Any) -> Callable:
    """Register a function for `pytest --minidl-ops FILE`, where FILE is the file of this call.

        @register(reference=lambda x: np.log1p(np.exp(x)))
        def softplus(x):
            return minidl.log(1 + minidl.exp(x))

    options: those of `check_op`: reference, samples, order, dtypes, result, broadcasts, constants.

    Returns the function as it is. For an autograd.Function: `register(...)(Softplus.apply)`.
    """
    return _register(function, options, sys._getframe(1))


def _register(function, options, frame):
    if function is None:
        return lambda function: _register(function, options, frame)
    added = Registered(function, options, frame.f_globals, frame.f_lineno)
    if added.name == "<lambda>":
        raise ValueError("register: the report needs a name, a lambda has none: use def")
    for other in registered_in(added.home):
        if other.name == added.name:  # the module is being reloaded
            _registered.remove(other)
    _registered.append(added)
    return function


def registered_in(namespace: dict[str, Any]) -> list[Registered]:
    """What a module registered, in its order; `namespace` is `vars(module)`."""
    return [r for r in _registered if r.home is namespace]
