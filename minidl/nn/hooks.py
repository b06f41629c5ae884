"""Hooks of modules: functions that run before and after `forward` and when gradients are known."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from ..autograd import Function, is_grad_enabled
from ..hooks import Hooks, RemovableHandle
from ..tensor import Tensor

TABLES = (
    "_forward_pre_hooks",
    "_forward_hooks",
    "_backward_pre_hooks",
    "_backward_hooks",
    "_state_dict_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


class Hooked:
    """The part of Module that registers hooks and calls `forward` among them."""

    def _init_hooks(self) -> None:
        for table in TABLES:
            self.__dict__[table] = Hooks()
        # Numbers of the hooks that were registered with these options:
        self.__dict__["_forward_pre_hooks_with_kwargs"] = set()
        self.__dict__["_forward_hooks_with_kwargs"] = set()
        self.__dict__["_forward_hooks_always_called"] = set()

    def register_forward_pre_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """`hook(module, args)` runs before `forward`; a result that is not None replaces args.

        with_kwargs: the hook is called (module, args, kwargs) and returns None or (args, kwargs).
        """
        handle = self._forward_pre_hooks.add(hook, prepend)
        if with_kwargs:
            self._forward_pre_hooks_with_kwargs.add(handle.id)
        return handle

    def register_forward_hook(
        self,
        hook: Callable,
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """`hook(module, args, output)` runs after `forward`; a result not None replaces output.

        with_kwargs: the hook is called (module, args, kwargs, output). always_call: it also runs
        when `forward` raised, with the output so far, which may be None.
        """
        handle = self._forward_hooks.add(hook, prepend)
        if with_kwargs:
            self._forward_hooks_with_kwargs.add(handle.id)
        if always_call:
            self._forward_hooks_always_called.add(handle.id)
        return handle

    def register_full_backward_pre_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """`hook(module, grad_output)` runs when the gradients of the outputs are known.

        A result that is not None, a tuple, replaces them.
        """
        return self._backward_pre_hooks.add(hook, prepend)

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """`hook(module, grad_input, grad_output)` runs when the inputs' gradients are known.

        Both are tuples, None where an argument is not a tensor. A result that is not None, a tuple,
        replaces grad_input. If no input needs a gradient, it runs when grad_output is known.
        """
        return self._backward_hooks.add(hook, prepend)

    def register_backward_hook(self, hook: Callable) -> RemovableHandle:
        """The old name of `register_full_backward_hook`."""
        return self.register_full_backward_hook(hook)

    def register_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """`hook(module, prefix, keep_vars)` runs before `state_dict` looks at the module."""
        return self._state_dict_pre_hooks.add(hook)

    def register_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """`hook(module, state_dict, prefix, local_metadata)` may change what was saved."""
        return self._state_dict_hooks.add(hook)

    _register_state_dict_hook = register_state_dict_post_hook

    def register_load_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """`hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
        error_msgs)` may change what will be loaded, in place."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(
        self, hook: Callable, with_module: bool = False
    ) -> RemovableHandle:
        return self._load_state_dict_pre_hooks.add((hook, with_module))

    def register_load_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """`hook(module, incompatible_keys)` runs after loading; it may change the lists."""
        return self._load_state_dict_post_hooks.add(hook)

    # ----------------------------------------------------------------------------- calling forward

    def _call_with_hooks(self, args: tuple, kwargs: dict) -> Any:
        waiting = dict(self._forward_hooks)
        output = None
        try:
            args, kwargs = self._run_pre_hooks(args, kwargs)
            watch = None
            if self._backward_hooks or self._backward_pre_hooks:
                watch = _Watch(self)
                args = watch.inputs(args)
            output = self.forward(*args, **kwargs)
            while waiting:
                number = next(iter(waiting))
                output = self._run_hook(number, waiting.pop(number), args, kwargs, output)
            return output if watch is None else watch.outputs(output)
        except Exception:
            for number, hook in waiting.items():
                if number in self._forward_hooks_always_called:
                    self._run_hook(number, hook, args, kwargs, output)
            raise

    def _run_pre_hooks(self, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        for number, hook in list(self._forward_pre_hooks.items()):
            if number in self._forward_pre_hooks_with_kwargs:
                result = hook(self, args, kwargs)
                if result is None:
                    continue
                if not isinstance(result, tuple) or len(result) != 2:
                    raise RuntimeError(
                        "forward pre-hook must return None or a tuple of (new_args, new_kwargs), "
                        f"but got {result}."
                    )
                args, kwargs = result
            else:
                result = hook(self, args)
                if result is not None:
                    args = result if isinstance(result, tuple) else (result,)
        return args, kwargs

    def _run_hook(self, number: int, hook: Callable, args: tuple, kwargs: dict, output: Any) -> Any:
        inputs = (args, kwargs) if number in self._forward_hooks_with_kwargs else (args,)
        result = hook(self, *inputs, output)
        return output if result is None else result


# ------------------------------------------------------------------------------------- gradients


class _Boundary(Function):
    """y = x for several tensors; `seen` gets their gradients and returns those to go on with."""

    @staticmethod
    def forward(ctx: Any, seen: Callable, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.seen = seen
        ctx.set_materialize_grads(False)
        return tensors

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple:
        return (None, *ctx.seen(grads))


class _Watch:
    """The backward hooks of one call: its tensors pass a boundary on the way in and out."""

    def __init__(self, module: Hooked):
        self.module = module
        self.pre_hooks = list(module._backward_pre_hooks.values())
        self.hooks = list(module._backward_hooks.values())
        self.grad_output: tuple | None = None
        self.needs_input = False
        self.count = 0

    def inputs(self, args: tuple) -> tuple:
        self.count = len(args)
        self.needs_input = _any_requires_grad(args)
        return _passed(args, self._input_grads) if self.needs_input else args

    def outputs(self, output: Any) -> Any:
        if not isinstance(output, (Tensor, tuple)):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of "
                f"Tensors but received {type(output)}",
                stacklevel=4,
            )
            return output
        several = isinstance(output, tuple)
        outputs = output if several else (output,)
        if not _any_requires_grad(outputs):
            return output
        outputs = _passed(outputs, self._output_grads)
        return outputs if several else outputs[0]

    def _output_grads(self, grads: tuple) -> tuple:
        for hook in self.pre_hooks:
            grads = _replaced(hook(self.module, grads), grads, "pre hook", "grad_output")
        if self.needs_input:
            self.grad_output = grads
        else:
            for hook in self.hooks:
                hook(self.module, (None,) * self.count, grads)
        return grads

    def _input_grads(self, grads: tuple) -> tuple:
        if self.grad_output is None:  # the gradient came around the output: a second derivative
            return grads
        for hook in self.hooks:
            result = hook(self.module, grads, self.grad_output)
            grads = _replaced(result, grads, "hook", "grad_input")
        self.grad_output = None
        return grads


def _any_requires_grad(values: tuple) -> bool:
    return is_grad_enabled() and any(isinstance(v, Tensor) and v.requires_grad for v in values)


def _passed(values: tuple, seen: Callable) -> tuple:
    """`values` with its tensors behind a boundary; `seen` gets a gradient or None per value."""
    places = [i for i, value in enumerate(values) if isinstance(value, Tensor)]

    def placed(grads: tuple) -> list:
        padded = [None] * len(values)
        for i, grad in zip(places, grads, strict=True):
            padded[i] = grad
        result = seen(tuple(padded))
        return [result[i] for i in places]

    passed = list(values)
    for i, t in zip(places, _Boundary.apply(placed, *[values[i] for i in places]), strict=True):
        passed[i] = t
    return tuple(passed) if type(values) is tuple else type(values)(*passed)


def _replaced(result: Any, grads: tuple, hook: str, what: str) -> tuple:
    if result is None:
        return grads
    result = result if isinstance(result, tuple) else (result,)
    if len(result) != len(grads):
        raise RuntimeError(
            f"Backward {hook} returned an invalid number of {what}, got {len(result)}, but "
            f"expected {len(grads)}"
        )
    return result
