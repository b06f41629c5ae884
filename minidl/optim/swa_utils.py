"""Averages of a model's weights over the training: plain (SWA) or exponential (EMA)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

from ..autograd import no_grad
from ..dtypes import int64
from ..nn import Module
from ..nn.norm import _BatchNorm
from ..ops import tensor
from ..tensor import Tensor
from .lr_scheduler.base import LRScheduler, Rate, per_group
from .optimizer import Optimizer

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]


def get_ema_avg_fn(decay: float = 0.999) -> Callable[[Tensor, Tensor, Any], Tensor]:
    """A function of (average, value, number): decay * average + (1 - decay) * value."""
    _check_decay(decay)

    @no_grad()
    def ema_update(average: Tensor, value: Tensor, num_averaged: Tensor | int) -> Tensor:
        return decay * average + (1 - decay) * value

    return ema_update


def get_swa_avg_fn() -> Callable[[Tensor, Tensor, Any], Tensor]:
    """A function of (average, value, number n): average + (value - average) / (n + 1)."""

    @no_grad()
    def swa_update(average: Tensor, value: Tensor, num_averaged: Tensor | int) -> Tensor:
        return average + (value - average) / (num_averaged + 1)

    return swa_update


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[[list, list, Any], None]:
    """As `get_ema_avg_fn`, in place on lists of averages and values."""
    return _in_place(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> Callable[[list, list, Any], None]:
    """As `get_swa_avg_fn`, in place on lists of averages and values."""
    return _in_place(get_swa_avg_fn())


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(
            f"Invalid decay value {decay} provided. Please provide a value in [0,1] range."
        )


def _in_place(average_of: Callable[[Tensor, Tensor, Any], Tensor]) -> Callable:
    @no_grad()
    def update(averages: list[Tensor], values: list[Tensor], num_averaged: Tensor | int) -> None:
        for average, value in zip(averages, values, strict=True):
            average.copy_(average_of(average, value, num_averaged))

    return update


class AveragedModel(Module):
    """A copy of `model` whose parameters are averages of the model's, one term per update.

    avg_fn: (average, value, number of terms so far) -> new average. multi_avg_fn: the same in place
    on lists. Without either every term has the same weight. The first update copies. use_buffers:
    buffers are averaged too; otherwise they are copied at each update. State: `n_averaged`,
    `module.*`.

    Source: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization",
    2018; https://docs.pytorch.org/docs/stable/generated/torch.optim.swa_utils.AveragedModel.html
    """

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Callable[[Tensor, Tensor, Tensor | int], Tensor] | None = None,
        multi_avg_fn: Callable[[list, list, Tensor | int], None] | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, dtype=int64, device=device))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the averaged model makes of the arguments."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the present parameters of `model` into the averages."""
        averages, values = list(self.module.parameters()), list(model.parameters())
        buffers, new_buffers = list(self.module.buffers()), list(model.buffers())
        if self.use_buffers:
            averages, values = averages + buffers, values + new_buffers
            buffers = new_buffers = []
        averages = [average.detach() for average in averages]
        values = [
            value.detach().to(average.device)
            for average, value in zip(averages, values, strict=True)
        ]
        if self.n_averaged == 0:
            _copy(averages, values)
        elif self.avg_fn is not None:
            _in_place(self.avg_fn)(averages, values, self.n_averaged)
        else:
            update = self.multi_avg_fn or get_swa_multi_avg_fn()
            for group in _by_dtype(averages, values):
                update(*group, self.n_averaged)
        _copy([buffer.detach() for buffer in buffers], new_buffers)
        self.n_averaged += 1


def _copy(targets: Iterable[Tensor], sources: Iterable[Tensor]) -> None:
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source.detach())


def _by_dtype(averages: list[Tensor], values: list[Tensor]) -> list[tuple[list, list]]:
    """The two lists split into lists of one dtype, which is what a multi_avg_fn may expect."""
    groups: dict[Any, tuple[list, list]] = {}
    for average, value in zip(averages, values, strict=True):
        pair = groups.setdefault((average.dtype, value.dtype), ([], []))
        pair[0].append(average)
        pair[1].append(value)
    return list(groups.values())


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Set the running statistics of the model's batch norms to the means over the loader's batches.

    A batch is a tensor, or a list or tuple that begins with it. Averaged weights need this, since
    the statistics belong to other weights.

    Source: https://docs.pytorch.org/docs/stable/optim.html#taking-care-of-batch-normalization
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    was_training = model.training
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average
    model.train()
    for batch in loader:
        input = batch[0] if isinstance(batch, (list, tuple)) else batch
        model(input if device is None else input.to(device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """From the present rate to swa_lr in anneal_epochs epochs, and then constant.

        lr = swa_lr * a(t) + lr_0 * (1 - a(t)),    t = min(1, epoch / anneal_epochs)
        a(t) = (1 - cos(pi * t)) / 2  ("cos"),  t  ("linear")

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.swa_utils.SWALR.html
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        rates = per_group("swa_lr", optimizer, swa_lr)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["swa_lr"] = rate
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _part(self, step: int) -> float:
        """How much of the way lies behind after `step` steps, from 0 to 1."""
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2

    def get_lr(self) -> list[Rate]:
        self._warn_outside_step()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._part(step - 1), self._part(step)
        rates = []
        for group in self.optimizer.param_groups:
            lr, swa_lr = group["lr"], group["swa_lr"]
            # Where it began, from where it is: another schedule may have changed it in between.
            start = swa_lr if before == 1 else (lr - before * swa_lr) / (1 - before)
            rates.append(swa_lr * now + start * (1 - now))
        return rates
