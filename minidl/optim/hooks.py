"""Hooks of optimizers: functions that run before or after a step, a saving, a loading."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from ..hooks import Hooks, RemovableHandle

EVENTS = ("before step", "after step", "before state_dict", "after state_dict")
EVENTS += ("before load_state_dict", "after load_state_dict")

before_every_step, after_every_step = Hooks(), Hooks()


def register_optimizer_step_pre_hook(hook: Callable) -> RemovableHandle:
    """Call `hook(optimizer, args, kwargs)` before each step of every optimizer."""
    return before_every_step.add(hook)


def register_optimizer_step_post_hook(hook: Callable) -> RemovableHandle:
    """Call `hook(optimizer, args, kwargs)` after each step of every optimizer."""
    return after_every_step.add(hook)


def with_hooks(step: Callable) -> Callable:
    """`step` of an optimizer, noting that it was called, between its hooks."""

    @wraps(step)
    def hooked(self: Hooked, *args: Any, **kwargs: Any) -> Any:
        if self._stepping:  # called by the step of a subclass
            return step(self, *args, **kwargs)
        self._stepping = self._step_called = True
        try:
            args = (self, *args)  # as in PyTorch, where hooks see the optimizer twice
            for hook in [*before_every_step.values(), *self._hooks["before step"].values()]:
                changed = hook(self, args, kwargs)
                if changed is not None:
                    if not (isinstance(changed, tuple) and len(changed) == 2):
                        raise RuntimeError(
                            f"{type(self).__name__}.step: a hook before the step must return None "
                            f"or a tuple (new_args, new_kwargs), but got {changed}."
                        )
                    args, kwargs = changed
            result = step(*args, **kwargs)
            for hook in [*self._hooks["after step"].values(), *after_every_step.values()]:
                hook(self, args, kwargs)
            return result
        finally:
            self._stepping = False

    return hooked


class Hooked:
    """The part of `Optimizer` that has to do with hooks."""

    _step_called = False  # a learning-rate schedule warns when it is stepped first
    _stepping = False

    def __new__(cls, *args: Any, **kwargs: Any) -> Hooked:
        optimizer = super().__new__(cls)
        optimizer._hooks = {event: Hooks() for event in EVENTS}
        return optimizer

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.step = with_hooks(cls.step)

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a pickle takes over: all but the hooks."""
        return {key: value for key, value in self.__dict__.items() if key != "_hooks"}

    def register_step_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` before each step; it may return new (args, kwargs).

        `args` begins with the optimizer.
        """
        return self._hooks["before step"].add(hook)

    def register_step_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` after each step."""
        return self._hooks["after step"].add(hook)

    def register_state_dict_pre_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer)` before `state_dict`."""
        return self._hooks["before state_dict"].add(hook, prepend)

    def register_state_dict_post_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` after `state_dict`; it may return another one."""
        return self._hooks["after state_dict"].add(hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` before loading; it may return another one."""
        return self._hooks["before load_state_dict"].add(hook, prepend)

    def register_load_state_dict_post_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer)` after `load_state_dict`."""
        return self._hooks["after load_state_dict"].add(hook, prepend)
