"""One training step of each kind of network, written once in PyTorch's names.

Every function takes the module `torch`, which is PyTorch or minidl, and returns a `Workload`.
Data and initial weights come from NumPy, so that all contenders compute the same losses.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Workload:
    """model, a batch, loss(model, *batch), and the optimizer (None: only the gradients)."""

    model: Any
    batch: tuple
    loss: Callable
    optimizer: Any = None

    def step(self) -> Any:
        self.model.zero_grad()
        loss = self.loss(self.model, *self.batch)
        loss.backward()
        if self.optimizer is not None:
            self.optimizer.step()
        return loss


def numbers(name: str) -> np.random.Generator:
    """The random numbers that belong to a name, the same in every process."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def normal(torch: Any, *shape: int, name: str = "input") -> Any:
    return torch.from_numpy(numbers(name).standard_normal(shape).astype(np.float32))


def integers(torch: Any, below: int, *shape: int, name: str = "target") -> Any:
    return torch.from_numpy(numbers(name).integers(0, below, shape))


def with_weights(torch: Any, model: Any) -> Any:
    """Sets matrices to N(0, 1 / fan_in) and biases to U(-0.1, 0.1); scales of norms stay 1."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            draw, shape = numbers(name), tuple(parameter.shape)
            if len(shape) > 1:
                values = draw.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))
            elif "bias" in name:
                values = draw.uniform(-0.1, 0.1, shape)
            else:
                continue
            parameter.copy_(torch.from_numpy(values.astype(np.float32)))
    return model


def classified(torch: Any) -> Callable:
    """The loss of a classifier."""
    return lambda model, x, y: torch.nn.functional.cross_entropy(model(x), y)


# ------------------------------------------------------------------------------------- the steps


def mlp(torch: Any) -> Workload:
    nn = torch.nn
    model = nn.Sequential(
        nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    )
    model = with_weights(torch, model)
    batch = normal(torch, 128, 784), integers(torch, 10, 128)
    return Workload(model, batch, classified(torch), torch.optim.Adam(model.parameters()))


def cnn(torch: Any) -> Workload:
    nn = torch.nn

    def block(inputs: int, outputs: int) -> list:
        return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]

    model = nn.Sequential(
        *block(3, 64),  # (B, 64, 32, 32)
        nn.MaxPool2d(2),
        *block(64, 128),  # (B, 128, 16, 16)
        nn.MaxPool2d(2),
        *block(128, 256),  # (B, 256, 8, 8)
        *block(256, 256),
        nn.MaxPool2d(2),  # (B, 256, 4, 4)
        nn.Flatten(),
        nn.Linear(4096, 10),
    )
    model = with_weights(torch, model)
    batch = normal(torch, 64, 3, 32, 32), integers(torch, 10, 64)
    return Workload(model, batch, classified(torch), sgd(torch, model))


def sgd(torch: Any, model: Any) -> Any:
    return torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)


def resnet20(torch: Any) -> Workload:
    """The CIFAR network of https://arxiv.org/abs/1512.03385, section 4.2 (shortcuts A)."""
    nn, F = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.stride, self.more = stride, (outputs - inputs) // 2

        def forward(self, x: Any) -> Any:
            y = F.relu(self.bn1(self.conv1(x)))
            y = self.bn2(self.conv2(y))
            if self.stride == 2:  # half the size, new channels zero
                x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more, self.more))
            return F.relu(y + x)

    layers = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    width = 16
    for outputs in (16, 32, 64):
        for i in range(3):
            layers.append(Block(width, outputs, 2 if i == 0 and outputs > 16 else 1))
            width = outputs
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    model = with_weights(torch, nn.Sequential(*layers))
    batch = normal(torch, 64, 3, 32, 32), integers(torch, 10, 64)
    return Workload(model, batch, classified(torch), sgd(torch, model))


