"""NAdam: Adam with Nesterov's momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..device import xp
from ..ops import tensor, zeros_like
from ..tensor import Tensor
from .compiled import fastest
from .optimizer import Optimizer, next_step
from .options import check_betas, check_lr, check_not_negative, check_switches


def nadam_step(
    param: Any,
    grad: Any,
    exp_avg: Any,
    exp_avg_sq: Any,
    *,
    mu_product: Any,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    momentum_decay: float,
    decoupled_weight_decay: bool,
    maximize: bool,
) -> None:
    """Step number `step` (the first is 1) of NAdam, in place on arrays of one shape and dtype.

        g = grad (or -grad to maximize)
        weight decay is part of g, or decoupled it shrinks param, as in `adam_step`
        mu(t) = beta1 * (1 - 0.96**(t * momentum_decay) / 2)
        P = P * mu(step)                              P: mu_product (0-d), 1 before the first step
        m = beta1 * m + (1 - beta1) * g               m: exp_avg, zero before the first step
        v = beta2 * v + (1 - beta2) * g * g           v: exp_avg_sq, zero before the first step
        m' = mu(step + 1) * m / (1 - P * mu(step + 1)) + (1 - mu(step)) * g / (1 - P)
        param = param - lr * m' / (sqrt(v / (1 - beta2**step)) + eps)

    Source: Dozat, "Incorporating Nesterov Momentum into Adam", 2016, algorithm 2.
    """
    g = -grad if maximize else grad
    if weight_decay != 0:
        if decoupled_weight_decay:
            param *= 1 - lr * weight_decay
        else:
            g = g + weight_decay * param

    mu = beta1 * (1 - 0.5 * 0.96 ** (step * momentum_decay))
    next_mu = beta1 * (1 - 0.5 * 0.96 ** ((step + 1) * momentum_decay))
    mu_product *= mu
    product = float(mu_product)

    exp_avg += (1 - beta1) * (g - exp_avg)
    exp_avg_sq *= beta2
    exp_avg_sq += (1 - beta2) * g * g
    denominator = xp(param).sqrt(exp_avg_sq / (1 - beta2**step)) + eps
    param -= lr * (1 - mu) / (1 - product) * g / denominator
    param -= lr * next_mu / (1 - product * next_mu) * exp_avg / denominator


class NAdam(Optimizer):
    """NAdam; the formula stands in `nadam_step`.

    State per parameter: `step`, `mu_product` (0-d), `exp_avg`, `exp_avg_sq`. `foreach` and
    `capturable` ask for speed only and change nothing; `differentiable=True` raises.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.NAdam.html
    """

    _numbers = ("step", "mu_product")

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
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
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _check_options(self, options: dict[str, Any]) -> None:
        check_lr(options["lr"])
        check_not_negative("epsilon value", options["eps"])
        check_betas(options["betas"])
        check_not_negative("weight_decay value", options["weight_decay"])
        check_not_negative("momentum_decay value", options["momentum_decay"])
        check_switches(self, options)

    def _update(self, p: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if not state:
            state["step"] = tensor(0.0)
            state["mu_product"] = tensor(1.0)
            state["exp_avg"] = zeros_like(p)
            state["exp_avg_sq"] = zeros_like(p)
        beta1, beta2 = group["betas"]
        update, arrays = fastest(
            nadam_step,
            p._array,
            p._grad._array,
            state["exp_avg"]._array,
            state["exp_avg_sq"]._array,
        )
        update(
            *arrays,
            mu_product=state["mu_product"]._array,
            step=next_step(state),
            lr=float(group["lr"]),
            beta1=float(beta1),
            beta2=float(beta2),
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            momentum_decay=group["momentum_decay"],
            decoupled_weight_decay=group["decoupled_weight_decay"],
            maximize=group["maximize"],
        )
