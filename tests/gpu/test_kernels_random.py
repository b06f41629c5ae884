"""Draws and dropout by CUDA kernels, run by the shim: the bits of the CPU."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import kernels, random
from minidl.tape import named
from minidl.testing import standin, to_numpy
from tests.gpu.parity import arrays, check, layouts, on_shim
from tests.gpu.sources import needs_gxx

pytestmark = needs_gxx
seeds = st.integers(0, 2**63 - 1)
# Around the edges of counters, of 32 bits, and of blocks of threads.
offsets = st.one_of(st.integers(0, 9), st.integers(2**34 - 9, 2**34 + 9), st.integers(0, 2**50))
counts = st.sampled_from([0, 1, 2, 3, 4, 5, 255, 257, 1023, 1025, 2051])


def both(draw):
    """The result of draw(like) with CUDA kernels, and from the definition on the CPU."""
    with on_shim():
        fast = draw(standin.ndarray(np.zeros(1)))
        assert fast.__class__ is standin.ndarray
    with kernels.disabled():
        return fast._host, draw(None)


@given(seeds, offsets, counts, st.sampled_from([0, 1]))
def test_words_have_the_bits_of_the_definition(seed, offset, n, stream):
    fast, exact = both(lambda like: random.words(seed, offset, n, like, stream))
    assert fast.dtype == np.uint32
    np.testing.assert_array_equal(fast, exact)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@given(seed=seeds, offset=offsets, n=counts)
def test_uniform_numbers_have_the_bits_of_the_definition(dtype, seed, offset, n):
    fast, exact = both(lambda like: random.uniforms(seed, offset, n, dtype, like))
    assert fast.dtype == dtype
    np.testing.assert_array_equal(fast, exact)


@pytest.mark.parametrize(
    ("dtype", "rtol"), [("float16", 2e-3), ("float32", 2e-6), ("float64", 1e-14)]
)
@given(seed=seeds, offset=offsets, n=counts)
def test_normal_numbers_are_those_of_the_definition(dtype, rtol, seed, offset, n):
    """Up to the last digits of log1p, sin and cos, which libraries compute differently."""
    fast, exact = both(lambda like: random.normals(seed, offset, n, dtype, like))
    assert fast.dtype == dtype
    np.testing.assert_allclose(fast, exact, rtol=rtol, atol=rtol)


@given(x=arrays(), p=st.floats(0, 1), seed=seeds, offset=offsets, layout=layouts)
def test_dropout_as_the_definition(x, p, seed, offset, layout):
    p = float(np.float32(p)) if p > 1 - 2**-24 else p  # 1 / (1 - p) must be a float32
    check(lambda x: named("dropout")(x, p, seed, offset, False), x, kernel="dropout", layout=layout)


@given(st.one_of(st.floats(0, 0.99), st.sampled_from([0.1, 0.3, 0.5, 2.0**-24, 1.0])), seeds)
def test_dropout_keeps_the_same_numbers(p, seed):
    """Bit by bit, in float32: comparing integers is comparing the numbers."""
    x = np.ones(999, np.float32)
    with kernels.disabled():
        exact = named("dropout")(minidl.from_numpy(x), p, seed, 3, False)
    with on_shim():
        fast = named("dropout")(minidl.tape.wrap(standin.ndarray(x)), p, seed, 3, False)
    np.testing.assert_array_equal(fast._array._host, to_numpy(exact))


def test_every_draw_on_the_device_is_that_of_the_cpu():
    def draws(device):
        minidl.manual_seed(3)
        net = minidl.nn.Linear(5, 7, device=device)
        drawn = [
            minidl.rand(3, 5, device=device),
            minidl.randint(0, 9, (20,), device=device),
            minidl.dropout(minidl.ones(50, device=device), 0.4, True),
            minidl.bernoulli(minidl.full((30,), 0.3, device=device)),
            net.weight,
        ]
        return [to_numpy(x) for x in drawn]

    with on_shim() as device:
        fast = draws(device)
    for a, b in zip(fast, draws("cpu"), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_end_of_a_counter_may_lie_beyond_2_to_the_32():
    fast, exact = both(lambda like: random.words(1, 4 * 2**32 - 2, 5, like))
    np.testing.assert_array_equal(fast, exact)
    assert math.prod(exact.shape) == 5


def test_dropout_keeps_a_number_whose_uniform_is_just_p():
    """As the definition, which drops what is below p."""
    p = float(random.uniforms(7, 0, 6, "float32", None)[5])
    check(lambda x: named("dropout")(x, p, 7, 0, False), np.ones(6), kernel="dropout")
