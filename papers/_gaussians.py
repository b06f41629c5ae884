"""Gaussians by brute force: what the formulas of diffusion are checked against.

Everything is one number wide, float64; an integral is a sum over a fine grid.
"""

import numpy as np

import minidl

GRID = np.linspace(-9, 9, 200_001)


def density(mean, variance):
    """That of N(mean, variance) on the grid; it sums to 1."""
    values = np.exp(-((GRID - mean) ** 2) / (2 * variance))
    return values / values.sum()


def walk(beta):
    """Add noise step by step: x_t = sqrt(1 - beta_t) x_{t-1} + sqrt(beta_t) noise. Returns what of
    x_0 is left after each step, and the variance of the noise, two arrays of (T,)."""
    left, variance, path = 1.0, 0.0, []
    for b in beta:
        left, variance = np.sqrt(1 - b) * left, (1 - b) * variance + b
        path.append((left, variance))
    return np.array(path).T


def posteriors(beta, x0, xt):
    """Mean and variance of x_{t-1} given x_t and x_0, for t = 2 .. T, two arrays of (T - 1,), by
    Bayes: its density is q(x_t | x_{t-1}) q(x_{t-1} | x_0), but for a factor."""
    found = []
    for b, left, variance in zip(beta[1:], *walk(beta)[:, :-1], strict=True):
        likelihood = np.exp(-((xt - np.sqrt(1 - b) * GRID) ** 2) / (2 * b))
        p = likelihood * density(left * x0, variance)
        p /= p.sum()
        mean = (p * GRID).sum()
        found.append((mean, (p * (GRID - mean) ** 2).sum()))
    return np.array(found).T


def kl(mean, variance, other_mean, other_variance):
    """The integral of p log(p / q)."""
    p, q = density(mean, variance), density(other_mean, other_variance)
    some = p > 0
    return (p[some] * np.log(p[some] / q[some])).sum()


def facts(betas, diffusion, gaussian_kl, decoder):
    """Id, text, gap and largest allowed gap of what the formulas of `ddpm` must agree with.

    betas: (schedule, steps) -> (steps,). diffusion: 20 steps of the cosine schedule, float64.
    """
    d, beta, t = diffusion, betas("cosine", 20), minidl.arange(1, 21)
    zero = minidl.zeros(20, 1, 1, 1, dtype=minidl.float64)
    one, x0, xt = zero + 1, zero + 0.3, zero - 0.7

    def gap(found, expected, first=0):
        return float(np.abs(found.numpy().flatten()[first:] - expected).max())

    left, variance = walk(beta)
    means, variances = posteriors(beta, 0.3, -0.7)
    f = np.cos((np.arange(20) / 20 + 0.008) / 1.008 * np.pi / 2) ** 2
    linear = float(np.prod(1 - betas("linear", 1000)))  # 4.035830e-05 with 1e-4 .. 0.02
    mu = (-0.7 - beta / np.sqrt(variance) * 0.3) / np.sqrt(1 - beta)
    greys = minidl.linspace(-1, 1, 17, dtype=minidl.float64)
    found = gaussian_kl(zero + 0.3, zero - 1, zero - 0.2, zero - 0.5)
    apart = kl(0.3, np.exp(-1), -0.2, np.exp(-0.5))
    schedules = gap(d.alpha_bar(t[:-1]), f[1:] / f[0]), abs(linear / 4.035830e-05 - 1)
    steps = gap(d.noisy(one, t, zero), left), gap(d.noisy(zero, t, one) ** 2, variance)
    bayes = gap(d.posterior_mean(x0, xt, t), means, 1), gap(d.log_small(t).exp(), variances, 1)
    bins = decoder(greys, 0.3 * one[0], -3 * one[0], 1 / 16).sum()
    return [
        ("schedules", "alpha-bar of both schedules", max(schedules), 1e-6),
        ("steps", "q(x_t | x_0) is t steps of noise", max(steps), 1e-12),
        ("posterior", "q(x_t-1 | x_t, x_0) is Bayes' rule", max(bayes), 1e-9),
        (
            "mean",
            "mu by way of x_0 is equation (11)",
            gap(d.mean(xt, t, x0, clip=False), mu),
            1e-12,
        ),
        ("kl", "KL of two Gaussians is its integral", gap(found, apart), 1e-9),
        ("decoder", "the bins of a pixel sum to 1", gap(bins, 1), 1e-9),
    ]
