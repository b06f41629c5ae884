"""Checks of an optimizer's options, in PyTorch's words."""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from ..tensor import Tensor

if TYPE_CHECKING:
    from .optimizer import Optimizer

# What other libraries call the arguments; names too far from ours for difflib to find.
OTHER_NAMES = {
    "learning_rate": "lr",
    "rate": "lr",
    "step_size": "lr",
    "beta1": "betas",
    "beta2": "betas",
    "beta_1": "betas",
    "beta_2": "betas",
    "decay_rate": "alpha",
    "epsilon": "eps",
    "wd": "weight_decay",
    "l2": "weight_decay",
    "decay": "weight_decay",
    "parameters": "params",
}


def check_argument_names(cls: type, kwargs: dict[str, Any]) -> None:
    """Raise TypeError for a keyword that `cls` does not take, naming the nearest it takes."""
    accepted = inspect.signature(cls.__init__).parameters
    if any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
        return
    names = [name for name in accepted if name != "self"]
    for name in kwargs:
        if name in names:
            continue
        known = [n for n in [OTHER_NAMES.get(name.lower())] if n in names]
        nearest = known or get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"; did you mean '{nearest[0]}'?" if nearest else "."
        raise TypeError(
            f"{cls.__name__} got an unexpected keyword argument '{name}'{hint} "
            f"It takes: {', '.join(names)}."
        )


def check_not_negative(name: str, value: float) -> None:
    """Raise ValueError for a negative option (or NaN)."""
    if not value >= 0.0:
        raise ValueError(f"Invalid {name}: {value} (it must be 0 or more)")


def check_lr(lr: float | Tensor) -> None:
    """Raise ValueError unless the learning rate is one number, 0 or more."""
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError(f"Tensor lr must be 1-element (its shape is {tuple(lr.shape)})")
    check_not_negative("learning rate", lr)


def check_betas(betas: tuple[float, float]) -> None:
    """Raise ValueError unless each of the two decay rates is in [0, 1)."""
    for i, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta} (it must be in [0, 1))")


def check_switches(optimizer: Optimizer, options: dict[str, Any]) -> None:
    """Refuse `differentiable`, and `fused` with `foreach`; alone these two ask for speed only."""
    if options.get("differentiable"):
        raise NotImplementedError(
            f"{type(optimizer).__name__}: differentiable=True is not supported: the step works "
            "in place on arrays; to differentiate through it write it as operations on tensors."
        )
    if options.get("fused") and options.get("foreach"):
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
