"""Typical mistakes in ops that students write, each an op of its own, and what must be said."""

import inspect
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

import minidl
from minidl.autograd import Function
from minidl.testing import Sample, to_numpy
from minidl.testing.strategies import arrays, shapes


def op(name, forward, backward):
    """An op from `forward(*inputs)` and `backward(g, out, *inputs)`, both written in tensors."""

    class Op(Function):
        @staticmethod
        def forward(ctx, *inputs):
            out = forward(*inputs)
            ctx.save_for_backward(out, *inputs)
            return out

        @staticmethod
        def backward(ctx, g):
            return backward(g, *ctx.saved_tensors)

    Op.__name__ = name
    parameters = (
        inspect.signature(lambda ctx: ctx).parameters | inspect.signature(forward).parameters
    )
    Op.forward.__signature__ = inspect.Signature(list(parameters.values()))
    return Op.apply


@dataclass
class Mistake:
    """A wrong op, the options of its `check_op`, and what the message must hold."""

    function: object
    says: str
    options: dict = field(default_factory=dict)


def softmax(x):
    e = (x - x.amax(-1, keepdim=True)).exp()
    return e / e.sum(-1, keepdim=True)


def softmax_reference(x):
    e = np.exp(x)
    return e / e.sum(-1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + (-x).exp())


def without_mean(x):
    return x - x.mean(0, keepdim=True)


def normalized(x):
    centred = without_mean(x)
    return centred / ((centred * centred).mean(0, keepdim=True) + 0.1).sqrt()


def normalized_without_mean_term(g, y, x):
    centred = without_mean(x)
    deviation = ((centred * centred).mean(0, keepdim=True) + 0.1).sqrt()
    return (g - y * (g * y).mean(0, keepdim=True)) / deviation


def averaged_like(g, x):
    """The mean over the dimensions that were broadcast, where the sum is right."""
    lead = g.ndim - x.ndim
    ones = [i for i in range(g.ndim) if i < lead or x.shape[i - lead] == 1]
    return (g.mean(tuple(ones), keepdim=True) if ones else g).reshape(x.shape)


class Mul(Function):
    """Returns the gradients it was asked for, without saying of which input."""

    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return x * y

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        asked = [
            r for r, needed in zip((g * y, g * x), ctx.needs_input_grad, strict=True) if needed
        ]
        return (*asked, *[None] * (2 - len(asked)))


def in_place_relu(x):
    array = to_numpy(x)
    array[array < 0] = 0
    return x * 1


def in_place_backward(g, y, x):
    array = to_numpy(g)
    array *= to_numpy(y)
    return g


def through_numpy(x):
    return minidl.tensor(np.tanh(to_numpy(x)))


CACHE = {}


def cached(x):
    """Remembers results by shape, not by value."""
    return CACHE.setdefault((x.shape, x.dtype), x.exp().detach()) * 1 + x * 0


COUNTER = [0]


def counting(x):
    COUNTER[0] += 1
    return x * (1 + 1e-3 * COUNTER[0])


def memory_order(x):
    """Reads the numbers in the order in which they lie in memory."""
    array = to_numpy(x)
    start = array if array.base is None else array.base
    return minidl.from_numpy(np.array(start.ravel()[: array.size].reshape(array.shape)))


def looped_sum(x):
    total = x[0] * 0
    for i in range(len(x) - 1):
        total = total + x[i]
    return total


MATRICES = arrays(shapes(2, 2, empty=False))
ROWS = arrays(shapes(1, 3, empty=False))
FULL = arrays(shapes(empty=False))
AWAY = arrays(shapes(empty=False)).map(lambda x: np.where(np.abs(x) < 0.1, 0.3, x))
EDGES = arrays(shapes(empty=False)).map(lambda x: np.where(np.abs(np.abs(x) - 1) < 0.1, 1.3, x))
PRODUCTS = st.tuples(*[st.integers(1, 3)] * 3).flatmap(
    lambda n: st.tuples(arrays((n[0], n[1])), arrays((n[1], n[2])))
)
LABELS = st.tuples(st.integers(1, 4), st.integers(2, 4)).flatmap(
    lambda n: st.tuples(
        arrays(n), st.lists(st.integers(0, n[1] - 1), min_size=n[0], max_size=n[0]).map(np.array)
    )
)


def cross_entropy(logits, labels):
    rows = minidl.arange(len(labels))
    return -minidl.log_softmax(logits, 1)[rows, labels].sum()  # sum where the mean is meant


def cross_entropy_reference(logits, labels):
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return -np.log(p[np.arange(len(labels)), labels]).mean()


