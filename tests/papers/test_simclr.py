"""SimCLR: its loss, its views, LARS, the probes, --full, resuming; claims under `claims`."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from paper_checks import (
    digits,
    finite_gradients,
    interrupted_after,
    loss_of_weights,
    mnist_5k,
    outcome,
    overfit,
)

import minidl
import minidl.nn.functional as F
from minidl import datasets, nn
from minidl.testing import gradcheck, to_numpy
from papers import _imagenet, _lab, _probe, _views, resnet, simclr
from papers._lars import LARS


def loss_of(model, x, y):
    return simclr.nt_xent(model(x), 0.5)


# ------------------------------------------------------------------------- the network, the loss


def test_full_size():
    """ResNet-50 without its last layer, and the head: one forward and backward reaches all."""
    minidl.manual_seed(0)
    with _lab.uninitialised():
        trunk = resnet.full_network(classes=None)
    head = simclr.projection(2048, 128)
    counts = [sum(p.numel() for p in part.parameters()) for part in (trunk, head)]
    assert counts == [23_508_032, 4_458_496] and sum(counts) == simclr.PAPER.published
    model = nn.Sequential(resnet.initialise(trunk), head)
    assert finite_gradients(model, minidl.rand(4, 3, 32, 32), None, loss_of) == []


def test_heads():
    for kind, layers in (("none", 0), ("linear", 1), ("mlp", 2)):
        head = simclr.projection(96, 48, kind)
        assert sum(isinstance(layer, nn.Linear) for layer in head.modules()) == layers
        assert head(minidl.ones(2, 96)).shape == (2, 48 if layers else 96)


def nt_xent_by_logs(z, tau):
    """(1) with every exponential written out, views as 2k, 2k + 1, in the paper's order."""
    u = z / np.linalg.norm(z, axis=1, keepdims=True)
    terms = []
    for i in range(len(u)):
        scores = [u[i] @ u[k] / tau for k in range(len(u)) if k != i]
        terms.append(np.log(np.sum(np.exp(scores))) - u[i] @ u[i ^ 1] / tau)
    return np.mean(terms)


@pytest.mark.parametrize("tau", [0.1, 0.5, 3.0])
def test_the_loss_is_equation_1(tau):
    minidl.manual_seed(0)
    z = minidl.randn(14, 4, dtype=minidl.float64)
    loss, right = simclr.nt_xent(z, tau)
    interleaved = to_numpy(z).reshape(2, 7, 4).transpose(1, 0, 2).reshape(14, 4)
    assert abs(loss.item() - nt_xent_by_logs(interleaved, tau)) < 1e-12
    assert abs(loss.item() - simclr.nt_xent_by_loops(z, tau)) < 1e-12
    assert abs(simclr.nt_xent(z * minidl.rand(14, 1).double(), tau)[0].item() - loss.item()) < 1e-12
    u = to_numpy(F.normalize(z))
    near = (u @ u.T - 9 * np.eye(14)).argmax(1)
    assert right.item() == pytest.approx((near == np.roll(np.arange(14), 7)).mean())


def test_the_loss_of_uniform_and_of_perfect_projections():
    same, apart = minidl.ones(10, 3), minidl.eye(5).repeat(2, 1)
    assert simclr.nt_xent(same, 0.1)[0].item() == pytest.approx(np.log(9), rel=1e-5)
    assert simclr.nt_xent(apart, 0.1)[0].item() == pytest.approx(
        np.log(1 + 8 * np.exp(-10)), rel=1e-3
    )
    assert simclr.nt_xent(apart, 0.1)[1].item() == 1


@pytest.mark.parametrize("views", [0, 2, 5])
def test_one_image_has_nothing_to_be_told_apart_from(views):
    with pytest.raises(ValueError, match=f"two views of 2 or more images, got {views} views"):
        simclr.nt_xent(minidl.ones(views, 3), 0.5)


def test_gradient_of_the_loss():
    minidl.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3, bias=False)).double()
    x = minidl.randn(6, 5, dtype=minidl.float64)
    assert gradcheck(*loss_of_weights(model, loss_of, x, None))


