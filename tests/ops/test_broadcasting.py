"""Broadcasting is copying, and the gradient of copying is summing."""

import numpy as np
import pytest
from calls import each_record, gradients, leaf

import minidl
from minidl.testing import to_numpy

PAIRS = [
    ((2, 3), (3,)),
    ((3,), (2, 3)),
    ((2, 1), (1, 3)),
    ((), (2, 3)),
    ((2, 3), ()),
    ((1,), (4, 1, 2)),
    ((2, 1, 3), (4, 1)),
    ((0, 1), (1, 3)),
    ((1, 1), (0,)),
]


def two_inputs(record):
    return (
        record.broadcasts
        and record.order >= 1
        and record.name not in ("where", "broadcast_tensors")
    )


@pytest.mark.parametrize("shapes", PAIRS, ids=str)
@each_record(two_inputs)
def test_broadcast_equals_explicit_copies(record, shapes, device):
    rng = np.random.default_rng(0)
    arrays = [np.asarray(rng.uniform(0.5, 2.0, shape)) for shape in shapes]
    common = np.broadcast_shapes(*shapes)
    x, y = (leaf(a, device) for a in arrays)
    values, grads = gradients(record.function, (x, y))
    copies = [leaf(np.broadcast_to(a, common).copy(), device) for a in arrays]
    same_values, whole_grads = gradients(record.function, tuple(copies))
    np.testing.assert_allclose(values[0], same_values[0], rtol=1e-12)
    assert values[0].shape == common
    for grad, whole, shape in zip(grads, whole_grads, shapes, strict=True):
        lead = len(common) - len(shape)
        summed = tuple(range(lead)) + tuple(
            lead + i for i, n in enumerate(shape) if n == 1 and common[lead + i] != 1
        )
        expected = whole.sum(summed, keepdims=True).reshape(shape)
        np.testing.assert_allclose(grad, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("shapes", PAIRS, ids=str)
def test_where_broadcasts_three(shapes, device):
    rng = np.random.default_rng(0)
    condition = minidl.tensor(rng.random(shapes[0]) < 0.5, device=device)
    x, y = (leaf(np.asarray(rng.standard_normal(s)), device) for s in (shapes[1], ()))
    out = minidl.where(condition, x, y)
    common = np.broadcast_shapes(*shapes)
    assert tuple(out.shape) == common
    gx, gy = minidl.autograd.grad(out.sum(), [x, y])
    taken = np.broadcast_to(to_numpy(condition), common)
    assert to_numpy(gy) == common_count(~taken)
    assert to_numpy(gx).sum() == taken.sum()
    assert gx.shape == x.shape


def common_count(mask):
    return mask.sum()
