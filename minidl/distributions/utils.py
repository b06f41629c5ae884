"""What the distributions share: broadcasting, probabilities and logits, numbers to draw with."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Number
from typing import Any

import minidl
from minidl import Tensor
from minidl.nn import functional

__all__ = "broadcast_all clamp_probs lazy_property logits_to_probs probs_to_logits".split()


def broadcast_all(*values: Tensor | float) -> tuple[Tensor, ...]:
    """The values as tensors of one shape; numbers get the type and device of the first tensor."""
    for value in values:
        if not isinstance(value, (Tensor, Number)):
            raise ValueError(
                "the parameters of a distribution are tensors or numbers, got "
                f"{type(value).__name__}; minidl.tensor(...) makes a tensor of a list"
            )
    tensors = [value for value in values if isinstance(value, Tensor)]
    like: dict[str, Any] = {"dtype": minidl.get_default_dtype()}
    if tensors:
        like = {"dtype": tensors[0].dtype, "device": tensors[0].device}
    made = [v if isinstance(v, Tensor) else minidl.tensor(v, **like) for v in values]
    return tuple(minidl.broadcast_tensors(*made))


def only_one(**parameters: Any) -> str:
    """The name of the one parameter that was given."""
    given = [name for name, value in parameters.items() if value is not None]
    if len(given) != 1:
        got = " and ".join(given) or "none"
        raise ValueError(f"expected exactly one of {', '.join(parameters)}; got {got}")
    return given[0]


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities kept in [eps, 1 - eps], so that their logarithms are finite."""
    eps = minidl.finfo(probs.dtype).eps
    return probs.clamp(eps, 1 - eps)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """ln p, or with is_binary ln(p / (1 - p))."""
    p = clamp_probs(probs)
    return p.log() - (-p).log1p() if is_binary else p.log()


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """softmax, or with is_binary sigmoid."""
    return logits.sigmoid() if is_binary else functional.softmax(logits, dim=-1)


def sum_rightmost(value: Tensor, dims: int) -> Tensor:
    """The sum over the last `dims` dimensions."""
    return value.sum(tuple(range(-dims, 0))) if dims else value


def normal_like(parameter: Tensor, shape: tuple) -> Tensor:
    """Standard normal numbers in the type and on the device of a parameter."""
    return minidl.randn(shape, dtype=parameter.dtype, device=parameter.device)


def uniform_like(parameter: Tensor, shape: tuple) -> Tensor:
    """Numbers in (0, 1), in the type and on the device of a parameter."""
    u = minidl.rand(shape, dtype=parameter.dtype, device=parameter.device)
    return u.clamp(min=minidl.finfo(parameter.dtype).eps / 4)


class lazy_property:
    """A property that is computed once, with gradients, and then an attribute."""

    def __init__(self, function: Callable):
        self.function = function
        self.__doc__ = function.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        with minidl.enable_grad():
            value = self.function(instance)
        instance.__dict__[self.function.__name__] = value
        return value
