"""SimCLR: images without labels teach features, if two distorted views of one image must agree.

[C] Chen, Kornblith, Norouzi, Hinton. A simple framework for contrastive learning of visual
representations. arXiv:2002.05709, 2020.

Reproduced  3.1, figure 5: crop and colour together make better features than either alone; 4.2,
            figure 8: so does the projection head, for the layer below it; table B.4: with few
            labels they beat training on the labels alone
            --full --images FOLDER: ResNet-50 and the head, 27,966,528 parameters, the views of
            appendix A, LARS, and a linear classifier that is trained beside them (B.6)
Simplified  5,000 grey images of 28 x 28, three convolutions, Adam, 190 updates; brightness, gamma
            and noise for colour; both views distorted, in every arm, where figure 5 distorts one;
            logistic regressions on 100 and 500 labels. The head W2 relu(W1 h) has one bias, inside;
            the authors' code also normalizes in it. --full: batches of 64, not 4096
Claims      exact facts of the loss; on fashion_mnist: the three above, and more than a random
            encoder. The first is near its thresholds: 6 points with 100 labels (seeds 5, 6, 7: 6.5,
            5.9, 5.0) and 1 with 500 (3.0, 0.9, 2.0). Linear head and z = g(h) are only reported
Expected    accuracy, %, with 100 and 500 labels: 68, 75; colour alone 61, 72; crop alone 58, 69; no
            head 58, 66; linear head 69, 75; random encoder 59, 70; from scratch 64, 68; 2 minutes
"""

import dataclasses
import itertools
import math

import numpy as np

import minidl
import minidl.nn.functional as F
from minidl import datasets, nn, optim
from minidl.utils.data import DataLoader, TensorDataset

from . import _imagenet, _images, _probe, _views, resnet
from . import _lab as lab
from ._lab import setting
from ._lars import LARS

PAPER = lab.Paper(
    year=2020,
    title="A simple framework for contrastive learning of visual representations",
    claim="Features that make two views of an image agree serve a linear classifier well.",
    published=23_508_032 + 4_458_496,  # ResNet-50 without its last layer, and the head
    minutes=2,
    packages=("matplotlib", "tqdm", "sklearn", "mlxtend"),
    judged_on=("fashion_mnist",),
)
SMOKE = {"epochs": 1, "train_images": 1000, "test_images": 300, "scratch_updates": 5}
FULL = {"epochs": 100, "batch": 64, "rate": 0.075, "temperature": 0.1}
LABELS, DRAWS = (100, 500), 3
ARMS = {  # views, head, and whether it is trained; the method's own arm, "SimCLR", has settings
    "random encoder": ("both", "none", False),
    "colour alone": ("colour", "mlp", True),
    "crop alone": ("crop", "mlp", True),
    "no head": ("both", "none", True),
    "linear head": ("both", "linear", True),
}
ALL, FEW, NONE = "ImageNet, all labels", "ImageNet, 1 % of the labels, fine-tuned", (None, "", "")
# Points above what, with 100 and 500 labels: mean - 2 sd of seeds 0 to 4, on fashion_mnist.
CLAIMS = (
    ("composed", "crop and colour beat either", "either alone", (6, 1), ("", "figure 5", ALL)),
    ("head", "an MLP head beats none", "no head", (7, 6.5), ("> 10 points", "4.2", ALL)),
    ("random", "beats a random encoder", "random encoder", (5, 4), NONE),
    ("scratch", "beats the labels alone", "from scratch", (0, 5), ("48.3, 25.4", "table B.4", FEW)),
    ("linear", "MLP and linear head", "linear head", (0, 0), ("3 points", "4.2", ALL)),
    ("before", "h and z = g(h)", "its head", (0, 0), ("> 10 points", "4.2", ALL)),
    ("accuracy", "accuracy", "nothing", (65.5, 73.5), NONE),
)


@dataclasses.dataclass(frozen=True)
class Config:
    seed: int = setting(0, "Seed of every random choice.", 0)
    data: str = setting("fashion_mnist", "Data set; claims are judged on this one only.")
    train_images: int = setting(5000, "Images to learn features from, without their labels.", 200)
    test_images: int = setting(10_000, "Images on which the probes are tested.", 1)
    views: str = setting("both", "Distortions in the method.", choices=("both", "crop", "colour"))
    head: str = setting("mlp", "Head in the method.", choices=("mlp", "linear", "none"))
    epochs: int = setting(10, "Passes over the images.", 1)
    batch: int = setting(256, "Images per update; each gives two views.", 2)
    rate: float = setting(2e-3, "Learning rate (full: times the root of the batch).", 0)
    temperature: float = setting(0.5, "tau of equation (1).", 1e-3)
    scratch_updates: int = setting(150, "Updates of a network that learns from labels alone.", 1)
    images: str = setting("", "Full: folder with train/<class>/ and val/<class>/.")
    warm_up: int = setting(10, "Full: epochs in which the rate rises.", 1)
    workers: int = setting(2, "Full: threads that read images.", 0)


