"""Ops along a dimension that keep it: running products and extremes, differences, integrals."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .. import dtypes
from ..device import Array, xp
from ..errors import DTypeError, ShapeError
from ..makers import op
from ..promotion import cast, need_tensors, refuse_half
from ..tape import Tensor, wrap
from .compare import logical_xor, where
from .create import ones_like
from .elementwise import exp
from .index import ValuesAndIndices, gather
from .reduce import _sum_type, cumsum, sum
from .shape import axis_of, cat, narrow, reshape
from .ufuncs import accumulate

METHODS = ["cumprod", "cummax", "cummin", "logcumsumexp", "diff"]  # also methods of Tensor
__all__ = [*METHODS, "cumulative_trapezoid", "gradient", "trapezoid", "trapz"]
IN_PLACE = ["cumprod", "cumsum"]  # also methods that write into their tensor: name_


# --------------------------------------------------------------------------- products and extremes


@op
def _cumprod(input: Array, dim: int) -> Array:
    """y_i = input_0 * ... * input_i along dim"""
    return xp(input).cumprod(input, axis=dim, dtype=_sum_type(input, "cumprod"))


@_cumprod.vjp_all
def _cumprod_rule(g: Tensor, input: Tensor, out: Tensor, dim: int) -> list:
    """The product before j times s_j = sum over i >= j of g_i input_{j+1} ... input_i. No division,
    so it holds where factors are 0.

    s_j is first the sum of one term; each round doubles the number of terms.
    """
    size = out._array.shape[dim]
    if size < 2:
        return [g]
    sums, reach, factors = g, 1, narrow(input, dim, 1, size - 1)
    while reach < size:  # factors_j = input_{j+1} ... input_{j+reach}
        more = size - reach
        longer = narrow(sums, dim, 0, more) + factors * narrow(sums, dim, reach, more)
        sums = cat([longer, narrow(sums, dim, more, reach)], dim)
        left = max(more - reach, 0)
        factors = narrow(factors, dim, 0, left) * narrow(factors, dim, more - left, left)
        reach *= 2
    before = cat([ones_like(narrow(out, dim, 0, 1)), narrow(out, dim, 0, size - 1)], dim)
    return [before * sums]


def cumprod(input: Tensor, dim: int, *, dtype: object = None) -> Tensor:
    """y_i = input_0 * ... * input_i along dim; integers and bools multiply in int64.

    https://docs.pytorch.org/docs/stable/generated/torch.cumprod.html
    """
    need_tensors("cumprod", input=input)
    if dtype is not None:
        return cumprod(cast(input, dtypes.to_numpy(dtype)), dim).to(dtype)
    axis = axis_of(dim, input._array.ndim, "cumprod")
    if input._array.ndim == 0:
        return input if input.is_floating_point() else input.long()
    return _cumprod(input, axis)


def cummax(input: Tensor, dim: int) -> ValuesAndIndices:
    """(values, indices): the largest of input_0 ... input_i along dim, the last of equal ones.

    https://docs.pytorch.org/docs/stable/generated/torch.cummax.html
    """
    return _running(input, dim, "cummax", "maximum", "greater_equal")


def cummin(input: Tensor, dim: int) -> ValuesAndIndices:
    """(values, indices): the smallest of input_0 ... input_i along dim, the last of equal ones.

    https://docs.pytorch.org/docs/stable/generated/torch.cummin.html
    """
    return _running(input, dim, "cummin", "minimum", "less_equal")


def _running(input: Tensor, dim: int, name: str, extreme: str, not_worse: str) -> ValuesAndIndices:
    need_tensors(name, input=input)
    array = input._array
    refuse_half(name, array)
    axis = axis_of(dim, array.ndim, name)
    if array.ndim == 0 or array.size == 0:
        return ValuesAndIndices(input.clone(), wrap(xp(array).zeros(array.shape, "int64")))
    module = xp(array)
    best = accumulate(extreme, array, axis)
    found = getattr(module, not_worse)(array, best) | (array != array)  # nan stays
    steps = module.arange(array.shape[axis]).reshape((-1,) + (1,) * (array.ndim - axis - 1))
    indices = wrap(accumulate("maximum", module.where(found, steps, 0), axis))
    return ValuesAndIndices(gather(input, axis, indices), indices)


@op
def _logcumsumexp(input: Array, dim: int) -> Array:
    out = input.copy()
    before = (slice(None),) * dim
    for i in range(1, input.shape[dim]):
        now = (*before, i)
        out[now] = xp(input).logaddexp(out[(*before, i - 1)], input[now])
    return out


@_logcumsumexp.vjp_all
def _logcumsumexp_rule(g: Tensor, input: Tensor, out: Tensor, dim: int) -> list:
    """sum over i >= j of g_i e^(input_j - out_i) = e^(input_j - out_j) s_j, where
    s_j = g_j + e^(out_j - out_{j+1}) s_{j+1}: no exponent is positive, and it is linear in g."""
    lowest = float(xp(g._array).finfo(g._array.dtype).min)
    out = where(out == -math.inf, lowest, out)  # -inf - -inf is nan
    rows = range(out._array.shape[dim])
    g_rows, out_rows = ([narrow(x, dim, i, 1) for i in rows] for x in (g, out))
    sums = g_rows[-1:]
    for i in reversed(rows[:-1]):
        sums.append(g_rows[i] + exp(out_rows[i] - out_rows[i + 1]) * sums[-1])
    return [exp(input - out) * cat(sums[::-1], dim)]


def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """y_i = ln(e^input_0 + ... + e^input_i) along dim, without overflow on the way.

    https://docs.pytorch.org/docs/stable/generated/torch.logcumsumexp.html
    """
    need_tensors("logcumsumexp", input=input)
    if input._array.dtype.kind != "f":
        raise DTypeError(
            f"logcumsumexp: expected a float tensor, got {input._array.dtype}; use .float()."
        )
    refuse_half("logcumsumexp", input._array)
    axis = axis_of(dim, input._array.ndim, "logcumsumexp")
    summed = input._array.ndim and input._array.size
    return _logcumsumexp(input, axis) if summed else input.clone()


# ------------------------------------------------------------------------ differences, integrals


def diff(
    input: Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
) -> Tensor:
    """y_i = input_{i+1} - input_i along dim, n times over; of bools, whether they differ.

    https://docs.pytorch.org/docs/stable/generated/torch.diff.html
    """
    need_tensors("diff", input=input)
    axis = axis_of(dim, input._array.ndim, "diff")
    if input._array.ndim == 0:
        raise ShapeError("diff: expected at least one dimension, got a tensor of shape ().")
    if n < 0:
        raise ValueError(f"diff: n must not be negative, got {n}.")
    if n == 0:
        return input.clone()
    parts = [x for x in (prepend, input, append) if x is not None]
    input = cat(parts, axis) if len(parts) > 1 else input
    for _ in range(min(n, input._array.shape[axis])):
        left, right = _neighbours(input, axis)
        input = logical_xor(right, left) if input._array.dtype.kind == "b" else right - left
    return input


def _neighbours(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """All but the last, all but the first."""
    n = max(x._array.shape[axis] - 1, 0)
    return narrow(x, axis, 0, n), narrow(x, axis, min(1, x._array.shape[axis]), n)


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
    """The integral of y along dim: the sum of (y_i + y_{i+1}) / 2 * (x_{i+1} - x_i), or dx.

    x: in the shape of y, or one-dimensional.
    https://docs.pytorch.org/docs/stable/generated/torch.trapezoid.html
    """
    return sum(_trapezoids("trapezoid", y, x, dx, dim), dim)


trapz = trapezoid


def cumulative_trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: float = 1, dim: int = -1
) -> Tensor:
    """The integrals of y along dim from its beginning to each further element, see trapezoid.

    https://docs.pytorch.org/docs/stable/generated/torch.cumulative_trapezoid.html
    """
    return cumsum(_trapezoids("cumulative_trapezoid", y, x, dx, dim), dim)


def _trapezoids(name: str, y: Tensor, x: Tensor | None, dx: float, dim: int) -> Tensor:
    need_tensors(name, y=y)
    axis = axis_of(dim, y._array.ndim, name)
    left, right = _neighbours(y, axis)
    if x is None:
        return (left + right) * (dx / 2)
    if x._array.ndim == 1:
        if x._array.shape[0] != y._array.shape[axis]:
            raise ShapeError(
                f"{name}: {x._array.shape[0]} points x, but dimension {dim} of y has size "
                f"{y._array.shape[axis]}."
            )
        x = reshape(x, (-1,) + (1,) * (y._array.ndim - axis - 1))
        return (left + right) * diff(x, dim=0) / 2
    return (left + right) * diff(x, dim=dim) / 2


def gradient(
    input: Tensor,
    *,
    spacing: float | Tensor | Sequence | None = None,
    dim: int | Sequence[int] | None = None,
    edge_order: int = 1,
) -> tuple[Tensor, ...]:
    """Estimates of the derivatives of a function along each of its dimensions, from its values.

    Inside, a parabola goes through each element and its neighbours; edge_order 1 or 2 is the
    degree at both ends. spacing: one distance (1 if None), or for each dimension a distance or the
    points.
    https://docs.pytorch.org/docs/stable/generated/torch.gradient.html
    """
    need_tensors("gradient", input=input)
    ndim = input._array.ndim
    dims = range(ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    axes = [axis_of(d, ndim, "gradient") for d in dims]
    if isinstance(spacing, Tensor):
        spacing = [spacing] if spacing._array.ndim else spacing.item()
    several = isinstance(spacing, (list, tuple))
    one = 1 if spacing is None else spacing
    spacings = list(spacing) if several else [one] * len(axes)
    if len(spacings) != len(axes):
        raise ShapeError(f"gradient: {len(spacings)} spacings for {len(axes)} dimensions.")
    if edge_order not in (1, 2):
        raise ValueError(f"gradient: edge_order is 1 or 2, got {edge_order}.")
    short = [input._array.shape[axis] for axis in axes if input._array.shape[axis] <= edge_order]
    if short:
        raise ShapeError(
            f"gradient: edge_order {edge_order} needs {edge_order + 1} elements along each "
            f"dimension, got {short[0]}."
        )
    if input._array.dtype.kind != "f":
        input = cast(input, dtypes.default_float())
    pairs = zip(axes, spacings, strict=True)
    return tuple([_slopes(input, axis, space, edge_order) for axis, space in pairs])


def _slopes(input: Tensor, axis: int, space: float | Tensor, edge_order: int) -> Tensor:
    n = input._array.shape[axis]
    steps = diff(input, dim=axis)
    if isinstance(space, Tensor) and space._array.ndim:
        space = space.detach().to(input.dtype)
        widths = reshape(diff(space), (-1,) + (1,) * (input._array.ndim - axis - 1))
    else:
        like = input._array
        widths = wrap(xp(like).full((n - 1,) + (1,) * (like.ndim - axis - 1), 1.0, like.dtype))
        widths = widths * space

    slopes = steps / widths
    first, last = narrow(slopes, axis, 0, 1), narrow(slopes, axis, n - 2, 1)
    if n == 2:
        return cat([first, last], axis)
    left, right = narrow(widths, 0, 0, n - 2), narrow(widths, 0, 1, n - 2)
    before, after = narrow(slopes, axis, 0, n - 2), narrow(slopes, axis, 1, n - 2)
    inside = (before * right + after * left) / (left + right)
    if edge_order == 2:  # the parabola through the three outermost: its slope is linear
        first = 2 * first - narrow(inside, axis, 0, 1)
        last = 2 * last - narrow(inside, axis, n - 3, 1)
    return cat([first, inside, last], axis)
