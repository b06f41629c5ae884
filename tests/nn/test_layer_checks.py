"""Every layer through `check_module`: gradients, training and evaluation, state dict, gradcheck."""

import image_layers
import pytest

import minidl
from minidl import nn
from minidl.testing import check_module
from minidl.testing.strategies import DISTINCT, Domain, arrays, shapes

ROWS = arrays(shapes(1, 3, empty=False).map(lambda shape: (*shape, 3)))
STEPS = arrays((3, 2, 1))
TOKENS = minidl.tensor([[[0.5, -1.0, 0.0]], [[0.25, 2.0, -0.5]]])
IMAGES = arrays((2, 4, 5, 6))
PROBABLE = arrays((2, 3)).map(lambda x: minidl.softmax(minidl.tensor(x), 1))
LABELS = minidl.tensor([2, 0])
AWAY = arrays((2, 4), Domain(-5, 5, kinks=(-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0)))
SIGNS = minidl.tensor([1, -1])
LENGTHS = (minidl.tensor([[1, 2], [2, 1]]), [4, 4], [2, 1])
DROPS = {"train_differs": True}


class CTCOfScores(nn.CTCLoss):
    """CTCLoss's gradient is meant for log_softmax's input."""

    def forward(self, scores, *args):
        return super().forward(minidl.log_softmax(scores, -1), *args)


def outputs_of(layer, *options):
    """`layer` without the states (or weights) that it returns beside its outputs."""

    class Outputs(layer):
        def forward(self, *inputs):
            return super().forward(*inputs)[0]

    return lambda: Outputs(*options)


def two_steps(cell, *options):
    """A cell that takes its input twice: at the first step the state is zero, and with it the
    gradient of the weights on it."""

    class TwoSteps(cell):
        def forward(self, input):
            state = super().forward(input, super().forward(input))
            return state[0] if isinstance(state, tuple) else state

    return lambda: TwoSteps(*options)


