"""LSTM and GRU over a whole sequence.

What a step adds to the gates has two parts: W_ih x_t, and W_hh h_(t-1). The first one needs no
state, so it is computed for all steps at once, as one large matrix product, (T N, I) times
(I, 4 H). Only the second one has to wait for the step before. It is small (N rows), and between two
of them there are the gates: as single ops, each of the T steps would be a dozen calls on little
work.

Here one loop goes over all steps. The sequences of a batch do not know of each other, so each
thread takes some of them, in tiles of 8 rows, from the first step to the last, without ever waiting
for the others. Its part of h and of the gates, and W_hh in panels of 32 columns (see row.py), stay
in its cache. A tile of the product W_hh h adds to W_ih x where that lies, and the gates are applied
there: afterwards the memory of W_ih x holds the gates (i, f, g, o) that the backward needs. Besides
them it needs c and h of each step, and no more: tanh(c) is quicker computed than kept.

The backward goes through the steps from the last to the first and carries dh and dc:

    dc += dh o (1 - tanh(c)^2)
    d(i, f, g, o) = (dc g, dc c_(t-1), dc i, dh tanh(c)), each times its gate's own derivative
    dh  = W_hh^T d(i, f, g, o) for the step before,    dc = dc f

The gradients of the weights are sums over all steps: again one large product each, after the loop.

S. Hochreiter, J. Schmidhuber, Long Short-Term Memory, 1997, https://doi.org/10.1162/neco.1997.9.8.1735;
J. Appleyard, T. Kocisky, P. Blunsom, Optimizing Performance of Recurrent Neural Networks on GPUs,
2016, https://arxiv.org/abs/1604.01946 (the same steps, for cuDNN)
"""

from __future__ import annotations

import numpy as np

from .. import Kernel
from . import jit, parallel, prange, threads
from .functions import sigmoid, tanh
from .gemm import multiply
from .row import PANEL, column_panels, turned_panels
from .vector import product

ZERO, ONE = np.float32(0), np.float32(1)
TILE = 8  # sequences that go through the recurrent product together


@jit
def _times_panels(x, at, x_row, panels, columns, out, out_at, out_row, rows, keep):
    """out (+)= rows of x, the first one at `at`, times a matrix in panels."""
    depth = panels.shape[1]
    for p in range(panels.shape[0]):
        n = min(PANEL, columns - p * PANEL)
        b_at, to = p * depth * PANEL, out_at + p * PANEL
        product(x, at, x_row, 1, panels, b_at, PANEL, out, to, out_row, rows, n, depth, keep)


@jit
def _add(x, out):
    for j in range(out.size):
        out[j] += x[j]


# -------------------------------------------------------------------------------------------- LSTM


@jit
def _lstm_step(gates, bias, c, new_c, h, n):
    """From W_ih x + W_hh h (in gates): the gates (i, f, g, o), the new c and h of n units."""
    for j in range(2 * n):
        gates[j] = sigmoid(gates[j] + bias[j])
    g, g_bias, o, o_bias = gates[2 * n : 3 * n], bias[2 * n : 3 * n], gates[3 * n :], bias[3 * n :]
    for j in range(n):
        g[j] = tanh(g[j] + g_bias[j])
    for j in range(n):
        o[j] = sigmoid(o[j] + o_bias[j])
    i, f = gates[:n], gates[n : 2 * n]
    for j in range(n):
        new_c[j] = f[j] * c[j] + i[j] * g[j]
    for j in range(n):
        h[j] = o[j] * tanh(new_c[j])


@jit
def _lstm_step_backward(gates, c, new_c, dh, dc, d, n):
    """d of the gates before their sigmoid and tanh; dc becomes that of the step before."""
    i, f, g, o = gates[:n], gates[n : 2 * n], gates[2 * n : 3 * n], gates[3 * n :]
    di, df, dg, do = d[:n], d[n : 2 * n], d[2 * n : 3 * n], d[3 * n :]
    for j in range(n):
        t = tanh(new_c[j])
        dc[j] += dh[j] * o[j] * (ONE - t * t)
        do[j] = dh[j] * t * o[j] * (ONE - o[j])
    for j in range(n):
        di[j] = dc[j] * g[j] * i[j] * (ONE - i[j])
    for j in range(n):
        df[j] = dc[j] * c[j] * f[j] * (ONE - f[j])
    for j in range(n):
        dg[j] = dc[j] * i[j] * (ONE - g[j] * g[j])
    for j in range(n):
        dc[j] *= f[j]


