"""Exponentials over a dimension: logsumexp, softmax and its logarithm.

All three subtract the largest element first: e^(x - max) cannot overflow, and the result is the
same.
"""

from __future__ import annotations

import math

from .. import dtypes
from ..makers import definition
from ..promotion import cast
from ..tape import Tensor
from .compare import logical_and, where
from .elementwise import exp, log
from .reduce import _need_float, _spread, _sum, amax
from .shape import Dim, axes_of, axis_of

__all__ = ["log_softmax", "logsumexp", "softmax"]
METHODS = ["logsumexp", "softmax", "log_softmax"]  # also methods of Tensor


@definition
def logsumexp(input: Tensor, dim: Dim, keepdim: bool = False) -> Tensor:
    """y = ln sum e^input over dim, computed as m + ln sum e^(input - m) with m the largest"""
    if input._array.dtype.kind != "f":
        input = cast(input, dtypes.default_float())
    axes_of(dim, input._array.ndim, "logsumexp")
    if input._array.size == 0:
        return log(_sum(exp(input), dim, keepdim))
    m = _shift(input, dim)
    total = log(_sum(exp(input - m), dim, keepdim))
    return total + m.reshape(total._array.shape)


logsumexp.vjp(
    input=lambda g, input, out, dim, keepdim: (
        _spread(g, input._array.shape, dim, keepdim)
        * exp(input - _spread(out, input._array.shape, dim, keepdim))
    )
)


def _shift(input: Tensor, dim: Dim) -> Tensor:
    """The largest element, as a constant; 0 where that is infinite (inf - inf would be nan)."""
    m = amax(input.detach(), dim, True)
    return where(logical_and(m < math.inf, m > -math.inf), m, 0.0)


@definition
def _softmax(input: Tensor, dim: int) -> Tensor:
    """y = e^input / sum e^input over dim"""
    _need_float(input._array, "softmax")
    axis_of(dim, input._array.ndim, "softmax")
    if input._array.size == 0:
        return input.clone()
    e = exp(input - amax(input.detach(), dim, True))
    return e / _sum(e, dim, True)


_softmax.vjp(input=lambda g, out, dim: g * out - out * _sum(g * out, dim, True))


@definition
def _log_softmax(input: Tensor, dim: int) -> Tensor:
    """y = input - ln sum e^input over dim"""
    _need_float(input._array, "log_softmax")
    axis_of(dim, input._array.ndim, "log_softmax")
    if input._array.size == 0:
        return input.clone()
    shifted = input - amax(input.detach(), dim, True)
    return shifted - log(_sum(exp(shifted), dim, True))


_log_softmax.vjp(input=lambda g, out, dim: g - exp(out) * _sum(g, dim, True))


def softmax(input: Tensor, dim: int, dtype: object = None) -> Tensor:
    """y = e^input / sum e^input over dim.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.softmax.html
    """
    return _softmax(input if dtype is None else cast(input, dtypes.to_numpy(dtype)), dim)


def log_softmax(input: Tensor, dim: int, dtype: object = None) -> Tensor:
    """y = input - ln sum e^input over dim.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.log_softmax.html
    """
    return _log_softmax(input if dtype is None else cast(input, dtypes.to_numpy(dtype)), dim)
