"""LSTM and GRU over sequences: sizes that are no multiples of a tile, directions, what is kept."""

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.tape import named
from minidl.testing import gradgradcheck, to_numpy
from tests import parity

GATES = {"lstm_sequence": 4, "gru_sequence": 3}
LAYERS = {"lstm_sequence": nn.LSTM, "gru_sequence": nn.GRU}

# steps, sequences, inputs, units
SHAPES = [(1, 1, 1, 1), (5, 8, 4, 32), (1, 3, 2, 5), (7, 13, 6, 17), (3, 33, 10, 40), (2, 1, 3, 65)]

both = pytest.mark.parametrize("name", GATES)


def arrays(name, steps, batch, inputs, units, biases=True):
    draw = np.random.default_rng(0).standard_normal
    gates = GATES[name] * units
    states = [draw((batch, units)) for _ in range(2 if name == "lstm_sequence" else 1)]
    weights = [draw((gates, inputs)) / 2, draw((gates, units)) / np.sqrt(units)]
    return [
        draw((steps, batch, inputs)),
        *states,
        *weights,
        *[draw(gates) for _ in range(2 * biases)],
    ]


@both
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reverse", [False, True])
def test_any_shape(name, shape, reverse):
    call = named(name)
    parity.check(lambda *x: call(*x, reverse=reverse), *arrays(name, *shape), kernel=name)


@both
def test_without_biases(name):
    parity.check(
        lambda *x: named(name)(*x, None, None, reverse=False),
        *arrays(name, 4, 5, 3, 7, biases=False),
        kernel=name,
    )


@both
@pytest.mark.parametrize("output", range(3))
def test_gradients_of_each_output_alone(name, output):
    if name == "gru_sequence" and output == 2:
        output = 1
    parity.check(
        lambda *x: named(name)(*x, reverse=False)[output],
        *arrays(name, 4, 9, 3, 7),
        kernel=name,
    )


@both
@pytest.mark.parametrize("which", range(5))
def test_memory_layouts(name, which):
    given = arrays(name, 3, 9, 4, 16)
    for laid in parity.layouts(given[which]):
        given[which] = laid
        parity.check(lambda *x: named(name)(*x, reverse=True), *given, kernel=name)


@both
@pytest.mark.parametrize(
    "options",
    [
        {"batch_first": True},
        {"num_layers": 2, "bidirectional": True},
        {"bias": False},
        {"num_layers": 3},
    ],
)
def test_layers(name, options):
    layer = LAYERS[name](6, 10, **options)
    values = [to_numpy(p.detach()).astype(float) for p in layer.parameters()]

    def run(x, *weights):
        copy = LAYERS[name](6, 10, **options).to(x.dtype)
        names = [n for n, _ in copy.named_parameters()]
        out, state = minidl.func.functional_call(copy, dict(zip(names, weights, strict=True)), (x,))
        return (out, *state) if name == "lstm_sequence" else (out, state)

    x = np.random.default_rng(0).standard_normal((5, 11, 6))
    parity.check(run, x, *values, kernel=name)


@both
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_special_values(name, special):
    given = [np.float32(x) for x in arrays(name, 5, 9, 4, 16)]
    given[0][2, 3, 1] = special
    tensors = [minidl.tensor(x) for x in given]
    got = named(name)(*tensors, reverse=False)
    with minidl.kernels.disabled():
        expected = named(name)(*tensors, reverse=False)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(to_numpy(a), to_numpy(b), rtol=1e-5, atol=1e-6)


@both
@pytest.mark.parametrize("batch", [1, 7, 24, 33])
def test_same_bits_on_any_number_of_threads(name, batch):
    # so few multiplications that BLAS is not split either
    given = arrays(name, 3, batch, 5, 8)
    parity.same_bits(lambda *x: named(name)(*x, reverse=False), *given)


@both
def test_the_gradients_of_the_biases_share_no_memory(name):
    layer = LAYERS[name](3, 5)
    layer(minidl.randn(4, 2, 3))[0].sum().backward()
    layer.bias_ih_l0.grad.zero_()
    assert layer.bias_hh_l0.grad.abs().sum().item() > 0


@both
def test_a_written_output_is_noticed(name):
    """The backward reads the outputs; a write between must not pass for the layer's own."""
    layer = LAYERS[name](3, 5)
    out = layer(minidl.randn(4, 2, 3))[0]
    loss = (out * out).sum()
    out.detach().zero_()
    with pytest.raises(minidl.GraphError, match="changed in place"):
        loss.backward()


@both
def test_backward_twice_with_retain_graph(name):
    layer = LAYERS[name](3, 5)
    loss = layer(minidl.randn(4, 2, 3))[0].sum()
    first, second = (
        minidl.autograd.grad(loss, list(layer.parameters()), retain_graph=True) for _ in range(2)
    )
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))


@both
def test_what_the_tape_keeps(name):
    """The gates, one state more, and the outputs: 6 numbers per unit and step for an LSTM."""
    steps, batch, units = 6, 8, 32
    layer = LAYERS[name](units, units)
    out = layer(minidl.randn(steps, batch, units))[0]
    node = out._node.edges[0]
    kept = sum(a.size for a in node.aux) + node.out[0].size
    assert kept == (GATES[name] + 2) * steps * batch * units


@both
def test_empty_batches_and_packed_sequences_run_from_the_definition(name):
    layer = LAYERS[name](3, 5)
    with parity.kernels_used() as used:
        assert layer(minidl.zeros(4, 0, 3))[0].shape == (4, 0, 5)
        layer(nn.utils.rnn.pack_sequence([minidl.randn(3, 3), minidl.randn(2, 3)]))
    assert name not in used


@both
def test_second_derivative(name):
    """Under create_graph the definition is replayed, after a forward by the kernel."""
    found = []
    for dtype in (minidl.float32, minidl.float64):
        leaves = [
            minidl.tensor(x, dtype=dtype, requires_grad=True) for x in arrays(name, 3, 2, 2, 3)
        ]
        out = named(name)(*leaves, reverse=False)[0]
        (first,) = minidl.autograd.grad((out * out).sum(), leaves[0], create_graph=True)
        found.append(minidl.autograd.grad((first * first).sum(), leaves[:4]))
    for a, b in zip(*found, strict=True):
        parity.close(to_numpy(a), to_numpy(b), 1e-4)
    with minidl.kernels.forced(reference=True):
        gradgradcheck(lambda *x: named(name)(*x, reverse=False)[0], tuple(leaves))
