"""softmax, its logarithm and logsumexp: a block of threads for each row."""

from __future__ import annotations

from typing import Any

from ...device import Array, xp
from .. import Kernel
from . import TYPES, Source, contiguous

SOURCE = Source(
    "softmax.cu",
    {
        name + suffix: TYPES.values()
        for name in ("softmax", "log_softmax", "logsumexp")
        for suffix in ("", "_gradient")
    },
)


def rows(x: Array, dim: int) -> Array:
    """x with dimension `dim` last, as contiguous rows (R, C)."""
    if dim not in (-1, x.ndim - 1):
        x = xp(x).moveaxis(x, dim, -1)
    return contiguous(x).reshape(-1, x.shape[-1])


def from_rows(x: Array, like: Array, dim: int) -> Array:
    """Rows (R, C) in the shape of `like`."""
    if dim in (-1, like.ndim - 1):
        return x.reshape(like.shape)
    xs = xp(x)
    return xs.moveaxis(x.reshape(xs.moveaxis(like, dim, -1).shape), -1, dim)


def threads(columns: int, most: int = 256) -> tuple[int]:
    """A block for a row of this length: whole warps, none of them without work."""
    return (min(most, (columns + 31) // 32 * 32),)


def over_rows(kernel: str, rows: Array, *args: Any) -> None:
    """Launches a kernel with a block for each of the rows (R, C)."""
    count, columns = rows.shape
    SOURCE.launch(kernel, TYPES[rows.dtype], (count,), threads(columns), *args, columns)


def softmax(x: Array, dim: int) -> Array:
    return _along("softmax", x, dim)


def log_softmax(x: Array, dim: int) -> Array:
    return _along("log_softmax", x, dim)


def _along(kernel: str, x: Array, dim: int) -> Array:
    row = rows(x, dim)
    out = xp(x).empty_like(row)
    over_rows(kernel, row, row, out)
    return from_rows(out, x, dim)


def softmax_gradient(g: Array, out: Array, dim: int) -> tuple[Array]:
    return _back("softmax_gradient", g, out, dim)


def log_softmax_gradient(g: Array, out: Array, dim: int) -> tuple[Array]:
    return _back("log_softmax_gradient", g, out, dim)


def _back(kernel: str, g: Array, out: Array, dim: int) -> tuple[Array]:
    row = rows(out, dim)
    dx = xp(g).empty_like(row)
    over_rows(kernel, row, rows(g, dim), row, dx)
    return (from_rows(dx, out, dim),)


def logsumexp(x: Array, dim: int, keepdim: bool) -> Array:
    row = rows(x, dim)
    out = xp(x).empty(row.shape[:1], x.dtype)
    over_rows("logsumexp", row, row, out)
    shape = list(x.shape)
    shape[dim] = 1
    out = out.reshape(shape)
    return out if keepdim else out.squeeze(dim)


def logsumexp_gradient(g: Array, input: Array, out: Array, dim: int, keepdim: bool) -> tuple[Array]:
    row = rows(input, dim)
    dx = xp(g).empty_like(row)
    over_rows("logsumexp_gradient", row, contiguous(g), row, contiguous(out), dx)
    return (from_rows(dx, input, dim),)


def _takes(x: Array, dim: int, keepdim: bool = False) -> bool:
    return isinstance(dim, int) and -x.ndim <= dim < x.ndim and x.size > 0


KERNELS = {
    "softmax": Kernel(softmax, softmax_gradient, _takes, half=True),
    "log_softmax": Kernel(log_softmax, log_softmax_gradient, _takes, half=True),
    "logsumexp": Kernel(logsumexp, logsumexp_gradient, _takes, half=True),
}
