"""Activations: functions of one number that bend, saturate or cut, put between linear layers.

They are compositions, so their derivatives follow from the ops they are made of. At a kink the
composition is chosen so that the derivative is PyTorch's. A `@definition` among them has a kernel,
which runs the whole composition at once. The ones that other ops are made of (relu, sigmoid, tanh,
gelu, logsigmoid) are in `elementwise.py`.
"""

from __future__ import annotations

from ..errors import ShapeError
from ..makers import definition
from ..promotion import need_tensors
from ..tape import Tensor
from .compare import where
from .elementwise import abs, clamp, expm1, log, logsigmoid, relu, sigmoid, tanh
from .random import exponential_, rand_like
from .reduce import argmax
from .scatter_reduce import scatter
from .shape import axis_of, narrow
from .softmax import softmax

__all__ = """
    threshold hardtanh relu6 hardsigmoid hardswish hardshrink softshrink tanhshrink softsign
    softplus elu celu selu leaky_relu prelu rrelu silu mish glu softmin gumbel_softmax
""".split()
METHODS = ["hardshrink", "prelu"]  # also methods of Tensor

SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717


def _number(input: Tensor, value: float) -> float:
    """A bound in the kind of the input, so that integers stay integers."""
    return value if input._array.dtype.kind == "f" else int(value)


# ----------------------------------------------------------------------------------- straight lines


def threshold(input: Tensor, threshold: float, value: float) -> Tensor:
    """y = input where input > threshold, else value.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.threshold.html
    """
    need_tensors("threshold", input=input)
    return where(input <= threshold, _number(input, value), input)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """y = input, cut to [min_val, max_val]; the derivative at both edges is 0.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.hardtanh.html
    """
    need_tensors("hardtanh", input=input)
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val ({min_val}) is greater than max_val ({max_val}).")
    low, high = _number(input, min_val), _number(input, max_val)
    return where(input <= low, low, where(input >= high, high, input))


def relu6(input: Tensor) -> Tensor:
    """y = min(max(input, 0), 6); the derivative at 0 and 6 is 0.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.relu6.html
    """
    need_tensors("relu6", input=input)
    return hardtanh(input, 0.0, 6.0)


def hardsigmoid(input: Tensor) -> Tensor:
    """y = relu6(input + 3) / 6, a sigmoid of three straight lines.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.hardsigmoid.html
    """
    need_tensors("hardsigmoid", input=input)
    return relu6(input + 3.0) / 6.0


@definition
def hardswish(input: Tensor) -> Tensor:
    """y = input * relu6(input + 3) / 6. Howard et al. 2019, https://arxiv.org/abs/1905.02244

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.hardswish.html
    """
    return input * relu6(input + 3.0) / 6.0


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """y = input where |input| > lambd, else 0.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.hardshrink.html
    """
    need_tensors("hardshrink", input=input)
    return where(abs(input) <= lambd, 0.0, input)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """y = input moved towards 0 by lambd, 0 where |input| <= lambd.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.softshrink.html
    """
    need_tensors("softshrink", input=input)
    if lambd < 0:
        raise ValueError(f"softshrink: lambd must not be negative, got {lambd}.")
    return input - clamp(input, -lambd, lambd)


@definition
def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """y = input where input > 0, else negative_slope * input; the derivative at 0 is the slope.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.leaky_relu.html
    """
    return where(input > 0, input, input * negative_slope)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """y = input where input > 0, else weight * input.

    weight: one number, or one for each channel; channels are dimension 1 of the input.
    He et al. 2015, https://arxiv.org/abs/1502.01852

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.prelu.html
    """
    need_tensors("prelu", input=input, weight=weight)
    shape = input._array.shape
    channels = shape[1] if len(shape) > 1 else 1
    if weight._array.ndim > 1 or weight._array.size not in (1, channels):
        raise ShapeError(
            f"prelu: weight holds one number, or one for each of {channels} channels (dimension 1 "
            f"of input {shape}); it has shape {weight._array.shape}."
        )
    column = weight.reshape((-1,) + (1,) * (len(shape) - 2)) if len(shape) > 1 else weight.sum()
    return input * where(input > 0, 1.0, column)


