"""Convolution and its derivatives by CUDA kernels, run by the shim."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import minidl
from minidl import kernels, nn, ops
from minidl.kernels.cuda import conv as cuda
from minidl.ops.conv import out_sizes
from minidl.tape import named
from minidl.testing import standin, to_numpy
from tests.gpu.parity import check, layouts, on_shim
from tests.gpu.sources import needs_gxx
from tests.parity import kernels_used

pytestmark = needs_gxx
SIDES = ("convolution", "convolution_input", "convolution_weight")
sides = pytest.mark.parametrize("name", SIDES)


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def check_side(name, shape, filters, layout="rows", types=("float32", "float64"), **given):
    """One of the three sides; `check` takes its gradients, which are the other two."""
    dims = len(shape) - 2
    steps = {
        "stride": given.get("stride", (1,) * dims),
        "padding": given.get("padding", (0,) * dims),
        "dilation": given.get("dilation", (1,) * dims),
    }
    options = {**steps, "groups": given.get("groups", 1)}
    x, w = numbers(*shape), numbers(*filters, seed=1)
    g = numbers(shape[0], filters[0], *out_sizes(shape[2:], filters[2:], **steps), seed=2)
    arrays = {"convolution": (x, w), "convolution_input": (w, g), "convolution_weight": (x, g)}
    if name == "convolution_input":
        options["size"] = shape[2:]
    if name == "convolution_weight":
        options["kernel"] = filters[2:]
    check(
        lambda a, b: named(name)(a, b, **options),
        *arrays[name],
        kernel=name,
        layout=layout,
        types=types,
    )


@st.composite
def calls(draw):
    """Shapes of images and filters, and options, in one dimension or two."""
    few, dims = st.integers(1, 3), draw(st.integers(1, 2))

    def each(numbers):
        return tuple(draw(numbers) for _ in range(dims))

    groups, per_group, multiplier = draw(st.integers(1, 5)), draw(few), draw(few)
    kernel, size = each(few), each(st.integers(1, 11))
    options = {
        "stride": each(few),
        "padding": each(st.integers(0, 3)),
        "dilation": each(few),
        "groups": groups,
    }
    steps = [options[name] for name in ("stride", "padding", "dilation")]
    assume(min(out_sizes(size, kernel, *steps)) > 0)
    images = (draw(few), groups * per_group, *size)
    return images, (groups * multiplier, per_group, *kernel), options


@sides
@given(call=calls(), layout=layouts)
def test_as_the_definition(name, call, layout):
    check_side(name, *call[:2], layout, **call[2])


# Just below, at and above a block of 256 threads, in each of the ways that a thread is chosen.
EDGES = {
    "windows": ((1, 2, 1, 255), (2, 2, 1, 1)),
    "pixels": ((1, 1, 16, 16), (3, 1, 3, 3)),
    "one more": ((1, 1, 1, 257), (1, 1, 1, 2)),
    "channels": ((2, 33, 2, 4), (31, 33, 2, 2)),
    "stride above kernel": ((2, 3, 13, 11), (5, 3, 2, 2)),
    "line": ((3, 5, 50), (7, 5, 7)),
}


@sides
@pytest.mark.parametrize("case", EDGES)
def test_sizes_around_a_block(name, case):
    options = {"stride": (3, 3)} if "stride" in case else {}
    check_side(name, *EDGES[case], **options)


@sides
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_half(name, groups):
    filters = (6, 6 // groups, 3, 3)
    check_side(name, (2, 6, 7, 5), filters, types=["float16"], padding=(1, 1), groups=groups)


@pytest.mark.parametrize("channels", [1, 2])
def test_half_is_added_up_in_float(channels):
    """1 and many numbers of which none changes a half's 1, but all together do."""

    def check_sum(name, a, b, **options):
        options = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1, **options}
        with minidl.no_grad():
            check(lambda a, b: named(name)(a, b, **options), a, b, kernel=name, types=["float16"])

    few = np.full((1, channels, 1, 64), 2e-4)
    few[..., 0] = 1
    many = np.repeat(few, 256, axis=3)  # 64 for each thread
    check_sum("convolution", np.ones_like(few), few)
    check_sum("convolution_input", few, np.ones((1, 1, 1, 64)), padding=(0, 63), size=(1, 1))
    if channels == 1:  # else a matrix product takes the sum
        check_sum("convolution_weight", many, np.ones_like(many), kernel=(1, 1))


