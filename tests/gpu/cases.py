"""A call of every CUDA kernel in every way that launches another instance of its template.

x: float (24, 40), on the shim. Kernels of plain functions get an array instead (`FUNCTIONS`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import minidl
from minidl import ops, optim, random
from minidl.tape import named, wrap

FLOATS = ("float16", "float32", "float64")


def labels(x):
    """24 classes below 40, on the device of x; one is not to be counted."""
    return minidl.tensor([*range(5, 28), -100], device=x.device)


def sequence(name, x, gates, states, reverse):
    """Two steps of four sequences of 5 numbers, and 8 units."""
    weights = x[: gates * 2].reshape(-1)[: gates * 8 * 5].reshape(gates * 8, 5)
    recurrent = x[: gates * 2].reshape(-1)[-gates * 8 * 8 :].reshape(gates * 8, 8)
    state = [x[0, :32].reshape(4, 8)] * states
    biases = [x[row].reshape(-1)[: gates * 8] for row in (1, 2)]
    call = named(name)
    return call(x[-1].reshape(2, 4, 5), *state, weights, recurrent, *biases, reverse=reverse)


def convolution(name, x, groups):
    """One of its three sides, on two images of 12 channels or 12 filters, in `groups` groups."""
    images = x[:12].reshape(2, 12, 5, 4)
    weight = x[12:].reshape(-1)[: 12 * (12 // groups) * 2 * 2].reshape(12, 12 // groups, 2, 2)
    options = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "groups": groups}
    if name == "convolution":
        return named(name)(images, weight, **options)
    if name == "convolution_input":
        return named(name)(weight, images, size=(9, 6), **options)
    g = x[12:, :12].reshape(2, 12, 3, 2)
    return named(name)(images, g, kernel=(2, 2), **options)


def places(x, high, *shape):
    """Positions below `high`, on the device of x; most are named more than once."""
    return (minidl.arange(math.prod(shape), device=x.device).reshape(*shape) * 7 + 3) % high


def images(x):
    """Four images of 8 channels and 6 x 5 pixels."""
    return x.reshape(4, 8, 6, 5)


CASES: dict[str, list[Callable]] = {
    "gru_sequence": [lambda x: sequence("gru_sequence", x, 3, 1, False)],
    "lstm_sequence": [lambda x: sequence("lstm_sequence", x, 4, 2, True)],
    "attention": [lambda x: ops.scaled_dot_product_attention(x[:, :16], x[:, 16:32], x[:, 32:])],
    **{
        name: [lambda x, n=name, g=g: convolution(n, x, g) for g in (3, 12)]
        for name in ("convolution", "convolution_input", "convolution_weight")
    },
    "unindex": [lambda x: named("unindex")(x, index=places(x, 9, 24)._array, shape=(9, 40))],
    "add_at": [lambda x: ops.index_add(x, 1, places(x, 40, 30), x[:, :30] * 2)],
    "gather": [lambda x: ops.gather(x, 0, places(x, 24, 50, 40))],
    "scatter_add": [
        lambda x: ops.scatter_add(x, 1, places(x, 40, 24, 30), x[:, 10:] * 2),
        lambda x: ops.scatter_add(x[:12], 1, places(x, 40, 12, 40), x[12:]),
    ],
    "exp": [ops.exp],
    "tanh": [ops.tanh],
    "sigmoid": [ops.sigmoid],
    "relu": [ops.relu],
    "erf": [ops.erf],
    "logsigmoid": [ops.logsigmoid],
    "silu": [ops.silu],
    "mish": [ops.mish],
    "hardswish": [ops.hardswish],
    "gelu": [ops.gelu, lambda x: ops.gelu(x, "tanh")],
    "leaky_relu": [lambda x: ops.leaky_relu(x, 0.1)],
    "elu": [lambda x: ops.elu(x, 1.5)],
    "softplus": [lambda x: ops.softplus(x, 2.0, 1.0)],
    "dropout": [lambda x: named("dropout")(x, 0.3, 7, 5, False)],
    "cross_entropy": [
        lambda x: ops.cross_entropy(x, labels(x)),
        lambda x: ops.cross_entropy(x, labels(x), x[0, :].detach().exp(), reduction="sum"),
        lambda x: ops.cross_entropy(x, labels(x), label_smoothing=0.1, reduction="none"),
    ],
    "max_pool2d": [lambda x: ops.max_pool2d(images(x), 3, 2, 1)],
    "sum_pool": [lambda x: ops.avg_pool2d(images(x), (2, 3), 2)],
    "spread_windows": [lambda x: ops.interpolate(images(x), scale_factor=2)],
    "local_response_norm": [lambda x: ops.local_response_norm(images(x), 3, 0.5)],
    "layer_norm": [lambda x: ops.layer_norm(x, 40, x[0], x[1])],
    "rms_norm": [lambda x: ops.rms_norm(x, 40, x[0])],
    "batch_norm": [
        lambda x: ops.batch_norm(images(x), None, None, x[0, :8], x[1, :8], training=True)
    ],
    "group_norm": [lambda x: ops.group_norm(images(x), 2, x[0, :8], x[1, :8])],
    "fixed_norm": [
        lambda x: ops.batch_norm(images(x), x[0, :8], x[1, :8].exp(), x[2, :8], x[3, :8])
    ],
    "mse_loss": [lambda x: ops.mse_loss(x[:12], x[12:])],
    "binary_cross_entropy_with_logits": [
        lambda x: ops.binary_cross_entropy_with_logits(x[:12], x[12:])
    ],
    "softmax": [lambda x: minidl.softmax(x, 1)],
    "log_softmax": [lambda x: minidl.log_softmax(x, 1)],
    "logsumexp": [lambda x: minidl.logsumexp(x, 1)],
}

OPTIMIZERS = {
    "adadelta": lambda p: [optim.Adadelta(p)],
    "adagrad": lambda p: [optim.Adagrad(p)],
    "adam": lambda p: [optim.Adam(p), optim.Adam(p, amsgrad=True)],
    "adamax": lambda p: [optim.Adamax(p)],
    "asgd": lambda p: [optim.ASGD(p)],
    "nadam": lambda p: [optim.NAdam(p)],
    "radam": lambda p: [optim.RAdam(p)],
    "rmsprop": lambda p: [optim.RMSprop(p), optim.RMSprop(p, momentum=0.9, centered=True)],
    "rprop": lambda p: [optim.Rprop(p)],
    "sgd": lambda p: [optim.SGD(p), optim.SGD(p, momentum=0.9)],
}


def step(name: str, x: Any, dtype: str) -> Any:
    """The parameter after a step of each optimizer of this name, with x as the gradient."""
    p = minidl.nn.Parameter(minidl.zeros_like(wrap(x.astype(dtype))))
    p.grad = wrap(x.astype(dtype))
    for optimizer in OPTIMIZERS[name]([p]):
        optimizer.step()
    return p.detach()._array


def clip(x: Any, dtype: str) -> Any:
    """x as a gradient, clipped in both ways."""
    p = minidl.nn.Parameter(wrap(x.astype(dtype)))
    p.grad = p.detach().clone()
    minidl.nn.utils.clip_grad_norm_([p], 1.0)
    minidl.nn.utils.clip_grad_value_([p], 0.01)
    return p.grad._array


COMMON = ("float32", "float64")

FUNCTIONS: dict[str, list[Callable[[Any], Any]]] = {
    "words": [lambda x: random.words(7, 3, 50, x)],
    "uniforms": [lambda x, d=d: random.uniforms(7, 3, 50, d, x) for d in FLOATS],
    "normals": [lambda x, d=d: random.normals(7, 3, 50, d, x) for d in FLOATS],
    **{
        name: [lambda x, d=d: clip(x, d) for d in COMMON]
        for name in ("clamp", "scale", "square_sum")
    },
    **{
        f"{name}_step": [lambda x, n=name, d=d: step(n, x, d) for d in COMMON]
        for name in OPTIMIZERS
    },
}