@jit
def _lstm_rows(gates, bias, panels, h0, c0, out, c, reverse, first, last):
    """All steps of the sequences from `first` to `last`."""
    steps, batch, n = out.shape
    rows = last - first
    for s in range(steps):
        t = steps - 1 - s if reverse else s
        before = t + 1 if reverse else t - 1
        to = (t * batch + first) * 4 * n
        if s == 0:
            _times_panels(h0, first * n, n, panels, 4 * n, gates, to, 4 * n, rows, True)
        else:
            at = (before * batch + first) * n
            _times_panels(out, at, n, panels, 4 * n, gates, to, 4 * n, rows, True)
        for r in range(first, last):
            last_c = c0[r] if s == 0 else c[before, r]
            _lstm_step(gates[t, r], bias, last_c, c[t, r], out[t, r], n)


@jit
def _lstm_rows_backward(
    g, gates, panels, c0, c, dh, dc, d, dbias, reverse, first, last
):  # fmt: skip
    steps, batch, n = c.shape
    for s in range(steps):
        t = s if reverse else steps - 1 - s
        before = t + 1 if reverse else t - 1
        for r in range(first, last):
            if g.size > 0:
                _add(g[t, r], dh[r])
            last_c = c0[r] if s == steps - 1 else c[before, r]
            _lstm_step_backward(gates[t, r], last_c, c[t, r], dh[r], dc[r], d[t, r], n)
            _add(d[t, r], dbias[r // TILE])
        at = (t * batch + first) * 4 * n
        _times_panels(d, at, 4 * n, panels, n, dh, first * n, n, last - first, False)


@parallel
def _lstm_forward(gates, bias, w_hh, h0, c0, out, c, reverse, share):
    panels = turned_panels(w_hh)
    batch = h0.shape[0]
    for i in prange((batch + share - 1) // share):
        first, last = i * share, min(batch, (i + 1) * share)
        _lstm_rows(gates, bias, panels, h0, c0, out, c, reverse, first, last)


@parallel
def _lstm_backward(g, gates, w_hh, c0, c, dh, dc, d, dbias, reverse, share):
    panels = column_panels(w_hh)
    batch = c0.shape[0]
    for i in prange((batch + share - 1) // share):
        first, last = i * share, min(batch, (i + 1) * share)
        _lstm_rows_backward(
            g, gates, panels, c0, c, dh, dc, d, dbias, reverse, first, last
        )  # fmt: skip


def lstm_sequence(
    input: np.ndarray,
    h: np.ndarray,
    c: np.ndarray,
    w_ih: np.ndarray,
    w_hh: np.ndarray,
    b_ih: np.ndarray | None,
    b_hh: np.ndarray | None,
    reverse: bool,
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """(the outputs, the last h, the last c), and for the backward the gates and every c."""
    gates = _projected(input, w_ih)
    bias = np.zeros(gates.shape[-1], np.float32) if b_ih is None else b_ih + b_hh
    h, c, w_hh = (np.ascontiguousarray(x) for x in (h, c, w_hh))
    out = np.empty((*input.shape[:2], h.shape[1]), np.float32)
    cells = np.empty_like(out)
    share, work = _share(len(h)), gates.size * h.shape[1]
    _lstm_forward(work, gates, bias, w_hh, h, c, out, cells, reverse, share)
    final = 0 if reverse else -1
    return (out, out[final].copy(), cells[final].copy()), (gates, cells)


def lstm_sequence_backward(
    g: list,
    input: np.ndarray,
    h: np.ndarray,
    c: np.ndarray,
    w_ih: np.ndarray,
    w_hh: np.ndarray,
    b_ih: np.ndarray | None,
    out: np.ndarray,
    aux: tuple[np.ndarray, np.ndarray],
    reverse: bool,
    needs: tuple[bool, ...],
) -> tuple[np.ndarray | None, ...]:
    gates, cells = aux
    dh, dc = _started(g[1], h), _started(g[2], c)
    d = np.empty_like(gates)
    dbias = np.zeros((_tiles(len(h)), gates.shape[-1]), np.float32)
    arrays = _outputs_gradient(g[0]), gates, np.ascontiguousarray(w_hh), np.ascontiguousarray(c)
    share, work = _share(len(h)), gates.size * h.shape[1]
    _lstm_backward(work, *arrays, cells, dh, dc, d, dbias, reverse, share)
    dinput, dw_ih = _projected_backward(d, input, w_ih, needs[0])
    dw_hh = _recurrent_weight(d, out, h, reverse)
    if b_ih is None:
        return dinput, dh, dc, dw_ih, dw_hh, None, None
    dbias = dbias.sum(0)
    return dinput, dh, dc, dw_ih, dw_hh, dbias, dbias.copy()


# --------------------------------------------------------------------------------------------- GRU


@jit
def _gru_step(gates, x_bias, y_n, y_bias, h, new_h, n):
    """From W_ih x (+ W_hh h for r and z) in gates, and W_hn h in y_n: (r, z, n), y_n, the new h."""
    for j in range(2 * n):
        gates[j] = sigmoid(gates[j] + x_bias[j])
    r, z, x_n, n_bias = gates[:n], gates[n : 2 * n], gates[2 * n :], x_bias[2 * n :]
    for j in range(n):
        y_n[j] += y_bias[j]
    for j in range(n):
        x_n[j] = tanh(x_n[j] + n_bias[j] + r[j] * y_n[j])
    for j in range(n):
        new_h[j] = x_n[j] + z[j] * (h[j] - x_n[j])


@jit
def _gru_step_backward(gates, y_n, h, dh, dx, dy, n):
    """dx and dy: gradients of W_ih x and of W_hh h; dh becomes what goes to h directly."""
    r, z, new = gates[:n], gates[n : 2 * n], gates[2 * n :]
    dr, dz, dn = dx[:n], dx[n : 2 * n], dx[2 * n :]
    dy_n = dy[2 * n :]
    for j in range(n):
        dz[j] = dh[j] * (h[j] - new[j]) * z[j] * (ONE - z[j])
    for j in range(n):
        dn[j] = dh[j] * (ONE - z[j]) * (ONE - new[j] * new[j])
    for j in range(n):
        dr[j] = dn[j] * y_n[j] * r[j] * (ONE - r[j])
    for j in range(n):
        dy_n[j] = dn[j] * r[j]
    for j in range(2 * n):
        dy[j] = dx[j]
    for j in range(n):
        dh[j] *= z[j]


@jit
def _gru_rows(gates, x_bias, y, y_bias, panels, n_panels, h0, out, reverse, first, last):
    steps, batch, n = out.shape
    rows = last - first
    for s in range(steps):
        t = steps - 1 - s if reverse else s
        before = t + 1 if reverse else t - 1
        x_at, y_at = (t * batch + first) * 3 * n, (t * batch + first) * n
        if s == 0:
            at = first * n
            _times_panels(h0, at, n, panels, 2 * n, gates, x_at, 3 * n, rows, True)
            _times_panels(h0, at, n, n_panels, n, y, y_at, n, rows, False)
        else:
            at = (before * batch + first) * n
            _times_panels(out, at, n, panels, 2 * n, gates, x_at, 3 * n, rows, True)
            _times_panels(out, at, n, n_panels, n, y, y_at, n, rows, False)
        for r in range(first, last):
            h = h0[r] if s == 0 else out[before, r]
            _gru_step(gates[t, r], x_bias, y[t, r], y_bias, h, out[t, r], n)


@jit
def _gru_rows_backward(
    g, gates, y, panels, h0, out, dh, dx, dy, dx_bias, dy_bias, reverse, first, last
):  # fmt: skip
    steps, batch, n = out.shape
    for s in range(steps):
        t = s if reverse else steps - 1 - s
        before = t + 1 if reverse else t - 1
        for r in range(first, last):
            if g.size > 0:
                _add(g[t, r], dh[r])
            h = h0[r] if s == steps - 1 else out[before, r]
            _gru_step_backward(gates[t, r], y[t, r], h, dh[r], dx[t, r], dy[t, r], n)
            _add(dx[t, r], dx_bias[r // TILE])
            _add(dy[t, r], dy_bias[r // TILE])
        at = (t * batch + first) * 3 * n
        _times_panels(dy, at, 3 * n, panels, n, dh, first * n, n, last - first, True)


@parallel
def _gru_forward(gates, x_bias, y, y_bias, w_hh, h0, out, reverse, share):
    batch, n = h0.shape
    panels, n_panels = turned_panels(w_hh[: 2 * n]), turned_panels(w_hh[2 * n :])
    for i in prange((batch + share - 1) // share):
        first, last = i * share, min(batch, (i + 1) * share)
        _gru_rows(
            gates, x_bias, y, y_bias, panels, n_panels, h0, out, reverse, first, last
        )  # fmt: skip


@parallel
def _gru_backward(g, gates, y, w_hh, h0, out, dh, dx, dy, dx_bias, dy_bias, reverse, share):
    panels = column_panels(w_hh)
    batch = h0.shape[0]
    for i in prange((batch + share - 1) // share):
        first, last = i * share, min(batch, (i + 1) * share)
        _gru_rows_backward(
            g, gates, y, panels, h0, out, dh, dx, dy, dx_bias, dy_bias, reverse, first, last
        )  # fmt: skip


def gru_sequence(
    input: np.ndarray,
    h: np.ndarray,
    w_ih: np.ndarray,
    w_hh: np.ndarray,
    b_ih: np.ndarray | None,
    b_hh: np.ndarray | None,
    reverse: bool,
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """(the outputs, the last h), and for the backward the gates and W_hn h + b_hn."""
    gates, n = _projected(input, w_ih), h.shape[1]
    x_bias, y_bias = np.zeros(3 * n, np.float32), np.zeros(n, np.float32)
    if b_ih is not None:
        x_bias[:] = b_ih
        x_bias[: 2 * n] += b_hh[: 2 * n]
        y_bias[:] = b_hh[2 * n :]
    h, w_hh = np.ascontiguousarray(h), np.ascontiguousarray(w_hh)
    out = np.empty((*input.shape[:2], n), np.float32)
    y = np.empty_like(out)
    share = _share(len(h))
    _gru_forward(gates.size * n, gates, x_bias, y, y_bias, w_hh, h, out, reverse, share)
    return (out, out[0 if reverse else -1].copy()), (gates, y)


def gru_sequence_backward(
    g: list,
    input: np.ndarray,
    h: np.ndarray,
    w_ih: np.ndarray,
    w_hh: np.ndarray,
    b_ih: np.ndarray | None,
    out: np.ndarray,
    aux: tuple[np.ndarray, np.ndarray],
    reverse: bool,
    needs: tuple[bool, ...],
) -> tuple[np.ndarray | None, ...]:
    gates, y = aux
    dh = _started(g[1], h)
    dx, dy = np.empty_like(gates), np.empty_like(gates)
    dx_bias, dy_bias = np.zeros((2, _tiles(len(h)), gates.shape[-1]), np.float32)
    arrays = np.ascontiguousarray(w_hh), np.ascontiguousarray(h), out
    grads = dh, dx, dy, dx_bias, dy_bias
    share, work = _share(len(h)), gates.size * h.shape[1]
    _gru_backward(work, _outputs_gradient(g[0]), gates, y, *arrays, *grads, reverse, share)
    dinput, dw_ih = _projected_backward(dx, input, w_ih, needs[0])
    dw_hh = _recurrent_weight(dy, out, h, reverse)
    if b_ih is None:
        return dinput, dh, dw_ih, dw_hh, None, None
    return dinput, dh, dw_ih, dw_hh, dx_bias.sum(0), dy_bias.sum(0)


# ------------------------------------------------------------------------------------ for both


def _tiles(batch: int) -> int:
    return (batch + TILE - 1) // TILE


def _share(batch: int) -> int:
    """How many sequences one thread takes: whole tiles."""
    return TILE * -(-_tiles(batch) // threads.count())


def _flat(x: np.ndarray) -> np.ndarray:
    """(T, N, F) as (T N, F)."""
    return np.ascontiguousarray(x).reshape(-1, x.shape[-1])


def _projected(input: np.ndarray, w_ih: np.ndarray) -> np.ndarray:
    """W_ih x of all steps: (T, N, gates)."""
    return multiply(_flat(input), w_ih.T).reshape(*input.shape[:2], -1)


def _projected_backward(
    d: np.ndarray, input: np.ndarray, w_ih: np.ndarray, wanted: bool
) -> tuple[np.ndarray | None, np.ndarray]:
    """Gradients of the input (if wanted) and of W_ih."""
    dinput = multiply(_flat(d), w_ih).reshape(input.shape) if wanted else None
    return dinput, multiply(_flat(d).T, _flat(input))


def _recurrent_weight(d: np.ndarray, out: np.ndarray, h: np.ndarray, reverse: bool) -> np.ndarray:
    """The gradient of W_hh: the sum over steps of d_t^T h_(t-1), where h_0 is the given one."""
    later, before, start = (d[:-1], out[1:], d[-1]) if reverse else (d[1:], out[:-1], d[0])
    return multiply(_flat(later).T, _flat(before)) + multiply(start.T, h)


def _started(g: np.ndarray | None, state: np.ndarray) -> np.ndarray:
    """The gradient of a last state, to be carried back: a new array."""
    return np.zeros(state.shape, np.float32) if g is None else np.array(g, order="C")


def _outputs_gradient(g: np.ndarray | None) -> np.ndarray:
    return np.empty((0, 0, 0), np.float32) if g is None else np.ascontiguousarray(g)


def _eligible(input: np.ndarray, h: np.ndarray, *rest: object, **keywords: bool) -> bool:
    arrays = [x for x in (input, h, *rest) if isinstance(x, np.ndarray)]
    if any(x.dtype != np.float32 or not x.size for x in arrays):
        return False
    return input.ndim == 3 and h.ndim == 2 and len(h) == input.shape[1]


KERNELS = {
    "lstm_sequence": Kernel(lstm_sequence, lstm_sequence_backward, _eligible, has_aux=True),
    "gru_sequence": Kernel(gru_sequence, gru_sequence_backward, _eligible, has_aux=True),
}
