"""Statistics: sums that pass over nan, variance with mean, covariance, counts, distances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from .. import dtypes
from ..device import Array, xp
from ..errors import DTypeError, ShapeError
from ..promotion import cast, need_tensors
from ..tape import Tensor, wrap
from .compare import isnan, ne, where
from .elementwise import sqrt
from .linalg import matmul
from .norms import vector_norm
from .reduce import _need_float, amax, amin, mean, std, sum, var
from .shape import Dim, axis_of, diagonal, transpose, unsqueeze

METHODS = """
    nansum nanmean count_nonzero aminmax histc histogram bincount cov corrcoef trace renorm dist
""".split()  # also methods of Tensor
__all__ = [*METHODS, "cdist", "histogramdd", "std_mean", "var_mean"]
IN_PLACE = ["renorm"]  # also methods that write into their tensor: name_


# -------------------------------------------------------------------------------------- reductions


def nansum(
    input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: object = None
) -> Tensor:
    """y = sum over dim of the elements that are not nan.

    https://docs.pytorch.org/docs/stable/generated/torch.nansum.html
    """
    need_tensors("nansum", input=input)
    return sum(where(isnan(input), 0, input), dim, keepdim, dtype=dtype)


def nanmean(
    input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: object = None
) -> Tensor:
    """y = mean over dim of the elements that are not nan.

    https://docs.pytorch.org/docs/stable/generated/torch.nanmean.html
    """
    need_tensors("nanmean", input=input)
    _need_float(input._array, "nanmean")
    return nansum(input, dim, keepdim, dtype=dtype) / sum(~isnan(input), dim, keepdim)


def var_mean(
    input: Tensor,
    dim: Dim = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """(variance, mean) over dim, see var.

    https://docs.pytorch.org/docs/stable/generated/torch.var_mean.html
    """
    over = None if isinstance(dim, bool) else dim
    return var(input, dim, unbiased, keepdim, correction=correction), mean(input, over, keepdim)


def std_mean(
    input: Tensor,
    dim: Dim = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """(standard deviation, mean) over dim, see std.

    https://docs.pytorch.org/docs/stable/generated/torch.std_mean.html
    """
    over = None if isinstance(dim, bool) else dim
    return std(input, dim, unbiased, keepdim, correction=correction), mean(input, over, keepdim)


def count_nonzero(input: Tensor, dim: Dim = None) -> Tensor:
    """y = how many elements over dim are not 0.

    https://docs.pytorch.org/docs/stable/generated/torch.count_nonzero.html
    """
    return sum(ne(input, 0), dim)


class MinAndMax(NamedTuple):
    """Result of aminmax."""

    min: Tensor
    max: Tensor


def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> MinAndMax:
    """(min, max): the smallest and the largest element along dim, or of all.

    https://docs.pytorch.org/docs/stable/generated/torch.aminmax.html
    """
    over = () if dim is None else dim
    return MinAndMax(amin(input, over, keepdim), amax(input, over, keepdim))


def trace(input: Tensor) -> Tensor:
    """y = sum_i input[i, i] of a matrix.

    https://docs.pytorch.org/docs/stable/generated/torch.trace.html
    """
    need_tensors("trace", input=input)
    if input._array.ndim != 2:
        raise ShapeError(f"trace: expected a matrix, got shape {input._array.shape}.")
    return sum(diagonal(input))


# ---------------------------------------------------------------------------------------- counting


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """y[i] = how often i occurs in input, or the sum of the weights where it does.

    input: whole numbers, not negative, one-dimensional. weights: not float32: added in float64.
    https://docs.pytorch.org/docs/stable/generated/torch.bincount.html
    """
    need_tensors("bincount", input=input)
    array = input._array
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise DTypeError(
            f"bincount: expected integers of one dimension, got {array.dtype} of shape "
            f"{array.shape}."
        )
    if minlength < 0 or (array.size and int(array.min()) < 0):
        raise ValueError("bincount: neither input nor minlength may be negative.")
    if weights is None:
        return wrap(xp(array).bincount(array, minlength=minlength))
    if weights._array.shape != array.shape:
        raise ShapeError(
            f"bincount: input has shape {array.shape}, the weights {weights._array.shape}."
        )
    counts = xp(array).bincount(array, weights._array, minlength)
    return wrap(counts.astype(weights._array.dtype if weights._array.dtype == dtypes.F32 else "f8"))


def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """y[i] = how many elements are in the i-th of `bins` equal parts of [min, max].

    Elements outside are not counted. min = max: the smallest and the largest element.
    https://docs.pytorch.org/docs/stable/generated/torch.histc.html
    """
    need_tensors("histc", input=input)
    _need_float(input._array, "histc")
    if bins <= 0 or min > max:
        raise ValueError(f"histc: expected bins > 0 and min <= max, got {bins}, {min}, {max}.")
    edges = (float(min), float(max)) if min != max else _ends(input._array, 1.0)
    counts = xp(input._array).histogram(input._array, bins, edges)[0]
    return wrap(counts.astype(input._array.dtype))


def _ends(array: Array, around: float) -> tuple[float, float]:
    """The smallest and the largest element; what is around it if they are one."""
    if not array.size:
        return 0.0, 1.0
    low, high = float(array.min()), float(array.max())
    return (low, high) if low < high else (low - around, high + around)


class Histogram(NamedTuple):
    """Result of histogram and histogramdd."""

    hist: Tensor
    bin_edges: Tensor | tuple[Tensor, ...]


def histogram(
    input: Tensor,
    bins: int | Tensor,
    *,
    range: tuple[float, float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Histogram:
    """(hist, bin_edges): how many elements (or their weights) lie between edges.

    bins: how many equal parts of `range`, or the edges. density: the area is 1.
    https://docs.pytorch.org/docs/stable/generated/torch.histogram.html
    """
    need_tensors("histogram", input=input)
    if weight is not None and weight._array.shape != input._array.shape:
        raise ShapeError(
            f"histogram: input has shape {input._array.shape}, weight {weight._array.shape}."
        )
    flat = input.detach().reshape(-1, 1)
    edges = [bins] if isinstance(bins, Tensor) else bins
    hist, (edges,) = histogramdd(
        flat, edges, range=range, weight=None if weight is None else weight.reshape(-1),
        density=density,
    )  # fmt: skip
    return Histogram(hist, edges)


def histogramdd(
    input: Tensor,
    bins: int | Sequence[int] | Sequence[Tensor],
    *,
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Histogram:
    """(hist, bin_edges) of points (..., d): how many lie in each box of a grid in d dimensions.

    bins: how many equal parts, one number or d, or the d sequences of edges. range: low and high
    of each dimension in turn.
    https://docs.pytorch.org/docs/stable/generated/torch.histogramdd.html
    """
    need_tensors("histogramdd", input=input)
    array = input._array
    _need_float(array, "histogramdd")
    ndim = array.shape[-1]
    points = array.reshape(-1, ndim)
    bins = [bins] * ndim if isinstance(bins, int) else list(bins)
    edges = []
    for i, part in enumerate(bins):
        if isinstance(part, Tensor):
            edges.append(part._array)
        else:
            low, high = _ends(points[:, i], 0.5) if range is None else range[2 * i : 2 * i + 2]
            edges.append(xp(array).linspace(low, high, part + 1).astype(array.dtype))
    weights = None if weight is None else weight._array.reshape(-1)
    hist = _counted(points, edges, weights).astype(array.dtype)
    if density:
        hist = hist / hist.sum()
        for i, e in enumerate(edges):
            hist = hist / xp(e).diff(e).reshape((-1,) + (1,) * (ndim - i - 1))
    return Histogram(wrap(hist), tuple([wrap(e) for e in edges]))


def _counted(points: Array, edges: list[Array], weights: Array | None) -> Array:
    """How many points (or their weights) are in each box; the last edge belongs to its box."""
    module = xp(points)
    shape = [len(e) - 1 for e in edges]
    box, inside = 0, module.ones(len(points), bool)
    for x, e, n in zip(points.T, edges, shape, strict=True):
        inside &= (x >= e[0]) & (x <= e[-1])
        box = box * n + (module.searchsorted(e, x, "right") - 1).clip(0, n - 1)
    chosen = None if weights is None else weights[inside]
    return module.bincount(box[inside], chosen, math.prod(shape)).reshape(shape)


# ------------------------------------------------------------------------- covariance, distances


def cov(
    input: Tensor,
    *,
    correction: int = 1,
    fweights: Tensor | None = None,
    aweights: Tensor | None = None,
) -> Tensor:
    """y[i, j] = the covariance of the variables input[i] and input[j]; columns are observations.

    fweights: how often each observation counts. aweights: how much.
    https://docs.pytorch.org/docs/stable/generated/torch.cov.html
    """
    need_tensors("cov", input=input)
    if input._array.ndim > 2:
        raise ShapeError(f"cov: expected at most 2 dimensions, got shape {input._array.shape}.")
    if input._array.dtype.kind != "f":
        input = cast(input, dtypes.default_float())
    x = input if input._array.ndim == 2 else input.reshape(1, -1)
    given = [w for w in (fweights, aweights) if w is not None]
    weights = None
    for w in given:
        if w._array.shape != x._array.shape[1:]:
            raise ShapeError(f"cov: {x._array.shape[1]} observations, weights {w._array.shape}.")
        weights = w if weights is None else weights * w
    if weights is None:
        centred = x - mean(x, 1, True)
        below = max(float(x._array.shape[1]) - correction, 0.0)
        out = matmul(centred, transpose(centred, 0, 1)) / below
    else:
        total = sum(weights)
        centred = x - sum(x * weights, 1, True) / total
        used = sum(weights * aweights) / total if aweights is not None else 1
        below = (total - correction * used).clamp(min=0)
        out = matmul(centred * weights, transpose(centred, 0, 1)) / below
    return out.squeeze()


def corrcoef(input: Tensor) -> Tensor:
    """y[i, j] = the correlation of the variables input[i] and input[j], clipped to [-1, 1].

    https://docs.pytorch.org/docs/stable/generated/torch.corrcoef.html
    """
    c = cov(input)
    if c._array.ndim == 0:
        return c / c
    deviation = sqrt(diagonal(c))
    return (c / unsqueeze(deviation, 1) / unsqueeze(deviation, 0)).clamp(-1, 1)


def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """y = input, its slices along dim scaled down to p-norm maxnorm where that is greater.

    https://docs.pytorch.org/docs/stable/generated/torch.renorm.html
    """
    need_tensors("renorm", input=input)
    axis = axis_of(dim, input._array.ndim, "renorm")
    if input._array.ndim < 2:
        raise ShapeError(f"renorm: expected 2 or more dimensions, got {input._array.shape}.")
    others = tuple(i for i in range(input._array.ndim) if i != axis)
    norm = vector_norm(input, p, others, True)
    return input * where(norm > maxnorm, maxnorm / (norm + 1e-7), 1.0)


def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """y = the p-norm of input - other.

    https://docs.pytorch.org/docs/stable/generated/torch.dist.html
    """
    need_tensors("dist", input=input, other=other)
    return vector_norm(input - other, p)


def cdist(
    x1: Tensor,
    x2: Tensor,
    p: float = 2.0,
    compute_mode: str = "use_mm_for_euclid_dist_if_necessary",
) -> Tensor:
    """y[..., i, j] = the p-norm of x1[..., i, :] - x2[..., j, :]: (..., P, R).

    Batch dimensions broadcast. compute_mode changes nothing: differences are always taken.
    https://docs.pytorch.org/docs/stable/generated/torch.cdist.html
    """
    need_tensors("cdist", x1=x1, x2=x2)
    if min(x1._array.ndim, x2._array.ndim) < 2 or x1._array.shape[-1] != x2._array.shape[-1]:
        raise ShapeError(
            f"cdist: expected (..., P, M) and (..., R, M), got {x1._array.shape} and "
            f"{x2._array.shape}."
        )
    if p < 0:
        raise ValueError(f"cdist: p must not be negative, got {p}.")
    return vector_norm(unsqueeze(x1, -2) - unsqueeze(x2, -3), p, -1)
