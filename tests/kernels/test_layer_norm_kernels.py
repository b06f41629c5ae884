"""The kernels of layer_norm and rms_norm."""

import numpy as np
import pytest

import minidl
from minidl.nn import functional as F
from tests import parity

SHAPES = [  # of the input, how many of its last dimensions are normalised
    ((1, 5), 1),
    ((3, 1), 1),
    ((7, 17), 1),
    ((40, 33), 1),
    ((300, 130), 1),
    ((5, 3, 7), 2),
    ((2, 3, 5, 7), 3),
    ((6, 4), 2),
    ((3, 9000), 1),
]
every_shape = pytest.mark.parametrize(("shape", "dims"), SHAPES, ids=str)


def draw(*shape, seed=7):  # not 0, the cotangents' seed: the slope along the input itself is 0
    return np.random.default_rng(seed).standard_normal(shape)


def layer_norm(dims):
    return lambda x, *affine: F.layer_norm(x, x.shape[-dims:], *affine)


def rms_norm(dims):
    return lambda x, *weight: F.rms_norm(x, x.shape[-dims:], *weight, eps=1e-5)


def arrays(shape, dims, affine):
    return [draw(*shape), *(draw(*shape[-dims:], seed=8 + i) for i in range(affine))]


# A single number normalised is 0 / sqrt(eps): its digits are lost in any precision.
FEW = {"atol": 1e-3}


@every_shape
@pytest.mark.parametrize("affine", [0, 1, 2])
def test_layer_norm(shape, dims, affine):
    options = FEW if shape == (3, 1) else {}
    parity.check(layer_norm(dims), *arrays(shape, dims, affine), kernel="layer_norm", **options)


@every_shape
@pytest.mark.parametrize("affine", [0, 1])
def test_rms_norm(shape, dims, affine):
    parity.check(rms_norm(dims), *arrays(shape, dims, affine), kernel="rms_norm")


@pytest.mark.parametrize("function", [layer_norm(1), rms_norm(1)], ids=["layer", "rms"])
def test_inputs_anywhere_in_memory(function):
    for x in parity.layouts(draw(4, 6, 5, 9)):
        parity.check(function, x, draw(9, seed=8))


@pytest.mark.parametrize("mean", [1e2, 1e4, -1e4])
def test_a_large_mean(mean):
    """The input is rounded to float32 first: what is lost there is not the kernel's."""
    x = np.float32(draw(50, 300) + mean).astype(float)
    parity.check(layer_norm(1), x, draw(300, seed=8), draw(300, seed=9), kernel="layer_norm")


@pytest.mark.parametrize("special", [np.nan, np.inf])
@pytest.mark.parametrize("function", [layer_norm(1), rms_norm(1)], ids=["layer", "rms"])
def test_special_values_spoil_their_own_row_only(function, special):
    x = draw(9, 20)
    x[4, 3] = special
    out = function(minidl.tensor(np.float32(x))).numpy()
    with minidl.kernels.disabled():
        exact = function(minidl.tensor(x)).numpy()
    parity.close(out, exact)
    assert np.isfinite(np.delete(out, 4, axis=0)).all()


@pytest.mark.parametrize("function", [layer_norm(1), rms_norm(1)], ids=["layer", "rms"])
def test_same_bits_for_any_number_of_threads(function):
    parity.same_bits(function, draw(300, 130), draw(130, seed=8))


@pytest.mark.parametrize(
    ("function", "affine"), [(layer_norm(1), 2), (rms_norm(1), 1)], ids=["layer", "rms"]
)
def test_second_derivatives(function, affine):
    def slope(x, *rest):
        out = function(x, *rest)
        weighted = out.square() * minidl.linspace(-1, 1, 54, dtype=x.dtype).reshape(6, 9)
        (dx,) = minidl.autograd.grad(weighted.sum(), x, create_graph=True)
        return dx

    parity.check(slope, *arrays((6, 9), 1, affine), rtol=1e-4)


def test_gradients_of_the_weights_are_kept_without_a_copy():
    layer = minidl.nn.LayerNorm([5, 7])
    layer(minidl.randn(4, 5, 7)).square().sum().backward()
    for p in layer.parameters():
        assert p.grad._array.base is None and p.grad.shape == (5, 7)


@pytest.mark.parametrize("function", [F.layer_norm, F.rms_norm])
def test_empty(function):
    with parity.kernels_used() as used:
        assert function(minidl.zeros(0, 4), (4,)).shape == (0, 4)
    assert not used
