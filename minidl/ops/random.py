"""Random tensors and dropout. Every function takes `generator=`; see `minidl/random.py`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .. import dtypes
from ..device import Array, on, xp
from ..device import device as Device
from ..errors import DTypeError, ShapeError
from ..promotion import values_are_checked
from ..random import Generator, draw, normals, uniforms
from ..tape import Tensor, wrap
from .create import made, sized
from .shape import shape_of

__all__ = """
    rand randn rand_like randn_like randint randint_like randperm bernoulli normal multinomial
""".split()
METHODS = """
    multinomial bernoulli random_ exponential_ geometric_ log_normal_ cauchy_
""".split()  # also methods of Tensor


def _float(dtype: object, name: str) -> object:
    kind = dtypes.default_float() if dtype is None else dtypes.to_numpy(dtype)
    if kind.kind != "f":
        raise DTypeError(f"{name}: expected a float type, got {kind}.")
    return kind


@sized
def rand(
    *size: int | Sequence[int],
    generator: Generator | None = None,
    dtype: object = None,
    device: str | Device = "cpu",
    requires_grad: bool = False,
) -> Tensor:
    """Numbers uniform in [0, 1).

    https://docs.pytorch.org/docs/stable/generated/torch.rand.html
    """
    return made(_uniform(size, generator, _float(dtype, "rand"), device), requires_grad)


@sized
def randn(
    *size: int | Sequence[int],
    generator: Generator | None = None,
    dtype: object = None,
    device: str | Device = "cpu",
    requires_grad: bool = False,
) -> Tensor:
    """Numbers of the normal distribution with mean 0 and variance 1.

    https://docs.pytorch.org/docs/stable/generated/torch.randn.html
    """
    return made(_normal(size, generator, _float(dtype, "randn"), device), requires_grad)


def _uniform(size: tuple, generator: Generator | None, kind: object, device: object) -> Array:
    shape = shape_of(size)
    n = math.prod(shape)
    with on(device) as home:
        like = home.module.empty(0)
        return uniforms(*draw(generator, n), n, kind, like).reshape(shape)


def _normal(size: tuple, generator: Generator | None, kind: object, device: object) -> Array:
    shape = shape_of(size)
    n = math.prod(shape)
    with on(device) as home:
        like = home.module.empty(0)
        return normals(*draw(generator, n), n, kind, like).reshape(shape)


def rand_like(input: Tensor, *, dtype: object = None, requires_grad: bool = False) -> Tensor:
    """`rand` in the shape, type and device of input."""
    return rand(
        input.shape, dtype=dtype or input.dtype, device=input.device, requires_grad=requires_grad
    )


def randn_like(input: Tensor, *, dtype: object = None, requires_grad: bool = False) -> Tensor:
    """`randn` in the shape, type and device of input."""
    return randn(
        input.shape, dtype=dtype or input.dtype, device=input.device, requires_grad=requires_grad
    )


def randint(
    low: int = 0,
    high: int | Sequence[int] | None = None,
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    dtype: object = None,
    device: str | Device = "cpu",
) -> Tensor:
    """Integers uniform in [low, high): randint(high, size) or randint(low, high, size).

    https://docs.pytorch.org/docs/stable/generated/torch.randint.html
    """
    if size is None:
        low, high, size = 0, low, high
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"randint: size must be a tuple of ints, got {size!r}.")
    if low >= high:
        raise ValueError(f"randint: expected low < high, got low {low}, high {high}.")
    u = _uniform(tuple(size), generator, dtypes.F64, device)
    kind = dtypes.I64 if dtype is None else dtypes.to_numpy(dtype)
    return wrap((low + xp(u).floor(u * (high - low))).astype(kind))


def randint_like(
    input: Tensor,
    low: int = 0,
    high: int | None = None,
    *,
    generator: Generator | None = None,
    dtype: object = None,
    device: str | Device | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Integers uniform in [low, high), or [0, low), in the shape, type and device of input.

    https://docs.pytorch.org/docs/stable/generated/torch.randint_like.html
    """
    bounds = (0, low) if high is None else (low, high)
    like = {"dtype": dtype or input.dtype, "device": device or input.device}
    return made(randint(*bounds, input.shape, generator=generator, **like)._array, requires_grad)


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: object = None,
    device: str | Device = "cpu",
) -> Tensor:
    """The integers 0 .. n - 1 in random order: the order that sorts n uniform numbers."""
    u = _uniform((n,), generator, dtypes.F64, device)
    order = xp(u).argsort(u, kind="stable")
    return wrap(order.astype(dtypes.I64 if dtype is None else dtypes.to_numpy(dtype)))