def test_one_batch_is_learnt_by_heart():
    """Every view of 20 digits finds its partner among 39."""
    minidl.manual_seed(0)
    model = nn.Sequential(simclr.encoder(), simclr.projection(96, 48))
    x, _ = digits(20)
    pairs = minidl.cat([simclr.view(x), simclr.view(x)])
    assert loss_of(model, pairs, None)[1].item() < 0.9
    assert overfit(model, pairs, None, loss_of, steps=60, rate=0.03) == 1


# ------------------------------------------------------------------------------------- the views


def test_a_crop_is_resized_as_grid_sample_does_it():
    minidl.manual_seed(0)
    x = minidl.rand(3, 2, 9, 7)
    top, left, height, width = (minidl.rand(3, 1, 1, 1) / 2 for _ in range(4))
    ours = _views.resized(x, top, left, height, width, 5)
    theta = minidl.zeros(3, 2, 3)  # x, y in -1..1
    for row, (start, length) in enumerate(((left, width), (top, height))):
        theta[:, row, row] = length.flatten()
        theta[:, row, 2] = (2 * start + length - 1).flatten()
    grid = F.affine_grid(theta, (3, 2, 5, 5), align_corners=False)
    expected = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    np.testing.assert_allclose(to_numpy(ours), to_numpy(expected), atol=1e-5)


def test_crops_have_the_areas_and_ratios_they_say():
    """Of an image whose colours are its rows and columns; a half of the crops is mirrored."""
    minidl.manual_seed(0)
    rows, columns = np.mgrid[:100, :100].astype(np.float32)
    x = minidl.tensor(np.stack([rows, columns])[None].repeat(2000, 0))
    y = to_numpy(_views.crop(x, smallest=0.3, size=10))
    height, width = (np.ptp(y[:, i], axis=(1, 2)) * 10 / 9 / 100 for i in (0, 1))
    assert 0.29 < (height * width).min() < 0.33 and (height * width).max() > 0.97
    inside = (height < 0.999) & (width < 0.999)
    ratio = (width / height)[inside]
    assert 0.745 < ratio.min() < 0.78 and 1.28 < ratio.max() < 1.34
    mirrored = y[:, 1, 0, 0] > y[:, 1, 0, 9]
    assert 0.46 < mirrored.mean() < 0.54
    assert (y >= 0).all() and (y <= 99).all()


def test_hue_turns_colours():
    minidl.manual_seed(0)
    x = minidl.rand(4, 3, 6, 6)
    for turn, order in ((0, (0, 1, 2)), (1 / 3, (2, 0, 1)), (-1 / 3, (1, 2, 0)), (1, (0, 1, 2))):
        turned = _views.turned(x, minidl.full((4, 1, 1, 1), turn))
        np.testing.assert_allclose(to_numpy(turned), to_numpy(x)[:, order], atol=1e-5)
    grey = minidl.full((4, 3, 2, 2), 0.4)
    np.testing.assert_allclose(to_numpy(_views.turned(grey, minidl.rand(4, 1, 1, 1))), 0.4)
    import colorsys

    turned = to_numpy(_views.turned(x, minidl.full((4, 1, 1, 1), 0.13)))
    h, s, v = colorsys.rgb_to_hsv(*to_numpy(x)[1, :, 2, 3])
    np.testing.assert_allclose(
        turned[1, :, 2, 3], colorsys.hsv_to_rgb((h + 0.13) % 1, s, v), atol=1e-5
    )


def test_colours_are_jittered_or_dropped_as_often_as_they_say():
    """4 images in 5 are jittered, 1 in 5 is grey; without strength only the grey ones change."""
    minidl.manual_seed(0)
    x = minidl.rand(2000, 3, 2, 2)
    y = to_numpy(_views.colour(x))
    grey = np.ptp(y, axis=1).max((1, 2)) < 1e-6
    assert 0.17 < grey.mean() < 0.24  # a few lose their colours by saturation
    kept = (y == to_numpy(x)).all((1, 2, 3))
    assert 0.13 < kept.mean() < 0.19  # 0.2 x 0.8
    y = to_numpy(_views.colour(x, s=0.0))
    close = np.isclose(y, to_numpy(x), atol=1e-5).all((1, 2, 3))
    assert 0.77 < close.mean() < 0.83
    assert y.min() >= 0 and y.max() <= 1