# --- the method -------------------------------------------------------------------------------


def encoder():
    """f for (B, 1, 28, 28); its features are (B, 96)."""
    return nn.Sequential(
        *(nn.Conv2d(1, 24, 5, 2, padding=2, bias=False), nn.BatchNorm2d(24), nn.ReLU()),
        *(nn.Conv2d(24, 48, 3, 2, padding=1, bias=False), nn.BatchNorm2d(48), nn.ReLU()),
        *(nn.Conv2d(48, 96, 3, 2, padding=1, bias=False), nn.BatchNorm2d(96), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),  # (B, 96, 4, 4) -> (B, 96)
    )


def projection(features, out, kind="mlp"):
    """g: z = W2 relu(W1 h) (2.1); in figure 8 also z = W h and z = h."""
    if kind == "none":
        return nn.Identity()
    last = nn.Linear(features, out, bias=False)
    hidden = () if kind == "linear" else (nn.Linear(features, features), nn.ReLU())
    return nn.Sequential(*hidden, last)


def view(x, kind="both"):
    """t(x), of (B, 1, H, H), t ~ T drawn for each image."""
    if kind != "colour":
        x = _views.crop(x, smallest=0.45, size=x.shape[2])
    return x if kind == "crop" else _views.grey_colour(x, strength=0.5, noise=0.05)