WRONG = "wrong derivative"
MISTAKES = {
    # The derivative.
    "softmax treats each element alone": Mistake(
        op("softmax", softmax, lambda g, y, x: g * y * (1 - y)),
        WRONG,
        {"samples": ROWS},
    ),
    "softmax gradient a hundred times too large": Mistake(
        op("softmax", softmax, lambda g, y, x: 100 * (g - (g * y).sum(-1, keepdim=True)) * y),
        WRONG,
        {"samples": ROWS},
    ),
    "sigmoid without 1 - y": Mistake(op("sigmoid", sigmoid, lambda g, y, x: g * y), WRONG),
    "tanh with 1 - y for 1 - y^2": Mistake(
        op("tanh", minidl.tanh, lambda g, y, x: g * (1 - y)), WRONG
    ),
    "square without 2": Mistake(op("square", lambda x: x * x, lambda g, y, x: g * x), WRONG),
    "sign of the second input of sub": Mistake(
        op("sub", lambda x, y: x - y, lambda g, out, x, y: (g, g)), WRONG
    ),
    "factors of mul swapped": Mistake(
        op("mul", lambda x, y: x * y, lambda g, out, x, y: (g * x, g * y)), WRONG
    ),
    "chain rule forgotten": Mistake(op("exp", minidl.exp, lambda g, y, x: y), WRONG),
    "relu's mask inverted": Mistake(
        op("relu", minidl.relu, lambda g, y, x: g * (x <= 0).double()), WRONG, {"samples": AWAY}
    ),
    "clip passes gradients outside": Mistake(
        op("clip", lambda x: x.clamp(-1, 1), lambda g, y, x: g), WRONG, {"samples": EDGES}
    ),
    "mean without 1/n": Mistake(
        op("mean", lambda x: x.mean(-1, keepdim=True), lambda g, y, x: g.expand(x.shape)),
        WRONG,
        {"samples": ROWS},
    ),
    "cumsum not reversed": Mistake(
        op("cumsum", lambda x: x.cumsum(-1), lambda g, y, x: g.cumsum(-1)), WRONG, {"samples": ROWS}
    ),
    "norm without the mean's part": Mistake(
        op("norm", normalized, normalized_without_mean_term), WRONG, {"samples": MATRICES}
    ),
    "matmul transposes the wrong one": Mistake(
        op("matmul", minidl.matmul, lambda g, out, a, b: (g @ b.t(), (g.t() @ a))),
        "raises ShapeError",
        {"samples": PRODUCTS},
    ),
    "max gives the gradient to all": Mistake(
        op("amax", lambda x: x.amax(-1, keepdim=True), lambda g, y, x: g.expand(x.shape)),
        WRONG,
        {"samples": ROWS},
    ),
    "no gradient for the second input": Mistake(
        op("mul", lambda x, y: x * y, lambda g, out, x, y: (g * y, None)), "no gradient reaches"
    ),
    "gradients moved up when only one is asked for": Mistake(
        Mul.apply, "gradient of y when no other input needs one"
    ),
    "gradient of a broadcast averaged": Mistake(
        op(
            "add",
            lambda x, y: x + y,
            lambda g, out, x, y: (averaged_like(g, x), averaged_like(g, y)),
        ),
        WRONG,
        {"broadcasts": True},
    ),
    "backward changes the incoming gradient": Mistake(
        op("exp", minidl.exp, in_place_backward), "changed the incoming gradient in place"
    ),
    "backward cannot be differentiated": Mistake(
        op("cube", lambda x: x**3, lambda g, y, x: g * (3 * x**2).detach()), "second derivative"
    ),
    # The value.
    "softmax over the wrong dimension": Mistake(
        lambda x: minidl.softmax(x, 0),
        "wrong result",
        {"reference": softmax_reference, "samples": MATRICES},
    ),
    "keepdim forgotten": Mistake(
        lambda x: x.sum(-1),
        "wrong result",
        {"reference": lambda x: x.sum(-1, keepdims=True), "samples": ROWS},
    ),
    "sum where the mean is meant": Mistake(
        cross_entropy, "wrong result", {"reference": cross_entropy_reference, "samples": LABELS}
    ),
    "loop ends one too early": Mistake(
        looped_sum, "wrong result", {"reference": lambda x: x.sum(0), "samples": ROWS}
    ),
    "results remembered by shape": Mistake(cached, "wrong result", {"reference": np.exp}),
    "exp overflows": Mistake(
        lambda x: x.exp() / x.exp().sum(-1, keepdim=True),
        "wrong result",
        {
            "reference": lambda x: softmax_reference(x - x.max(-1, keepdims=True)),
            "samples": ROWS.map(lambda x: 500 * x),
            "order": 0,
        },
    ),
    # The graph.
    "detached through NumPy": Mistake(through_numpy, "no output requires a gradient"),
    "a constant": Mistake(lambda x: minidl.ones_like(x), "no output requires a gradient"),
    "ignores its second input": Mistake(lambda x, y: x * 2, "does not depend on y"),
    "ignores the labels": Mistake(
        lambda x, labels: -minidl.log_softmax(x, 1)[:, 0].mean(),
        "does not depend on labels",
        {"samples": LABELS},
    ),
    "detaches one factor": Mistake(lambda x, y: x * y.detach(), "no gradient reaches y"),
    # The call.
    "changes its input": Mistake(in_place_relu, "changes its input x in place"),
    "random": Mistake(
        lambda x: x * minidl.tensor(np.random.default_rng().random()), "two equal calls differ"
    ),
    "counts its calls": Mistake(counting, "two equal calls differ"),
    "float64 from float32": Mistake(
        lambda x: x * minidl.tensor([0.5], dtype=minidl.float64), "wrong type of the result"
    ),
    "float32 from float64": Mistake(lambda x: x.float() * 2, "wrong type of the result"),
    "integers become floats": Mistake(
        lambda x: x * 1.0, "wrong type of the result", {"dtypes": "if", "samples": FULL}
    ),
    "only for matrices": Mistake(lambda x: x.transpose(0, 1) * 1, "raises IndexError"),
    "reads memory in order": Mistake(
        memory_order,
        "other results",
        {"order": 0, "reference": np.array, "samples": MATRICES},
    ),
    "keyword ignored": Mistake(
        lambda x, alpha=1.0: x * 2,
        "wrong result",
        {
            "reference": lambda x, alpha=1.0: x * 2 * alpha,
            "samples": st.tuples(arrays(), st.sampled_from([1.0, 0.5])).map(
                lambda a: Sample((a[0],), {"alpha": a[1]})
            ),
        },
    ),
}
