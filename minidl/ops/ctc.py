"""Connectionist temporal classification: the likelihood of a text, wherever in time it is said.

The network gives a distribution over the labels and "blank" at each step. A path through time
reads as a text when its repeats are merged, then its blanks dropped: a a _ b reads ab. The loss is
-ln of the sum of the probabilities of all paths that read as the target.
Graves et al. 2006, https://www.cs.toronto.edu/~graves/icml_2006.pdf
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..device import Array, xp
from ..errors import ShapeError
from ..promotion import need_tensors, values_are_checked
from ..tape import Tensor, wrap
from .compare import where
from .create import as_tensor
from .elementwise import clamp, exp
from .index import check_range, gather
from .loss import reduced
from .reduce import mean, sum
from .shape import cat, stack
from .softmax import logsumexp

__all__ = ["ctc_loss"]

NEVER = -1e30  # the logarithm of 0, finite so that no derivative is nan


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor | Sequence[int],
    target_lengths: Tensor | Sequence[int],
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """loss = -ln sum over the paths that read as the target of prod_t p(label at t).

    log_probs: (T, N, C) or (T, C), from log_softmax. targets: (N, S) padded, or all one after the
    other. "mean" divides each loss by the length of its target first. A target that is too long for
    its input has loss infinity, or 0 with zero_infinity, and gradient 0.
    On a GPU, targets one after the other are waited for, since the longest decides how much is to
    be computed; targets (N, S) are not. Lengths that are on the CPU are copied there in each call.
    The gradient is that of log_softmax's input, e^log_probs - (share of the paths), as PyTorch's.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.ctc_loss.html
    """
    need_tensors("ctc_loss", log_probs=log_probs, targets=targets)
    single = log_probs._array.ndim == 2
    if single:
        log_probs = log_probs.unsqueeze(1)
    if log_probs._array.ndim != 3:
        raise ShapeError(
            f"ctc_loss: log_probs must be (T, N, C) or (T, C), got {log_probs._array.shape}."
        )
    steps, batch, classes = log_probs._array.shape
    m = xp(log_probs._array)
    times, sizes = (_lengths(log_probs, n, batch) for n in (input_lengths, target_lengths))
    check_range(times, 0, steps + 1, "ctc_loss: input length")
    if not 0 <= blank < classes:
        raise IndexError(f"ctc_loss: blank must be 0 to {classes - 1}, got {blank}.")
    labels = _padded(m, targets._array, sizes)
    check_range(labels, 0, classes, "ctc_loss: target")
    total = _log_likelihood(log_probs, _between_blanks(m, labels, blank), times, sizes, blank)
    # Of a distribution this is 1 at each step, and log_softmax takes its gradient out again.
    mass = sum(where(wrap(m.arange(steps)[:, None] < times), sum(exp(log_probs), 2), 0.0), 0)
    possible = wrap(total._array > NEVER / 2)
    loss = where(possible, mass - mass.detach() - total, 0.0 if zero_infinity else m.inf)
    if reduction == "mean":
        return mean(loss / wrap(m.maximum(sizes, 1).astype(loss._array.dtype)))
    return reduced(loss.squeeze(0) if single else loss, reduction)


def _lengths(like: Tensor, lengths: Tensor | Sequence[int], batch: int) -> Array:
    """The lengths (N,) on the device of `like`; as in PyTorch they may come on the CPU."""
    array = as_tensor(lengths, device=like.device)._array
    if array.size != batch:
        raise ShapeError(f"ctc_loss: expected {batch} lengths, one each, got {array.size}.")
    return array.reshape(batch).astype("int64")


def _padded(m: Any, targets: Array, sizes: Array) -> Array:
    """The targets as (N, S), with 0 behind each end."""
    batch, checked = len(sizes), values_are_checked(sizes)
    if targets.ndim == 2 or batch == 1:
        targets = targets.reshape(batch, -1)
        width = targets.shape[1]
        if checked and batch:
            longest = int(sizes.max())
            if width < longest:
                raise ShapeError(
                    f"ctc_loss: a target of length {longest} in targets {targets.shape}."
                )
            width = longest
        return m.where(m.arange(width) < sizes[:, None], targets[:, :width], 0)
    if checked and targets.size != int(sizes.sum()):
        raise ShapeError(
            f"ctc_loss: the lengths of the targets sum to {int(sizes.sum())}, targets has "
            f"{targets.size} labels."
        )
    if not targets.size:
        return m.zeros((batch, 0), "int64")
    columns = m.arange(int(sizes.max()))
    places = (sizes.cumsum() - sizes)[:, None] + columns
    within = m.minimum(places, targets.size - 1)
    return m.where(columns < sizes[:, None], targets[within], 0)


def _between_blanks(m: Any, labels: Array, blank: int) -> Array:
    """(N, 2S + 1): blank, label, blank, label, ..., blank."""
    batch, longest = labels.shape
    line = m.full((batch, 2 * longest + 1), blank, "int64")
    line[:, 1::2] = labels
    return line


def _log_likelihood(
    log_probs: Tensor, line: Array, times: Array, sizes: Array, blank: int
) -> Tensor:
    """ln of the sum over all paths. alpha[n, s]: over those that stand at place s of the line.

    A path starts at one of the first two places, and in each step stays, goes one place on, or two
    where that skips a blank between two different labels; it ends at one of the last two.
    """
    m = xp(line)
    steps, batch, _ = log_probs._array.shape
    places = m.arange(line.shape[1])
    skips = (line != blank) & (places >= 2)
    skips[:, 2:] &= line[:, 2:] != line[:, :-2]
    skips = wrap(skips)
    ends = wrap((places >= 2 * sizes[:, None] - 1) & (places <= 2 * sizes[:, None]))
    at = gather(log_probs, 2, wrap(m.broadcast_to(line, (steps, *line.shape))))
    at = clamp(at, min=NEVER)
    kind = log_probs._array.dtype
    never = wrap(m.full((batch, 2), NEVER, kind))
    alpha = wrap(m.where(m.broadcast_to(places == 0, line.shape), 0, NEVER).astype(kind))
    for t in range(steps):
        behind = cat([never, alpha], 1)
        paths = [alpha, behind[:, 1:-1], where(skips, behind[:, :-2], NEVER)]
        alpha = where(wrap(times[:, None] > t), logsumexp(stack(paths), 0) + at[t], alpha)
    return logsumexp(where(ends, alpha, NEVER), 1)