def bernoulli(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that input gives for each element, else 0, in input's type."""
    p = input._array
    if p.dtype.kind != "f":
        raise DTypeError(f"bernoulli: expected float probabilities, got {p.dtype}.")
    if p.size and values_are_checked(p) and not ((p >= 0) & (p <= 1)).all():
        raise ValueError("bernoulli: probabilities must be between 0 and 1.")
    u = _uniform(p.shape, generator, p.dtype, input.device)
    return wrap((u < p).astype(p.dtype))


def normal(
    mean: float | Tensor = 0.0,
    std: float | Tensor = 1.0,
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    dtype: object = None,
    device: str | Device = "cpu",
) -> Tensor:
    """Numbers of the normal distribution: normal(mean, std, size), or one per element of a tensor.

    https://docs.pytorch.org/docs/stable/generated/torch.normal.html
    """
    tensors = [t for t in (mean, std) if isinstance(t, Tensor)]
    if (std < 0).any() if isinstance(std, Tensor) else std < 0:
        raise ValueError(f"normal: the standard deviation must not be negative, got {std}.")
    if size is None:
        if not tensors:
            raise TypeError("normal: numbers for mean and std need a size.")
        size = (tensors[0] + tensors[-1]).shape if len(tensors) == 2 else tensors[0].shape
        dtype, device = dtype or tensors[0].dtype, tensors[0].device
    noise = randn(tuple(size), generator=generator, dtype=dtype, device=device)
    return noise * std + mean


def _own_uniform(input: Tensor, generator: Generator | None) -> Array:
    """float64 numbers uniform in (0, 1], one for each element."""
    return 1.0 - _uniform(input.shape, generator, dtypes.F64, input.device)


def random_(
    input: Tensor, low: int = 0, high: int | None = None, *, generator: Generator | None = None
) -> Tensor:
    """Overwrites it with integers uniform in [low, high); random_(n) means [0, n).

    Without bounds: from 0 to the largest integer up to which its type holds all of them.
    https://docs.pytorch.org/docs/stable/generated/torch.Tensor.random_.html
    """
    if high is None:
        low, high = 0, low or _whole_numbers(input)
    if low >= high:
        raise ValueError(f"random_: expected low < high, got low {low}, high {high}.")
    u = _uniform(input.shape, generator, dtypes.F64, input.device)
    return input.copy_(wrap(low + xp(u).floor(u * (high - low))))


def _whole_numbers(input: Tensor) -> int:
    """How many integers from 0 on its type can hold, at most 2^53, as many as a float64 can."""
    kind = input._array.dtype
    bits = xp(input._array).finfo(kind).nmant + 1 if kind.kind == "f" else 8 * kind.itemsize
    return 2 if kind.kind == "b" else 2 ** min(bits - (kind.kind == "i"), 53)


def exponential_(
    input: Tensor, lambd: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Overwrites it with numbers of density lambd * exp(-lambd * x): -log(u) / lambd.

    https://docs.pytorch.org/docs/stable/generated/torch.Tensor.exponential_.html
    """
    if lambd <= 0:
        raise ValueError(f"exponential_: lambd must be positive, got {lambd}.")
    u = _own_uniform(input, generator)
    return input.copy_(wrap(-xp(u).log(u) / lambd))


def geometric_(input: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Overwrites it with numbers of trials until the first success: ceil(log(u) / log(1 - p)).

    https://docs.pytorch.org/docs/stable/generated/torch.Tensor.geometric_.html
    """
    if not 0 < p < 1:
        raise ValueError(f"geometric_: p must be between 0 and 1, got {p}.")
    u = _own_uniform(input, generator)
    return input.copy_(wrap(xp(u).maximum(xp(u).ceil(xp(u).log(u) / math.log1p(-p)), 1)))


def log_normal_(
    input: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None
) -> Tensor:
    """Overwrites it with exp of numbers of the normal distribution.

    https://docs.pytorch.org/docs/stable/generated/torch.Tensor.log_normal_.html
    """
    like = {"dtype": input.dtype, "device": input.device}
    drawn = normal(mean, std, input.shape, generator=generator, **like)
    return input.copy_(drawn.exp())


def cauchy_(
    input: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Overwrites it with numbers of the Cauchy distribution: median + sigma * tan(pi (u - 1/2)).

    https://docs.pytorch.org/docs/stable/generated/torch.Tensor.cauchy_.html
    """
    u = _own_uniform(input, generator)
    return input.copy_(wrap(median + sigma * xp(u).tan(math.pi * (u - 0.5))))


def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Positions drawn with probabilities proportional to the rows of input: (..., n) -> (..., k).

    Without replacement: the k largest of u^(1/weight), u uniform (Efraimidis and Spirakis 2006).
    https://docs.pytorch.org/docs/stable/generated/torch.multinomial.html
    """
    weights = input._array
    if weights.ndim not in (1, 2):
        raise ShapeError(f"multinomial: expected 1 or 2 dimensions, got {weights.shape}.")
    m = xp(weights)
    if not m.isfinite(weights).all() or (weights < 0).any() or (weights.sum(-1) <= 0).any():
        raise ValueError("multinomial: weights must be finite, not negative, and not all 0.")
    if replacement:
        cumulative = m.cumsum(weights.astype("float64"), -1)
        shape = (*weights.shape[:-1], num_samples)
        u = _uniform(shape, generator, dtypes.F64, input.device) * cumulative[..., -1:]
        return wrap((u[..., None] >= cumulative[..., None, :]).sum(-1))
    if num_samples > int((weights > 0).sum(-1).min()):
        raise ValueError(
            f"multinomial: cannot draw {num_samples} different positions; pass replacement=True."
        )
    u = _uniform(weights.shape, generator, dtypes.F64, input.device)
    keys = m.where(weights > 0, m.log1p(-u) / m.where(weights > 0, weights, 1.0), -math.inf)
    return wrap(m.argsort(-keys, -1, kind="stable")[..., :num_samples])
