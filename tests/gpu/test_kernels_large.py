"""Arrays of 2^32 numbers and more, where an index of 32 bits comes around to the beginning.

Their memory is touched at the end only, so it costs nothing. Only the last block of a launch runs:
what it makes of the last item must be what it makes of that item alone.
"""

import mmap
from unittest import mock

import numpy as np
import pytest

from minidl.kernels.cuda import TYPES, blocks
from minidl.testing.standin import ndarray
from tests.gpu import shim
from tests.gpu.parity import on_shim
from tests.gpu.sources import needs_gxx, source

pytestmark = needs_gxx
NO_RESERVE = 0x4000  # of Linux: memory is found when it is touched, not before
MANY = 2**26 + 1  # items of 64 numbers: the last begins at number 2^32
HALF, SINGLE = TYPES[np.dtype("float16")], TYPES[np.dtype("float32")]


def zeros(n, *item, dtype="float16"):
    """n items, none of them in memory."""
    count, kind = n * int(np.prod(item)), np.dtype(dtype)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NO_RESERVE
    memory = mmap.mmap(-1, count * kind.itemsize, flags=flags)
    return ndarray(np.frombuffer(memory, kind).reshape(n, *item))


def filled(n, *item, seed=0, **options):
    """The same, but for the last item, which is of random numbers."""
    x = zeros(n, *item, **options)
    x._host[-1] = np.random.default_rng(seed).random(item) + 0.5
    return x


def positions(n, *item, below):
    x = zeros(n, *item, dtype="int64")
    x._host[-1] = np.random.default_rng(1).permutation(np.prod(item)).reshape(item) % below
    return x


def threads(count, each=256):
    return blocks(count, each), (each,)


def groups(n):
    """As many as there may be of one number each: kernels of norms take fewer than 2^31 numbers."""
    return 1 if n == 1 else 2**31 - 1


# How a window 3 x 3 lies on an image 8 x 8, of which there are 8 x 8; and one that is the image.
SAME = (8, 8, 3, 3, 8, 8, 1, 1, 1, 1, 1, 1)
WHOLE = (8, 8, 8, 8, 1, 1, 1, 1, 0, 0, 1, 1)
POINT = (8, 8, 1, 1, 8, 8, 1, 1, 0, 0, 1, 1)
F4 = {"dtype": "float32"}
HEADS = (0, 0, 0, 0, False, 8, 8, 8, 8, 0.5)  # no mask; 8 queries, keys, and features of each

