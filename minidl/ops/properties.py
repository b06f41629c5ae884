"""Questions about a tensor, and small methods: is_tensor, numel, x.where(), x.fill_diagonal_()."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .. import dtypes
from ..device import xp
from ..errors import DTypeError, ShapeError
from ..tape import Tensor, wrap
from ..views import edge_of, write
from . import compare
from .shape import diagonal, narrow
from .shape import unflatten as unflatten  # a method, too

__all__ = """
    is_tensor numel is_floating_point is_complex is_signed is_nonzero is_same_size get_device
    unravel_index
""".split()
METHODS = """
    is_complex is_signed is_nonzero is_same_size get_device ndimension nbytes itemsize
    where fill_diagonal_ narrow_copy unflatten retains_grad byte char short
""".split()  # also methods of Tensor


def is_tensor(obj: object) -> bool:
    """Whether obj is a Tensor."""
    return isinstance(obj, Tensor)


def numel(input: Tensor) -> int:
    """Number of elements."""
    return input._array.size


def is_floating_point(input: Tensor) -> bool:
    """Whether its elements are floats."""
    return input._array.dtype.kind == "f"


def is_complex(input: Tensor) -> bool:
    """False: there are no complex numbers here."""
    return False


def is_signed(input: Tensor) -> bool:
    """Whether its type has negative numbers."""
    return input._array.dtype.kind in "if"


def is_nonzero(input: Tensor) -> bool:
    """Whether the one element of a tensor is not 0. Raises ShapeError for more or none.

    https://docs.pytorch.org/docs/stable/generated/torch.is_nonzero.html
    """
    if input._array.size != 1:
        raise ShapeError(f"is_nonzero: expected one element, got shape {input._array.shape}.")
    return bool(input._array.item())


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have one shape."""
    return input._array.shape == other._array.shape


def get_device(input: Tensor) -> int:
    """The number of its GPU, -1 on the CPU."""
    where = input.device
    return -1 if where.type == "cpu" else where.index or 0


def ndimension(input: Tensor) -> int:
    """Number of dimensions."""
    return input._array.ndim


def _nbytes(input: Tensor) -> int:
    """Bytes of all elements."""
    return input._array.nbytes


def _itemsize(input: Tensor) -> int:
    """Bytes of one element."""
    return input._array.itemsize


def _retains_grad(input: Tensor) -> bool:
    """Whether `retain_grad` was called on a computed tensor."""
    hooks = getattr(edge_of(input), "hooks", None) or {}
    return any(getattr(hook, "tensor", lambda: None)() is input for hook in hooks.values())


nbytes, itemsize, retains_grad = property(_nbytes), property(_itemsize), property(_retains_grad)


def unravel_index(indices: Tensor, shape: int | Sequence[int]) -> tuple[Tensor, ...]:
    """Positions in row-major order as one tensor of positions for each dimension of `shape`.

    https://docs.pytorch.org/docs/stable/generated/torch.unravel_index.html
    """
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    places = indices._array
    if places.dtype.kind not in "iu":
        raise DTypeError(f"unravel_index: indices must be integers, got {places.dtype}.")
    if places.size and not (int(places.min()) >= 0 and int(places.max()) < math.prod(sizes)):
        raise IndexError(f"unravel_index: an index lies outside of shape {sizes}.")
    return tuple(wrap(a) for a in xp(places).unravel_index(places, sizes))


def where(input: Tensor, condition: Tensor, other: Tensor | float) -> Tensor:
    """y = input where condition, else other: `minidl.where(condition, input, other)`."""
    return compare.where(condition, input, other)


def narrow_copy(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """`narrow`, as a copy."""
    return narrow(input, dim, start, length).clone()


def fill_diagonal_(input: Tensor, fill_value: float, wrap: bool = False) -> Tensor:
    """Overwrites x[i, i, ...] with a number; wrap=True goes on below in matrices higher than wide.

    https://docs.pytorch.org/docs/stable/generated/torch.Tensor.fill_diagonal_.html
    """
    shape = input._array.shape
    if len(shape) < 2 or (len(shape) > 2 and len(set(shape)) > 1):
        raise ShapeError(
            f"fill_diagonal_: expected a matrix, or more dimensions of one size, got {shape}."
        )
    places = xp(input._array).arange(min(shape))
    if len(shape) == 2:
        write(diagonal(input), ..., fill_value)
        step = shape[1] + 1
        for top in range(step, shape[0] if wrap else 0, step):
            write(diagonal(input[top:]), ..., fill_value)
    else:
        write(input, (places,) * len(shape), fill_value)
    return input


def byte(input: Tensor) -> Tensor:
    """In uint8."""
    return input.to(dtypes.uint8)


def char(input: Tensor) -> Tensor:
    """In int8."""
    return input.to(dtypes.int8)


def short(input: Tensor) -> Tensor:
    """In int16."""
    return input.to(dtypes.int16)
