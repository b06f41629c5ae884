"""DDPM: the facts of both papers, the judge, the runs; the claims under the marker `claims`."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from paper_checks import finite_gradients, interrupted_after, loss_of_weights, mnist_5k, outcome

import minidl
import minidl.nn.functional as F
from minidl import datasets, nn, optim
from minidl.datasets import ImageSet
from minidl.testing import assert_close, gradcheck, to_numpy
from papers import _gaussians, _grids, _judge, _lab, _unet, ddpm


def count(model):
    return sum(p.numel() for p in model.parameters())


def filled(model):
    """The layers that begin at 0 get weights, so that what is below them matters."""
    with minidl.no_grad():
        for parameter in model.parameters():
            if not parameter.abs().sum() > 0:
                parameter.normal_(0, 0.05)
    return model


# ------------------------------------------------------------------------------------ the networks


@pytest.mark.parametrize("improved, published", [(False, 35_746_307), (True, 52_546_438)])
def test_full_size(improved, published):
    """The published number of parameters; one forward and backward reaches each of them."""
    minidl.manual_seed(0)
    model = filled(_unet.full_unet(improved))
    assert count(model) == published
    assert improved or ddpm.PAPER.published == published
    d = ddpm.Diffusion("linear", 1000, 256)
    x, t, noise = minidl.randn(1, 3, 32, 32), minidl.tensor([300]), minidl.randn(1, 3, 32, 32)
    name = "hybrid" if improved else "simple"

    def objective(model, x, y):
        return ddpm.objective(model, d, x, t, noise, name)

    assert finite_gradients(model, x, None, objective) == []
    attends = [m for m in model.modules() if isinstance(m, _unet.Attention)]
    assert {a.heads for a in attends} == {4 if improved else 1}
    assert len(attends) == (3 + 4 + 3 + 4 + 1 if improved else 2 + 3 + 1)
    dropped = {m.p for m in model.modules() if isinstance(m, nn.Dropout)}
    assert dropped == {0.3 if improved else 0.1}


def test_small_network():
    """The number of parameters; at first it says 0; then its answer depends on the time."""
    minidl.manual_seed(0)
    model = _unet.SmallUNet()
    assert count(model) == 117_250
    x = minidl.randn(2, 1, 14, 14)
    assert model(x, minidl.tensor([0.0, 900.0])).abs().max() == 0
    filled(model)
    early, late = model(x, minidl.tensor([0.0, 0.0])), model(x, minidl.tensor([900.0, 900.0]))
    assert early.shape == (2, 2, 14, 14)
    assert (early - late).abs().max() > 1e-3
    for timed, same in ((True, False), (False, True)):
        d = ddpm.Diffusion("linear", 50, 17, timed)
        (a, _), (b, _) = (d.predict(model, x, minidl.tensor([t, t])) for t in (1, 50))
        assert bool((a == b).all()) == same


def test_attention_and_time_are_their_formulas():
    minidl.manual_seed(0)
    layer = filled(_unet.Attention(8, heads=2, groups=4)).double()
    x = minidl.randn(2, 8, 3, 3, dtype=minidl.float64)
    h = to_numpy(layer.qkv(layer.norm(x))).reshape(2, 24, 9)
    q, k, v = np.split(h, 3, 1)  # (B, C, pixels)
    y = np.empty((2, 8, 9))
    for b in range(2):
        for head in (slice(0, 4), slice(4, 8)):
            scores = q[b, head].T @ k[b, head] / 2
            weights = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
            y[b, head] = v[b, head] @ weights.T
    expected = x + layer.last(minidl.tensor(y).reshape(2, 8, 3, 3))
    assert_close(layer(x), expected, rtol=1e-10, atol=1e-10)

    embedded = to_numpy(_unet.time_embedding(minidl.tensor([3.0]), 4))[0]
    angles = np.array([3.0, 0.03])
    np.testing.assert_allclose(embedded, [*np.cos(angles), *np.sin(angles)], rtol=1e-5)

    block = filled(_unet.Block(4, 4, False, 3, 1, 2, 0.0, film=True))
    x, told = minidl.randn(2, 4, 3, 3), minidl.randn(2, 3)
    scale, shift = block.time(told)[:, :, None, None].chunk(2, 1)
    y = block.norm2(block.conv1(F.silu(block.norm1(x)))) * (1 + scale) + shift
    assert_close(block(x, told), x + block.conv2(F.silu(y)), rtol=1e-4, atol=1e-5)


# -------------------------------------------------------------------------------------- the method


def test_exact_facts():
    d = ddpm.Diffusion("cosine", 20, ddpm.GREYS, dtype=minidl.float64)
    facts = _gaussians.facts(ddpm.betas, d, ddpm.gaussian_kl, ddpm.decoder)
    assert len(facts) == 6
    for id, _, gap, most in facts:
        assert gap <= most, id


@pytest.mark.parametrize(
    "schedule, steps, t, alpha_bar",
    [
        ("linear", 1000, 1000, 4.035830e-05),
        ("linear", 1000, 500, 0.0785872),
        ("cosine", 1000, 500, 0.4938435904),
        ("cosine", 1000, 1000, 2.428767e-09),
        ("cosine", 50, 50, 9.7119e-07),
        ("linear", 50, 50, 7.7448e-06),
    ],
)
def test_schedules_are_the_published_ones(schedule, steps, t, alpha_bar):
    beta = ddpm.betas(schedule, steps)
    assert beta.shape == (steps,) and (beta > 0).all() and (beta <= 0.999).all()
    assert np.prod(1 - beta[:t]) == pytest.approx(alpha_bar, rel=1e-5)


def test_variances_lie_between_beta_tilde_and_beta():
    d, t = ddpm.Diffusion("cosine", 30, 17, dtype=minidl.float64), minidl.arange(1, 31)
    v = minidl.ones(30, 1, 1, 1, dtype=minidl.float64)
    beta = ddpm.betas("cosine", 30)
    logs = {name: to_numpy(d.log_variance(t, name, None)).ravel() for name in ("large", "small")}
    np.testing.assert_allclose(np.exp(logs["large"]), beta, rtol=1e-12)
    assert (logs["small"] < logs["large"])[1:].all()
    for sign, name in ((1, "large"), (-1, "small"), (0, "midpoint")):
        assert_close(d.log_variance(t, "learned", sign * v), d.log_variance(t, name, None))


class Oracle(nn.Module):
    """Knows the only image there is, and so the noise in what it sees."""

    def __init__(self, image, diffusion):
        super().__init__()
        self.image, self.diffusion = image, diffusion

    def forward(self, xt, clock):
        t = (clock * self.diffusion.steps / 1000).round().long() + 1
        a = self.diffusion.alpha_bar(t)
        noise = (xt - a.sqrt() * self.image) / (1 - a).sqrt()
        return minidl.cat([noise, -minidl.ones_like(noise)], 1)  # v = -1: beta tilde


class Bare:
    """What sampling needs of a run."""

    device, size = "cpu", "smoke"

    class bar:
        update = staticmethod(lambda: None)


def test_who_knows_the_noise_needs_no_bits_and_samples_the_image():
    """KL terms are 0, L_0 is nearly 0 where beta tilde_1 is small; ours is off by one nowhere."""
    minidl.manual_seed(0)
    d = ddpm.Diffusion("cosine", 200, 17, dtype=minidl.float64)
    image = minidl.randint(0, 17, (1, 1, 4, 4)).double() / 8 - 1
    oracle = Oracle(image, d)
    x0 = image.expand(5, 1, 4, 4)
    found = ddpm.bits(Bare, oracle, d, x0)
    assert list(found) == list(ddpm.VARIANCES)
    assert abs(found["learned"]) < 1e-6 and found["learned"] == found["small"]
    assert found["large"] > 0.01
    film = ddpm.sample(Bare, oracle, d, (5, 1, 4, 4), "learned")
    assert film.shape == (9, 5, 1, 4, 4)
    assert_close(film[-1].double(), x0, rtol=1e-5, atol=1e-5)
    assert film[0].std() > 0.8 and (film[4] - x0).abs().mean() > 0.1


def test_samples_have_the_variance_of_the_steps():
    """A network that always says 0: x_{t-1} is known, so the variance of x_0 is."""
    minidl.manual_seed(0)
    d = ddpm.Diffusion("linear", 40, 17)

    class Zero(nn.Module):
        def forward(self, x, clock):
            return minidl.zeros_like(x)

    unclipped = lambda xt, t, noise, clip: type(d).mean(d, xt, t, noise, False)  # noqa: E731
    d.mean = unclipped
    beta = ddpm.betas("linear", 40)
    for variance in ("large", "small"):
        x = ddpm.sample(Bare, Zero(), d, (4000, 1, 2, 2), variance)[-1]
        logs = to_numpy(d.log_variance(minidl.arange(1, 41), variance, None)).ravel()
        expected = 1.0
        for t in range(40, 0, -1):  # equation (11) with noise 0
            expected = expected / (1 - beta[t - 1]) + (np.exp(logs[t - 1]) if t > 1 else 0)
        assert float(x.var()) == pytest.approx(expected, rel=0.05)


def test_the_average_is_quick_while_it_is_young():
    """First the weights themselves, then with each new one 9/11, 9/12 ... at last 1 - decay."""
    model = nn.Linear(1, 1, bias=False)
    average = optim.swa_utils.AveragedModel(model, avg_fn=ddpm.averaging(0.5))
    values = []
    for value in (1.0, 2.0, 0.0):
        with minidl.no_grad():
            model.weight.fill_(value)
        average.update_parameters(model)
        values.append(average.module.weight.item())
    expected = [1, 1 + 9 / 11, (1 + 9 / 11) * 3 / 12]
    assert values == pytest.approx(expected, rel=1e-6)
    assert ddpm.averaging(0.5)(0.0, 1.0, minidl.tensor(1000)) == 0.5


def test_what_the_losses_teach():
    """L_hybrid = L_simple + 0.001 L_vlb; its L_vlb does not reach the noise, that of vlb does."""
    minidl.manual_seed(0)
    d = ddpm.Diffusion("cosine", 30, 17)
    x0, t = minidl.randint(0, 17, (6, 1, 4, 4)).float() / 8 - 1, minidl.tensor([1, 2, 5, 9, 20, 30])
    noise = minidl.randn_like(x0)
    made = minidl.randn(6, 2, 4, 4).requires_grad_()
    gradients, values = {}, {}
    for name in ("simple", "hybrid", "vlb"):
        loss, simple = ddpm.objective(lambda x, t: made, d, x0, t, noise, name)
        (gradients[name],) = minidl.autograd.grad(loss, made)
        values[name] = loss.item()
        assert simple.item() == values["simple"]
    assert values["hybrid"] == pytest.approx(values["simple"] + 0.001 * values["vlb"])
    (a, none), (b, v) = (gradients[name].chunk(2, 1) for name in ("simple", "hybrid"))
    assert_close(a, b) and not none.abs().sum() > 0
    reached, whole = gradients["vlb"].chunk(2, 1)
    assert v.abs().sum() > 0 and reached.abs().sum() > 0
    assert_close(v, 0.001 * whole, rtol=1e-4, atol=1e-8)


class Tiny(nn.Module):
    """One block with attention, where every weight can be checked."""

    def __init__(self):
        super().__init__()
        self.time = _unet.TimeNetwork(2, 3)
        self.first = nn.Conv2d(1, 2, 3, padding=1)
        self.block = _unet.Block(2, 2, True, 3, 1, 1, 0.0, film=True)
        self.last = _unet.Last(2, 2, 1)

    def forward(self, x, t):
        return self.last(self.block(self.first(x), self.time(t)))


@pytest.mark.parametrize("name", ["simple", "vlb"])
def test_gradient_of_the_losses(name):
    """That of L_hybrid, where the noise is detached, is made of these two: see above."""
    minidl.manual_seed(0)
    model = filled(Tiny()).double()
    d = ddpm.Diffusion("cosine", 5, 17, dtype=minidl.float64)
    x0 = minidl.randint(0, 17, (2, 1, 3, 3)).double() / 8 - 1
    t, noise = minidl.tensor([1, 4]), minidl.randn_like(x0)

    def objective(model, x, y):
        return ddpm.objective(model, d, x, t, noise, name)

    assert gradcheck(*loss_of_weights(model, objective, x0, None))


def test_one_batch_is_learnt_by_heart():
    """Two images with one noise and one t each."""
    minidl.manual_seed(0)
    model, d = _unet.SmallUNet(), ddpm.Diffusion("cosine", 30, 17)
    x, _ = ddpm.digits(mnist_5k().train_images[:2], mnist_5k().train_labels[:2], "cpu")
    x0, t = d.scaled(x), minidl.tensor([10, 20])
    noise = minidl.randn_like(x0)
    optimizer = optim.Adam(model.parameters(), 4e-3)
    losses = []
    for _ in range(100):
        loss, simple = ddpm.objective(model, d, x0, t, noise, "hybrid")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(simple.item())
    assert losses[0] > 0.7 and losses[-1] < 0.05


# --------------------------------------------------------------------------------------- the judge


def test_greys_are_means_of_four_pixels():
    bytes_ = np.zeros((1, 1, 28, 28), np.uint8)
    bytes_[0, 0, :2, :2] = [[255, 255], [255, 0]]
    bytes_[0, 0, 2:4, 2:4] = 255
    found, labels = ddpm.digits(bytes_, np.array([7]), "cpu")
    assert found.shape == (1, 1, 14, 14) and labels.tolist() == [7]
    assert (found[0, 0, 0, 0].item(), found[0, 0, 1, 1].item(), found.sum().item()) == (12, 16, 28)
    d = ddpm.Diffusion("linear", 30, ddpm.GREYS)
    assert to_numpy(d.scaled(minidl.tensor([0, 8, 16]))).tolist() == [-1, 0, 1]


def test_frechet_distance_of_gaussians():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(200_000, 3))
    b = a * [1, 2, 3] + [0, 0, 4]  # |m - n|^2 + sum of (s - r)^2
    assert _judge.frechet(a, b) == pytest.approx(16 + 1 + 4, rel=0.02)
    assert abs(_judge.frechet(a, a)) < 1e-9
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    assert _judge.frechet(a @ turn, b @ turn) == pytest.approx(_judge.frechet(a, b))


def test_judge_depends_on_its_seed_alone_and_sees_a_gaussian():
    data = mnist_5k()
    d = ddpm.Diffusion("linear", 30, ddpm.GREYS)
    x, labels = ddpm.digits(data.train_images[:400], data.train_labels[:400], "cpu")
    u, test_labels = ddpm.digits(data.test_images[:400], data.test_labels[:400], "cpu")
    x, u = d.scaled(x), d.scaled(u)
    minidl.manual_seed(5)
    judge = _judge.trained(x, labels, 1)
    minidl.manual_seed(6)
    again = _judge.trained(x, labels, 1)
    for a, b in zip(judge.parameters(), again.parameters(), strict=True):
        assert (a == b).all()
    assert _judge.accuracy(judge, u, test_labels) > 35
    made = _judge.gaussian(x, 1500)
    assert (made.mean(0) - x.mean(0)).abs().max() < 0.1
    assert abs(float(made.var()) / float(x.var()) - 1) < 0.03
    far = _judge.distances({"made": made[:300]}, x, labels, u, test_labels, 1)
    assert list(far) == ["made", "Gaussian", "real"]
    assert far["Gaussian"] > 2 * far["real"] and far["made"] > 2 * far["real"]


def test_copies_are_found():
    minidl.manual_seed(0)
    x, u = minidl.randn(50, 1, 4, 4), minidl.randn(30, 1, 4, 4)
    loops = [[np.linalg.norm(to_numpy(a - b)) for b in x] for a in u[:3]]
    np.testing.assert_allclose(_judge.nearest(u[:3], x), np.min(loops, 1), rtol=1e-6)
    assert _judge.copies(u, x, u) == 0
    assert _judge.copies(minidl.cat([u, x[:10] + 0.01]), x, u) == 25


def test_tiles_and_moments():
    assert _grids.moments(100) == [100, 77, 56, 39, 25, 14, 6, 2, 0]
    assert _grids.moments(8) == [8, 6, 4, 3, 2, 1, 0]

    images = minidl.tensor([-1.0, 1.0, 1.0, -1.0])[:, None, None, None].expand(4, 1, 2, 2)
    found = _grids.tiles(images, rows=2)
    assert found.shape == (5, 5, 1)
    assert found[[0, 0, 3, 3], [0, 3, 0, 3], 0].tolist() == [0, 1, 1, 0]
    assert found[2, 0, 0] == pytest.approx(0.6)


# ------------------------------------------------------------------------------------------ a run

TINY = "--updates 3 --batch 20 --images 60 --tested 4 --samples 40 --steps 8 --short 2"
EXACT = ["schedules", "steps", "posterior", "mean", "kl", "decoder"]


def test_a_run_can_be_repeated_and_resumed_bit_for_bit(start, monkeypatch):
    """Stopped in the first training, then in the last."""
    start("ddpm", "--smoke", *TINY.split(), "--out", "whole")
    start("ddpm", "--smoke", *TINY.split(), "--out", "again")
    assert outcome("again") == outcome("whole")
    for after, *resume in ((2,), (9, "--resume")):
        interrupted_after(
            after, monkeypatch, start, "ddpm", "--smoke", *TINY.split(), "--out", "parts", *resume
        )
        assert "average" in minidl.load("parts/checkpoints/last.safetensors")
    start("ddpm", "--smoke", "--out", "parts", "--resume")
    assert outcome("parts") == outcome("whole")
    record = outcome("whole")[0]
    assert [claim["id"] for claim in record["claims"] if claim["holds"]] == EXACT
    assert record["params"] == {"built": 35_746_307, "published": 35_746_307}
    assert Path("whole/figure.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_broken_fails(start, monkeypatch):
    """Not told the time, linear for cosine, no variance learned: the claims are about nothing."""
    options = ["--time", "off", "--schedule", "linear", "--objective", "simple"]
    monkeypatch.setattr(ddpm, "PAPER", dataclasses.replace(ddpm.PAPER, judged_on=()))
    run = start("ddpm", *TINY.split(), *options, "--out", "x")
    held = {claim["id"]: claim["holds"] for claim in run.claims}
    about = ("needs-time", "learned-linear", "learned-improved", "cosine", "bits")
    assert [held[id] for id in about] == [False] * 5
    assert all(held[id] for id in EXACT)
    found = run.stages
    assert found["improved"] == found["linear"] and found["DDPM"] == found["no time"]
    assert found["linear"]["learned"] == pytest.approx(found["linear"]["midpoint"], abs=1e-5)


def test_a_broken_fact_is_reported(start, monkeypatch):
    """The variance of beta instead of beta tilde in the posterior fails its claim."""
    init = ddpm.Diffusion.__init__

    def broken(self, *arguments, **more):
        init(self, *arguments, **more)
        self.log_small = self.log_large

    monkeypatch.setattr(ddpm.Diffusion, "__init__", broken)
    run = start("ddpm", "--smoke", *TINY.split(), "--out", "x")
    assert [claim["id"] for claim in run.claims if claim["holds"] is False] == ["posterior"]


# ---------------------------------------------------------------------------------------- --full


@pytest.fixture
def cifar(monkeypatch):
    """Forty noisy images of CIFAR-10's shape, and a 16th of the channels."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (40, 3, 32, 32), dtype=np.uint8), np.arange(40) % 10
    data = ImageSet("noise", images, labels, images[:3], labels[:3], tuple("abcdefghij"), "", {})
    monkeypatch.setattr(datasets, "load", lambda name, fallback=False: data)

    def network(improved):
        return _unet.UNet(3, 6 if improved else 3, 8, (1, 2), 1, (1,), groups=4, film=improved)

    monkeypatch.setattr(_unet, "full_unet", network)


