"""Records of `minidl/ops/padding.py`, `resample.py`, `fold.py` and `grid.py`."""

import math

import numpy as np
from scipy import ndimage

from minidl import ops
from minidl.errors import ShapeError
from minidl.tape import named
from minidl.testing import strategies as d
from minidl.testing.records.convolution import some_size
from minidl.testing.records.draw import choice, samples
from minidl.testing.records.image import pair
from minidl.testing.records.record import OpRecord, case, zeros

# ---------------------------------------------------------------------------------------- padding


@samples
def pads(draw):
    mode = draw(choice("constant", "reflect", "replicate", "circular"))
    if mode == "constant":
        x = draw(d.arrays(d.shapes(1, empty=False)))
        count = draw(choice(*range(1, x.ndim + 1)))
    else:
        x = draw(d.arrays((*draw(choice((1,), (2, 1))), *[draw(choice(3, 4)) for _ in range(2)])))
        count = 2
    sizes = []
    for i in range(count):
        sizes += [draw(choice(0, 1, 2)), draw(choice(0, 1, -(x.shape[-1 - i] // 2)))]
    return (x, tuple(sizes), mode, draw(choice(0.0, 1.5)) if mode == "constant" else None)


def pad_reference(x, pad, mode="constant", value=None):
    names = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    sizes = [(0, 0)] * (x.ndim - len(pad) // 2)
    sizes += list(zip(pad[::2], pad[1::2], strict=True))[::-1]
    cut = tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(sizes, x.shape, strict=True))
    grown = [(max(a, 0), max(b, 0)) for a, b in sizes]
    if mode == "constant":
        return np.pad(x[cut], grown, constant_values=value or 0.0)
    if mode == "circular":
        return np.pad(x[cut], grown, mode="wrap")
    out = np.pad(x, grown, mode=names[mode])
    return out[tuple(slice(0, n + min(b, 0)) for (_, b), n in zip(sizes, out.shape, strict=True))]


# ------------------------------------------------------------------------------------ interpolation

OF_RANK = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}


@samples
def interpolations(draw):
    mode = draw(choice("nearest", "nearest-exact", "area", *OF_RANK))
    dims = OF_RANK.get(mode, draw(choice(1, 2)))
    size = [draw(choice(1, 2, 3, 4) if dims < 3 else choice(1, 2)) for _ in range(dims)]
    options = {"mode": mode}
    if draw(choice(False, True)):
        options["size"] = tuple(draw(choice(1, 2, 3, 5)) for _ in size)
    else:
        options["scale_factor"] = tuple(draw(choice(1.0, 1.5, 2.0)) for _ in size)
    if mode in OF_RANK:
        options["align_corners"] = draw(choice(False, True))
    if mode == "bilinear" and not options["align_corners"] and "size" in options:
        options["antialias"] = draw(choice(False, True))
    return (draw(d.arrays((1, 2, *size))),), options


def cubic(t):
    t = abs(t)
    if t <= 1:
        return 1.25 * t**3 - 2.25 * t**2 + 1
    return -0.75 * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0.0


def line_reference(line, n, factor, mode, align_corners, antialias):
    """One row in another size."""
    size = len(line)
    step = 1 / factor if factor else size / n
    if mode == "nearest":
        return [line[min(int(i * step), size - 1)] for i in range(n)]
    if mode == "nearest-exact":
        return [line[min(int((i + 0.5) * step), size - 1)] for i in range(n)]
    if mode == "area":
        ends = [(i * size // n, math.ceil((i + 1) * size / n)) for i in range(n)]
        return [line[a:b].mean() for a, b in ends]
    if antialias:
        reach = max(step, 1)
        shares = [
            [max(0, 1 - abs(j + 0.5 - (i + 0.5) * step) / reach) for j in range(size)]
            for i in range(n)
        ]
        return [np.dot(s, line) / sum(s) for s in shares]
    at = (np.arange(n) + 0.5) * step - 0.5
    if align_corners:
        at = np.linspace(0, size - 1, n) if n > 1 else np.zeros(1)
    if mode != "bicubic":
        return np.interp(at, np.arange(size), line)
    out = []
    for x in at:
        taps = range(math.floor(x) - 1, math.floor(x) + 3)
        out.append(sum(cubic(x - j) * line[min(max(j, 0), size - 1)] for j in taps))
    return out


def interpolate_reference(
    x, size=None, scale_factor=None, mode="nearest", align_corners=False, antialias=False
):
    for i in range(x.ndim - 2):
        factor = scale_factor[i] if scale_factor else None
        n = size[i] if size else math.floor(x.shape[2 + i] * factor)
        if mode == "area":
            factor = None
        rest = (n, factor, mode, align_corners, antialias)
        x = np.apply_along_axis(line_reference, 2 + i, x, *rest)
    return x


@samples
def upsamplings(draw):
    return draw(d.arrays((1, 2, draw(choice(1, 2, 3)), 2))), (draw(choice(2, 3)), 5)


def upsampled(mode, corners):
    return lambda x, size: interpolate_reference(x, size, mode=mode, align_corners=corners)


# ---------------------------------------------------------------------------------- pixels, patches


@samples
def shuffles(draw):
    r = draw(choice(1, 2, 3))
    return draw(d.arrays((*draw(choice((), (2,))), 2 * r * r, 2, draw(choice(1, 2))))), r


def shuffle_reference(x, r):
    *lead, c, h, w = x.shape
    out = np.zeros((*lead, c // (r * r), h * r, w * r))
    for i, j in np.ndindex(r, r):
        out[..., i::r, j::r] = x[..., i * r + j :: r * r, :, :]
    return out


@samples
def unshuffles(draw):
    r = draw(choice(1, 2, 3))
    return draw(d.arrays((*draw(choice((), (2,))), 2, 2 * r, r))), r


def unshuffle_reference(x, r):
    *lead, c, h, w = x.shape
    out = np.zeros((*lead, c * r * r, h // r, w // r))
    for i, j in np.ndindex(r, r):
        out[..., i * r + j :: r * r, :, :] = x[..., i::r, j::r]
    return out


@samples
def channel_shuffles(draw):
    groups, each = draw(choice(1, 2, 3)), draw(choice(1, 2))
    return draw(d.arrays((2, groups * each, *draw(choice((2,), (1, 2)))))), groups


def channel_shuffle_reference(x, groups):
    each = x.shape[1] // groups
    return x[:, [g * each + i for i in range(each) for g in range(groups)]]


@samples
def patchings(draw, add):
    kernel, stride, dilation = (
        pair(some_size(draw, 2, *values)) for values in ((1, 2, 3), (1, 2), (1, 1, 2))
    )
    size = tuple(
        q * (k - 1) + 1 + draw(choice(0, 1, 3)) for k, q in zip(kernel, dilation, strict=True)
    )
    shape = (draw(choice(1, 2)), 2, *size)
    if not add:
        return draw(d.arrays(shape)), kernel, stride, dilation
    shape = patches_reference(np.zeros(shape), kernel, stride, dilation).shape
    return draw(d.arrays(shape)), size, stride, dilation


def patches_reference(x, kernel, stride, dilation):
    out = [
        (n - q * (k - 1) - 1) // s + 1
        for n, k, s, q in zip(x.shape[2:], kernel, stride, dilation, strict=True)
    ]
    y = np.zeros((*x.shape[:2], *kernel, *out))
    for k, m, i, j in np.ndindex(*kernel, *out):
        row, column = i * stride[0] + k * dilation[0], j * stride[1] + m * dilation[1]
        y[:, :, k, m, i, j] = x[:, :, row, column]
    return y


def add_patches_reference(y, size, stride, dilation):
    x = np.zeros((*y.shape[:2], *size))
    for k, m, i, j in np.ndindex(*y.shape[2:]):
        row, column = i * stride[0] + k * dilation[0], j * stride[1] + m * dilation[1]
        x[:, :, row, column] += y[:, :, k, m, i, j]
    return x


@samples
def folds(draw):
    kernel, stride, padding = (
        pair(some_size(draw, 2, *values)) for values in ((1, 2, 3), (1, 2), (0, 1))
    )
    least = [max(k - 2 * p, 1) for k, p in zip(kernel, padding, strict=True)]
    size = tuple(n + draw(choice(0, 2)) for n in least)
    count = math.prod(
        (n + 2 * p - k) // s + 1 for n, p, k, s in zip(size, padding, kernel, stride, strict=True)
    )
    lead = draw(choice((), (2,)))
    columns = draw(d.arrays((*lead, 2 * math.prod(kernel), count)))
    return (columns, size, kernel), {"padding": padding, "stride": stride}


def fold_reference(columns, size, kernel, padding, stride):
    large = [n + 2 * p for n, p in zip(size, padding, strict=True)]
    out = [(n - k) // s + 1 for n, k, s in zip(large, kernel, stride, strict=True)]
    lead = columns.shape[:-2]
    patches = columns.reshape(-1, 2, *kernel, *out)
    image = add_patches_reference(patches, large, stride, (1, 1)).reshape(*lead, 2, *large)
    rows, cols = (slice(p, n - p) for p, n in zip(padding, large, strict=True))
    return image[..., rows, cols]


# -------------------------------------------------------------------------------------------- grids


@samples
def grid_samplings(draw):
    """Places away from the centres of pixels and the lines between them, where y has kinks."""
    mode = draw(choice("bilinear", "nearest", "bicubic"))
    dims = 2 if mode == "bicubic" else draw(choice(2, 2, 3))
    padding = draw(choice("zeros", "border", "reflection"))
    corners = draw(choice(False, True))
    sizes = [draw(choice(2, 3)) for _ in range(dims)]
    shape = (1, *([2] * dims if dims == 2 else [2, 1, 1]))
    places = []
    for size in sizes:
        whole = draw(d.integer_arrays(shape, -2, size + 1))
        pixel = whole + draw(d.arrays(shape, d.Domain(0.6, 0.9)))
        places.append(pixel / (size - 1) * 2 - 1 if corners else (pixel * 2 + 1) / size - 1)
    x = draw(d.arrays((1, 2, *sizes)))
    return x, np.stack(places[::-1], -1), mode, padding, corners


def grid_sample_reference(x, grid, mode, padding, corners):
    modes = {"zeros": "grid-constant", "border": "nearest"}
    kind = modes.get(padding, "mirror" if corners else "reflect")
    sizes = x.shape[2:]
    out = np.zeros((*x.shape[:2], *grid.shape[1:-1]))
    for n, c in np.ndindex(*x.shape[:2]):
        places = grid[n][..., ::-1]
        at = [
            (places[..., i] + 1) * (s - 1) / 2 if corners else ((places[..., i] + 1) * s - 1) / 2
            for i, s in enumerate(sizes)
        ]
        if mode == "bicubic":
            out[n, c] = bicubic_reference(x[n, c], at, kind)
        else:
            order = 0 if mode == "nearest" else 1
            out[n, c] = ndimage.map_coordinates(x[n, c], at, order=order, mode=kind)
    return out


def bicubic_reference(image, at, kind):
    out = np.zeros(at[0].shape)
    for place in np.ndindex(*out.shape):
        y, x = at[0][place], at[1][place]
        for i in range(math.floor(y) - 1, math.floor(y) + 3):
            for j in range(math.floor(x) - 1, math.floor(x) + 3):
                pixel = ndimage.map_coordinates(image, [[i], [j]], order=0, mode=kind)[0]
                out[place] += cubic(y - i) * cubic(x - j) * pixel
    return out


@samples
def affine_grids(draw):
    dims = draw(choice(2, 3))
    size = (2, 1, *[draw(choice(1, 2, 3)) for _ in range(dims)])
    return draw(d.arrays((2, dims, dims + 1))), size, draw(choice(False, True))


def affine_grid_reference(theta, size, corners):
    n, _, *sizes = size
    out = np.zeros((n, *sizes, len(sizes)))
    for place in np.ndindex(*out.shape[:-1]):
        unit = [
            (2 * i / max(s - 1, 1) - (s > 1) if corners else (2 * i + 1) / s - 1)
            for i, s in zip(place[1:], sizes, strict=True)
        ]
        out[place] = theta[place[0]] @ [*unit[::-1], 1]
    return out


RECORDS = [
    OpRecord(
        "pad",
        ops.pad,
        pads(),
        pad_reference,
        errors=(
            case(lambda t: ops.pad(zeros(t, 2), (1,)), ShapeError, "pad", "even"),
            case(lambda t: ops.pad(zeros(t, 2), (-2, -2)), ShapeError, "pad", "(-2, -2)"),
            case(
                lambda t: ops.pad(zeros(t, 1, 2), (2, 0), "reflect"), ShapeError, "pad", "at most 1"
            ),
            case(
                lambda t: ops.pad(zeros(t, 2), (1, 1), "mirror"),
                NotImplementedError,
                "pad",
                "mirror",
            ),
        ),
    ),
    OpRecord(
        "interpolate",
        ops.interpolate,
        interpolations(),
        interpolate_reference,
        errors=(
            case(lambda t: ops.interpolate(zeros(t, 1, 1, 2)), ValueError, "size or scale_factor"),
            case(
                lambda t: ops.interpolate(zeros(t, 1, 1, 2), 3, mode="bilinear"),
                NotImplementedError,
                "interpolate",
                "bilinear",
                "(1, 1, 2)",
            ),
        ),
    ),
    OpRecord("upsample", ops.upsample, upsamplings(), upsampled("nearest", False)),
    OpRecord("upsample_nearest", ops.upsample_nearest, upsamplings(), upsampled("nearest", False)),
    OpRecord(
        "upsample_bilinear", ops.upsample_bilinear, upsamplings(), upsampled("bilinear", True)
    ),
    OpRecord(
        "pixel_shuffle",
        ops.pixel_shuffle,
        shuffles(),
        shuffle_reference,
        errors=(
            case(lambda t: ops.pixel_shuffle(zeros(t, 3, 2, 2), 2), ShapeError, "pixel_shuffle"),
        ),
    ),
    OpRecord(
        "pixel_unshuffle",
        ops.pixel_unshuffle,
        unshuffles(),
        unshuffle_reference,
        errors=(
            case(lambda t: ops.pixel_unshuffle(zeros(t, 3, 3, 2), 2), ShapeError, "3 x 2 pixels"),
        ),
    ),
    OpRecord(
        "channel_shuffle",
        ops.channel_shuffle,
        channel_shuffles(),
        channel_shuffle_reference,
        errors=(case(lambda t: ops.channel_shuffle(zeros(t, 1, 3, 2), 2), ShapeError, "groups 2"),),
    ),
    OpRecord("patches", named("patches"), patchings(False), patches_reference),
    OpRecord("add_patches", named("add_patches"), patchings(True), add_patches_reference),
    OpRecord(
        "fold",
        ops.fold,
        folds(),
        fold_reference,
        errors=(
            case(lambda t: ops.fold(zeros(t, 1, 4, 3), (4, 4), 2), ShapeError, "fold", "(1, 4, 3)"),
        ),
    ),
    OpRecord(
        "grid_sample",
        ops.grid_sample,
        grid_samplings(),
        grid_sample_reference,
        domain="places away from centres of pixels and the lines between them",
        errors=(
            case(
                lambda t: ops.grid_sample(zeros(t, 1, 1, 2, 2), zeros(t, 2, 1, 1, 2)),
                ShapeError,
                "grid_sample",
                "(2, 1, 1, 2)",
            ),
        ),
    ),
    OpRecord(
        "affine_grid",
        ops.affine_grid,
        affine_grids(),
        affine_grid_reference,
        errors=(
            case(lambda t: ops.affine_grid(zeros(t, 1, 2, 2), (1, 1, 2, 2)), ShapeError, "theta"),
        ),
    ),
]
