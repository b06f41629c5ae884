"""ResNet: the facts of the paper, its networks, resuming, --full; claims under `claims`."""

import itertools
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
from minidl import nn
from minidl.testing import gradcheck, to_numpy
from papers import _lab, resnet
from papers.__main__ import main

# ------------------------------------------------------------------------------------ the networks


def size_of(model):
    return sum(p.numel() for p in model.parameters())


def test_full_size():
    """The published number of parameters; one forward and backward reaches each of them."""
    minidl.manual_seed(0)
    model = resnet.initialise(resnet.full_network())
    assert size_of(model) == resnet.PAPER.published == 25_557_032
    x = minidl.randn(2, 3, 64, 64)
    assert finite_gradients(model, x, minidl.tensor([7, 900]), resnet.objective) == []


def test_the_trunk_ends_in_2048_features():
    with _lab.uninitialised():
        trunk = resnet.full_network(classes=None)
    assert size_of(trunk) == 23_508_032
    resnet.initialise(trunk)
    assert trunk.eval()(minidl.zeros(1, 3, 32, 32)).shape == (1, 2048)


def test_maps_of_resnet_50():
    """Table 1: 56, 28, 14, 7 pixels after the stages, for images of 224."""
    x, shapes = minidl.zeros(1, 3, 224, 224), []
    with _lab.uninitialised():
        network = resnet.full_network()
    for layer in network.eval():
        if isinstance(layer, resnet.Block):  # its shape from the last convolution, without the sums
            conv = layer.branch[0], layer.branch[3], layer.branch[6]
            assert [c.kernel_size for c in conv] == [(1, 1), (3, 3), (1, 1)]
            assert [c.stride for c in conv][1:] == [(1, 1), (1, 1)]  # 2 only on the first
            width = x.shape[-1] // conv[0].stride[0]
            x = minidl.zeros(1, conv[2].out_channels, width, width)
            shapes.append(tuple(x.shape[1:3]))
        elif not isinstance(layer, nn.Linear):
            x = layer(x)
    stages = [(256, 56)] * 3 + [(512, 28)] * 4 + [(1024, 14)] * 6 + [(2048, 7)] * 3
    assert shapes == stages
    assert x.shape == (1, 2048)


@pytest.mark.parametrize(
    ("depth", "size"),
    [(20, 269_722), (32, 464_154), (44, 658_586), (56, 853_018), (110, 1_727_962)],
)
def test_sizes_of_the_cifar_networks(depth, size):
    """Table 6: 0.27, 0.46, 0.66, 0.85, 1.7 million; shortcuts of option A add none."""
    with _lab.uninitialised():
        for kind in resnet.KINDS:
            network = resnet.cifar_network(depth, kind=kind)
            assert size_of(network) == size
            weights = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
            assert len(weights) == depth
            assert all(m.bias is None for m in weights if isinstance(m, nn.Conv2d))


def test_maps_of_resnet_20():
    x, shapes = minidl.randn(2, 3, 32, 32), []
    for layer in resnet.cifar_network(20):
        x = layer(x)
        if isinstance(layer, resnet.Block):
            shapes.append(tuple(x.shape[1:]))
    assert shapes == [(16, 32, 32)] * 3 + [(32, 16, 16)] * 3 + [(64, 8, 8)] * 3
    assert x.shape == (2, 10)


def test_initial_weights_are_he_s():
    minidl.manual_seed(0)
    model = resnet.initialise(resnet.cifar_network(20))
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 9000:
            inputs = layer.weight[0].numel()
            assert abs(layer.weight.std().item() * (inputs / 2) ** 0.5 - 1) < 0.03
            assert abs(layer.weight.mean().item()) * inputs**0.5 < 0.05


# --------------------------------------------------------------------------------- the shortcuts


def test_option_a_is_the_formula_of_the_paper():
    """Every second pixel in each direction, zeros in the added maps; odd widths are rounded up."""
    minidl.manual_seed(0)
    x = minidl.randn(2, 3, 7, 6)
    y = to_numpy(resnet.OptionA()(x))
    assert y.shape == (2, 6, 4, 3)
    for b, c, i, j in itertools.product(range(2), range(6), range(4), range(3)):
        assert y[b, c, i, j] == (to_numpy(x)[b, c, 2 * i, 2 * j] if c < 3 else 0)


