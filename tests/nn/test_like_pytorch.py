"""Reprs, signatures, state-dict names and shapes against PyTorch's, in `like_pytorch.json`.

The table was written by this file, run where torch is installed (PyTorch 2.13.0):

    python tests/nn/test_like_pytorch.py
"""

import inspect
import json
from collections import OrderedDict
from pathlib import Path

import pytest

import minidl

TABLE = Path(__file__).with_name("like_pytorch.json")

LAYERS = [
    "Identity()",
    "Identity(54, unused=True)",
    "Linear(4, 3)",
    "Linear(4, 3, bias=False)",
    "Flatten()",
    "Flatten(0, 2)",
    "Unflatten(1, (2, 5))",
    "Conv2d(3, 8, 3)",
    "Conv2d(4, 8, (3, 5), stride=2, padding=(1, 2), dilation=(1, 2), groups=2, bias=False)",
    "Conv2d(3, 8, 3, padding='same')",
    "BatchNorm1d(5)",
    "BatchNorm2d(5, eps=0.001, momentum=None, affine=False)",
    "BatchNorm2d(5, track_running_stats=False)",
    "BatchNorm2d(5, bias=False)",
    "LayerNorm(5)",
    "LayerNorm((3, 5), eps=1e-6, bias=False)",
    "LayerNorm([3, 5], elementwise_affine=False)",
    "LocalResponseNorm(5, k=2)",
    "MaxPool2d(3, 2)",
    "MaxPool2d((3, 2), padding=1, dilation=2, ceil_mode=True)",
    "AvgPool2d(2)",
    "AvgPool2d((3, 2), stride=1, padding=1)",
    "AdaptiveAvgPool2d(1)",
    "AdaptiveAvgPool2d((None, 7))",
    "Dropout()",
    "Dropout(0.2, inplace=True)",
    "Dropout2d(0.1)",
    "Embedding(10, 3)",
    "Embedding(10, 3, padding_idx=-1)",
    "ReLU()",
    "ReLU(inplace=True)",
    "Tanh()",
    "Sigmoid()",
    "GELU()",
    "GELU('tanh')",
    "Softmax(dim=1)",
    "LogSoftmax(-1)",
    "RReLU()",
    "RReLU(0.2, 0.4, True)",
    "Hardtanh()",
    "Hardtanh(-2, 3, True)",
    "ReLU6()",
    "ReLU6(True)",
    "Hardsigmoid()",
    "Hardsigmoid(True)",
    "SiLU()",
    "SiLU(True)",
    "Mish()",
    "Mish(True)",
    "Hardswish(True)",
    "ELU()",
    "ELU(0.5, True)",
    "CELU(0.5)",
    "SELU(True)",
    "GLU()",
    "GLU(1)",
    "Hardshrink()",
    "Hardshrink(1)",
    "LeakyReLU()",
    "LeakyReLU(0.2, True)",
    "LogSigmoid()",
    "Softplus()",
    "Softplus(2, 10)",
    "Softshrink(0.3)",
    "PReLU()",
    "PReLU(4)",
    "Softsign()",
    "Tanhshrink()",
    "Softmin(1)",
    "Softmax()",
    "Softmax2d()",
    "Threshold(0.1, 20)",
    "Threshold(0.1, 20, True)",
    "PoissonNLLLoss()",
    "GaussianNLLLoss()",
    "KLDivLoss()",
    "BCELoss()",
    "HingeEmbeddingLoss()",
    "MultiLabelMarginLoss()",
    "SmoothL1Loss()",
    "HuberLoss()",
    "SoftMarginLoss()",
    "MultiLabelSoftMarginLoss()",
    "CosineEmbeddingLoss()",
    "MarginRankingLoss()",
    "MultiMarginLoss()",
    "TripletMarginLoss()",
    "TripletMarginWithDistanceLoss()",
    "CTCLoss()",
    "LinearCrossEntropyLoss(4, 3, bias=True)",
    "CrossEntropyLoss()",
    "NLLLoss()",
    "MSELoss()",
    "L1Loss()",
    "BCEWithLogitsLoss()",
    "Sequential()",
    "ModuleList()",
    "ModuleDict()",
    "Sequential(Conv2d(1, 2, 3), ReLU(), Sequential(Flatten(), Linear(8, 2)))",
    "Sequential(OrderedDict(body=Linear(2, 2), head=BatchNorm1d(2)))",
    "ModuleList([Linear(2, 2), Linear(2, 2), ReLU(), Linear(2, 2)])",
    "ModuleList([Sequential(Linear(2, 2), ReLU()) for _ in range(3)])",
    "ModuleDict(dict(b=Linear(2, 2), a=BatchNorm2d(3)))",
    "Sequential(Linear(2, 2), Linear(2, 2)) * 2",
    "Sequential(*[Linear(2, 2), BatchNorm1d(2), ReLU(), Dropout()])[1:3]",
    "Conv1d(4, 8, 3, stride=2, padding=1, groups=2)",
    "Conv3d(2, 3, (1, 2, 3), padding='same', bias=False)",
    "Conv2d(3, 8, 3, padding=1, padding_mode='reflect')",
    "ConvTranspose1d(4, 8, 3)",
    "ConvTranspose2d(4, 8, 3, 2, 1, output_padding=1, groups=2, dilation=2)",
    "ConvTranspose3d(4, 2, (1, 2, 3), bias=False)",
    "MaxPool1d(3)",
    "MaxPool3d(2, 1, return_indices=True)",
    "MaxUnpool1d(2)",
    "MaxUnpool2d((2, 3), padding=1)",
    "AvgPool1d(3, 2)",
    "AvgPool3d(2)",
    "LPPool1d(2, 3)",
    "LPPool2d(1.5, (2, 3), ceil_mode=True)",
    "AdaptiveAvgPool1d(3)",
    "AdaptiveMaxPool2d((None, 3), True)",
    "ConstantPad1d(2, 0.5)",
    "ZeroPad2d((1, 2, 3, 4))",
    "ReflectionPad2d(1)",
    "ReplicationPad3d(1)",
    "CircularPad1d((1, 2))",
    "BatchNorm3d(4)",
    "InstanceNorm2d(3)",
    "InstanceNorm1d(3, affine=True, track_running_stats=True)",
    "GroupNorm(2, 4)",
    "GroupNorm(2, 4, affine=False)",
    "RMSNorm(4)",
    "RMSNorm((2, 3), 0.1, False)",
    "Dropout1d(0.2)",
    "Dropout3d()",
    "AlphaDropout(0.1)",
    "FeatureAlphaDropout(0.1, True)",
    "Upsample((2, 3))",
    "Upsample(scale_factor=(2, 3), mode='bilinear')",
    "UpsamplingNearest2d(scale_factor=2)",
    "UpsamplingBilinear2d(4)",
    "PixelShuffle(2)",
    "PixelUnshuffle(2)",
    "ChannelShuffle(2)",
    "Unfold(3, 2)",
    "Fold((3, 4), 2)",
    "CosineSimilarity()",
    "PairwiseDistance(1)",
    "Bilinear(2, 3, 4)",
    "Bilinear(2, 3, 4, False)",
    "Embedding(10, 3, max_norm=2.0, scale_grad_by_freq=True, sparse=True)",
    "EmbeddingBag(10, 3)",
    "EmbeddingBag(10, 3, 1.0, mode='sum', padding_idx=-1)",
]

