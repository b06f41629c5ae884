"""A border around images: constant, reflected, replicated, or from the other side."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ShapeError
from ..promotion import need_tensors
from ..tape import Tensor
from .shape import Shape, _flip, cat, expand, narrow, pad_pairs

__all__ = ["pad"]


def pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """y = input with a border. `pad` = (left, right, top, bottom, ...), last dimension first.

    Negative numbers cut. mode, for the numbers 1 2 3 with 2 in front: "constant" 0 0 1 2 3 (or
    `value`), "reflect" 3 2 1 2 3, "replicate" 1 1 1 2 3, "circular" 2 3 1 2 3. The last three take
    sizes for the last one, two or three dimensions of (N, C, ...) or (C, ...).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.pad.html
    """
    need_tensors("pad", input=input)
    shape = input._array.shape
    if len(pad) % 2 or len(pad) > 2 * len(shape):
        raise ShapeError(
            f"pad: expected an even number of at most {2 * len(shape)} sizes for a tensor of shape "
            f"{shape}, got {tuple(pad)}."
        )
    pairs = [(0, 0)] * len(shape)
    for i in range(len(pad) // 2):
        pairs[len(shape) - 1 - i] = (int(pad[2 * i]), int(pad[2 * i + 1]))
    for d, (before, after) in enumerate(pairs):
        if shape[d] + before + after < 0:
            raise ShapeError(f"pad: {tuple(pad)} cuts more than there is in dimension {d}.")
    borders = [(max(before, 0), max(after, 0)) for before, after in pairs]
    if mode == "constant":
        return pad_pairs(_cut(input, pairs), tuple(borders), value or 0.0)
    if mode not in _SIDES:
        raise NotImplementedError(f"pad: mode {mode!r} is none of constant, {', '.join(_SIDES)}.")
    if value:
        raise ValueError(f"pad: mode {mode!r} takes no value, got {value}.")
    if len(shape) not in (len(pad) // 2 + 1, len(pad) // 2 + 2):
        raise NotImplementedError(
            f"pad: mode {mode!r} pads the last dimensions of (N, C, ...) or (C, ...): {tuple(pad)} "
            f"does not fit shape {shape}."
        )
    if mode == "circular":  # what is cut off does not come back on the other side
        input, pairs = _cut(input, pairs), borders
    for d, (before, after) in enumerate(borders):
        if before or after:
            _check_border(mode, input._array.shape, d, max(before, after))
            sides = _SIDES[mode](input, d, before, after)
            input = cat([sides[0], input, sides[1]], d)
    return _cut(input, pairs)


def _cut(input: Tensor, pairs: list[tuple[int, int]]) -> Tensor:
    """input without what negative sizes cut off."""
    for d, (before, after) in enumerate(pairs):
        if before < 0 or after < 0:
            size = input._array.shape[d] + min(before, 0) + min(after, 0)
            input = narrow(input, d, max(-before, 0), size)
    return input


def _check_border(mode: str, shape: Shape, d: int, border: int) -> None:
    most = {"reflect": shape[d] - 1, "circular": shape[d], "replicate": border if shape[d] else 0}
    if border > most[mode]:
        raise ShapeError(
            f"pad: mode {mode!r} can add at most {most[mode]} in dimension {d} of shape {shape}, "
            f"got {border}."
        )


def _reflected(x: Tensor, d: int, before: int, after: int) -> tuple[Tensor, Tensor]:
    last = x._array.shape[d] - 1
    left, right = narrow(x, d, 1, before), narrow(x, d, last - after, after)
    return _flip(left, (d,)), _flip(right, (d,))


def _replicated(x: Tensor, d: int, before: int, after: int) -> tuple[Tensor, Tensor]:
    shape = x._array.shape
    first, last = narrow(x, d, 0, 1), narrow(x, d, shape[d] - 1, 1)
    sizes = [(*shape[:d], n, *shape[d + 1 :]) for n in (before, after)]
    return expand(first, sizes[0]), expand(last, sizes[1])


def _from_other_side(x: Tensor, d: int, before: int, after: int) -> tuple[Tensor, Tensor]:
    size = x._array.shape[d]
    return narrow(x, d, size - before, before), narrow(x, d, 0, after)


_SIDES = {"reflect": _reflected, "replicate": _replicated, "circular": _from_other_side}
