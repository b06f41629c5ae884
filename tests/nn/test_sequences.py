"""Attention, transformers and recurrent layers: numbers against PyTorch's, in `sequences.json`.

The table was written by this file, run where torch is installed:

    python tests/nn/test_sequences.py

Weights and inputs are cosines, so that no random numbers need to agree.
"""

import json
import math
from pathlib import Path

import pytest

import minidl
from minidl.testing import to_numpy

TABLE = Path(__file__).with_name("sequences.json")
LAYER = "8, 2, 12, 0.0"
CAUSAL = [[-math.inf if j > i else 0.0 for j in range(4)] for i in range(4)]
PADDING = [[False] * 4, [False, False, False, True], [False, False, True, True]]
X, MEMORY = (4, 3, 8), (5, 3, 8)

CASES = {  # name: (module, inputs: a tuple is a shape, a list is data; keywords)
    "attention": ("MultiheadAttention(8, 2)", [X] * 3, {}),
    "attention, masks": (
        "MultiheadAttention(8, 4, bias=False, add_bias_kv=True, add_zero_attn=True)",
        [X] * 3,
        {"attn_mask": CAUSAL, "average_attn_weights": False},
    ),
    "attention, padding": (
        "MultiheadAttention(8, 2)",
        [X] * 3,
        {"key_padding_mask": PADDING, "need_weights": False},
    ),
    "attention, other sizes": (
        "MultiheadAttention(8, 2, kdim=5, vdim=6, batch_first=True)",
        [(3, 4, 8), (3, 2, 5), (3, 2, 6)],
        {},
    ),
    "attention, one sequence": ("MultiheadAttention(8, 2)", [(4, 8)] * 3, {}),
    "encoder": (
        f"TransformerEncoder(TransformerEncoderLayer({LAYER}), 2)",
        [X],
        {"mask": CAUSAL},
    ),
    "encoder, norm first": (
        f"TransformerEncoderLayer({LAYER}, 'gelu', batch_first=True, norm_first=True)",
        [(3, 4, 8)],
        {"src_key_padding_mask": PADDING},
    ),
    "decoder": (
        f"TransformerDecoder(TransformerDecoderLayer({LAYER}), 2, LayerNorm(8))",
        [X, MEMORY],
        {"tgt_mask": CAUSAL, "tgt_key_padding_mask": PADDING},
    ),
    "transformer": ("Transformer(8, 2, 1, 1, 12, 0.0)", [MEMORY, X], {"tgt_mask": CAUSAL}),
    "rnn": ("RNN(3, 4, 2, nonlinearity='relu', bidirectional=True)", [(5, 2, 3)], {}),
    "lstm": ("LSTM(3, 4, 2, bidirectional=True, batch_first=True)", [(2, 5, 3)], {}),
    "lstm, projection": ("LSTM(3, 4, proj_size=2, bias=False)", [(5, 3)], {}),
    "gru": ("GRU(3, 4, 2)", [(5, 2, 3), (2, 2, 4)], {}),
    "rnn cell": ("RNNCell(3, 4)", [(2, 3), (2, 4)], {}),
    "lstm cell": ("LSTMCell(3, 4)", [(2, 3)], {}),
    "gru cell": ("GRUCell(3, 4)", [(3,), (4,)], {}),
}


def wave(lib, shape, phase):
    """Distinct numbers between -1 and 1."""
    positions = lib.arange(math.prod(shape), dtype=lib.float64)
    return lib.cos(positions * 0.7 + phase).reshape(shape)


def computed(lib, name):
    """The outputs, and the gradients of a weighted sum of them in the inputs and parameters."""
    expression, inputs, keywords = CASES[name]
    module = eval(expression, vars(lib.nn)).double()
    with lib.no_grad():
        for i, param in enumerate(module.parameters()):
            param.copy_(wave(lib, tuple(param.shape), i) * 0.5)
    inputs = [wave(lib, shape, i).requires_grad_() for i, shape in enumerate(inputs)]
    keywords = {k: lib.tensor(v) if isinstance(v, list) else v for k, v in keywords.items()}
    keywords = {
        k: v.double() if k.endswith("mask") and v.is_floating_point() else v
        for k, v in keywords.items()
    }
    outputs = list(leaves(module(*inputs, **keywords), lib.Tensor))
    loss = sum((out * wave(lib, tuple(out.shape), i + 0.5)).sum() for i, out in enumerate(outputs))
    loss.backward()
    gradients = [p.grad for p in [*inputs, *module.parameters()]]
    return {
        "outputs": [out.detach() for out in outputs],
        # A number for each gradient: its scalar product with other cosines.
        "gradients": [(g * wave(lib, tuple(g.shape), 0.2)).sum() for g in gradients],
        "state": [[key, list(value.shape)] for key, value in module.state_dict().items()],
        "repr": repr(module),
    }


def leaves(value, kind):
    if isinstance(value, kind):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from leaves(part, kind)


def plain(tensor):
    values = to_numpy(tensor) if isinstance(tensor, minidl.Tensor) else tensor.numpy()
    return [list(values.shape), [float(f"{v:.10g}") for v in values.reshape(-1)]]


def row(lib, name):
    found = computed(lib, name)
    found["outputs"] = [plain(t) for t in found["outputs"]]
    found["gradients"] = [plain(t)[1][0] for t in found["gradients"]]
    return found


@pytest.fixture(scope="module")
def table():
    return json.loads(TABLE.read_text())


@pytest.mark.parametrize("name", CASES)
def test_numbers(table, name):
    found, expected = row(minidl, name), table[name]
    assert found["repr"] == expected["repr"]
    assert found["state"] == expected["state"]
    assert [shape for shape, _ in found["outputs"]] == [s for s, _ in expected["outputs"]]
    for (_, values), (_, numbers) in zip(found["outputs"], expected["outputs"], strict=True):
        assert values == pytest.approx(numbers, rel=1e-8, abs=1e-10)
    assert found["gradients"] == pytest.approx(expected["gradients"], rel=1e-8, abs=1e-10)


if __name__ == "__main__":
    import torch

    rows = [f"{json.dumps(name)}: {json.dumps(row(torch, name))}" for name in CASES]
    TABLE.write_text("{\n" + ",\n".join(rows) + "\n}\n")
