"""Hypothesis strategies for the geometry of convolution and pooling of images."""

import math
from typing import Any, NamedTuple

from hypothesis import strategies as st

from minidl.testing.strategies.shapes import Shape

Pair = tuple[int, int]


class ConvCall(NamedTuple):
    """`conv2d(input, weight, bias, **options)` with tensors of these shapes (bias: or None).

    options: stride, padding, dilation, groups, as ints, pairs of ints, or words.
    """

    input: Shape
    weight: Shape
    bias: Shape | None
    options: dict[str, Any]


class PoolCall(NamedTuple):
    """`max_pool2d(input, kernel_size, **options)` with an input of this shape.

    options: stride, padding, ceil_mode, and dilation if it was asked for.
    """

    input: Shape
    kernel_size: int | Pair
    options: dict[str, Any]


def pair(value: int | Pair) -> Pair:
    """(height, width): an int stands for both."""
    return (value, value) if isinstance(value, int) else tuple(value)


def _size(*values: int) -> st.SearchStrategy[int | Pair]:
    """One of the values, or a pair of them."""
    one = st.sampled_from(values)
    return st.one_of(one, st.tuples(one, one))


def _reach(kernel: Pair, dilation: Pair) -> Pair:
    """How many rows and columns a window spans."""
    return tuple(q * (k - 1) + 1 for k, q in zip(kernel, dilation, strict=True))


@st.composite
def conv_calls(draw):
    """Convolutions of images, with a batch or without, whose windows fit into the padded image.

    @given(call=conv_calls())
    def test(call):  # ConvCall((2, 1, 5, 4), (3, 1, 3, 2), (3,), {"stride": (2, 1), ...})
    """
    groups = draw(st.sampled_from([1, 1, 2]))
    channels, filters = (groups * draw(st.integers(1, 2)) for _ in range(2))
    kernel = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    stride, dilation = draw(_size(1, 1, 2, 3)), draw(_size(1, 1, 2))
    padding = draw(_size(0, 1, 2))
    if pair(stride) == (1, 1):
        padding = draw(st.sampled_from([padding, "same", "valid"]))
    edge = (0, 0) if isinstance(padding, str) else pair(padding)
    spans = zip(_reach(kernel, pair(dilation)), edge, strict=True)
    image = [max(span - 2 * p, 1) + draw(st.sampled_from([0, 1, 3])) for span, p in spans]
    batch = draw(st.sampled_from([(1,), (2,), ()]))
    return ConvCall(
        (*batch, channels, *image),
        (filters, channels // groups, *kernel),
        draw(st.sampled_from([None, (filters,)])),
        {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups},
    )


@st.composite
def invalid_conv_calls(draw):
    """Convolutions with one thing wrong: channels, bias, groups, sizes, stride, padding, rank.

    @given(call=invalid_conv_calls())
    def test(call):
        bias = None if call.bias is None else minidl.zeros(call.bias)
        with pytest.raises(minidl.ShapeError):
            minidl.conv2d(minidl.zeros(call.input), minidl.zeros(call.weight), bias, **call.options)
    """
    call = draw(conv_calls())
    filters, per_group, *kernel = call.weight
    *lead, height, width = call.input
    kinds = {
        "channels": {"weight": (filters, per_group + 1, *kernel)},
        "bias": {"bias": (filters + 1,)},
        "groups": {"options": call.options | {"groups": lead[-1] + 1}},
        "kernel": {"weight": (filters, per_group, height + 9, width + 9)},
        "stride": {"options": call.options | {"stride": draw(_size(0, -1)), "padding": 0}},
        "padding": {"options": call.options | {"padding": -1}},
        "dilation": {"options": call.options | {"dilation": 0}},
        "rank": {"input": draw(st.sampled_from([call.input[-2:], (1, 1, 1, *call.input[-2:])]))},
    }
    kind = draw(st.sampled_from(list(kinds)))
    if kind == "kernel" and call.options["padding"] == "same":
        kind = "bias"
    return call._replace(**kinds[kind])


@st.composite
def pool_calls(draw, dilation: bool = True):
    """Poolings of images, with a batch or without, whose windows all see a pixel of the image.

    dilation: whether options has one (average pooling takes none).

    @given(call=pool_calls())
    def test(call):  # PoolCall((2, 2, 5, 4), (3, 2), {"stride": None, "padding": (1, 0), ...})
    """
    kernel = draw(_size(1, 2, 3))
    stride = draw(st.one_of(st.none(), _size(1, 2, 3)))
    padding = tuple(draw(st.integers(0, k // 2)) for k in pair(kernel))
    options = {"stride": stride, "padding": padding, "ceil_mode": draw(st.booleans())}
    spread = (1, 1)
    if dilation:
        options["dilation"] = draw(_size(1, 1, 2))
        spread = pair(options["dilation"])
    image = []
    each = zip(pair(kernel), pair(stride or kernel), padding, spread, strict=True)
    for k, s, p, q in each:
        least = max(q * (k - 1) + 1 - 2 * p, 1)
        fitting = [
            n
            for n in range(least, least + 6)
            if all(any(0 <= i < n for i in w) for w in windows(n, k, s, p, q, options["ceil_mode"]))
        ]
        image.append(draw(st.sampled_from(fitting)))
    lead = draw(st.sampled_from([(1, 1), (2, 2), (2,)]))
    return PoolCall((*lead, *image), kernel, options)


def windows(
    size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> list[list[int]]:
    """The rows (or columns) that each window covers; outside 0 to `size` - 1 is padding.

    With `ceil_mode` a last window that is only partly inside counts, if it starts in the image or
    in the padding before it.
    """
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (math.ceil if ceil_mode else math.floor)(span / stride) + 1
    starts = [i * stride - padding for i in range(count)]
    starts = [s for s in starts if not ceil_mode or s < size]
    return [[s + i * dilation for i in range(kernel)] for s in starts]


@st.composite
def invalid_pool_calls(draw):
    """Poolings with one thing wrong: window, padding, stride or rank.

    @given(call=invalid_pool_calls())
    def test(call):
        with pytest.raises(minidl.ShapeError):
            minidl.max_pool2d(minidl.zeros(call.input), call.kernel_size, **call.options)
    """
    call = draw(pool_calls(dilation=False))
    larger = max(call.input[-2:]) + 2 * max(call.options["padding"]) + 1
    kinds = {
        "window": {"kernel_size": larger},
        "empty window": {"kernel_size": 0},
        "padding": {"options": call.options | {"padding": max(pair(call.kernel_size)) // 2 + 1}},
        "negative padding": {"options": call.options | {"padding": -1}},
        "stride": {"options": call.options | {"stride": draw(_size(0, -1))}},
        "rank": {"input": draw(st.sampled_from([call.input[-2:], (1, 1, 1, *call.input[-2:])]))},
    }
    return call._replace(**kinds[draw(st.sampled_from(list(kinds)))])
