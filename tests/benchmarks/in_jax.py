"""Five of the workloads in JAX, from the same weights and batches.

JAX has no layers and optimizers of its own, so the networks stand here as functions of a dict of
weights under their names in `workloads.py`. Images are (B, H, W, C), which is faster in JAX.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax, nn

import minidl

from .workloads import WORKLOADS

Weights = dict[str, Any]


def trained(name: str, loss: Callable, start: Callable, change: Callable) -> Callable[[], float]:
    """A function that makes one compiled training step and returns its loss."""
    workload = WORKLOADS[name](minidl)
    weights = {n: jnp.asarray(p.detach().numpy()) for n, p in workload.model.named_parameters()}
    batch = [jnp.asarray(x.numpy()) for x in workload.batch]
    state = start(weights)

    def advance(weights: Weights, state: Any, *batch: Any) -> tuple:
        value, gradients = jax.value_and_grad(loss)(weights, *batch)
        return *change(weights, gradients, state), value

    compiled = jax.jit(advance, donate_argnums=(0, 1))

    def step() -> float:
        nonlocal weights, state
        weights, state, value = compiled(weights, state, *batch)
        return float(value)

    return step


# ------------------------------------------------------------------------------------- optimizers


def zeros(weights: Weights) -> Weights:
    return jax.tree.map(jnp.zeros_like, weights)


def sgd(weights: Weights, gradients: Weights, momentum: Weights) -> tuple[Weights, Weights]:
    momentum = jax.tree.map(lambda m, g: 0.9 * m + g, momentum, gradients)
    return jax.tree.map(lambda p, m: p - 0.01 * m, weights, momentum), momentum


def adam_start(weights: Weights) -> tuple:
    return zeros(weights), zeros(weights), jnp.zeros(())


def adam(weights: Weights, gradients: Weights, state: tuple, decay: float = 0.0) -> tuple:
    mean, square, steps = state
    steps = steps + 1
    mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, gradients)
    square = jax.tree.map(lambda s, g: 0.999 * s + 0.001 * g * g, square, gradients)

    def moved(p: Any, m: Any, s: Any) -> Any:
        below = jnp.sqrt(s / (1 - 0.999**steps)) + 1e-8
        return p * (1 - 1e-3 * decay) - 1e-3 * (m / (1 - 0.9**steps)) / below

    return jax.tree.map(moved, weights, mean, square), (mean, square, steps)


def adamw(weights: Weights, gradients: Weights, state: tuple) -> tuple:
    return adam(weights, gradients, state, decay=0.01)


# ----------------------------------------------------------------------------------------- layers


def linear(weights: Weights, name: str, x: Any) -> Any:
    y = x @ weights[f"{name}.weight"].T
    return y + weights[f"{name}.bias"] if f"{name}.bias" in weights else y


def conv(weights: Weights, name: str, x: Any, stride: int = 1) -> Any:
    """3 x 3, the size kept; the weight is (outputs, inputs, 3, 3) as in PyTorch."""
    layout = ("NHWC", "OIHW", "NHWC")
    pad = ((1, 1), (1, 1))
    w = weights[f"{name}.weight"]
    y = lax.conv_general_dilated(x, w, (stride, stride), pad, dimension_numbers=layout)
    return y + weights[f"{name}.bias"] if f"{name}.bias" in weights else y


def pooled(x: Any) -> Any:
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def layer_norm(weights: Weights, name: str, x: Any) -> Any:
    x = x - x.mean(-1, keepdims=True)
    x = x * lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-5)
    return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def batch_norm(weights: Weights, name: str, x: Any) -> Any:
    """With the statistics of the batch; running ones are not kept."""
    x = x - x.mean((0, 1, 2))
    x = x * lax.rsqrt((x * x).mean((0, 1, 2)) + 1e-5)
    return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def cross_entropy(scores: Any, y: Any) -> Any:
    return -jnp.take_along_axis(nn.log_softmax(scores), y[..., None], -1).mean()


# ---------------------------------------------------------------------------------- the workloads


def mlp() -> Callable[[], float]:
    def loss(weights: Weights, x: Any, y: Any) -> Any:
        x = nn.relu(linear(weights, "0", x))
        x = nn.relu(linear(weights, "2", x))
        return cross_entropy(linear(weights, "4", x), y)

    return trained("mlp", loss, adam_start, adam)


def cnn() -> Callable[[], float]:
    def loss(weights: Weights, x: Any, y: Any) -> Any:
        x = x.transpose(0, 2, 3, 1)
        x = pooled(nn.relu(conv(weights, "0", x)))
        x = pooled(nn.relu(conv(weights, "3", x)))
        x = nn.relu(conv(weights, "6", x))
        x = pooled(nn.relu(conv(weights, "8", x)))
        x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
        return cross_entropy(linear(weights, "12", x), y)

    return trained("cnn", loss, zeros, sgd)


def resnet20() -> Callable[[], float]:
    def block(weights: Weights, name: str, x: Any, stride: int) -> Any:
        y = nn.relu(batch_norm(weights, f"{name}.bn1", conv(weights, f"{name}.conv1", x, stride)))
        y = batch_norm(weights, f"{name}.bn2", conv(weights, f"{name}.conv2", y))
        if stride == 2:
            more = x.shape[3] // 2
            x = jnp.pad(x[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (more, more)))
        return nn.relu(y + x)

    def loss(weights: Weights, x: Any, y: Any) -> Any:
        x = nn.relu(batch_norm(weights, "1", conv(weights, "0", x.transpose(0, 2, 3, 1))))
        for i in range(9):
            x = block(weights, str(3 + i), x, 2 if i in (3, 6) else 1)
        return cross_entropy(linear(weights, "14", x.mean((1, 2))), y)

    return trained("resnet20", loss, zeros, sgd)


def gpt() -> Callable[[], float]:
    def block(weights: Weights, name: str, x: Any) -> Any:
        B, T, C = x.shape
        qkv = linear(weights, f"{name}.qkv", layer_norm(weights, f"{name}.norm1", x))
        q, k, v = jnp.moveaxis(qkv.reshape(B, T, 3, 4, C // 4), 2, 0)  # (B, T, heads, C / heads)
        y = nn.dot_product_attention(q, k, v, is_causal=True).reshape(B, T, C)
        x = x + linear(weights, f"{name}.out", y)
        y = linear(weights, f"{name}.up", layer_norm(weights, f"{name}.norm2", x))
        return x + linear(weights, f"{name}.down", nn.gelu(y, approximate=False))

    def loss(weights: Weights, x: Any, y: Any) -> Any:
        x = weights["tokens.weight"][x] + weights["places.weight"]
        for i in range(4):
            x = block(weights, f"blocks.{i}", x)
        return cross_entropy(linear(weights, "head", layer_norm(weights, "norm", x)), y)

    return trained("gpt", loss, adam_start, adamw)


def lstm() -> Callable[[], float]:
    def loss(weights: Weights, x: Any, y: Any) -> Any:
        inner = weights["lstm.weight_hh_l0"].T
        bias = weights["lstm.bias_ih_l0"] + weights["lstm.bias_hh_l0"]
        given = x @ weights["lstm.weight_ih_l0"].T + bias  # (T, B, 4 * 128)

        def cell(state: tuple, given: Any) -> tuple:
            h, c = state
            i, f, g, o = jnp.split(given + h @ inner, 4, -1)
            c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
            return (nn.sigmoid(o) * jnp.tanh(c), c), None

        start = jnp.zeros((x.shape[1], 128))
        (h, _), _ = lax.scan(cell, (start, start), given)
        return cross_entropy(linear(weights, "head", h), y)

    return trained("lstm", loss, adam_start, adam)


STEPS = {f.__name__: f for f in (mlp, cnn, resnet20, gpt, lstm)}
