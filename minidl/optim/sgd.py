"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from numpy import ndarray

from .. import kernels
from ..ops import zeros_like
from ..tensor import Tensor
from .compiled import fastest
from .optimizer import Optimizer
from .options import check_lr, check_not_negative, check_switches


def sgd_step(
    param: Any,
    grad: Any,
    momentum_buffer: Any,
    *,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    maximize: bool,
) -> None:
    """One step of SGD, in place on arrays of one shape (any) and one float dtype.

        g = grad (or -grad to maximize) + weight_decay * param
        b = momentum * b + (1 - dampening) * g       b: momentum_buffer, zero before the first step
        param = param - lr * d                       d: g without momentum, b with it,
                                                        g + momentum * b with Nesterov's

    Without momentum `momentum_buffer` is None. Source: Sutskever et al., "On the importance of
    initialization and momentum in deep learning", 2013, in the form of PyTorch's `torch.optim.SGD`
    (the buffer holds gradients, not steps: lr multiplies at the end).
    """
    g = -grad if maximize else grad
    if weight_decay != 0:
        g = g + weight_decay * param
    if momentum != 0:
        momentum_buffer *= momentum
        momentum_buffer += (1 - dampening) * g if dampening != 0 else g
        g = g + momentum * momentum_buffer if nesterov else momentum_buffer
    param -= lr * g


class SGD(Optimizer):
    """Stochastic gradient descent, optionally with momentum; the formula stands in `sgd_step`.

    As in PyTorch the first gradient enters the momentum buffer without dampening. `foreach` and
    `fused` ask for speed only and change nothing; `differentiable=True` raises.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html
    """

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def _check_options(self, options: dict[str, Any]) -> None:
        check_lr(options["lr"])
        check_not_negative("momentum value", options["momentum"])
        check_not_negative("weight_decay value", options["weight_decay"])
        if options["nesterov"] and (options["momentum"] <= 0 or options["dampening"] != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        check_switches(self, options)

    def _update(self, p: Tensor, group: dict[str, Any]) -> None:
        momentum, dampening, buffer = group["momentum"], group["dampening"], None
        if momentum != 0:
            state = self.state[p]
            if state.get("momentum_buffer") is None:
                state["momentum_buffer"] = zeros_like(p)
                dampening = 0
            buffer = state["momentum_buffer"]._array
        update, arrays = sgd_step, (p._array, p._grad._array, buffer)
        on_gpu = p._array.__class__ is not ndarray
        if on_gpu or p._array.size >= kernels.LARGE:  # fewer elements are as fast in NumPy
            update, arrays = fastest(sgd_step, *arrays)
        update(
            *arrays,
            lr=float(group["lr"]),
            momentum=momentum,
            dampening=dampening,
            weight_decay=group["weight_decay"],
            nesterov=group["nesterov"],
            maximize=group["maximize"],
        )