def block_by_parts(block, x):
    """Equation (1) with the batch norm after each convolution and before the sum."""
    conv1, norm1, _, conv2, norm2 = block.branch
    y = norm1(conv1(x))
    y = norm2(conv2(y * (y > 0)))
    y = y + block.shortcut(x)
    return y * (y > 0)


@pytest.mark.parametrize("down", [False, True])
def test_a_block_is_the_formula_of_the_paper(down):
    minidl.manual_seed(0)
    block = resnet.basic(4, down, "identity").double()
    with minidl.no_grad():
        for norm in (block.branch[1], block.branch[4]):
            norm.weight.normal_()
            norm.bias.normal_()
    x = minidl.randn(3, 4, 6, 6, dtype=minidl.float64)
    np.testing.assert_allclose(
        to_numpy(block(x)), to_numpy(block_by_parts(block, x)), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("kind", resnet.KINDS)
def test_what_is_left_when_the_branch_is_zero(kind):
    """The identity forward, unless the network is plain; backward only in the paper's own kind."""
    minidl.manual_seed(0)
    block = resnet.basic(4, False, kind)
    nn.init.zeros_(block.branch[-1].weight)
    x = minidl.rand(3, 4, 6, 6, requires_grad=True)
    y = block(x)
    y.sum().backward()
    assert (y == (0 if kind == "none" else x)).all()
    assert (x.grad == (1 if kind == "identity" else 0)).all()


def test_projections_only_where_the_maps_change():
    """Option B: 3 identities of 16 shortcuts are replaced in ResNet-50, and one of equal width."""
    with _lab.uninitialised():
        blocks = [m for m in resnet.full_network() if isinstance(m, resnet.Block)]
    projected = [i for i, block in enumerate(blocks) if not isinstance(block.shortcut, nn.Identity)]
    assert projected == [0, 3, 7, 13]
    for i in projected:
        conv, norm = blocks[i].shortcut
        assert conv.kernel_size == (1, 1) and isinstance(norm, nn.BatchNorm2d)
        assert conv.stride == ((1, 1) if i == 0 else (2, 2))


def test_gradient_of_the_loss():
    """Both kinds of block, at a size where every weight can be checked."""
    minidl.manual_seed(0)
    model = resnet.cifar_network(8, maps=1, channels=1).double()
    model[-1] = nn.Linear(4, 3).double()
    x, y = minidl.randn(2, 1, 8, 8, dtype=minidl.float64), minidl.tensor([2, 0])
    assert gradcheck(*loss_of_weights(model, resnet.objective, x, y))


def test_gradient_of_a_bottleneck():
    minidl.manual_seed(0)
    model = nn.Sequential(resnet.bottleneck(2, 1, 2), nn.Flatten(), nn.Linear(16, 3)).double()
    x, y = minidl.randn(3, 2, 4, 4, dtype=minidl.float64), minidl.tensor([2, 0, 1])
    assert gradcheck(*loss_of_weights(model, resnet.objective, x, y))


def test_one_batch_is_learnt_by_heart():
    minidl.manual_seed(0)
    model = resnet.initialise(resnet.cifar_network(20, 8, 1, 2))
    assert overfit(model, *digits(20), resnet.objective, steps=60, rate=0.05) == 1


# ----------------------------------------------------------------------------------------- a run

TINY = "--smoke --updates 40 --batch 8 --train-images 100 --test-images 50".split()
STAGES = ("plain-8", "plain-14", "res-8", "res-14")


def test_a_run_can_be_repeated_and_resumed_bit_for_bit(start, monkeypatch):
    """Stopped in the first network, after the rate fell in the second, and in the last."""
    start("resnet", *TINY, "--out", "whole")
    start("resnet", *TINY, "--out", "again")
    assert outcome("again") == outcome("whole")
    for after, *resume in ((7,), (66, "--resume"), (70, "--resume")):
        interrupted_after(after, monkeypatch, start, "resnet", *TINY, "--out", "parts", *resume)
        assert json.loads(Path("parts/metrics.json").read_text())["state"] == "interrupted"
    start("resnet", "--smoke", "--out", "parts", "--resume")
    assert outcome("parts") == outcome("whole")


def test_claims_and_figure_of_a_run(start):
    start("resnet", *TINY, "--out", "x")
    record = outcome("x")[0]
    exact = ["option-a", "identity", "gradient", "counts"]
    judged = ["degradation", "shortcuts", "no-degradation", "trains", "generalises"]
    reported = ["deeper-is-better", "shallow"]
    assert [claim["id"] for claim in record["claims"]] == [*exact, *judged, *reported]
    assert [claim["id"] for claim in record["claims"] if claim["holds"]] == exact
    assert record["params"] == {"built": 25_557_032, "published": 25_557_032}
    assert Path("x/figure.png").read_bytes().startswith(b"\x89PNG")


def test_the_training_error_is_that_of_the_last_40_updates(start):
    run = start("resnet", *TINY, "--updates", 65, "--out", "x")
    for stage in STAGES:
        curve = run.curves[f"{stage}: error"]
        assert [step for step, _ in curve] == [20, 40, 60]
        assert run.stages[stage]["training"] == (curve[1][1] + curve[2][1]) / 2


def test_the_rate_falls_twice_and_all_networks_start_alike(start, monkeypatch):
    rates, starts = [], []
    report, training = _lab.Training.report, _lab.Training.__init__

    def watch(self, run, stage, model, *arguments):
        starts.append({name: to_numpy(p).copy() for name, p in model.named_parameters()})
        training(self, run, stage, model, *arguments)

    def note(self, *arguments, **values):
        rates.append(self.parts["optimizer"].param_groups[0]["lr"])
        report(self, *arguments, **values)

    monkeypatch.setattr(_lab.Training, "__init__", watch)
    monkeypatch.setattr(_lab.Training, "report", note)
    start("resnet", *TINY, "--out", "x")
    np.testing.assert_allclose(rates[:40], [0.05] * 19 + [0.005] * 10 + [0.0005] * 11)
    for plain, residual in ((starts[0], starts[2]), (starts[1], starts[3])):
        for name, weight in plain.items():
            np.testing.assert_array_equal(weight, residual[name])


@pytest.mark.parametrize(
    ("kind", "failing"), [("none", ["identity", "gradient"]), ("detached", ["gradient"])]
)
def test_a_broken_shortcut_is_reported(start, kind, failing):
    run = start("resnet", *TINY, "--shortcut", kind, "--out", "x")
    assert [claim["id"] for claim in run.claims if claim["holds"] is False] == failing


# ---------------------------------------------------------------------------------------- --full


def test_what_full_needs_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["resnet", "--full"]) == 2
    assert "--full needs --images FOLDER" in capsys.readouterr().err
    assert main(["resnet", "--data", "folder"]) == 2
    assert "--data folder needs --full and --images FOLDER" in capsys.readouterr().err
    for depths in (("--deep", "57"), ("--shallow", "21"), ("--shallow", "56")):
        assert main(["resnet", *depths]) == 2
        assert "--shallow and --deep must be two numbers 6 n + 2" in capsys.readouterr().err


