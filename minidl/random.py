"""Random numbers: Philox-4x32-10, a counter turned into noise.

Number i of a generator depends on (seed, offset + i) only: not on shape, layout, threads, device or
kernels. The state is those two integers; drawing n numbers adds n to the offset. So a checkpoint
holds two integers, and dropout can recompute its mask in backward instead of keeping it.
Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".

`manual_seed(0)` does not give PyTorch's numbers. NumPy's and Python's generators are never touched.
"""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from . import kernels
from .device import Array, backend, of
from .device import device as Device
from .tape import Tensor, wrap

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = 0xFFFFFFFF


def philox(counters: Array, seed: int, stream: int, xp: Any) -> list[Array]:
    """The four 32-bit words (as uint64 arrays) of each 64-bit counter, for a 64-bit seed."""
    low, shift = xp.uint64(_LOW), xp.uint64(32)
    c = [counters & low, counters >> shift, xp.full_like(counters, stream), xp.zeros_like(counters)]
    keys = [seed & _LOW, seed >> 32 & _LOW]
    m0, m1 = (xp.uint64(m) for m in _MULTIPLIERS)
    for _ in range(10):
        p, q = m0 * c[0], m1 * c[2]
        c = [
            (q >> shift) ^ c[1] ^ xp.uint64(keys[0]),
            q & low,
            (p >> shift) ^ c[3] ^ xp.uint64(keys[1]),
            p & low,
        ]
        keys = [(k + w) & _LOW for k, w in zip(keys, _WEYL, strict=True)]
    return c


def words(seed: int, offset: int, n: int, like: Array | None = None, stream: int = 0) -> Array:
    """uint32 words `offset` .. `offset + n - 1` of a seed's sequence: word k is lane k % 4 of
    counter k // 4. The kernel gives the same bits."""
    home = backend("cpu") if like is None else of(like)
    fast = kernels.function("philox") if home.type == "cpu" else None
    if fast is not None:
        return fast(np.uint64(seed), np.uint64(offset), n, stream)
    fast = kernels.function("words", like)
    if fast is not None:
        return fast(seed, offset, n, like, stream)
    xp = home.module
    first, last = offset // 4, (offset + n + 3) // 4
    counters = xp.arange(first, last, dtype=xp.uint64)
    lanes = xp.stack(philox(counters, seed, stream, xp), axis=1).astype(xp.uint32)
    return lanes.ravel()[offset - 4 * first :][:n]


def uniforms(seed: int, offset: int, n: int, dtype: Any, like: Array | None = None) -> Array:
    """n numbers in [0, 1): multiples of 2^-24 in float32, of 2^-53 in float64.

    In float64 number k is made of words 2k and 2k + 1 of stream 1.
    """
    fast = kernels.function("uniforms", like)
    if fast is not None:
        return fast(seed, offset, n, dtype, like)
    if np.dtype(dtype) == np.float64:
        w = words(seed, 2 * offset, 2 * n, like, stream=1).reshape(n, 2).astype("uint64")
        return ((w[:, 0] >> 5) * 2**26 + (w[:, 1] >> 6)).astype("float64") * 2.0**-53
    w = words(seed, offset, n, like)
    return ((w >> 8).astype("float32") * np.float32(2.0**-24)).astype(dtype, copy=False)


def normals(seed: int, offset: int, n: int, dtype: Any, like: Array | None = None) -> Array:
    """n numbers of the standard normal distribution, by Box and Muller's method: numbers 2j and
    2j + 1 are r cos a and r sin a, with r and a from the uniform numbers 2j and 2j + 1."""
    fast = kernels.function("normals", like)
    if fast is not None:
        return fast(seed, offset, n, dtype, like)
    xp = (backend("cpu") if like is None else of(like)).module
    kind = xp.float64 if np.dtype(dtype) == np.float64 else xp.float32
    first = offset // 2 * 2
    count = (offset + n - first + 1) // 2 * 2
    u = uniforms(seed, first, count, kind, like).reshape(-1, 2)
    radius = xp.sqrt(-2 * xp.log1p(-u[:, 0]))  # 1 - u is in (0, 1]: its logarithm is finite
    angle = u[:, 1] * kind(2 * math.pi)
    pairs = xp.stack((radius * xp.cos(angle), radius * xp.sin(angle)), axis=1)
    return pairs.ravel()[offset - first :][:n].astype(dtype, copy=False)


class Generator:
    """A sequence of random numbers; its state is (seed, offset).

    https://docs.pytorch.org/docs/stable/generated/torch.Generator.html
    """

    def __init__(self, device: str | Device = "cpu"):
        self.device = Device(device)
        self._seed, self._offset = 0, 0

    def manual_seed(self, seed: int) -> Generator:
        """Starts the sequence of `seed` (any integer, taken modulo 2^63) from its beginning."""
        self._seed, self._offset = int(seed) % 2**63, 0
        return self

    def seed(self) -> int:
        """Starts a sequence with a seed from the operating system, and returns that seed."""
        return self.manual_seed(int.from_bytes(os.urandom(8), "little")).initial_seed()

    def initial_seed(self) -> int:
        return self._seed

    def get_state(self) -> Tensor:
        """int64 tensor [seed, offset]."""
        return wrap(np.array([self._seed, self._offset], dtype=np.int64))

    def set_state(self, state: Tensor) -> Generator:
        """Goes back to a state from `get_state`."""
        values = state.tolist()
        if state._array.dtype != np.int64 or len(values) != 2 or min(values) < 0:
            raise ValueError(f"set_state: expected an int64 tensor [seed, offset], got {state}.")
        self._seed, self._offset = values
        return self

    def draw(self, n: int) -> tuple[int, int]:
        """Takes n numbers: (seed, offset of the first)."""
        start = self._offset
        self._offset += n
        return self._seed, start

    def __repr__(self) -> str:
        return f"Generator(seed={self._seed}, offset={self._offset})"


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Seeds the default generator, which random functions use unless they are given another."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seeds the default generator from the operating system."""
    return default_generator.seed()


def initial_seed() -> int:
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """State of the default generator: int64 tensor [seed, offset]."""
    return default_generator.get_state()


def set_rng_state(state: Tensor) -> None:
    default_generator.set_state(state)


def draw(generator: Generator | None, n: int) -> tuple[int, int]:
    """n numbers from `generator` or the default one: (seed, offset of the first)."""
    return (default_generator if generator is None else generator).draw(n)