@sides
@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("huge", [2**30, 2**31 - 1, 2**31, 2**40])
def test_steps_that_no_int_can_count(name, groups, huge):
    """They leave one window, of one number."""
    options = {"stride": (huge, huge), "dilation": (huge, huge), "groups": groups}
    check_side(name, (2, 4, 3, 5), (4, 4 // groups, 1, 1), **options)


def test_images_with_positions_that_no_int_can_count_are_left_to_the_definition():
    options = {"stride": (2**40,), "padding": (1,), "dilation": (1,), "groups": 1}
    small = np.zeros((2, 2, 3), np.float32)
    for length, taken in [(2**30 - 100, True), (2**30, False)]:
        x = np.broadcast_to(np.float32(0), (1, 2, length))
        for name, more in {
            "convolution": {},
            "convolution_input": {"size": (length,)},
            "convolution_weight": {"kernel": (3,)},
        }.items():
            inputs = (small, small) if name == "convolution_input" else (x, small)
            assert kernels.load_cuda(name).eligible(*inputs, **options, **more) is taken


@sides
@pytest.mark.parametrize("groups", [1, 2])
def test_in_parts(name, groups):
    """Where the columns of all five images would be too many: two at a time, then one."""
    with mock.patch.object(cuda, "PIECE", 2 * 4 * 9 * 20):
        check_side(name, (5, 4, 5, 4), (2, 4 // groups, 3, 3), padding=(1, 1), groups=groups)


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("per_group", [1, 4])
@pytest.mark.parametrize("place", ["image", "filter"])
def test_special_values(special, per_group, place):
    """A filter's infinity meets the zeros of the border too, and makes nan of them."""
    x, w = numbers(2, 4, 6, 5), numbers(4, per_group, 3, 3)
    (x if place == "image" else w)[1, 0, 2, 1] = special
    options = {"padding": 1, "groups": 4 // per_group}
    check(lambda x, w: ops.conv2d(x, w, **options), x, w, kernel="convolution")


def test_transposed():
    x, w = numbers(2, 3, 4, 5), numbers(3, 2, 3, 3)
    check(
        lambda x, w: ops.conv_transpose2d(x, w, stride=2, padding=1, output_padding=1),
        x,
        w,
        kernel="convolution_input",
    )


def test_volumes_integers_and_empty_batches_are_left_to_the_definition():
    with on_shim() as device, kernels_used() as used:
        ops.conv3d(minidl.ones(1, 1, 3, 3, 3, device=device), minidl.ones(1, 1, 2, 2, 2).to(device))
        whole = minidl.ones(1, 1, 3, 3, dtype=minidl.int64, device=device)
        ops.conv2d(whole, whole)
        none = minidl.ones(0, 2, 3, 3, device=device)
        assert ops.conv2d(none, minidl.ones(4, 2, 3, 3, device=device)).shape == (0, 4, 1, 1)
    assert not used & set(SIDES)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_step_neither_transfers_nor_waits(groups):
    with on_shim() as device, kernels_used() as used:
        layer = nn.Conv2d(4, 8, 3, padding=1, groups=groups, device=device)
        x = minidl.randn(2, 4, 6, 6, device=device).requires_grad_()
        with standin.counted() as counts:
            layer(x).sum().backward()
    assert (counts.transfers, counts.synchronisations) == (0, 0)
    assert set(SIDES) <= set(used)


def test_same_bits_every_time():
    with on_shim() as device:
        x, w = minidl.randn(3, 4, 9, 9, device=device), minidl.randn(4, 1, 3, 3, device=device)
        g = minidl.randn(3, 4, 7, 7, device=device)
        calls = [
            [to_numpy(t) for t in minidl.autograd.grad(ops.conv2d(*leaves, groups=4), leaves, g)]
            for leaves in [(x.clone().requires_grad_(), w.clone().requires_grad_())] * 2
        ]
    for first, second in zip(*calls, strict=True):
        np.testing.assert_array_equal(first, second)
