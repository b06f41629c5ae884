"""Small modules that several test files use."""

import numpy as np

import minidl
from minidl import nn
from minidl.testing import to_numpy


class Net(nn.Module):
    """Two layers, a buffer of each kind, and a plain attribute."""

    def __init__(self, device="cpu"):
        super().__init__()
        self.first = nn.Linear(3, 4, device=device)
        self.scale = nn.Parameter(minidl.ones(4, device=device))
        self.norm = nn.BatchNorm1d(4, device=device)
        self.register_buffer("seen", minidl.zeros(2, device=device))
        self.register_buffer("cache", minidl.zeros(1, device=device), persistent=False)
        self.name = "net"

    def forward(self, x):
        return self.norm(self.first(x) * self.scale)


NAMES = ["scale", "first.weight", "first.bias", "norm.weight", "norm.bias"]
KEYS = [
    "scale",
    "seen",
    "first.weight",
    "first.bias",
    "norm.weight",
    "norm.bias",
    "norm.running_mean",
    "norm.running_var",
    "norm.num_batches_tracked",
]


class Tied(nn.Module):
    """An embedding whose table is also the output layer's weight, and one layer used twice."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(5, 3)
        self.out = nn.Linear(3, 5, bias=False)
        self.out.weight = self.table.weight
        self.again = self.out

    def forward(self, x):
        return self.again(self.table(x))


def values(module):
    return {name: to_numpy(t).copy() for name, t in module.state_dict().items()}


def assert_same(got, expected):
    assert list(got) == list(expected)
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name)
