"""Pooling, normalisation and enlargement of images against their definitions."""

import numpy as np
import pytest

pytest.importorskip("numba")

import minidl
from minidl import kernels, ops
from minidl.testing import gradgradcheck
from tests.parity import check, kernels_used, layouts, same_bits

SHAPES = [(1, 1, 1, 1), (2, 3, 5, 7), (3, 16, 4, 6), (2, 17, 9, 8), (1, 130, 3, 3)]


def normals(*shape, seed=7):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def affine(channels):
    return normals(channels, seed=1), normals(channels, seed=2)


# ----------------------------------------------------------------------------------------- pooling

POOLS = {
    "2": (2, None, 0),
    "2, uneven rest": (2, 3, 0),
    "3, overlapping, padded": (3, 2, 1),
    "(1, 3)": ((1, 3), (1, 2), (0, 1)),
    "all of it": ((5, 7), None, 0),
}


@pytest.mark.parametrize("geometry", POOLS.values(), ids=POOLS)
@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (3, 16, 6, 8), (1, 33, 9, 7)])
def test_pools(geometry, shape):
    for x in layouts(normals(*shape)):
        check(lambda x: ops.max_pool2d(x, *geometry), x, kernel="max_pool2d")
        check(lambda x: ops.avg_pool2d(x, *geometry), x, kernel="sum_pool")


@pytest.mark.parametrize("options", [{"dilation": 2}, {"ceil_mode": True}, {"padding": 1}])
def test_max_pool_options(options):
    check(lambda x: ops.max_pool2d(x, 3, 2, **options), normals(2, 5, 8, 9), kernel="max_pool2d")


def test_windows_of_two_by_two_in_uneven_images_leave_a_rest_without_gradient():
    x = minidl.tensor(normals(2, 3, 5, 7), requires_grad=True)
    ops.max_pool2d(x, 2).sum().backward()
    assert x.grad[:, :, 4].abs().sum() == 0 and x.grad[:, :, :, 6].abs().sum() == 0
    assert x.grad.sum().item() == 2 * 3 * 2 * 3


@pytest.mark.parametrize("size", [2, 3])
def test_the_first_of_equal_pixels_wins_and_the_first_nan(size):
    x = np.zeros((1, 1, size, size), np.float32)
    x[0, 0, 0, 1] = x[0, 0, 1, 0] = 5
    for special in (5, np.nan, np.inf):
        x[0, 0, 1, 1] = special
        t = minidl.tensor(x, requires_grad=True)
        with kernels_used() as used:
            out, where = ops.max_pool2d(t, size), ops.max_pool2d(t, size, return_indices=True)[1]
        assert "max_pool2d" in used
        out.sum().backward()
        assert t.grad.flatten().argmax() == where.item() == (1 if special == 5 else size + 1)
        np.testing.assert_array_equal(out.detach().numpy().item(), special)


def test_padding_loses_even_against_minus_infinity():
    x = np.full((1, 2, 3, 3), -np.inf, np.float32)
    t = minidl.tensor(x, requires_grad=True)
    out = ops.max_pool2d(t, 3, 2, 1)
    out.sum().backward()
    assert np.isneginf(out.detach().numpy()).all()
    assert t.grad.sum().item() == out.numel()


def test_a_large_window_is_not_added_up_one_by_one():
    x = np.full((1, 2, 300, 300), 0.1, np.float32)
    mean = ops.adaptive_avg_pool2d(minidl.tensor(x), 1)
    np.testing.assert_allclose(mean.numpy(), np.float32(0.1), rtol=3e-6)


@pytest.mark.parametrize("size", [1, (2, 3), (6, 1)])
def test_adaptive_average(size):
    for x in layouts(normals(3, 17, 6, 9)):
        check(lambda x: ops.adaptive_avg_pool2d(x, size), x, kernel="sum_pool")


@pytest.mark.parametrize("factor", [1, 2, (1, 3), (4, 2)])
def test_nearest_by_whole_factors(factor):
    for x in layouts(normals(2, 17, 3, 5)):
        kernel = "spread_windows"
        check(lambda x: ops.interpolate(x, scale_factor=factor), x, kernel=kernel)


# ------------------------------------------------------------------------------------ normalisation


@pytest.mark.parametrize("shape", [*SHAPES[1:], (64, 5), (7, 3, 11), (2, 3, 2, 3, 4)])
def test_batch_norm(shape):
    for x in layouts(normals(*shape)):
        column = affine(shape[1])
        check(lambda x, w, b: train(x, w, b), x, *column, kernel="batch_norm")
        check(lambda x: train(x, None, None), x, kernel="batch_norm")


def train(x, weight, bias):
    return ops.batch_norm(x, None, None, weight, bias, training=True)


@pytest.mark.parametrize("shape", [*SHAPES, (64, 5), (7, 3, 11)])
def test_batch_norm_with_given_statistics(shape):
    """The statistics may want gradients, too."""
    mean, weight = affine(shape[1])
    var = np.exp(mean)
    for x in layouts(normals(*shape)):
        check(ops.batch_norm, x, mean, var, weight, mean, kernel="fixed_norm")
        check(ops.batch_norm, x, mean, var, kernel="fixed_norm")


