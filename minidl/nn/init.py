"""Starting values for weights, written in place. Each returns its tensor.

fan_in is the number of inputs that one output sums over, fan_out the number of outputs one input
reaches: for a weight (out, in, *window), in * window and out * window.

Source: https://docs.pytorch.org/docs/stable/nn.init.html
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

from ..autograd import no_grad
from ..device import xp
from ..names import lookup
from ..ops import empty, empty_like
from ..random import Generator
from ..tensor import Tensor


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance of a layer's output when `nonlinearity` follows it.

    param: the slope of leaky_relu for x < 0 (0.01 if not given).
    """
    linear = ("linear", "conv1d", "conv2d", "conv3d")
    transposed = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
    if nonlinearity in (*linear, *transposed, "sigmoid"):
        return 1
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity == "selu":
        return 3.0 / 4
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


def fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (out, in, *window). Raises ValueError below two dimensions."""
    if tensor.dim() < 2:
        raise ValueError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions, got "
            f"shape {tuple(tensor.shape)}"
        )
    out, inputs, *window = tensor.shape
    return inputs * math.prod(window), out * math.prod(window)


@no_grad()
def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """U(a, b)."""
    return tensor.uniform_(a, b, generator=generator)


@no_grad()
def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """N(mean, std^2)."""
    return tensor.normal_(mean, std, generator=generator)


@no_grad()
def constant_(tensor: Tensor, val: float) -> Tensor:
    """`val` everywhere."""
    return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0.0)


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """U(-a, a), a = gain * sqrt(6 / (fan_in + fan_out)). Glorot and Bengio, 2010."""
    a = gain * math.sqrt(6.0 / sum(fan_in_and_fan_out(tensor)))
    return uniform_(tensor, -a, a, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """N(0, std^2), std = gain * sqrt(2 / (fan_in + fan_out)). Glorot and Bengio, 2010."""
    std = gain * math.sqrt(2.0 / sum(fan_in_and_fan_out(tensor)))
    return normal_(tensor, 0.0, std, generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """U(-bound, bound), bound = gain * sqrt(3 / fan). He et al., 2015. a: slope of leaky_relu."""
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """N(0, std^2), std = gain / sqrt(fan). He et al., 2015. a: slope of leaky_relu."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    fan = fan_in_and_fan_out(tensor)[mode == "fan_out"]
    # A weight without inputs is empty: there is nothing to draw.
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan > 0 else 0.0


def uniform_bias_(bias: Tensor | None, weight: Tensor) -> None:
    """PyTorch's start for the bias beside `weight`: U(-k, k), k = 1 / sqrt(fan_in)."""
    if bias is not None:
        fan_in, _ = fan_in_and_fan_out(weight)
        bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0.0
        uniform_(bias, -bound, bound)


@no_grad()
def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """N(mean, std^2) on the condition that the value lies in [a, b].

    Drawn by rejection: from the normal distribution where [a, b] holds a fair part of it, else from
    the uniform one, accepting x with probability density(x) / (largest density in [a, b]).
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. "
            "The distribution of values may be incorrect.",
            stacklevel=3,
        )

    def below(x: float) -> float:
        return (1.0 + math.erf((x - mean) / std / math.sqrt(2.0))) / 2.0

    mode = max(a, min(mean, b))
    log_peak = -0.5 * ((mode - mean) / std) ** 2

    def from_normal(size: int) -> tuple[Tensor, Tensor]:
        x = empty(size, dtype=tensor.dtype, device=tensor.device)
        x.normal_(mean, std, generator=generator)
        return x, (x < a) | (x > b)

    def from_uniform(size: int) -> tuple[Tensor, Tensor]:
        x = empty(size, dtype=tensor.dtype, device=tensor.device)
        x.uniform_(a, b, generator=generator)
        chance = empty_like(x).uniform_(generator=generator)
        return x, chance.log() > -0.5 * ((x - mean) / std) ** 2 - log_peak

    draw = from_normal if below(b) - below(a) > 0.3 else from_uniform
    return tensor.copy_(_redrawn(draw, tensor.numel()).reshape(tensor.shape))


def _redrawn(draw: Callable[[int], tuple[Tensor, Tensor]], size: int) -> Tensor:
    """`size` accepted values: the rejected ones are drawn again until none is left."""
    values, rejected = draw(size)
    todo = rejected.nonzero().flatten()
    while todo.numel() > 0:
        values[todo], rejected = draw(todo.numel())
        todo = todo[rejected]
    return values


@no_grad()
def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """gain times a matrix with orthonormal rows or columns, whichever are fewer.

    tensor: (rows, ...), the rest flattened to columns. The Q of a QR decomposition of normal
    numbers, its columns' signs set by R's diagonal, which makes it uniform. Saxe et al., 2014;
    Mezzadri, 2007.
    """
    if tensor.dim() < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if tensor.numel() == 0:
        return tensor
    rows, columns = tensor.shape[0], tensor.numel() // tensor.shape[0]
    normal = empty(rows, columns, dtype=tensor.dtype, device=tensor.device)
    array = normal.normal_(0, 1, generator=generator)._array
    q, r = xp(array).linalg.qr(array.T if rows < columns else array)
    q = q * xp(array).sign(xp(array).diagonal(r))
    normal._array[...] = q.T if rows < columns else q
    return tensor.copy_(normal.reshape(tensor.shape)).mul_(gain)


__getattr__ = lookup(globals())
