"""Recurrent layers: the state of a step follows from the input of the step and the state before.

A step is written once, for the gates' input x = W_ih input + b_ih, which a layer computes for all
steps at once. `*_cell` is one step, `lstm_sequence` and `gru_sequence` are a layer over all steps
(definitions, so that a kernel can do the whole loop), `recurrent` is a whole stack of layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..errors import ShapeError
from ..makers import definition
from ..promotion import need_tensors
from ..tape import Tensor
from .dropout import dropout
from .elementwise import relu, sigmoid, tanh
from .linalg import linear
from .shape import cat, stack

__all__ = ["gru_cell", "lstm_cell", "rnn_relu_cell", "rnn_tanh_cell"]
METHODS: list[str] = []  # also methods of Tensor

State = tuple[Tensor, ...]  # (h,) or, for an LSTM, (h, c)


def _rnn_tanh(x: Tensor, state: State, w_hh: Tensor, b_hh: Tensor | None) -> State:
    """h' = tanh(x + W_hh h + b_hh)"""
    return (tanh(x + linear(state[0], w_hh, b_hh)),)


def _rnn_relu(x: Tensor, state: State, w_hh: Tensor, b_hh: Tensor | None) -> State:
    """h' = relu(x + W_hh h + b_hh)"""
    return (relu(x + linear(state[0], w_hh, b_hh)),)


def _gru(x: Tensor, state: State, w_hh: Tensor, b_hh: Tensor | None) -> State:
    """h' = (1 - z) n + z h, with r = s(x_r + y_r), z = s(x_z + y_z), n = tanh(x_n + r y_n) and
    y = W_hh h + b_hh, s the sigmoid"""
    (h,) = state
    x_r, x_z, x_n = x.chunk(3, -1)
    y_r, y_z, y_n = linear(h, w_hh, b_hh).chunk(3, -1)
    n = tanh(x_n + sigmoid(x_r + y_r) * y_n)
    return (n + sigmoid(x_z + y_z) * (h - n),)


