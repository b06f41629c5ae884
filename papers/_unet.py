"""The U-Net of the diffusion papers: which noise is in these images?

[A] Ho, Jain, Abbeel. arXiv:2006.11239, appendix B and github.com/hojonathanho/diffusion.
[B] Nichol, Dhariwal. arXiv:2102.09672, appendix A and github.com/openai/improved-diffusion.

Where the two differ, this is [B]: an argument (`film`, `heads`, the number of blocks) where it
matters; everywhere in PyTorch's initial weights, in the padding of convolutions with stride 2, and
in the frequencies of the time embedding.
"""

import math

import minidl
import minidl.nn.functional as F
from minidl import nn


def zeroed(layer):
    """This layer with weights 0: at first a residual branch adds nothing."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def time_embedding(t, width):
    """cos and sin of t times `width` / 2 frequencies from 1 down to 1 / 10000: (B,) -> (B, width).
    t goes up to 1000, whatever the number of steps."""
    half = width // 2
    frequencies = minidl.exp(minidl.arange(half, device=t.device) * (-math.log(10_000) / half))
    angles = t[:, None] * frequencies  # (B, width / 2)
    return minidl.cat([angles.cos(), angles.sin()], 1)


class TimeNetwork(nn.Sequential):
    """Times (B,) in 0..1000 -> what all blocks are told, (B, outputs)."""

    def __init__(self, width, outputs):
        layers = nn.Linear(width, outputs), nn.SiLU(), nn.Linear(outputs, outputs), nn.SiLU()
        super().__init__(*layers)
        self.width = width

    def forward(self, t):
        return super().forward(time_embedding(t.to(self[0].weight.dtype), self.width))


class Attention(nn.Module):
    """x + attention between all pixels: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels, heads, groups):
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(groups, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.last = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x):
        B, C, H, W = x.shape
        parts = self.qkv(self.norm(x)).reshape(B, 3, self.heads, C // self.heads, H * W)
        q, k, v = parts.permute(1, 0, 2, 4, 3)  # each (B, heads, H W, C / heads)
        y = F.scaled_dot_product_attention(q, k, v)
        return x + self.last(y.transpose(2, 3).reshape(B, C, H, W))


class Block(nn.Module):
    """A residual block that knows the time: (B, inputs, H, W), (B, T) -> (B, outputs, H, W)."""

    def __init__(self, inputs, outputs, attention, time, heads, groups, dropout, film):
        super().__init__()
        self.film = film
        self.norm1, self.norm2 = nn.GroupNorm(groups, inputs), nn.GroupNorm(groups, outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = zeroed(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.time = nn.Linear(time, (1 + film) * outputs)
        self.dropout = nn.Dropout(dropout)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.attention = Attention(outputs, heads, groups) if attention else nn.Identity()

    def forward(self, x, time):
        y = self.conv1(F.silu(self.norm1(x)))
        told = self.time(time)[:, :, None, None]
        if self.film:  # [B]: the time scales and shifts what is normalised
            scale, shift = told.chunk(2, 1)
            y = self.norm2(y) * (1 + scale) + shift
        else:  # [A]: it is added before
            y = self.norm2(y + told)
        y = self.conv2(self.dropout(F.silu(y)))
        return self.attention(self.skip(x) + y)


class Down(nn.Conv2d):
    """Half as high and wide."""

    def __init__(self, channels):
        super().__init__(channels, channels, 3, stride=2, padding=1)

    def forward(self, x, time):
        return super().forward(x)


class Up(nn.Conv2d):
    """Twice as high and wide."""

    def __init__(self, channels):
        super().__init__(channels, channels, 3, padding=1)

    def forward(self, x, time):
        return super().forward(F.interpolate(x, scale_factor=2, mode="nearest"))


class Last(nn.Sequential):
    """(B, C, H, W) -> (B, outputs, H, W); at first 0."""

    def __init__(self, channels, outputs, groups):
        conv = zeroed(nn.Conv2d(channels, outputs, 3, padding=1))
        super().__init__(nn.GroupNorm(groups, channels), nn.SiLU(), conv)


class UNet(nn.Module):
    """Noisy images (B, C, H, W) and times (B,) in 0..1000 -> (B, outputs, H, W).

    width: channels at full size; multiples: times this many at full size, half, a quarter ...
    blocks: residual blocks at each size on the way down, one more on the way up.
    attention: the sizes (0: full, 1: half ...) whose blocks have attention, as the middle has.
    """

    def __init__(self, channels, outputs, width, multiples, blocks, attention, **more):
        super().__init__()
        more = {"time": 4 * width, "heads": 1, "groups": 32, "dropout": 0.0, "film": False, **more}

        def block(inputs, level):
            return Block(inputs, multiples[level] * width, level in attention, **more)

        self.time = TimeNetwork(width, more["time"])
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        now, kept, lowest = width, [width], len(multiples) - 1
        for level, multiple in enumerate(multiples):
            for _ in range(blocks):
                self.down.append(block(now, level))
                now = multiple * width
                kept.append(now)
            if level < lowest:
                self.down.append(Down(now))
                kept.append(now)
        self.middle = nn.ModuleList([Block(now, now, attends, **more) for attends in (True, False)])
        for level in range(lowest, -1, -1):
            for _ in range(blocks + 1):
                self.up.append(block(now + kept.pop(), level))
                now = multiples[level] * width
            if level > 0:
                self.up.append(Up(now))
        self.last = Last(now, outputs, more["groups"])

    def forward(self, x, t):
        time = self.time(t)
        x = self.first(x)
        kept = [x]
        for layer in self.down:
            x = layer(x, time)
            kept.append(x)
        for layer in self.middle:
            x = layer(x, time)
        for layer in self.up:
            x = layer(minidl.cat([x, kept.pop()], 1) if isinstance(layer, Block) else x, time)
        return self.last(x)


def full_unet(improved):
    """The network for CIFAR-10 of [A], 35,746,307 parameters, or of [B], 52,546,438, whose other
    three outputs are for the variance."""
    if improved:
        more = {"blocks": 3, "attention": (1, 2), "heads": 4, "dropout": 0.3, "film": True}
        return UNet(3, 6, 128, (1, 2, 2, 2), **more)
    return UNet(3, 3, 128, (1, 2, 2, 2), blocks=2, attention=(1,), dropout=0.1)


class SmallUNet(nn.Module):
    """The parts of [B], once each, for (B, 1, 14, 14) -> (B, 2, 14, 14): 117,250 parameters."""

    def __init__(self, width=16, groups=8):
        super().__init__()
        more = {"time": 4 * width, "heads": 1, "groups": groups, "dropout": 0.0, "film": True}
        self.time = TimeNetwork(2 * width, 4 * width)
        self.first = nn.Conv2d(1, width, 3, padding=1)
        self.fine_down, self.down = Block(width, width, False, **more), Down(width)
        self.coarse_down = Block(width, 2 * width, False, **more)
        self.middle = Block(2 * width, 2 * width, True, **more)
        self.coarse_up, self.up = Block(4 * width, 2 * width, False, **more), Up(2 * width)
        self.fine_up = Block(3 * width, width, False, **more)
        self.last = Last(width, 2, groups)

    def forward(self, x, t):
        time = self.time(t)
        fine = self.fine_down(self.first(x), time)  # (B, 16, 14, 14)
        coarse = self.coarse_down(self.down(fine, time), time)  # (B, 32, 7, 7)
        y = self.middle(coarse, time)
        y = self.up(self.coarse_up(minidl.cat([y, coarse], 1), time), time)  # (B, 32, 14, 14)
        return self.last(self.fine_up(minidl.cat([y, fine], 1), time))