def test_blur_is_a_gaussian_of_a_tenth_of_the_side(monkeypatch):
    x = minidl.zeros(1, 1, 40, 40)
    x[0, 0, 20, 20] = 1
    monkeypatch.setattr(_views, "uniform", lambda low, high, x: minidl.zeros(1, 1, 1, 1) + low)
    monkeypatch.setattr(_views, "sometimes", lambda p, changed, x: changed)
    y = to_numpy(_views.blur(x))
    assert y.sum() == pytest.approx(1, rel=1e-5) and y[0, 0, 20, 20] == pytest.approx(
        1
    )  # sigma 0.1
    monkeypatch.setattr(_views, "uniform", lambda low, high, x: minidl.zeros(1, 1, 1, 1) + high)
    y = to_numpy(_views.blur(x))[0, 0]
    line = np.exp(-(np.arange(-2, 3) ** 2) / 8) / np.exp(-(np.arange(-2, 3) ** 2) / 8).sum()
    np.testing.assert_allclose(y[18:23, 18:23], np.outer(line, line), rtol=1e-5)
    assert (np.argwhere(y > 0).min(0) == 18).all() and (np.argwhere(y > 0).max(0) == 22).all()


def test_views_differ_and_the_seed_decides_them():
    x, _ = digits(50)
    found = {}
    for kind in ("both", "crop", "colour"):
        minidl.manual_seed(3)
        first, second = simclr.view(x, kind), simclr.view(x, kind)
        assert first.shape == x.shape and first.min() >= 0 and first.max() <= 1 + 1e-6
        assert not (first == second).all(3).all(2).all(1).any()
        minidl.manual_seed(3)
        assert (simclr.view(x, kind) == first).all()
        found[kind] = first
    same = minidl.cat([x[:1]] * 20)  # every image of a batch has its own numbers
    assert len(np.unique(to_numpy(simclr.view(same)).reshape(20, -1), axis=0)) == 20
    empty = minidl.zeros(5, 1, 28, 28)
    assert to_numpy(simclr.view(empty, "crop")).max() == 0 < to_numpy(simclr.view(empty)).max()


def test_an_arm_distorts_only_what_it_says(monkeypatch):
    used = []
    for name in ("crop", "grey_colour"):
        monkeypatch.setattr(_views, name, lambda x, name=name, **_: used.append(name) or x)
    for kind, expected in (
        ("crop", "crop"),
        ("colour", "grey_colour"),
        ("both", "crop grey_colour"),
    ):
        used.clear()
        simclr.view(minidl.zeros(2, 1, 28, 28), kind)
        assert used == expected.split()


# --------------------------------------------------------------------------------- LARS, probes


def test_lars_by_hand():
    w = minidl.tensor([[3.0, 0.0], [0.0, 4.0]], requires_grad=True)
    b = minidl.tensor([1.0, 2.0], requires_grad=True)
    optimizer = LARS([w, b], lr=2.0, momentum=0.5, weight_decay=0.1, eta=0.01)
    weight, bias, v, u = to_numpy(w).copy(), to_numpy(b).copy(), 0, 0
    for k in (1.0, 3.0):
        w.grad, b.grad = minidl.full((2, 2), k), minidl.full((2,), k)
        optimizer.step()
        g = k + 0.1 * weight
        v = 0.5 * v + 2 * 0.01 * np.linalg.norm(weight) / np.linalg.norm(g) * g
        u = 0.5 * u + 2 * k
        weight, bias = weight - v, bias - u
        np.testing.assert_allclose(w.detach().numpy(), weight, rtol=1e-6)
        np.testing.assert_allclose(b.detach().numpy(), bias, rtol=1e-6)


