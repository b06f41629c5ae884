"""Averaged stochastic gradient descent: SGD with a falling rate, and the mean of its path."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..ops import tensor, zeros_like
from ..tensor import Tensor
from .compiled import fastest
from .optimizer import Optimizer, next_step
from .options import check_lr, check_not_negative, check_switches


def asgd_step(
    param: Any,
    grad: Any,
    ax: Any,
    *,
    step: int,
    eta: float,
    mu: float,
    lr: float,
    lambd: float,
    alpha: float,
    t0: float,
    weight_decay: float,
    maximize: bool,
) -> tuple[float, float]:
    """Step number `step` (the first is 1) of ASGD, in place on arrays of one shape and dtype.

        g = grad (or -grad to maximize) + weight_decay * param
        param = param - eta * (lambd * param + g)     eta: lr in the first step
        ax = ax + mu * (param - ax)                   mu: 1 in the first step

    Returns eta and mu of the next step:

        eta = lr / (1 + lambd * lr * step)**alpha
        mu = 1 / max(1, step - t0)

    Sources: Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992;
    the rates are those of Bottou, "Stochastic Gradient Descent Tricks", 2012.
    """
    g = -grad if maximize else grad
    if weight_decay != 0:
        g = g + weight_decay * param
    param *= 1 - lambd * eta
    param -= eta * g
    ax += mu * (param - ax)
    return lr / (1 + lambd * lr * step) ** alpha, 1 / max(1, step - t0)


class ASGD(Optimizer):
    """Averaged stochastic gradient descent; the formula stands in `asgd_step`.

    State per parameter: `step`, `eta` and `mu` (0-d), and the average `ax` (from step t0 + 1 on,
    before it is the parameter itself). `foreach` and `capturable` ask for speed only and change
    nothing; `differentiable=True` raises.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.ASGD.html
    """

    _numbers = ("step", "eta", "mu")

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _check_options(self, options: dict[str, Any]) -> None:
        check_lr(options["lr"])
        check_not_negative("weight_decay value", options["weight_decay"])
        check_switches(self, options)

    def _update(self, p: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if not state:
            state["step"] = tensor(0.0)
            state["eta"] = tensor(float(group["lr"]))
            state["mu"] = tensor(1.0)
            state["ax"] = zeros_like(p)
        update, arrays = fastest(
            asgd_step,
            p._array,
            p._grad._array,
            state["ax"]._array,
        )
        eta, mu = update(
            *arrays,
            step=next_step(state),
            eta=state["eta"].item(),
            mu=state["mu"].item(),
            lr=float(group["lr"]),
            lambd=group["lambd"],
            alpha=group["alpha"],
            t0=group["t0"],
            weight_decay=group["weight_decay"],
            maximize=group["maximize"],
        )
        state["eta"], state["mu"] = tensor(eta), tensor(mu)
