"""Convolutions and transposed convolutions of sequences, images and volumes."""

from __future__ import annotations

import math
from typing import Any

from ..ops import empty
from ..ops.conv import Size, Sizes, sizes_of
from ..tensor import Tensor
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Conv(Module):
    """What all convolutions have: sizes, weight and bias.

    Weight and bias start uniform in +-1 / sqrt(fan in), as in PyTorch.
    """

    dims: int
    transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size,
        padding: str | Size,
        dilation: Size,
        output_padding: Size,
        groups: int,
        bias: bool,
        padding_mode: str,
        like: dict[str, Any],
    ) -> None:
        super().__init__()
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups != 0:
                raise ValueError(
                    f"{name} must be divisible by groups, got {name}={channels} and groups={groups}"
                )
        if padding_mode not in PADDING_MODES:
            raise ValueError(f"padding_mode must be one of {PADDING_MODES}, got {padding_mode!r}")
        if self.transposed and padding_mode != "zeros":
            raise ValueError(f"{type(self).__name__}: only padding_mode='zeros' is supported")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = self._sizes(kernel_size)
        self.stride = self._sizes(stride)
        self.padding = padding if isinstance(padding, str) else self._sizes(padding)
        self.dilation = self._sizes(dilation)
        self.output_padding = self._sizes(output_padding)
        self.groups = groups
        self.padding_mode = padding_mode
        if isinstance(padding, str):
            self._check_named_padding(padding)
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        if self.transposed:
            shape = (in_channels, out_channels // groups, *self.kernel_size)
        self.weight = Parameter(empty(shape, **like))
        if bias:
            self.bias = Parameter(empty(out_channels, **like))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _sizes(self, value: Size) -> Sizes:
        return sizes_of(value, self.dims, type(self).__name__, -math.inf)

    def _check_named_padding(self, padding: str) -> None:
        if padding not in ("same", "valid"):
            raise ValueError(f"Invalid padding string {padding!r}, should be 'same' or 'valid'")
        if padding == "same" and max(self.stride) > 1:
            raise ValueError("padding='same' is not supported for strided convolutions")

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        init.uniform_bias_(self.bias, self.weight)

    def _border(self) -> list[int]:
        """What `pad` is to add around the input: the last dimension first."""
        sizes = []
        for d in reversed(range(self.dims)):
            if isinstance(self.padding, str):
                total = self.dilation[d] * (self.kernel_size[d] - 1)
                total *= self.padding == "same"
                sizes += [total // 2, total - total // 2]
            else:
                sizes += [self.padding[d]] * 2
        return sizes

    def forward(self, input: Tensor) -> Tensor:
        convolve = (F.conv1d, F.conv2d, F.conv3d)[self.dims - 1]
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._border(), self.padding_mode), 0
        return convolve(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        text += f", stride={self.stride}"
        if self.padding != (0,) * self.dims:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * self.dims:
            text += f", dilation={self.dilation}"
        if self.output_padding != (0,) * self.dims:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class _Forward(_Conv):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: str | Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        sizes = (kernel_size, stride, padding, dilation, 0)
        like = {"device": device, "dtype": dtype}
        super().__init__(in_channels, out_channels, *sizes, groups, bias, padding_mode, like)


class Conv1d(_Forward):
    """Cross-correlation of sequences with learned filters: `Conv2d` with one dimension.

    x: (N, in_channels, L), weight: (out_channels, in_channels / groups, k),
    y: (N, out_channels, L') with L' = (L + 2 padding - dilation (k - 1) - 1) // stride + 1.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv1d.html
    """

    dims = 1


class Conv2d(_Forward):
    """Cross-correlation of images with learned filters.

        y[n, o, i, j] = bias[o] + sum over c, p, q of weight[o, c, p, q] * x[n, c', i', j']
        c' = first channel of o's group + c, i' = stride i + dilation p,  j' = stride j + dilation q

    x (padded): (N, in_channels, H, W), weight: (out_channels, in_channels / groups, kH, kW),
    y: (N, out_channels, H', W') with H' = (H + 2 padding - dilation (kH - 1) - 1) // stride + 1.
    With groups the channels are cut into `groups` parts that do not see each other.

    padding: a number, a pair, "valid" (none) or "same" (H' = H; stride 1 only).
    padding_mode: what is put there, "zeros", "reflect", "replicate" or "circular" (see `F.pad`).
    Weight and bias start uniform in +-1 / sqrt(fan in), as in PyTorch.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv2d.html
    """

    dims = 2


class Conv3d(_Forward):
    """Cross-correlation of volumes (N, C, D, H, W) with learned filters: `Conv2d`, one more.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv3d.html
    """

    dims = 3


class _Transposed(_Conv):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        sizes = (kernel_size, stride, padding, dilation, output_padding)
        like = {"device": device, "dtype": dtype}
        super().__init__(in_channels, out_channels, *sizes, groups, bias, padding_mode, like)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        convolve = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[self.dims - 1]
        extra = self.output_padding
        if output_size is not None:
            extra = self._extra(input, tuple(output_size)[-self.dims :])
        sizes = (self.stride, self.padding, extra, self.groups, self.dilation)
        return convolve(input, self.weight, self.bias, *sizes)

    def _extra(self, input: Tensor, wanted: Sizes) -> Sizes:
        """The output_padding that gives the wanted size."""
        have = tuple(input.shape)[-self.dims :]
        each = zip(
            have, self.stride, self.padding, self.kernel_size, self.dilation, wanted, strict=True
        )
        extra = tuple(w - ((n - 1) * s - 2 * p + d * (k - 1) + 1) for n, s, p, k, d, w in each)
        if any(e < 0 or e >= s for e, s in zip(extra, self.stride, strict=True)):
            raise ValueError(
                f"{type(self).__name__}: output_size {wanted} is out of reach of an input of size "
                f"{have}: it may be up to stride - 1 larger than the least size."
            )
        return extra


class ConvTranspose1d(_Transposed):
    """Each element of a sequence spread over its window: `ConvTranspose2d` with one dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose1d.html
    """

    dims = 1


class ConvTranspose2d(_Transposed):
    """The derivative of Conv2d in its input, as a layer: each pixel spread over its window.

    x: (N, in_channels, H, W), weight: (in_channels, out_channels / groups, kH, kW),
    y: (N, out_channels, H', W') with
    H' = (H - 1) stride - 2 padding + dilation (kH - 1) + output_padding + 1.

    forward takes an output_size too, from which it works out output_padding.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose2d.html
    """

    dims = 2


class ConvTranspose3d(_Transposed):
    """Each element of a volume spread over its window: `ConvTranspose2d`, one more dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose3d.html
    """

    dims = 3
