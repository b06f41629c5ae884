"""The figure of `papers/transformer.py`: attention heads, learning curves, learning rates."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import minidl
from minidl import nn

from ._multi30k import arrays
from ._translation import translations

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # Okabe and Ito's
LINES = {"sinusoidal": ("-", COLOURS[0]), "learned": ("--", COLOURS[2]), "none": (":", COLOURS[1])}


@minidl.no_grad()
def draw(
    run: Any,
    model: nn.Module,
    source: Sequence[int],
    names: Sequence[str],
    labels: Mapping[str, str],
    rate: Callable,
) -> None:
    """source: what is translated. names: of all symbols. labels: of each kind of positions.
    rate: learning rate of (update, width, warmup)."""
    pairs = [(source, said) for said in translations(model, [(source, [])], 1, run.device)]
    pair = [minidl.tensor(part, device=run.device) for part in arrays(pairs)]
    model(*pair)  # (1, S) and its translation (1, T), both with END
    within = model.encoder[-1].within.sublayer.weights[0, :, :-1, :-1].tolist()  # without END
    across = model.decoder[-1].across.sublayer.weights[0, :, :-1, :-1].tolist()
    read, said = ([names[n] for n in part[0, :-1].tolist()] for part in pair)
    with run.figure(12, 3.6) as figure:
        first, second, losses, rates = figure.subplots(1, 4, width_ratios=(3, 3, 4, 3))
        draw_heads(first, within, read, read, "Encoder: self-attention")
        draw_heads(second, across, said, read, "Decoder: attention to source")
        draw_losses(losses, run.curves, labels)
        draw_rates(rates, run.config, rate)


def draw_heads(
    axes: Any, heads: Sequence, queries: Sequence[str], keys: Sequence[str], title: str
) -> None:
    """As in the paper's figures 3 to 5: from each query (left) a line to each key (right), the
    stronger the more weight it has; a colour for each of the first heads. heads: (h, T, S)"""
    left, right = ([(i + 0.5) / len(side) for i in range(len(side))] for side in (queries, keys))
    for weights, colour in zip(heads, COLOURS, strict=False):
        for y, row in zip(left, weights, strict=True):
            for z, weight in zip(right, row, strict=True):
                if weight > 0.1:
                    axes.plot((0, 1), (y, z), color=colour, alpha=min(weight, 1), linewidth=2)
    size = min(10, 180 / max(len(queries), len(keys)))
    for x, side, heights, align in ((-0.06, queries, left, "right"), (1.06, keys, right, "left")):
        for name, y in zip(side, heights, strict=True):
            axes.text(x, y, name, ha=align, va="center", size=size)
    axes.text(0.5, 1.06, "query to key, a colour per head", ha="center", va="center", size=9)
    axes.set(xlim=(-0.4, 1.4), ylim=(1.1, 0))
    axes.set_axis_off()
    axes.set_title(title, size=10)


def draw_losses(axes: Any, curves: Mapping[str, Sequence], labels: Mapping[str, str]) -> None:
    for kind, label in labels.items():
        line, colour = LINES[kind]
        points = curves.get(f"{kind}: loss") or [(0, 0)]
        axes.plot(*zip(*points, strict=True), line, color=colour, label=label)
    axes.set(xlabel="updates", ylabel="training loss, labels smoothed")
    axes.set_title("Learning with and without positions", size=10)
    axes.legend(title="positions")
    axes.grid(alpha=0.3)


def draw_rates(axes: Any, config: Any, rate: Callable) -> None:
    steps = [round(10 ** (k / 20)) for k in range(101)]  # 1 to 100,000
    axes.loglog(steps, [rate(step, 512, 4000) for step in steps], "--", color="0.5", label="base")
    ours = {s: config.rate * rate(s, config.width, config.warmup) for s in steps}
    done = [step for step in steps if step <= config.updates]
    axes.loglog(done, [ours[step] for step in done], color=COLOURS[0], label="this run")
    axes.set(xlabel="updates", ylabel="learning rate")
    axes.set_title("Learning rate, equation 3", size=10)
    axes.legend(loc="lower right")
    axes.grid(alpha=0.3)
