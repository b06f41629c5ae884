"""Records of `minidl/ops/activation.py`."""

import numpy as np
from scipy import special

import minidl
from minidl import ops
from minidl.errors import ShapeError
from minidl.testing import strategies as d
from minidl.testing.records.draw import choice, samples
from minidl.testing.records.elementwise import SAID_NOT_ZERO, unary
from minidl.testing.records.record import OpRecord, case, zeros


@samples
def with_options(draw, domain=d.ANY, **options):
    """A tensor, and each option from its values."""
    return (draw(d.arrays(domain=domain)),), {k: draw(choice(*v)) for k, v in options.items()}


def activation(name, reference, domain=d.ANY, said="all real numbers", errors=(), **options):
    function = getattr(ops, name)
    not_a_tensor = case(lambda t: function([1.0], **first), TypeError, name, "Tensor", "list")
    first = {k: v[0] for k, v in options.items()}
    return OpRecord(
        name,
        function,
        with_options(domain, **options),
        reference,
        domain=said,
        errors=(not_a_tensor, *errors),
    )


# ------------------------------------------------------------------------- with more than one input


@samples
def prelus(draw):
    x = draw(d.arrays(domain=d.NOT_ZERO))
    channels = x.shape[1] if x.ndim > 1 else 1
    weight = choice((), (1,), (channels,)) if channels != 1 else choice((), (1,))
    return x, draw(d.arrays(draw(weight)))


def prelu_reference(x, weight):
    slope = np.array(weight)
    if slope.size > 1:
        slope = slope.reshape(1, -1, *[1] * (x.ndim - 2))
    slope = np.broadcast_to(slope if slope.size > 1 else slope.item(), x.shape)
    return np.maximum(x, 0) + slope * np.minimum(x, 0)


@samples
def glus(draw):
    shape = list(draw(d.shapes(min_dims=1)))
    dim = draw(d.axis(len(shape)))
    shape[dim] *= 2
    return draw(d.arrays(tuple(shape))), dim


def glu_reference(x, dim):
    a, b = np.split(x, 2, dim)
    return a * special.expit(b)


@samples
def softmins(draw):
    x = draw(d.arrays(d.shapes(min_dims=1, empty=False)))
    return x, draw(d.axis(x.ndim))


@samples
def gumbels(draw):
    x = draw(d.arrays(d.shapes(min_dims=1, empty=False)))
    return (x,), {"tau": draw(choice(1, 0.5, 2.0)), "dim": draw(d.axis(x.ndim))}


def gumbel_softmax(logits, tau=1, hard=False, eps=1e-10, dim=-1):
    """`ops.gumbel_softmax` with the same noise in every call."""
    minidl.manual_seed(1)
    return ops.gumbel_softmax(logits, tau, hard, eps, dim)


def gumbel_reference(logits, tau, dim):
    minidl.manual_seed(1)
    noise = -np.log(minidl.empty(logits.shape, dtype=minidl.float64).exponential_().numpy())
    return special.softmax((logits + noise) / tau, dim)


