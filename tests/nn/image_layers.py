"""Layers of sequences, images and volumes for `test_layer_checks.py`: (layer, inputs, declared)."""

import minidl
from minidl import nn
from minidl.testing.strategies import DISTINCT, NOT_ZERO, POSITIVE, arrays

DROPS = {"train_differs": True}
SIZES = {1: (5,), 2: (4, 5), 3: (3, 4, 3)}
PADS = ("ReflectionPad", "ReplicationPad", "CircularPad", "ZeroPad")


def of_rank(n):
    """The layers that come for one, two and three dimensions."""

    def make(name, *args, **options):
        return lambda: getattr(nn, f"{name}{n}d")(*args, **options)

    size = SIZES[n]
    x = arrays((2, 2, *size))
    distinct = arrays((2, 2, *size), DISTINCT)
    positive = arrays((2, 2, *size), POSITIVE)
    rows = minidl.arange(4 * 2**n).reshape(2, 2, *[2] * n)  # every place once
    found = {
        "Conv": (make("Conv", 2, 4, 3, padding=1, padding_mode="reflect", groups=2), x, {}),
        "ConvTranspose": (make("ConvTranspose", 2, 1, 2, 2, output_padding=1), x, {}),
        "MaxPool": (make("MaxPool", 2, 1), distinct, {}),
        "AvgPool": (make("AvgPool", 3, 1, 1), x, {}),
        "LPPool": (make("LPPool", 2.0, 2), positive, {}),
        "AdaptiveAvgPool": (make("AdaptiveAvgPool", 2), x, {}),
        "AdaptiveMaxPool": (make("AdaptiveMaxPool", 2), distinct, {}),
        "MaxUnpool": (
            make("MaxUnpool", 2),
            arrays((2, 2, *[2] * n)).map(lambda a: (a, rows % 4**n)),
            {},
        ),
        "ConstantPad": (make("ConstantPad", 1, 0.5), x, {}),
        **{pad: (make(pad, 1), x, {}) for pad in PADS},
        "InstanceNorm": (make("InstanceNorm", 2, affine=True), x, {}),
        "BatchNorm": (make("BatchNorm", 2), x, DROPS),
        "Dropout": (make("Dropout", 0.4), x, DROPS),
    }
    return {f"{name}{n}d of images": case for name, case in found.items()}


PAIRS = arrays((3, 4), NOT_ZERO).map(lambda a: (a, a[::-1] + 5))
IMAGES = arrays((2, 4, 4, 6))
NUMBERS = minidl.tensor([[0, 4, 1], [2, 2, 3]])
LAYERS = {
    **of_rank(1),
    **of_rank(2),
    **of_rank(3),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), IMAGES, {}),
    "RMSNorm": (lambda: nn.RMSNorm(6), IMAGES, {}),
    "AlphaDropout": (lambda: nn.AlphaDropout(0.4), IMAGES, DROPS),
    "FeatureAlphaDropout": (lambda: nn.FeatureAlphaDropout(0.4), IMAGES, DROPS),
    "Upsample": (lambda: nn.Upsample((3, 7), mode="bicubic"), IMAGES, {}),
    "UpsamplingNearest2d": (lambda: nn.UpsamplingNearest2d(scale_factor=2), IMAGES, {}),
    "UpsamplingBilinear2d": (lambda: nn.UpsamplingBilinear2d((5, 3)), IMAGES, {}),
    "PixelShuffle": (lambda: nn.PixelShuffle(2), IMAGES, {}),
    "PixelUnshuffle": (lambda: nn.PixelUnshuffle(2), IMAGES, {}),
    "ChannelShuffle": (lambda: nn.ChannelShuffle(2), IMAGES, {}),
    "Unfold": (lambda: nn.Unfold(2, padding=1), IMAGES, {}),
    "Fold": (lambda: nn.Fold((3, 3), 2), arrays((2, 8, 4)), {}),
    "CosineSimilarity": (nn.CosineSimilarity, PAIRS, {}),
    "PairwiseDistance": (nn.PairwiseDistance, PAIRS, {}),
    "Bilinear": (lambda: nn.Bilinear(4, 4, 3), PAIRS, {}),
    "EmbeddingBag": (lambda: nn.EmbeddingBag(5, 2), NUMBERS, {}),
}
