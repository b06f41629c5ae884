"""Habits of PyTorch code: each case once gave another answer here."""

import pytest

import minidl
from minidl import nn, tape
from minidl.autograd import Function, Variable


def test_a_list_of_indices_is_a_tuple():
    x = minidl.arange(9.0).reshape(3, 3)
    rows, columns = minidl.tensor([0, 1]), minidl.tensor([1, 2])
    assert x[[rows, columns]].tolist() == x[[[0, 1], [1, 2]]].tolist() == [1, 5]
    assert x[[minidl.tensor(0), 1]].item() == 1
    assert x[[[0, 1], slice(None)]].tolist() == x[:2].tolist()
    assert x[[None, 0]].shape == (1, 3)
    assert x[[0, 2]].tolist() == [[0, 1, 2], [6, 7, 8]]  # a list of numbers picks rows
    y = minidl.zeros(2, 2)
    y[[[0, 1], [1, 0]]] = 5
    assert y.tolist() == [[0, 5], [5, 0]]


def test_a_number_in_an_f_string():
    loss = (minidl.tensor(0.5, requires_grad=True) * 1).sum()
    assert f"{loss}" == "0.5"
    assert f"{loss:.2f}" == "0.50"
    assert f"{minidl.ones(2)}" == "tensor([1., 1.])"
    with pytest.raises(TypeError, match="format"):
        f"{minidl.ones(2):.2f}"


def test_ravel_copies_what_is_not_contiguous():
    x = minidl.arange(4.0)
    x[::2].ravel().fill_(9)
    assert x.tolist() == [0, 1, 2, 3]
    x.ravel().fill_(9)
    assert x.tolist() == [9] * 4


def test_names_of_types():
    assert (minidl.float, minidl.double, minidl.half) == (
        minidl.float32,
        minidl.float64,
        minidl.float16,
    )
    assert (minidl.long, minidl.int, minidl.short) == (minidl.int64, minidl.int32, minidl.int16)
    assert minidl.zeros(2, dtype=minidl.long).dtype == minidl.int64


def test_a_function_with_setup_context():
    class Square(Function):
        @staticmethod
        def forward(x):
            return x * x

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * g * x

    x = Variable(minidl.tensor([3.0]), requires_grad=True)
    Square.apply(x).backward()
    assert x.grad.tolist() == [6]


def test_a_number_saved_with_one_dimension_is_loaded():
    module = nn.Module()
    module.scale = nn.Parameter(minidl.tensor(1.0))
    module.load_state_dict({"scale": minidl.tensor([4.0])})
    assert module.scale.item() == 4


def test_grad_takes_only_inputs():
    x = minidl.tensor([2.0], requires_grad=True)
    (found,) = minidl.autograd.grad(x**2, x, create_graph=True, only_inputs=True)
    assert found.tolist() == [4]


MISSING = {
    "nn.Conv4d": "Conv3d",
    "nn.functional.reluu": "relu",
    "optim.Adamm": "Adam",
    "linalg.detx": "det",
    "special.erff": "erf",
    "func.gradd": "grad",
    "distributions.Norm": "Normal",
    "utils.data.DataLoad": "DataLoader",
    "optim.lr_scheduler.StepRL": "StepLR",
    "softmx": "softmax",
}


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_name_names_the_nearest(name):
    *path, last = name.split(".")
    owner = minidl
    for part in path:
        owner = getattr(owner, part)
    with pytest.raises(AttributeError, match=rf"no '{last}'.*\b{MISSING[name]}\b"):
        getattr(owner, last)


def test_a_missing_method():
    with pytest.raises(AttributeError, match="'Tensor' object has no attribute 'summ'"):
        minidl.ones(2).summ()  # in a terminal Python adds: Did you mean: 'sum'?
    assert not hasattr(minidl.ones(2), "__array_interface__")


@pytest.mark.parametrize("kind", [tape.Tensor, tape.Node, tape.Leaf, nn.Parameter])
def test_python_reads_slots_the_fast_way(kind):
    """A small op took 20 % longer when Tensor had a `__getattr__` for the error above."""
    assert not hasattr(kind, "__getattr__")
    assert kind.__getattribute__ is object.__getattribute__
