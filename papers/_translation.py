"""Translations of any model, by beam search; how good they are, and how they are aligned."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import minidl
from minidl import Tensor

from ._cmudict import END, PAD, START, Pair, until_end
from ._multi30k import arrays

COLOURS = ("#0072b2", "#d55e00", "#009e73")  # Okabe and Ito's


@minidl.no_grad()
def translate(model: Any, x: Tensor, width: int = 1, longest: int = 40) -> list[list[int]]:
    """For each row of x (B, S) the most probable sequence that is found by a beam search of
    this width, 1 being the greedy choice. It ends with END, or is cut off.

    model: `encode(x)` gives its memory of the source and its first state, sequences of tensors
    (B, ...); `step(last, state, memory)` gives scores and the next state.
    """
    batch = len(x)
    memory, state = (
        [part.repeat_interleave(width, 0) for part in parts] for parts in model.encode(x)
    )
    first = minidl.arange(batch, device=x.device).unsqueeze(1) * width  # (B, 1): its first row
    last = minidl.full((batch * width,), START, device=x.device)
    said = last.unsqueeze(1)  # (B width, 1 + length)
    total = minidl.zeros(batch, width, device=x.device)  # log probabilities
    total[:, 1:] = float("-inf")  # at first all hypotheses are the same one
    for _ in range(longest):
        scores, state = model.step(last, state, memory)  # (B width, targets)
        targets = scores.shape[1]
        over = ((last == END) | (last == PAD)).unsqueeze(1)
        pad = minidl.arange(targets, device=x.device) == PAD
        log = scores.masked_fill(pad, float("-inf")).log_softmax(1)
        log = log.masked_fill(over, float("-inf")).masked_fill(over & pad, 0)  # then only PAD
        sums = (total.unsqueeze(2) + log.reshape(batch, width, targets)).flatten(1)
        total, best = sums.topk(width, 1)  # (B, width)
        rows, last = (first + best // targets).flatten(), (best % targets).flatten()
        said = minidl.cat([said[rows], last.unsqueeze(1)], 1)
        state = [part[rows] for part in state]
        if ((last == END) | (last == PAD)).all():
            break
    return [until_end(row) for row in said[::width, 1:].tolist()]


def translations(
    model: Any, pairs: Sequence[Pair], batch: int, device: str, width: int = 1
) -> list[list[int]]:
    """`translate` of the sources of all pairs, so many at a time."""
    said = []
    for i in range(0, len(pairs), batch):
        x, _ = arrays(pairs[i : i + batch])
        said += translate(model, minidl.tensor(x, device=device), width)
    return said


def by_length(
    measure: Callable, said: Sequence, right: Sequence, pairs: Sequence[Pair], lengths: dict
) -> dict[str, float]:
    """measure(said, right) of the pairs whose source is as long as these say, for each name."""
    found = {}
    for name, among in lengths.items():
        chosen = [i for i, (source, _) in enumerate(pairs) if len(source) in among]
        found[name] = measure([said[i] for i in chosen], [right[i] for i in chosen])
    return found


def near_diagonal(alpha: np.ndarray, within: float = 2) -> np.ndarray:
    """How much of the attention alpha (T, S) each target (T,) pays to sources that are within so
    many places of where a straight alignment has them."""
    i, j = np.indices(alpha.shape) + 0.5
    targets, sources = alpha.shape
    return (alpha * (abs(i / targets * sources - j) <= within)).sum(1)


def draw_lengths(axes: Any, lines: Mapping[str, Sequence], lengths: Sequence, **labels) -> None:
    """A line for each arm: how well it does at each length of the source."""
    for (name, values), colour in zip(lines.items(), COLOURS, strict=False):
        axes.plot(lengths, values, "o-", color=colour, label=name)
    axes.set(ylim=(0, None), **labels)
    axes.legend()
    axes.grid(alpha=0.3)


def draw_alignment(axes: Any, source: Sequence[str], target: Sequence[str], alpha: Any) -> None:
    """Attention (T, S): a row is what a target pays to each source, the darker the more."""
    axes.imshow(alpha, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(source)), source)
    axes.set_yticks(range(len(target)), target)
