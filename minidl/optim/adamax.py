"""Adamax: Adam with the largest gradient of late in place of the root mean square."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..device import xp
from ..tensor import Tensor
from .compiled import fastest
from .optimizer import Optimizer, next_step
from .options import check_betas, check_lr, check_not_negative, check_switches


def adamax_step(
    param: Any,
    grad: Any,
    exp_avg: Any,
    exp_inf: Any,
    *,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
) -> None:
    """Step number `step` (the first is 1) of Adamax, in place on arrays of one shape and dtype.

        g = grad (or -grad to maximize) + weight_decay * param
        m = beta1 * m + (1 - beta1) * g               m: exp_avg, zero before the first step
        u = max(beta2 * u, |g| + eps)                 u: exp_inf, zero before the first step
        param = param - lr / (1 - beta1**step) * m / u

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015, algorithm 2.
    """
    g = -grad if maximize else grad
    if weight_decay != 0:
        g = g + weight_decay * param
    exp_avg += (1 - beta1) * (g - exp_avg)
    exp_inf *= beta2
    xp(param).maximum(exp_inf, abs(g) + eps, out=exp_inf)
    param -= lr / (1 - beta1**step) * exp_avg / exp_inf


class Adamax(Optimizer):
    """Adamax; the formula stands in `adamax_step`.

    State per parameter: `step`, `exp_avg`, `exp_inf`. `foreach` and `capturable` ask for speed only
    and change nothing; `differentiable=True` raises.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.Adamax.html
    """

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _check_options(self, options: dict[str, Any]) -> None:
        check_lr(options["lr"])
        check_not_negative("epsilon value", options["eps"])
        check_betas(options["betas"])
        check_not_negative("weight_decay value", options["weight_decay"])
        check_switches(self, options)

    def _update(self, p: Tensor, group: dict[str, Any]) -> None:
        state = self._state_of(p, "exp_avg", "exp_inf")
        beta1, beta2 = group["betas"]
        update, arrays = fastest(
            adamax_step,
            p._array,
            p._grad._array,
            state["exp_avg"]._array,
            state["exp_inf"]._array,
        )
        update(
            *arrays,
            step=next_step(state),
            lr=float(group["lr"]),
            beta1=float(beta1),
            beta2=float(beta2),
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            maximize=group["maximize"],
        )