CLASSES = [
    "Module",
    "Parameter",
    "Sequential",
    "ModuleList",
    "ModuleDict",
    "Linear",
    "Identity",
    "Flatten",
    "Unflatten",
    "Conv2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "LayerNorm",
    "LocalResponseNorm",
    "MaxPool2d",
    "AvgPool2d",
    "AdaptiveAvgPool2d",
    "Dropout",
    "Dropout2d",
    "Embedding",
    "ReLU",
    "Tanh",
    "Sigmoid",
    "GELU",
    "Softmax",
    "LogSoftmax",
    "BCELoss",
    "CELU",
    "CTCLoss",
    "CosineEmbeddingLoss",
    "ELU",
    "GLU",
    "GaussianNLLLoss",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "KLDivLoss",
    "LeakyReLU",
    "LinearCrossEntropyLoss",
    "LogSigmoid",
    "MarginRankingLoss",
    "Mish",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "PReLU",
    "PoissonNLLLoss",
    "RReLU",
    "ReLU6",
    "SELU",
    "SiLU",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanhshrink",
    "Threshold",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
    "CrossEntropyLoss",
    "NLLLoss",
    "MSELoss",
    "L1Loss",
    "BCEWithLogitsLoss",
    "Conv1d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "MaxPool1d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
    "AvgPool1d",
    "AvgPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "Upsample",
    "UpsamplingNearest2d",
    "UpsamplingBilinear2d",
    "PixelShuffle",
    "PixelUnshuffle",
    "ChannelShuffle",
    "Unfold",
    "Fold",
    "CosineSimilarity",
    "PairwiseDistance",
    "Bilinear",
    "Dropout1d",
    "Dropout3d",
    "AlphaDropout",
    "FeatureAlphaDropout",
    "BatchNorm3d",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "GroupNorm",
    "RMSNorm",
    "EmbeddingBag",
]

