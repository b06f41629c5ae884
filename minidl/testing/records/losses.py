"""Records of `minidl/ops/losses.py` and `minidl/ops/ctc.py`."""

from itertools import groupby, product

import numpy as np
from scipy import special, stats

from minidl import ops
from minidl.errors import ShapeError
from minidl.testing import strategies as d
from minidl.testing.records.draw import choice, samples
from minidl.testing.records.loss import cross_entropy_reference, options, reduce_loss
from minidl.testing.records.record import OpRecord, case, zeros

UNIT = d.Domain(0.1, 0.9)


def reduced(formula):
    """A reference with `reduction`, of the formula of the elements."""

    def reference(*args, reduction="mean", **kwargs):
        return reduce_loss(formula(*args, **kwargs), reduction)

    return reference


def unequal(name, *others):
    """The error of a target of another shape."""
    function = getattr(ops, name)
    return case(lambda t: function(zeros(t, 2), zeros(t, 3), *others), ShapeError, "(2,)", "(3,)")


@samples
def two(draw, left=d.ANY, right=d.ANY, **more):
    shape = draw(d.shapes(empty=False))
    chosen = {name: draw(choice(*values)) for name, values in more.items()}
    return (draw(d.arrays(shape, left)), draw(d.arrays(shape, right))), options(draw) | chosen


@samples
def differences(draw, name, edges, weighted):
    """Two tensors whose difference is not at an edge or 0."""
    shape = draw(d.shapes(empty=False))
    kinks = (0.0, *edges, *[-edge for edge in edges])
    target = draw(d.arrays(shape))
    x = target + draw(d.arrays(shape, d.Domain(kinks=kinks)))
    weight = draw(d.arrays(shape, d.POSITIVE)) if weighted and draw(choice(False, True)) else None
    weight = {} if weight is None else {"weight": weight}
    return (x, target), options(draw) | {name: draw(choice(*edges))} | weight


def huber_reference(x, y, delta, weight=1.0):
    return weight * special.huber(delta, x - y)


def smooth_l1_reference(x, y, beta):
    z = np.abs(x - y)
    return np.where(z < beta, z * z / (2 * beta), z - beta / 2)


@samples
def probabilities(draw):
    shape = draw(d.shapes(empty=False))
    weight = draw(choice(None, draw(d.arrays(shape, d.POSITIVE))))
    return (draw(d.arrays(shape, UNIT)), draw(d.arrays(shape, UNIT)), weight), options(draw)


def binary_reference(p, target, weight=None):
    loss = -special.xlogy(target, p) - special.xlog1py(1 - target, -p)
    return loss if weight is None else loss * weight


@samples
def divergences(draw):
    shape = draw(d.shapes(min_dims=1, empty=False))
    log_target = draw(choice(False, True))
    target = draw(d.arrays(shape, d.ANY if log_target else d.POSITIVE))
    reduction = draw(choice("batchmean", "mean", "sum", "none"))
    return (draw(d.arrays(shape)), target), {"reduction": reduction, "log_target": log_target}


def divergence_reference(x, target, reduction, log_target):
    p = np.exp(target) if log_target else target
    loss = special.rel_entr(p, np.exp(x))
    return loss.sum() / len(loss) if reduction == "batchmean" else reduce_loss(loss, reduction)


@samples
def gaussians(draw):
    shape = draw(d.shapes(min_dims=1, empty=False))
    of_var = draw(choice(shape, shape[:-1], (*shape[:-1], 1)))
    x, y = draw(d.arrays(shape)), draw(d.arrays(shape))
    full = {"full": draw(choice(False, True))}
    return (x, y, draw(d.arrays(of_var, d.POSITIVE))), options(draw) | full


def gaussian_reference(x, y, var, full):
    var = var if var.ndim == x.ndim else var[..., None]
    loss = -stats.norm.logpdf(x, y, np.sqrt(var))
    return loss if full else loss - 0.5 * np.log(2 * np.pi)


def poisson_reference(x, target, log_input, full):
    rate = np.exp(x) if log_input else x
    loss = rate - target * (x if log_input else np.log(x + 1e-8))
    large = np.maximum(target, 1)
    stirling = large * (np.log(large) - 1) + 0.5 * np.log(2 * np.pi * large)
    return loss + np.where(target > 1, stirling, 0) * full


@samples
def linear_entropies(draw):
    n, features, classes = draw(choice(1, 3)), draw(choice(1, 2)), draw(choice(2, 3))
    out = draw(choice((), (2,)))
    shapes = (n, features), (classes, *out, features)
    x, weight = (draw(d.arrays(shape)) for shape in shapes)
    bias = draw(choice(None, draw(d.arrays((classes, *out)))))
    labels = draw(d.integer_arrays((n, *out), 0, classes))
    return (x, weight, labels), options(draw) | {"linear_bias": bias}


def linear_reference(x, weight, labels, linear_bias=None, reduction="mean"):
    logits = np.einsum("nf,c...f->nc...", x, weight)
    logits = logits if linear_bias is None else logits + linear_bias
    return cross_entropy_reference(logits, labels, reduction=reduction)


# ---------------------------------------------------------------------------------------- sequences


