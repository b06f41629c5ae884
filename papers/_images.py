"""Bytes to tensors, and subsets in a random order."""

import numpy as np

import minidl
from minidl.utils.data import TensorDataset


def shuffled(count: int, seed: int) -> np.ndarray:
    """The numbers below `count` in an order that depends on the seed alone."""
    return minidl.randperm(count, generator=minidl.Generator().manual_seed(seed)).numpy()


def tensors(images: np.ndarray, labels: np.ndarray, device: str) -> TensorDataset:
    """Bytes (N, C, H, W) and labels (N,) as a data set of images in 0..1."""
    images = minidl.tensor(images, device=device).float() / 255
    return TensorDataset(images, minidl.tensor(labels, device=device))


def centred(
    data, train_images: int, test_images: int, seed: int, device: str
) -> tuple[TensorDataset, TensorDataset]:
    """So many training images, in an order that depends on the seed, and the first test images;
    minus the mean of those training images, of order one."""
    chosen = shuffled(len(data.train_images), seed)[:train_images]
    tested = slice(test_images)
    x, y = tensors(data.train_images[chosen], data.train_labels[chosen], device).tensors
    u, v = tensors(data.test_images[tested], data.test_labels[tested], device).tensors
    mean = x.mean(0)
    return TensorDataset((x - mean) / 0.35, y), TensorDataset((u - mean) / 0.35, v)
