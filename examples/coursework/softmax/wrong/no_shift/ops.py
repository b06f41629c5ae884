"""Softmax and cross-entropy with their derivatives: exp overflows for large numbers."""

import numpy as np


def softmax(x):
    """exp(x_i) / sum_j exp(x_j) along the last axis. The result has the shape of x."""
    e = np.exp(x)
    return e / e.sum(-1, keepdims=True)


def softmax_vjp(g, y, x):
    """The gradient with respect to x, where y = softmax(x). g, y and x have one shape."""
    return y * (g - (g * y).sum(-1, keepdims=True))


def cross_entropy(logits, labels):
    """The mean over the rows i of -log(softmax(logits)[i, labels[i]]), a number.

    logits: (rows, classes); labels: (rows,), the number of the right class of each row.
    """
    shifted = logits - logits.max(-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return -log_p[np.arange(len(labels)), labels].mean()


def cross_entropy_vjp(g, loss, logits, labels):
    """The gradient with respect to logits. g is a number."""
    p = softmax(logits)
    p[np.arange(len(labels)), labels] -= 1
    return g * p / len(labels)
