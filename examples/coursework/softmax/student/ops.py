"""Softmax and cross-entropy with their derivatives: replace each `raise` by your code.

Arrays are NumPy arrays of float64. A derivative is a function that pulls a gradient back: `g` is
the gradient of a loss with respect to the result; what it returns is the gradient of the same loss
with respect to the input.
"""


def softmax(x):
    """exp(x_i) / sum_j exp(x_j) along the last axis. The result has the shape of x."""
    raise NotImplementedError("write softmax")


def softmax_vjp(g, y, x):
    """The gradient with respect to x, where y = softmax(x). g, y and x have one shape."""
    raise NotImplementedError("write softmax_vjp")


def cross_entropy(logits, labels):
    """The mean over the rows i of -log(softmax(logits)[i, labels[i]]), a number.

    logits: (rows, classes); labels: (rows,), the number of the right class of each row.
    """
    raise NotImplementedError("write cross_entropy")


def cross_entropy_vjp(g, loss, logits, labels):
    """The gradient with respect to logits. g is a number."""
    raise NotImplementedError("write cross_entropy_vjp")
