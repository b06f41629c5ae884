"""`check_module`: passes right modules, and catches and names what students get wrong."""

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.testing import CheckError, check_module
from minidl.testing.errors import SetupError
from minidl.testing.strategies import arrays, integer_arrays, tensors


class Attention(nn.Module):
    """Each position looks at the others; `mask` says at which."""

    def __init__(self, causal=False, leak=False):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(3, 3) for _ in range(3))
        self.causal, self.leak = causal, leak

    def forward(self, x, padding=None):
        scores = self.query(x) @ self.key(x).transpose(-2, -1) / 3**0.5
        n = x.shape[-2]
        if self.causal:
            above = minidl.tensor(np.triu(np.ones((n, n), bool), 2 if self.leak else 1))
            scores = scores.masked_fill(above, -1e9)
        if padding is not None and not self.leak:
            scores = scores.masked_fill(padding.unsqueeze(-2), -1e9)
        return minidl.softmax(scores, -1) @ self.value(x)


PADDING = minidl.tensor([[False, False, False, True], [False, False, True, True]])
SEQUENCES = arrays((2, 4, 3))

RIGHT = {
    "linear": (lambda: nn.Linear(3, 2), SEQUENCES, {"permutation_equivariant": 1}),
    "a fixed input": (lambda: nn.Linear(3, 2), minidl.ones(4, 3), {}),
    "dropout": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5)),
        tensors((4, 3)),
        {"train_differs": True},
    ),
    "batch norm": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh()),
        arrays((4, 3)),
        {"train_differs": True},
    ),
    "attention": (Attention, SEQUENCES, {"permutation_equivariant": 1}),
    "causal attention": (lambda: Attention(causal=True), SEQUENCES, {"causal": 1}),
    "padded attention": (
        Attention,
        SEQUENCES.map(lambda x: (x, PADDING)),
        {"ignores_padding": lambda x, padding: padding},
    ),
    "tied weights": (lambda: Tied(), arrays((2, 3)), {}),
    "embedding": (lambda: nn.Embedding(5, 2), minidl.tensor([[0, 4], [2, 2]]), {}),
    "frozen": (lambda: nn.Linear(3, 2).requires_grad_(False), arrays((2, 3)), {}),
    "starts with the factor 0": (lambda: Residual(), arrays((2, 3)), {}),
    "a unit that is off at first": (lambda: Off(), minidl.ones(2, 3), {}),
    "lstm with its last state": (
        lambda: nn.LSTM(3, 4, batch_first=True),
        minidl.ones(2, 4, 3),
        {"causal": 1},
    ),
    "causal tokens": (lambda: nn.Embedding(5, 2), minidl.tensor([[0, 4, 1]]), {"causal": -1}),
}


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.scale = nn.Linear(3, 3), nn.Parameter(minidl.zeros(1))

    def forward(self, x):
        return x + self.scale * self.fc(x)


class Off(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 1)

    def forward(self, x):
        return minidl.relu(self.fc(x) - 3)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)
        self.two.weight = self.one.weight

    def forward(self, x):
        return self.two(self.one(x).tanh())


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_module_passes(name):
    make, inputs, options = RIGHT[name]
    check_module(make, inputs, **options)


# ---------------------------------------------------------------------------------------- mistakes


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)


class LayersInAList(Base):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(3, 3)]

    def forward(self, x):
        return self.layers[0](self.fc(x))


class Unused(Base):
    def __init__(self):
        super().__init__()
        self.spare = nn.Linear(3, 3)

    def forward(self, x):
        return self.fc(x)


class Detached(Base):
    def forward(self, x):
        return self.fc(x).detach()


class HiddenState(Base):
    """The mean that it subtracts is no buffer."""

    def __init__(self):
        super().__init__()
        self.mean = minidl.zeros(3, dtype=minidl.float64)

    def forward(self, x):
        if self.training:
            self.mean = self.mean + x.detach().mean(0)
            return self.fc(x)
        return self.fc(x - self.mean)


class RandomAnyway(Base):
    def forward(self, x):
        return self.fc(x) * np.random.default_rng().random()


class RandomByTheSeed(Base):
    def forward(self, x):
        return self.fc(x) + minidl.randn(3, dtype=x.dtype)


class DropsInEvaluation(Base):
    def forward(self, x):
        return nn.functional.dropout(self.fc(x), 0.5, training=True)


class TimesZero(Unused):
    def forward(self, x):
        return self.fc(x) + 0 * self.spare(x)


