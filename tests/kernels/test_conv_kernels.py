"""Convolution kernels against the definition: every method, at sizes that do not fit the tiles."""

import numpy as np
import pytest

pytest.importorskip("numba")

import minidl
from minidl import ops
from minidl.testing import to_numpy
from tests import parity

WINOGRAD = 1e-4
ALL = "convolution", "convolution_input", "convolution_weight"


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def conv(x, w, **options):
    name = {3: "conv1d", 4: "conv2d", 5: "conv3d"}[x.ndim]
    return getattr(ops, name)(x, w, **options)


# (N, C, H, W), (O, C / groups, KH, KW), options
CASES = {
    "first layer": ((2, 3, 12, 12), (16, 3, 3, 3), {"padding": 1}),
    "one pixel": ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    "one window": ((3, 2, 3, 3), (5, 2, 3, 3), {}),
    "prime sizes": ((3, 5, 11, 13), (7, 5, 3, 5), {"padding": 2}),
    "just above a vector": ((2, 17, 9, 9), (33, 17, 3, 3), {"padding": 1}),
    "wide and narrow": ((2, 16, 10, 10), (48, 16, 5, 5), {"padding": 1}),
    "stride 2": ((2, 16, 16, 16), (32, 16, 3, 3), {"stride": 2, "padding": 1}),
    "stride 2, odd": ((2, 8, 13, 11), (16, 8, 3, 3), {"stride": 2, "padding": 1}),
    "stride above kernel": ((2, 8, 13, 11), (16, 8, 2, 2), {"stride": 3}),
    "different strides": ((2, 4, 13, 17), (6, 4, 3, 2), {"stride": (2, 3), "padding": (0, 1)}),
    "1x1": ((2, 16, 7, 7), (24, 16, 1, 1), {}),
    "1x1, stride 2": ((2, 16, 7, 7), (24, 16, 1, 1), {"stride": 2}),
    "1x1, padding": ((2, 16, 7, 7), (24, 16, 1, 1), {"padding": 1}),
    "dilated": ((2, 6, 15, 15), (18, 6, 3, 3), {"dilation": 2, "padding": 2}),
    "dilated, stride 2": (
        (2, 6, 15, 16),
        (18, 6, 3, 3),
        {"dilation": 3, "stride": 2, "padding": 1},
    ),
    "much padding": ((2, 6, 5, 5), (8, 6, 3, 3), {"padding": 4}),
    "grouped": ((2, 12, 9, 9), (8, 3, 3, 3), {"groups": 4, "padding": 1}),
    "grouped, wide": ((2, 64, 8, 8), (128, 32, 3, 3), {"groups": 2, "padding": 1, "stride": 2}),
    "depthwise": ((2, 20, 9, 9), (20, 1, 3, 3), {"groups": 20, "padding": 1}),
    "depthwise, two each": ((2, 20, 9, 9), (40, 1, 3, 3), {"groups": 20, "padding": 1}),
    "depthwise, stride 2": (
        (2, 33, 9, 10),
        (33, 1, 5, 5),
        {"groups": 33, "padding": 2, "stride": 2},
    ),
    "bands": ((2, 32, 70, 70), (17, 32, 3, 3), {"padding": 1}),
    "bands, stride 2": ((1, 32, 71, 69), (16, 32, 5, 5), {"padding": 2, "stride": 2}),
    "large kernel": ((1, 3, 40, 40), (8, 3, 11, 11), {"stride": 4, "padding": 2}),
    "tiny images": ((70, 16, 2, 2), (16, 16, 3, 3), {"padding": 1}),
    "winograd": ((3, 64, 8, 8), (64, 64, 3, 3), {"padding": 1}),
    "winograd, edges": ((2, 64, 14, 11), (48, 64, 3, 3), {"padding": 1}),
    "winograd, no padding": ((2, 16, 10, 9), (128, 16, 3, 3), {}),
    "winograd, much padding": ((2, 64, 5, 5), (16, 64, 3, 3), {"padding": 3}),
    "winograd, bands": ((1, 64, 61, 62), (32, 64, 3, 3), {"padding": 1}),
    "winograd, many images": ((70, 16, 8, 8), (32, 16, 3, 3), {"padding": 1}),
    "winograd, large weights": ((3, 128, 20, 20), (80, 128, 3, 3), {"padding": (1, 0)}),
    "one column": ((2, 3, 9, 4), (5, 3, 3, 4), {"dilation": (2, 1)}),
    "one column, padding, stride": ((20, 3, 9, 2), (5, 3, 3, 3), {"stride": 2, "padding": 1}),
    "one row": ((2, 3, 4, 9), (5, 3, 4, 3), {}),
    "line": ((3, 5, 50), (20, 5, 7), {"padding": 3}),
    "line, stride": ((3, 16, 301), (32, 16, 4), {"stride": 2, "dilation": 3}),
    "line, pointwise": ((3, 16, 30), (32, 16, 1), {}),
    "volume": ((2, 4, 6, 7, 8), (20, 4, 3, 3, 3), {"padding": 1}),
    "volume, stride": ((1, 3, 7, 8, 9), (16, 3, 3, 2, 3), {"padding": 1, "stride": (1, 2, 3)}),
}


