"""Switches that ask for speed only change nothing; old names of types."""

import importlib

import pytest

import minidl
from minidl import nn, switches


def test_each_switch_says_why_it_does_nothing():
    for name in switches.__all__:
        value = getattr(switches, name)
        assert getattr(minidl, name) is value
        if not isinstance(value, switches.memory_format) and not name.startswith(
            ("get", "are", "is")
        ):
            assert value.__doc__, name


@pytest.mark.parametrize("wrap", [minidl.compile, minidl.jit.script, minidl.compiler.disable])
def test_compiling_gives_the_function_itself(wrap):
    def function(x):
        return x + 1

    assert wrap(function) is function
    model = nn.Linear(2, 2)
    assert wrap(model) is model


def test_compile_as_a_decorator_with_options():
    @minidl.compile(mode="max-autotune", fullgraph=True)
    def function(x):
        return x + 1

    assert function(1) == 2


def test_backends_are_modules():
    cudnn = importlib.import_module("minidl.backends.cudnn")
    assert cudnn is minidl.backends.cudnn
    cudnn.benchmark = True
    minidl.backends.cuda.matmul.allow_tf32 = True
    with cudnn.flags(enabled=False):
        assert not minidl.backends.mps.is_available()
    assert not minidl.distributed.is_initialized()


def test_memory_formats_and_transfers_change_no_value():
    x = minidl.randn(2, 3, 4, 4)
    for y in (
        x.to(memory_format=minidl.channels_last),
        x.contiguous(memory_format=minidl.channels_last),
        x.to("cpu", non_blocking=True),
        x.clone(memory_format=minidl.preserve_format),
        x.pin_memory(),
    ):
        assert (y == x).all()
    assert minidl.empty(2, memory_format=minidl.contiguous_format).shape == (2,)
    assert x.is_contiguous(memory_format=minidl.contiguous_format)
    assert nn.Conv2d(1, 1, 1).to(memory_format=minidl.channels_last).weight.shape == (1, 1, 1, 1)


def test_size_is_a_tuple_that_counts():
    shape = minidl.zeros(2, 3, 4).shape
    assert isinstance(shape, minidl.Size) and isinstance(shape[1:], minidl.Size)
    assert (shape.numel(), shape[1:].numel(), minidl.Size([]).numel()) == (24, 12, 1)
    assert shape == (2, 3, 4) and isinstance(shape[:1] + shape[2:], minidl.Size)
    assert repr(minidl.zeros(2, 3).size()) == "minidl.Size([2, 3])"


def test_old_names_of_types():
    assert minidl.ones(2).type() == "torch.FloatTensor"
    assert minidl.ones(2).type(minidl.LongTensor).dtype == minidl.int64
    assert minidl.ones(2).type("torch.DoubleTensor").dtype == minidl.float64
    assert minidl.ones(2).type(minidl.float16).dtype == minidl.float16
    assert minidl.LongTensor([1, 2]).tolist() == [1, 2]
    assert minidl.FloatTensor(2, 3).shape == (2, 3)
    assert minidl.BoolTensor([0, 2]).tolist() == [False, True]