def ctc_loss(scores, targets, input_lengths, target_lengths, **more):
    """`ops.ctc_loss` after log_softmax: its gradient is meant for that."""
    log_probs = ops.log_softmax(scores, -1)
    return ops.ctc_loss(log_probs, targets, input_lengths, target_lengths, **more)


@samples
def sequences(draw):
    """Two sequences of up to four steps, with targets that fit into them."""
    x = draw(d.arrays((4, 2, 3)))
    targets = draw(d.integer_arrays((2, 2), 1, 3))
    times, sizes = draw(choice([4, 3], [3, 4])), draw(choice([2, 1], [1, 0], [1, 2]))
    return (x, targets, times, sizes), options(draw)


def ctc_reference(scores, targets, times, sizes, reduction="mean"):
    """The sum over every path, one after the other."""
    p = special.softmax(scores, -1)
    loss = np.zeros(len(times))
    for n, (steps, size) in enumerate(zip(times, sizes, strict=True)):
        total = 0.0
        for path in product(range(p.shape[2]), repeat=steps):
            if [k for k, _ in groupby(path) if k != 0] == list(targets[n, :size]):
                total += np.prod([p[t, n, k] for t, k in enumerate(path)])
        loss[n] = -np.log(total)
    if reduction == "mean":
        return np.mean(loss / np.maximum(sizes, 1))
    return reduce_loss(loss, reduction)


RECORDS = [
    OpRecord(
        "huber_loss",
        ops.huber_loss,
        differences("delta", (1.0, 0.4), True),
        reduced(huber_reference),
        domain="|input - target| away from 0 and delta",
        constants=("weight",),
        errors=(
            unequal("huber_loss"),
            case(
                lambda t: ops.huber_loss(zeros(t, 2), zeros(t, 2), delta=0),
                RuntimeError,
                "huber_loss",
                "delta",
                "0",
            ),
        ),
    ),
    OpRecord(
        "smooth_l1_loss",
        ops.smooth_l1_loss,
        differences("beta", (1.0, 0.4, 0.0), False),
        reduced(smooth_l1_reference),
        domain="|input - target| away from 0 and beta",
        errors=(unequal("smooth_l1_loss"),),
    ),
    OpRecord(
        "binary_cross_entropy",
        ops.binary_cross_entropy,
        probabilities(),
        reduced(binary_reference),
        domain="input between 0 and 1",
        constants=("weight",),
        errors=(
            unequal("binary_cross_entropy"),
            case(
                lambda t: ops.binary_cross_entropy(t([1.5]), t([1.0])),
                RuntimeError,
                "between 0 and 1",
                "with_logits",
            ),
        ),
    ),
    OpRecord(
        "kl_div",
        ops.kl_div,
        divergences(),
        divergence_reference,
        domain="target positive, or any logarithm",
        errors=(unequal("kl_div"),),
    ),
    OpRecord(
        "gaussian_nll_loss",
        ops.gaussian_nll_loss,
        gaussians(),
        reduced(gaussian_reference),
        domain="var positive",
        errors=(
            case(
                lambda t: ops.gaussian_nll_loss(zeros(t, 2, 3), zeros(t, 2, 3), zeros(t, 4)),
                ShapeError,
                "var",
                "(2, 3)",
                "(4,)",
            ),
            case(
                lambda t: ops.gaussian_nll_loss(zeros(t, 1), zeros(t, 1), t([-1.0])),
                ValueError,
                "negative",
            ),
        ),
    ),
    OpRecord(
        "poisson_nll_loss",
        ops.poisson_nll_loss,
        two(
            d.POSITIVE,
            d.Domain(0.2, 3.0, kinks=(1.0,)),
            log_input=(True, False),
            full=(False, True),
        ),
        reduced(poisson_reference),
        domain="positive, target away from 1",
        errors=(unequal("poisson_nll_loss"),),
    ),
    OpRecord(
        "linear_cross_entropy",
        ops.linear_cross_entropy,
        linear_entropies(),
        linear_reference,
        errors=(
            case(
                lambda t: ops.linear_cross_entropy(zeros(t, 2, 3), zeros(t, 4, 2), t([0, 1])),
                ShapeError,
                "linear_cross_entropy",
                "(2, 3)",
                "(4, 2)",
            ),
        ),
    ),
    OpRecord(
        "ctc_loss",
        ctc_loss,
        sequences(),
        ctc_reference,
        errors=(
            case(
                lambda t: ops.ctc_loss(zeros(t, 2), t([1]), [2], [1]),
                ShapeError,
                "ctc_loss",
                "(2,)",
            ),
            case(
                lambda t: ops.ctc_loss(zeros(t, 4, 1, 3), t([[3]]), [4], [1]),
                IndexError,
                "ctc_loss",
                "3",
                "0 to 2",
            ),
            case(
                lambda t: ops.ctc_loss(zeros(t, 4, 1, 3), t([[1]]), [5], [1]),
                IndexError,
                "ctc_loss",
                "input length",
                "5",
            ),
            case(
                lambda t: ops.ctc_loss(zeros(t, 4, 2, 3), t([[1], [1]]), [4], [1, 1]),
                ShapeError,
                "ctc_loss",
                "2 lengths",
            ),
        ),
    ),
]
