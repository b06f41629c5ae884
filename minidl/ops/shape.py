"""Ops that move elements without computing: most are views, which share their input's memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

from .. import dtypes
from ..device import Array, Arrays, xp
from ..errors import ShapeError
from ..makers import op, tensors_of
from ..promotion import cast, need_tensors
from ..tape import Tensor
from ..views import in_rows, is_shared, memory_order

__all__ = """
    reshape view permute transpose expand squeeze unsqueeze narrow diagonal flatten unflatten
    movedim t broadcast_tensors broadcast_shapes split chunk unbind cat stack flip roll tril triu
    repeat
""".split()
METHODS = """
    transpose squeeze unsqueeze narrow diagonal flatten movedim t split chunk unbind roll tril
    triu repeat
""".split()  # also methods of Tensor
IN_PLACE = ["tril", "triu"]  # also methods that write into their tensor: name_


Dim = int | tuple[int, ...] | None
Shape = tuple[int, ...]


def axis_of(dim: int, ndim: int, name: str) -> int:
    """`dim` counted from the front. Raises IndexError when there is no such dimension."""
    bound = max(ndim, 1)
    if not isinstance(dim, int):
        raise TypeError(f"{name}: a dimension must be an int, got {dim!r}.")
    if not -bound <= dim < bound:
        raise IndexError(
            f"{name}: dimension {dim} is out of range for a tensor with {ndim} dimensions "
            f"(expected {-bound} to {bound - 1})."
        )
    return dim % bound


def axes_of(dim: Dim, ndim: int, name: str) -> tuple[int, ...]:
    """The reduced dimensions, counted from the front; all of them for None and ()."""
    if dim is None or dim == () or dim == []:
        return tuple(range(ndim))
    axes = tuple(axis_of(d, ndim, name) for d in (dim if isinstance(dim, (tuple, list)) else [dim]))
    if len(set(axes)) < len(axes):
        raise ShapeError(f"{name}: dimension repeated in dim={dim}.")
    return axes if ndim else ()


def shape_of(sizes: tuple) -> Shape:
    """`(2, 3)` from the arguments of view(2, 3) as well as view((2, 3))."""
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = tuple(sizes[0])
    return tuple(int(n) for n in sizes)


# ------------------------------------------------------------------------------------------ views


def _inferred(shape: Shape, size: int, name: str, have: Shape) -> Shape:
    """`shape` with its one -1 replaced by what is left."""
    known = math.prod(n for n in shape if n != -1)
    if shape.count(-1) == 1 and known and size % known == 0:
        shape = tuple(size // known if n == -1 else n for n in shape)
    if math.prod(shape) != size or -1 in shape:
        raise ShapeError(f"{name}: a tensor of shape {have} ({size} elements) cannot be {shape}.")
    return shape


@op(view=True)
def _reshape(input: Array, shape: Shape) -> Array:
    """y = the same elements in row-major order in another shape; a view where that is possible"""
    if not isinstance(shape, (tuple, list)):
        raise TypeError(f"reshape: the shape must be a tuple of ints, got {shape!r}.")
    return input.reshape(_inferred(shape, input.size, "reshape", input.shape))


@op(view=True)
def _view(input: Array, shape: Shape) -> Array:
    """y = the same memory in another shape; raises where that needs a copy"""
    out = input.reshape(_inferred(shape, input.size, "view", input.shape))
    if input.size and not xp(input).may_share_memory(out, input):
        raise ShapeError(
            f"view: the memory of this tensor (shape {input.shape}, strides {input.strides} bytes) "
            f"cannot be read as {shape}; use reshape, which copies. (Kernels lay images "
            "channels-last; view moves them, but not while another tensor or array shares them.)"
        )
    return out


for _same_elements in (_reshape, _view):
    _same_elements.vjp(input=lambda g, input_shape: _reshape(g, input_shape))


@op
def _laid(input: Array, order: Shape, back: Shape) -> Array:
    """y = input, with its dimensions in memory in this order, outermost first; g is laid `back`"""
    return xp(input).ascontiguousarray(input.transpose(order)).transpose(_inverse(order))


_laid.vjp(input=lambda g, order, back: _laid(g, back, order))


def _must_copy(input: Tensor, shape: Shape) -> bool:
    """Whether channels-last images (see kernels/cpu/layout.py) are to be in another shape, and not
    only their pixels."""
    if not isinstance(input, Tensor) or input._array.flags.c_contiguous or input._array.ndim < 3:
        return False
    array = input._array
    last = array.transpose(0, *range(2, array.ndim), 1)
    return last.flags.c_contiguous and tuple(shape[:2]) != array.shape[:2]


def reshape(input: Tensor, shape: Shape) -> Tensor:
    """y = the same elements in row-major order in another shape; a view where that is possible.

    https://docs.pytorch.org/docs/stable/generated/torch.reshape.html
    """
    if not _must_copy(input, shape):
        return _reshape(input, shape)
    if input._view is None and not is_shared(input):
        return view(input, shape)
    order = memory_order(input._array)
    return _reshape(_laid(input, tuple(range(len(order))), order), shape)


def view(input: Tensor, shape: Shape) -> Tensor:
    """y = the same memory in another shape; raises ShapeError where that needs a copy.

    What a convolution, pooling or normalisation gave lies channels-last, which is nobody's choice:
    it is first moved into new memory in row-major order, unless others lie on the old one.
    https://docs.pytorch.org/docs/stable/generated/torch.Tensor.view.html
    """
    if not _must_copy(input, shape) or input._view is not None or is_shared(input):
        return _view(input, shape)
    out = _view(in_rows(input), shape)
    out._view.root, out._view.root_node = input, input._node
    return out


@op(view=True)
def permute(input: Array, dims: Shape) -> Array:
    """y = input with its dimensions in the order `dims`"""
    order = tuple(axis_of(d, input.ndim, "permute") for d in dims)
    if sorted(order) != list(range(input.ndim)):
        raise ShapeError(
            f"permute: dims {tuple(dims)} do not name each of {input.ndim} dimensions once."
        )
    return input.transpose(order)


permute.vjp(input=lambda g, dims: permute(g, _inverse(dims)))


def _inverse(dims: Shape) -> Shape:
    order = [d % len(dims) for d in dims]
    return tuple(order.index(i) for i in range(len(order)))


@op(view=True)
def transpose(input: Array, dim0: int, dim1: int) -> Array:
    """y = input with two dimensions swapped"""
    a, b = (axis_of(d, input.ndim, "transpose") for d in (dim0, dim1))
    return input.swapaxes(a, b) if input.ndim else input[...]


transpose.vjp(input=lambda g, dim0, dim1: transpose(g, dim0, dim1))


@op(view=True)
def expand(input: Array, shape: Shape) -> Array:
    """y = input repeated along dimensions of size 1 and new leading ones, without a copy"""
    lead = len(shape) - input.ndim
    sizes = tuple(
        input.shape[i - lead] if n == -1 and i >= lead else n for i, n in enumerate(shape)
    )
    fits = lead >= 0 and all(
        have in (1, want) for have, want in zip(input.shape, sizes[lead:], strict=True)
    )
    if not fits or -1 in sizes:
        raise ShapeError(
            f"expand: a tensor of shape {input.shape} cannot become {tuple(shape)}; only "
            "dimensions of size 1, and new ones in front, can be repeated."
        )
    return xp(input).broadcast_to(input, sizes)


expand.vjp(input=lambda g: g)  # the tape sums g over what was repeated


@op(view=True)
def squeeze(input: Array, dim: Dim = None) -> Array:
    """y = input without its dimensions of size 1 (or those of them that are in dim)"""
    axes = axes_of(dim, input.ndim, "squeeze") if dim != () else ()
    return input.squeeze(tuple(a for a in axes if input.shape[a] == 1))


squeeze.vjp(input=lambda g, input_shape: reshape(g, input_shape))


@op(view=True)
def unsqueeze(input: Array, dim: int) -> Array:
    """y = input with a new dimension of size 1 at dim"""
    return xp(input).expand_dims(input, axis_of(dim, input.ndim + 1, "unsqueeze"))


unsqueeze.vjp(input=lambda g, input_shape: reshape(g, input_shape))


@op(view=True)
def narrow(input: Array, dim: int, start: int, length: int) -> Array:
    """y = input[start : start + length] along dim"""
    axis = axis_of(dim, input.ndim, "narrow")
    size = input.shape[axis]
    begin = start + size if start < 0 else start
    if not (0 <= begin <= size and 0 <= length <= size - begin):
        raise IndexError(
            f"narrow: {length} elements from {start} do not fit in dimension {dim} of size {size}."
        )
    return input[(slice(None),) * axis + (slice(begin, begin + length),)]


narrow.vjp(input=lambda g, input_shape, dim, start: _widened(g, input_shape, dim, start))


def _widened(g: Tensor, shape: Shape, dim: int, start: int) -> Tensor:
    """g between zeros, in `shape`: the derivative of narrow."""
    axis = dim % len(shape)
    begin = start % shape[axis] if start < 0 else start
    after = shape[axis] - begin - g._array.shape[axis]
    pairs = [(0, 0)] * len(shape)
    pairs[axis] = (begin, after)
    return pad_pairs(g, tuple(pairs))


@op(view=True)
def diagonal(input: Array, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Array:
    """y = the elements [i, i + offset] of dimensions dim1 and dim2, as a last dimension"""
    a, b = (axis_of(d, input.ndim, "diagonal") for d in (dim1, dim2))
    out = xp(input).diagonal(input, offset, a, b)
    if hasattr(out.flags, "writeable"):
        out.flags.writeable = input.flags.writeable
    return out


diagonal.vjp(
    input=lambda g, input_shape, offset, dim1, dim2: _on_diagonal(
        g, shape=input_shape, offset=offset, dim1=dim1, dim2=dim2
    )
)


@op
def _on_diagonal(input: Array, shape: Shape, offset: int, dim1: int, dim2: int) -> Array:
    """y = zeros of `shape` with input on a diagonal: the derivative of diagonal"""
    rows = xp(input).arange(input.shape[-1])
    out = xp(input).zeros(shape, input.dtype)
    moved = xp(input).moveaxis(out, (dim1, dim2), (-2, -1))
    moved[..., rows + max(-offset, 0), rows + max(offset, 0)] = input
    return out


_on_diagonal.vjp(
    input=lambda g, offset, dim1, dim2: diagonal(g, offset=offset, dim1=dim1, dim2=dim2)
)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """y = input with dimensions start_dim .. end_dim made one.

    https://docs.pytorch.org/docs/stable/generated/torch.flatten.html
    """
    need_tensors("flatten", input=input)
    shape = input._array.shape
    if not shape:
        return reshape(input, (1,))
    first, last = (axis_of(d, len(shape), "flatten") for d in (start_dim, end_dim))
    if first > last:
        raise ShapeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}.")
    joined = math.prod(shape[first : last + 1])
    return reshape(input, (*shape[:first], joined, *shape[last + 1 :]))


def unflatten(input: Tensor, dim: int, sizes: Shape) -> Tensor:
    """y = input with dimension `dim` split into `sizes` (one of them may be -1)."""
    shape = input._array.shape
    axis = axis_of(dim, len(shape), "unflatten")
    sizes = _inferred(tuple(sizes), shape[axis], "unflatten", shape)
    return reshape(input, (*shape[:axis], *sizes, *shape[axis + 1 :]))


def movedim(input: Tensor, source: int | Shape, destination: int | Shape) -> Tensor:
    """y = input with dimensions `source` moved to positions `destination`."""
    ndim = input._array.ndim
    pairs = [x if isinstance(x, (tuple, list)) else (x,) for x in (source, destination)]
    start, end = ([axis_of(d, ndim, "movedim") for d in dims] for dims in pairs)
    if len(start) != len(end) or len(set(start)) < len(start) or len(set(end)) < len(end):
        raise ShapeError(f"movedim: source {source} and destination {destination} do not pair up.")
    rest = iter(d for d in range(ndim) if d not in start)
    return permute(
        input, tuple(start[end.index(i)] if i in end else next(rest) for i in range(ndim))
    )


def t(input: Tensor) -> Tensor:
    """y = the transpose of a matrix; vectors and numbers stay."""
    if input._array.ndim > 2:
        raise ShapeError(f"t: expected at most 2 dimensions, got shape {input._array.shape}.")
    return transpose(input, 0, 1) if input._array.ndim == 2 else input


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """All tensors expanded to their common shape."""
    shape = broadcast_shapes(*[x._array.shape for x in tensors])
    return tuple(expand(x, shape) for x in tensors)


def broadcast_shapes(*shapes: Shape) -> Shape:
    """The shape that tensors of these shapes broadcast to. Raises ShapeError if there is none."""
    length = max((len(s) for s in shapes), default=0)
    padded = [(1,) * (length - len(s)) + tuple(s) for s in shapes]
    sizes = [{n for n in column if n != 1} for column in zip(*padded, strict=True)]
    if any(len(s) > 1 for s in sizes):
        raise ShapeError(f"shapes {', '.join(map(str, shapes))} do not broadcast.")
    return tuple(s.pop() if s else 1 for s in sizes)


def split(tensor: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple:
    """Views of `tensor` along dim, each of the given size (the last may be smaller).

    https://docs.pytorch.org/docs/stable/generated/torch.split.html
    """
    axis = axis_of(dim, tensor._array.ndim, "split")
    size = tensor._array.shape[axis]
    sections = split_size_or_sections
    if isinstance(sections, int):
        if sections <= 0:
            raise ShapeError(f"split: the size must be positive, got {sections}.")
        sections = [min(sections, size - i) for i in range(0, size, sections)] or [0]
    if sum(sections) != size:
        raise ShapeError(f"split: sizes {list(sections)} do not add up to dimension size {size}.")
    starts = [sum(sections[:i]) for i in range(len(sections))]
    return tuple(narrow(tensor, axis, a, n) for a, n in zip(starts, sections, strict=True))


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple:
    """At most `chunks` views of equal size (the last may be smaller) along dim."""
    if chunks <= 0:
        raise ShapeError(f"chunk: expected a positive number of chunks, got {chunks}.")
    size = input._array.shape[axis_of(dim, input._array.ndim, "chunk")]
    return split(input, max(-(-size // chunks), 1), dim)


def unbind(input: Tensor, dim: int = 0) -> tuple:
    """The slices of input along dim, without that dimension."""
    axis = axis_of(dim, input._array.ndim, "unbind")
    return tuple(
        squeeze(narrow(input, axis, i, 1), (axis,)) for i in range(input._array.shape[axis])
    )


# ----------------------------------------------------------------------------------------- copies


@op
def _cat(tensors: Arrays, dim: int) -> Array:
    """y = the tensors one after another along dim"""
    first = tensors[0]
    axis = axis_of(dim, first.ndim, "cat")
    for i, a in enumerate(tensors):
        if a.ndim != first.ndim or any(
            d != axis and n != first.shape[d] for d, n in enumerate(a.shape)
        ):
            raise ShapeError(
                f"cat: tensors must have the same shape except in dimension {dim}; tensor 0 has "
                f"shape {first.shape}, tensor {i} has shape {a.shape}."
            )
    return xp(first).concatenate(tensors, axis)


@_cat.vjp_all
def _cat_rule(g: Tensor, needs: tuple, tensors_shape: list[Shape], dim: int) -> list:
    sizes = [shape[dim] for shape in tensors_shape]
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [
        narrow(g, dim, start, n) if need else None
        for start, n, need in zip(starts, sizes, needs, strict=True)
    ]


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """y = the tensors one after another along dim, in their common type.

    https://docs.pytorch.org/docs/stable/generated/torch.cat.html
    """
    tensors = _same_type(tensors)
    filled = [x for x in tensors if x._array.shape != (0,)]
    return _cat(filled or tensors[:1], dim)  # an empty vector stands for "nothing yet"


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """y = the tensors, all of one shape, along a new dimension dim.

    https://docs.pytorch.org/docs/stable/generated/torch.stack.html
    """
    tensors = _same_type(tensors)
    shapes = {x._array.shape for x in tensors}
    if len(shapes) > 1:
        raise ShapeError(f"stack: the tensors must have one shape, got {sorted(shapes)}.")
    return _cat([unsqueeze(x, dim) for x in tensors], dim)


def _same_type(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    tensors = tensors_of(_cat.op, tensors)
    kinds = {x._array.dtype for x in tensors}
    if len(kinds) < 2:
        return tensors
    common = reduce(dtypes.promote, kinds)
    return [x if x._array.dtype == common else cast(x, common) for x in tensors]


@op
def _flip(input: Array, dims: Shape) -> Array:
    """y = input with the order along dims reversed"""
    axes = axes_of(dims, input.ndim, "flip") if len(dims) else ()
    return xp(input).flip(input, axes).copy()


_flip.vjp(input=lambda g, dims: _flip(g, dims))


def flip(input: Tensor, dims: int | Shape) -> Tensor:
    """y = input with the order along dims reversed (a copy).

    https://docs.pytorch.org/docs/stable/generated/torch.flip.html
    """
    return _flip(input, (dims,) if isinstance(dims, int) else tuple(dims))


@op
def roll(input: Array, shifts: int | Shape, dims: int | Shape | None = None) -> Array:
    """y = input moved by `shifts` along dims, what leaves one end comes back at the other"""
    if dims is not None:
        dims = axes_of(dims, input.ndim, "roll")
        shifts = shifts if isinstance(shifts, int) else tuple(shifts)
    return xp(input).roll(input, shifts, dims)


roll.vjp(
    input=lambda g, shifts, dims: roll(
        g, -shifts if isinstance(shifts, int) else tuple(-s for s in shifts), dims
    )
)


@op
def tril(input: Array, diagonal: int = 0) -> Array:
    """y = input on and below a diagonal of its last two dimensions, 0 above"""
    return _triangle(input, diagonal, "tril")


@op
def triu(input: Array, diagonal: int = 0) -> Array:
    """y = input on and above a diagonal of its last two dimensions, 0 below"""
    return _triangle(input, diagonal, "triu")


tril.vjp(input=lambda g, diagonal: tril(g, diagonal))
triu.vjp(input=lambda g, diagonal: triu(g, diagonal))


def _triangle(input: Array, diagonal: int, name: str) -> Array:
    if input.ndim < 2:
        raise ShapeError(f"{name}: expected at least 2 dimensions, got shape {input.shape}.")
    return getattr(xp(input), name)(input, diagonal)


@op
def _pad(input: Array, pairs: tuple[tuple[int, int], ...], value: float) -> Array:
    """y = input with pairs[d] = (before, after) elements of `value` added along dimension d"""
    sizes = tuple(a + n + b for n, (a, b) in zip(input.shape, pairs, strict=True))
    out = xp(input).full_like(input, value, shape=sizes)  # in the memory order of input
    out[tuple(slice(a, a + n) for n, (a, _) in zip(input.shape, pairs, strict=True))] = input
    return out


_pad.vjp(input=lambda g, pairs, input_shape: crop(g, tuple(a for a, _ in pairs), input_shape))


def pad_pairs(input: Tensor, pairs: tuple[tuple[int, int], ...], value: float = 0.0) -> Tensor:
    """`_pad` with zeros by default."""
    return _pad(input, pairs, value)


def crop(input: Tensor, starts: Shape, sizes: Shape) -> Tensor:
    """The box of `sizes` that begins at `starts`."""
    for d, (start, n) in enumerate(zip(starts, sizes, strict=True)):
        if n != input._array.shape[d]:
            input = narrow(input, d, start, n)
    return input


def repeat(input: Tensor, *repeats: int) -> Tensor:
    """y = input tiled `repeats[d]` times along dimension d; extra repeats are new leading dims.

    https://docs.pytorch.org/docs/stable/generated/torch.Tensor.repeat.html
    """
    times = shape_of(repeats)
    lead = len(times) - input._array.ndim
    if lead < 0:
        raise ShapeError(
            f"repeat: {len(times)} numbers for a tensor of shape {input._array.shape}."
        )
    shape = (1,) * lead + input._array.shape
    doubled = reshape(input, tuple(n for size in shape for n in (1, size)))
    pairs = zip(times, shape, strict=True)
    spread = expand(doubled, tuple(n for pair in pairs for n in pair))
    return reshape(spread, tuple(a * b for a, b in zip(times, shape, strict=True))).clone()