def test_full_size_on_a_small_set(start, monkeypatch):
    """What --full --data cifar10 does: networks of 16 maps, images moved by up to 4 pixels."""
    built, moved = [], []
    cifar_network, crops = resnet.cifar_network, resnet._imagenet.random_crops
    monkeypatch.setattr(
        resnet, "cifar_network", lambda *a, **k: built.append(a) or cifar_network(*a, **k)
    )
    monkeypatch.setattr(
        resnet._imagenet, "random_crops", lambda x, size: moved.append(x.shape) or crops(x, size)
    )
    few = ["--shallow", 8, "--deep", 14, "--updates", 40, "--batch", 4]
    run = start("resnet", "--full", "--data", "mnist-5k", *few, "--test-images", 50)
    assert run.config.train_images == 50_000
    assert built[-4:] == [(d, 16, 1, 1, k) for k in ("none", "identity") for d in (8, 14)]
    assert set(moved) == {(4, 1, 36, 36)}
    assert [claim["holds"] for claim in run.claims[4:]] == [None] * 7  # thresholds are for mnist


@pytest.fixture
def folder(tmp_path):
    """Two classes of images, red and blue; validation images apart."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for part, count in (("train", 6), ("val", 2)):
        for label, name in enumerate(("blue", "red")):
            place = tmp_path / "images" / part / name
            place.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 90, (260, 300, 3), dtype=np.uint8)
                pixels[:, :, 2 - 2 * label] += 150
                Image.fromarray(pixels).save(place / f"{i}.png")
    return tmp_path / "images"


@pytest.fixture
def narrow(monkeypatch):
    """ResNet-50 with a stem that leaves little to do and one block of each kind."""

    def network(classes=1000):
        return nn.Sequential(
            *(*resnet.conv(3, 8, 7, 8), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)),
            *(resnet.bottleneck(8, 4, 1), resnet.bottleneck(16, 4, 1)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, classes or 1)),
        )

    monkeypatch.setattr(resnet, "full_network", network)


def test_full_run_and_resume(start, folder, narrow, monkeypatch):
    options = ["--full", "--images", folder, "--epochs", 3, "--folder-batch", 4, "--group", 2]
    start("resnet", *options, "--out", "whole")
    interrupted_after(5, monkeypatch, start, "resnet", *options, "--out", "parts")
    checkpoint = minidl.load("parts/checkpoints/last.safetensors")
    assert (checkpoint["epoch"], checkpoint["step"]) == (1, 2)
    assert set(checkpoint["schedule"]) == {"best", "waited"}
    start("resnet", "--full", "--out", "parts", "--resume")
    assert outcome("parts") == outcome("whole")
    record = outcome("whole")[0]
    assert record["data"]["name"] == "images"
    assert len(record["curves"]["ResNet-50: validation error"]) == 3
    assert [c["id"] for c in record["claims"] if c["holds"] is None] == ["top-1", "top-5"]


def test_groups_are_parts_of_one_update(start, folder, narrow, monkeypatch):
    """The gradient of an update is the mean over its images, in groups of any size."""
    monkeypatch.setattr(nn.BatchNorm2d, "forward", lambda self, x: x)  # it alone depends on groups
    seen, objective = [], resnet.objective
    monkeypatch.setattr(
        resnet,
        "objective",
        lambda model, x, y: seen.append(tuple(x.shape)) or objective(model, x, y),
    )
    options = ["--full", "--images", folder, "--epochs", 1, "--folder-batch", 5, "--rate", 1e-6]
    for group in (5, 2):
        start("resnet", *options, "--group", group, "--out", f"groups of {group}")
    assert seen == [(5, 3, 224, 224)] * 2 + [(n, 3, 224, 224) for n in (2, 2, 1, 2, 2, 1)]
    one, two = (minidl.load(f"groups of {g}/checkpoints/resnet50.safetensors") for g in (5, 2))
    for name, weight in one.items():
        np.testing.assert_allclose(to_numpy(weight), to_numpy(two[name]), rtol=1e-4, atol=1e-6)


def test_ten_crops_of_224():
    """At the corners and the centre of 256 x 256 pixels, each with its mirror image."""
    rows, columns = np.mgrid[:256, :256].astype(np.uint8)
    image = minidl.tensor(np.stack([rows, columns, rows])[None])
    where = resnet._imagenet.TEN
    crops = list(resnet._imagenet.crops(image, [0.0, 0.0, 0.0], where, resnet.CROP))
    assert {tuple(crop.shape) for crop in crops} == {(1, 3, 224, 224)}
    corners = [(c[0, 0, 0, 0].item(), c[0, 1, 0].min().item()) for c in crops]
    assert corners[::2] == [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)] == corners[1::2]
    for plain, mirrored in zip(crops[::2], crops[1::2], strict=True):
        assert (plain.flip(3) == mirrored).all()


@pytest.mark.claims
def test_claims_on_three_seeds(tmp_path, monkeypatch):
    monkeypatch.undo()  # real data, if it can be had
    assert main(["verify", "resnet", "--seeds", "3", "--out", str(tmp_path)]) == 0