def test_lars_of_a_group_that_is_not_adapted_has_decay_but_the_common_rate():
    w = minidl.tensor([[3.0, 0.0], [0.0, 4.0]], requires_grad=True)
    u = minidl.tensor([[3.0, 0.0], [0.0, 4.0]], requires_grad=True)
    groups = [{"params": [u]}, {"params": [w], "adapted": False}]
    optimizer, weight, v = LARS(groups, 2.0, 0.5, 0.1, eta=0.01), to_numpy(w).copy(), 0
    for _ in range(2):
        w.grad, u.grad = minidl.ones(2, 2), minidl.ones(2, 2)
        optimizer.step()
        v = 0.5 * v + 2 * (1 + 0.1 * weight)
        weight = weight - v
        np.testing.assert_allclose(w.detach().numpy(), weight, rtol=1e-6)
    assert abs(u.detach().numpy()).min() < 1 < abs(w.detach().numpy()).min()


def test_lars_moves_what_is_zero_and_its_state_is_saved():
    def parts():
        w = minidl.zeros(2, 2, requires_grad=True)
        return w, LARS([w], lr=0.1)

    (w, one), (u, two) = parts(), parts()
    w.grad = minidl.ones(2, 2)
    one.step()
    np.testing.assert_allclose(w.detach().numpy(), -0.1)
    u.data.copy_(w.detach())
    two.load_state_dict(one.state_dict())
    w.grad, u.grad = minidl.ones(2, 2), minidl.ones(2, 2)
    one.step(), two.step()
    assert (w == u).all() and not np.allclose(w.detach().numpy(), -0.1)


def test_a_map_of_any_seed():
    """t-SNE takes seeds below 2^32 only."""
    from matplotlib.figure import Figure

    minidl.manual_seed(0)
    x, y = minidl.randn(40, 4), minidl.arange(40) % 10
    seeds = (4, 2**32 + 4)
    figures = [Figure().subplots() for _ in seeds]
    for axes, seed in zip(figures, seeds, strict=True):
        _probe.draw_map(axes, nn.Identity(), x, y, "0123456789", seed)
    first, same = (axes.collections[0].get_offsets() for axes in figures)
    assert (first == same).all()


def test_labels_are_balanced_and_drawn_by_the_seed():
    y = minidl.tensor(mnist_5k().train_labels)
    one, again, other = (_probe.balanced(y, 100, seed) for seed in (1, 1, 2))
    assert (one == again).all() and set(one) != set(other)
    assert len(set(one)) == 100
    assert (np.bincount(y.numpy()[one]) == 10).all()


def test_probes_see_what_is_linear_in_the_outputs():
    """One-hot classes behind scales from 1e-3 to 1e3 are read; outputs without them are not."""
    minidl.manual_seed(0)
    y = minidl.arange(2000) % 10
    x = F.one_hot(y, 10).float() * 10.0 ** minidl.linspace(-3, 3, 10)
    noise = minidl.randn(2000, 10)

    def found(x):
        sets = [
            minidl.utils.data.TensorDataset(part, labels)
            for part, labels in ((x[:1000], y[:1000]), (x[1000:], y[1000:]))
        ]
        return _probe.accuracies(nn.Identity(), *sets, (100,), (0, 1))["100"]

    assert found(x) == [100, 100]
    assert max(found(noise)) < 20


def test_the_frozen_encoder_is_not_touched():
    model = simclr.encoder()
    before = {name: to_numpy(value).copy() for name, value in model.state_dict().items()}
    _probe.outputs(model, digits(20)[0])
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(to_numpy(value), before[name])


# ----------------------------------------------------------------------------------------- a run


@pytest.fixture(autouse=True)
def one_draw(monkeypatch):
    """The probes are the slowest part of a tiny run."""
    monkeypatch.setattr(simclr, "DRAWS", 1)


TINY = "--smoke --train-images 300 --test-images 60 --batch 100 --scratch-updates 2".split()


