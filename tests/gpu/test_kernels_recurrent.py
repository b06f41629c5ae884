"""LSTM and GRU by CUDA kernels, run by the shim."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import nn
from minidl.tape import named
from minidl.testing import standin, to_numpy
from tests.gpu.parity import check, layouts, on_shim
from tests.gpu.sources import needs_gxx
from tests.kernels.test_recurrent_kernels import LAYERS, arrays, both
from tests.parity import kernels_used

pytestmark = needs_gxx
# steps, sequences, inputs, units: around the size of a block
SHAPES = [(1, 1, 1, 1), (4, 5, 3, 7), (3, 15, 2, 17), (2, 16, 3, 16), (2, 1, 4, 257)]


@both
@given(st.sampled_from(SHAPES), st.booleans(), st.booleans(), layouts)
def test_as_the_definition(name, shape, reverse, biases, layout):
    given = arrays(name, *shape, biases=biases)
    none = () if biases else (None, None)
    check(lambda *x: named(name)(*x, *none, reverse=reverse), *given, kernel=name, layout=layout)


@both
def test_half(name):
    given = [x / 2 for x in arrays(name, 3, 4, 5, 6)]
    check(lambda *x: named(name)(*x, reverse=False), *given, kernel=name, types=["float16"])


@both
@pytest.mark.parametrize("output", range(3))
def test_gradients_of_each_output_alone(name, output):
    output = min(output, 1) if name == "gru_sequence" else output
    given = arrays(name, 4, 9, 3, 7)
    check(lambda *x: named(name)(*x, reverse=False)[output], *given, kernel=name)


@both
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_special_values(name, special):
    given = arrays(name, 4, 3, 4, 5)
    given[0][2, 1, 1] = special
    check(lambda *x: named(name)(*[t.detach() for t in x], reverse=False), *given, kernel=name)


@both
def test_a_step_neither_transfers_nor_waits(name):
    with on_shim() as device, kernels_used() as used:
        layer = LAYERS[name](3, 5, num_layers=2, bidirectional=True, device=device)
        x = minidl.randn(4, 2, 3, device=device)
        with standin.counted() as counts:
            layer(x)[0].sum().backward()
    assert (counts.transfers, counts.synchronisations) == (0, 0)
    assert name in used


@both
def test_the_gradients_of_the_biases_share_no_memory(name):
    with on_shim() as device:
        layer = LAYERS[name](3, 5, device=device)
        layer(minidl.randn(4, 2, 3, device=device))[0].sum().backward()
        layer.bias_ih_l0.grad.zero_()
        assert np.abs(to_numpy(layer.bias_hh_l0.grad)).sum() > 0


@both
def test_backward_twice_with_retain_graph(name):
    with on_shim() as device:
        layer = LAYERS[name](3, 5, device=device)
        loss = layer(minidl.randn(4, 2, 3, device=device))[0].sum()
        first, second = (
            minidl.autograd.grad(loss, list(layer.parameters()), retain_graph=True)
            for _ in range(2)
        )
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(to_numpy(a), to_numpy(b))


@both
def test_empty_batches_and_packed_sequences_run_from_the_definition(name):
    with on_shim() as device, kernels_used() as used:
        layer = LAYERS[name](3, 5, device=device)
        assert layer(minidl.zeros(4, 0, 3, device=device))[0].shape == (4, 0, 5)
        parts = [minidl.randn(n, 3, device=device) for n in (3, 2)]
        layer(nn.utils.rnn.pack_sequence(parts))
    assert name not in used
