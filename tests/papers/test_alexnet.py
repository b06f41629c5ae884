"""AlexNet: the facts of the paper, the recipe of --full, resuming; claims under `claims`."""

import json
from pathlib import Path

import numpy as np
import pytest
from paper_checks import (
    digits,
    finite_gradients,
    interrupted_after,
    loss_of_weights,
    outcome,
    overfit,
)

import minidl
import minidl.nn.functional as F
from minidl import nn
from minidl.testing import assert_close, gradcheck, to_numpy
from papers import _imagenet, _lab, alexnet

# ------------------------------------------------------------------------------------ the networks


def test_full_size():
    """The published number of parameters; one forward and backward reaches each of them."""
    minidl.manual_seed(0)
    with _lab.uninitialised():
        model = alexnet.full_network()
    model = alexnet.initialise(model, biases=(0, 1, 0, 1, 1, 1, 1, 0))
    assert sum(p.numel() for p in model.parameters()) == alexnet.PAPER.published == 60_965_224
    x = 50 * minidl.randn(1, 3, 227, 227)
    assert finite_gradients(model, x, minidl.tensor([7]), alexnet.objective) == []
    for layer, bias in zip((0, 4, 8, 10, 12, 16, 19, 22), (0, 1, 0, 1, 1, 1, 1, 0), strict=True):
        weight = model[layer].weight
        assert (model[layer].bias == bias).all()
        assert abs(weight.std().item() - 0.01) < 0.0002
        assert abs(weight.mean().item()) < 0.0002


def test_small_size_and_order():
    model = alexnet.small_network()
    assert sum(p.numel() for p in model.parameters()) == 375_018
    names = "Conv2d ReLU LocalResponseNorm MaxPool2d Conv2d ReLU LocalResponseNorm MaxPool2d"
    names += " Conv2d ReLU Flatten Linear ReLU Dropout Linear ReLU Dropout Linear"
    assert [type(layer).__name__ for layer in model] == names.split()
    assert [m.groups for m in model if isinstance(m, nn.Conv2d)] == [1, 2, 2]
    assert {(m.kernel_size, m.stride) for m in model if isinstance(m, nn.MaxPool2d)} == {(3, 2)}


def test_uninitialised_layers_have_the_shapes_of_the_others():
    with _lab.uninitialised():
        bare = alexnet.small_network()
    shapes = [p.shape for p in alexnet.small_network().parameters()]
    assert [p.shape for p in bare.parameters()] == shapes
    assert nn.Linear(50, 50).weight.std() > 0.01  # layers built later draw again


def response_norm_by_loops(a, n=5, k=2.0, alpha=1e-4, beta=0.75):
    """[A] 3.3, one element after the other; i and j are maps."""
    b = np.empty_like(a)
    maps = a.shape[1]
    for i in range(maps):
        total = np.zeros_like(a[:, 0])
        for j in range(max(0, i - n // 2), min(maps - 1, i + n // 2) + 1):
            total += a[:, j] ** 2
        b[:, i] = a[:, i] / (k + alpha * total) ** beta
    return b


def test_response_norm_is_the_paper_s_formula():
    minidl.manual_seed(0)
    a = 100 * minidl.randn(2, 9, 3, 4, dtype=minidl.float64)
    expected = response_norm_by_loops(to_numpy(a))
    np.testing.assert_allclose(to_numpy(alexnet.response_norm()(a)), expected, rtol=1e-12)
    divided = to_numpy(nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2)(a))
    assert abs(divided / expected - 1).max() > 0.1  # what PyTorch's alpha would give


def test_groups_do_not_see_each_other():
    """A change in the lower half of the maps below does not reach the upper half above."""
    minidl.manual_seed(0)
    conv = alexnet.small_network()[4]
    x = minidl.randn(1, 16, 6, 6)
    y = conv(x)
    x[:, :8] += 1
    changed = to_numpy((conv(x) != y).any(0).any(1).any(1))
    assert changed.tolist() == [True] * 16 + [False] * 16
    halves = [F.conv2d(x[:, 8:], conv.weight[16:], conv.bias[16:], padding=2)]
    assert_close(conv(x)[:, 16:], halves[0], rtol=1e-5, atol=1e-6)


def test_pooling_windows_overlap():
    """A single bright pixel between two windows is seen by both, in each direction."""
    image = minidl.zeros(1, 1, 7, 7)
    image[0, 0, 2, 4] = 1
    pool = alexnet.small_network()[3]
    assert to_numpy(pool(image))[0, 0].tolist() == [[0, 1, 1], [0, 1, 1], [0, 0, 0]]


def test_gradient_of_the_loss():
    """The parts of the network, at a size where every weight can be checked."""
    minidl.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.LocalResponseNorm(3, 0.3, 0.75, 2)),
        nn.MaxPool2d(3, stride=2),
        *(nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, stride=2)),
        *(nn.Flatten(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)),
    ).double()
    x, y = minidl.randn(2, 1, 7, 7, dtype=minidl.float64), minidl.tensor([2, 0])
    assert gradcheck(*loss_of_weights(model, alexnet.objective, x, y))