@pytest.mark.parametrize("shape, groups", [((2, 6, 5, 7), 3), ((3, 16, 4, 4), 1), ((2, 12, 9), 4)])
def test_group_and_instance_norm(shape, groups):
    column = affine(shape[1])
    for x in layouts(normals(*shape)):
        check(
            lambda x, *affine: ops.group_norm(x, groups, *affine), x, *column, kernel="group_norm"
        )
        check(lambda x: ops.group_norm(x, groups), x, kernel="group_norm")
        check(
            lambda x, w, b: ops.instance_norm(x, None, None, w, b), x, *column, kernel="group_norm"
        )


def test_running_statistics_are_those_of_the_definition():
    x = normals(8, 5, 6, 7) * 3 + 2
    for norm in (ops.batch_norm, ops.instance_norm):
        found = []
        for kind in (np.float32, np.float64):  # the kernel; the definition
            mean, var = minidl.zeros(5, dtype=kind), minidl.ones(5, dtype=kind)
            norm(minidl.tensor(x.astype(kind)), mean, var, None, None, True, 0.25)
            found.append((mean.numpy(), var.numpy()))
        np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


@pytest.mark.parametrize("outlier", [0, 3e6])
def test_a_large_mean_leaves_the_variance_its_digits(outlier):
    """Mean 10^4 and variance 1; the outlier would spoil sums that are shifted by the first row."""
    x = normals(16, 4, 8, 8) + np.float32(1e4)
    x[0, 1, 0, 0] += outlier
    column = affine(4)
    check(train, x, *column, kernel="batch_norm")
    check(lambda x, w, b: ops.group_norm(x, 2, w, b), x, *column, kernel="group_norm")
    if not outlier:
        mean, var = x.mean((0, 2, 3), np.float64), x.var((0, 2, 3), np.float64)
        check(ops.batch_norm, x, np.float32(mean), np.float32(var), *column, kernel="fixed_norm")


def test_many_chunks_of_rows_and_a_last_one_that_is_shorter():
    check(train, normals(3, 16, 101, 67), *affine(16), kernel="batch_norm")
    check(train, normals(2, 700, 9, 5), *affine(700), kernel="batch_norm")


@pytest.mark.parametrize("size", [1, 2, 3, 5, 40])
@pytest.mark.parametrize("beta", [0.75, 0.5])
def test_local_response_norm(size, beta):
    for shape in ((2, 3, 5, 7), (1, 17, 2, 3), (2, 16, 9)):
        for x in layouts(normals(*shape)):
            check(
                lambda x: ops.local_response_norm(x, size, 0.5, beta, 2.0),
                x,
                kernel="local_response_norm",
            )


# --------------------------------------------------------------------------------- what all promise

ALL = {
    "max_pool2d": lambda x: ops.max_pool2d(x, 3, 2, 1),
    "sum_pool": lambda x: ops.avg_pool2d(x, 3, 2, 1),
    "spread_windows": lambda x: ops.interpolate(x, scale_factor=2),
    "batch_norm": lambda x: train(x, x[0, :, 0, 0], x[0, :, 1, 0]),
    "fixed_norm": lambda x: ops.batch_norm(x, x[0, :, 0, 0], x[0, :, 1, 0] ** 2),
    "group_norm": lambda x: ops.group_norm(x, 2, x[0, :, 0, 0]),
    "local_response_norm": lambda x: ops.local_response_norm(x, 5, 0.1),
}


@pytest.mark.parametrize("name", ALL)
def test_same_bits_for_any_number_of_threads(name):
    same_bits(ALL[name], normals(5, 8, 33, 17))


@pytest.mark.parametrize("name", ALL)
def test_images_come_out_channels_last(name):
    x = minidl.tensor(normals(2, 8, 6, 6), requires_grad=True)
    out = ALL[name](x)
    assert out.stride()[1] == 1 and not out.is_contiguous()


@pytest.mark.parametrize("name", ALL)
def test_empty_images_and_integers_run_from_the_definition(name):
    with kernels_used() as used:
        out = ALL[name](minidl.zeros(2, 4, 6, 6, dtype=minidl.float64))
        assert out.shape[:2] == (2, 4)
        if "pool" in name:
            ALL[name](minidl.zeros(2, 4, 6, 6, dtype=minidl.int64))
            ALL[name](minidl.zeros(0, 4, 6, 6))
    assert not used & set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_second_derivatives_through_the_kernel(name):
    """create_graph: the rules, or the definition replayed, in float32 against float64."""
    x = normals(2, 4, 5, 6)
    found = []
    for kind in (np.float32, np.float64):
        t = minidl.tensor(x.astype(kind), requires_grad=True)
        out = ALL[name](t)
        v = minidl.tensor(normals(*out.shape, seed=4).astype(kind))
        (g,) = minidl.autograd.grad(out, t, v, create_graph=True)
        found.append(minidl.autograd.grad((g * g).sum() + (out * out).sum(), t)[0].numpy())
    gap = np.abs(found[0] - found[1]).max() / np.abs(found[1]).max()
    assert gap < 1e-4


def test_gradgradcheck_of_the_norms_as_one_node():
    x = minidl.tensor(normals(2, 4, 3).astype(float), requires_grad=True)
    with kernels.forced(reference=True):
        assert gradgradcheck(lambda x: ops.group_norm(x, 2), (x,))
        assert gradgradcheck(lambda x: ops.batch_norm(x, x[0, :, 0], x[1, :, 0] ** 2 + 1), (x,))