FULL = "--full --updates 5 --batch 4 --steps 8 --warmup 2 --samples 40 --tested 2"


def test_full_run_of_the_first_paper(start, cifar):
    run = start("ddpm", *FULL.split(), "--look", 9)
    assert run.pictures == ["figure.png"]
    assert [c["id"] for c in run.claims if c["holds"] is None] == ["large", "small", "midpoint"]


def test_full_run_of_the_second_paper_and_resume(start, cifar, monkeypatch):
    options = [*FULL.split(), "--look", 4, "--objective", "hybrid", "--schedule", "cosine"]
    start("ddpm", *options, "--out", "whole")
    interrupted_after(2, monkeypatch, start, "ddpm", *options, "--out", "parts")
    start("ddpm", "--full", "--out", "parts", "--resume")
    assert outcome("parts") == outcome("whole")
    record = outcome("whole")[0]
    assert record["pictures"] == ["samples-4.png", "figure.png"]
    assert [c["id"] for c in record["claims"] if c["holds"] is None] == list(ddpm.VARIANCES)


def test_full_needs_cifar(start):
    with pytest.raises(_lab.Misuse, match="--full needs CIFAR-10"):
        start("ddpm", "--full")


@pytest.mark.claims
def test_claims_on_three_seeds(tmp_path, monkeypatch):
    from papers.__main__ import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.undo()
    assert main(["verify", "ddpm", "--seeds", "3", "--out", str(tmp_path)]) == 0
