"""Wrong derivatives of formulas that are often written by hand, each with what must be said.

`SAID[name] = forward, vjp, inputs, the whole sentence for one of the inputs`.
"""

import math

import numpy as np
from planted_vjps import layer_norm, mean, sigmoid, softmax, softplus, total

rng = np.random.default_rng(7)
A, B = rng.standard_normal((2, 3, 4))
P, Q = rng.uniform(0.4, 1.6, (2, 3, 4))
U, W = rng.uniform(0.1, 0.9, (2, 3, 4))
M, N = rng.standard_normal((2, 4, 4))
V = rng.standard_normal(4)
LABELS, SIGNS = np.array([1, 0, 3]), np.sign(B).astype(int)
ROWS = np.arange(3)


def normal(x):
    return 0.5 * (1 + np.vectorize(math.erf)(x / 2**0.5))


def length(x):
    return np.sqrt(total(x * x))


def one_hot(labels):
    return np.eye(4)[labels]


def cross_entropy(x, t):
    return -np.log(softmax(x))[ROWS, t].mean()


def hinge(x, t):
    return np.maximum(0, 1 - t * x)


def huber(x, delta):
    return np.where(abs(x) < delta, 0.5 * x * x, delta * (abs(x) - 0.5 * delta))


def cosine(x, y):
    return (x * y).sum(-1) / (length(x) * length(y))[:, 0]


def cosine_vjp(g, out, x, y, dot=1.0, norm=1.0, power=2):
    """Of x: dot multiplies y, norm the part of the norm."""
    size = length(x) * length(y) if dot else 1.0
    return g[:, None] * (y / size - norm * out[:, None] * x / length(x) ** power)


def of_x_only(vjp):
    """A vjp that gives the right gradient of cosine with respect to y besides."""
    return lambda g, out, x, y: (vjp(g, out, x, y), cosine_vjp(g, out, y, x))


def group_norm(x):
    return layer_norm(x)


def row_spread(x):
    return np.sqrt(mean((x - mean(x)) ** 2) + 1e-5)


def averages(x):
    return np.array([x[i : i + 3].mean() for i in range(0, len(x) - 2, 2)])


def averages_assigned(g, y, x):
    gradient = np.zeros_like(x)
    for n in range(len(g)):
        gradient[2 * n : 2 * n + 3] = g[n] / 3
    return gradient


def correlate(x, w):
    h, k = len(x) - len(w) + 1, x.shape[1] - w.shape[1] + 1
    windows = [[x[i : i + len(w), j : j + w.shape[1]] for j in range(k)] for i in range(h)]
    return np.array([[(window * w).sum() for window in row] for row in windows])


def correlate_assigned(g, y, x, w):
    gradient, of_w = np.zeros_like(x), np.zeros_like(w)
    for i, j in np.ndindex(g.shape):
        window = np.s_[i : i + len(w), j : j + w.shape[1]]
        gradient[window] = g[i, j] * w
        of_w += g[i, j] * x[window]
    return gradient, of_w


ONE_FACTOR = (
    "your rule differentiates {0} only, as if out / {0} were a constant: the term with the "
    "derivative of out / {0} is missing"
)
LAST_USE = (
    "an element of x that is read several times gets the gradient of its last use only: add them up"
)
WHERE = "right elsewhere, wrong exactly where "
REACHED = "your gradient is not zero where {}, and should be not zero where {}"

