"""Moving a module's parameters and buffers to another type or device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from .. import dtypes
from ..ops import empty_like
from ..tensor import Tensor


class Movable:
    """The part of Module that converts its parameters and buffers, all in place."""

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move or convert parameters and buffers in place: `to(device)`, `to(dtype)`, `to(other)`.

        A dtype must be a floating one and converts only what is floating; counts stay integers.
        """
        if args and isinstance(args[0], Tensor):
            args, kwargs = (args[0].device, args[0].dtype, *args[1:]), kwargs
        for value in (*args, *kwargs.values()):
            if isinstance(value, dtypes.dtype) and not value.is_floating_point:
                raise TypeError(
                    f"nn.Module.to only accepts floating point dtypes, but got dtype={value}"
                )

        def convert(tensor: Tensor) -> Tensor:
            if tensor.is_floating_point():
                return tensor.to(*args, **kwargs)
            kept = [a for a in args if not isinstance(a, dtypes.dtype)]
            return tensor.to(*kept, **{k: v for k, v in kwargs.items() if k != "dtype"})

        return self._apply(convert)

    def float(self) -> Self:
        """Convert floating parameters and buffers to float32."""
        return self.to(dtypes.float32)

    def double(self) -> Self:
        """Convert floating parameters and buffers to float64."""
        return self.to(dtypes.float64)

    def half(self) -> Self:
        """Convert floating parameters and buffers to float16."""
        return self.to(dtypes.float16)

    def bfloat16(self) -> Self:
        """Refused: minidl has no bfloat16 tensors."""
        return self.to(dtypes.bfloat16)

    def type(self, dst_type: Any) -> Self:
        """Convert all parameters and buffers, also integers, to one type."""
        return self._apply(lambda tensor: tensor.type(dst_type))

    def cpu(self) -> Self:
        """Move all parameters and buffers to the CPU."""
        return self._apply(lambda tensor: tensor.cpu())

    def cuda(self, device: int | str | None = None) -> Self:
        """Move all parameters and buffers to the GPU."""
        return self._apply(lambda tensor: tensor.cuda(device))

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """Replace all parameters and buffers by memory on `device` that is not initialised."""
        return self._apply(lambda tensor: empty_like(tensor, device=device), recurse)

    def share_memory(self) -> Self:
        """Nothing to do: minidl's loaders use threads, which share all memory."""
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Replace the data of every tensor by `fn(data)`.

        Parameters keep their identity: optimizers hold them.
        """
        if recurse:
            for child in self.children():
                child._apply(fn)
        for param in self._parameters.values():
            if param is not None:
                param.data = fn(param.data)
                if param.grad is not None:
                    param.grad = fn(param.grad.detach())
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        return self
