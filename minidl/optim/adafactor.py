"""Adafactor: the second moment of a matrix kept as one row and one column."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..device import xp
from ..ops import tensor, zeros, zeros_like
from ..tensor import Tensor
from .optimizer import Optimizer, next_step
from .options import check_lr, check_switches


def adafactor_step(
    param: Any,
    grad: Any,
    variances: tuple,
    *,
    step: int,
    lr: float,
    beta2_decay: float,
    eps: tuple[float | None, float],
    d: float,
    weight_decay: float,
    maximize: bool,
) -> None:
    """Step number `step` (the first is 1) of Adafactor, in place on arrays of one dtype.

        rms(x) = sqrt(mean(x * x))
        rate = max(eps2, rms(param)) * min(lr, 1 / sqrt(step))
        param = param - lr * weight_decay * param
        g = grad (or -grad to maximize),  w = step**beta2_decay
        matrices:  r = (1 - w) * r + w * mean(g * g, -1)      rows, (..., n, 1)
                   c = (1 - w) * c + w * mean(g * g, -2)      columns, (..., 1, m)
                   v = r @ c / max(mean(r, -2), eps1)
        others:    v = (1 - w) * v + w * g * g
        u = g / sqrt(max(v, eps1**2))
        param = param - rate / max(1, rms(u) / d) * u

    variances: (r, c) for a matrix or a stack of them, (v,) otherwise; zero before the first step.
    eps: (eps1, eps2); for eps1 None means the dtype's epsilon. Source: Shazeer and Stern,
    "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", 2018, algorithms 4 and 5.
    """
    if not param.size:
        return  # nothing has no mean
    m = xp(param)
    eps1, eps2 = eps
    if eps1 is None:
        eps1 = float(m.finfo(param.dtype).eps)
    rate = m.maximum(_rms(param), eps2) * min(lr, step**-0.5)
    if weight_decay != 0:
        param *= 1 - lr * weight_decay
    g = -grad if maximize else grad
    square = g * g
    weight = step**beta2_decay
    if len(variances) == 2:
        rows, columns = variances
        rows += weight * (square.mean(-1, keepdims=True) - rows)
        columns += weight * (square.mean(-2, keepdims=True) - columns)
        v = rows @ columns / m.maximum(rows.mean(-2, keepdims=True), eps1)
    else:
        (v,) = variances
        v += weight * (square - v)
    update = g / m.sqrt(m.maximum(v, eps1**2))
    param -= rate / m.maximum(_rms(update) / d, 1.0) * update


def _rms(x: Any) -> Any:
    return xp(x).sqrt((x * x).mean())  # an array: to read it, the step would wait for a GPU


class Adafactor(Optimizer):
    """Adafactor; the formula stands in `adafactor_step`.

    State per parameter: `step`, and `row_var` and `col_var` for two dimensions or more, otherwise
    `variance`. `foreach` asks for speed only and changes nothing.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.Adafactor.html
    """

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check_options(self, options: dict[str, Any]) -> None:
        check_lr(options["lr"])
        eps1, eps2 = options["eps"]
        for name, value, good, bound in [
            ("beta2_decay", options["beta2_decay"], options["beta2_decay"] <= 0, "<= 0"),
            ("epsilon1", eps1, eps1 is None or eps1 >= 0, ">= 0"),
            ("epsilon2", eps2, eps2 >= 0, ">= 0"),
            ("Clipping threshold d", options["d"], options["d"] >= 1, ">= 1"),
            ("weight_decay", options["weight_decay"], options["weight_decay"] >= 0, ">= 0"),
        ]:
            if not good:
                raise ValueError(f"{name} should be {bound} but is: {value}")
        check_switches(self, options)

    def _update(self, p: Tensor, group: dict[str, Any]) -> None:
        names = ("row_var", "col_var") if p.dim() > 1 else ("variance",)
        state = self.state[p]
        if not state:
            state["step"] = tensor(0.0)
            if p.dim() > 1:
                *batch, n, m = p.shape
                state["row_var"] = zeros(*batch, n, 1, dtype=p.dtype, device=p.device)
                state["col_var"] = zeros(*batch, 1, m, dtype=p.dtype, device=p.device)
            else:
                state["variance"] = zeros_like(p)
        adafactor_step(
            p._array,
            p.grad._array,
            tuple(state[name]._array for name in names),
            step=next_step(state),
            lr=float(group["lr"]),
            beta2_decay=group["beta2_decay"],
            eps=group["eps"],
            d=group["d"],
            weight_decay=group["weight_decay"],
            maximize=group["maximize"],
        )
