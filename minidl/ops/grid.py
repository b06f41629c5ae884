"""Images read at any place: grid_sample, and the grids of affine maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from itertools import product
from operator import mul

from ..autocasting import widest
from ..device import Array, xp
from ..errors import ShapeError
from ..promotion import need_tensors
from ..tape import Tensor, wrap
from .compare import where
from .elementwise import abs, clamp, sign
from .index import gather
from .linalg import check_same_type, matmul
from .shape import expand, reshape, transpose

__all__ = ["affine_grid", "grid_sample"]

PADDINGS = ("zeros", "border", "reflection")


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """y[n, i, j] = theta[n] @ (x_j, y_i, 1): the places that an affine map reads from.

    theta (N, 2, 3), size (N, C, H, W) -> (N, H, W, 2); theta (N, 3, 4), size (N, C, D, H, W) ->
    (N, D, H, W, 3). Places lie in [-1, 1]; align_corners: these are the centres of the outermost
    pixels, else their outer edges.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.affine_grid.html
    """
    need_tensors("affine_grid", theta=theta)
    n, _, *spatial = size
    dims = len(spatial)
    if dims not in (2, 3) or theta._array.shape != (n, dims, dims + 1):
        raise ShapeError(
            f"affine_grid: expected theta (N, 2, 3) with size (N, C, H, W), or (N, 3, 4) with "
            f"(N, C, D, H, W); got {theta._array.shape} and {tuple(size)}."
        )
    m, kind = xp(theta._array), theta._array.dtype
    lines = []
    for length in spatial:
        line = m.linspace(-1, 1, length) if length > 1 else m.zeros(1)
        lines.append(line if align_corners else line * ((length - 1) / length))
    places = [*reversed(m.meshgrid(*lines, indexing="ij")), m.ones(tuple(spatial))]
    base = m.stack([p.reshape(-1) for p in places], 1).astype(kind)  # (H W, 3): x, y, 1
    return reshape(matmul(wrap(base), transpose(theta, 1, 2)), (n, *spatial, dims))


@widest
def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """y[n, :, i, j] = input[n] at the place (x, y) = grid[n, i, j].

    input (N, C, H, W), grid (N, OH, OW, 2) -> (N, C, OH, OW); or (N, C, D, H, W) and
    (N, OD, OH, OW, 3). x = -1 is the left and x = 1 the right edge (align_corners: the centre of
    the outermost pixel). mode: "bilinear", "nearest" or "bicubic" (images only). padding_mode says
    what lies outside: "zeros", the "border", or its "reflection".
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.grid_sample.html
    """
    need_tensors("grid_sample", input=input, grid=grid)
    check_same_type("grid_sample", input=input._array, grid=grid._array)
    n, _, *sizes = input._array.shape
    shape, dims = grid._array.shape, len(sizes)
    if dims not in (2, 3) or len(shape) != dims + 2 or (shape[0], shape[-1]) != (n, dims):
        raise ShapeError(
            "grid_sample: expected input (N, C, H, W) and grid (N, OH, OW, 2), or (N, C, D, H, W) "
            f"and (N, OD, OH, OW, 3); got {input._array.shape} and {shape}."
        )
    if mode not in ("bilinear", "nearest", "bicubic") or (mode == "bicubic" and dims == 3):
        raise ValueError(f"grid_sample: mode {mode!r} is not for inputs of {dims + 2} dimensions.")
    if padding_mode not in PADDINGS:
        raise ValueError(f"grid_sample: padding_mode {padding_mode!r} is none of {PADDINGS}.")
    corners = bool(align_corners)
    places = [grid[..., dims - 1 - d] for d in range(dims)]  # y before x, as sizes are
    places = [_in_pixels(p, size, corners) for p, size in zip(places, sizes, strict=True)]
    if mode == "bicubic":
        return _bicubic(input, places, padding_mode, corners)
    sized = list(zip(places, sizes, strict=True))
    places = [_bounded(p, size, padding_mode, corners) for p, size in sized]
    m = xp(grid._array)
    if mode == "nearest":
        still = sign(places[0]) - sign(places[0]).detach()  # 0: the grid's gradient is 0, not None
        out = _read(input, [m.rint(p._array) for p in places], padding_mode)
        return out + still.unsqueeze(1)
    lows = [m.floor(p._array) for p in places]
    parts = [p - wrap(low) for p, low in zip(places, lows, strict=True)]
    shares = [(1 - part, part) for part in parts]
    out = None
    for corner in product((0, 1), repeat=dims):
        weight = reduce(mul, [share[k] for share, k in zip(shares, corner, strict=True)])
        at = [low + k for low, k in zip(lows, corner, strict=True)]
        term = _read(input, at, padding_mode) * weight.unsqueeze(1)
        out = term if out is None else out + term
    return out


def _in_pixels(place: Tensor, size: int, corners: bool) -> Tensor:
    return (place + 1) * ((size - 1) / 2) if corners else ((place + 1) * float(size) - 1) / 2


def _bounded(place: Tensor, size: int, padding_mode: str, corners: bool) -> Tensor:
    """Places outside the image moved to where their values come from."""
    if padding_mode == "zeros":
        return place
    if padding_mode == "reflection":
        low, span = (0.0, size - 1.0) if corners else (-0.5, float(size))
        if span == 0:
            return place * 0.0
        far = abs(place - low)
        m = xp(far._array)
        turns = m.floor(far._array / span)
        rest = far - wrap(turns * span)
        place = where(wrap(turns % 2 == 0), rest, span - rest) + low
    return clamp(place, 0.0, size - 1.0)


def _read(input: Tensor, at: list[Array], padding_mode: str) -> Tensor:
    """The pixels with these whole numbers; outside 0 (zeros) or the nearest one: (N, C, OH, OW)"""
    n, c, *sizes = input._array.shape
    m = xp(input._array)
    flat, inside = 0, True
    for position, size in zip(at, sizes, strict=True):
        inside = inside & (position >= 0) & (position < size)
        flat = flat * size + m.clip(m.nan_to_num(position), 0, size - 1).astype("int64")
    pixels = reshape(input, (n, c, math.prod(sizes)))
    index = expand(wrap(flat.reshape(n, 1, -1)), (n, c, flat[0].size))
    out = reshape(gather(pixels, 2, index), (n, c, *at[0].shape[1:]))
    if padding_mode != "zeros":
        return out
    return out * wrap(inside[:, None].astype(input._array.dtype))


def _bicubic(input: Tensor, places: list[Tensor], padding_mode: str, corners: bool) -> Tensor:
    """Four by four pixels, weighted by Keys' cubic with a = -0.75."""
    sizes = input._array.shape[2:]
    m = xp(input._array)
    lows = [m.floor(p._array) for p in places]
    parts = [p - wrap(low) for p, low in zip(places, lows, strict=True)]
    shares = [_cubic_shares(part) for part in parts]
    out = None
    for corner in product(range(4), repeat=2):
        weight = shares[0][corner[0]] * shares[1][corner[1]]
        at = [
            _bounded(wrap(low + (k - 1)), size, padding_mode, corners)._array
            for low, k, size in zip(lows, corner, sizes, strict=True)
        ]
        term = _read(input, at, padding_mode) * weight.unsqueeze(1)
        out = term if out is None else out + term
    return out


def _cubic_shares(t: Tensor, a: float = -0.75) -> list[Tensor]:
    """The weights of the pixels at -1, 0, 1, 2 for a place t in [0, 1)."""

    def near(x: Tensor) -> Tensor:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Tensor) -> Tensor:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]