def test_one_batch_is_learnt_by_heart():
    minidl.manual_seed(0)
    model = alexnet.initialise(alexnet.small_network())
    x, y = digits(20)
    assert overfit(model, (x - x.mean(0)) / 0.35, y, alexnet.objective, steps=120, rate=0.02) == 1


# ----------------------------------------------------------------------------------------- a run

TINY = "--smoke --small-images 150 --test-images 100 --epochs 2 --pair-epochs 1 --race-epochs 2"


def test_a_run_can_be_repeated_and_resumed_bit_for_bit(start, monkeypatch):
    """Stopped in AlexNet, then in a dropout network, then in the race; 6 + 6 x 10 + 2 x 6 steps."""
    start("alexnet", *TINY.split(), "--out", "whole")
    start("alexnet", *TINY.split(), "--out", "again")
    assert outcome("again") == outcome("whole")
    for after, *resume in ((4,), (30, "--resume"), (40, "--resume")):
        interrupted_after(
            after, monkeypatch, start, "alexnet", *TINY.split(), "--out", "parts", *resume
        )
        assert json.loads(Path("parts/metrics.json").read_text())["state"] == "interrupted"
    start("alexnet", "--smoke", "--out", "parts", "--resume")
    assert outcome("parts") == outcome("whole")


def test_claims_and_figure_of_a_run(start):
    start("alexnet", *TINY.split(), "--out", "x")
    record = outcome("x")[0]
    exact = ["response-norm", "groups", "geometry"]
    judged = [*exact, "beats-linear", "dropout", "dropout-hidden", "mean-network", "relu-tanh"]
    assert [claim["id"] for claim in record["claims"]] == judged
    assert [claim["id"] for claim in record["claims"] if claim["holds"]] == exact
    assert record["params"] == {"built": 60_965_224, "published": 60_965_224}
    assert record["data"]["name"] == "mnist-5k" and record["data"]["real"] is True
    image = Path("x/figure.png").read_bytes()
    assert image.startswith(b"\x89PNG") and len(image) < 150_000


def test_a_broken_fact_is_reported(start, monkeypatch):
    """PyTorch's alpha, in place of the paper's, fails its claim."""
    divided = lambda: nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2)  # noqa: E731
    monkeypatch.setattr(alexnet, "response_norm", divided)
    run = start("alexnet", *TINY.split(), "--out", "x")
    assert [claim["id"] for claim in run.claims if claim["holds"] is False] == ["response-norm"]


# ---------------------------------------------------------------------------------------- --full


