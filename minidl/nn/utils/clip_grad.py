"""Gradients kept small: by their common norm, or value by value."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from types import GeneratorType

from numpy import ndarray

from ... import kernels
from ...autograd import no_grad
from ...device import device_of
from ...dtypes import F32, F64, float32
from ...linalg import vector_norm
from ...ops import clamp, stack, tensor
from ...tape import bump, wrap
from ...tensor import Tensor

__all__ = [
    "clip_grad_norm",
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
]


@no_grad()
def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The p-norm, p = norm_type, of all tensors as one vector.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.get_total_norm.html
    """
    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    norm_type = float(norm_type)
    if not tensors:
        return tensor(0.0)
    square_sum = _kernel("square_sum", tensors) if norm_type == 2 else None
    if square_sum is None:
        norms = [vector_norm(t, norm_type).to(tensors[0].device) for t in tensors]
        total = vector_norm(stack(norms), norm_type)
    else:
        squares = square_sum(*[t._array for t in tensors])
        if isinstance(squares, float):
            total = tensor(math.sqrt(squares), dtype=float32)
        else:  # on a GPU, for which nobody waits
            total = wrap(squares).sqrt().to(tensors[0].dtype)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, "
            "so it cannot be clipped. To disable this error and scale the gradients by the "
            "non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return total


@no_grad()
def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    total_norm: Tensor,
    foreach: bool | None = None,
) -> None:
    """grad = grad * min(1, max_norm / (total_norm + 1e-6)), in place.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grads_with_norm_.html
    """
    factor = clamp(float(max_norm) / (total_norm + 1e-6), max=1.0)
    grads = _grads(parameters)
    scale = _kernel("scale", grads) if grads else None
    if scale is None:
        for grad in grads:
            grad.mul_(factor.to(grad.device))
        return
    if grads[0]._array.__class__ is ndarray:
        number = factor.item()
    else:
        number = factor.to(grads[0].device, grads[0].dtype)._array
    for grad in grads:
        scale(grad._array, number)
        bump(grad)


@no_grad()
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scales the gradients, in place, so that their common norm is at most max_norm.

    Returns the norm before. foreach asks for speed only.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_norm_.html
    """
    is_generator = isinstance(parameters, GeneratorType)
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    if is_generator and not parameters:
        warnings.warn(
            "`parameters` is an empty generator, no gradient clipping will occur.", stacklevel=3
        )
    total = get_total_norm(_grads(parameters), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, total)
    return total


def clip_grad_norm(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The old name of `clip_grad_norm_`."""
    warnings.warn(
        "`nn.utils.clip_grad_norm` is now deprecated in favor of `nn.utils.clip_grad_norm_`.",
        FutureWarning,
        stacklevel=2,
    )
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


@no_grad()
def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Brings every value of the gradients into [-clip_value, clip_value], in place.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_value_.html
    """
    limit = float(clip_value)
    for grad in _grads(parameters):
        clamped = _kernel("clamp", [grad])
        if clamped is not None:
            clamped(grad._array, -limit, limit)
            bump(grad)
        else:
            grad.clamp_(-limit, limit)


def _grads(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p._grad for p in parameters if p._grad is not None]


def _kernel(name: str, grads: list[Tensor]) -> Callable | None:
    """The kernel of this name, if it takes all these gradients: on one device, of one type (on the
    CPU float32), in row order and writable."""
    arrays = [grad._array for grad in grads]
    first = arrays[0]
    if first.__class__ is ndarray:
        fit = all(x.__class__ is ndarray and x.dtype is F32 and x.flags.carray for x in arrays)
    else:
        kinds = {(x.__class__, x.dtype, device_of(x)) for x in arrays}
        fit = first.dtype in (F32, F64) and len(kinds) == 1
        fit = fit and all(x.flags.c_contiguous for x in arrays)
    return kernels.function(name, first) if fit else None
