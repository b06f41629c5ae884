"""autocast and GradScaler: accepted where they are off, refused where they would change numbers."""

import pytest

import minidl
from minidl import nn, optim
from minidl.amp import GradScaler, autocast


def test_a_mixed_precision_loop_for_the_gpu_runs_in_float32():
    model = nn.Linear(2, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    scaler = GradScaler()
    before = model.weight.detach().clone()
    with autocast("cuda", dtype=minidl.float16):
        loss = model(minidl.ones(3, 2)).sum()
    assert loss.dtype == minidl.float32
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert (model.weight.detach() - before + 0.3).abs().max() < 1e-6


def test_it_decorates():
    @minidl.autocast("cpu", enabled=False)
    def function(x):
        return x + 1

    assert function(1) == 2
    assert function.__name__ == "function"


def test_lower_precision_is_refused():
    with pytest.raises(NotImplementedError, match="float32 only"):
        autocast("cpu", dtype=minidl.bfloat16)
    with pytest.raises(NotImplementedError, match="float32 only"):
        GradScaler("cpu")
