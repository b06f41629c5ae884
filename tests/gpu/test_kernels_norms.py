"""The CUDA kernels of layer, RMS, group, instance and batch normalisation, run by the shim."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import nn, ops
from minidl.testing import standin, to_numpy
from tests.gpu import shim
from tests.gpu.parity import SPECIAL, check, layouts, on_shim
from tests.gpu.sources import needs_gxx
from tests.parity import kernels_used

pytestmark = needs_gxx
NAMES = ("layer_norm", "rms_norm", "batch_norm", "group_norm", "fixed_norm")
ROW = ("layer_norm", "rms_norm")
# As numbers in a group: a warp, a block, and the largest block, and one less or more.
EDGES = (1, 31, 33, 257, 513)


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def train(x, weight=None, bias=None):
    return ops.batch_norm(x, None, None, weight, bias, training=True)


def check_rows(name, x, dims, affine=True, **options):
    """Over the last `dims` dimensions."""
    own = x.shape[x.ndim - dims :]
    vectors = [numbers(*own, seed=s) for s in (1, 2)[: 1 + (name == "layer_norm")]]
    call = getattr(ops, name)
    given = (x, *vectors) if affine else (x,)
    check(lambda x, *rest: call(x, own, *rest), *given, kernel=name, **options)


def check_images(name, x, groups=1, affine=True, **options):
    """Images (N, C, ...)."""
    vectors = [numbers(x.shape[1], seed=s) for s in (1, 2)] if affine else []
    if name == "fixed_norm":
        mean, var = numbers(x.shape[1], seed=3), np.exp(numbers(x.shape[1], seed=4))
        check(ops.batch_norm, x, mean, var, *vectors, kernel=name, **options)
    elif name == "group_norm":

        def call(x, *rest):
            return ops.group_norm(x, groups, *rest)

        check(call, x, *vectors, kernel=name, **options)
    else:
        check(train, x, *vectors, kernel=name, **options)


@st.composite
def images(draw):
    """Images, lines or rows, with something to normalise; and how many groups of channels."""
    groups, per_group = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    size = draw(st.sampled_from([(), (1,), (2,), (33,), (1, 1), (2, 3), (5, 7)]))
    x = 3 * numbers(draw(st.integers(2, 5)), groups * per_group, *size) + 1
    if draw(st.booleans()):
        x.flat[draw(st.integers(0, x.size - 1))] = draw(st.sampled_from(SPECIAL))
    return x, groups


@pytest.mark.parametrize("name", NAMES[2:])
@given(case=images(), affine=st.booleans(), layout=layouts)
def test_images_as_the_definition(name, case, affine, layout):
    check_images(name, *case, affine, layout=layout)


@pytest.mark.parametrize("name", ROW)
@given(
    rows=st.lists(st.sampled_from([1, 2, 3, 5]), max_size=2),
    own=st.sampled_from([(2,), (3,), (31,), (33,), (2, 3), (5, 13)]),
    special=st.sampled_from([1.0, *SPECIAL]),
    affine=st.booleans(),
    layout=layouts,
)
def test_rows_as_the_definition(name, rows, own, special, affine, layout):
    x = 3 * numbers(*rows, *own) + 1
    x.flat[x.size // 2] = special
    check_rows(name, x, len(own), affine, layout=layout)


@pytest.mark.parametrize("size", EDGES)
def test_sizes_around_a_block(size):
    """Many numbers in a row, and many rows."""
    if size > 1:  # the gradient of one number is all rounding
        for name in ROW:
            check_rows(name, numbers(2, size), 1)
        check_images("batch_norm", numbers(2, 1, size))
        check_images("batch_norm", numbers(size, 1))
    check_rows("layer_norm", numbers(size, 2), 1)
    check_images("fixed_norm", numbers(size, 1))
    check_images("group_norm", numbers(1, 2, size), 2)


@pytest.mark.parametrize("name", NAMES)
def test_half(name):
    if name in ROW:
        check_rows(name, numbers(7, 70), 1, types=["float16"])
    else:
        check_images(name, numbers(3, 4, 5, 7), 2, types=["float16"])


# 1, and then for each thread many numbers (or squares) of which none changes a half's 1.
FEW = np.where(np.arange(64 * 512) < 512, 1, 4e-4)
SIGNS = np.where(np.arange(64 * 512) % 2, 1, -1)


@pytest.mark.parametrize("name", ["layer_norm", "batch_norm", "group_norm"])
def test_squares_of_halves_are_added_up_in_float(name):
    x = np.sqrt(FEW) * SIGNS
    with minidl.no_grad():
        if name in ROW:
            check_rows(name, x[None], 1, False, types=["float16"])
        else:
            check_images(name, x[None, None], 1, False, types=["float16"])


@pytest.mark.parametrize("name", ["layer_norm", "batch_norm", "group_norm"])
def test_gradients_of_halves_are_added_up_in_float(name):
    calls = {
        "layer_norm": lambda x, w, b: ops.layer_norm(x, 1, w, b),
        "batch_norm": train,
        "group_norm": lambda x, w, b: ops.group_norm(x, 1, w, b),
    }
    few, shape = FEW, (1, 1, -1)
    if name == "layer_norm":  # 32 rows for each thread
        few, shape = np.where(np.arange(64) % 32, 4e-4, 1), (-1, 1)
    with on_shim() as device, kernels_used() as used:
        x, g = (minidl.tensor(a.reshape(shape).astype("f2"), device=device) for a in (few, few))
        w, b = (minidl.ones(1, dtype=x.dtype, device=device, requires_grad=True) for _ in range(2))
        (db,) = minidl.autograd.grad(calls[name](x, w, b), [b], g)
        np.testing.assert_allclose(to_numpy(db).item(), few.sum(), rtol=2e-3)
    assert name in used


@pytest.mark.parametrize("name", NAMES[:1] + NAMES[2:4])
def test_a_large_mean_leaves_the_variance_its_digits(name):
    """Mean 10^4 and variance 1: mean(x^2) - mean(x)^2 would have no digits left in float32."""
    x = (numbers(16, 4, 8, 8) + 1e4).astype(np.float32).astype(np.float64)
    if name in ROW:
        check_rows(name, x, 2, types=["float32"])
    else:
        check_images(name, x, 2, types=["float32"])


def test_rounding_makes_no_variance_negative():
    """Of numbers that are equal but for one, and so many that their mean is 30 units wrong."""
    numbers = np.full((1, 1, 512 * 257), 1.16354344e8, np.float32)
    numbers[0, 0, 7] = np.nextafter(numbers[0, 0, 0], np.float32(np.inf))
    with on_shim(in_orders=[shim.FORWARD]) as device, mock.patch.object(shim, "tracking", False):
        x, mean, var = (minidl.tensor(a, device=device) for a in (numbers, [0.0], [1.0]))
        with kernels_used() as used:
            y = ops.batch_norm(x, mean, var, None, None, True, 1.0)
        assert to_numpy(var) >= 0 and np.isfinite(to_numpy(y)).all()
    assert "batch_norm" in used


def test_instance_norm_and_running_statistics():
    x = numbers(4, 5, 6, 7) * 3 + 2
    check(lambda x: ops.instance_norm(x), x, kernel="group_norm")
    for norm in (ops.batch_norm, ops.instance_norm):
        found = []
        for device in ("cpu", "cuda"):
            with on_shim(), kernels_used() as used:
                mean = minidl.zeros(5, device=device, dtype=minidl.float64)
                var = minidl.ones(5, device=device, dtype=minidl.float64)
                given = minidl.tensor(x, device=device)
                norm(given, mean, var, None, None, True, 0.25)
                found.append((to_numpy(mean), to_numpy(var)))
        assert {"batch_norm", "group_norm"} & set(used)
        np.testing.assert_allclose(found[0], found[1], rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_only_the_gradients_that_are_needed(name):
    """Of the input alone, and of the weight alone."""
    x, column = numbers(3, 4, 5, 6), np.exp(numbers(4))
    calls = {
        "layer_norm": lambda x, w: ops.layer_norm(x.swapaxes(1, 3), 4, w),
        "rms_norm": lambda x, w: ops.rms_norm(x.swapaxes(1, 3), 4, w),
        "batch_norm": train,
        "group_norm": lambda x, w: ops.group_norm(x, 2, w),
        "fixed_norm": lambda x, w: ops.batch_norm(x, w.detach(), w.detach(), w),
    }
    check(lambda x, w: calls[name](x, w.detach()), x, column, kernel=name)
    check(lambda x, w: calls[name](x.detach(), w), x, column, kernel=name)


LAYERS = {
    "batch_norm": lambda **on: nn.BatchNorm2d(4, **on),
    "group_norm": lambda **on: nn.GroupNorm(2, 4, **on),
    "layer_norm": lambda **on: nn.LayerNorm([4, 5, 6], **on),
    "rms_norm": lambda **on: nn.RMSNorm([4, 5, 6], **on),
    "fixed_norm": lambda **on: nn.BatchNorm2d(4, **on).eval(),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_step_neither_transfers_nor_waits_and_gives_the_same_bits(name):
    with on_shim() as device, kernels_used() as used:
        x = minidl.randn(3, 4, 5, 6, device=device).requires_grad_()
        layer = LAYERS[name](device=device)
        leaves = [x, *layer.parameters()]
        with standin.counted() as counts:
            first, second = (minidl.autograd.grad((layer(x) ** 3).sum(), leaves) for _ in range(2))
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(to_numpy(a), to_numpy(b))
    assert (counts.transfers, counts.synchronisations) == (0, 0)
    assert name in used


def test_empty_arrays_and_integers_are_left_to_the_definition():
    with on_shim() as device, kernels_used() as used:
        ops.layer_norm(minidl.zeros(0, 3, device=device), 3)
        ops.group_norm(minidl.zeros(0, 4, 3, device=device), 2)
    assert not set(used) & set(NAMES)