PRODUCTS = {
    "x exp(x)": (
        lambda x: x * np.exp(x),
        lambda g, y, x: g * x * np.exp(x),
        (A,),
        "a factor (1 + x) / x is missing",
    ),
    "x sin(x)": (
        lambda x: x * np.sin(x),
        lambda g, y, x: g * x * np.cos(x),
        (A,),
        ONE_FACTOR.format("sin(x)"),
    ),
    "x / (1 + x x)": (
        lambda x: x / (1 + x * x),
        lambda g, y, x: -g * 2 * x * x / (1 + x * x) ** 2,
        (A,),
        "a term g / (1 + x * x) is missing",
    ),
    "log(x) / x": (
        lambda x: np.log(x) / x,
        lambda g, y, x: g / x**2,
        (P,),
        ONE_FACTOR.format("log(x)"),
    ),
    "swish: beta": (
        lambda x, beta: x * sigmoid(beta * x),
        lambda g, y, x, beta: (g * sigmoid(beta * x),),
        (A, 1.7),
        ONE_FACTOR.format("x"),
    ),
    "swish: no beta": (
        lambda x, beta: x * sigmoid(beta * x),
        lambda g, y, x, beta: (g * (y / x + y * (1 - y / x)),),
        (A, 1.7),
        "the term g * out**2 / (x * exp(beta * x)) lacks beta",
    ),
    "gelu": (lambda x: x * normal(x), lambda g, y, x: g * normal(x), (A,), ONE_FACTOR.format("x")),
    "mish": (
        lambda x: x * np.tanh(softplus(x)),
        lambda g, y, x: g * np.tanh(softplus(x)),
        (A,),
        ONE_FACTOR.format("x"),
    ),
    "softsign": (
        lambda x: x / (1 + abs(x)),
        lambda g, y, x: g / (1 + abs(x)),
        (A,),
        "a factor 1 / (1 + |x|) is missing",
    ),
    "log: of out": (
        np.log,
        lambda g, y, x: g * y,
        (P,),
        "a factor out stands where 1 / x belongs",
    ),
    "norm: squared": (
        lambda x: length(x)[:, 0],
        lambda g, y, x: g[:, None] * x / y[:, None] ** 2,
        (A,),
        "there is a factor 1 / out too many",
    ),
    "logsumexp: log": (
        lambda x: np.log(np.exp(x).sum(-1)),
        lambda g, y, x: g[:, None] * np.exp(x) / y[:, None],
        (A,),
        "a factor 1 / out stands where 1 / sum(exp(x)) belongs",
    ),
    "x^2 exp(-x): sign": (
        lambda x: x * x * np.exp(-x),
        lambda g, y, x: g * (2 * x + x * x) * np.exp(-x),
        (A,),
        "your rule is the right one plus g * 2 * out (is the sign of g * out wrong?)",
    ),
    "quadratic form": (
        lambda x, m: x @ m @ x,
        lambda g, y, x, m: (2 * g * (m @ x), g * np.outer(x, x)),
        (V, M),
        "the term g * (m @ x) should be g * (m.T @ x)",
    ),
    "quadratic form: once": (
        lambda x, m: x @ m @ x,
        lambda g, y, x, m: (g * (m @ x), g * np.outer(x, x)),
        (V, M),
        "a term g * (m.T @ x) is missing",
    ),
    "gram matrix": (
        lambda x: x @ x.T,
        lambda g, y, x: g @ x,
        (A,),
        "x is used twice: the same term with g transposed is missing",
    ),
    "logaddexp: a copy": (
        np.logaddexp,
        lambda g, y, a, b: (g * np.exp(a - y), g * np.exp(a - y)),
        (A, B),
        "this is the gradient of x1, not of x2",
    ),
}
ROWWISE = {
    "layer norm: a sum": (
        layer_norm,
        lambda g, y, x: (g - mean(g) - y * total(g * y)) / row_spread(x),
        (A,),
        "the term with out * sum(g * out) over axis 1 has the wrong factor: it is 4 times too "
        "large (4 is the size of axis 1 of x: a mean treated as a sum, or a sum as a mean?)",
    ),
    "group norm: no scale": (
        group_norm,
        lambda g, y, x: (g - mean(g)) / row_spread(x),
        (rng.standard_normal((2, 2, 4)),),
        "a term with out * sum(g * out) over axis 2 is missing (up to a factor for each row)",
    ),
    "softmax: half": (
        softmax,
        lambda g, y: -y * total(g * y),
        (A,),
        "a term g * out is missing",
    ),
    "cosine: no norms": (
        cosine,
        of_x_only(lambda g, out, x, y: cosine_vjp(g, out, x, y, dot=0.0, norm=0.0)),
        (A, B),
        "a term with x * g is missing (up to a factor for each row), and the term with y * g has "
        "the wrong factor",
    ),
    "cosine: norms as constants": (
        cosine,
        of_x_only(lambda g, out, x, y: cosine_vjp(g, out, x, y, norm=0.0)),
        (A, B),
        "a term -g * x * out / norm(x)**2 is missing",
    ),
    "cosine: no square": (
        cosine,
        of_x_only(lambda g, out, x, y: cosine_vjp(g, out, x, y, power=1)),
        (A, B),
        "the term with x * g has the wrong factor",
    ),
    "cross-entropy: no mean over rows": (
        cross_entropy,
        lambda g, y, x, t: g * (softmax(x) - one_hot(t)) / 4,
        (A, LABELS),
        "everywhere proportional to the right one: it is 1.333 times too small (3 is the size of "
        "axis 0 of x, 4 is the size of axis 1 of x: is it divided by the wrong one?)",
    ),
}
PARTS = {
    "huber: never clips": (
        huber,
        lambda g, y, x, delta: (g * x,),
        (2 * A, 0.8),
        WHERE + "|x| > delta: a factor x stands where delta * sign(x) belongs",
    ),
    "huber: clips at 1": (
        huber,
        lambda g, y, x, delta: (g * np.where(abs(x) < 1, x, delta * np.sign(x)),),
        (2 * A, 0.8),
        WHERE + "|x| is between delta and 1: a factor x stands where delta * sign(x) belongs",
    ),
    "elu: minus 1": (
        lambda x: np.where(x > 0, x, np.exp(x) - 1),
        lambda g, y, x: g * np.where(x > 0, 1, np.exp(x) - 1),
        (A,),
        WHERE + "x < 0: a factor out stands where exp(x) belongs",
    ),
    "hinge: no mask": (
        hinge,
        lambda g, y, x, t: -g * t,
        (A, SIGNS),
        WHERE + "out is 0: not zero there, and should be",
    ),
    "hinge: inverted": (
        hinge,
        lambda g, y, x, t: -g * t * (t * x > 1),
        (A, SIGNS),
        "the mask is wrong: " + REACHED.format("out is 0", "out is not 0"),
    ),
    "hinge: at 0": (
        hinge,
        lambda g, y, x, t: -g * t * (t * x < 0),
        (A, SIGNS),
        WHERE + "x * t is between 0 and 1: zero there, and should not be",
    ),
    "cross-entropy: no label": (
        cross_entropy,
        lambda g, y, x, t: g * softmax(x) / 3,
        (A, LABELS),
        WHERE + "x is where t points along axis 1: your rule is the right one plus g / 3 there",
    ),
    "cross-entropy: of the logits": (
        cross_entropy,
        lambda g, y, x, t: g * (x - one_hot(t)) / 3,
        (A, LABELS),
        "the term g * x / 3 should be g * softmax(x) along axis 1 / 3",
    ),
    "likelihood: all classes": (
        lambda x, t: -x[ROWS, t].mean(),
        lambda g, y, x, t: -g * np.ones_like(x) / 3,
        (A, LABELS),
        WHERE + "x is not where t points along axis 1: not zero there, and should be",
    ),
    "triu: tril": (
        np.triu,
        lambda g: np.tril(g),
        (M,),
        REACHED.format("m is not above the diagonal", "m is not below the diagonal"),
    ),
}
PLACES = {
    "averages: assigned": (averages, averages_assigned, (rng.standard_normal(9),), LAST_USE),
    "correlate: assigned": (
        correlate,
        correlate_assigned,
        (rng.standard_normal((4, 5)), rng.standard_normal((2, 3))),
        LAST_USE,
    ),
    "sort: left": (
        np.sort,
        lambda g: g,
        (rng.standard_normal(5),),
        "out has the elements of a in another order, your rule leaves g in its own: put each back "
        "to where it came from",
    ),
    "interleaved": (
        lambda x: x.reshape(2, 2, 3).transpose(1, 0, 2).reshape(4, 3),
        lambda g: g,
        (rng.standard_normal((4, 3)),),
        "out has the elements of x in another order, your rule leaves g in its own: put each back "
        "to where it came from",
    ),
    "transpose: three axes": (
        lambda x: x.transpose(1, 2, 0) + 0,
        lambda g: g.transpose(1, 2, 0),
        (rng.standard_normal((3, 3, 3)),),
        "the numbers are right but transposed to the axes (2, 0, 1)",
    ),
    "min pool: of the largest": (
        lambda x: x.reshape(-1, 3).min(1),
        lambda g, y, x: np.where(x == np.repeat(x.reshape(-1, 3).max(1), 3), np.repeat(g, 3), 0),
        (rng.standard_normal(12),),
        "the mask is wrong: "
        + REACHED.format(
            "x is the largest of those that the output sees",
            "x is the smallest of those that the output sees",
        ),
    ),
    "diff: half": (
        np.diff,
        lambda g, y, a: np.append(0, g),
        (rng.standard_normal(5),),
        "a term -g is missing (at one element of a for each one of out)",
    ),
}
SAID = PRODUCTS | ROWWISE | PARTS | PLACES