@pytest.mark.parametrize("kernel", ALL)
@pytest.mark.parametrize("name", CASES)
def test_as_the_definition(name, kernel):
    """Values and both gradients, of the convolution and of each of its derivatives."""
    shape, filters, options = CASES[name]
    x, w = numbers(*shape), numbers(*filters, seed=1)
    rtol = WINOGRAD if "winograd" in name else parity.RTOL

    if kernel == "convolution":
        parity.check(lambda x, w: conv(x, w, **options), x, w, kernel=kernel, rtol=rtol)
        return

    def gradient(x, w, g):
        with minidl.enable_grad():
            y = conv(x, w, **options)
            wanted = x if kernel == "convolution_input" else w
            return minidl.autograd.grad(y, wanted, g, create_graph=True)[0]

    with minidl.no_grad():
        y = conv(minidl.tensor(x), minidl.tensor(w), **options)
    parity.check(gradient, x, w, numbers(*y.shape, seed=2), kernel=kernel, rtol=rtol)


# One case for each method.
METHODS = ["prime sizes", "stride 2, odd", "1x1", "grouped", "depthwise", "winograd, edges", "line"]


@pytest.mark.parametrize("name", METHODS)
def test_layouts(name):
    """However the images and the weights lie in memory."""
    shape, filters, options = CASES[name]
    rtol = WINOGRAD if "winograd" in name else parity.RTOL
    for x in parity.layouts(numbers(*shape)):
        for w in parity.layouts(numbers(*filters, seed=1)):
            parity.check(lambda x, w: conv(x, w, **options), x, w, rtol=rtol)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "1x1"])
def test_same_bits_on_one_thread_and_on_two(name):
    shape, filters, options = CASES[name]
    parity.same_bits(lambda x, w: conv(x, w, **options), numbers(*shape), numbers(*filters))


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", [name for name in METHODS if "winograd" not in name])
def test_special_values_stay_in_their_windows(name, special):
    shape, filters, options = CASES[name]
    x, w = numbers(*shape), numbers(*filters, seed=1)
    x[(0, 1, *[n // 2 for n in shape[2:]])] = special
    with np.errstate(invalid="ignore"):
        parity.check(lambda x: conv(x, minidl.tensor(w, dtype=x.dtype), **options), x)


def test_winograd_spreads_special_values_over_their_tiles_only():
    """As the docstring of conv2d says."""
    x, w = numbers(1, 16, 16, 16).astype(np.float32), numbers(16, 16, 3, 3).astype(np.float32)
    x[0, 3, 5, 5] = np.nan
    y = to_numpy(ops.conv2d(minidl.from_numpy(x), minidl.from_numpy(w), padding=1))
    expected = np.zeros((16, 16), bool)
    expected[4:8, 4:8] = True
    np.testing.assert_array_equal(np.isnan(y[0, 0]), expected)


def test_images_come_out_channels_last_and_weight_gradients_contiguous():
    for name in METHODS:
        shape, filters, options = CASES[name]
        x = minidl.tensor(numbers(*shape), dtype=minidl.float32, requires_grad=True)
        w = minidl.tensor(numbers(*filters), dtype=minidl.float32, requires_grad=True)
        y = conv(x, w, **options)
        dx, dw = minidl.autograd.grad(y.sum(), [x, w])
        assert np.moveaxis(to_numpy(y), 1, -1).flags.c_contiguous
        assert np.moveaxis(to_numpy(dx), 1, -1).flags.c_contiguous
        assert to_numpy(dw).flags.c_contiguous


def test_no_kernel_for_nothing_and_for_ints():
    with parity.kernels_used() as used:
        ops.conv2d(minidl.zeros(0, 3, 5, 5), minidl.zeros(4, 3, 3, 3))
        ops.conv2d(minidl.ones(1, 3, 5, 5).long(), minidl.ones(4, 3, 3, 3).long())
    assert not used


@pytest.mark.parametrize("name", METHODS)
def test_transposed(name):
    """The input gradient as an op of its own, with sizes that the stride does not reach."""
    _, filters, options = CASES[name]
    function = {3: ops.conv_transpose1d, 4: ops.conv_transpose2d}[len(filters)]
    extra = 1 if options.get("stride", 1) == 2 else 0
    shape = (2, filters[0], *(5, 6)[: len(filters) - 2])
    parity.check(
        lambda x, w: function(x, w, output_padding=extra, **options),
        numbers(*shape),
        numbers(*filters, seed=1),
        kernel="convolution_input",
        rtol=WINOGRAD if "winograd" in name else parity.RTOL,
    )