class LooksAhead(nn.Module):
    """Adds the mean over all tokens."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 2)

    def forward(self, x):
        y = self.embedding(x)
        return y + y.mean(1, keepdim=True)


class CountsInEvaluation(Base):
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", minidl.zeros(1))

    def forward(self, x):
        self.seen += 1
        return self.fc(x)


class DeafToEval(Base):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout()

    def train(self, mode=True):
        self.training = mode
        return self

    def forward(self, x):
        return self.drop(self.fc(x))


class ChangesItsInput(Base):
    def forward(self, x):
        y = self.fc(x)
        x.add_(1)
        return y


class WrongBackward(Base):
    class Square(minidl.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0]

    def forward(self, x):
        return self.Square.apply(self.fc(x))


class AddsPositions(Base):
    def forward(self, x):
        return self.fc(x) + minidl.arange(x.shape[1], dtype=x.dtype).unsqueeze(-1)


class OnlyMatrices(Base):
    def forward(self, x):
        return self.fc(x.t())


X = arrays((2, 3))
MISTAKES = {
    "layers in a list": (LayersInAList, X, {}, "is trained that is not one of its parameters"),
    "unused layer": (Unused, X, {}, "no gradient reaches the parameter spare.weight"),
    "detached": (Detached, X, {}, "no result requires a gradient"),
    "state that is no buffer": (HiddenState, X, {"train_differs": True}, "some state is not in it"),
    "random": (RandomAnyway, X, {}, "evaluation gives different results twice"),
    "random by the seed": (
        RandomByTheSeed,
        X,
        {"train_differs": True},
        "evaluation gives different results twice",
    ),
    "dropout in evaluation": (
        DropsInEvaluation,
        X,
        {"train_differs": True},
        "evaluation gives different results twice",
    ),
    "times zero": (TimesZero, X, {}, "gradient of the parameter spare.weight is always zero"),
    "looks at later tokens": (
        LooksAhead,
        integer_arrays((2, 4), 0, 5),
        {"causal": 1},
        "it is not causal along dimension 1",
    ),
    "counts in evaluation": (CountsInEvaluation, X, {}, "evaluation changes the buffer seen"),
    "train overridden": (DeafToEval, X, {"train_differs": True}, "eval() does not reach fc"),
    "changes its input": (ChangesItsInput, X, {}, "it changes its input x in place"),
    "undeclared dropout": (
        lambda: nn.Sequential(nn.Linear(3, 3), nn.Dropout()),
        X,
        {},
        "training and evaluation differ, which is not declared",
    ),
    "wrong backward": (
        WrongBackward,
        X,
        {},
        "wrong derivative with respect to",
    ),
    "positions": (
        AddsPositions,
        SEQUENCES,
        {"permutation_equivariant": 1},
        "not permutation equivariant along dimension 1",
    ),
    "looks one ahead": (
        lambda: Attention(causal=True, leak=True),
        SEQUENCES,
        {"causal": 1},
        "not causal along dimension 1",
    ),
    "reads padding": (
        lambda: Attention(leak=True),
        SEQUENCES.map(lambda x: (x, PADDING)),
        {"ignores_padding": lambda x, padding: padding},
        "changes with what stands in the padding",
    ),
    "does not fit": (OnlyMatrices, arrays((2, 3)), {}, "raises ShapeError for a valid call"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_caught_and_named(name):
    make, inputs, options, said = MISTAKES[name]
    with pytest.raises(CheckError) as found:
        check_module(make, inputs, **options)
    assert said in str(found.value)
    assert "  smallest input found\n    module = " in str(found.value)


def test_the_message_names_parameters_and_shows_the_call():
    with pytest.raises(CheckError) as found:
        check_module(WrongBackward, minidl.tensor([[1.0, 2.0, -1.0]]))
    error = found.value
    lines = str(error).splitlines()
    assert lines[0] == "WrongBackward: wrong derivative with respect to x"
    assert lines[1:5] == [
        "  input",
        "    module = WrongBackward().double()",
        "    x = minidl.tensor([[1.0, 2.0, -1.0]], dtype=minidl.float64)",
        "    module(x)",
    ]
    assert error.input == "x"
    assert "2 times too small" in error.words


def test_a_wrong_derivative_of_a_parameter_is_named_as_in_the_module():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = nn.Sequential(nn.Linear(3, 1, bias=False))

        def forward(self, x):
            return WrongBackward.Square.apply(self.part[0].weight) * x.detach().sum()

    with pytest.raises(CheckError) as found:
        check_module(Scaled, minidl.tensor([[1.0, 2.0, -1.0]], dtype=minidl.float64).int())
    assert found.value.input == "part.0.weight"
    assert "d part.0.weight[" in found.value.gap


def test_minidls_generator_is_left_alone():
    minidl.manual_seed(5)
    expected = minidl.rand(1).item()
    minidl.manual_seed(5)
    check_module(lambda: nn.Linear(3, 2), minidl.ones(4, 3))
    assert minidl.rand(1).item() == expected


def test_what_cannot_be_checked():
    with pytest.raises(SetupError, match="must give a Module"):
        check_module(lambda: 3, minidl.ones(2))
    with pytest.raises(SetupError, match=r"booleans of shape \(5,\)"):
        check_module(
            lambda: nn.Linear(3, 2), minidl.ones(4, 3), ignores_padding=lambda x: np.ones(5)
        )
    for declared in (
        {"causal": 0},
        {"permutation_equivariant": 0},
        {"ignores_padding": lambda x: np.zeros(1, bool)},
    ):
        with pytest.raises(SetupError, match="no input can show it"):
            check_module(lambda: nn.Linear(3, 2), minidl.ones(1, 3), **declared)
