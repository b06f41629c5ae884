"""Optimizers through `check_optimizer`: against plain loops written from the papers."""

import numpy as np
import pytest

from minidl.optim import SGD, Adam, AdamW
from minidl.testing import check_optimizer


def each(rule):
    """A loop over the parameters, from `rule(p, g, state) -> p` for one of them."""

    def loop(params, grads, state):
        return [
            p if g is None else rule(p, g, state.setdefault(i, {}))
            for i, (p, g) in enumerate(zip(params, grads, strict=True))
        ]

    return loop


def sgd(lr, momentum=0.0, dampening=0.0, decay=0.0, nesterov=False):
    def rule(p, g, state):
        g = g + decay * p
        if momentum:
            before = state.get("v")
            state["v"] = g if before is None else momentum * before + (1 - dampening) * g
            g = g + momentum * state["v"] if nesterov else state["v"]
        return p - lr * g

    return each(rule)


def adam(lr, betas=(0.9, 0.999), eps=1e-8, decay=0.0, decoupled=False, amsgrad=False):
    def rule(p, g, state):
        if decoupled:
            p = p - lr * decay * p
        else:
            g = g + decay * p
        state["t"] = t = state.get("t", 0) + 1
        state["m"] = betas[0] * state.get("m", 0 * g) + (1 - betas[0]) * g
        state["v"] = betas[1] * state.get("v", 0 * g) + (1 - betas[1]) * g**2
        state["largest"] = np.maximum(state.get("largest", 0 * g), state["v"])
        v = state["largest"] if amsgrad else state["v"]
        m, v = state["m"] / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
        return p - lr * m / (np.sqrt(v) + eps)

    return each(rule)


CASES = {
    "SGD": (lambda p: SGD(p, lr=0.1), sgd(0.1)),
    "SGD with momentum": (
        lambda p: SGD(p, lr=0.1, momentum=0.9, dampening=0.3, weight_decay=0.02),
        sgd(0.1, 0.9, 0.3, 0.02),
    ),
    "SGD of Nesterov": (
        lambda p: SGD(p, lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.02),
        sgd(0.1, 0.8, 0.0, 0.02, nesterov=True),
    ),
    "Adam": (lambda p: Adam(p, lr=0.1), adam(0.1)),
    "Adam with an L2 penalty": (
        lambda p: Adam(p, lr=0.1, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1),
        adam(0.1, (0.8, 0.95), 1e-3, 0.1),
    ),
    "AdamW": (lambda p: AdamW(p, lr=0.1), adam(0.1, decay=0.01, decoupled=True)),
    "AdamW with amsgrad": (
        lambda p: AdamW(p, lr=0.1, betas=(0.7, 0.9), weight_decay=0.3, amsgrad=True),
        adam(0.1, (0.7, 0.9), decay=0.3, decoupled=True, amsgrad=True),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_holds(name, device):
    make, reference = CASES[name]
    check_optimizer(make, reference, device=device)
