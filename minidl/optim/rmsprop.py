"""RMSprop: the gradient divided by a running root of its mean square."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..device import xp
from ..tensor import Tensor
from .compiled import fastest
from .optimizer import Optimizer, next_step
from .options import check_lr, check_not_negative, check_switches


def rmsprop_step(
    param: Any,
    grad: Any,
    square_avg: Any,
    momentum_buffer: Any,
    grad_avg: Any,
    *,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
    maximize: bool,
) -> None:
    """One step of RMSprop, in place on arrays of one shape and dtype.

        g = grad (or -grad to maximize) + weight_decay * param
        v = alpha * v + (1 - alpha) * g * g        v: square_avg, zero before the first step
        a = alpha * a + (1 - alpha) * g            a: grad_avg; centered: v - a * a in place of v
        d = g / (sqrt(v) + eps)
        b = momentum * b + d                       b: momentum_buffer; without momentum b is d
        param = param - lr * b

    Without momentum `momentum_buffer`, without centering `grad_avg` is None. Sources: Hinton,
    "Neural Networks for Machine Learning", lecture 6e, 2012; centered: Graves, "Generating
    Sequences With Recurrent Neural Networks", 2013, equations 38 to 41.
    """
    g = -grad if maximize else grad
    if weight_decay != 0:
        g = g + weight_decay * param
    square_avg *= alpha
    square_avg += (1 - alpha) * g * g
    v = square_avg
    if grad_avg is not None:
        grad_avg += (1 - alpha) * (g - grad_avg)
        v = square_avg - grad_avg * grad_avg
    update = g / (xp(param).sqrt(v) + eps)
    if momentum_buffer is not None:
        momentum_buffer *= momentum
        momentum_buffer += update
        update = momentum_buffer
    param -= lr * update


class RMSprop(Optimizer):
    """RMSprop; the formula stands in `rmsprop_step`.

    State per parameter: `step`, `square_avg`, with momentum `momentum_buffer`, with centered
    `grad_avg`. `foreach` and `capturable` ask for speed only and change nothing;
    `differentiable=True` raises.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.RMSprop.html
    """

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _check_options(self, options: dict[str, Any]) -> None:
        check_lr(options["lr"])
        check_not_negative("epsilon value", options["eps"])
        check_not_negative("momentum value", options["momentum"])
        check_not_negative("weight_decay value", options["weight_decay"])
        check_not_negative("alpha value", options["alpha"])
        check_switches(self, options)

    def _update(self, p: Tensor, group: dict[str, Any]) -> None:
        names = ["square_avg"]
        if group["momentum"] > 0:
            names.append("momentum_buffer")
        if group["centered"]:
            names.append("grad_avg")
        state = self._state_of(p, *names)
        next_step(state)
        update, arrays = fastest(
            rmsprop_step,
            p._array,
            p._grad._array,
            state["square_avg"]._array,
            state["momentum_buffer"]._array if group["momentum"] > 0 else None,
            state["grad_avg"]._array if group["centered"] else None,
        )
        update(
            *arrays,
            lr=float(group["lr"]),
            alpha=group["alpha"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
            maximize=group["maximize"],
        )
