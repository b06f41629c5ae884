"""Random tensors: Philox's published numbers, distributions, and what the state decides."""

import math
import threading
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import kernels, ops, random
from minidl.ops import random as random_ops
from minidl.ops.dropout import __all__ as DROPOUTS
from minidl.testing import gradcheck, gradgradcheck, to_numpy


@pytest.fixture(autouse=True)
def seeded():
    state = minidl.get_rng_state()
    minidl.manual_seed(1234)
    yield
    minidl.set_rng_state(state)


# Salmon et al.'s Random123, file kat_vectors: counter, key -> four words.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def philox(counter, key):
    """Philox-4x32-10 on Python integers, from the paper."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(q >> 32) ^ c[1] ^ k[0], q % 2**32, (p >> 32) ^ c[3] ^ k[1], p % 2**32]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return tuple(c)


@pytest.mark.smoke
@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_the_reference_gives_the_published_words(counter, key, expected):
    assert philox(counter, key) == expected


@pytest.mark.smoke
@pytest.mark.parametrize("use_kernels", [True, False])
@given(
    seed=st.one_of(st.integers(0, 5), st.integers(0, 2**63 - 1)),
    offset=st.one_of(st.integers(0, 9), st.integers(0, 2**61)),
    n=st.integers(0, 40),
    stream=st.integers(0, 1),
)
def test_words_are_philox(use_kernels, seed, offset, n, stream):
    expected = []
    for i in range(offset, offset + n):
        block = i // 4
        counter = (block % 2**32, block >> 32, stream, 0)
        expected.append(philox(counter, (seed % 2**32, seed >> 32))[i % 4])
    with kernels.forced(False) if use_kernels else kernels.disabled():
        assert random.words(seed, offset, n, stream=stream).tolist() == expected


RANDOM = {
    "rand": lambda g: minidl.rand(3, 5, generator=g),
    "randn": lambda g: minidl.randn(3, 5, generator=g),
    "randint": lambda g: minidl.randint(0, 100, (3, 5), generator=g),
    "randint_like": lambda g: minidl.randint_like(minidl.zeros(3, 5), 100, generator=g),
    "random_": lambda g: minidl.zeros(3, 5).random_(generator=g),
    "exponential_": lambda g: minidl.zeros(3, 5).exponential_(generator=g),
    "geometric_": lambda g: minidl.zeros(3, 5).geometric_(0.05, generator=g),
    "log_normal_": lambda g: minidl.zeros(3, 5).log_normal_(generator=g),
    "cauchy_": lambda g: minidl.zeros(3, 5).cauchy_(generator=g),
    "randperm": lambda g: minidl.randperm(15, generator=g),
    "bernoulli": lambda g: minidl.bernoulli(minidl.full((3, 5), 0.5), generator=g),
    "normal": lambda g: minidl.normal(1.0, 2.0, (3, 5), generator=g),
    "multinomial": lambda g: minidl.multinomial(minidl.ones(15), 9, generator=g),
    "multinomial with replacement": lambda g: minidl.multinomial(
        minidl.ones(3, 5), 9, replacement=True, generator=g
    ),
}
FROM_DEFAULT = {
    "rand_like": lambda: minidl.rand_like(minidl.zeros(3, 5)),
    "randn_like": lambda: minidl.randn_like(minidl.zeros(3, 5)),
    "dropout": lambda: ops.dropout(minidl.ones(3, 5), 0.5),
    "dropout1d": lambda: ops.dropout1d(minidl.ones(3, 5, 2), 0.5),
    "dropout2d": lambda: ops.dropout2d(minidl.ones(3, 5, 2, 2), 0.5),
    "dropout3d": lambda: ops.dropout3d(minidl.ones(5, 2, 2, 2), 0.5),
    "feature_dropout": lambda: ops.feature_dropout(minidl.ones(3, 5, 2, 2), 0.5, True),
    "alpha_dropout": lambda: ops.alpha_dropout(minidl.ones(3, 5), 0.5, True),
    "feature_alpha_dropout": lambda: ops.feature_alpha_dropout(minidl.ones(3, 5, 2), 0.5, True),
}


def test_every_random_function_is_tested():
    tested = {name.split()[0] for name in (*RANDOM, *FROM_DEFAULT)}
    assert {*random_ops.__all__, *random_ops.METHODS, *DROPOUTS} == tested


@pytest.mark.smoke
@pytest.mark.parametrize("name", RANDOM)
def test_the_state_decides(name):
    g = minidl.Generator().manual_seed(7)
    state = g.get_state()
    first = RANDOM[name](g).tolist()
    second = RANDOM[name](g).tolist()
    assert first != second
    assert RANDOM[name](g.set_state(state)).tolist() == first
    assert RANDOM[name](minidl.Generator().manual_seed(8)).tolist() != first
    g = minidl.Generator()
    g.set_state(state)
    assert RANDOM[name](g).tolist() == first


@pytest.mark.parametrize("name", FROM_DEFAULT)
def test_the_default_generator_decides(name):
    state = minidl.get_rng_state()
    first = FROM_DEFAULT[name]().tolist()
    assert FROM_DEFAULT[name]().tolist() != first
    minidl.set_rng_state(state)
    assert FROM_DEFAULT[name]().tolist() == first


def test_state_is_seed_and_offset():
    g = minidl.Generator().manual_seed(7)
    assert g.get_state().tolist() == [7, 0]
    assert g.initial_seed() == 7
    minidl.rand(10, generator=g)
    assert g.get_state().tolist() == [7, 10]
    assert g.get_state().dtype == minidl.int64


@pytest.mark.parametrize("dtype", [minidl.float32, minidl.float64])
@pytest.mark.parametrize("name", ["rand", "randn"])
def test_number_i_depends_on_seed_and_offset_only(name, dtype):
    """Drawn at once, in parts or in another shape, the sequence is the same."""
    function = getattr(minidl, name)
    g = minidl.Generator().manual_seed(3)
    whole = function(4, 6, generator=g, dtype=dtype).flatten().tolist()
    g.manual_seed(3)
    parts = [function(n, generator=g, dtype=dtype).tolist() for n in (1, 2, 5, 3, 0, 13)]
    assert [x for part in parts for x in part] == whole


def test_other_generators_are_left_alone():
    before = np.random.get_state()[1].copy()
    for draw in RANDOM.values():
        draw(None)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_threads_share_the_default_generator_without_repeats():
    drawn = []

    def work():
        for _ in range(200):
            drawn.append(minidl.get_rng_state() is not None and minidl.rand(4).tolist())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({tuple(numbers) for numbers in drawn}) == len(drawn)


N = 200_000


def test_uniform_distribution():
    for dtype in (minidl.float32, minidl.float64):
        x = to_numpy(minidl.rand(N, dtype=dtype))
        assert x.min() >= 0 and x.max() < 1
        np.testing.assert_allclose(x.mean(), 0.5, atol=4 / np.sqrt(12 * N))
        counts = np.histogram(x, 100, (0, 1))[0]
        chi_squared = ((counts - N / 100) ** 2 / (N / 100)).sum()
        assert chi_squared < 160  # 99 degrees of freedom: less than 1 in 10,000 above


def test_normal_distribution():
    for dtype in (minidl.float32, minidl.float64):
        x = to_numpy(minidl.randn(N, dtype=dtype)).astype(float)
        assert np.isfinite(x).all()
        np.testing.assert_allclose(x.mean(), 0, atol=4 / np.sqrt(N))
        np.testing.assert_allclose(x.var(), 1, atol=4 * np.sqrt(2 / N))
        np.testing.assert_allclose((x**4).mean(), 3, atol=4 * np.sqrt(96 / N))
        assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 4 / np.sqrt(N)


def test_integers_and_permutations():
    x = to_numpy(minidl.randint(-3, 4, (N,)))
    assert sorted(set(x.tolist())) == list(range(-3, 4))
    counts = np.bincount(x + 3)
    np.testing.assert_allclose(counts, N / 7, atol=5 * np.sqrt(N / 7))
    assert sorted(minidl.randperm(100).tolist()) == list(range(100))
    firsts = [minidl.randperm(3).tolist() for _ in range(3000)]
    for order in np.unique(firsts, axis=0, return_counts=True)[1]:
        assert abs(order - 500) < 5 * np.sqrt(500)


def test_multinomial_follows_the_weights():
    weights = minidl.tensor([1.0, 0.0, 3.0])
    drawn = to_numpy(minidl.multinomial(weights, 20_000, replacement=True))
    counts = np.bincount(drawn, minlength=3)
    assert counts[1] == 0
    np.testing.assert_allclose(counts[2] / 20_000, 0.75, atol=0.02)
    firsts = [minidl.multinomial(weights, 2).tolist() for _ in range(2000)]
    assert {tuple(sorted(f)) for f in firsts} == {(0, 2)}
    np.testing.assert_allclose(np.mean([f[0] == 2 for f in firsts]), 0.75, atol=0.05)


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 1.0])
def test_dropout_keeps_the_expected_value(p, device):
    x = minidl.full((400, 100), 3.0, device=device)
    out = to_numpy(ops.dropout(x, p))
    kept = out != 0
    np.testing.assert_allclose(kept.mean(), 1 - p, atol=0.01)
    if p < 1:
        np.testing.assert_allclose(out[kept], 3.0 / (1 - p), rtol=1e-6)
    assert ops.dropout(x, p, training=False) is x


def test_dropout_draws_the_same_mask_in_backward(device):
    x = minidl.ones(50, 50, device=device, requires_grad=True)
    out = ops.dropout(x, 0.3)
    minidl.rand(17)  # what is drawn in between does not matter
    out.sum().backward()
    np.testing.assert_array_equal(to_numpy(x.grad), to_numpy(out))


def test_dropout_has_two_derivatives(device):
    def dropped(x):
        minidl.manual_seed(5)
        return ops.dropout(x, 0.4) ** 2

    x = minidl.rand(3, 4, dtype=minidl.float64, requires_grad=True)
    assert gradcheck(dropped, x)
    assert gradgradcheck(dropped, x)


def test_dropout2d_drops_whole_channels(device):
    out = to_numpy(ops.dropout2d(minidl.ones(50, 20, 3, 3, device=device), 0.5))
    per_channel = out.reshape(1000, 9)
    assert (per_channel == per_channel[:, :1]).all()
    np.testing.assert_allclose((per_channel[:, 0] == 0).mean(), 0.5, atol=0.1)


def test_dropout_in_place(device):
    x = minidl.ones(100, device=device)
    out = ops.dropout(x, 0.5, inplace=True)
    assert out is x
    assert 20 < (to_numpy(x) == 0).sum() < 80


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: minidl.randint(5, 5, (2,)), ValueError, "low < high"),
        (lambda: minidl.randint(5), TypeError, "size"),
        (lambda: minidl.bernoulli(minidl.tensor([1.5])), ValueError, "between 0 and 1"),
        (lambda: minidl.bernoulli(minidl.tensor([1])), minidl.DTypeError, "float"),
        (lambda: minidl.multinomial(minidl.ones(2), 3), ValueError, "replacement=True"),
        (lambda: minidl.multinomial(-minidl.ones(2), 1), ValueError, "not negative"),
        (lambda: minidl.rand(2, dtype=minidl.int64), minidl.DTypeError, "float"),
        (lambda: minidl.normal(0.0, 1.0), TypeError, "size"),
        (lambda: minidl.Generator().set_state(minidl.zeros(3)), ValueError, "[seed, offset]"),
        (lambda: ops.dropout(minidl.ones(2), -0.1), ValueError, "-0.1"),
    ],
)
def test_bad_calls(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert words in str(caught.value)


DRAWN = {
    "exponential": (lambda x: x.exponential_(2.0), lambda u: -np.log1p(-u) / 2),
    "geometric": (lambda x: x.geometric_(0.3), lambda u: np.ceil(np.log1p(-u) / np.log(0.7))),
    "cauchy": (lambda x: x.cauchy_(1.0, 2.0), lambda u: 1 + 2 * np.tan(np.pi * (u - 0.5))),
    "log_normal": (lambda x: x.log_normal_(1.0, 0.5), NormalDist(1.0, 0.5).inv_cdf),
    "random": (lambda x: x.random_(2, 7), lambda u: 2 + np.floor(5 * u)),
}


@pytest.mark.smoke
@pytest.mark.parametrize("name", DRAWN)
def test_quantiles_of_what_a_method_draws(name, device):
    """At levels 0.1 ... 0.9, within four standard errors of the quantile's level."""
    draw, quantile = DRAWN[name]
    n = 20_000
    x = np.sort(to_numpy(draw(minidl.zeros(n, dtype=minidl.float64, device=device))))
    for level in np.arange(0.1, 1.0, 0.1):
        q = quantile(level) if name != "log_normal" else math.exp(quantile(level))
        assert (x < q).mean() - 2 / math.sqrt(n) <= level <= (x <= q).mean() + 2 / math.sqrt(n)


