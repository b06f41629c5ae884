"""Attention and transformers: what the table of numbers in test_sequences.py does not show."""

import copy
import math

import numpy as np
import pytest

import minidl
import minidl.nn.functional as F
from minidl import nn
from minidl.testing import to_numpy


def test_a_query_that_sees_no_key_gives_zero_and_no_gradient(device):
    q, k, v = (minidl.randn(2, 3, device=device, requires_grad=True) for _ in range(3))
    for blind in (
        minidl.tensor([[True, False], [False, False]], device=device),
        minidl.tensor([[0.0, -math.inf], [-math.inf, -math.inf]], device=device),
    ):
        out = F.scaled_dot_product_attention(q, k, v, blind)
        np.testing.assert_allclose(
            to_numpy(out.detach()), [to_numpy(v.detach())[0], [0, 0, 0]], rtol=1e-6
        )
        (grad,) = minidl.autograd.grad(out.sum(), [q])
        np.testing.assert_array_equal(to_numpy(grad)[1], np.zeros(3))
        np.testing.assert_allclose(to_numpy(grad)[0], np.zeros(3), atol=1e-6)  # one key: p = 1


def test_dropout_of_the_weights():
    q, k = minidl.randn(2, 5, 4), minidl.randn(2, 400, 4)
    v = minidl.ones(2, 400, 1)
    out = F.scaled_dot_product_attention(q, k, v, dropout_p=0.5)
    assert out.std().item() > 0
    assert abs(out.mean().item() - 1) < 0.2


def test_the_causal_hint_needs_its_mask():
    x = minidl.randn(4, 2, 8)
    layer = nn.MultiheadAttention(8, 2).eval()
    with pytest.raises(RuntimeError, match="is_causal"):
        layer(x, x, x, is_causal=True)
    mask = nn.Transformer.generate_square_subsequent_mask(4)
    hinted, _ = layer(x, x, x, attn_mask=mask, is_causal=True, need_weights=False)
    plain, _ = layer(x, x, x, attn_mask=mask, need_weights=False)
    np.testing.assert_allclose(to_numpy(hinted.detach()), to_numpy(plain.detach()), atol=1e-6)


@pytest.mark.parametrize(
    ("shapes", "masks", "error", "words"),
    [
        ([(4, 2, 8), (4, 8), (4, 8)], {}, AssertionError, "length, batch, features"),
        ([(4, 2, 6)] * 3, {}, AssertionError, "embedding dimension of 8"),
        ([(4, 2, 8), (3, 2, 8), (4, 2, 8)], {}, AssertionError, "equal lengths"),
        ([(4, 2, 8)] * 3, {"attn_mask": (3, 4)}, RuntimeError, r"\(4, 4\)"),
        ([(4, 2, 8)] * 3, {"key_padding_mask": (4, 2)}, AssertionError, r"\(2, 4\)"),
    ],
)
def test_wrong_shapes(shapes, masks, error, words):
    masks = {name: minidl.zeros(*shape) for name, shape in masks.items()}
    with pytest.raises(error, match=words):
        nn.MultiheadAttention(8, 2)(*[minidl.zeros(*shape) for shape in shapes], **masks)


def test_wrong_sizes():
    with pytest.raises(AssertionError, match="divisible"):
        nn.MultiheadAttention(8, 3)
    with pytest.raises(ValueError, match="greater than 0"):
        nn.MultiheadAttention(0, 1)
    with pytest.raises(RuntimeError, match="relu/gelu, not tanh"):
        nn.TransformerEncoderLayer(8, 2, activation="tanh")
    with pytest.raises(RuntimeError, match="batch number"):
        nn.Transformer(8, 2, 1, 1, 8)(minidl.zeros(3, 2, 8), minidl.zeros(3, 4, 8))
    with pytest.raises(RuntimeError, match="d_model"):
        nn.Transformer(8, 2, 1, 1, 8)(minidl.zeros(3, 2, 6), minidl.zeros(3, 2, 6))


def test_start_values():
    layer = nn.MultiheadAttention(16, 2, add_bias_kv=True)
    bound = math.sqrt(6 / (16 + 48))
    assert 0.8 * bound < layer.in_proj_weight.abs().max().item() <= bound
    assert layer.in_proj_bias.abs().max().item() == 0
    assert layer.out_proj.bias.abs().max().item() == 0
    assert layer.bias_k.abs().max().item() > 0


def test_padded_positions_are_zero_in_evaluation_without_gradients():
    layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2).eval()
    padding = minidl.tensor([[False, False, True]])
    x = minidl.randn(1, 3, 8)
    with minidl.no_grad():
        out = encoder(x, src_key_padding_mask=padding)
    assert out[0, 2].abs().max().item() == 0
    with_grad = encoder(x, src_key_padding_mask=padding)
    assert with_grad[0, 2].abs().max().item() > 0
    np.testing.assert_allclose(to_numpy(out[:, :2]), to_numpy(with_grad[:, :2].detach()), atol=1e-6)


def test_the_layers_of_a_stack_are_copies():
    layer = nn.TransformerEncoderLayer(8, 2, 12)
    encoder = nn.TransformerEncoder(layer, 2)
    assert len(list(encoder.parameters())) == 2 * len(list(layer.parameters()))
    first, second = encoder.layers
    np.testing.assert_array_equal(
        to_numpy(first.linear1.weight.detach()), to_numpy(second.linear1.weight.detach())
    )


def test_copies_of_a_decoder_layer_replace_an_activation_module_as_in_pytorch():
    layer = nn.TransformerDecoderLayer(8, 2, 12, activation=nn.GELU())
    with pytest.warns(UserWarning, match="compute relu instead"):
        twin = copy.deepcopy(layer)
    assert twin.activation is F.relu
    assert isinstance(layer.activation, nn.GELU)
