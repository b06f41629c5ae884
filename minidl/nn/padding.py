"""Layers that put a border around sequences, images and volumes."""

from __future__ import annotations

from ..tensor import Tensor
from . import functional as F
from .module import Module

Border = int | tuple[int, ...]


class _Pad(Module):
    """padding: one size, or (left, right, top, bottom, ...); negative sizes cut."""

    dims: int
    mode: str

    def __init__(self, padding: Border) -> None:
        super().__init__()
        self.padding = (padding,) * (2 * self.dims) if isinstance(padding, int) else tuple(padding)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: Border, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: Border) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ConstantPad1d(_ConstantPad):
    """A border of `value`. x: (N, C, L).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ConstantPad1d.html
    """

    dims = 1


class ConstantPad2d(_ConstantPad):
    """A border of `value`. x: (N, C, H, W).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ConstantPad2d.html
    """

    dims = 2


class ConstantPad3d(_ConstantPad):
    """A border of `value`. x: (N, C, D, H, W).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ConstantPad3d.html
    """

    dims = 3


class ZeroPad1d(_ZeroPad):
    """A border of zeros. x: (N, C, L).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ZeroPad1d.html
    """

    dims = 1


class ZeroPad2d(_ZeroPad):
    """A border of zeros. x: (N, C, H, W).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ZeroPad2d.html
    """

    dims = 2


class ZeroPad3d(_ZeroPad):
    """A border of zeros. x: (N, C, D, H, W).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ZeroPad3d.html
    """

    dims = 3


class ReflectionPad1d(_Pad):
    """A border that mirrors the inside: 3 2 [1 2 3]. x: (N, C, L).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ReflectionPad1d.html
    """

    dims = 1
    mode = "reflect"


class ReflectionPad2d(_Pad):
    """A border that mirrors the inside: 3 2 [1 2 3]. x: (N, C, H, W).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ReflectionPad2d.html
    """

    dims = 2
    mode = "reflect"


class ReflectionPad3d(_Pad):
    """A border that mirrors the inside: 3 2 [1 2 3]. x: (N, C, D, H, W).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ReflectionPad3d.html
    """

    dims = 3
    mode = "reflect"


class ReplicationPad1d(_Pad):
    """A border that repeats the edge: 1 1 [1 2 3]. x: (N, C, L).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ReplicationPad1d.html
    """

    dims = 1
    mode = "replicate"


class ReplicationPad2d(_Pad):
    """A border that repeats the edge: 1 1 [1 2 3]. x: (N, C, H, W).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ReplicationPad2d.html
    """

    dims = 2
    mode = "replicate"


class ReplicationPad3d(_Pad):
    """A border that repeats the edge: 1 1 [1 2 3]. x: (N, C, D, H, W).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ReplicationPad3d.html
    """

    dims = 3
    mode = "replicate"


class CircularPad1d(_Pad):
    """A border from the other side: 2 3 [1 2 3]. x: (N, C, L).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.CircularPad1d.html
    """

    dims = 1
    mode = "circular"


class CircularPad2d(_Pad):
    """A border from the other side: 2 3 [1 2 3]. x: (N, C, H, W).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.CircularPad2d.html
    """

    dims = 2
    mode = "circular"


class CircularPad3d(_Pad):
    """A border from the other side: 2 3 [1 2 3]. x: (N, C, D, H, W).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.CircularPad3d.html
    """

    dims = 3
    mode = "circular"
