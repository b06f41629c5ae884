"""Attention: a query takes the mean of the values, weighted by how well the keys match it."""

from __future__ import annotations

import math

from ..errors import DTypeError, ShapeError
from ..makers import definition
from ..promotion import need_tensors
from ..tape import Tensor
from .compare import where
from .create import ones, zeros
from .dropout import dropout
from .index import masked_fill
from .linalg import linear
from .padding import pad
from .rearrange import repeat_interleave
from .reduce import _need_float
from .shape import cat
from .softmax import softmax

__all__ = ["scaled_dot_product_attention"]
METHODS: list[str] = []  # also methods of Tensor


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """y = softmax(scale * query key^T + mask) value, scale = 1 / sqrt(E) if None.

    query: (..., L, E), key: (..., S, E), value: (..., S, V), y: (..., L, V).
    attn_mask: broadcasts to (..., L, S). Bool: True takes part; float: added. A query whose keys
    are all masked gives 0. is_causal: query i sees the keys 0 .. i. dropout_p: dropout of the
    weights. enable_gqa: every head (third dimension from the right) of key and value serves
    several heads of query.
    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html
    """
    need_tensors("scaled_dot_product_attention", query=query, key=key, value=value)
    _check(query, key, value, attn_mask, is_causal)
    if enable_gqa:
        key, value = _shared_heads(query, key), _shared_heads(query, value)
    if scale is None:
        scale = 1 / math.sqrt(query._array.shape[-1])
    if dropout_p == 0:
        return _attention(query, key, value, attn_mask, is_causal, scale)
    weights = _weights(query, key, attn_mask, is_causal, scale)
    return dropout(weights, dropout_p) @ value


@definition
def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None,
    is_causal: bool,
    scale: float,
) -> Tensor:
    """y = softmax(scale * query key^T + mask) value"""
    return _weights(query, key, attn_mask, is_causal, scale) @ value


def _weights(
    query: Tensor, key: Tensor, mask: Tensor | None, is_causal: bool, scale: float
) -> Tensor:
    scores = (query * scale) @ key.transpose(-2, -1)
    if is_causal:
        mask = _seen_before(*scores._array.shape[-2:], query)
    if mask is None:
        return softmax(scores, -1)
    is_bool = mask._array.dtype.kind == "b"
    seen = mask if is_bool else mask.detach() > -math.inf
    alone = ~seen.any(-1, keepdim=True)  # softmax of nothing but -inf is nan
    if is_bool:
        scores = masked_fill(scores, ~(seen | alone), -math.inf)
    else:
        scores = scores + where(alone, 0.0, mask)
    return where(alone, 0.0, softmax(scores, -1))


def _seen_before(rows: int, columns: int, like: Tensor) -> Tensor:
    return ones(rows, columns, dtype=bool, device=like.device).tril()


def _shared_heads(query: Tensor, shared: Tensor) -> Tensor:
    heads, groups = query._array.shape[-3], shared._array.shape[-3]
    if groups == 0 or heads % groups:
        raise ShapeError(
            f"scaled_dot_product_attention: {heads} heads of the query cannot share {groups} heads "
            "of keys or values; enable_gqa needs a divisor."
        )
    return repeat_interleave(shared, heads // groups, -3)


def _check(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, is_causal: bool) -> None:
    name = "scaled_dot_product_attention"
    shapes = [t._array.shape for t in (query, key, value)]
    described = f"query {shapes[0]}, key {shapes[1]}, value {shapes[2]}"
    _need_float(query._array, name)
    if min(map(len, shapes)) < 2:
        raise ShapeError(f"{name}: expected (..., length, features) each, got {described}.")
    if shapes[0][-1] != shapes[1][-1] or shapes[1][-2] != shapes[2][-2]:
        raise ShapeError(
            f"{name}: query and key need equal features, key and value equal lengths, "
            f"got {described}."
        )
    if mask is None:
        return
    if is_causal:
        raise RuntimeError(f"{name}: is_causal=True is a mask itself; leave attn_mask out.")
    if mask._array.dtype.kind not in "bf":
        raise DTypeError(
            f"{name}: expected attn_mask of bools (True takes part) or floats (added), "
            f"got {mask._array.dtype}."
        )


# --------------------------------------------------------------------------------- several heads


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """y = concat(head_1 .. head_h) W_o + b_o, head_i = attention(query W_i, key W_i, value W_i).

    query: (L, N, E), key and value: (S, N, ...), or without N; y: (L, N, E); also the weights
    (N, L, S), or (N, heads, L, S) if not averaged, or None. in_proj_weight: (3 E, E), the
    projections of query, key and value one below the other; or one each, which may differ in
    their inputs. attn_mask: (L, S) or (N heads, L, S), key_padding_mask: (N, S); floats are
    added, True masks (as in PyTorch the other way round than in scaled_dot_product_attention).
    is_causal: a hint that attn_mask is the causal one; without weights and padding it is believed.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.MultiheadAttention.html
    """
    batched = query.dim() == 3
    _check_heads(query, key, value, key_padding_mask, attn_mask, embed_dim_to_check, num_heads)
    if is_causal and attn_mask is None:
        raise RuntimeError("multi_head_attention_forward: is_causal is a hint; pass attn_mask too.")
    if not batched:
        query, key, value = (t.unsqueeze(1) for t in (query, key, value))
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    _, batch, embed = query.shape

    if use_separate_proj_weight:
        weights = (q_proj_weight, k_proj_weight, v_proj_weight)
    else:
        weights = in_proj_weight.chunk(3)
    biases = (None, None, None) if in_proj_bias is None else in_proj_bias.chunk(3)
    q, k, v = map(linear, (query, key, value), weights, biases)
    is_causal = is_causal and key_padding_mask is None and not need_weights
    attn_mask = None if is_causal else additive_mask(attn_mask, "attn_mask", q)
    key_padding_mask = additive_mask(key_padding_mask, "key_padding_mask", q)

    extra = 0  # keys that every query may see
    if bias_k is not None:
        k = cat([k, bias_k.expand(1, batch, embed)])
        v = cat([v, bias_v.expand(1, batch, embed)])
        extra += 1
    q, k, v = (_heads(t, num_heads) for t in (q, k, v))
    if static_k is not None:
        k = static_k.reshape(batch, num_heads, *static_k.shape[1:])
    if static_v is not None:
        v = static_v.reshape(batch, num_heads, *static_v.shape[1:])
    if add_zero_attn:
        k, v = (cat([t, _zero_key(t)], 2) for t in (k, v))
        extra += 1
    mask = _merged(attn_mask, key_padding_mask, extra, batch, num_heads)

    dropout_p = dropout_p if training else 0.0
    if need_weights:
        scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-2, -1)
        weights = dropout(softmax(scores if mask is None else scores + mask, -1), dropout_p)
        out = weights @ v
        weights = weights.mean(1) if average_attn_weights else weights
        weights = weights if batched else weights.squeeze(0)
    else:
        out, weights = scaled_dot_product_attention(q, k, v, mask, dropout_p, is_causal), None
    out = linear(out.permute(2, 0, 1, 3).flatten(2), out_proj_weight, out_proj_bias)
    return (out if batched else out.squeeze(1)), weights


