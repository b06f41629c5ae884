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
