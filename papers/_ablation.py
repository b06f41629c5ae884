"""What the arms of `dqn.py` show: claims and pictures."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import minidl

from . import _games

ARMS = {  # name: replay, target network
    "replay, target": (True, True),
    "replay": (True, False),
    "newest, target": (False, True),
    "newest": (False, False),
}
COLOURS = dict(zip(ARMS, ("#0072b2", "#56b4e9", "#d55e00", "#e69f00"), strict=True))


def claim(
    run: Any,
    id: str,
    text: str,
    metric: str,
    measured: dict,
    ours: str,
    baseline: str,
    least: tuple | None,
    paper: str | None = None,
) -> None:
    """One arm against another, a number for each seed. least: of the mean ratio, and of the number
    on each seed; None if it is only reported."""
    a, b = measured[ours], measured[baseline]
    threshold, holds = "reported", None
    if least:
        threshold = f">= {least[0]:g} times, mean; >= {least[1]:g} each"
        with np.errstate(divide="ignore", invalid="ignore"):  # an agent may get nothing
            holds = bool((a / b).mean() >= least[0] and a.min() >= least[1])
    about = {"ours": a.tolist(), "baseline": b.tolist(), "metric": metric}
    where = (paper, "extended data table 3", "Breakout, 10 million frames")
    run.claim(id, text, threshold, holds, paper=where, **about)


def draw_learning(axes: Any, run: Any) -> None:
    """Mean and standard deviation, over the seeds, of the return of recent games."""
    seeds, steps = run.config.seeds, run.config.recipe.steps
    times, window = np.linspace(0, steps, 41)[1:], steps / 10
    for arm, line, label in (
        ("replay, target", "-", "from a replay memory"),
        ("newest, target", "--", "from the newest 32"),
    ):
        drawn = []
        for seed in seeds:
            ends, scores = np.array(run.curves.get(f"{arm}, seed {seed}: return", [(1, 0)])).T
            recent = [(ends > time - window) & (ends <= time) for time in times]
            drawn.append([scores[which].mean() if which.any() else np.nan for which in recent])
        mean, spread = np.mean(drawn, 0), np.std(drawn, 0)
        axes.plot(times, mean, line, color=COLOURS[arm], label=label)
        axes.fill_between(times, mean - spread, mean + spread, color=COLOURS[arm], alpha=0.2, lw=0)
    axes.set(xlabel="actions", ylabel="return of recent games", ylim=(0, None))
    axes.set_title(f"Learning, mean and sd of {len(seeds)} seeds")
    axes.legend(loc="upper left")


def draw_returns(axes: Any, returns: dict) -> None:
    """A point for each seed and arm."""
    for i, (arm, values) in enumerate(returns.items()):
        axes.plot(np.full(len(values), i), values, "o", color=COLOURS[arm], alpha=0.7)
        axes.plot([i - 0.25, i + 0.25], [np.mean(values)] * 2, color=COLOURS[arm], lw=3)
    names = ("replay\n+ target", "replay", "no replay\n+ target", "neither")
    axes.set_xticks(range(len(returns)), names)
    axes.set(ylabel="return in the second half", ylim=(0, None), xlim=(-0.6, len(returns) - 0.4))
    axes.set_title("The ablation: a point per seed")
    axes.grid(axis="y", alpha=0.3)


def draw_values(axes: Any, run: Any, bound: float) -> None:
    """Predicted values of held out states, a line per seed (arXiv:1312.5602, figure 2, right)."""
    seeds = run.config.seeds
    for arm, line, label in (
        ("replay", "--", "no target network"),
        ("replay, target", "-", "target network"),
    ):
        for seed in seeds:
            curve = np.array(run.curves[f"{arm}, seed {seed}: Q"]).T
            how = {"color": COLOURS[arm], "label": label if seed == seeds[0] else None}
            axes.plot(*curve, line, lw=1.4, **how)
    if run.config.game == "cartpole":
        axes.axhline(bound, color="black", ls=":", label=f"no policy gets more: {bound:.1f}")
    axes.set(xlabel="actions", ylabel="largest predicted value", yscale="log")
    axes.set_title("What the agent expects (log scale)")
    axes.legend(loc="lower right")


def film(run: Any, game: _games.Game, network: Callable, act: Callable) -> None:
    """The agent of the first seed before and after its training."""
    films, seed = {}, run.config.seeds[0]
    for when in ("untrained", "trained"):
        minidl.manual_seed(seed)
        model, pictures = network(game).to(run.device), []
        if when == "trained":
            model.load_state_dict(run.kept(f"agent-{seed}"))
        score = _games.play(game, partial(act, model, epsilon=0.05), run.device, pictures)
        films[f"{when} agent: score {score:g}"] = pictures
    with run.picture("agent.gif") as path:
        _games.animate(path, films, every=4)