INITIALISERS = [
    "uniform_",
    "normal_",
    "constant_",
    "ones_",
    "zeros_",
    "xavier_uniform_",
    "xavier_normal_",
    "kaiming_uniform_",
    "kaiming_normal_",
    "trunc_normal_",
    "orthogonal_",
    "calculate_gain",
]

METHODS = [
    "register_buffer",
    "register_parameter",
    "register_module",
    "add_module",
    "get_submodule",
    "get_parameter",
    "get_buffer",
    "apply",
    "train",
    "eval",
    "requires_grad_",
    "zero_grad",
    "load_state_dict",
    "parameters",
    "named_parameters",
    "buffers",
    "named_buffers",
    "children",
    "named_children",
    "modules",
    "named_modules",
    "extra_repr",
]

OPTIM = [
    "SGD",
    "Adam",
    "AdamW",
    "lr_scheduler.LambdaLR",
    "lr_scheduler.StepLR",
    "lr_scheduler.MultiStepLR",
    "lr_scheduler.ExponentialLR",
    "lr_scheduler.LinearLR",
    "lr_scheduler.CosineAnnealingLR",
]


def built(nn, expression):
    return eval(expression, {"OrderedDict": OrderedDict, **vars(nn)})


def described(nn, expression):
    module = built(nn, expression)
    return {
        "repr": repr(module),
        "state": [[name, list(t.shape)] for name, t in module.state_dict().items()],
        "parameters": [name for name, _ in module.named_parameters()],
        "buffers": [name for name, _ in module.named_buffers()],
    }


def signature(function):
    """Names, order, kinds and defaults of the arguments: "dim, bias=True, *, device=None"."""
    parts, star = [], False
    for p in inspect.signature(function).parameters.values():
        if p.name == "self" or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            star |= p.kind is p.VAR_POSITIONAL
            continue
        if p.kind is p.KEYWORD_ONLY and not star:
            parts.append("*")
            star = True
        parts.append(p.name if p.default is p.empty else f"{p.name}={p.default!r}")
    return ", ".join(parts)


def signatures(lib):
    found = {}
    for name in CLASSES:
        found[f"nn.{name}"] = signature(getattr(lib.nn, name))
    for name in INITIALISERS:
        found[f"nn.init.{name}"] = signature(getattr(lib.nn.init, name))
    for name in METHODS:
        found[f"nn.Module.{name}"] = signature(getattr(lib.nn.Module, name))
    for name in OPTIM:
        found[f"optim.{name}"] = signature(_attribute(lib.optim, name))
    return found


def _attribute(lib, path):
    for name in path.split("."):
        lib = getattr(lib, name)
    return lib


def write_table(torch):
    table = {
        "made": f"python tests/nn/test_like_pytorch.py with PyTorch {torch.__version__}",
        "layers": {expression: described(torch.nn, expression) for expression in LAYERS},
        "signatures": signatures(torch),
    }
    layers = ",\n  ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in table["layers"].items())
    TABLE.write_text(
        f'{{\n "made": {json.dumps(table["made"])},\n "layers": {{\n  {layers}\n }},\n'
        f' "signatures": {json.dumps(table["signatures"], indent=2)}\n}}\n'
    )


@pytest.fixture(scope="module")
def table():
    return json.loads(TABLE.read_text())


@pytest.mark.parametrize("expression", LAYERS)
def test_layer(table, expression):
    assert described(minidl.nn, expression) == table["layers"][expression]


def test_signatures(table):
    ours = signatures(minidl)
    different = {k: (ours[k], v) for k, v in table["signatures"].items() if ours[k] != v}
    assert not different, "ours, then PyTorch's"


if __name__ == "__main__":
    import torch

    write_table(torch)
