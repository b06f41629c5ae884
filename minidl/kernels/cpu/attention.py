"""Attention that never holds the matrix of all weights (flash attention).

y = P v with P = softmax(S) row by row and S = scale q k^T + mask. For a sequence of length L, S and
P are L x L for each head: for L = 1024 a thousand times a vector register's worth for every query,
written to memory and read again by every step of the definition, and kept for the backward. But a
row of P is needed only to make the same row of y. So the work is cut into blocks of a few rows:
their scores (8 x L numbers) stay in the cache from the first product to the last.

    forward, for 8 queries:   S = scale q k^T + mask            (8, L)
                              m = max S,  t = sum e^(S - m)     per row
                              y = e^(S - m) v / t               (8, V)

The backward needs P again, and P is cheap to make again: the forward keeps m and 1 / t of each row
(the paper keeps one number, m + log t, which is less exact where scores are large), and P is
e^(S - m) / t. With g the gradient of y, and for 32 queries at a time:

    dv += P^T g
    dP  = g v^T
    dS  = P (dP - delta),   delta = the row's sum of P dP
    dq  = scale dS k
    dk += scale dS^T q

delta looks as if it needed whole rows of P and dP before anything else, but it does not:
sum_j P_ij dP_ij = sum_j P_ij (g_i . v_j) = g_i . y_i, the product of two rows, is enough.

On a GPU the cache is so small that keys are taken in blocks too, and m and t are corrected from
block to block. Here a row of scores fits, and causal attention just stops at its last key.
A head's keys lie transposed and in panels of 32 columns, as the tiles of vector.py read them;
queries, keys and values are filled up with zeros to whole tiles. One head is one task for a thread.

T. Dao, D. Y. Fu, S. Ermon, A. Rudra, C. Ré, FlashAttention: Fast and Memory-Efficient Exact
Attention with IO-Awareness, 2022, https://arxiv.org/abs/2205.14135
"""

from __future__ import annotations

import numpy as np

from .. import Kernel
from . import jit, parallel, prange
from .functions import exp
from .row import PANEL, dot, filled, hide, largest, move, sum_of, turned_panels, whole
from .vector import block_8x2

F = np.float32
ZERO, ONE, INFINITY = F(0), F(1), F(np.inf)
TILE = 8  # rows of a product that stays in registers
BLOCK = 32  # queries taken together in the backward: so often less dk and dv are read and written


@jit
def _times_panels(x, first, panels, out, at, seen):
    """8 rows of x, from `first` on, times the panels before `seen`, into rows of out."""
    width, depth, step = x.shape[1], panels.shape[1], out.shape[1] * PANEL
    for p in range(seen):
        a_at, b_at, out_at = first * width, p * depth * PANEL, at * step + p * PANEL
        block_8x2(x, a_at, width, 1, panels, b_at, PANEL, depth, out, out_at, step, 0, False)


@jit
def _times_rows(x, at, seen, rows, out):
    """8 rows of x, from `at` on and up to panel `seen`, times `rows`, into out (8, ...)."""
    step, width = x.shape[1] * PANEL, rows.shape[1]
    for c in range(0, width, PANEL):
        block_8x2(x, at * step, step, 1, rows, c, width, seen * PANEL, out, c, width, 0, False)


@jit
def _add_turned(x, seen, rows, first, out):
    """out += x^T times the rows from `first` on, for the columns of x before panel `seen`."""
    step, width = x.shape[1] * PANEL, rows.shape[1]
    for j in range(0, seen * PANEL, TILE):
        for c in range(0, width, PANEL):
            b_at, out_at = first * width + c, j * width + c
            block_8x2(x, j, 1, step, rows, b_at, width, BLOCK, out, out_at, width, 0, True)


# Rows of scores are (panels, 32): an inner loop over exactly 32 numbers has no remainder, which
# would be done one by one.