def transformer_block(torch: Any, width: int, heads: int, causal: bool) -> Any:
    nn, F = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv = nn.Linear(width, 3 * width)
            self.out = nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any) -> Any:
            B, T, C = x.shape
            qkv = self.qkv(self.norm1(x)).view(B, T, 3, heads, C // heads)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, T, C / heads)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
            x = x + self.out(y.transpose(1, 2).reshape(B, T, C))
            return x + self.down(F.gelu(self.up(self.norm2(x))))

    return Block()


def gpt(torch: Any) -> Workload:
    nn, F = torch.nn, torch.nn.functional
    B, T, C, V = 16, 128, 128, 256

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.places = nn.Embedding(V, C), nn.Embedding(T, C)
            self.blocks = nn.Sequential(*[transformer_block(torch, C, 4, True) for _ in range(4)])
            self.norm, self.head = nn.LayerNorm(C), nn.Linear(C, V, bias=False)

        def forward(self, tokens: Any) -> Any:  # (B, T) -> (B, T, V)
            x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1]))
            return self.head(self.norm(self.blocks(x)))

    def loss(model: Any, x: Any, y: Any) -> Any:
        return F.cross_entropy(model(x).view(B * T, V), y.view(B * T))

    model = with_weights(torch, GPT())
    batch = integers(torch, V, B, T, name="input"), integers(torch, V, B, T)
    return Workload(model, batch, loss, torch.optim.AdamW(model.parameters()))


def lstm(torch: Any) -> Workload:
    nn = torch.nn

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(128, 128), nn.Linear(128, 10)

        def forward(self, x: Any) -> Any:  # (T, B, 128) -> (B, 10)
            return self.head(self.lstm(x)[0][-1])

    model = with_weights(torch, Last())
    batch = normal(torch, 64, 32, 128), integers(torch, 10, 32)
    return Workload(model, batch, classified(torch), torch.optim.Adam(model.parameters()))


def unet(torch: Any) -> Workload:
    """A small diffusion U-Net (https://arxiv.org/abs/2006.11239) that predicts the noise."""
    nn, F = torch.nn, torch.nn.functional

    class Residual(nn.Module):
        def __init__(self, inputs: int, outputs: int):
            super().__init__()
            self.norm1, self.norm2 = nn.GroupNorm(8, inputs), nn.GroupNorm(8, outputs)
            self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
            self.time = nn.Linear(128, outputs)
            self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

        def forward(self, x: Any, time: Any) -> Any:
            y = self.conv1(F.silu(self.norm1(x))) + self.time(time)[:, :, None, None]
            return self.skip(x) + self.conv2(F.silu(self.norm2(y)))

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.time = nn.Sequential(nn.Linear(32, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU())
            self.first = nn.Conv2d(1, 32, 3, padding=1)
            self.down1, self.half1 = Residual(32, 32), nn.Conv2d(32, 32, 3, 2, 1)
            self.down2, self.half2 = Residual(32, 64), nn.Conv2d(64, 64, 3, 2, 1)
            self.middle = Residual(64, 64)
            self.wide2, self.up2 = nn.Conv2d(64, 64, 3, padding=1), Residual(128, 64)
            self.wide1, self.up1 = nn.Conv2d(64, 32, 3, padding=1), Residual(64, 32)
            self.norm, self.last = nn.GroupNorm(8, 32), nn.Conv2d(32, 1, 3, padding=1)

        def forward(self, x: Any, t: Any) -> Any:
            scales = torch.exp(torch.arange(16) * (-math.log(10_000) / 16))
            angles = t[:, None] * scales
            time = self.time(torch.cat([angles.sin(), angles.cos()], 1))  # (B, 128)
            a = self.down1(self.first(x), time)  # (B, 32, 28, 28)
            b = self.down2(self.half1(a), time)  # (B, 64, 14, 14)
            y = self.middle(self.half2(b), time)  # (B, 64, 7, 7)
            y = self.wide2(F.interpolate(y, scale_factor=2, mode="nearest"))
            y = self.up2(torch.cat([y, b], 1), time)
            y = self.wide1(F.interpolate(y, scale_factor=2, mode="nearest"))
            y = self.up1(torch.cat([y, a], 1), time)
            return self.last(F.silu(self.norm(y)))

    def loss(model: Any, x: Any, t: Any, noise: Any) -> Any:
        return F.mse_loss(model(x, t), noise)

    model = with_weights(torch, UNet())
    batch = (
        normal(torch, 32, 1, 28, 28),
        integers(torch, 1000, 32, name="time").float(),
        normal(torch, 32, 1, 28, 28, name="noise"),
    )
    return Workload(model, batch, loss, torch.optim.Adam(model.parameters()))


def vit(torch: Any) -> Workload:
    nn = torch.nn
    C = 128

    class ViT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, C, 4, stride=4)
            self.first = nn.Parameter(torch.zeros(1, 1, C))
            self.places = nn.Parameter(torch.zeros(1, 65, C))
            self.blocks = nn.Sequential(*[transformer_block(torch, C, 4, False) for _ in range(4)])
            self.norm, self.head = nn.LayerNorm(C), nn.Linear(C, 10)

        def forward(self, x: Any) -> Any:
            x = self.patches(x).flatten(2).transpose(1, 2)  # (B, 64, C)
            x = torch.cat([self.first.expand(x.shape[0], -1, -1), x], 1) + self.places
            return self.head(self.norm(self.blocks(x))[:, 0])

    model = with_weights(torch, ViT())
    batch = normal(torch, 32, 3, 32, 32), integers(torch, 10, 32)
    return Workload(model, batch, classified(torch), torch.optim.Adam(model.parameters()))


