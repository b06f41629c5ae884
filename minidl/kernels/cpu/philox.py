"""Philox-4x32-10: the words of `minidl.random.words`, thousands of counters at once.

Other generators make a number from the one before it, so nothing can be computed ahead. Philox
encrypts a counter: ten rounds of multiplying and mixing turn i into four random words, and word k
needs no other word. So a vector register works on eight counters at once, and threads on different
blocks of them. For that, the four words of a counter are kept in four rows (first the words 0 of
all counters, then the words 1, ...) until the rounds are done, and are brought into their order at
the end.

The multiplication is 32 bits by 32 bits to 64 bits, of which both halves are used; it is written
with 64-bit numbers that stay below 2^32, because that is an instruction which registers have.

Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3",
https://doi.org/10.1145/2063384.2063405
"""

from __future__ import annotations

import numpy as np

from . import jit, parallel, prange

M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
W0, W1 = 0x9E3779B9, 0xBB67AE85
LOW, SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)
ROUNDS = 10
COUNTERS = 1024  # in a block: its words and their four rows take 32 KB
WORDS = 4 * COUNTERS


def keys_of(seed: int) -> np.ndarray:
    """The two keys of each round: uint64 (ROUNDS, 2)."""
    low, high = seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF
    keys = [((low + r * W0) & 0xFFFFFFFF, (high + r * W1) & 0xFFFFFFFF) for r in range(ROUNDS)]
    return np.array(keys, np.uint64)


@jit
def _rounds(row0, row1, row2, row3, keys, first, stream):
    for i in range(row0.size):
        counter = first + np.uint64(i)
        c0, c1, c2, c3 = counter & LOW, counter >> SHIFT, stream, np.uint64(0)
        for r in range(ROUNDS):
            p, q = M0 * c0, M1 * c2
            c0, c1 = (q >> SHIFT) ^ c1 ^ keys[r, 0], q & LOW
            c2, c3 = (p >> SHIFT) ^ c3 ^ keys[r, 1], p & LOW
        row0[i], row1[i] = np.uint32(c0), np.uint32(c1)
        row2[i], row3[i] = np.uint32(c2), np.uint32(c3)


@jit
def words_of_block(keys, first, stream):
    """uint32 (WORDS,): the words of counters first, first + 1, ... of one block."""
    rows = np.empty((4, COUNTERS), np.uint32)
    _rounds(rows[0], rows[1], rows[2], rows[3], keys, first, stream)
    words = np.empty(WORDS, np.uint32)
    for i in range(COUNTERS):
        for lane in range(4):
            words[4 * i + lane] = rows[lane, i]
    return words


@jit
def _copy(words, out):
    for i in range(out.size):
        out[i] = words[i]


@parallel
def _fill(out, keys, first, stream):
    for block in prange((out.size + WORDS - 1) // WORDS):
        words = words_of_block(keys, first + np.uint64(block * COUNTERS), stream)
        _copy(words, out[block * WORDS : (block + 1) * WORDS])


def philox(seed: np.uint64, offset: np.uint64, n: int, stream: int) -> np.ndarray:
    """uint32 words offset .. offset + n - 1 of a seed's sequence."""
    skipped = int(offset) % 4
    out = np.empty(skipped + n, np.uint32)
    first = np.uint64(int(offset) // 4)
    _fill(8 * out.size, out, keys_of(int(seed)), first, np.uint64(stream))
    return out[skipped:]
