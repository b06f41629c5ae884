"""Four networks and their data, each trained a few steps: on a GPU, a stand-in, the CPU."""

import numpy as np

import minidl
from minidl import nn
from minidl.nn import functional as F


class Classifier(nn.Module):
    """A network, and the cross-entropy of what it gives with labels."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x, labels):
        return F.cross_entropy(self.layers(x), labels)


class Gpt(nn.Module):
    """One block of a decoder: tokens, positions, attention, feed-forward, tied output."""

    def __init__(self, vocabulary=11, width=16, heads=2, length=6):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(length, width)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight
        self.heads = heads

    def forward(self, x, labels):
        b, t = x.shape
        x = self.tokens(x) + self.places(minidl.arange(t, device=x.device))  # (B, T, C)
        q, k, v = self.qkv(self.first(x)).reshape(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, heads, T, C / heads)
        x = x + F.dropout(self.out(seen.transpose(1, 2).reshape(b, t, -1)), 0.1, self.training)
        x = x + self.narrow(F.gelu(self.wide(self.second(x))))
        return F.cross_entropy(self.head(x).reshape(b * t, -1), labels.reshape(-1))


class Lstm(nn.Module):
    """The next token from those before it, read by an LSTM."""

    def __init__(self, vocabulary=11, width=8):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, x, labels):
        states, _ = self.lstm(self.tokens(x))  # (B, T, C)
        return F.cross_entropy(self.head(states).flatten(0, 1), labels.flatten())


def mlp():
    return Classifier(nn.Linear(12, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 5))


def cnn():
    return Classifier(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, stride=2), nn.GELU(), nn.AvgPool2d(1), nn.LocalResponseNorm(3),
        nn.Flatten(), nn.Linear(6, 5),
    )  # fmt: skip


draw = np.random.default_rng(0)
IMAGES = draw.standard_normal((4, 2, 8, 8)).astype("float32"), draw.integers(0, 5, 4)
ROWS = draw.standard_normal((6, 12)).astype("float32"), draw.integers(0, 5, 6)
TOKENS = draw.integers(0, 11, (3, 6)), draw.integers(0, 11, (3, 6))

NETWORKS = {
    "MLP": (mlp, ROWS, minidl.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "CNN": (cnn, IMAGES, minidl.optim.Adam, {"lr": 0.01}),
    "GPT": (Gpt, TOKENS, minidl.optim.AdamW, {"lr": 0.01}),
    "LSTM": (Lstm, TOKENS, minidl.optim.RMSprop, {"lr": 0.01}),
}


class Training:
    """A network on a device, with its data and optimizer; the same numbers every time."""

    def __init__(self, name: str, device: str):
        make, (x, labels), optimizer, options = NETWORKS[name]
        minidl.manual_seed(1)
        self.network = make().to(device)
        self.optimizer = optimizer(self.network.parameters(), **options)
        self.x = minidl.tensor(x).to(device)
        self.labels = minidl.tensor(labels).to(device)

    def step(self):
        """Forward, backward and update; the loss, which is not read."""
        self.optimizer.zero_grad()
        loss = self.network(self.x, self.labels)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        return loss.detach()

    def gradients(self) -> list[np.ndarray]:
        """Those of the last step. (Not the parameters: where a gradient is 0 but for rounding, as
        that of a bias before batch norm, Adam makes a whole step of what is left.)"""
        return [p.grad.cpu().numpy() for p in self.network.parameters()]

    def parameters(self) -> list[np.ndarray]:
        return [p.detach().cpu().numpy() for p in self.network.parameters()]