SLOPES = (0.01, 0.5, -0.3)
RECORDS = [
    activation(
        "threshold",
        lambda x, threshold, value: np.where(x > threshold, x, value),
        d.Domain(kinks=(0.3, -1.0)),
        "away from the threshold",
        threshold=(0.3, -1.0),
        value=(0.0, 2.5),
    ),
    activation(
        "hardtanh",
        lambda x, min_val, max_val: np.minimum(np.maximum(x, min_val), max_val),
        d.Domain(kinks=(-1.0, -0.5, 0.75)),
        "away from min_val and max_val",
        (case(lambda t: ops.hardtanh(t([1.0]), 2, 1), ValueError, "hardtanh", "2", "1"),),
        min_val=(-1.0, -0.5),
        max_val=(0.75,),
    ),
    unary(
        "relu6",
        lambda x: np.minimum(np.maximum(x, 0), 6),
        d.Domain(-4, 10, kinks=(0.0, 6.0)),
        "away from 0 and 6",
        dtypes="if",
    ),
    activation(
        "hardsigmoid",
        lambda x: np.interp(x, (-3, 3), (0, 1)),
        d.Domain(-5, 5, kinks=(-3.0, 3.0)),
        "away from -3 and 3",
    ),
    activation(
        "hardswish",
        lambda x: x * np.interp(x, (-3, 3), (0, 1)),
        d.Domain(-5, 5, kinks=(-3.0, 3.0)),
        "away from -3 and 3",
    ),
    activation(
        "hardshrink",
        lambda x, lambd: x * (np.abs(x) > lambd),
        d.Domain(kinks=(-0.5, 0.5, -1.0, 1.0)),
        "away from lambd and -lambd",
        lambd=(0.5, 1.0),
    ),
    activation(
        "softshrink",
        lambda x, lambd: np.sign(x) * np.maximum(np.abs(x) - lambd, 0),
        d.Domain(kinks=(-0.5, 0.5, -1.0, 1.0)),
        "away from lambd and -lambd",
        (case(lambda t: ops.softshrink(t([1.0]), -1.0), ValueError, "softshrink", "-1.0"),),
        lambd=(0.5, 1.0),
    ),
    activation(
        "leaky_relu",
        lambda x, negative_slope: np.maximum(x, 0) + negative_slope * np.minimum(x, 0),
        d.NOT_ZERO,
        SAID_NOT_ZERO,
        negative_slope=SLOPES,
    ),
    OpRecord(
        "prelu",
        ops.prelu,
        prelus(),
        prelu_reference,
        domain=SAID_NOT_ZERO,
        errors=(
            case(lambda t: ops.prelu(zeros(t, 2, 3), zeros(t, 2)), ShapeError, "3", "(2,)"),
            case(lambda t: ops.prelu(zeros(t, 2), [0.1]), TypeError, "prelu", "weight", "list"),
        ),
    ),
    activation(
        "rrelu",
        lambda x, lower, upper: np.where(x > 0, x, x * (lower + upper) / 2),
        d.NOT_ZERO,
        SAID_NOT_ZERO,
        (case(lambda t: ops.rrelu(t([1.0]), 0.5, 0.1), ValueError, "rrelu", "0.5", "0.1"),),
        lower=(0.1, 0.2),
        upper=(0.3,),
    ),
    activation(
        "elu",
        lambda x, alpha: np.where(x > 0, x, alpha * (np.exp(x) - 1)),
        d.NOT_ZERO,
        SAID_NOT_ZERO,
        alpha=(1.0, 0.7),
    ),
    activation(
        "celu",
        lambda x, alpha: np.where(x > 0, x, alpha * (np.exp(x / alpha) - 1)),
        d.NOT_ZERO,
        SAID_NOT_ZERO,
        (case(lambda t: ops.celu(t([1.0]), 0.0), ZeroDivisionError, "celu", "alpha"),),
        alpha=(1.0, 0.7),
    ),
    activation(
        "selu",
        lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * (np.exp(x) - 1)),
        d.NOT_ZERO,
        SAID_NOT_ZERO,
    ),
    activation(
        "softplus",
        lambda x, beta, threshold: np.where(
            beta * x > threshold, x, np.logaddexp(0, beta * x) / beta
        ),
        d.Domain(-3, 3, kinks=(0.5, 1.0, 2.0)),
        "away from threshold / beta",
        beta=(1.0, 2.0, -0.5),
        threshold=(20.0, 1.0),
    ),
    activation("silu", lambda x: x * special.expit(x)),
    activation("mish", lambda x: x * (1 - 2 / ((1 + np.exp(x)) ** 2 + 1))),
    activation(
        "softsign",
        lambda x: np.sign(x) * (1 - 1 / (1 + np.abs(x))),
        d.NOT_ZERO,
        SAID_NOT_ZERO,
    ),
    activation("tanhshrink", lambda x: x - (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1)),
    OpRecord(
        "glu",
        ops.glu,
        glus(),
        glu_reference,
        errors=(
            case(lambda t: ops.glu(zeros(t, 2, 3)), ShapeError, "glu", "even", "3"),
            case(lambda t: ops.glu(zeros(t)), ShapeError, "glu", "0-d"),
        ),
    ),
    OpRecord(
        "softmin",
        ops.softmin,
        softmins(),
        lambda x, dim: special.softmax(-x, dim),
        errors=(case(lambda t: ops.softmin(zeros(t, 2), 1), IndexError, "softmax", "1"),),
    ),
    OpRecord(
        "gumbel_softmax",
        gumbel_softmax,
        gumbels(),
        gumbel_reference,
        errors=(case(lambda t: ops.gumbel_softmax([1.0]), TypeError, "gumbel_softmax", "logits"),),
    ),
]