# The layer, its inputs, and what is declared about it.
LAYERS = {
    "Linear": (lambda: nn.Linear(3, 2), ROWS, {"permutation_equivariant": 0}),
    "Linear without bias": (lambda: nn.Linear(3, 2, bias=False), ROWS, {}),
    "Identity": (nn.Identity, ROWS, {}),
    "Flatten": (nn.Flatten, IMAGES, {"permutation_equivariant": 0}),
    "Unflatten": (lambda: nn.Unflatten(1, (2, 2)), arrays((3, 4)), {}),
    "Conv2d": (lambda: nn.Conv2d(4, 2, 3, padding=1), IMAGES, {"permutation_equivariant": 0}),
    "Conv2d in groups": (lambda: nn.Conv2d(4, 4, (2, 3), stride=2, groups=2), IMAGES, {}),
    "MaxPool2d": (lambda: nn.MaxPool2d(2), arrays((2, 4, 5, 6), DISTINCT), {}),
    "AvgPool2d": (lambda: nn.AvgPool2d(3, 2, 1), IMAGES, {"permutation_equivariant": 1}),
    "AdaptiveAvgPool2d": (lambda: nn.AdaptiveAvgPool2d(2), IMAGES, {"permutation_equivariant": 1}),
    "BatchNorm1d": (
        lambda: nn.BatchNorm1d(3),
        arrays((4, 3)),
        DROPS | {"permutation_equivariant": 0},
    ),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(4), IMAGES, DROPS),
    "LayerNorm": (lambda: nn.LayerNorm(6), IMAGES, {"permutation_equivariant": 1}),
    "LocalResponseNorm": (lambda: nn.LocalResponseNorm(3), IMAGES, {"permutation_equivariant": 2}),
    "Dropout": (lambda: nn.Dropout(0.4), ROWS, DROPS),
    "Dropout2d": (lambda: nn.Dropout2d(0.4), IMAGES, DROPS),
    "Embedding": (lambda: nn.Embedding(5, 2), minidl.tensor([[0, 4], [2, 2]]), {}),
    "GELU": (nn.GELU, ROWS, {}),
    "LogSoftmax": (lambda: nn.LogSoftmax(-1), ROWS, {"permutation_equivariant": -1}),
    "ReLU": (nn.ReLU, ROWS, {}),
    "Sigmoid": (nn.Sigmoid, ROWS, {}),
    "Softmax": (lambda: nn.Softmax(-1), ROWS, {"permutation_equivariant": -1}),
    "Tanh": (nn.Tanh, ROWS, {}),
    "ELU": (nn.ELU, AWAY, {}),
    "CELU": (nn.CELU, AWAY, {}),
    "SELU": (nn.SELU, AWAY, {}),
    "SiLU": (nn.SiLU, AWAY, {}),
    "Mish": (nn.Mish, AWAY, {}),
    "Softsign": (nn.Softsign, AWAY, {}),
    "Tanhshrink": (nn.Tanhshrink, AWAY, {}),
    "LogSigmoid": (nn.LogSigmoid, AWAY, {}),
    "Softplus": (nn.Softplus, AWAY, {}),
    "LeakyReLU": (nn.LeakyReLU, AWAY, {}),
    "PReLU": (nn.PReLU, AWAY, {}),
    "ReLU6": (nn.ReLU6, AWAY, {}),
    "Hardtanh": (nn.Hardtanh, AWAY, {}),
    "Hardsigmoid": (nn.Hardsigmoid, AWAY, {}),
    "Hardswish": (nn.Hardswish, AWAY, {}),
    "Hardshrink": (nn.Hardshrink, AWAY, {}),
    "Softshrink": (nn.Softshrink, AWAY, {}),
    "RReLU": (nn.RReLU, AWAY, DROPS),
    "Threshold": (lambda: nn.Threshold(0.5, 2.0), AWAY, {}),
    "GLU": (nn.GLU, AWAY, {"permutation_equivariant": 0}),
    "Softmin": (lambda: nn.Softmin(-1), ROWS, {"permutation_equivariant": -1}),
    "Softmax2d": (nn.Softmax2d, IMAGES, {"permutation_equivariant": 1}),
    "Sequential": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)),
        ROWS,
        {"permutation_equivariant": 0},
    ),
    "RNN": (outputs_of(nn.RNN, 1, 2, 2), STEPS, {"permutation_equivariant": 1}),
    "LSTM": (outputs_of(nn.LSTM, 1, 2), STEPS, {"permutation_equivariant": 1}),
    "GRU": (outputs_of(nn.GRU, 1, 2), STEPS, {"permutation_equivariant": 1}),
    "RNNCell": (two_steps(nn.RNNCell, 3, 4), arrays((2, 3)), {"permutation_equivariant": 0}),
    "LSTMCell": (two_steps(nn.LSTMCell, 3, 4), arrays((2, 3)), {"permutation_equivariant": 0}),
    "GRUCell": (two_steps(nn.GRUCell, 3, 4), arrays((2, 3)), {"permutation_equivariant": 0}),
    "MultiheadAttention": (
        outputs_of(nn.MultiheadAttention, 3, 1),
        (TOKENS, TOKENS + 1, TOKENS - 1),
        {},
    ),
    "TransformerEncoderLayer": (lambda: nn.TransformerEncoderLayer(3, 1, 2), TOKENS, DROPS),
    "TransformerEncoder": (
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(3, 1, 2), 1),
        TOKENS,
        DROPS,
    ),
    "TransformerDecoderLayer": (
        lambda: nn.TransformerDecoderLayer(3, 1, 2),
        (TOKENS, TOKENS + 1),
        DROPS,
    ),
    "TransformerDecoder": (
        lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(3, 1, 2), 1),
        (TOKENS, TOKENS + 1),
        DROPS,
    ),
    "Transformer": (
        lambda: nn.Transformer(3, 1, 1, 1, 2),
        (TOKENS, TOKENS + 1),
        DROPS,
    ),
    "BCELoss": (nn.BCELoss, PROBABLE.map(lambda p: (p, 1 - p)), {}),
    "CosineEmbeddingLoss": (
        lambda: nn.CosineEmbeddingLoss(-1.5),
        PROBABLE.map(lambda p: (p, 1 - p, SIGNS)),
        {},
    ),
    "CTCLoss": (CTCOfScores, arrays((4, 2, 3)).map(lambda x: (x, *LENGTHS)), {}),
    "GaussianNLLLoss": (nn.GaussianNLLLoss, PROBABLE.map(lambda p: (p, p + 1, p)), {}),
    "HingeEmbeddingLoss": (
        lambda: nn.HingeEmbeddingLoss(2.0),
        PROBABLE.map(lambda p: (p, SIGNS.reshape(2, 1).expand(2, 3))),
        {},
    ),
    "HuberLoss": (nn.HuberLoss, PROBABLE.map(lambda p: (p + 2, p)), {}),
    "KLDivLoss": (nn.KLDivLoss, PROBABLE.map(lambda p: (p.log(), p)), {}),
    "LinearCrossEntropyLoss": (
        lambda: nn.LinearCrossEntropyLoss(3, 4),
        arrays((2, 3)).map(lambda x: (x, LABELS)),
        {},
    ),
    "MarginRankingLoss": (
        lambda: nn.MarginRankingLoss(3.0),
        PROBABLE.map(lambda p: (p, 1 - p, SIGNS.reshape(2, 1))),
        {},
    ),
    "MultiLabelMarginLoss": (
        nn.MultiLabelMarginLoss,
        PROBABLE.map(lambda p: (p * 0.5, minidl.tensor([[0, -1, 1], [2, 1, -1]]))),
        {},
    ),
    "MultiLabelSoftMarginLoss": (nn.MultiLabelSoftMarginLoss, PROBABLE.map(lambda p: (p, p)), {}),
    "MultiMarginLoss": (
        lambda: nn.MultiMarginLoss(margin=3.0),
        arrays((2, 3)).map(lambda x: (x * 0.5, LABELS)),
        {},
    ),
    "PoissonNLLLoss": (nn.PoissonNLLLoss, PROBABLE.map(lambda p: (p, p)), {}),
    "SmoothL1Loss": (nn.SmoothL1Loss, PROBABLE.map(lambda p: (p + 2, p)), {}),
    "SoftMarginLoss": (nn.SoftMarginLoss, PROBABLE.map(lambda p: (p, p)), {}),
    "TripletMarginLoss": (
        lambda: nn.TripletMarginLoss(9.0),
        PROBABLE.map(lambda p: (p, p + 1, p + 2)),
        {},
    ),
    "TripletMarginWithDistanceLoss": (
        lambda: nn.TripletMarginWithDistanceLoss(margin=9.0),
        PROBABLE.map(lambda p: (p, p + 1, p + 2)),
        {},
    ),
    "BCEWithLogitsLoss": (nn.BCEWithLogitsLoss, PROBABLE.map(lambda p: (4 * p - 2, p)), {}),
    "CrossEntropyLoss": (nn.CrossEntropyLoss, arrays((2, 3)).map(lambda x: (x, LABELS)), {}),
    "L1Loss": (nn.L1Loss, PROBABLE.map(lambda p: (p + 1, p)), {}),
    "MSELoss": (nn.MSELoss, PROBABLE.map(lambda p: (p + 1, p)), {}),
    "NLLLoss": (nn.NLLLoss, PROBABLE.map(lambda p: (p.log(), LABELS)), {}),
}
LAYERS |= image_layers.LAYERS
NOT_LAYERS = {"Module", "ModuleDict", "ModuleList", "Parameter", "ParameterDict", "ParameterList"}
NOT_LAYERS |= {"RNNBase", "RNNCellBase"}


@pytest.mark.parametrize("name", LAYERS)
def test_holds(name, device):
    make, inputs, declared = LAYERS[name]
    check_module(make, inputs, **declared, device=device)


@pytest.mark.smoke
def test_every_layer_is_checked():
    layers = {name for name in nn.__all__ if isinstance(getattr(nn, name), type)} - NOT_LAYERS
    assert layers == {name.split()[0] for name in LAYERS}
