"""Adam, and AdamW: the same step with the weight decay taken out of the gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..device import xp
from ..tensor import Tensor
from .compiled import fastest
from .optimizer import Optimizer, next_step
from .options import check_betas, check_lr, check_not_negative, check_switches


def adam_step(
    param: Any,
    grad: Any,
    exp_avg: Any,
    exp_avg_sq: Any,
    max_exp_avg_sq: Any,
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
    """Step number `step` (the first is 1) of Adam, in place on arrays of one shape and dtype.

        g = grad (or -grad to maximize)
        Adam:   g = g + weight_decay * param
        AdamW:  param = param - lr * weight_decay * param
        m = beta1 * m + (1 - beta1) * g               m: exp_avg, zero before the first step
        v = beta2 * v + (1 - beta2) * g * g           v: exp_avg_sq, zero before the first step
        m' = m / (1 - beta1**step)                    m and v start at zero; this undoes the bias
        v' = v / (1 - beta2**step)                    amsgrad: the largest v so far in place of v
        param = param - lr * m' / (sqrt(v') + eps)

    Without amsgrad `max_exp_avg_sq` is None. Sources: Kingma and Ba, "Adam: A Method for
    Stochastic Optimization", 2015, algorithm 1; Loshchilov and Hutter, "Decoupled Weight Decay
    Regularization", 2019, algorithm 2; Reddi et al., "On the Convergence of Adam and Beyond", 2018.
    """
    g = -grad if maximize else grad
    if weight_decay != 0:
        if decoupled_weight_decay:
            param *= 1 - lr * weight_decay
        else:
            g = g + weight_decay * param

    difference = g - exp_avg
    difference *= 1 - beta1
    exp_avg += difference

    square = g * g
    square *= 1 - beta2
    exp_avg_sq *= beta2
    exp_avg_sq += square

    v = exp_avg_sq
    if max_exp_avg_sq is not None:
        xp(param).maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq)
        v = max_exp_avg_sq

    denominator = xp(param).sqrt(v)
    denominator /= (1 - beta2**step) ** 0.5
    denominator += eps
    update = exp_avg / denominator
    update *= lr / (1 - beta1**step)
    param -= update


class Adam(Optimizer):
    """Adam; the formula stands in `adam_step`. weight_decay is an L2 penalty, part of the gradient.

    State per parameter: `step` (0-d float), `exp_avg`, `exp_avg_sq` and, with amsgrad,
    `max_exp_avg_sq`. `foreach`, `fused` and `capturable` ask for speed only and change nothing;
    `differentiable=True` raises.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html
    """

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _check_options(self, options: dict[str, Any]) -> None:
        check_lr(options["lr"])
        check_not_negative("epsilon value", options["eps"])
        check_not_negative("weight_decay value", options["weight_decay"])
        check_betas(options["betas"])
        check_switches(self, options)

    def _update(self, p: Tensor, group: dict[str, Any]) -> None:
        names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
        state = self._state_of(p, *(names if group["amsgrad"] else names[:2]))
        beta1, beta2 = group["betas"]
        update, arrays = fastest(
            adam_step,
            p._array,
            p._grad._array,
            state["exp_avg"]._array,
            state["exp_avg_sq"]._array,
            state["max_exp_avg_sq"]._array if group["amsgrad"] else None,
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


class AdamW(Adam):
    """Adam with decoupled weight decay: lr * weight_decay shrinks the parameter, not the gradient.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.AdamW.html
    """

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # a state saved by Adam says False
            group["decoupled_weight_decay"] = True