def nt_xent(z, temperature):
    """Algorithm 1, of projections z (2N, D) whose rows k and k + N are views of one image: mean of
    (1)  l(i, j) = -log(exp(s_ij / tau) / sum_{k != i} exp(s_ik / tau))
    over the pairs (i, j) and (j, i), and the share of views that are most like their partner."""
    if len(z) < 4 or len(z) % 2:
        raise ValueError(f"nt_xent: expected two views of 2 or more images, got {len(z)} views")
    z = F.normalize(z)  # s_ij = z_i . z_j / (|z_i| |z_j|)
    itself = minidl.eye(len(z), dtype=minidl.bool, device=z.device)
    logits = (z @ z.T / temperature).masked_fill(itself, -math.inf)  # (2N, 2N); k != i
    partner = minidl.arange(len(z), device=z.device).roll(len(z) // 2)
    return F.cross_entropy(logits, partner), (logits.argmax(1) == partner).float().mean()


def nt_xent_by_loops(z, tau):
    """Algorithm 1 to the letter; its 2k - 1 and 2k are k and k + N here."""
    z, n, norm = z.numpy(), len(z) // 2, np.linalg.norm
    s = [[u @ v / (norm(u) * norm(v)) for v in z] for u in z]

    def loss(i, j):
        others = sum(np.exp(s[i][k] / tau) for k in range(2 * n) if k != i)
        return -np.log(np.exp(s[i][j] / tau) / others)

    return float(sum(loss(k, k + n) + loss(k + n, k) for k in range(n)) / (2 * n))


def train(run, stage, model, data, batch, updates, objective):
    """Adam, at a rate that falls to 0 as a cosine."""
    generator = minidl.Generator().manual_seed(run.config.seed)
    loader = DataLoader(data, batch, shuffle=True, drop_last=True, generator=generator)
    optimizer = optim.Adam(model.parameters(), run.config.rate)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, updates))
    at = lab.Training(run, stage, model, optimizer, schedule)
    model.train()
    for x, y in at.updates(loader, updates):
        loss, right = at.checked(objective, model, x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        at.report(loss.item(), len(x), accuracy=right.item())


def contrastive(run, arm, views, head, steps, *sets):
    """Algorithm 1; what the probes make of h and of z."""
    c = run.config

    def objective(model, x, y):  # y, the labels, are not used
        pairs = minidl.cat([view(x, views), view(x, views)])  # (2N, 1, 28, 28)
        return nt_xent(model(pairs), c.temperature)  # h = f(x), z = g(h)

    model = nn.Sequential(encoder(), projection(96, 48, head)).to(run.device)
    train(run, arm, model, sets[0], c.batch, steps, objective)
    run.keep(arm, model[0])
    seeds = range(DRAWS * c.seed, DRAWS * c.seed + DRAWS)
    of_h, of_z = (_probe.accuracies(part, *sets, LABELS, seeds) for part in (model[0], model))
    return of_h | {f"z {labels}": found for labels, found in of_z.items()}


def scratch(run, stage, labels, draw, train_set, test_set):
    """Test accuracy, %, of an encoder and a linear layer that only ever see these labels."""
    c, (x, y), (u, v) = run.config, train_set.tensors, test_set.tensors
    chosen = _probe.balanced(y, labels, DRAWS * c.seed + draw)
    model = nn.Sequential(encoder(), nn.Linear(96, 10)).to(run.device)

    def objective(model, x, y):
        scores = model(view(x, "crop"))  # (B, 10)
        return F.cross_entropy(scores, y), (scores.argmax(1) == y).float().mean()

    train(run, stage, model, TensorDataset(x[chosen], y[chosen]), 64, c.scratch_updates, objective)
    return 100 * float((_probe.outputs(model, u).argmax(1) == v.cpu().numpy()).mean())


def compare(run, *sets):
    """{arm: {labels: accuracies, % (one for each draw)}}"""
    c, found = run.config, {"from scratch": {str(labels): [] for labels in LABELS}}
    arms = {**ARMS, "SimCLR": (c.views, c.head, True)}
    steps, few = c.epochs * (len(sets[0]) // c.batch), c.scratch_updates
    total = sum(trained * steps for *_, trained in arms.values()) + len(LABELS) * DRAWS * few
    with run.progress("SimCLR", total):
        for arm, (views, head, trained) in arms.items():
            what = run, arm, views, head, trained * steps, *sets
            found[arm] = run.stage(arm, contrastive, *what, steps=trained * steps)
        for labels, draw in itertools.product(LABELS, range(DRAWS)):
            stage = f"from scratch, {labels} labels, draw {draw}"
            right = run.stage(stage, scratch, run, stage, labels, draw, *sets, steps=few)
            found["from scratch"][str(labels)].append(right)
    return found


# --- --full: ImageNet -------------------------------------------------------------------------


def full_simclr(run, images):
    """2.2: LARS, warm-up, a cosine. B.6: a linear classifier of h, whose gradient stops there,
    learns at the same time. Its top-1 and top-5 errors, %."""
    c = run.config
    f, g = resnet.initialise(resnet.full_network(classes=None)), projection(2048, 128, c.head)
    classifier = nn.Linear(2048, len(images.classes))
    model = nn.Sequential(f, g, classifier).to(run.device)
    loader = DataLoader(images.train, c.batch, shuffle=True, drop_last=True, num_workers=c.workers)
    val_loader = DataLoader(images.val, c.batch, num_workers=c.workers)
    warm, steps = c.warm_up * len(loader), c.epochs * len(loader)

    def factor(t):
        fallen = max(0, t - warm) / max(1, steps - warm)
        return min((t + 1) / warm, (1 + math.cos(math.pi * fallen)) / 2)

    def objective(model, x, y):
        pairs = minidl.cat([_views.full(x), _views.full(x)])  # (2N, 3, 224, 224)
        h = f(255 * pairs)  # (2N, 2048); `_imagenet.errors` gives numbers in 0..255 too
        loss, right = nt_xent(g(h), c.temperature)
        probe = F.cross_entropy(classifier(h.detach()), minidl.cat([y, y]))
        return loss + probe, loss, right, probe

    rate = c.rate * c.batch**0.5  # B.1; for batches of 4096 the 4.8 of 2.2
    groups = [{"params": [*f.parameters(), *g.parameters()]}]
    groups += [{"params": classifier.parameters(), "adapted": False}]
    optimizer = LARS(groups, rate, momentum=0.9, weight_decay=1e-6)
    schedule = optim.lr_scheduler.LambdaLR(optimizer, factor)
    at = lab.Training(run, "SimCLR", model, optimizer, schedule)
    tested = nn.Sequential(f, classifier), val_loader, [0.0, 0.0, 0.0], _imagenet.CENTRE, 224
    with run.progress("SimCLR", steps):
        for epoch in at.epochs(c.epochs):
            model.train()
            for x, y in at.batches(loader):
                x, y = x.to(run.device).float() / 255, y.to(run.device)
                total, loss, right, probe = at.checked(objective, model, x, y)
                optimizer.zero_grad()
                total.backward()
                optimizer.step()
                schedule.step()
                at.report(loss.item(), len(x), accuracy=right.item(), probe=probe.item())
            at.curve("top-1 error, %", _imagenet.errors(run, *tested)[0], epoch + 1)
    run.keep("simclr", model)
    return _imagenet.errors(run, *tested)


def measure_full(run, images):
    found = run.stage("SimCLR", full_simclr, run, images)
    about = {"metric": "validation error, %", "better": "lower", "ours": found[:1]}
    where = (35.5, "table B.1", "ILSVRC-2012, 100 epochs, batches of 4096")
    run.claim("top-1", "error of the linear classifier", "reported", None, paper=where, **about)
    with run.figure(6, 4) as figure:
        axes = figure.subplots()
        axes.plot(*zip(*run.curves["top-1 error, %"], strict=True), "o-", color="#0072b2")
        axes.set(xlabel="epoch", ylabel="top-1 error of the linear classifier, %")


# --- what a run measures ----------------------------------------------------------------------


def exact_facts(run):
    """Equation (1) against the double loop; what must be true of it, and of the views."""
    with lab.uninitialised():
        parts = resnet.full_network(classes=None), projection(2048, 128)
    run.built = sum(p.numel() for part in parts for p in part.parameters())
    z, x = minidl.randn(16, 5, dtype=minidl.float64), minidl.rand(100, 1, 28, 28)
    order, pairs = minidl.randperm(8), minidl.eye(8, dtype=minidl.float64).repeat(2, 1)

    def loss(z):
        return nt_xent(z, 0.3)[0].item()

    value, mixed = loss(z), z[minidl.cat([order, 8 + order])]
    known = math.log(1 + 14 * math.exp(-1 / 0.3))  # s_ij is 1 for each pair, 0 for others
    same = (view(x) == view(x)).flatten(1).all(1)
    for id, text, gap in (
        ("loops", "NT-Xent is algorithm 1, loop by loop", value - nt_xent_by_loops(z, 0.3)),
        ("tau", "orthogonal pairs: log(1 + 14 exp(-1 / tau))", loss(7 * pairs) - known),
        ("symmetric", "first and second views may be swapped", value - loss(z.roll(8, 0))),
        ("order", "the order of the images does not matter", value - loss(mixed)),
        ("views", "no image has two equal views", same.sum().item()),
    ):
        about = {"metric": "difference", "better": "lower", "exact": True}
        run.claim(id, text, "difference <= 1e-12", abs(gap) <= 1e-12, ours=[abs(gap)], **about)


def state_claims(run, found):
    ours = found["SimCLR"]
    for i, labels in enumerate(map(str, LABELS)):
        others = {arm: right[labels] for arm, right in found.items()}
        others["its head"], others["nothing"] = ours[f"z {labels}"], []
        others["either alone"] = max(others["crop alone"], others["colour alone"], key=np.mean)
        for id, text, other, points, paper in CLAIMS:
            gap, least = np.mean(ours[labels]) - np.mean(others[other] or 0), points[i]
            needed = f">= {least} {'points' if others[other] else '%'}"
            run.claim(
                f"{id}-{labels}",
                f"{text}, {labels} labels",
                needed if least else "reported",
                bool(gap >= least) if least else None,
                ours=ours[labels],
                baseline=others[other],
                metric=f"test accuracy, %, {DRAWS} draws of labels",
                paper=paper,
            )


def draw(run, found, test_set):
    (x, y), classes = test_set.tensors, run.data[0].classes
    with run.figure(12, 3.6) as figure:
        bars, views, before, after = figure.subplots(1, 4, width_ratios=(3, 0.9, 2.4, 2.4))
        _probe.draw_bars(bars, found, LABELS)
        minidl.manual_seed(run.config.seed)
        rows = minidl.cat([x[:8], view(x[:8]), view(x[:8])], 3)  # (8, 1, 28, 84)
        views.imshow(rows.flatten(0, 2).cpu().numpy(), cmap="gray")
        views.set(xticks=[], yticks=[], xlabel="images, two views")
        for axes, arm in ((before, "random encoder"), (after, "SimCLR")):
            model = encoder().to(run.device)
            model.load_state_dict(run.kept(arm))
            _probe.draw_map(axes, model, x[:1000], y[:1000], classes, run.config.seed)
            axes.set_title(f"Test images, {arm}")


def load(config, size):
    if size == "full":
        return lab.filling(config.batch, [_imagenet.folder(config.images, config.seed)])
    data = datasets.load(config.data, fallback=True)
    return lab.filling(config.batch, [data], config.train_images)


def measure(run, data):
    exact_facts(run)
    if run.size == "full":
        return measure_full(run, data)
    c = run.config
    chosen = _images.shuffled(len(data.train_images), c.seed)[: c.train_images]
    x, y = data.train_images[chosen], data.train_labels[chosen]
    u, v = data.test_images[: c.test_images], data.test_labels[: c.test_images]
    train_set, test_set = _images.tensors(x, y, run.device), _images.tensors(u, v, run.device)
    found = compare(run, train_set, test_set)
    state_claims(run, found)
    draw(run, found, test_set)
