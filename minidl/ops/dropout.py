"""Dropout: values, or whole channels, that are left out at random in training."""

from __future__ import annotations

import math

from .. import dtypes
from ..device import Array, xp
from ..errors import ShapeError
from ..makers import op
from ..promotion import need_tensors
from ..random import draw, uniforms
from ..tape import Tensor, wrap

__all__ = ["alpha_dropout", "dropout", "dropout1d", "dropout2d", "dropout3d"]
__all__ += ["feature_alpha_dropout", "feature_dropout"]


@op
def _dropout(input: Array, p: float, seed: int, offset: int, channels: bool) -> Array:
    """y = input / (1 - p) where a uniform number is at least p, else 0

    Linear and symmetric, so it is its own derivative: the mask is drawn again, never kept.
    channels: one number for each of the first two dimensions, as dropout2d needs.
    """
    keep = _kept(input, p, seed, offset, channels)
    scale = keep * (input.dtype.type(1 / (1 - p)) if p < 1 else 0)
    out = xp(input).empty_like(input)  # in the memory order of input; that of the mask is another
    return xp(input).multiply(input, scale, out=out)


_dropout.vjp(input=lambda g, p, seed, offset, channels: _dropout(g, p, seed, offset, channels))


def _kept(input: Array, p: float, seed: int, offset: int, channels: bool) -> Array:
    """1 where a uniform number is at least p, else 0."""
    shape = input.shape[:2] + (1,) * (input.ndim - 2) if channels else input.shape
    u = uniforms(seed, offset, math.prod(shape), dtypes.F32, input).reshape(shape)
    return (u >= dtypes.F32.type(p)).astype(input.dtype)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """y = 0 with probability p, else input / (1 - p), so that the expected value stays.

    Hinton et al. 2012, https://arxiv.org/abs/1207.0580;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.dropout.html
    """
    return _dropped("dropout", input, p, training, inplace, False)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Drops whole channels of (N, C, L) or (C, L) with probability p, else scales by 1 / (1 - p).

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.dropout1d.html
    """
    if input._array.ndim not in (2, 3):
        raise ShapeError(f"dropout1d: expected (N, C, L) or (C, L), got {input._array.shape}.")
    return _channels_dropped("dropout1d", 3, input, p, training, inplace)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Drops whole channels of (N, C, H, W) with probability p, else scales by 1 / (1 - p).

    As in PyTorch, three dimensions are (N, C, L).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.dropout2d.html
    """
    return _dropped("dropout2d", input, p, training, inplace, True)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Drops whole channels of (N, C, D, H, W) or (C, D, H, W) with probability p.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.dropout3d.html
    """
    return _channels_dropped("dropout3d", 5, input, p, training, inplace)


def feature_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`dropout2d` under the name that `torch` has it by."""
    return _dropped("feature_dropout", input, p, train, False, True)


def _channels_dropped(
    name: str, batched: int, input: Tensor, p: float, training: bool, inplace: bool
) -> Tensor:
    if input._array.ndim == batched:
        return _dropped(name, input, p, training, inplace, True)
    out = _dropped(name, input.unsqueeze(0), p, training, False, True).squeeze(0)
    return input.copy_(out) if inplace else out


def _dropped(
    name: str, input: Tensor, p: float, training: bool, inplace: bool, channels: bool
) -> Tensor:
    _check(name, input, p)
    if not training or p == 0:
        return input
    seed, offset = _drawn(input, channels)
    out = _dropout(input, float(p), seed, offset, channels)
    return input.copy_(out) if inplace else out


def _check(name: str, input: Tensor, p: float) -> None:
    need_tensors(name, input=input)
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: p is a probability, got {p}.")


def _drawn(input: Tensor, channels: bool) -> tuple[int, int]:
    shape = input._array.shape[:2] if channels else input._array.shape
    return draw(None, math.prod(shape))


SATURATION = 1.7580993408473766  # -selu(-inf): what a unit that is switched off is set to


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """y = a (x or, with probability p, -1.758...) + b, which keeps mean 0 and variance 1.

    a = ((1 - p) (1 + p 1.758^2))^(-1/2), b = 1.758 a p; -1.758 is where selu saturates.
    Klambauer et al. 2017, https://arxiv.org/abs/1706.02515;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.alpha_dropout.html
    """
    return _alpha_dropped("alpha_dropout", input, p, training, inplace, False)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """`alpha_dropout` of whole channels of (N, C, ...).

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.feature_alpha_dropout.html
    """
    return _alpha_dropped("feature_alpha_dropout", input, p, training, inplace, True)


def _alpha_dropped(
    name: str, input: Tensor, p: float, training: bool, inplace: bool, channels: bool
) -> Tensor:
    _check(name, input, p)
    if not training or p == 0:
        return input
    if p == 1:
        out = input * 0.0
    else:
        keep = _kept(input._array, float(p), *_drawn(input, channels), channels)
        a = ((1 - p) * (1 + p * SATURATION**2)) ** -0.5
        out = input * wrap(keep * a) + wrap((keep - 1) * (SATURATION * a) + SATURATION * a * p)
    return input.copy_(out) if inplace else out
