"""Adadelta: steps as large as the steps before, instead of a learning rate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..device import xp
from ..tensor import Tensor
from .compiled import fastest
from .optimizer import Optimizer, next_step
from .options import check_lr, check_not_negative, check_switches


def adadelta_step(
    param: Any,
    grad: Any,
    square_avg: Any,
    acc_delta: Any,
    *,
    lr: float,
    rho: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
) -> None:
    """One step of Adadelta, in place on arrays of one shape and dtype.

        g = grad (or -grad to maximize) + weight_decay * param
        v = rho * v + (1 - rho) * g * g            v: square_avg, zero before the first step
        d = g * sqrt(u + eps) / sqrt(v + eps)
        u = rho * u + (1 - rho) * d * d            u: acc_delta, zero before the first step
        param = param - lr * d

    Source: Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012, algorithm 1.
    """
    sqrt = xp(param).sqrt
    g = -grad if maximize else grad
    if weight_decay != 0:
        g = g + weight_decay * param
    square_avg *= rho
    square_avg += (1 - rho) * g * g
    delta = sqrt(acc_delta + eps) / sqrt(square_avg + eps) * g
    acc_delta *= rho
    acc_delta += (1 - rho) * delta * delta
    param -= lr * delta


class Adadelta(Optimizer):
    """Adadelta; the formula stands in `adadelta_step`.

    State per parameter: `step`, `square_avg`, `acc_delta`. `foreach` and `capturable` ask for speed
    only and change nothing; `differentiable=True` raises.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.Adadelta.html
    """

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _check_options(self, options: dict[str, Any]) -> None:
        check_lr(options["lr"])
        if not 0.0 <= options["rho"] <= 1.0:
            raise ValueError(f"Invalid rho value: {options['rho']} (it must be in [0, 1])")
        check_not_negative("epsilon value", options["eps"])
        check_not_negative("weight_decay value", options["weight_decay"])
        check_switches(self, options)

    def _update(self, p: Tensor, group: dict[str, Any]) -> None:
        state = self._state_of(p, "square_avg", "acc_delta")
        next_step(state)
        update, arrays = fastest(
            adadelta_step,
            p._array,
            p._grad._array,
            state["square_avg"]._array,
            state["acc_delta"]._array,
        )
        update(
            *arrays,
            lr=float(group["lr"]),
            rho=group["rho"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            maximize=group["maximize"],
        )