@jit
def _masked(scores, mask):
    """Adds a row of the mask; -inf makes a score -inf, whatever it was. Is any key left?"""
    top = -INFINITY
    for j in range(mask.size):
        row, c = scores[j // PANEL], j % PANEL
        hidden = mask[j] == -INFINITY
        row[c] = -INFINITY if hidden else row[c] + mask[j]
        top = top if hidden else ZERO
    return top == ZERO


@jit
def _exponentials(scores):
    """Turns scores into e^(score - largest); returns the largest, and their sum."""
    top = largest(scores, scores.size)
    for p in range(scores.shape[0]):
        row = scores[p]
        for j in range(PANEL):
            row[j] = exp(row[j] - top)
    return top, sum_of(scores, scores.size)


@jit
def _slopes(p, ds, stats, delta):
    """From scores and dP: P = e^(S - m) / t and dS = P (dP - delta)."""
    top, share = stats[0], stats[1]
    for i in range(p.shape[0]):
        weights, slopes = p[i], ds[i]
        for j in range(PANEL):
            weight = share * exp(weights[j] - top)
            weights[j] = weight
            slopes[j] = weight * (slopes[j] - delta)


@jit
def _head(q, k, v, mask, scale, is_causal, out, stats):
    """One head: q (L, E), k (S, E), v (S, V), mask (L or 1, S) or (0, 0), out (L, V)."""
    length, source = q.shape[0], k.shape[0]
    panels, width = whole(source, PANEL) // PANEL, whole(v.shape[1], PANEL)
    queries = filled(q, scale, whole(length, TILE), q.shape[1])
    keys = turned_panels(k)
    values = filled(v, ONE, panels * PANEL, width)
    scores = np.empty((TILE, panels, PANEL), np.float32)
    result = np.empty((TILE, width), np.float32)
    for first in range(0, length, TILE):
        seen = min(panels, whole(first + TILE, PANEL) // PANEL) if is_causal else panels
        _times_panels(queries, first, keys, scores, 0, seen)
        rows = min(TILE, length - first)
        for i in range(rows):
            at, row = first + i, scores[i, :seen]
            hide(row, min(at + 1, source) if is_causal else source, row.size)
            if mask.size == 0 or _masked(row, mask[at % mask.shape[0]]):
                stats[at, 0], total = _exponentials(row)
                stats[at, 1] = ONE / total
            else:
                row[:] = ZERO
                stats[at] = ZERO  # 1 / t = 0: its weights are 0 in the backward, too
        _times_rows(scores, 0, seen, values, result)
        for i in range(rows):
            move(stats[first + i, 1], result[i], width, out[first + i], v.shape[1])


@jit
def _head_backward(
    g, q, k, v, mask, y, stats, scale, is_causal, dq, dk, dv, dmask
):  # fmt: skip
    """One head; dmask: (L, S), or (0, 0) if nobody asks for it."""
    length, source = q.shape[0], k.shape[0]
    panels = whole(source, PANEL) // PANEL
    features, width = whole(q.shape[1], PANEL), whole(v.shape[1], PANEL)
    queries = filled(q, scale, whole(length, BLOCK), features)
    gradients = filled(g, ONE, whole(length, BLOCK), width)
    keys, keys_turned = filled(k, scale, panels * PANEL, features), turned_panels(k)
    values_turned = turned_panels(v)
    weights = np.empty((BLOCK, panels, PANEL), np.float32)  # S, then P
    slopes = np.empty((BLOCK, panels, PANEL), np.float32)  # dP, then dS
    result = np.empty((TILE, features), np.float32)
    to_keys = np.zeros((panels * PANEL, features), np.float32)
    to_values = np.zeros((panels * PANEL, width), np.float32)
    for first in range(0, length, BLOCK):
        seen = min(panels, first // PANEL + 1) if is_causal else panels
        for at in range(0, BLOCK, TILE):
            _times_panels(queries, first + at, keys_turned, weights, at, seen)
            _times_panels(gradients, first + at, values_turned, slopes, at, seen)
        for i in range(BLOCK):
            at, p, ds = first + i, weights[i, :seen], slopes[i, :seen]
            if at >= length:
                p[:], ds[:] = ZERO, ZERO
                continue
            hide(p, min(at + 1, source) if is_causal else source, p.size)
            if mask.size > 0:
                _masked(p, mask[at % mask.shape[0]])
            _slopes(p, ds, stats[at], dot(g[at], y[at], v.shape[1]))
            if dmask.size > 0:
                to = dmask[at]
                for j in range(to.size):
                    to[j] = ds[j // PANEL, j % PANEL] if j < seen * PANEL else ZERO
        for at in range(0, BLOCK, TILE):
            _times_rows(slopes, at, seen, keys, result)
            for i in range(min(TILE, length - first - at)):
                move(ONE, result[i], features, dq[first + at + i], q.shape[1])
        _add_turned(weights, seen, gradients, first, to_values)
        _add_turned(slopes, seen, queries, first, to_keys)
    for i in range(source):
        move(ONE, to_keys[i], features, dk[i], q.shape[1])
        move(ONE, to_values[i], width, dv[i], v.shape[1])


@parallel
def _forward(q, k, v, mask, scale, is_causal, out, stats):
    heads = q.shape[1]
    for pair in prange(q.shape[0] * heads):
        n, h = pair // heads, pair % heads
        m = mask[n % mask.shape[0], h % mask.shape[1]]
        _head(q[n, h], k[n, h], v[n, h], m, scale, is_causal, out[n, h], stats[n, h])


@parallel
def _backward(g, q, k, v, mask, out, stats, scale, is_causal, dq, dk, dv, dmask):
    heads = q.shape[1]
    for pair in prange(q.shape[0] * heads):
        n, h = pair // heads, pair % heads
        _head_backward(
            g[n, h],
            q[n, h],
            k[n, h],
            v[n, h],
            mask[n % mask.shape[0], h % mask.shape[1]],
            out[n, h],
            stats[n, h],
            scale,
            is_causal,
            dq[n, h],
            dk[n, h],
            dv[n, h],
            dmask[n % dmask.shape[0], h % dmask.shape[1]],
        )


# ------------------------------------------------------------------------------------- for the tape


def _heads_of(x: np.ndarray) -> np.ndarray:
    """(batch, heads, length, features), on the same memory if features lie side by side."""
    x = x[(None,) * (4 - x.ndim)]
    return x if x.strides[-1] == x.itemsize else np.ascontiguousarray(x)


def _new(x: np.ndarray, width: int) -> np.ndarray:
    """(batch, heads, length, width), the features side by side and the rest in the order of x's
    memory: so heads that are views of one projection become one row again without a copy."""
    order = sorted(range(3), key=lambda axis: -x.strides[axis])
    out = np.empty((*(x.shape[axis] for axis in order), width), np.float32)
    return out.transpose(*(order.index(axis) for axis in range(3)), 3)


def _additive(mask: np.ndarray | None, k: np.ndarray) -> np.ndarray:
    """The mask as (batch or 1, heads or 1, L or 1, S) of what is added to the scores."""
    if mask is None:
        return np.empty((1, 1, 0, 0), np.float32)
    if mask.dtype == bool:
        mask = np.where(mask, ZERO, -INFINITY)
    if mask.shape[-1] != k.shape[-2]:
        mask = np.repeat(mask, k.shape[-2], -1)
    return np.ascontiguousarray(_heads_of(mask))


def _work(q: np.ndarray, k: np.ndarray) -> int:
    return q.size * k.shape[-2]


def attention(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    attn_mask: np.ndarray | None,
    is_causal: bool,
    scale: float,
) -> tuple[np.ndarray, np.ndarray]:
    """y, and for the backward m and 1 / t of each row."""
    q, k, v = (_heads_of(x) for x in (query, key, value))
    out = _new(q, v.shape[-1])
    stats = np.empty((*q.shape[:-1], 2), np.float32)
    _forward(_work(q, k), q, k, v, _additive(attn_mask, k), F(scale), is_causal, out, stats)
    return out.reshape(*query.shape[:-1], -1), stats


def attention_backward(
    g: np.ndarray,
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    attn_mask: np.ndarray | None,
    out: np.ndarray,
    aux: np.ndarray,
    is_causal: bool,
    scale: float,
    needs: tuple[bool, ...],
) -> tuple[np.ndarray | None, ...]:
    q, k, v = inputs = [_heads_of(x) for x in (query, key, value)]
    grads = [_new(x, x.shape[-1]) for x in inputs]
    # A mask that learns takes the gradient of every score; its broadcasting is summed by the tape.
    shape = (*q.shape[:-1], k.shape[-2]) if needs[3] else (1, 1, 0, 0)
    dmask = np.empty(shape, np.float32)
    arrays = _heads_of(g), q, k, v, _additive(attn_mask, k), _heads_of(out), aux
    _backward(2 * _work(q, k), *arrays, F(scale), is_causal, *grads, dmask)
    dq, dk, dv = (x.reshape(y.shape) for x, y in zip(grads, (query, key, value), strict=True))
    return dq, dk, dv, dmask if needs[3] else None


def _eligible(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    attn_mask: np.ndarray | None,
    is_causal: bool,
    scale: float,
) -> bool:
    arrays = query, key, value
    if any(x.dtype != np.float32 or not x.size or not 2 <= x.ndim <= 4 for x in arrays):
        return False
    if not query.shape[:-2] == key.shape[:-2] == value.shape[:-2]:
        return False
    if attn_mask is None:
        return True
    scores, mask = (*query.shape[:-1], key.shape[-2]), attn_mask.shape
    return 0 < len(mask) <= len(scores) and all(
        n in (1, size) for n, size in zip(mask[::-1], scores[::-1], strict=False)
    )


KERNELS = {"attention": Kernel(attention, attention_backward, _eligible, has_aux=True)}
