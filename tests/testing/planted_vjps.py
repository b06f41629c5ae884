"""Wrong derivatives of NumPy code, each with the kind of sentence that must explain it.

`MUTANTS[name] = forward, vjp, inputs, kind of the sentence for each wrong input`.
"""

import numpy as np

rng = np.random.default_rng(5)


def any_of(*shape):
    return 1.5 * rng.standard_normal(shape)


def positive(*shape):
    return rng.uniform(0.5, 1.5, shape)


def inside_0_1(*shape):
    return rng.uniform(0.1, 0.9, shape)


A, B, M, N, V = any_of(3, 4), any_of(3, 4), any_of(4, 4), any_of(4, 4), any_of(4)
P, Q, U = positive(3, 4), positive(3, 4), inside_0_1(3, 4)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def log_odds(x):
    return np.log(x / (1 - x))


def silu(x):
    return x * sigmoid(x)


def softplus(x):
    return np.log1p(np.exp(x))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def log_softmax(x):
    return np.log(softmax(x))


def logsumexp(x):
    return np.log(np.exp(x).sum(-1))


def total(x):
    """The sum of each row, as a column."""
    return x.sum(-1, keepdims=True)


def mean(x):
    return x.mean(-1, keepdims=True)


def layer_norm(x):
    return (x - mean(x)) / np.sqrt(mean((x - mean(x)) ** 2) + 1e-5)


def layer_norm_vjp(g, y, x, mean_term=1, scale_term=1):
    scale = np.sqrt(mean((x - mean(x)) ** 2) + 1e-5)
    return (g - mean_term * mean(g) - scale_term * y * mean(g * y)) / scale


def scaled_rows(x):
    """Each row divided by a number that no formula of the row gives."""
    return x / np.array([[2.0], [3.0], [5.0]])


def rms_norm(x):
    return x / np.sqrt(mean(x * x))


def norm(x):
    return np.sqrt((x * x).sum(-1))


def leaky(x, slope=0.1):
    return np.where(x > 0, x, slope * x)


def relu(x):
    return np.maximum(x, 0)


def clip(x, low, high):
    return np.clip(x, low, high)


def huber(x):
    return np.where(abs(x) < 1, 0.5 * x * x, abs(x) - 0.5)


def power(x, y):
    return x**y


def divide(x, y):
    return x / y


def times(x, y):
    return x * y


def larger(x, y):
    return np.maximum(x, y)


def lerp(x, y, t):
    return x + t * (y - x)


def mean_squared(x, y):
    return ((x - y) ** 2).mean()


def matmul(x, y):
    return x @ y


def linear(x, weight, bias):
    return x @ weight.T + bias


def largest(x):
    return x.max(-1)


def pooled(x):
    return x.reshape(-1, 2).max(1)


PLACES = np.array([0, 2, 2, 1])


def picked(x):
    return x[PLACES]


def picked_overwriting(g, y, x):
    gradient = np.zeros_like(x)
    gradient[PLACES] = g
    return gradient


def correlate(x, w):
    return np.correlate(x, w)


def each(g, x):
    """A number for each row, for all elements of the row."""
    return np.broadcast_to(np.expand_dims(g, -1), x.shape)


