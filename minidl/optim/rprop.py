"""Rprop: each weight has a step size of its own; of the gradient only the sign counts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..device import xp
from ..ops import full_like, tensor, zeros_like
from ..tensor import Tensor
from .compiled import fastest
from .optimizer import Optimizer, next_step
from .options import check_lr, check_switches


def rprop_step(
    param: Any,
    grad: Any,
    prev: Any,
    step_size: Any,
    *,
    etas: tuple[float, float],
    step_sizes: tuple[float, float],
    maximize: bool,
) -> None:
    """One step of Rprop, in place on arrays of one shape and dtype.

        g = grad (or -grad to maximize)
        step_size = step_size * etas[1] where g has the sign of `prev`, * etas[0] where the other,
                    kept within step_sizes
        g = 0 where the sign has changed: the minimum was jumped over, so wait one step
        param = param - step_size * sign(g)
        prev = g                                      zero before the first step

    Source: Riedmiller and Braun, "A direct adaptive method for faster backpropagation learning:
    the RPROP algorithm", 1993, in the variant of Igel and Hüsken, "Improving the Rprop Learning
    Algorithm", 2000, algorithm 3 (iRprop-).
    """
    m = xp(param)
    g = -grad if maximize else grad
    agree = m.sign(g * prev)
    shrink, grow = etas
    step_size *= m.where(agree > 0, grow, m.where(agree < 0, shrink, 1)).astype(step_size.dtype)
    m.clip(step_size, *step_sizes, out=step_size)
    prev[...] = m.where(agree < 0, 0, g)
    param -= step_size * m.sign(prev)


class Rprop(Optimizer):
    """Rprop, for gradients of the whole data set; the formula stands in `rprop_step`.

    State per parameter: `step`, `prev`, `step_size` (at first `lr`). `foreach` and `capturable` ask
    for speed only and change nothing; `differentiable=True` raises.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.Rprop.html
    """

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _check_options(self, options: dict[str, Any]) -> None:
        check_lr(options["lr"])
        shrink, grow = options["etas"]
        if not 0.0 < shrink < 1.0 < grow:
            raise ValueError(
                f"Invalid eta values: {shrink}, {grow} (expected 0 < the first < 1 < the second)"
            )
        check_switches(self, options)

    def _update(self, p: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if not state:
            state["step"] = tensor(0.0)
            state["prev"] = zeros_like(p)
            state["step_size"] = full_like(p, float(group["lr"]))
        next_step(state)
        update, arrays = fastest(
            rprop_step,
            p._array,
            p._grad._array,
            state["prev"]._array,
            state["step_size"]._array,
        )
        update(
            *arrays,
            etas=group["etas"],
            step_sizes=group["step_sizes"],
            maximize=group["maximize"],
        )
