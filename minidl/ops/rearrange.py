"""More ways to move elements: windows, repetition, quarter turns, diagonals.

Most are compositions of the ops of `shape.py`; joining and splitting: `joins.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..device import Array, xp
from ..errors import DTypeError, ShapeError
from ..makers import op
from ..promotion import values_are_checked
from ..tape import Tensor, wrap
from . import shape as _shape
from .elementwise import clone
from .index import _index, _unindex, index_select
from .shape import (
    Shape,
    _on_diagonal,
    axis_of,
    expand,
    flip,
    movedim,
    reshape,
    shape_of,
    transpose,
)

__all__ = """
    broadcast_to ravel swapaxes swapdims moveaxis adjoint select
    tile repeat_interleave fliplr flipud rot90 diag diag_embed diagflat
""".split()
METHODS = """
    broadcast_to ravel swapaxes swapdims moveaxis adjoint select unfold sum_to_size H mH
    tile repeat_interleave fliplr flipud rot90 diag diag_embed diagflat
""".split()  # also methods of Tensor


# ------------------------------------------------------------------------------------------ views


def broadcast_to(input: Tensor, size: Shape) -> Tensor:
    """y = input expanded to `size`: `input.expand(size)`.

    https://docs.pytorch.org/docs/stable/generated/torch.broadcast_to.html
    """
    return expand(input, shape_of((size,)))


def ravel(input: Tensor) -> Tensor:
    """y = input as one dimension; a view of contiguous memory, else a copy.

    https://docs.pytorch.org/docs/stable/generated/torch.ravel.html
    """
    return reshape(input.contiguous(), (input._array.size,))


def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """y = input with two dimensions swapped: `transpose` under NumPy's name.

    https://docs.pytorch.org/docs/stable/generated/torch.swapaxes.html
    """
    return transpose(input, axis0, axis1)


def swapdims(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """y = input with two dimensions swapped: `transpose`.

    https://docs.pytorch.org/docs/stable/generated/torch.swapdims.html
    """
    return transpose(input, dim0, dim1)


def moveaxis(input: Tensor, source: int | Shape, destination: int | Shape) -> Tensor:
    """y = input with dimensions `source` moved to `destination`: `movedim` under NumPy's name.

    https://docs.pytorch.org/docs/stable/generated/torch.moveaxis.html
    """
    return movedim(input, source, destination)


def adjoint(input: Tensor) -> Tensor:
    """y = input with its last two dimensions swapped (numbers here are real).

    https://docs.pytorch.org/docs/stable/generated/torch.adjoint.html
    """
    if input._array.ndim < 2:
        raise ShapeError(f"adjoint: expected at least 2 dimensions, got {input._array.shape}.")
    return transpose(input, -2, -1)


def _h(input: Tensor) -> Tensor:
    """The transpose of a matrix; numbers here are real."""
    if input._array.ndim not in (0, 2):
        raise ShapeError(f"H: expected a matrix, got shape {input._array.shape}; use mH.")
    return adjoint(input) if input._array.ndim else input


H, mH = property(_h), property(adjoint)


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """y = input[..., index, ...]: the slice at `index` of dimension `dim`, a view without it.

    https://docs.pytorch.org/docs/stable/generated/torch.select.html
    """
    shape = input._array.shape
    if not shape:
        raise IndexError("select: a 0-d tensor has no dimension to select from.")
    axis, place = axis_of(dim, len(shape), "select"), int(index)
    if not -shape[axis] <= place < shape[axis]:
        raise IndexError(
            f"select: index {place} is out of range for dimension {dim} of size {shape[axis]}."
        )
    return _index(input, (slice(None),) * axis + (place,))


@op(view=True)
def _windows(input: Array, dimension: int, size: int, step: int) -> Array:
    """y = the windows input[i * step : i * step + size] along a dimension, each a last dimension"""
    axis, n = dimension % input.ndim, input.shape[dimension]
    if size < 0 or step <= 0 or size > n:
        raise ShapeError(
            f"unfold: windows of size {size} and step {step} do not fit in dimension {dimension} "
            f"of size {n}; 0 <= size <= {n} and step > 0 are needed."
        )
    shape = (*input.shape[:axis], (n - size) // step + 1, *input.shape[axis + 1 :], size)
    strides = list(input.strides)
    strides[axis] *= step
    return xp(input).lib.stride_tricks.as_strided(
        input, shape=shape, strides=(*strides, input.strides[axis])
    )


@_windows.vjp_all
def _windows_rule(g: Tensor, input_shape: Shape, dimension: int, size: int, step: int) -> list:
    axis = dimension % len(input_shape)
    starts = xp(g._array).arange(g._array.shape[axis]) * step
    places = starts[:, None] + xp(g._array).arange(size)
    windows = movedim(g, -1, axis + 1)
    return [_unindex(windows, (slice(None),) * axis + (places,), input_shape)]


def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """y[..., i, ..., j] = input[..., i * step + j, ...]: (..., n, ...) -> (..., m, ..., size).

    A view. (`nn.functional.unfold` is another function: patches of images.)
    https://docs.pytorch.org/docs/stable/generated/torch.Tensor.unfold.html
    """
    axis = axis_of(dimension, input._array.ndim, "unfold")
    if input._array.ndim:
        return _windows(input, axis, size, step)
    return _windows(reshape(input, (1,)), 0, size, step)[0]


def sum_to_size(input: Tensor, *size: int) -> Tensor:
    """y = input summed over what broadcasting `size` to its shape would repeat.

    https://docs.pytorch.org/docs/stable/generated/torch.Tensor.sum_to_size.html
    """
    have, want = input._array.shape, shape_of(size)
    lead = len(have) - len(want)
    pairs = zip(want, have[max(lead, 0) :], strict=False)
    if lead < 0 or any(n not in (1, m) for n, m in pairs):
        raise ShapeError(f"sum_to_size: shape {have} is not {want} repeated.")
    if not want:
        return input.sum()
    dims = [d for d, n in enumerate(have) if d < lead or (want[d - lead] == 1 and n != 1)]
    summed = input.sum(tuple(dims), keepdim=True) if dims else input
    return reshape(summed, want) if lead else summed


# ---------------------------------------------------------------------------- repeating, turning


def tile(input: Tensor, dims: int | Shape, *more: int) -> Tensor:
    """y = input repeated dims[d] times along dimension d; missing numbers are 1: (2, 3) or 2, 3.

    https://docs.pytorch.org/docs/stable/generated/torch.tile.html
    """
    times = shape_of((dims, *more))
    return input.repeat(*(1,) * (input._array.ndim - len(times)), *times)


def repeat_interleave(
    input: Tensor,
    repeats: int | Tensor | None = None,
    dim: int | None = None,
    *,
    output_size: int | None = None,
) -> Tensor:
    """y = each slice along dim repeated (each element if dim is None), as often as `repeats` says.

    repeat_interleave(repeats) gives each position i repeats[i] times. A tensor of repeats on a GPU
    is waited for, since the shape of y depends on it; not so with output_size, the size of y there.
    https://docs.pytorch.org/docs/stable/generated/torch.repeat_interleave.html
    """
    if repeats is None:
        return _repeated(input._array, input._array.shape[0], input, output_size)
    if dim is None:
        input, dim = ravel(input), 0
    axis = axis_of(dim, input._array.ndim, "repeat_interleave")
    if not input._array.ndim:
        input = reshape(input, (1,))
    size = input._array.shape[axis]
    if not isinstance(repeats, (int, Tensor)):
        repeats = wrap(xp(input._array).asarray(repeats))
    if isinstance(repeats, Tensor):
        if repeats._array.ndim > 1 or repeats._array.size not in (1, size):
            raise ShapeError(
                f"repeat_interleave: repeats of shape {repeats._array.shape} do not fit dimension "
                f"{dim} of size {size}; expected one number or {size}."
            )
        repeats = expand(ravel(repeats), (size,))
    return index_select(input, axis, _repeated(input._array, size, repeats, output_size))


def _repeated(like: Array, size: int, repeats: int | Tensor, total: int | None) -> Tensor:
    """0 .. size - 1, each i repeats[i] times: `total` positions, if that is known."""
    if isinstance(repeats, Tensor):
        like = repeats._array
        if like.dtype.kind not in "iu":
            raise DTypeError(f"repeat_interleave: repeats must be integers, got {like.dtype}.")
        if total is not None and not values_are_checked(like):
            return wrap(xp(like).searchsorted(like.cumsum(), xp(like).arange(total), side="right"))
        counts = like.tolist()
    else:
        counts = [repeats]
    if min(counts, default=0) < 0:
        raise ValueError("repeat_interleave: repeats must not be negative.")
    positions = xp(like).repeat(xp(like).arange(size), counts)
    if total not in (None, positions.size):
        raise ShapeError(
            f"repeat_interleave: output_size is {total}, but there are {positions.size} slices."
        )
    return wrap(positions)


def fliplr(input: Tensor) -> Tensor:
    """y = input with its columns (dimension 1) in reverse order, as a copy.

    https://docs.pytorch.org/docs/stable/generated/torch.fliplr.html
    """
    return flip(input, (1,))


def flipud(input: Tensor) -> Tensor:
    """y = input with its rows (dimension 0) in reverse order, as a copy.

    https://docs.pytorch.org/docs/stable/generated/torch.flipud.html
    """
    if not input._array.ndim:
        raise ShapeError("flipud: a 0-d tensor has no rows.")
    return flip(input, (0,))


def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """y = input turned by k quarter turns in the plane of two dimensions, first towards second.

    https://docs.pytorch.org/docs/stable/generated/torch.rot90.html
    """
    a, *b = (axis_of(d, input._array.ndim, "rot90") for d in dims)
    if len(b) != 1 or a == b[0]:
        raise ShapeError(f"rot90: expected two different dimensions, got {tuple(dims)}.")
    (b,) = b
    if k % 4 in (0, 2):
        return clone(input) if k % 4 == 0 else flip(input, (a, b))
    return flip(transpose(input, a, b), (a if k % 4 == 1 else b,))


# ------------------------------------------------------------------------------------ diagonals


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """y[..., i, i + offset] = input[..., i], else 0: the last dimension becomes a diagonal.

    https://docs.pytorch.org/docs/stable/generated/torch.diag_embed.html
    """
    *batch, n = input._array.shape
    ndim = len(batch) + 2
    a, b = (axis_of(d, ndim, "diag_embed") for d in (dim1, dim2))
    if a == b:
        raise ShapeError(f"diag_embed: dim1 {dim1} and dim2 {dim2} are the same dimension.")
    rest = iter(batch)
    side = n + abs(offset)
    shape = tuple(side if d in (a, b) else next(rest) for d in range(ndim))
    return _on_diagonal(input, shape, offset, a, b)


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """y = the matrix with the vector `input` as a diagonal, or a diagonal of the matrix `input`.

    https://docs.pytorch.org/docs/stable/generated/torch.diag.html
    """
    if input._array.ndim == 1:
        return diag_embed(input, diagonal)
    if input._array.ndim != 2:
        raise ShapeError(f"diag: expected a vector or a matrix, got shape {input._array.shape}.")
    return clone(_shape.diagonal(input, diagonal))


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """y = the matrix with all elements of input on a diagonal.

    https://docs.pytorch.org/docs/stable/generated/torch.diagflat.html
    """
    return diag_embed(ravel(input), offset)
