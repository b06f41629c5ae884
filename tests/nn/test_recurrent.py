"""Recurrent layers and their sequences: lengths, packing, errors."""

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.nn.utils import rnn
from minidl.testing import to_numpy


def close(got, expected):
    np.testing.assert_allclose(to_numpy(got.detach()), to_numpy(expected.detach()), atol=1e-6)


KINDS = [nn.RNN, nn.LSTM, nn.GRU]


@pytest.mark.parametrize("kind", KINDS)
def test_packed_sequences_run_as_if_alone(kind, device):
    layer = kind(3, 4, num_layers=2, bidirectional=True, device=device)
    sequences = [minidl.randn(n, 3, device=device) for n in (2, 5, 3)]
    packed, hidden = layer(rnn.pack_sequence(sequences, enforce_sorted=False))
    padded, lengths = rnn.pad_packed_sequence(packed)
    assert lengths.tolist() == [2, 5, 3]
    for i, sequence in enumerate(sequences):
        alone, state = layer(sequence)
        close(padded[: len(sequence), i], alone)
        for got, expected in zip(
            hidden if kind is nn.LSTM else [hidden],
            state if kind is nn.LSTM else [state],
            strict=True,
        ):
            close(got[:, i], expected)


def test_a_layer_is_its_cell_step_by_step():
    layer, cell = nn.LSTM(3, 4), nn.LSTMCell(3, 4)
    names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    cell.load_state_dict({name: getattr(layer, f"{name}_l0") for name in names})
    x = minidl.randn(5, 2, 3)
    out, (h, c) = layer(x)
    state = None
    for t in range(5):
        state = cell(x[t], state)
        close(out[t], state[0])
    close(h[0], state[0])
    close(c[0], state[1])


def test_a_state_carries_a_sequence_on():
    layer = nn.GRU(3, 4, 2)
    x = minidl.randn(6, 2, 3)
    whole, _ = layer(x)
    first, state = layer(x[:2])
    second, _ = layer(x[2:], state)
    close(minidl.cat([first, second]), whole)


def test_dropout_is_between_layers_in_training():
    minidl.manual_seed(0)
    layer, x = nn.GRU(3, 16, 2, dropout=0.5), minidl.randn(4, 2, 3)
    assert not np.allclose(to_numpy(layer(x)[0].detach()), to_numpy(layer(x)[0].detach()))
    layer.eval()
    close(layer(x)[0], layer(x)[0])
    with pytest.warns(UserWarning, match="num_layers greater than 1"):
        nn.GRU(3, 4, dropout=0.5)


def test_weights_are_named_and_start_small():
    layer = nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2)
    assert [list(w.shape) for w in layer.all_weights[3]] == [
        [16, 4],
        [16, 2],
        [16],
        [16],
        [2, 4],
    ]
    assert layer.all_weights[3][0] is layer.weight_ih_l1_reverse
    assert all(w.abs().max().item() <= 0.5 for w in layer.parameters())
    layer.flatten_parameters()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: nn.LSTM(3, 4)(minidl.zeros(3)), ValueError, "2D or 3D, got 1D"),
        (lambda: nn.LSTM(3, 4)(minidl.zeros(2, 2, 5)), RuntimeError, "Expected 3, got 5"),
        (lambda: nn.GRU(3, 4)(minidl.zeros(2, 2, 3).double()), ValueError, "does not match weight"),
        (
            lambda: nn.GRU(3, 4)(minidl.zeros(2, 2, 3), minidl.zeros(1, 3, 4)),
            RuntimeError,
            r"hidden size \(1, 2, 4\), got \[1, 3, 4\]",
        ),
        (
            lambda: nn.GRU(3, 4)(minidl.zeros(2, 2, 3), minidl.zeros(1, 4)),
            RuntimeError,
            "3-D but got 2-D",
        ),
        (lambda: nn.RNN(3, 4, nonlinearity="elu"), ValueError, "Unknown nonlinearity 'elu'"),
        (lambda: nn.RNN(3, 0), ValueError, "hidden_size must be greater"),
        (lambda: nn.RNN(3.0, 4), TypeError, "input_size should be of type int"),
        (lambda: nn.LSTM(3, 4, proj_size=4), ValueError, "proj_size has to be smaller"),
        (lambda: nn.LSTM(3, 4, dropout=1.5), ValueError, r"range \[0, 1\]"),
        (lambda: nn.LSTM(3, 4, bias=1), TypeError, "bias should be of type bool"),
        (lambda: nn.RNNBase("X", 3, 4), ValueError, "Unrecognized RNN mode: X"),
        (lambda: nn.GRUCell(3, 4)(minidl.zeros(1, 2, 3)), ValueError, "1D or 2D, got 3D"),
        (lambda: nn.RNNCell(3, 4, nonlinearity="x")(minidl.zeros(3)), RuntimeError, "x"),
        (lambda: rnn.pad_sequence(3), RuntimeError, "iterable"),
        (lambda: rnn.pack_padded_sequence(minidl.zeros(3, 2), [1, 3]), RuntimeError, "sorted"),
        (lambda: rnn.pack_padded_sequence(minidl.zeros(3, 2), [4, 1]), RuntimeError, "at most"),
        (lambda: rnn.pack_padded_sequence(minidl.zeros(3, 2), [3, 0]), RuntimeError, "at least 1"),
        (lambda: rnn.pack_padded_sequence(minidl.zeros(3, 2), [3]), RuntimeError, "one length"),
    ],
)
def test_errors(call, error, words):
    with pytest.raises(error, match=words):
        call()


# -------------------------------------------------------------------------------------- sequences


def test_packing_goes_step_by_step():
    abc, x = minidl.tensor([1, 2, 3]), minidl.tensor([9])
    packed = rnn.pack_sequence([abc, x])
    assert packed.data.tolist() == [1, 9, 2, 3]
    assert packed.batch_sizes.tolist() == [2, 1, 1]
    assert packed.sorted_indices is None
    back = rnn.pack_sequence([x, abc], enforce_sorted=False)
    assert back.data.tolist() == [1, 9, 2, 3]
    assert back.sorted_indices.tolist() == [1, 0]
    assert [s.tolist() for s in rnn.unpack_sequence(back)] == [[9], [1, 2, 3]]
    assert packed.to(minidl.int64) is packed
    assert packed.double().data.dtype == minidl.float64
    assert isinstance(packed.float(), rnn.PackedSequence)


def test_padding():
    sequences = [minidl.tensor([1.0, 2.0]), minidl.tensor([3.0])]
    assert rnn.pad_sequence(sequences, True, -1.0).tolist() == [[1, 2], [3, -1]]
    assert rnn.pad_sequence(sequences, True, padding_side="left").tolist() == [[1, 2], [0, 3]]
    assert rnn.pad_sequence(sequences).tolist() == [[1, 3], [2, 0]]
    packed = rnn.pack_sequence(sequences)
    padded, lengths = rnn.pad_packed_sequence(packed, True, 7.0, total_length=3)
    assert padded.tolist() == [[1, 2, 7], [3, 7, 7]]
    assert lengths.tolist() == [2, 1]
    with pytest.raises(ValueError, match="total_length=1"):
        rnn.pad_packed_sequence(packed, total_length=1)


def test_gradients_pass_through_packing():
    x = minidl.randn(3, 2, 2, requires_grad=True)
    padded, _ = rnn.pad_packed_sequence(rnn.pack_padded_sequence(x, [3, 1]))
    padded.sum().backward()
    expected = np.ones((3, 2, 2))
    expected[1:, 1] = 0
    np.testing.assert_array_equal(to_numpy(x.grad), expected)