def test_a_run_can_be_repeated_and_resumed_bit_for_bit(start, monkeypatch):
    """Stopped in the second arm, in the method's own, and in a training on labels alone."""
    start("simclr", *TINY, "--out", "whole")
    start("simclr", *TINY, "--out", "again")
    assert outcome("again") == outcome("whole")
    resume = []
    for after in (5, 9, 3):  # 5 arms x 3 updates, then 2 x 2
        interrupted_after(after, monkeypatch, start, "simclr", *TINY, "--out", "parts", *resume)
    start("simclr", "--smoke", "--out", "parts", "--resume")
    assert outcome("parts") == outcome("whole")
    record = outcome("whole")[0]
    exact = ["loops", "tau", "symmetric", "order", "views"]
    assert [claim["id"] for claim in record["claims"] if claim["holds"]] == exact
    assert record["params"] == {"built": 27_966_528, "published": 27_966_528}
    image = Path("whole/figure.png").read_bytes()
    assert image.startswith(b"\x89PNG") and len(image) < 200_000

    # without the labels the features are the same; --head none makes the method the broken arm
    data = mnist_5k()
    others = replace(data, train_labels=data.train_labels[::-1].copy())
    monkeypatch.setattr(datasets, "load", lambda name, fallback=False: others)
    run = start("simclr", *TINY, "--out", "others", "--head", "none")
    for arm in ("no head", "colour alone", "random encoder"):
        assert outcome("others")[1][arm] == outcome("whole")[1][arm]
    assert outcome("others")[1]["SimCLR"] != outcome("whole")[1]["SimCLR"]
    assert run.stages["SimCLR"] == run.stages["no head"]


def test_a_batch_needs_its_images(start):
    message = "a batch of 301 is more than the 300 examples to train on"
    with pytest.raises(_lab.Misuse, match=message):
        start("simclr", *TINY, "--batch", 301)


@pytest.fixture
def found():
    """Accuracies by which every claim holds."""
    better = {"SimCLR": (70, 80), "linear head": (70, 80), "no head": (60, 70)}
    better |= {"crop alone": (50, 60), "colour alone": (60, 75), "random encoder": (55, 65)}
    better |= {"from scratch": (60, 70)}
    found = {arm: {"100": [a] * 3, "500": [b] * 3} for arm, (a, b) in better.items()}
    found["SimCLR"] |= {"z 100": [60] * 3, "z 500": [70] * 3}
    return found


def judged(found, data="fashion_mnist"):
    run = SimpleNamespace(data=[SimpleNamespace(name=data)], paper=simclr.PAPER, size="default")
    run.claims, run.claim = [], lambda *entries, **more: _lab.Run.claim(run, *entries, **more)
    simclr.state_claims(run, found)
    return {claim["id"]: (claim["holds"], claim["threshold"]) for claim in run.claims}


def test_claims_are_judged_on_fashion_only(found):
    names = [f"{id}-{n}" for id in ("composed", "head", "random", "accuracy") for n in (100, 500)]
    verdicts = judged(found)
    assert {id for id, (holds, _) in verdicts.items() if holds} == {*names, "scratch-500"}
    assert all(holds is not False for holds, _ in verdicts.values())
    elsewhere = judged(found, "mnist-5k")
    assert {holds for holds, _ in elsewhere.values()} == {None}
    assert elsewhere["head-100"][1].endswith("points, on fashion_mnist")


@pytest.mark.parametrize(
    "arm, claims",
    [
        ("no head", {"head-100", "head-500"}),
        ("colour alone", {"composed-100", "composed-500"}),
        ("crop alone", {"composed-100", "composed-500"}),
        ("random encoder", {"random-100", "random-500"}),
        ("from scratch", {"scratch-500"}),
    ],
)
def test_a_claim_fails_where_the_other_arm_is_as_good(found, arm, claims):
    found[arm] = found["SimCLR"]
    assert {id for id, (holds, _) in judged(found).items() if holds is False} == claims


