"""What optimizers share: parameter groups, state, saving and loading, hooks, `zero_grad`, `step`.

An update rule (`sgd.py`, `adam.py`, ...) adds its options, a check of them, and `_update`, which
moves one parameter.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from copy import deepcopy
from itertools import chain
from typing import Any

from ..autograd import enable_grad
from ..nn.parameter import clear_grads
from ..ops import tensor, zeros_like
from ..tape import bump
from ..tensor import Tensor
from .hooks import (
    Hooked,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from .options import check_argument_names

__all__ = [
    "Optimizer",
    "next_step",
    "register_optimizer_step_post_hook",
    "register_optimizer_step_pre_hook",
    "required",
]


class _Required:
    """As a default in `Optimizer.__init__`: every group must set this option itself."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


class Optimizer(Hooked):
    """Base class of the optimizers (PyTorch's `torch.optim.Optimizer`).

    params: tensors, (name, tensor) pairs, or dicts `{"params": ..., option: value}`, one per group.
    defaults: the options of a group that does not set its own.

    `param_groups` is a list of dicts, `state[p]` the dict of what is remembered about `p`.
    A subclass overrides either `_update` (one parameter) or the whole `step`.
    """

    # State that is one number for the whole parameter. It stays on the CPU, where a step can read
    # it without waiting for a GPU.
    _numbers: tuple[str, ...] = ("step",)

    def __new__(cls, *args: Any, **kwargs: Any) -> Optimizer:
        check_argument_names(cls, kwargs)
        return super().__new__(cls)

    def __init__(self, params: Iterable, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._check_options(defaults)
        for group in self._as_groups(params):
            self.add_param_group(group)

    def _as_groups(self, params: Iterable) -> list[dict[str, Any]]:
        name = type(self).__name__
        if isinstance(params, Tensor):
            raise TypeError(
                f"{name}: params should be an iterable of Tensors or dicts, but got one Tensor; "
                "put it in a list."
            )
        if callable(getattr(params, "parameters", None)):
            raise TypeError(
                f"{name}: params should be an iterable of Tensors or dicts, but got the module "
                f"{type(params).__name__}; pass its .parameters()."
            )
        groups = list(params)
        if not groups:
            raise ValueError(
                f"{name}: optimizer got an empty parameter list. A generator such as "
                "model.parameters() can be read only once: if it was read before, call it again."
            )
        return groups if isinstance(groups[0], dict) else [{"params": groups}]

    def _check_options(self, options: dict[str, Any]) -> None:
        """Raise ValueError if an option of `options` (the defaults or a group) is out of range."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; options it does not set come from `defaults`.

        Raises TypeError for what is not a tensor, ValueError for a tensor that is not a leaf, for a
        tensor that is in another group, and for an option out of range.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the "
                "ordering of tensors in sets will change between runs. Please use a list instead."
            )
        params = [params] if isinstance(params, Tensor) else list(params)
        names = [p[0] for p in params if isinstance(p, tuple)]
        if names:
            if len(names) != len(params):
                raise ValueError(
                    "all optimizer params should be with/without names. Some names are missing"
                )
            param_group["param_names"] = names
            params = [p[1] for p in params]
        param_group["params"] = params
        self._check_params(params)
        self._check_against_groups(param_group)
        for option, default in self.defaults.items():
            if param_group.setdefault(option, default) is required:
                raise ValueError(
                    f"parameter group didn't specify a value of required optimization parameter "
                    f"{option}"
                )
        self._check_options(param_group)
        self.param_groups.append(param_group)

    def _check_params(self, params: list[Any]) -> None:
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(
                    "optimizer can only optimize Tensors, but one of the params is "
                    f"{type(p).__name__}"
                )
            if not p.is_leaf:
                raise ValueError(
                    f"can't optimize a non-leaf Tensor (shape {tuple(p.shape)}): it is the result "
                    "of an operation; optimize the tensor it was computed from."
                )
        if len(params) != len({id(p) for p in params}):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters", stacklevel=5
            )

    def _check_against_groups(self, param_group: dict[str, Any]) -> None:
        taken = {id(p) for group in self.param_groups for p in group["params"]}
        if any(id(p) in taken for p in param_group["params"]):
            raise ValueError("some parameters appear in more than one parameter group")
        named = "param_names" in param_group
        if any(named != ("param_names" in group) for group in self.param_groups):
            raise ValueError("all optimizer param groups should be with/without names.")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient; the others are left alone.

        closure: recomputes the loss and its gradients; its value is returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p._grad is not None:
                    self._update(p, group)
                    bump(p)
        return loss

    def _update(self, p: Tensor, group: dict[str, Any]) -> None:
        """Move the parameter `p` by its gradient, with the options of `group`."""
        raise NotImplementedError(f"{type(self).__name__} defines neither step nor _update")

    def _state_of(self, p: Tensor, *names: str) -> dict[str, Any]:
        """What is remembered about `p`; at first a count of steps, and zeros under the names."""
        state = self.state[p]
        if not state:
            state["step"] = tensor(0.0)
            state.update({name: zeros_like(p) for name in names})
        return state

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients (`p.grad = None`), or fill them with zeros in place."""
        clear_grads(chain.from_iterable(g["params"] for g in self.param_groups), set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """`{"state": {number: {...}}, "param_groups": [...]}`, parameters numbered over the groups.

        Its tensors are the optimizer's own, not copies.
        """
        for hook in self._hooks["before state_dict"].values():
            hook(self)
        params = chain.from_iterable(group["params"] for group in self.param_groups)
        number: dict[int, int] = {}
        for i, p in enumerate(params):
            number.setdefault(id(p), i)
        groups = []
        for group in self.param_groups:
            options = {key: value for key, value in group.items() if key != "params"}
            groups.append({**options, "params": [number[id(p)] for p in group["params"]]})
        state = {
            (number[id(key)] if isinstance(key, Tensor) else key): value
            for key, value in self.state.items()
        }
        packed = {"state": state, "param_groups": groups}
        for hook in self._hooks["after state_dict"].values():
            changed = hook(self, packed)
            packed = packed if changed is None else changed
        return packed

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over options and state saved by `state_dict`, matching parameters by their order.

        The tensors are copied; they take the dtype and device of their parameter, but for `step`
        and other single numbers, which go to the CPU. Raises ValueError if the groups differ in
        number or size; then nothing is changed.
        """
        state_dict = state_dict.copy()
        for hook in self._hooks["before load_state_dict"].values():
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        saved_groups = deepcopy(state_dict["param_groups"])
        if len(saved_groups) != len(self.param_groups):
            raise ValueError(
                "loaded state dict has a different number of parameter groups: "
                f"{len(saved_groups)}, the optimizer has {len(self.param_groups)}"
            )
        for i, (group, saved) in enumerate(zip(self.param_groups, saved_groups, strict=True)):
            if len(group["params"]) != len(saved["params"]):
                raise ValueError(
                    "loaded state dict contains a parameter group that doesn't match the size of "
                    f"optimizer's group: group {i} has {len(saved['params'])} parameters in the "
                    f"state dict, {len(group['params'])} in the optimizer"
                )
        params: dict[int, Tensor] = {}
        for group, saved in zip(self.param_groups, saved_groups, strict=True):
            params.update(zip(saved["params"], group["params"], strict=True))
            saved["params"] = group["params"]
            for option in group.keys() & {*self.defaults, "param_names"}:
                saved.setdefault(option, group[option])
        state: defaultdict[Any, Any] = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in params:
                state[params[key]] = _state_for(params[key], value, self._numbers)
            else:
                state[key] = value
        self.__setstate__({"state": state, "param_groups": saved_groups})
        for hook in self._hooks["after load_state_dict"].values():
            hook(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over attributes: from `load_state_dict`, a copy, or a pickle."""
        self.__dict__.update(state)

    def __repr__(self) -> str:
        text = type(self).__name__ + " ("
        for i, group in enumerate(self.param_groups):
            text += f"\nParameter Group {i}\n"
            for key in sorted(group):
                if key != "params":
                    text += f"    {key}: {group[key]}\n"
        return text + ")"


def _state_for(param: Tensor, value: Any, numbers: tuple[str, ...], key: str | None = None) -> Any:
    """A copy of a loaded state value, its tensors in the parameter's dtype and device.

    The `numbers` keep their dtype: a count has nothing to do with the precision of the weights.
    """
    if isinstance(value, Tensor):
        if key in numbers:
            return value.detach().clone().cpu()
        dtype = param.dtype if param.is_floating_point() else value.dtype
        return value.detach().clone().to(device=param.device, dtype=dtype)
    if isinstance(value, dict):
        return {k: _state_for(param, v, numbers, k) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_state_for(param, v, numbers) for v in value)
    return deepcopy(value)


def next_step(state: dict[str, Any]) -> int:
    """Count one more step of a parameter; the number of the first is 1."""
    if not isinstance(state["step"], Tensor):  # so do old files of PyTorch have it
        state["step"] = tensor(float(state["step"]))
    count = state["step"]._array
    number = int(count) + 1
    count[()] = number
    return number
