"""Methods that make tensors in the type and on the device of another: x.new_zeros(2, 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..tape import Tensor
from .create import Where, _like, empty, empty_strided, full, ones, sized, tensor, zeros
from .shape import shape_of

__all__: list[str] = []
METHODS = "new_tensor new_empty new_empty_strided new_full new_zeros new_ones".split()


def new_tensor(
    input: Tensor,
    data: Any,
    *,
    dtype: object = None,
    device: Where = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor with its own copy of data. The type is that of input."""
    return tensor(data, requires_grad=requires_grad, **_like(input, dtype, device))


@sized
def new_empty(
    input: Tensor,
    *size: int,
    dtype: object = None,
    device: Where = None,
    requires_grad: bool = False,
) -> Tensor:
    """Memory with any content, in the type of input."""
    return empty(shape_of(size), requires_grad=requires_grad, **_like(input, dtype, device))


@sized
def new_zeros(
    input: Tensor,
    *size: int,
    dtype: object = None,
    device: Where = None,
    requires_grad: bool = False,
) -> Tensor:
    """Zeros in the type of input."""
    return zeros(shape_of(size), requires_grad=requires_grad, **_like(input, dtype, device))


@sized
def new_ones(
    input: Tensor,
    *size: int,
    dtype: object = None,
    device: Where = None,
    requires_grad: bool = False,
) -> Tensor:
    """Ones in the type of input."""
    return ones(shape_of(size), requires_grad=requires_grad, **_like(input, dtype, device))


def new_full(
    input: Tensor,
    size: Sequence[int],
    fill_value: float,
    *,
    dtype: object = None,
    device: Where = None,
    requires_grad: bool = False,
) -> Tensor:
    """One value in the type of input."""
    like = _like(input, dtype, device)
    return full(tuple(size), fill_value, requires_grad=requires_grad, **like)


def new_empty_strided(
    input: Tensor,
    size: Sequence[int],
    stride: Sequence[int],
    *,
    dtype: object = None,
    device: Where = None,
    requires_grad: bool = False,
) -> Tensor:
    """`empty_strided` in the type of input."""
    return empty_strided(size, stride, requires_grad=requires_grad, **_like(input, dtype, device))
