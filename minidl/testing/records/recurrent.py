"""Records of `minidl/ops/recurrent.py`."""

import numpy as np
from scipy.special import expit

from minidl import ops
from minidl.errors import ShapeError
from minidl.tape import named
from minidl.testing import strategies as d
from minidl.testing.records.draw import choice, samples
from minidl.testing.records.record import OpRecord, case, zeros


@samples
def steps(draw, gates, states=1):
    inputs, hidden = draw(choice(1, 2, 3)), draw(choice(1, 2, 3))
    batch = draw(choice((), (2,), (3,)))
    state = [draw(d.arrays((*batch, hidden))) for _ in range(states)]
    weights = [draw(d.arrays((gates * hidden, n))) for n in (inputs, hidden)]
    biases = [draw(d.arrays((gates * hidden,))) for _ in range(2)] if draw(choice(0, 1)) else []
    return draw(d.arrays((*batch, inputs))), *state, *weights, *biases


def both(x, h, w_ih, w_hh, b_ih=0.0, b_hh=0.0):
    """What the input and the state contribute."""
    return x @ w_ih.T + b_ih, h @ w_hh.T + b_hh


def gru_reference(x, h, *weights):
    a, b = both(x, h, *weights)
    (ar, az, an), (br, bz, bn) = np.split(a, 3, -1), np.split(b, 3, -1)
    z = expit(az + bz)
    return (1 - z) * np.tanh(an + expit(ar + br) * bn) + z * h


def lstm_reference(x, h, c, *weights):
    i, f, g, o = np.split(sum(both(x, h, *weights)), 4, -1)
    c = expit(f) * c + expit(i) * np.tanh(g)
    return expit(o) * np.tanh(c), c


def lstm_cell(x, h, c, *weights):
    return ops.lstm_cell(x, (h, c), *weights)


@samples
def sequences(draw, gates, states=1):
    length, batch, inputs, hidden = (draw(choice(1, 2, 3)) for _ in range(4))
    state = [draw(d.arrays((batch, hidden))) for _ in range(states)]
    weights = [draw(d.arrays((gates * hidden, n))) for n in (inputs, hidden)]
    biases = [None, None]
    if draw(choice(False, True)):
        biases = [draw(d.arrays((gates * hidden,))) for _ in range(2)]
    x = draw(d.arrays((length, batch, inputs)))
    return x, *state, *weights, *biases, draw(choice(False, True))


def over_time(step, states):
    """The outputs, and the last state, of a step that is done for each row of x."""

    def reference(x, *rest):
        state, (w_ih, w_hh, b_ih, b_hh, reverse) = rest[:states], rest[states:]
        biases = () if b_ih is None else (b_ih, b_hh)
        outputs = []
        for row in x[::-1] if reverse else x:
            state = step(row, *state, w_ih, w_hh, *biases)
            state = state if states > 1 else (state,)
            outputs.append(state[0])
        return np.stack(outputs[::-1] if reverse else outputs), *state

    return reference


def wrong_weights(call, gates):
    return case(
        lambda t: call(zeros(t, 2, 3), zeros(t, 2, 4), zeros(t, gates * 4, 3), zeros(t, 4, 5)),
        ShapeError,
        str(gates * 4),
        "(4, 5)",
    )


# Kinks of relu are met with probability 0: what it gets are sums of products.
RECORDS = [
    OpRecord(
        "rnn_tanh_cell",
        ops.rnn_tanh_cell,
        steps(1),
        lambda *args: np.tanh(sum(both(*args))),
        errors=(wrong_weights(ops.rnn_tanh_cell, 1),),
    ),
    OpRecord(
        "rnn_relu_cell",
        ops.rnn_relu_cell,
        steps(1),
        lambda *args: np.maximum(sum(both(*args)), 0.0),
        errors=(wrong_weights(ops.rnn_relu_cell, 1),),
    ),
    OpRecord(
        "gru_cell",
        ops.gru_cell,
        steps(3),
        gru_reference,
        errors=(wrong_weights(ops.gru_cell, 3),),
    ),
    OpRecord(
        "lstm_cell",
        lstm_cell,
        steps(4, states=2),
        lstm_reference,
        errors=(
            wrong_weights(lambda x, h, *weights: ops.lstm_cell(x, (h, h), *weights), 4),
            case(lambda t: ops.lstm_cell(*[zeros(t, 2, 2)] * 4), ValueError, "lstm_cell", "(h, c)"),
        ),
    ),
    OpRecord(
        "gru_sequence", named("gru_sequence"), sequences(3), over_time(gru_reference, states=1)
    ),
    OpRecord(
        "lstm_sequence",
        named("lstm_sequence"),
        sequences(4, states=2),
        over_time(lstm_reference, states=2),
    ),
]
