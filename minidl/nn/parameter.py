"""Parameter: the kind of tensor that a module knows it should train."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..ops import empty
from ..tensor import Tensor


class Parameter(Tensor):
    """A leaf tensor that becomes a parameter of the module whose attribute it is.

    It shares the memory of `data`. It requires a gradient also when it is made under `no_grad`.
    Raises RuntimeError if `data` holds integers or bools and `requires_grad` is True.
    """

    # No __slots__: as in PyTorch, users may hang attributes of their own on a parameter.

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        if data is None:
            data = empty(0)
        if not isinstance(data, Tensor):
            raise TypeError(
                f"Parameter: data should be a Tensor, but got {type(data).__name__}; "
                "make one with minidl.tensor(...)."
            )
        self._array = data._array
        self._version = data._version
        self._node = None
        self._view = None
        self.grad = None
        self.requires_grad_(requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        copy = type(self)(self.detach().clone(), self.requires_grad)
        copy.__dict__.update(self.__dict__)
        memo[id(self)] = copy
        return copy

    def __reduce_ex__(self, protocol: int) -> tuple:
        return type(self), (self.detach(), self.requires_grad), self.__dict__ or None

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


def clear_grads(params: Iterable[Tensor], set_to_none: bool) -> None:
    """Set the gradients to None, or to zeros in place; a gradient with a history loses it."""
    for p in params:
        if p._grad is None:
            continue
        if set_to_none:
            p._grad = None
        else:
            if p.grad.requires_grad:
                p.grad = p.grad.detach()
            p.grad.zero_()
