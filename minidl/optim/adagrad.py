"""Adagrad: the gradient divided by the root of the sum of all its squares."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..device import xp
from ..ops import full_like, tensor
from ..tensor import Tensor
from .compiled import fastest
from .optimizer import Optimizer, next_step
from .options import check_lr, check_not_negative, check_switches


def adagrad_step(
    param: Any,
    grad: Any,
    sum: Any,
    *,
    step: int,
    lr: float,
    lr_decay: float,
    weight_decay: float,
    eps: float,
    maximize: bool,
) -> None:
    """Step number `step` (the first is 1) of Adagrad, in place on arrays of one shape and dtype.

        g = grad (or -grad to maximize) + weight_decay * param
        s = s + g * g                                 s: sum, before the first step a constant
        rate = lr / (1 + (step - 1) * lr_decay)
        param = param - rate * g / (sqrt(s) + eps)

    Source: Duchi et al., "Adaptive Subgradient Methods for Online Learning and Stochastic
    Optimization", 2011.
    """
    g = -grad if maximize else grad
    if weight_decay != 0:
        g = g + weight_decay * param
    sum += g * g
    rate = lr / (1 + (step - 1) * lr_decay)
    param -= rate * g / (xp(param).sqrt(sum) + eps)


class Adagrad(Optimizer):
    """Adagrad; the formula stands in `adagrad_step`.

    State per parameter, there before the first step: `step`, and `sum`, at first filled with
    `initial_accumulator_value`. `foreach` and `fused` ask for speed only and change nothing;
    `differentiable=True` raises.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.Adagrad.html
    """

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                self._state_of(p)

    def _check_options(self, options: dict[str, Any]) -> None:
        check_lr(options["lr"])
        check_not_negative("lr_decay value", options["lr_decay"])
        check_not_negative("weight_decay value", options["weight_decay"])
        check_not_negative("initial_accumulator_value value", options["initial_accumulator_value"])
        check_not_negative("epsilon value", options["eps"])
        check_switches(self, options)

    def _state_of(self, p: Tensor) -> dict[str, Any]:
        state = self.state[p]
        if not state:  # as in PyTorch the constructor's value counts, also in a group with its own
            state["step"] = tensor(0.0)
            state["sum"] = full_like(p, self.defaults["initial_accumulator_value"])
        return state

    def _update(self, p: Tensor, group: dict[str, Any]) -> None:
        state = self._state_of(p)
        update, arrays = fastest(
            adagrad_step,
            p._array,
            p._grad._array,
            state["sum"]._array,
        )
        update(
            *arrays,
            step=next_step(state),
            lr=float(group["lr"]),
            lr_decay=group["lr_decay"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=group["maximize"],
        )
