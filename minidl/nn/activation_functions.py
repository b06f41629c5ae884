"""Activations as PyTorch's `nn.functional` has them, with a few more arguments than the ops.

`inplace`: the result goes into the input's own memory. What a rule reads is kept: with gradients,
the activation runs on a copy. `dim=None`: softmax guesses its dimension, and warns.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable

from .. import ops
from ..autograd import is_grad_enabled
from ..tensor import Tensor

INPLACE = inspect.Parameter("inplace", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=False)


def with_inplace(function: Callable) -> Callable:
    """The function with one more argument at the end, inplace=False."""
    signature = inspect.signature(function)
    parameters = [*signature.parameters.values(), INPLACE.replace(annotation="bool")]
    place = len(parameters) - 1

    @functools.wraps(function)
    def call(*args: object, inplace: bool = False, **kwargs: object) -> Tensor:
        if len(args) > place:
            args, inplace = args[:place], args[place]
        if not inplace:
            return function(*args, **kwargs)
        input = args[0] if args else kwargs.pop("input")
        kept = input.clone() if is_grad_enabled() and input.requires_grad else input
        return input.copy_(function(kept, *args[1:], **kwargs))

    call.__signature__ = signature.replace(parameters=parameters)
    return call


celu = with_inplace(ops.celu)
elu = with_inplace(ops.elu)
hardsigmoid = with_inplace(ops.hardsigmoid)
hardswish = with_inplace(ops.hardswish)
hardtanh = with_inplace(ops.hardtanh)
leaky_relu = with_inplace(ops.leaky_relu)
mish = with_inplace(ops.mish)
relu6 = with_inplace(ops.relu6)
rrelu = with_inplace(ops.rrelu)
selu = with_inplace(ops.selu)
silu = with_inplace(ops.silu)
threshold = with_inplace(ops.threshold)


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """y = max(input, 0); the derivative at 0 is 0. inplace: written into the input's own memory."""
    return input.relu_() if inplace else ops.relu(input)


celu_ = functools.partial(celu, inplace=True)
elu_ = functools.partial(elu, inplace=True)
hardtanh_ = functools.partial(hardtanh, inplace=True)
leaky_relu_ = functools.partial(leaky_relu, inplace=True)
relu_ = functools.partial(relu, inplace=True)
rrelu_ = functools.partial(rrelu, inplace=True)
selu_ = functools.partial(selu, inplace=True)
threshold_ = functools.partial(threshold, inplace=True)


def _dim(name: str, dim: int | None, input: Tensor, stacklevel: int) -> int:
    """The dimension, guessed as in the first versions of PyTorch if it was not said."""
    if dim is not None:
        return dim
    guess = 0 if input.ndim in (0, 1, 3) else 1
    warnings.warn(
        f"{name}: say along which dimension, for example dim=-1 for (N, classes). It now goes "
        f"along dimension {guess} of {tuple(input.shape)}, as in old versions of PyTorch.",
        stacklevel=stacklevel,
    )
    return guess


def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: object = None
) -> Tensor:
    """y = e^input / sum e^input over dim.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.softmax.html
    """
    return ops.softmax(input, _dim("softmax", dim, input, _stacklevel), dtype)


def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: object = None
) -> Tensor:
    """y = softmax(-input) over dim.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.softmin.html
    """
    return ops.softmin(input, _dim("softmin", dim, input, _stacklevel), dtype)


def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: object = None
) -> Tensor:
    """y = input - ln sum e^input over dim.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.log_softmax.html
    """
    return ops.log_softmax(input, _dim("log_softmax", dim, input, _stacklevel), dtype)
