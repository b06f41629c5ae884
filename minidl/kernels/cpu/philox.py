"""Philox-4x32-10: the words of `minidl.random.words`, one counter at a time."""

from __future__ import annotations

import numpy as np

from . import jit

M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
W0, W1 = np.uint32(0x9E3779B9), np.uint32(0xBB67AE85)
LOW, SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)


@jit
def _fill(out, seed, first, stream):
    """out (n, 4): the four words of counters first, first + 1, ..."""
    for i in range(out.shape[0]):
        counter = first + np.uint64(i)
        c0, c1 = np.uint32(counter & LOW), np.uint32(counter >> SHIFT)
        c2, c3 = np.uint32(stream), np.uint32(0)
        k0, k1 = np.uint32(seed & LOW), np.uint32(seed >> SHIFT)
        for _ in range(10):
            p, q = M0 * np.uint64(c0), M1 * np.uint64(c2)
            c0, c1 = np.uint32(q >> SHIFT) ^ c1 ^ k0, np.uint32(q & LOW)
            c2, c3 = np.uint32(p >> SHIFT) ^ c3 ^ k1, np.uint32(p & LOW)
            k0, k1 = np.uint32(k0 + W0), np.uint32(k1 + W1)
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = c0, c1, c2, c3


def philox(seed: np.uint64, offset: np.uint64, n: int, stream: int) -> np.ndarray:
    """uint32 words offset .. offset + n - 1 of a seed's sequence."""
    first = int(offset) // 4
    out = np.empty(((int(offset) + n + 3) // 4 - first, 4), np.uint32)
    _fill(out, seed, np.uint64(first), np.uint32(stream))
    return out.ravel()[int(offset) - 4 * first :][:n]
