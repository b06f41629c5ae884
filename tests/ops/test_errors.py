"""A bad call raises the right class, and its message has what a reader needs."""

import numpy as np
import pytest

import minidl
from minidl import testing

CASES = [
    pytest.param(case, id=f"{record.name}-{i}")
    for record in testing.ops()
    for i, case in enumerate(record.errors)
]


@pytest.mark.smoke
@pytest.mark.parametrize("case", CASES)
def test_bad_call_says_what_is_wrong(case, device):
    # On a GPU, values are looked at in anomaly mode only: CuPy wraps indices around.
    with pytest.raises(case.error) as caught, minidl.autograd.set_detect_anomaly(device != "cpu"):
        case.call(lambda data: minidl.tensor(data, device=device))
    missing = [word for word in case.words if word not in str(caught.value)]
    assert not missing, f"{missing} not in {caught.value}"


def test_a_refused_call_changes_nothing(device):
    """A write of a wrong shape or type leaves values, version and graph as they were."""
    x = minidl.tensor([1.0, 2.0, 3.0], device=device, requires_grad=True)
    y = x * 2
    z = y * y
    for bad in (
        lambda: y.add_(minidl.zeros(4, device=device)),
        lambda: y.mul_(minidl.zeros(2, 3, device=device)),
        lambda: y.__setitem__(slice(0, 2), minidl.zeros(3, device=device)),
        lambda: y.__setitem__(5, 1.0),
    ):
        with pytest.raises((minidl.ShapeError, IndexError)):
            bad()
    z.sum().backward()
    np.testing.assert_allclose(minidl.testing.to_numpy(x.grad), [8.0, 16.0, 24.0])


def test_integer_tensors_cannot_require_a_gradient(device):
    with pytest.raises(minidl.DTypeError, match=r"only float.*int64.*float\(\)"):
        minidl.tensor([1, 2], device=device, requires_grad=True)
    with pytest.raises(minidl.DTypeError, match="int64"):
        minidl.tensor([1, 2], device=device).requires_grad_()


def test_a_float_result_does_not_fit_an_integer_tensor(device):
    x = minidl.tensor([1, 2], device=device)
    with pytest.raises(minidl.DTypeError, match="int64"):
        x.add_(0.5)
    with pytest.raises(minidl.DTypeError, match="int64"):
        x.div_(2)
    assert minidl.testing.to_numpy(x).tolist() == [1, 2]
