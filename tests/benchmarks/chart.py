"""The bar chart of the ratios."""

from __future__ import annotations

from pathlib import Path

from . import report

# Okabe and Ito's colours, told apart with every kind of colour blindness.
COLOURS = {
    "torch": "#0072B2",
    "channels-last": "#E69F00",
    "compile": "#009E73",
    "jax": "#CC79A7",
}
NAMES = {
    "torch": "PyTorch",
    "channels-last": "PyTorch, channels-last",
    "compile": "torch.compile",
    "jax": "JAX",
}


def draw(results: dict, path: Path) -> None:
    """Bars of minidl's time divided by the others', left of 1 where minidl is faster."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    runs = report.flat(results["runs"])
    others = [c for c in results["about"] if c != "minidl"]
    found = {other: report.medians(runs, other) for other in others}
    names = report.unique(r["work"] for r in runs)[::-1]
    height = 0.8 / max(1, len(others))
    size = (8, 1.6 + len(names) * max(0.3, 0.16 * len(others)))
    figure, axes = pyplot.subplots(figsize=size, layout="constrained")
    for i, other in enumerate(others):
        rows = [k for k, name in enumerate(names) if name in found[other]]
        places = [k + 0.4 - height * (i + 0.5) for k in rows]
        values = [found[other][names[k]] for k in rows]
        bars = axes.barh(places, values, height * 0.9, color=COLOURS[other], label=NAMES[other])
        axes.bar_label(bars, [f"{v:.2f}" for v in values], padding=3, fontsize=10)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(names)), names, fontsize=12)
    axes.set_xlabel("minidl's time / the other's (left of the line: minidl is faster)", fontsize=12)
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=len(others), fontsize=11, frameon=False)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