def dqn(torch: Any) -> Workload:
    """One update of Q-learning, of the size that cart-pole takes."""
    nn, F = torch.nn, torch.nn.functional

    class Q(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fast, self.slow = self.net(), self.net()

        def net(self) -> Any:
            return nn.Sequential(
                nn.Linear(4, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2)
            )

        def forward(self, x: Any, action: Any, reward: Any, after: Any) -> tuple:
            value = self.fast(x).gather(1, action[:, None]).squeeze(1)
            with torch.no_grad():
                goal = reward + 0.99 * self.slow(after).amax(1)
            return value, goal

    def loss(model: Any, *batch: Any) -> Any:
        return F.smooth_l1_loss(*model(*batch))

    model = with_weights(torch, Q())
    batch = (
        normal(torch, 32, 4),
        integers(torch, 2, 32, name="action"),
        normal(torch, 32, name="reward"),
        normal(torch, 32, 4, name="after"),
    )
    return Workload(model, batch, loss, torch.optim.Adam(model.fast.parameters()))


def tiny(torch: Any) -> Workload:
    """1,000 operations on 8 x 8 numbers, one after the other."""
    nn = torch.nn

    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.start = nn.Parameter(torch.zeros(8, 8))

        def forward(self, add: Any, scale: Any) -> Any:
            y = self.start
            for _ in range(250):
                y = ((y + add) * scale).tanh() * scale
            return y

    def loss(model: Any, *batch: Any) -> Any:
        return model(*batch).sum()

    model = with_weights(torch, Chain())
    return Workload(model, (normal(torch, 8, 8), normal(torch, 8, 8, name="scale")), loss)


WORKLOADS = {f.__name__: f for f in (mlp, cnn, resnet20, gpt, lstm, unet, vit, dqn, tiny)}

# The largest ratio, minidl's time to PyTorch's, that is called a success.
BARS = {
    "mlp": 0.40,
    "cnn": 0.65,
    "resnet20": 0.95,
    "gpt": 0.55,
    "lstm": 0.75,
    "unet": 0.80,
    "tiny": 0.80,
}
MEAN_BAR = 0.60  # of the geometric mean
