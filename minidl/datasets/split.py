"""Orders and splits that do not depend on chance."""

import numpy as np

# train images, train labels, test images, test labels
Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def in_turn(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The order in which the classes take turns, and each image's rank in its class.

    A file sorted by class becomes one whose first n images hold every class about equally often.
    """
    rank = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        (members,) = np.nonzero(labels == label)
        rank[members] = np.arange(len(members))
    return np.lexsort((labels, rank)), rank


def split_by_class(images: np.ndarray, labels: np.ndarray) -> Split:
    """Of each class of n images the last n // 5 for testing, the others for training, in turn."""
    order, rank = in_turn(labels)
    counts = np.bincount(labels)[labels]  # the size of each image's class
    is_test = rank >= counts - counts // 5
    train, test = order[~is_test[order]], order[is_test[order]]
    return images[train], labels[train], images[test], labels[test]
