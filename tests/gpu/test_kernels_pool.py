"""The CUDA kernels of pooling, run by the shim."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import kernels, ops
from minidl.tape import named
from minidl.testing import standin, to_numpy
from tests.gpu.parity import SPECIAL, check, layouts, on_shim
from tests.gpu.sources import needs_gxx
from tests.parity import kernels_used

pytestmark = needs_gxx
NAMES = ("max_pool2d", "sum_pool", "spread_windows")


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@st.composite
def windows(draw):
    """Images, and (kernel, stride, padding, dilation, extra) by which each window sees a pixel."""
    few = st.integers(1, 3)
    kernel, stride, dilation = (tuple(draw(few) for _ in range(2)) for _ in range(3))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    span = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = [n + draw(st.integers(0, 6)) for n in span]
    extra = tuple(draw(st.integers(0, s - 1)) for s in stride)
    x = numbers(draw(few), draw(few), *size, seed=draw(st.integers(0, 99)))
    if draw(st.booleans()):
        x = np.round(x)  # many are equal
    for value in draw(st.lists(st.sampled_from(SPECIAL), max_size=3)):
        x.flat[draw(st.integers(0, x.size - 1))] = value
    return x, (kernel, stride, padding, dilation, extra)


def sees_a_pixel(x, kernel, stride, padding, dilation, extra):
    """Whether every window does."""
    for n, k, s, p, d, e in zip(x.shape[2:], kernel, stride, padding, dilation, extra, strict=True):
        for start in range(-p, n + p + e - d * (k - 1), s):
            if not any(0 <= start + i * d < n for i in range(k)):
                return False
    return True


@given(windows(), layouts)
def test_max(case, layout):
    x, geometry = case
    if not sees_a_pixel(x, *geometry):
        geometry = (*geometry[:2], (0, 0), geometry[3], (0, 0))
    check(lambda x: named("max_pool2d")(x, *geometry), x, kernel="max_pool2d", layout=layout)


@given(windows(), layouts)
def test_sums(case, layout):
    x, (kernel, stride, *_) = case
    check(lambda x: named("sum_pool")(x, kernel, stride), x, kernel="sum_pool", layout=layout)


@given(windows(), layouts, st.integers(0, 2))
def test_spread(case, layout, rest):
    """Over windows that lie side by side, overlap, or leave gaps; and a rest that none covers."""
    g, (kernel, stride, *_) = case
    size = tuple(
        (n - 1) * s + k + min(rest, s - 1)
        for n, s, k in zip(g.shape[2:], stride, kernel, strict=True)
    )
    name = "spread_windows"
    check(lambda g: named(name)(g, kernel, stride, size), g, kernel=name, layout=layout)


CALLS = {
    "max_pool2d": lambda x: ops.max_pool2d(x, 2),
    "sum_pool": lambda x: ops.avg_pool2d(x, 2),
    "spread_windows": lambda x: ops.interpolate(x, scale_factor=2),
}


@pytest.mark.parametrize("size", [62, 64, 66, 510, 514])
@pytest.mark.parametrize("name", NAMES)
def test_sizes_around_a_block(name, size):
    """31, 32, 33, .. windows, or as many pixels."""
    check(CALLS[name], numbers(1, 1, 2, size), kernel=name)


@pytest.mark.parametrize("name", NAMES)
def test_half(name):
    check(CALLS[name], numbers(2, 3, 8, 6), kernel=name, types=["float16"])


def test_lines_volumes_and_whole_images():
    line, volume = numbers(2, 3, 11), numbers(2, 2, 4, 5, 6)
    check(lambda x: ops.max_pool1d(x, 3, 2, ceil_mode=True), line, kernel="max_pool2d")
    check(lambda x: ops.avg_pool1d(x, 3, 2), line, kernel="sum_pool")
    check(lambda x: ops.max_pool3d(x, 2), volume, kernel="max_pool2d")
    check(lambda x: ops.adaptive_avg_pool2d(x, 1), volume[0], kernel="sum_pool")


def test_a_large_window_is_not_added_up_one_by_one():
    with on_shim() as device:
        x = minidl.full((1, 2, 300, 300), 0.1, device=device)
        mean = to_numpy(ops.adaptive_avg_pool2d(x, 1))
    np.testing.assert_allclose(mean, np.float32(0.1), rtol=3e-6)


@pytest.mark.parametrize("size", [2, 3])
def test_the_first_of_equal_pixels_wins_and_the_first_nan(size):
    x = np.zeros((1, 1, size, size), np.float32)
    x[0, 0, 0, 1] = x[0, 0, 1, 0] = 5
    for special in (5, np.nan, np.inf):
        x[0, 0, 1, 1] = special
        with on_shim() as device, kernels_used() as used:
            t = minidl.tensor(x, device=device, requires_grad=True)
            ops.max_pool2d(t, size).sum().backward()
            found = to_numpy(t.grad)
        assert "max_pool2d" in used
        assert found.argmax() == (1 if special == 5 else size + 1) and found.sum() == 1


def test_the_first_of_several_nan_wins():
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    x[0, 0, [0, 1, 2], [2, 0, 1]] = np.nan
    with on_shim() as device, kernels_used() as used:
        t = minidl.tensor(x, device=device, requires_grad=True)
        ops.max_pool2d(t, 3).sum().backward()
        assert to_numpy(t.grad).argmax() == 2 and to_numpy(t.grad).sum() == 1
    assert "max_pool2d" in used


@pytest.mark.parametrize("huge", [2**30, 2**31 - 1, 2**31, 2**40])
def test_steps_that_no_int_can_count(huge):
    """They leave one window, or one number in it."""
    calls = {
        "max_pool2d": lambda x: ops.max_pool2d(x, 1, huge, dilation=huge),
        "sum_pool": lambda x: ops.avg_pool2d(x, 2, huge),
    }
    for side, (name, call) in enumerate(calls.items(), 1):
        with on_shim() as device, kernels_used() as used:
            x = minidl.ones(1, 2, 3, 4, device=device, requires_grad=True)
            call(x).sum().backward()
            expected = np.zeros((1, 2, 3, 4))
            expected[..., :side, :side] = 1 / side**2
            np.testing.assert_array_equal(to_numpy(x.grad), expected)
        assert name in used


def test_images_with_positions_that_no_int_can_count_are_left_to_the_definition():
    for length, taken in [(2**30 - 100, True), (2**30, False)]:
        x = np.broadcast_to(np.float32(0), (1, 1, length, 1))
        options = {"kernel": (2, 1), "stride": (2**40, 1)}
        more = {"padding": (1, 0), "dilation": (3, 1), "extra": (0, 0)}
        assert kernels.load_cuda("max_pool2d").eligible(x, **options, **more) is taken
        assert kernels.load_cuda("sum_pool").eligible(x, **options) is taken
        small, size = x[:, :, :1], x.shape[2:]
        assert kernels.load_cuda("spread_windows").eligible(small, **options, size=size) is taken


@pytest.mark.parametrize("sides", [(8, 8), (64, 1), (1, 64)])
@pytest.mark.parametrize("name", NAMES[1:])
def test_half_is_added_up_in_float(name, sides):
    """1 and many numbers of which none changes a half's 1, but all together do."""
    x = np.full((1, 1, *sides), 2e-4)
    x[0, 0, 0, 0] = 1
    more = [] if name == "sum_pool" else [tuple(2 * n - 1 for n in sides)]
    check(lambda x: named(name)(x, sides, (1, 1), *more), x, kernel=name, types=["float16"])


@pytest.mark.parametrize("name", NAMES)
def test_a_step_neither_transfers_nor_waits(name):
    with on_shim() as device, kernels_used() as used:
        x = minidl.randn(2, 3, 6, 8, device=device).requires_grad_()
        with standin.counted() as counts:
            CALLS[name](x).sum().backward()
    assert (counts.transfers, counts.synchronisations) == (0, 0)
    assert name in used


def test_integers_and_empty_batches_are_left_to_the_definition():
    with on_shim() as device, kernels_used() as used:
        for call in CALLS.values():
            call(minidl.zeros(0, 2, 4, 4, device=device))
        ops.max_pool2d(minidl.ones(1, 1, 4, 4, dtype=minidl.int64, device=device), 2)
    assert not set(used) & set(NAMES)
