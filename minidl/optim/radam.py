"""RAdam: Adam that waits with the adaptive rate until its variance is known well enough."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..device import xp
from ..tensor import Tensor
from .compiled import fastest
from .optimizer import Optimizer, next_step
from .options import check_betas, check_lr, check_not_negative, check_switches


def radam_step(
    param: Any,
    grad: Any,
    exp_avg: Any,
    exp_avg_sq: Any,
    *,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled_weight_decay: bool,
    maximize: bool,
) -> None:
    """Step number `step` (the first is 1) of RAdam, in place on arrays of one shape and dtype.

        g = grad (or -grad to maximize)
        weight decay is part of g, or decoupled it shrinks param, as in `adam_step`
        m = beta1 * m + (1 - beta1) * g               m: exp_avg, zero before the first step
        v = beta2 * v + (1 - beta2) * g * g           v: exp_avg_sq, zero before the first step
        m' = m / (1 - beta1**step)
        R = 2 / (1 - beta2) - 1                       the most gradients v can average over
        r = R - 2 * step * beta2**step / (1 - beta2**step)             and those it does so far
        if r <= 5:  param = param - lr * m'
        otherwise:  param = param - lr * m' * c * sqrt(1 - beta2**step) / (sqrt(v) + eps),
                    c = sqrt((r - 4) * (r - 2) * R / ((R - 4) * (R - 2) * r))

    Source: Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", 2020,
    algorithm 2.
    """
    g = -grad if maximize else grad
    if weight_decay != 0:
        if decoupled_weight_decay:
            param *= 1 - lr * weight_decay
        else:
            g = g + weight_decay * param
    exp_avg += (1 - beta1) * (g - exp_avg)
    exp_avg_sq *= beta2
    exp_avg_sq += (1 - beta2) * g * g

    update = lr / (1 - beta1**step) * exp_avg
    most = 2 / (1 - beta2) - 1
    unbias = 1 - beta2**step
    length = most - 2 * step * beta2**step / unbias
    if length > 5:
        variance = (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)
        update *= (variance * unbias) ** 0.5 / (xp(param).sqrt(exp_avg_sq) + eps)
    param -= update


class RAdam(Optimizer):
    """RAdam; the formula stands in `radam_step`.

    State per parameter: `step`, `exp_avg`, `exp_avg_sq`. `foreach` and `capturable` ask for speed
    only and change nothing; `differentiable=True` raises.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.RAdam.html
    """

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _check_options(self, options: dict[str, Any]) -> None:
        check_lr(options["lr"])
        check_not_negative("epsilon value", options["eps"])
        check_betas(options["betas"])
        check_not_negative("weight_decay value", options["weight_decay"])
        check_switches(self, options)

    def _update(self, p: Tensor, group: dict[str, Any]) -> None:
        state = self._state_of(p, "exp_avg", "exp_avg_sq")
        beta1, beta2 = group["betas"]
        update, arrays = fastest(
            radam_step,
            p._array,
            p._grad._array,
            state["exp_avg"]._array,
            state["exp_avg_sq"]._array,
        )
        update(
            *arrays,
            step=next_step(state),
            lr=float(group["lr"]),
            beta1=float(beta1),
            beta2=float(beta2),
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            decoupled_weight_decay=group["decoupled_weight_decay"],
            maximize=group["maximize"],
        )