def additive_mask(mask: Tensor | None, name: str, like: Tensor) -> Tensor | None:
    """A mask of floats as it is; of bools as floats of `like`'s type, -inf where True."""
    if mask is None or mask._array.dtype.kind == "f":
        return mask
    if mask._array.dtype.kind != "b":
        raise AssertionError(f"only bool and floating types of {name} are supported")
    blank = zeros(mask.shape, dtype=like.dtype, device=like.device)
    return masked_fill(blank, mask, -math.inf)


def _heads(t: Tensor, num_heads: int) -> Tensor:
    """(length, batch, features) as (batch, heads, length, features / heads)."""
    length, batch, embed = t.shape
    return t.reshape(length, batch, num_heads, embed // num_heads).permute(1, 2, 0, 3)


def _zero_key(t: Tensor) -> Tensor:
    return zeros(*t.shape[:2], 1, t.shape[3], dtype=t.dtype, device=t.device)


def _merged(
    mask: Tensor | None, padding: Tensor | None, extra: int, batch: int, num_heads: int
) -> Tensor | None:
    """Both masks, padded for the extra keys, as one that broadcasts to (N, heads, L, S)."""
    if mask is not None:
        mask = pad(mask, (0, extra)) if extra else mask
        if mask.dim() == 3:
            mask = mask.reshape(batch, num_heads, *mask.shape[1:])
    if padding is None:
        return mask
    padding = (pad(padding, (0, extra)) if extra else padding)[:, None, None]
    return padding if mask is None else mask + padding


def _check_heads(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    padding: Tensor | None,
    mask: Tensor | None,
    embed: int,
    num_heads: int,
) -> None:
    """PyTorch raises AssertionError for the shapes of the inputs, RuntimeError for the masks'."""
    shapes = [tuple(t.shape) for t in (query, key, value)]
    described = f"query {shapes[0]}, key {shapes[1]}, value {shapes[2]}"
    ndim = len(shapes[0])
    if ndim not in (2, 3) or any(len(shape) != ndim for shape in shapes):
        raise AssertionError(
            f"expected query, key and value all of shape (length, batch, features) or all of "
            f"(length, features), got {described}."
        )
    if shapes[0][-1] != embed or embed % num_heads:
        raise AssertionError(
            f"was expecting embedding dimension of {embed}, divisible by {num_heads} heads, but "
            f"got {shapes[0][-1]}."
        )
    if shapes[1][:-1] != shapes[2][:-1]:
        raise AssertionError(f"key and value need equal lengths and batches, got {described}.")
    length, source = shapes[0][0], shapes[1][0]
    batch = shapes[0][1] if ndim == 3 else 1
    if mask is not None and tuple(mask.shape) not in (
        (length, source),
        (batch * num_heads, length, source),
    ):
        raise RuntimeError(
            f"attn_mask has shape {tuple(mask.shape)}, but should be {(length, source)} or "
            f"{(batch * num_heads, length, source)}."
        )
    if padding is not None and tuple(padding.shape) != shapes[1][-2::-1][: ndim - 1]:
        raise AssertionError(
            f"key_padding_mask has shape {tuple(padding.shape)}, but should be "
            f"{shapes[1][-2::-1][: ndim - 1]}."
        )
