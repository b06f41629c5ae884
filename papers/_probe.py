"""What frozen features are good for: logistic regressions on few labels, and a map."""

import numpy as np

import minidl

from ._images import shuffled

COLOURS = "#0072b2 #d55e00 #009e73 #cc79a7 #e69f00 #56b4e9 #f0e442 #000000 #999999 #7a3e00".split()


def balanced(y: minidl.Tensor, labels: int, seed: int) -> np.ndarray:
    """The numbers of so many images, the same for each of the ten classes."""
    order = shuffled(len(y), seed)
    drawn = y.cpu().numpy()[order]
    return np.concatenate([order[drawn == k][: labels // 10] for k in range(10)])


@minidl.no_grad()
def outputs(model: minidl.nn.Module, x: minidl.Tensor) -> np.ndarray:
    """Of a frozen model."""
    model.eval()
    return np.concatenate([model(part).cpu().numpy() for part in x.split(500)])


def accuracies(model, train_set, test_set, counts, seeds) -> dict[str, list[float]]:
    """{"100": [...], ...}: test accuracy, %, of logistic regressions on the outputs, for each
    number of labels and each seed that draws them from the training images. The outputs are
    standardised on all training images: that needs no labels."""
    from sklearn.linear_model import LogisticRegression

    (x, y), (u, v) = train_set.tensors, test_set.tensors
    a, b = outputs(model, x), outputs(model, u)
    mean, scale, found = a.mean(0), a.std(0) + 1e-6, {}
    a, b, right, truth = (a - mean) / scale, (b - mean) / scale, y.cpu().numpy(), v.cpu().numpy()
    for labels in counts:
        drawn = [balanced(y, labels, seed) for seed in seeds]
        fits = [LogisticRegression(C=0.1, max_iter=1000).fit(a[i], right[i]) for i in drawn]
        found[f"{labels}"] = [100 * fit.score(b, truth) for fit in fits]
    return found


def draw_bars(axes, found, counts) -> None:
    """Mean accuracy of each arm with so many labels, {arm: {"100": [...], ...}}; a dot per draw."""
    tall = 0.8 / len(counts)
    for i, labels in enumerate(counts):
        values = [right[f"{labels}"] for right in found.values()]
        places = np.arange(len(found)) + (i - (len(counts) - 1) / 2) * tall
        means, colour = [np.mean(v) for v in values], ("#56b4e9", "#0072b2")[i % 2]
        axes.barh(places, means, tall, color=colour, label=f"{labels} labels")
        for place, mean, draws in zip(places, means, values, strict=True):
            axes.plot(draws, [place] * len(draws), "k.", markersize=3)
            axes.text(max(draws) + 2, place, f"{mean:.1f}", fontsize=8, va="center")
    axes.set_yticks(range(len(found)), found)
    axes.set(xlabel="test accuracy, %", xlim=(0, 95), ylim=(-0.6, len(found) + 0.3))
    axes.legend(loc="upper right", fontsize=8, ncols=len(counts))
    axes.set_title("Logistic regression on features")


def draw_map(axes, model, x, y, classes, seed) -> None:
    """t-SNE of the outputs, a colour and a name for each class."""
    from matplotlib.patheffects import withStroke
    from sklearn.manifold import TSNE

    a, y = outputs(model, x), y.cpu().numpy()
    a = (a - a.mean(0)) / (a.std(0) + 1e-6)
    how = {"init": "pca", "random_state": seed % 2**32}  # it takes no larger ones
    places = TSNE(perplexity=min(30, len(a) / 4), **how).fit_transform(a)
    around = [withStroke(linewidth=2, foreground="white")]
    for k, name in enumerate(classes):
        axes.scatter(*places[y == k].T, s=4, color=COLOURS[k % 10], linewidths=0)
        if (y == k).any():
            where = np.median(places[y == k], 0)
            axes.text(*where, name, fontsize=8, ha="center", va="center", path_effects=around)
    axes.set(xticks=[], yticks=[])