def test_a_broken_loss_is_reported(monkeypatch):
    """Without the temperature two facts fail; with equal views another."""
    nt_xent, verdicts = simclr.nt_xent, {}
    run = SimpleNamespace(claim=lambda id, *_, **more: verdicts.update({id: _[2]}))
    minidl.manual_seed(0)
    simclr.exact_facts(run)
    assert list(verdicts.values()) == [True] * 5 and run.built == 27_966_528
    monkeypatch.setattr(simclr, "nt_xent", lambda z, tau: nt_xent(z, 1.0))
    monkeypatch.setattr(simclr, "view", lambda x: x)
    simclr.exact_facts(run)
    assert [id for id, holds in verdicts.items() if not holds] == ["loops", "tau", "views"]


# ---------------------------------------------------------------------------------------- --full


@pytest.fixture
def folder(tmp_path):
    """Two classes of images, red and blue; validation images apart."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for part, count in (("train", 4), ("val", 2)):
        for label, name in enumerate(("blue", "red")):
            place = tmp_path / "images" / part / name
            place.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 90, (260, 270 + i, 3), dtype=np.uint8)
                pixels[:, :, 2 - 2 * label] += 150
                Image.fromarray(pixels).save(place / f"{i}.png")
    return tmp_path / "images"


def narrow(classes=None):
    """A trunk of one convolution."""
    layers = nn.Conv2d(3, 4, 16, stride=16, bias=False), nn.BatchNorm2d(4), nn.ReLU()
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2048))


def test_full_run_and_resume(start, folder, monkeypatch):
    monkeypatch.setattr(resnet, "full_network", narrow)
    options = ["--full", "--images", folder, "--epochs", 3, "--warm-up", 1, "--batch", 4]
    run = start("simclr", *options, "--out", "whole")
    interrupted_after(3, monkeypatch, start, "simclr", *options, "--out", "parts")
    checkpoint = minidl.load("parts/checkpoints/last.safetensors")
    assert (checkpoint["epoch"], checkpoint["step"]) == (1, 1)
    start("simclr", "--full", "--out", "parts", "--resume")
    assert outcome("parts") == outcome("whole")
    assert len(run.curves["top-1 error, %"]) == 3
    assert run.claims[-1]["id"] == "top-1" and run.claims[-1]["holds"] is None


def test_rates_of_a_full_run(start, folder, monkeypatch):
    """Warm-up to 0.075 sqrt(batch), then a cosine to nothing."""
    rates, groups, step = [], [], LARS.step

    def watch(self):
        rates.append(self.param_groups[0]["lr"])
        groups.append([[p.shape for p in group["params"]] for group in self.param_groups])
        assert [group["adapted"] for group in self.param_groups] == [True, False]
        step(self)

    monkeypatch.setattr(LARS, "step", watch)
    monkeypatch.setattr(resnet, "full_network", narrow)
    start("simclr", "--full", "--images", folder, "--epochs", 4, "--warm-up", 2, "--batch", 4)
    down = [(1 + np.cos(np.pi * k / 4)) / 2 for k in range(4)]
    np.testing.assert_allclose(rates, 0.15 * np.array([0.25, 0.5, 0.75, 1, *down]))
    assert groups[0][1] == [(2, 2048), (2,)]  # the linear classifier, of two classes


def test_labels_reach_the_linear_classifier_only(start, folder, monkeypatch):
    monkeypatch.setattr(resnet, "full_network", narrow)
    options = "simclr", "--full", "--images", folder, "--epochs", 1, "--warm-up", 1, "--batch", 4
    start(*options, "--out", "labels")
    read = _imagenet.folder

    def others(*arguments):
        images = read(*arguments)
        images.train.samples = [(path, 1 - label) for path, label in images.train.samples]
        return images

    monkeypatch.setattr(_imagenet, "folder", others)
    start(*options, "--out", "others")
    one, two = (minidl.load(f"{x}/checkpoints/simclr.safetensors") for x in ("labels", "others"))
    changed = {name for name in one if not (to_numpy(one[name]) == to_numpy(two[name])).all()}
    assert changed == {"2.weight", "2.bias"}


@pytest.mark.claims
def test_claims_on_three_seeds(tmp_path, monkeypatch):
    from papers.__main__ import main

    monkeypatch.undo()  # real data, if it can be had
    assert main(["verify", "simclr", "--seeds", "3", "--out", str(tmp_path)]) == 0