def test_random_fills_the_range_of_its_type(device):
    for kind, top in [("bool", 1), ("uint8", 255), ("int8", 127), ("float32", 2**24)]:
        x = minidl.zeros(4000, dtype=getattr(minidl, kind), device=device).random_()
        assert x.dtype.name == kind
        values = to_numpy(x).astype(float)
        assert values.min() >= 0 and 0.9 * top <= values.max() <= top
    with pytest.raises(ValueError, match="random_"):
        minidl.zeros(2, device=device).random_(3, 3)
    with pytest.raises(ValueError, match="exponential_"):
        minidl.zeros(2, device=device).exponential_(0.0)
    with pytest.raises(ValueError, match="geometric_"):
        minidl.zeros(2, device=device).geometric_(1.0)


@pytest.mark.parametrize("channels", [False, True])
def test_alpha_dropout_keeps_mean_and_variance(channels, device):
    minidl.manual_seed(0)
    x = minidl.randn(40_000, 4, device=device).unsqueeze(2)
    drop = ops.feature_alpha_dropout if channels else ops.alpha_dropout
    y = drop(x, 0.3, training=True)
    assert abs(y.mean().item()) < 0.02 and abs(y.var().item() - 1) < 0.02
    scale = (0.7 * (1 + 0.3 * 1.7580993**2)) ** -0.5
    off = -1.7580993 * scale * 0.7  # what a unit that is switched off is set to
    assert abs((abs(y - off) < 1e-5).float().mean().item() - 0.3) < 0.01
    assert drop(x, 0.3) is x  # not in training


def test_channel_dropout_drops_whole_channels(device):
    minidl.manual_seed(0)
    for drop, shape in ((ops.dropout1d, (30, 20, 4)), (ops.dropout3d, (30, 20, 2, 2, 2))):
        y = drop(minidl.ones(shape, device=device), 0.5).flatten(2)
        assert set(y.flatten().tolist()) == {0.0, 2.0}
        assert (y == y[:, :, :1]).all()
        assert 0.4 < y.mean().item() / 2 < 0.6