def rrelu(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False
) -> Tensor:
    """y = input where input > 0, else a * input.

    a: in training uniform in [lower, upper), drawn for each element; else (lower + upper) / 2.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.rrelu.html
    """
    need_tensors("rrelu", input=input)
    if lower > upper:
        raise ValueError(f"rrelu: lower ({lower}) is greater than upper ({upper}).")
    if not training:
        return leaky_relu(input, (lower + upper) / 2)
    return where(input > 0, input, input * (lower + (upper - lower) * rand_like(input)))


# ------------------------------------------------------------------------------------ smooth curves


@definition
def elu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """y = input where input > 0, else alpha * (e^input - 1).

    Clevert et al. 2015, https://arxiv.org/abs/1511.07289

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.elu.html
    """
    return relu(input) + alpha * expm1(clamp(input, max=0.0))


def celu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """y = input where input > 0, else alpha * (e^(input / alpha) - 1).

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.celu.html
    """
    need_tensors("celu", input=input)
    if alpha == 0:
        raise ZeroDivisionError("celu: alpha must not be 0, it divides the input.")
    return relu(input) + alpha * expm1(clamp(input, max=0.0) / alpha)


def selu(input: Tensor) -> Tensor:
    """y = scale * elu(input, alpha), with the scale and alpha that keep mean 0 and variance 1.

    Klambauer et al. 2017, https://arxiv.org/abs/1706.02515

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.selu.html
    """
    need_tensors("selu", input=input)
    return SELU_SCALE * elu(input, SELU_ALPHA)


@definition
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """y = ln(1 + e^(beta * input)) / beta; just input where beta * input > threshold.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.softplus.html
    """
    return where(input * beta > threshold, input, logsigmoid(input * -beta) / -beta)


@definition
def silu(input: Tensor) -> Tensor:
    """y = input * sigmoid(input), also called swish.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.silu.html
    """
    return input * sigmoid(input)


@definition
def mish(input: Tensor) -> Tensor:
    """y = input * tanh(softplus(input)). Misra 2019, https://arxiv.org/abs/1908.08681

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.mish.html
    """
    return input * tanh(softplus(input))


def softsign(input: Tensor) -> Tensor:
    """y = input / (1 + |input|).

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.softsign.html
    """
    need_tensors("softsign", input=input)
    return input / (abs(input) + 1)


def tanhshrink(input: Tensor) -> Tensor:
    """y = input - tanh(input).

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.tanhshrink.html
    """
    need_tensors("tanhshrink", input=input)
    return input - tanh(input)


# ------------------------------------------------------------------------------ along a dimension


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """y = a * sigmoid(b), a and b the two halves of input along dim.

    Dauphin et al. 2016, https://arxiv.org/abs/1612.08083

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.glu.html
    """
    need_tensors("glu", input=input)
    if input._array.ndim == 0:
        raise ShapeError("glu: a 0-d tensor has no dimension to halve.")
    size = input._array.shape[axis_of(dim, input._array.ndim, "glu")]
    if size % 2:
        raise ShapeError(f"glu: dimension {dim} must have an even size to be halved, has {size}.")
    return narrow(input, dim, 0, size // 2) * sigmoid(narrow(input, dim, size // 2, size // 2))


def softmin(input: Tensor, dim: int, dtype: object = None) -> Tensor:
    """y = softmax(-input) over dim.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.softmin.html
    """
    need_tensors("softmin", input=input)
    return softmax(-input, dim, dtype)


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """y = softmax((logits + noise) / tau) over dim: a soft draw from softmax(logits).

    noise: -ln(e), e from the exponential distribution. hard: the value is one-hot, the gradient is
    the soft one's. eps has no effect. Jang et al. 2016, https://arxiv.org/abs/1611.01144

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.gumbel_softmax.html
    """
    need_tensors("gumbel_softmax", logits=logits)
    noise = -log(exponential_(logits.detach().clone()))
    soft = softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    value = soft.detach()
    return scatter(value * 0.0, dim, argmax(value, dim, True), 1.0) - value + soft