@pytest.fixture
def folder(tmp_path):
    """Two classes of images, red and blue, of different sizes; validation images apart."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for part, count in (("train", 6), ("val", 2)):
        for label, name in enumerate(("blue", "red")):
            place = tmp_path / "images" / part / name
            place.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 90, (260 + 10 * i, 300, 3), dtype=np.uint8)
                pixels[:, :, 2 - 2 * label] += 150
                Image.fromarray(pixels).save(place / f"{i}.png")
    return tmp_path / "images"


@pytest.fixture
def narrow(monkeypatch):
    """The network of 2012 with a 24th of its maps."""

    def network(classes=1000):
        return nn.Sequential(
            *(nn.Conv2d(3, 8, 11, stride=4), nn.ReLU(), alexnet.response_norm()),
            nn.MaxPool2d(3, stride=2),
            *(nn.Conv2d(8, 8, 5, padding=2, groups=2), nn.ReLU(), alexnet.response_norm()),
            nn.MaxPool2d(3, stride=2),
            *(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.ReLU()),
            *(nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.ReLU()),
            nn.MaxPool2d(3, stride=2),
            *(nn.Flatten(), nn.Dropout(0.5), nn.Linear(288, 16), nn.ReLU()),
            *(nn.Dropout(0.5), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, classes)),
        )

    monkeypatch.setattr(alexnet, "full_network", network)


def test_full_run_and_resume(start, folder, narrow, monkeypatch):
    options = ["--full", "--images", folder, "--epochs", 3, "--batch", 4, "--rate", 1e-3]
    start("alexnet", *options, "--out", "whole")
    interrupted_after(5, monkeypatch, start, "alexnet", *options, "--out", "parts")
    checkpoint = minidl.load("parts/checkpoints/last.safetensors")
    assert (checkpoint["epoch"], checkpoint["step"]) == (1, 2)
    assert set(checkpoint["schedule"]) == {"best", "waited"}
    start("alexnet", "--full", "--out", "parts", "--resume")
    assert outcome("parts") == outcome("whole")
    record = outcome("whole")[0]
    assert record["size"] == "full" and record["data"]["name"] == "images"
    assert len(record["curves"]["validation error, %"]) == 3
    assert [c["id"] for c in record["claims"] if c["holds"] is None] == ["top-1", "top-5"]


def test_the_rate_of_a_full_run_depends_on_the_validation_error(start, folder, narrow, monkeypatch):
    seen = []
    monkeypatch.setattr(_imagenet.Plateau, "step", lambda self, error: seen.append(error))
    run = start("alexnet", "--full", "--images", folder, "--epochs", 2, "--batch", 6)
    assert [[1, seen[0]], [2, seen[1]]] == run.curves["validation error, %"]


def test_without_validation_images_some_are_held_out(folder):
    images = _imagenet.folder(str(folder / "train"), seed=0)
    assert (len(images.train), len(images.val), images.classes) == (11, 1, ["blue", "red"])
    assert not set(images.train.indices) & set(images.val.indices)
    assert images.sha256 == _imagenet.folder(str(folder / "train"), seed=1).sha256
    (folder / "train" / "red" / "0.png").unlink()
    assert images.sha256 != _imagenet.folder(str(folder / "train"), seed=0).sha256


def coordinates(count):
    """Images whose first two colours say where each pixel is."""
    rows, columns = np.mgrid[:256, :256].astype(np.uint8)
    image = np.stack([rows, columns, np.full_like(rows, 7)])
    return minidl.tensor(np.repeat(image[None], count, 0))


def test_random_crops_and_mirrors():
    minidl.manual_seed(0)
    plain = {"mean": [0.0, 0.0, 0.0], "colours": np.zeros((3, 3)).tolist()}
    x = to_numpy(_imagenet.augment(coordinates(200), **plain))
    assert x.shape == (200, 3, 227, 227)
    tops, lefts = x[:, 0, 0, 0], x[:, 1, 0].min(1)
    assert set(tops) == set(lefts) == set(range(30))
    mirrored = x[:, 1, 0, 0] > x[:, 1, 0, 1]
    assert 75 < mirrored.sum() < 125
    for image, top, left, mirror in zip(x, tops, lefts, mirrored, strict=True):
        across = np.arange(left, left + 227)
        np.testing.assert_array_equal(image[1, 5], across[::-1] if mirror else across)
        np.testing.assert_array_equal(image[0, :, 3], np.arange(top, top + 227))


def test_colour_noise_has_the_covariance_of_the_paper():
    """Cov of [p1, p2, p3] [a1 l1, a2 l2, a3 l3]', a ~ N(0, 0.1): 0.01 P L^2 P'. Per image."""
    minidl.manual_seed(0)
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(5, 3, 3)) @ np.diag([9, 3, 1])
    images = [((40 * m[:, :, None] + 128).clip(0, 255).astype(np.uint8), 0) for m in mixed]
    images = [(np.repeat(np.repeat(i, 8, 1), 8, 2), y) for i, y in images]
    found = _imagenet.colour_statistics(images, seed=0)
    pixels = np.concatenate([i[:, ::4, ::4].reshape(3, -1) for i, _ in images], 1) / 255
    np.testing.assert_allclose(found["mean"], 255 * pixels.mean(1))
    covariance = np.cov(pixels)
    noise = []
    for _ in range(8):
        x = _imagenet.augment(minidl.zeros(100, 3, 256, 256, dtype=minidl.uint8), **found)
        x = to_numpy(x) + np.array(found["mean"])[:, None, None]
        assert np.ptp(x, axis=(2, 3)).max() < 1e-3
        noise.append(x[:, :, 0, 0] / 255)
    measured = np.cov(np.concatenate(noise).T)
    expected = 0.01 * covariance @ covariance
    np.testing.assert_allclose(measured, expected, atol=0.15 * expected.max())


def test_ten_crops_and_errors():
    x = coordinates(1)
    crops = list(_imagenet.crops(x, [0.0, 0.0, 0.0], _imagenet.TEN))
    corners = [
        (c[0, 0, 0, 0].item(), min(c[0, 1, 0, 0].item(), c[0, 1, 0, -1].item())) for c in crops
    ]
    assert corners == [p for p in ((0, 0), (0, 29), (29, 0), (29, 29), (14, 14)) for _ in (0, 1)]
    for plain, mirrored in zip(crops[::2], crops[1::2], strict=True):
        assert (plain.flip(3) == mirrored).all()

    class Certain(nn.Module):
        """Six classes; says the label that the third colour of the crop is."""

        def forward(self, x):
            return F.one_hot(x[:, 2, 0, 0].long(), 6).float() * 9 - minidl.arange(6).float()

    class Run:
        device = "cpu"

    images = coordinates(4)
    for i in range(4):
        images[i, 2] = i
    loader = [(images[:3], minidl.tensor([0, 1, 5])), (images[3:], minidl.tensor([2]))]
    top1, top5 = _imagenet.errors(Run, Certain(), loader, [0.0, 0.0, 0.0], _imagenet.TEN)
    assert (top1, top5) == (50.0, 25.0)


def test_the_rate_falls_when_the_error_stops_falling():
    optimizer = minidl.optim.SGD([minidl.zeros(1, requires_grad=True)], lr=0.01)
    plateau = _imagenet.Plateau(optimizer, patience=2)
    rates = []
    for error in (90, 80, 80, 85, 79, 79, 79, 79, 79):
        plateau.step(error)
        rates.append(optimizer.param_groups[0]["lr"])
    assert np.allclose(rates, [1e-2] * 3 + [1e-3] * 3 + [1e-4] * 2 + [1e-5])


@pytest.mark.claims
def test_claims_on_three_seeds(tmp_path, monkeypatch):
    from papers.__main__ import main

    monkeypatch.undo()  # real data, if it can be had
    assert main(["verify", "alexnet", "--seeds", "3", "--out", str(tmp_path)]) == 0
