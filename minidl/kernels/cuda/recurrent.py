"""LSTM and GRU over a whole sequence: a product and the launch of a cell for each step.

The array module's `matmul` is cuBLAS; W_ih x and the gradients of all weights are one large product
for all steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...device import Array, xp
from .. import Kernel
from . import TYPES, Source, blocks, contiguous

THREADS = 256
KERNEL_NAMES = ("lstm_cell", "lstm_cell_gradient", "gru_cell", "gru_cell_gradient")
SOURCE = Source("recurrent.cu", dict.fromkeys(KERNEL_NAMES, TYPES.values()))


def _launch(kernel: str, state: Array, *args: Any) -> None:
    """With a thread for each unit of the state (N, H)."""
    grid = blocks(state.size, THREADS)
    SOURCE.launch(kernel, TYPES[state.dtype], grid, (THREADS,), *args, *state.shape)


def _steps(count: int, reverse: bool) -> Iterator[tuple[int, int | None]]:
    """Each step, and the one before (None for the first one), in the order of the forward."""
    order = range(count)[::-1] if reverse else range(count)
    return zip(order, (None, *order), strict=False)


# -------------------------------------------------------------------------------------------- LSTM


def lstm_sequence(
    input: Array,
    h: Array,
    c: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None,
    b_hh: Array | None,
    reverse: bool,
) -> tuple[tuple[Array, Array, Array], tuple[Array, Array]]:
    """(the outputs, the last h, the last c), and for the backward the gates and every c."""
    gates, h, c = _projected(input, w_ih), contiguous(h), contiguous(c)
    bias = None if b_ih is None else b_ih + b_hh
    out = xp(h).empty((*input.shape[:2], h.shape[1]), h.dtype)
    cells = xp(h).empty_like(out)
    last = 0
    for t, before in _steps(len(out), reverse):
        last_h, last_c = (h, c) if before is None else (out[before], cells[before])
        y = contiguous(last_h @ w_hh.T)
        _launch("lstm_cell", h, gates[t], y, bias, last_c, cells[t], out[t])
        last = t
    return (out, out[last].copy(), cells[last].copy()), (gates, cells)


def lstm_sequence_backward(
    g: list,
    input: Array,
    h: Array,
    c: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None,
    out: Array,
    aux: tuple[Array, Array],
    reverse: bool,
    needs: tuple[bool, ...],
) -> tuple[Array | None, ...]:
    gates, cells = aux
    c = contiguous(c)
    dh, dc = _started(g[1], c), _started(g[2], c)
    outputs, d = _outputs_gradient(g[0], len(out)), xp(c).empty_like(gates)
    for t, before in list(_steps(len(out), reverse))[::-1]:
        last_c = c if before is None else cells[before]
        args = gates[t], last_c, cells[t], outputs[t], dh, dc, d[t]
        _launch("lstm_cell_gradient", c, *args)
        dh = contiguous(d[t] @ w_hh)
    dinput, dw_ih = _projected_backward(d, input, w_ih, needs[0])
    dw_hh = _recurrent_weight(d, out, h, reverse)
    if b_ih is None:
        return dinput, dh, dc, dw_ih, dw_hh, None, None
    dbias = d.sum((0, 1))
    return dinput, dh, dc, dw_ih, dw_hh, dbias, dbias.copy()


# --------------------------------------------------------------------------------------------- GRU


def gru_sequence(
    input: Array,
    h: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None,
    b_hh: Array | None,
    reverse: bool,
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """(the outputs, the last h), and for the backward the gates and W_hn h + b_hn."""
    gates, h = _projected(input, w_ih), contiguous(h)
    biases = [None if b is None else contiguous(b) for b in (b_ih, b_hh)]
    out = xp(h).empty((*input.shape[:2], h.shape[1]), h.dtype)
    inner = xp(h).empty_like(out)
    last = 0
    for t, before in _steps(len(out), reverse):
        last_h = h if before is None else out[before]
        y = contiguous(last_h @ w_hh.T)
        _launch("gru_cell", h, gates[t], y, *biases, last_h, inner[t], out[t])
        last = t
    return (out, out[last].copy()), (gates, inner)


def gru_sequence_backward(
    g: list,
    input: Array,
    h: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None,
    out: Array,
    aux: tuple[Array, Array],
    reverse: bool,
    needs: tuple[bool, ...],
) -> tuple[Array | None, ...]:
    gates, inner = aux
    h = contiguous(h)
    dh, outputs = _started(g[1], h), _outputs_gradient(g[0], len(out))
    dx, dy = xp(h).empty_like(gates), xp(h).empty_like(gates)
    for t, before in list(_steps(len(out), reverse))[::-1]:
        last_h = h if before is None else out[before]
        args = gates[t], inner[t], last_h, outputs[t], dh, dx[t], dy[t]
        _launch("gru_cell_gradient", h, *args)
        dh += dy[t] @ w_hh
    dinput, dw_ih = _projected_backward(dx, input, w_ih, needs[0])
    dw_hh = _recurrent_weight(dy, out, h, reverse)
    if b_ih is None:
        return dinput, dh, dw_ih, dw_hh, None, None
    return dinput, dh, dw_ih, dw_hh, dx.sum((0, 1)), dy.sum((0, 1))


# ---------------------------------------------------------------------------------------- for both


def _flat(x: Array) -> Array:
    """(T, N, F) as (T N, F)."""
    return x.reshape(-1, x.shape[-1])


def _projected(input: Array, w_ih: Array) -> Array:
    """W_ih x of all steps: (T, N, gates)."""
    return contiguous(_flat(input) @ w_ih.T).reshape(*input.shape[:2], -1)


def _projected_backward(
    d: Array, input: Array, w_ih: Array, wanted: bool
) -> tuple[Array | None, Array]:
    """Gradients of the input (if wanted) and of W_ih."""
    dinput = (_flat(d) @ w_ih).reshape(input.shape) if wanted else None
    return dinput, _flat(d).T @ _flat(input)


def _recurrent_weight(d: Array, out: Array, h: Array, reverse: bool) -> Array:
    """The gradient of W_hh: the sum over steps of d_t^T h_(t-1), where h_0 is the given one."""
    later, before, start = (d[:-1], out[1:], d[-1]) if reverse else (d[1:], out[:-1], d[0])
    return _flat(later).T @ _flat(before) + start.T @ h


def _started(g: Array | None, state: Array) -> Array:
    """The gradient of a last state, to be carried back: a new array."""
    return xp(state).zeros_like(state) if g is None else g.copy()


def _outputs_gradient(g: Array | None, steps: int) -> Any:
    """What comes from the output of each step, or None."""
    return [None] * steps if g is None else contiguous(g)


def _takes(input: Array, h: Array, *rest: Array | None, reverse: bool) -> bool:
    if any(x is not None and not x.size for x in (input, h, *rest)):
        return False
    return input.ndim == 3 and h.ndim == 2 and len(h) == input.shape[1]


KERNELS = {
    "lstm_sequence": Kernel(lstm_sequence, lstm_sequence_backward, _takes, has_aux=True, half=True),
    "gru_sequence": Kernel(gru_sequence, gru_sequence_backward, _takes, has_aux=True, half=True),
}
