"""How near are made images to real ones? What a classifier of the real ones makes of both.

Heusel et al. arXiv:1706.08500 compare features of an Inception network; digits of 14 x 14 pixels
have a classifier of their own. Its features, and so all distances, differ from judge to judge:
compare distances of one judge, and between equal numbers of images. The judge has convolutions: to
one of linear layers alone, samples of a Gaussian with the digits' mean and covariance look as real
as digits, since sums of many pixels are all it sees.
"""

import numpy as np

import minidl
import minidl.nn.functional as F
from minidl import nn, optim

FEATURES = 32


def trained(images, labels, seed, epochs=4, batch=50, rate=2e-3):
    """A classifier of images (N, 1, 14, 14) with ten labels (N,). The seed is set before its
    weights are drawn: another judge has other distances."""
    minidl.manual_seed(seed)
    judge = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),  # (B, 16, 7, 7)
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),  # (B, 32, 3, 3)
        *(nn.Flatten(), nn.Linear(288, FEATURES), nn.ReLU(), nn.Linear(FEATURES, 10)),
    ).to(images.device)
    optimizer = optim.Adam(judge.parameters(), rate)
    for _ in range(epochs):
        order = minidl.randperm(len(images)).to(images.device)
        for chosen in order.split(batch):
            optimizer.zero_grad()
            F.cross_entropy(judge(images[chosen]), labels[chosen]).backward()
            optimizer.step()
    return judge.eval()


@minidl.no_grad()
def accuracy(judge, images, labels):
    """The share, in %, of images that are classified right."""
    return 100 * (judge(images).argmax(1) == labels).float().mean().item()


@minidl.no_grad()
def features(judge, images):
    """What the last layer sees: (N, FEATURES), float64 in NumPy."""
    return judge[:-1](images).cpu().numpy().astype(np.float64)


def frechet(a, b):
    """|m - n|^2 + tr(A + B - 2 (A B)^(1/2)), with the means m, n and covariances A, B of two sets
    of features: the squared Frechet distance of two Gaussians.

    The square root's trace is that of the symmetric (A^(1/2) B A^(1/2))^(1/2).
    """
    A, B = np.cov(a.T), np.cov(b.T)
    values, vectors = np.linalg.eigh(A)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T  # A^(1/2)
    shared = np.sqrt(np.linalg.eigvalsh(root @ B @ root).clip(0)).sum()
    gap = a.mean(0) - b.mean(0)
    return float(gap @ gap + np.trace(A) + np.trace(B) - 2 * shared)


def gaussian(images, count):
    """Samples (count, C, H, W) of the Gaussian with the mean and covariance of all pixels of these
    images (N, C, H, W): the best model that knows pairs of pixels only. Not clipped: that would
    change the mean and the covariance, and the judge finds them worse."""
    pixels = images.flatten(1).cpu().numpy().astype(np.float64)
    values, vectors = np.linalg.eigh(np.cov(pixels.T))
    z = minidl.randn(count, len(values), dtype=minidl.float64).numpy()
    made = pixels.mean(0) + z * np.sqrt(values.clip(0)) @ vectors.T
    made = minidl.tensor(made, dtype=images.dtype, device=images.device)
    return made.reshape(count, *images[0].shape)


def nearest(images, others):
    """The distance of each image to the nearest of the others: (N,)."""
    a, b = (x.flatten(1).cpu().numpy().astype(np.float64) for x in (images, others))
    squares = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T  # (N, others)
    return np.sqrt(squares.min(1).clip(0))


def distances(made, x, labels, u, test_labels, seed):
    """The distance to the test images u of each of the sets of images `made`: name -> (N, C, H, W);
    of as many samples of the best Gaussian, and of as many training images x."""
    judge = trained(x, labels, seed)
    print(f"the judge classifies {accuracy(judge, u, test_labels):.1f} % right", flush=True)
    count = max(map(len, made.values()))
    made = made | {"Gaussian": gaussian(x, count), "real": x[:count]}
    goal = features(judge, u)
    return {name: frechet(features(judge, images), goal) for name, images in made.items()}


def copies(made, x, u):
    """The share, in %, of the images `made` that are near a training image x: nearer than half of
    what test images u usually are."""
    usual = np.median(nearest(u, x))
    return 100 * float((nearest(made, x) < usual / 2).mean())
