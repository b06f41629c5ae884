"""What `amp.autocast` does to the operands of an op: products in float16, long sums in float32.

A product of matrices reads each number many times, and GPUs multiply float16 much faster; it adds
up in float32, so float16 costs it little. Exponentials, sums and losses overflow or lose digits in
float16. Everything else runs in the type of its operands, some of it in the widest (`widest`). The
lists are PyTorch's, and the norms, which give float32 here:
https://docs.pytorch.org/docs/stable/amp.html#autocast-op-reference
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy import ndarray

from . import dtypes
from .tape import Tensor, mode, named, named_like

LOWER = frozenset(
    """
    attention convolution convolution_input einsum gru_sequence linear lstm_sequence matmul
    """.split()
)
FLOAT32 = frozenset(
    """
    acos asin batch_norm binary_cross_entropy_with_logits cosh cross_entropy cumprod cumsum erfinv
    exp expm1 fixed_norm group_norm layer_norm log log10 log1p log2 log_softmax mse_loss pow prod
    reciprocal rms_norm rsqrt sinh softmax softplus sum tan
    """.split()
)


def brought(name: str, values: Any) -> tuple:
    """The operands of the op `name`, those on a GPU cast as its list says, by a recorded op."""
    if name in LOWER:
        source, to = dtypes.F32, mode.autocast
    elif name in FLOAT32:
        source, to = dtypes.F16, dtypes.F32
    else:
        return values
    return tuple([_cast(x, to) if _is_of(x, source) else x for x in values])


def widest(function: Callable) -> Callable:
    """`function`, a composition of ops: under autocast all of it runs in the widest type that its
    tensors on a GPU have, as PyTorch has it for bilinear, dot, grid_sample, index_put, scatter_add,
    tensordot, vdot."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if mode.autocast is None:
            return function(*args, **kwargs)
        if any(_is_of(x, dtypes.F32) for x in (*args, *kwargs.values())):
            args = tuple([_cast(x, dtypes.F32) if _is_of(x, dtypes.F16) else x for x in args])
            kwargs = {
                k: _cast(x, dtypes.F32) if _is_of(x, dtypes.F16) else x for k, x in kwargs.items()
            }
        with suspended():
            return function(*args, **kwargs)

    return named_like(function, call)


def _is_of(value: Any, kind: Any) -> bool:
    if not isinstance(value, Tensor):
        return False
    array = value._array
    return array.__class__ is not ndarray and array.dtype == kind


def _cast(t: Tensor, to: Any) -> Tensor:
    return named("cast")(t, to, t._array.dtype)


class suspended:
    """No autocast in this thread; the backward runs in it, since its types are those of the
    forward."""

    __slots__ = ("_before",)

    def __enter__(self) -> None:
        self._before, mode.autocast = mode.autocast, None

    def __exit__(self, *error: object) -> None:
        mode.autocast = self._before
