"""One number for all sides, or one for each: PyTorch's `nn.modules.utils`, which models import."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


def _ntuple(n: int) -> Callable:
    """A function that gives a tuple as it is, and repeats anything else n times."""

    def repeated(x: Any) -> tuple:
        return tuple(x) if isinstance(x, Iterable) else (x,) * n

    return repeated


_single, _pair, _triple, _quadruple = (_ntuple(n) for n in (1, 2, 3, 4))
