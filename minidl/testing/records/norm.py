"""Records of `minidl/ops/norm.py`."""

import numpy as np

from minidl import ops
from minidl.errors import ShapeError
from minidl.testing.records import draw as d
from minidl.testing.records.record import OpRecord, case, zeros


def batch_norms():
    def build(draw):
        channels = d.one_of(draw, 1, 3)
        shape = (d.one_of(draw, 2, 3), channels, *d.one_of(draw, (), (2,), (2, 2)))
        training = d.one_of(draw, True, True, False)
        column = (channels,)
        args = [d.real(draw, shape), d.real(draw, column), d.real(draw, column, d.POSITIVE)]
        if training and d.one_of(draw, False, True):
            args[1:] = [None, None]
        affine = d.one_of(draw, False, True)
        args += [d.real(draw, column), d.real(draw, column)] if affine else [None, None]
        return args, {"training": training, "eps": d.one_of(draw, 1e-5, 0.1)}

    return d.samples(build)


def pure_batch_norm(input, running_mean, running_var, weight, bias, training, eps):
    """`batch_norm` on copies of the running statistics: a call changes none of its inputs."""
    if running_mean is not None:
        running_mean, running_var = running_mean.detach().clone(), running_var.detach().clone()
    return ops.batch_norm(input, running_mean, running_var, weight, bias, training, eps=eps)


def batch_norm_reference(x, running_mean, running_var, weight, bias, training, eps):
    out = np.zeros_like(x)
    for c in range(x.shape[1]):
        channel = x[:, c]
        mean = channel.mean() if training else running_mean[c]
        var = channel.var() if training else running_var[c]
        out[:, c] = (channel - mean) / np.sqrt(var + eps)
        if weight is not None:
            out[:, c] = out[:, c] * weight[c] + bias[c]
    return out


def layer_norms():
    def build(draw):
        lead = d.shape(draw, 0, 2)
        own = d.one_of(draw, (3,), (4,), (2, 3))
        x = d.real(draw, (*lead, *own))
        affine = [d.real(draw, own), d.real(draw, own)]
        chosen = d.one_of(draw, affine, [affine[0], None], [None, None])
        return (x, d.one_of(draw, own, own[0]) if len(own) == 1 else own, *chosen), {
            "eps": d.one_of(draw, 1e-5, 0.1)
        }

    return d.samples(build)


def layer_norm_reference(x, normalized_shape, weight=None, bias=None, eps=1e-5):
    own = 1 if isinstance(normalized_shape, int) else len(normalized_shape)
    y = np.zeros_like(x)
    for place in np.ndindex(*x.shape[: x.ndim - own]):
        y[place] = (x[place] - x[place].mean()) / np.sqrt(x[place].var() + eps)
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


def response_norms():
    def build(draw):
        x = d.real(draw, (2, d.one_of(draw, 1, 3, 5), *d.one_of(draw, (2,), (2, 2))))
        options = {
            "alpha": d.one_of(draw, 1e-4, 0.5),
            "beta": d.one_of(draw, 0.75, 1.0),
            "k": d.one_of(draw, 1.0, 2.0),
        }
        return (x, d.one_of(draw, 1, 2, 3, 5)), options

    return d.samples(build)


def response_norm_reference(x, size, alpha=1e-4, beta=0.75, k=1.0):
    out = np.zeros_like(x)
    for c in range(x.shape[1]):
        near = x[:, max(0, c - size // 2) : c + (size - 1) // 2 + 1]
        out[:, c] = x[:, c] / (k + alpha / size * (near**2).sum(1)) ** beta
    return out


RECORDS = [
    OpRecord(
        "batch_norm",
        pure_batch_norm,
        batch_norms(),
        batch_norm_reference,
        constants=("running_mean", "running_var"),
        errors=(
            case(
                lambda t: ops.batch_norm(zeros(t, 2, 3), None, None, zeros(t, 4), training=True),
                ShapeError,
                "batch_norm",
                "weight",
                "(4,)",
                "3 channels",
            ),
            case(
                lambda t: ops.batch_norm(zeros(t, 1, 3), None, None, training=True),
                ValueError,
                "batch_norm",
                "more than 1 value",
                "(1, 3)",
            ),
            case(
                lambda t: ops.batch_norm(zeros(t, 2, 3), None, None),
                ValueError,
                "batch_norm",
                "running_mean",
            ),
            case(
                lambda t: ops.batch_norm(zeros(t, 2, 3), zeros(t, 3), zeros(t, 2)),
                ShapeError,
                "batch_norm",
                "running_var",
                "(2,)",
            ),
        ),
    ),
    OpRecord(
        "layer_norm",
        ops.layer_norm,
        layer_norms(),
        layer_norm_reference,
        errors=(
            case(
                lambda t: ops.layer_norm(zeros(t, 2, 3), 4),
                ShapeError,
                "layer_norm",
                "(2, 3)",
                "(4,)",
            ),
            case(
                lambda t: ops.layer_norm(zeros(t, 2, 3), 3, zeros(t, 4)),
                ShapeError,
                "layer_norm",
                "weight",
                "(4,)",
            ),
        ),
    ),
    OpRecord(
        "local_response_norm",
        ops.local_response_norm,
        response_norms(),
        response_norm_reference,
        errors=(
            case(
                lambda t: ops.local_response_norm(zeros(t, 2, 3), 5),
                ShapeError,
                "local_response_norm",
                "(2, 3)",
            ),
            case(
                lambda t: ops.local_response_norm(zeros(t, 2, 3, 4), 0),
                ValueError,
                "local_response_norm",
                "size",
                "0",
            ),
        ),
    ),
]