# For n items: grid, block and arguments.
CASES = {
    ("elementwise", "values", f"{HALF}, Tanh"): lambda n: (
        *threads(64 * n), filled(n, 64), zeros(n, 64), 64 * n, 0.0, 0.0
    ),
    ("softmax", "softmax", HALF): lambda n: ((n,), (32,), filled(n, 64), zeros(n, 64), 64),
    ("softmax", "softmax_gradient", HALF): lambda n: (
        (n,), (32,), filled(n, 64), filled(n, 64, seed=1), zeros(n, 64), 64
    ),
    ("softmax", "logsumexp_gradient", HALF): lambda n: (
        (n,), (32,), filled(n), filled(n, 64, seed=1), filled(n, seed=2), zeros(n, 64), 64
    ),
    ("loss", "cross_entropy", SINGLE): lambda n: (
        (n,), (32,), filled(n, 64, **F4), zeros(n, dtype="int64"), None, 64, -100, 0.1,
        *[zeros(n, **F4) for _ in range(4)],
    ),
    ("loss", "cross_entropy_gradient", SINGLE): lambda n: (
        (n,), (32,), filled(n, **F4), True, filled(n, 64, **F4), zeros(n, dtype="int64"),
        filled(n, **F4), None, filled(n, **F4), filled(n, **F4), 64, -100, 0.1,
        zeros(n, 64, **F4),
    ),
    ("loss", "pair_losses", f"{SINGLE}, SquaredError"): lambda n: (
        *threads(4 * n), filled(n, 64, **F4), filled(n, 64, seed=1, **F4),
        zeros(*blocks(4 * n, 256), **F4), 64 * n,
    ),
    ("clip", "square_sum", "float"): lambda n: (
        *threads(4 * n), filled(n, 64, **F4), zeros(*blocks(4 * n, 256), dtype="float64"), 64 * n
    ),
    ("dropout", "dropout", HALF): lambda n: (
        *threads(16 * n), filled(n, 64), zeros(n, 64), 64 * n, 7, 0, 0, 2.0
    ),
    ("philox", "words", ""): lambda n: (
        *threads(16 * n), zeros(n, 64, dtype="uint32"), 64 * n, 7, 64 * (MANY - n), 0
    ),
    ("philox", "uniforms", SINGLE): lambda n: (
        *threads(16 * n), zeros(n, 64, **F4), 64 * n, 7, 64 * (MANY - n)
    ),
    ("philox", "normals", SINGLE): lambda n: (
        *threads(16 * n), zeros(n, 64, **F4), 64 * n, 7, 64 * (MANY - n)
    ),
    ("optimizers", "sgd", SINGLE): lambda n: (
        *threads(64 * n), filled(n, 64, **F4), filled(n, 64, seed=1, **F4), None, 64 * n,
        0.1, 0.0, 1.0, 0.0, False, False,
    ),
    ("recurrent", "lstm_cell", SINGLE): lambda n: (
        *threads(64 * n), filled(n, 256, **F4), filled(n, 256, **F4), None, filled(n, 64, **F4),
        zeros(n, 64, **F4), zeros(n, 64, **F4), n, 64,
    ),
    ("recurrent", "lstm_cell_gradient", SINGLE): lambda n: (
        *threads(64 * n), filled(n, 256, **F4), filled(n, 64, **F4), filled(n, 64, **F4), None,
        filled(n, 64, **F4), filled(n, 64, **F4), zeros(n, 256, **F4), n, 64,
    ),
    ("recurrent", "gru_cell", SINGLE): lambda n: (
        *threads(64 * n), filled(n, 192, **F4), filled(n, 192, **F4), None, None,
        filled(n, 64, **F4), zeros(n, 64, **F4), zeros(n, 64, **F4), n, 64,
    ),
    ("recurrent", "gru_cell_gradient", SINGLE): lambda n: (
        *threads(64 * n), filled(n, 192, **F4), filled(n, 64, **F4), filled(n, 64, **F4), None,
        filled(n, 64, **F4), zeros(n, 192, **F4), zeros(n, 192, **F4), n, 64,
    ),
    ("pool", "max_pool", HALF): lambda n: (
        *threads(64 * n), filled(n, 64), n, *SAME, zeros(n, 64), zeros(n, 64, dtype="int32")
    ),
    ("pool", "sum_pool", HALF): lambda n: (
        *threads(64 * n), filled(n, 64), n, *POINT[:8], zeros(n, 64)
    ),
    ("pool", "spread", HALF): lambda n: (
        *threads(64 * n), filled(n, 64), None, n, *SAME, zeros(n, 64)
    ),
    ("conv", "im2col", "half_t"): lambda n: (
        *threads(64 * n), filled(n, 64), zeros(n, 64), n, 1, *POINT
    ),
    ("conv", "col2im", HALF): lambda n: (
        *threads(64 * n), filled(n, 64), zeros(n, 64), n, 1, *POINT
    ),
    ("conv", "depthwise", HALF): lambda n: (
        *threads(n), filled(n, 64), filled(n, 64, seed=1), zeros(n), 1, n, 1, *WHOLE
    ),
    ("conv", "depthwise_input", HALF): lambda n: (
        *threads(64 * n), filled(n, 64), filled(n, seed=1), zeros(n, 64), 1, n, 1, *WHOLE
    ),
    ("conv", "depthwise_weight", HALF): lambda n: (
        (9 * n,), (32,), filled(n, 64), filled(n, 64, seed=1), zeros(n, 9), 1, n, 1, *SAME
    ),
    ("scatter", "add_slices", HALF): lambda n: (
        *threads(64 * n), filled(n, 64), positions(1, 1, below=1), positions(1, 1, below=1),
        zeros(n, 64), n, 1, 1, 64,
    ),
    ("scatter", "gather", "half_t"): lambda n: (
        *threads(64 * n), filled(n, 8, 8), positions(n, 8, 8, below=8), zeros(n, 8, 8), n, 8, 8, 8
    ),
    ("scatter", "scatter_lines", "half_t"): lambda n: (
        *threads(8 * n), filled(n, 8, 8), positions(n, 8, 8, below=8), zeros(n, 8, 8), n, 8, 8, 8
    ),
    ("local_response_norm", "normalise_locally", SINGLE): lambda n: (
        *threads(64 * n), filled(n, 64, **F4), 64 * n, 8, 8, 1, 1, 0.5, 0.75, 1.0,
        zeros(n, 64, **F4), zeros(n, 64, **F4),
    ),
    ("local_response_norm", "local_gradient", SINGLE): lambda n: (
        *threads(64 * n), *[filled(n, 64, seed=s, **F4) for s in range(4)], 64 * n, 8, 8, 1, 1,
        0.5, 0.75, zeros(n, 64, **F4),
    ),
    ("norms", "normalise", HALF): lambda n: (
        (groups(n),), (32,), filled(groups(n)), None, None, 1, 1, 1, 1, 1e-5, True,
        zeros(groups(n)), zeros(groups(n), 3, **F4), zeros(groups(n)), None,
    ),
    ("norms", "group_gradient", HALF): lambda n: (
        (groups(n),), (32,), filled(groups(n)), filled(groups(n), seed=1), None,
        filled(groups(n), 3, **F4), 1, 1, 1, False, zeros(groups(n)),
    ),
    ("attention", "attention", HALF): lambda n: (
        (n,), (32, 8), *[filled(n, 64, seed=s) for s in range(3)], None, None, n, *HEADS,
        zeros(n, 64), zeros(n, 8, **F4), zeros(n, 8, **F4),
    ),
    ("attention", "attention_queries", HALF): lambda n: (
        (n,), (32, 8), *[filled(n, 64, seed=s) for s in range(4)], None, None, n, *HEADS,
        filled(n, 64), *[filled(n, 8, **F4) for _ in range(2)], zeros(n, 8, **F4),
        zeros(n, 64), zeros(n, 64),
    ),
    ("attention", "attention_keys", HALF): lambda n: (
        (n,), (32, 8), *[filled(n, 64, seed=s) for s in range(4)], None, None, n, *HEADS,
        *[filled(n, 8, **F4) for _ in range(3)], zeros(n, 64), zeros(n, 64),
    ),
}  # fmt: skip


def last_items(case, n):
    """Of all arrays, after the last block of the kernel has run."""
    file, kernel, types = case
    grid, block, *args = CASES[case](n)
    with on_shim(), mock.patch.object(shim, "last_only", True):
        source(file).launch(kernel, types, grid, block, *args)
    return [a._host[-1].copy() for a in args if isinstance(a, ndarray)]


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_the_last_item_is_as_if_it_were_the_only_one(case):
    for found, alone in zip(last_items(case, MANY), last_items(case, 1), strict=True):
        np.testing.assert_array_equal(found, alone)