def _lstm(
    x: Tensor, state: State, w_hh: Tensor, b_hh: Tensor | None, w_hr: Tensor | None = None
) -> State:
    """c' = s(f) c + s(i) tanh(g), h' = s(o) tanh(c'), with (i, f, g, o) = x + W_hh h + b_hh, s the
    sigmoid; with a projection W_hr the new h is W_hr h'"""
    h, c = state
    i, f, g, o = (x + linear(h, w_hh, b_hh)).chunk(4, -1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(c)
    return (h if w_hr is None else linear(h, w_hr)), c


STEPS = {"RNN_TANH": _rnn_tanh, "RNN_RELU": _rnn_relu, "GRU": _gru, "LSTM": _lstm}


# --------------------------------------------------------------------------------------- one step


def rnn_tanh_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """h' = tanh(W_ih input + b_ih + W_hh h + b_hh). input: (N, I), hx: (N, H), w_ih: (H, I).

    https://docs.pytorch.org/docs/stable/generated/torch.nn.RNNCell.html
    """
    return _cell("rnn_tanh_cell", _rnn_tanh, 1, input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]


def rnn_relu_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """h' = relu(W_ih input + b_ih + W_hh h + b_hh). input: (N, I), hx: (N, H), w_ih: (H, I).

    https://docs.pytorch.org/docs/stable/generated/torch.nn.RNNCell.html
    """
    return _cell("rnn_relu_cell", _rnn_relu, 1, input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]


def gru_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """h' = (1 - z) n + z h; x = W_ih input + b_ih and y = W_hh h + b_hh give, s the sigmoid,
    r = s(x_r + y_r), z = s(x_z + y_z), n = tanh(x_n + r y_n).

    input: (N, I), hx: (N, H), w_ih: (3 H, I) with rows for r, z, n, w_hh: (3 H, H).
    Cho et al. 2014, https://arxiv.org/abs/1406.1078;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.GRUCell.html
    """
    return _cell("gru_cell", _gru, 3, input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]


def lstm_cell(
    input: Tensor,
    hx: Sequence[Tensor],
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """c' = s(f) c + s(i) tanh(g), h' = s(o) tanh(c'), s the sigmoid, and
    (i, f, g, o) = W_ih input + b_ih + W_hh h + b_hh. Returns (h', c').

    input: (N, I), hx: (h, c), each (N, H), w_ih: (4 H, I) with rows for i, f, g, o.
    Hochreiter and Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTMCell.html
    """
    if isinstance(hx, Tensor) or len(hx) != 2:
        raise ValueError("lstm_cell: expected hx to be a pair of tensors (h, c).")
    return _cell("lstm_cell", _lstm, 4, input, tuple(hx), w_ih, w_hh, b_ih, b_hh)


def _cell(
    name: str,
    step: Callable,
    gates: int,
    input: Tensor,
    state: State,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
) -> State:
    need_tensors(name, input=input, hx=state[0], w_ih=w_ih, w_hh=w_hh)
    hidden = state[0]._array.shape[-1]
    if w_hh._array.shape != (gates * hidden, hidden) or w_ih._array.shape[0] != gates * hidden:
        raise ShapeError(
            f"{name}: a state of {hidden} features needs w_ih ({gates * hidden}, inputs) and w_hh "
            f"{(gates * hidden, hidden)}, got {w_ih._array.shape} and {w_hh._array.shape}."
        )
    return step(linear(input, w_ih, b_ih), state, w_hh, b_hh)


# ------------------------------------------------------------------------------- a whole sequence


def recurrent(
    mode: str,
    input: Tensor,
    batch_sizes: list[int] | None,
    initial: State,
    weights: list[list[Tensor]],
    has_biases: bool,
    bidirectional: bool,
    dropout_p: float,
    training: bool,
) -> tuple[Tensor, State]:
    """The outputs of the last of several layers, and the state of each layer after its last step.

    input: (T, N, I), or packed, (sum of batch_sizes, I). initial: (layers * directions, N, H) each.
    weights: for each layer and direction W_ih, W_hh, and b_ih, b_hh, W_hr where there are such.
    The directions' outputs are concatenated; dropout is between layers.
    """
    directions = 1 + bidirectional
    layers = len(weights) // directions
    finals = []
    for layer in range(layers):
        outputs = []
        for direction in range(directions):
            i = layer * directions + direction
            w_ih, w_hh, *rest = weights[i]
            b_ih, b_hh, *rest = rest if has_biases else (None, None, *rest)
            state = tuple(s[i] for s in initial)
            arguments = (w_ih, w_hh, b_ih, b_hh, *rest)
            if mode in SEQUENCES and batch_sizes is None and not rest:
                hidden, *state = SEQUENCES[mode](input, *state, *arguments, reverse=direction == 1)
            else:
                hidden, *state = _layer(
                    STEPS[mode], input, batch_sizes, state, *arguments, reverse=direction == 1
                )
            outputs.append(hidden)
            finals.append(state)
        input = outputs[0] if directions == 1 else cat(outputs, -1)
        if dropout_p and layer < layers - 1:
            input = dropout(input, dropout_p, training)
    return input, tuple(stack(part) for part in zip(*finals, strict=True))


def _layer(
    step: Callable,
    input: Tensor,
    batch_sizes: list[int] | None,
    state: State,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    *projection: Tensor,
    reverse: bool,
) -> tuple[Tensor, ...]:
    """One direction of one layer: its outputs, and its state after the last step."""
    x = linear(input, w_ih, b_ih)
    steps = x.unbind(0) if batch_sizes is None else x.split(batch_sizes)
    hidden, state = _run(step, steps, state, reverse, (w_hh, b_hh, *projection))
    return (stack(hidden) if batch_sizes is None else cat(hidden)), *state


@definition(outputs=3)
def _lstm_sequence(
    input: Tensor,
    h: Tensor,
    c: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    reverse: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """The outputs h_1 .. h_T, h_T and c_T of an LSTM; reverse: from the last step to the first.

    input: (T, N, I), h and c: (N, H), the outputs: (T, N, H).
    """
    return _layer(_lstm, input, None, (h, c), w_ih, w_hh, b_ih, b_hh, reverse=reverse)


@definition(outputs=2)
def _gru_sequence(
    input: Tensor,
    h: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    reverse: bool,
) -> tuple[Tensor, Tensor]:
    """The outputs h_1 .. h_T, and h_T, of a GRU; reverse: from the last step to the first.

    input: (T, N, I), h: (N, H), the outputs: (T, N, H).
    """
    return _layer(_gru, input, None, (h,), w_ih, w_hh, b_ih, b_hh, reverse=reverse)


SEQUENCES = {"LSTM": _lstm_sequence, "GRU": _gru_sequence}


def _run(
    step: Callable, inputs: Sequence[Tensor], initial: State, reverse: bool, weights: tuple
) -> tuple[list[Tensor], State]:
    """All steps of one direction of a layer.

    Where sequences have different lengths, the longest come first, and a step's input has a row
    for each sequence that is so long. Forward, a sequence's last state is put aside when it ends;
    backward, a sequence starts from its initial state when its last step comes.
    """
    outputs, ended = [], []
    rows = len(inputs[-1]) if reverse else len(inputs[0])
    state = initial if rows == len(initial[0]) else _rows(initial, 0, rows)
    for x in reversed(inputs) if reverse else inputs:
        if len(x) < rows:
            ended.append(_rows(state, len(x), rows))
            state = _rows(state, 0, len(x))
        elif len(x) > rows:
            joining = _rows(initial, rows, len(x))
            state = tuple(cat(pair) for pair in zip(state, joining, strict=True))
        rows = len(x)
        state = step(x, state, *weights)
        outputs.append(state[0])
    if ended:
        state = tuple(cat(parts) for parts in zip(state, *reversed(ended), strict=True))
    return (outputs[::-1] if reverse else outputs), state


def _rows(state: State, start: int, stop: int) -> State:
    return tuple(s[start:stop] for s in state)
