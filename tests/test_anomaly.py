"""Anomaly mode: the op and the user's line that made the first nan."""

import pytest
from leaves import ones

import minidl
from minidl import GraphError, autograd

pytestmark = pytest.mark.smoke


def line_of(marker):
    """file:line of the line of this file that ends with the marker."""
    with open(__file__) as source:
        for number, line in enumerate(source, 1):
            if line.rstrip().endswith(f"# {marker}"):
                return f"{__file__}:{number}"


def test_a_nan_of_the_forward(device):
    x = minidl.zeros(1, device=device, requires_grad=True)
    with autograd.detect_anomaly():
        y = minidl.log(x - 1)  # forward nan
        loss = (y * 2).sum()
        with pytest.raises(GraphError, match="computed by log") as caught:
            loss.backward()
    assert line_of("forward nan") in str(caught.value)


def test_a_nan_of_the_backward(device):
    x = minidl.zeros(1, device=device, requires_grad=True)
    with autograd.detect_anomaly():
        y = minidl.sqrt(x) * 0  # backward nan
        with pytest.raises(GraphError, match=r"sqrt.*returned nan") as caught:
            y.backward()
    assert line_of("backward nan") in str(caught.value)


def test_a_changed_value(device):
    x = ones(2, device=device)
    with autograd.detect_anomaly():
        y = x * 1
        z = y * y  # changed later
        y.add_(1)
        with pytest.raises(GraphError) as caught:
            z.sum().backward()
    assert line_of("changed later") in str(caught.value)


def test_the_mode_ends(device):
    x = minidl.zeros(1, device=device, requires_grad=True)
    with autograd.detect_anomaly():
        pass
    minidl.log(x - 1).backward()
    with autograd.set_detect_anomaly(True), pytest.raises(GraphError):
        minidl.log(x - 1).backward()
    minidl.log(x - 1).backward()
    assert x.grad.tolist() == [-2.0]
