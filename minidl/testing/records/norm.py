"""Records of `minidl/ops/norm.py`."""

import numpy as np

from minidl import ops
from minidl.errors import ShapeError
from minidl.testing import strategies as d
from minidl.testing.records.draw import choice, samples
from minidl.testing.records.record import OpRecord, case, zeros


@samples
def batch_norms(draw):
    channels = draw(choice(1, 3))
    shape = (draw(choice(2, 3)), channels, *draw(choice((), (2,), (2, 2))))
    training = draw(choice(True, True, False))
    column = (channels,)
    args = [draw(d.arrays(shape)), draw(d.arrays(column)), draw(d.arrays(column, d.POSITIVE))]
    if training and draw(choice(False, True)):
        args[1:] = [None, None]
    affine = draw(choice(False, True))
    args += [draw(d.arrays(column)), draw(d.arrays(column))] if affine else [None, None]
    return args, {"training": training, "eps": draw(choice(1e-5, 0.1))}


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


@samples
def layer_norms(draw):
    lead = draw(d.shapes(max_dims=2))
    own = draw(choice((3,), (4,), (2, 3)))
    x = draw(d.arrays((*lead, *own)))
    affine = [draw(d.arrays(own)), draw(d.arrays(own))]
    chosen = draw(choice(affine, [affine[0], None], [None, None]))
    return (x, draw(choice(own, own[0])) if len(own) == 1 else own, *chosen), {
        "eps": draw(choice(1e-5, 0.1))
    }


def layer_norm_reference(x, normalized_shape, weight=None, bias=None, eps=1e-5):
    own = 1 if isinstance(normalized_shape, int) else len(normalized_shape)
    y = np.zeros_like(x)
    for place in np.ndindex(*x.shape[: x.ndim - own]):
        y[place] = (x[place] - x[place].mean()) / np.sqrt(x[place].var() + eps)
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


@samples
def group_norms(draw):
    groups, each = draw(choice(1, 2)), draw(choice(1, 2))
    shape = (draw(choice(1, 2)), groups * each, *draw(choice((3,), (2, 2))))
    affine = draw(choice(False, True))
    column = [draw(d.arrays(shape[1:2])) for _ in range(2)] if affine else []
    return (draw(d.arrays(shape)), groups, *column), {"eps": draw(choice(1e-5, 0.1))}


def group_norm_reference(x, num_groups, weight=None, bias=None, eps=1e-5):
    out = np.zeros_like(x)
    for n in range(len(x)):
        for channels in np.split(np.arange(x.shape[1]), num_groups):
            group = x[n, channels]
            out[n, channels] = (group - group.mean()) / np.sqrt(group.var() + eps)
    if weight is None:
        return out
    column = (-1, *[1] * (x.ndim - 2))
    return out * weight.reshape(column) + bias.reshape(column)


@samples
def instance_norms(draw):
    channels = draw(choice(1, 3))
    shape = (draw(choice(1, 2)), channels, *draw(choice((3,), (2, 2))))
    own = draw(choice(True, True, False))
    args = [draw(d.arrays(shape)), *[draw(d.arrays((channels,), d.POSITIVE)) for _ in range(2)]]
    if own and draw(choice(False, True)):
        args[1:] = [None, None]
    affine = draw(choice(False, True))
    args += [draw(d.arrays((channels,))) if affine else None for _ in range(2)]
    return args, {"use_input_stats": own, "eps": draw(choice(1e-5, 0.1))}


def pure_instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, eps):
    """`instance_norm` on copies of the running statistics: a call changes none of its inputs."""
    if running_mean is not None:
        running_mean, running_var = running_mean.detach().clone(), running_var.detach().clone()
    return ops.instance_norm(
        input, running_mean, running_var, weight, bias, use_input_stats, eps=eps
    )


def instance_norm_reference(x, mean, var, weight, bias, use_input_stats, eps):
    if not use_input_stats:
        return batch_norm_reference(x, mean, var, weight, bias, False, eps)
    return group_norm_reference(x, x.shape[1], weight, bias, eps)


@samples
def rms_norms(draw):
    own = draw(choice((3,), (4,), (2, 3)))
    x = draw(d.arrays((*draw(d.shapes(max_dims=2)), *own), d.NOT_ZERO))
    weight = draw(choice(None, draw(d.arrays(own))))
    return (x, own, weight), {"eps": draw(choice(1e-5, 0.1))}


def rms_norm_reference(x, normalized_shape, weight=None, eps=1e-5):
    axes = tuple(range(-len(normalized_shape), 0))
    y = x / np.sqrt((x**2).mean(axes, keepdims=True) + eps)
    return y if weight is None else y * weight


@samples
def response_norms(draw):
    x = draw(d.arrays((2, draw(choice(1, 3, 5)), *draw(choice((2,), (2, 2))))))
    options = {
        "alpha": draw(choice(1e-4, 0.5)),
        "beta": draw(choice(0.75, 1.0)),
        "k": draw(choice(1.0, 2.0)),
    }
    return (x, draw(choice(1, 2, 3, 5))), options


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
        "group_norm",
        ops.group_norm,
        group_norms(),
        group_norm_reference,
        errors=(
            case(lambda t: ops.group_norm(zeros(t, 1, 3, 2), 2), ShapeError, "group_norm", "3"),
        ),
    ),
    OpRecord(
        "instance_norm",
        pure_instance_norm,
        instance_norms(),
        instance_norm_reference,
        constants=("running_mean", "running_var"),
        errors=(
            case(lambda t: ops.instance_norm(zeros(t, 2, 3, 1)), ValueError, "more than 1 value"),
        ),
    ),
    OpRecord(
        "rms_norm",
        ops.rms_norm,
        rms_norms(),
        rms_norm_reference,
        errors=(case(lambda t: ops.rms_norm(zeros(t, 2, 3), 4), ShapeError, "rms_norm", "(4,)"),),
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