ELEMENTWISE = {
    "tanh: sign": (np.tanh, lambda g, y, x: -g * (1 - y * y), (A,), "factor"),
    "tanh: 1 - y": (np.tanh, lambda g, y, x: g * (1 - y), (A,), "missing-factor"),
    "tanh: forgot g": (np.tanh, lambda g, y, x: 1 - y * y, (A,), "ignores-g"),
    "sigmoid: no 1 - y": (sigmoid, lambda g, y: g * y, (A,), "missing-factor"),
    "exp: no y": (np.exp, lambda g: g, (A,), "missing-factor"),
    "exp: g squared": (np.exp, lambda g, y: g * g * y, (A,), "not-linear"),
    "exp: |g|": (np.exp, lambda g, y: abs(g) * y, (A,), "not-linear"),
    "exp: + 1": (np.exp, lambda g, y: g * y + 1, (A,), "not-linear"),
    "exp: sum of g": (np.exp, lambda g, y: g.sum() * y, (A,), "mixes"),
    "exp2: no log 2": (np.exp2, lambda g, y: g * y, (A,), "factor"),
    "log: times x": (np.log, lambda g, y, x: g * x, (P,), "wrong-factor"),
    "sqrt: no 1/2": (np.sqrt, lambda g, y: g / y, (P,), "factor"),
    "square: x squared": (np.square, lambda g, y: g * y, (A,), "extra-factor"),
    "cube: 3 x": (lambda x: x**3, lambda g, y, x: 3 * g * x, (A,), "missing-factor"),
    "reciprocal: once": (np.reciprocal, lambda g, y: -g * y, (P,), "missing-factor"),
    "sin: sin": (np.sin, lambda g, y: g * y, (A,), "other-rule"),
    "sin: cos(y)": (np.sin, lambda g, y: g * np.cos(y), (A,), "elsewhere"),
    "arctan: minus": (np.arctan, lambda g, y, x: g / (1 - x * x), (A,), "wrong-factor"),
    "arctan: as log1p": (np.arctan, lambda g, y, x: g / (1 + x), (P,), "other-rule"),
    "arcsin: no root": (np.arcsin, lambda g, y, x: g / (1 - x * x), (U,), "extra-factor"),
    "tan: minus": (np.tan, lambda g, y: g * (1 - y * y), (U,), "other-term"),
    "silu: one term": (silu, lambda g, y, x: g * sigmoid(x) * (1 + x), (A,), "missing-term"),
    "silu: as softplus": (silu, lambda g, y, x: g * sigmoid(x), (A,), "product-rule"),
    "softplus: of y": (softplus, lambda g, y, x: g * sigmoid(y), (A,), "elsewhere"),
    "softplus: tanh": (softplus, lambda g, y, x: g * np.tanh(x), (A,), "wrong-factor"),
    "log odds: half": (
        lambda x: np.log(x / (1 - x)),
        lambda g, y, x: g / x,
        (U,),
        "missing-factor",
    ),
    "relu: all": (relu, lambda g: g, (A,), "region"),
    "relu: inverted": (relu, lambda g, y, x: g * (x < 0), (A,), "mask"),
    "relu: above 1": (relu, lambda g, y, x: g * (x > 1), (A,), "region"),
    "abs: no sign": (np.abs, lambda g: g, (A,), "region"),
    "leaky: inverted": (leaky, lambda g, y, x: g * np.where(x > 0, 0.1, 1), (A,), "elsewhere"),
    "leaky: slope": (leaky, lambda g, y, x, s: (g * (x > 0),), (A, 0.2), "region"),
    "leaky: pieces": (leaky, lambda g, y, x: g * np.where(x > 0, 2, 0.3), (A,), "pieces"),
    "clip: all": (clip, lambda g, y, x: (g,), (A, -0.5, 0.7), "region"),
    "huber: never clips": (huber, lambda g, y, x: g * x, (A,), "region"),
    "nan": (np.abs, lambda g, y, x: g * np.where(x < 0, np.nan, 1), (A,), "not-finite"),
    "floor: as identity": (np.floor, lambda g: g, (U,), "not-zero"),
}
TWO_INPUTS = {
    "mul: swapped": (times, lambda g, y, a, b: (g * a, g * b), (A, B), "swapped swapped"),
    "div: sign": (divide, lambda g, y, a, b: (g / b, g * a / b**2), (P, Q), "factor"),
    "div: no square": (divide, lambda g, y, a, b: (g / b, -g * a / b), (P, Q), "missing-factor"),
    "div: exchanged": (divide, lambda g, y, a, b: (g / b, -g * b / a**2), (P, Q), "elsewhere"),
    "pow: base": (
        power,
        lambda g, y, a, b: (g * b * y, g * y * np.log(a)),
        (P, A),
        "missing-factor",
    ),
    "pow: log of the exponent": (
        power,
        lambda g, y, a, b: (g * b * y / a, g * y * np.log(b)),
        (P, Q),
        "wrong-factor",
    ),
    "maximum: both": (larger, lambda g, y, a, b: (g, g * (a < b)), (A, B), "region"),
    "hypot: no norm": (np.hypot, lambda g, y, a, b: (g * a, g * b / y), (A, B), "missing-factor"),
    "lerp: weight": (
        lerp,
        lambda g, y, a, b, t: (g - g * t, g * t, g * (a - b)),
        (A, B, P),
        "factor",
    ),
    "mse: a sum": (
        mean_squared,
        lambda g, y, a, b: (2 * g * (a - b), 2 * g * (b - a) / a.size),
        (A, B),
        "factor",
    ),
    "poisson: no exp": (
        lambda x, y: (np.exp(x) - x * y).sum(),
        lambda g, y, a, b: (g * (a - b), -g * a),
        (A, B),
        "wrong-term",
    ),
    "broadcast: shape": (times, lambda g, y, a, b: (g * b, g * a), (A, V), "unbroadcast"),
    "broadcast: one copy": (times, lambda g, y, a, b: (g * b, (g * a)[0]), (A, V), "overwritten"),
    "broadcast: mean": (times, lambda g, y, a, b: (g * b, (g * a).mean(0)), (A, V), "factor"),
    "broadcast: no factor": (times, lambda g, y, a, b: (g * b, g.sum(0)), (A, V), "missing-factor"),
    "broadcast: axis": (times, lambda g, y, a, b: (g * b, (g * a).sum(1)), (M, V), "wrong-axis"),
    "broadcast: apart": (
        times,
        lambda g, y, a, b: (g * b, g.sum(0) * a.sum(0)),
        (A, V),
        "separate-sums",
    ),
    "linear: bias": (
        linear,
        lambda g, y, x, w, b: (g @ w, g.T @ x, g.mean(0)),
        (A, any_of(2, 4), any_of(2)),
        "factor",
    ),
    "matmul: shape": (
        matmul,
        lambda g, y, a, b: (g @ b.T, (a.T @ g).T),
        (A, any_of(4, 2)),
        "axes-order",
    ),
    "matmul: g b": (matmul, lambda g, y, a, b: (g @ b, a.T @ g), (M, N), "elsewhere"),
    "matmul: turned": (
        matmul,
        lambda g, y, a, b: ((g @ b.T).T, a.T @ g),
        (M, N),
        "transposed",
    ),
    "matmul: g turned": (
        matmul,
        lambda g, y, a, b: (g.T @ b.T, a.T @ g),
        (M, N),
        "transposed",
    ),
    "correlate: turned": (
        correlate,
        lambda g, y, x, w: (np.convolve(g, w[::-1]), np.correlate(x, g)),
        (any_of(8), any_of(3)),
        "elsewhere",
    ),
    "correlate: weight": (
        correlate,
        lambda g, y, x, w: (np.convolve(g, w), np.correlate(x, g)[::-1]),
        (any_of(8), any_of(3)),
        "permuted",
    ),
}
REDUCTIONS = {
    "sum: zero": (lambda x: x.sum(-1), lambda g, y, x: 0 * x, (A,), "zero"),
    "sum: axis": (lambda x: x.sum(0), lambda g, y, x: each(g, x), (M,), "transposed"),
    "mean: as sum": (lambda x: x.mean(-1), lambda g, y, x: each(g, x), (A,), "factor"),
    "mean: of all": (lambda x: x.mean(), lambda g, y, x: g + 0 * x, (A,), "factor"),
    "sum of squares: times x": (
        lambda x: x.sum(-1),
        lambda g, y, x: each(g, x) * x,
        (A,),
        "extra-factor",
    ),
    "prod: no division": (
        lambda x: x.prod(-1),
        lambda g, y, x: each(g * y, x),
        (A,),
        "missing-factor",
    ),
    "var: n - 1": (
        lambda x: x.var(-1),
        lambda g, y, x: each(g, x) * 2 * (x - mean(x)) / 3,
        (A,),
        "factor",
    ),
    "var: no mean": (lambda x: x.var(-1), lambda g, y, x: each(g, x) * x / 2, (A,), "missing-term"),
    "norm: no division": (norm, lambda g, y, x: each(g, x) * x, (A,), "missing-factor"),
    "logsumexp: exp": (
        logsumexp,
        lambda g, y, x: each(g, x) * np.exp(x),
        (A,),
        "missing-factor",
    ),
    "max: all": (largest, lambda g, y, x: each(g, x), (A,), "region"),
    "max: the smallest": (
        largest,
        lambda g, y, x: each(g, x) * (x == x.min(-1, keepdims=True)),
        (A,),
        "mask",
    ),
    "max: axis": (largest, lambda g, y, x: each(g, x) * (x == x.max(0)), (A,), "mask"),
    "max pool: all": (pooled, lambda g: np.repeat(g, 2), (any_of(12),), "region"),
}
MIXING = {
    "softmax: elementwise": (softmax, lambda g, y: g * y * (1 - y), (A,), "elementwise"),
    "softmax: times 100": (
        softmax,
        lambda g, y: 100 * y * (g - total(g * y)),
        (A,),
        "factor",
    ),
    "softmax: no y": (softmax, lambda g, y: g - total(g * y), (A,), "missing-factor"),
    "softmax: plus": (softmax, lambda g, y: y * (g + total(g * y)), (A,), "wrong-term"),
    "softmax: mean": (softmax, lambda g, y: y * (g - mean(g * y)), (A,), "wrong-term"),
    "softmax: sum of g": (softmax, lambda g, y: y * (g - total(g)), (A,), "wrong-term"),
    "softmax: axis": (softmax, lambda g, y: y * (g - (g * y).sum(0)), (A,), "wrong-axis"),
    "softmax: keepdims": (softmax, lambda g, y: y * (g - (g * y).sum(-1)), (M,), "mixes"),
    "log softmax: no p": (log_softmax, lambda g: g - total(g), (A,), "wrong-term"),
    "log softmax: y": (log_softmax, lambda g, y: g - y * total(g), (A,), "wrong-term"),
    "log softmax: g": (log_softmax, lambda g: g, (A,), "elementwise"),
    "layer norm: no mean": (
        layer_norm,
        lambda g, y, x: layer_norm_vjp(g, y, x, mean_term=0),
        (A,),
        "missing-term",
    ),
    "layer norm: no scale": (
        layer_norm,
        lambda g, y, x: layer_norm_vjp(g, y, x, scale_term=0),
        (A,),
        "missing-term",
    ),
    "layer norm: not divided": (
        layer_norm,
        lambda g, y: g - mean(g) - y * mean(g * y),
        (A,),
        "missing-factor",
    ),
    "cumsum: not scaled": (
        lambda x: scaled_rows(np.cumsum(x, -1)),
        lambda g: g[:, ::-1].cumsum(-1)[:, ::-1],
        (A,),
        "row-factor",
    ),
    "rms norm: sign": (
        rms_norm,
        lambda g, y, x: (g + y * mean(g * y)) / np.sqrt(mean(x * x)),
        (A,),
        "wrong-term",
    ),
    "centre: plus": (lambda x: x - mean(x), lambda g: g + mean(g), (A,), "wrong-term"),
    "cumsum: same": (lambda x: x.cumsum(-1), lambda g: g.cumsum(-1), (A,), "adjoint"),
    "cumsum: one flip": (
        lambda x: x.cumsum(-1),
        lambda g: g[:, ::-1].cumsum(-1),
        (A,),
        "permuted",
    ),
    "cumsum: all": (lambda x: x.cumsum(-1), lambda g: total(g) + 0 * g, (A,), "region"),
    "inverse: not turned": (np.linalg.inv, lambda g, y: -y @ g @ y, (M,), "elsewhere"),
}
PLACED = {
    "transpose: nothing": (lambda x: x.T + 0, lambda g: g, (M,), "transposed"),
    "transpose: shape": (lambda x: x.T + 0, lambda g: g, (A,), "axes-order"),
    "transpose: reshape": (lambda x: x.T + 0, lambda g: g.reshape(3, 4), (A,), "transposed"),
    "roll: same way": (lambda x: np.roll(x, 1, 0), lambda g: np.roll(g, 1, 0), (A,), "permuted"),
    "flip: nothing": (lambda x: x[::-1] + 0, lambda g: g, (A,), "permuted"),
    "slice: shifted": (
        lambda x: x[1:] + 0,
        lambda g: np.concatenate([g, 0 * g[:1]]),
        (M,),
        "permuted",
    ),
    "tril: all": (np.tril, lambda g: g, (M,), "region"),
    "index: overwritten": (picked, picked_overwriting, (A,), "overwritten"),
    "index: mean": (
        picked,
        lambda g: np.stack([g[0], g[3], (g[1] + g[2]) / 2]),
        (A,),
        "overwritten",
    ),
    "max pool: the first": (
        pooled,
        lambda g: np.stack([g, 0 * g], 1).ravel(),
        (any_of(12),),
        "misplaced",
    ),
}
MUTANTS = ELEMENTWISE | TWO_INPUTS | REDUCTIONS | MIXING | PLACED

RIGHT = {
    "tanh": (np.tanh, lambda g, y: g * (1 - y * y), (A,)),
    "softmax": (softmax, lambda g, y: y * (g - total(g * y)), (A,)),
    "layer norm": (layer_norm, layer_norm_vjp, (A,)),
    "relu": (relu, lambda g, y, x: g * (x > 0), (A,)),
    "relu at its kink": (relu, lambda g, y, x: g * (x > 0), (0 * A,)),
    "sqrt": (np.sqrt, lambda g, y: g / (2 * y), (P,)),
    "floor": (np.floor, lambda g: 0 * g, (A,)),
    "index": (picked, lambda g: np.stack([g[0], g[3], g[1] + g[2]]), (A,)),
    "matmul": (matmul, lambda g, y, a, b: (g @ b.T, a.T @ g), (A, any_of(4, 2))),
    "broadcast": (times, lambda g, y, a, b: (g * b, (g * a).sum(0)), (A, V)),
    "one number": (np.tanh, lambda g, y: g * (1 - y * y), (np.array(0.7),)),
    "nothing": (np.tanh, lambda g, y: g * (1 - y * y), (any_of(0, 3),)),
}
