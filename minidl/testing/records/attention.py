"""Records of `minidl/ops/attention.py`."""

import numpy as np
from scipy import special

from minidl import ops
from minidl.errors import DTypeError, ShapeError
from minidl.tape import named
from minidl.testing import strategies as d
from minidl.testing.records.draw import choice, samples
from minidl.testing.records.record import OpRecord, case, zeros


@samples
def attentions(draw, inner=False):
    """Queries, keys, values and a mask; `inner`: with all arguments of the op below."""
    n, length, source, features, out = (draw(choice(1, 2, 3)) for _ in range(5))
    batch = draw(choice((), (n,), (2, n)))
    masking = draw(choice("none", "causal", "bool", "float"))
    gqa = not inner and len(batch) > 0 and draw(choice(False, True))
    heads = (*batch[:-1], 2 * batch[-1]) if gqa else batch
    q = draw(d.arrays((*heads, length, features)))
    k = draw(d.arrays((*batch, source, features)))
    v = draw(d.arrays((*batch, source, out)))
    mask = None
    if masking == "bool":
        mask = draw(d.masks((length, source)))
    elif masking == "float":
        mask = draw(d.arrays(draw(choice((length, source), (*heads, length, source), (source,)))))
    causal = masking == "causal"
    if inner:
        return q, k, v, mask, causal, draw(choice(0.5, 1.0))
    given = {"attn_mask": mask, "is_causal": causal}
    given["scale"] = draw(choice(None, 0.5))
    return (q, k, v), given | {"enable_gqa": gqa}


def attention_reference(
    q, k, v, attn_mask=None, is_causal=False, scale=None, dropout_p=0.0, enable_gqa=False
):
    if enable_gqa:
        k, v = (np.repeat(t, q.shape[-3] // t.shape[-3], -3) for t in (k, v))
    scores = np.einsum("...le,...se->...ls", q, k)
    scores = scores / np.sqrt(q.shape[-1]) if scale is None else scores * scale
    if is_causal:
        attn_mask = np.arange(scores.shape[-1]) <= np.arange(scores.shape[-2])[:, None]
    if attn_mask is not None and attn_mask.dtype == bool:
        attn_mask = np.where(attn_mask, 0.0, -np.inf)
    if attn_mask is not None:
        scores = scores + attn_mask
    seen = np.isfinite(scores).any(-1, keepdims=True)
    weights = np.where(seen, special.softmax(np.where(seen, scores, 0.0), -1), 0.0)
    return np.einsum("...ls,...sv->...lv", weights, v)


def attend(*shapes, **options):
    def call(make):
        return ops.scaled_dot_product_attention(*[zeros(make, *s) for s in shapes], **options)

    return call


NAME = "scaled_dot_product_attention"

RECORDS = [
    OpRecord("attention", named("attention"), attentions(inner=True), attention_reference),
    OpRecord(
        NAME,
        ops.scaled_dot_product_attention,
        attentions(),
        attention_reference,
        errors=(
            case(attend((2, 3), (4, 5), (4, 5)), ShapeError, NAME, "(2, 3)", "(4, 5)", "features"),
            case(attend((2, 3), (4, 3), (5, 3)), ShapeError, NAME, "(5, 3)", "lengths"),
            case(attend((3,), (4, 3), (4, 3)), ShapeError, NAME, "(3,)"),
            case(
                attend((3, 2, 1), (2, 2, 1), (2, 2, 1), enable_gqa=True),
                ShapeError,
                NAME,
                "3 heads",
                "enable_gqa",
            ),
            case(
                lambda t: attend((2, 3), (4, 3), (4, 3), attn_mask=zeros(t, 2, 4), is_causal=True)(
                    t
                ),
                RuntimeError,
                NAME,
                "is_causal",
            ),
            case(
                lambda t: attend((2, 3), (4, 3), (4, 3), attn_mask=t([[1, 0, 1, 0]]))(t),
                DTypeError,
                NAME,
                "int64",
                "bools",
            ),
            case(
                lambda t: ops.scaled_dot_product_attention(zeros(t, 2, 3), None, zeros(t, 2, 3)),
                TypeError,
                NAME,
                "key",
            ),
            case(
                lambda t: ops.scaled_dot_product_attention(*[t([[1, 2], [3, 4]])] * 3),
                DTypeError,
                NAME,
                "float",
            ),
        ),
    ),
]
