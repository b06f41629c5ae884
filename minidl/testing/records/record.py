"""What one op's record holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


@dataclass(frozen=True)
class Sample:
    """Arguments of one call, with NumPy arrays in place of tensors; floats are float64."""

    args: tuple
    kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ErrorCase:
    """A call that must fail. `call` gets a function that makes tensors from data."""

    call: Callable[[Callable], Any]
    error: type[Exception]
    words: tuple[str, ...]


def case(call: Callable, error: type[Exception], *words: str) -> ErrorCase:
    return ErrorCase(call, error, words)


def zeros(make: Callable, *shape: int) -> Any:
    """A float64 tensor of zeros, made by the function that an error case is given."""
    return make(np.zeros(shape))


@dataclass(frozen=True)
class OpRecord:
    """Everything the checks need to know about an op.

    samples: valid calls, away from kinks and poles (`domain` says which).
    reference: the same function on NumPy arrays, written independently; None needs `why_none`.
    order: how often it can be differentiated in its float inputs: 0, 1 or 2 (2: any order).
    dtypes: kinds of input that it promises to take, NumPy's b(ool) u(nsigned) i(nt) f(loat).
    result: type of the result: "same" as the inputs, "float" (integers become float32), "bool",
        "index" (int64), "sum" (integers and bools become int64), or "given" by an argument.
    broadcasts: whether its tensor inputs broadcast against each other.
    constants: names of float inputs that get no gradient.
    layouts: False for an op that is about how its input lies in memory.
    """

    name: str
    function: Callable
    samples: SearchStrategy[Sample]
    reference: Callable | None
    why_none: str = ""
    domain: str = "all real numbers"
    order: int = 2
    dtypes: str = "f"
    result: str = "same"
    broadcasts: bool = False
    constants: tuple[str, ...] = ()
    layouts: bool = True
    errors: tuple[ErrorCase, ...] = ()

    def __post_init__(self):
        if self.reference is None and not self.why_none:
            raise ValueError(f"record of {self.name}: no reference, and no reason given")

    def _repr_pretty_(self, printer, cycle):  # what hypothesis prints for a failing example
        printer.text(f"OpRecord({self.name})")
