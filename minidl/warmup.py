"""Compiles every kernel, so that no later run has to wait: `python -m minidl warmup`.

Numba compiles a kernel for the types it is called with, when it is first called. So each case here
is a small training step through the public functions; it runs twice, once with every loop on one
thread and once with every loop on all of them, which are two pieces of code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import minidl
from minidl import nn, optim, randint, randn
from minidl.nn import functional as F

from .kernels.cpu import threads


def step(module: nn.Module | Callable, *inputs: minidl.Tensor) -> None:
    """Forward and backward, with respect to the inputs too."""
    outputs = module(*[x.requires_grad_() if x.is_floating_point() else x for x in inputs])
    for out in outputs if isinstance(outputs, tuple) else (outputs,):
        if out.requires_grad:
            out.sum().backward(retain_graph=True)


def linear_layers() -> None:
    step(nn.Linear(48, 32), randn(96, 48))
    step(nn.Linear(48, 32, bias=False), randn(2, 48, 48))
    step(minidl.matmul, randn(80, 80), randn(80, 80))
    step(minidl.matmul, randn(3, 80, 80), randn(3, 80, 80))


def optimizers() -> None:
    for kind in (optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad, optim.Adamax):
        layer = nn.Linear(64, 64)
        optimizer = kind(layer.parameters(), lr=0.01)
        layer(randn(4, 64)).sum().backward()
        nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
        nn.utils.clip_grad_value_(layer.parameters(), 1.0)
        optimizer.step()
    layer = nn.Linear(64, 64)
    layer(randn(4, 64)).sum().backward()
    optim.SGD(layer.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4).step()


def activations() -> None:
    names = "relu sigmoid tanh gelu silu softplus leaky_relu elu mish hardswish logsigmoid".split()
    for name in names:
        step(getattr(F, name), randn(64, 64))
    step(lambda x: F.gelu(x, approximate="tanh"), randn(64, 64))
    for function in (minidl.exp, minidl.erf):
        step(function, randn(64, 64))


def losses() -> None:
    logits, labels = randn(32, 80), randint(0, 80, (32,))
    step(F.cross_entropy, logits, labels)
    for function in (F.softmax, F.log_softmax, minidl.logsumexp):
        step(lambda x, function=function: function(x, -1), randn(32, 80))
    step(F.mse_loss, randn(64, 64), randn(64, 64))
    step(F.binary_cross_entropy_with_logits, randn(64, 64), minidl.rand(64, 64))


def convolutions() -> None:
    for channels, filters, options in (
        (3, 16, {"padding": 1}),
        (16, 16, {"padding": 1}),
        (16, 32, {"padding": 1, "stride": 2}),
        (64, 64, {"padding": 1}),  # Winograd
        (16, 16, {"padding": 1, "groups": 16}),  # depthwise
        (16, 32, {"padding": 1, "groups": 4}),
        (16, 16, {"padding": 2, "dilation": 2}),
    ):
        step(nn.Conv2d(channels, filters, 3, **options), randn(2, channels, 16, 16))
    step(nn.Conv2d(32, 64, 1), randn(2, 32, 16, 16))
    step(lambda x: nn.Conv2d(3, 16, 3)(x).view(2, -1), randn(2, 3, 16, 16))
    step(nn.Conv2d(32, 64, 5, padding=2), randn(2, 32, 14, 14))
    step(nn.Conv1d(16, 32, 3, padding=1), randn(2, 16, 32))
    step(nn.ConvTranspose2d(32, 16, 2, stride=2), randn(2, 32, 8, 8))


def images() -> None:
    for layer in (
        nn.BatchNorm2d(16),
        nn.GroupNorm(4, 16),
        nn.InstanceNorm2d(16),
        nn.LocalResponseNorm(5),
        nn.MaxPool2d(2),
        nn.MaxPool2d(3, 2, 1),
        nn.AvgPool2d(2),
        nn.AdaptiveAvgPool2d(1),
        nn.Upsample(scale_factor=2),
    ):
        step(layer, randn(4, 16, 16, 16))
    step(nn.BatchNorm2d(16).eval(), randn(4, 16, 16, 16))
    step(nn.BatchNorm1d(64), randn(32, 64))


def transformers() -> None:
    step(nn.LayerNorm(64), randn(4, 32, 64))
    step(nn.RMSNorm(64), randn(4, 32, 64))
    for options in ({}, {"is_causal": True}, {"attn_mask": randn(32, 32)}):
        heads = [randn(2, 32, 4, 32).transpose(1, 2) for _ in range(3)]
        step(lambda *qkv, o=options: F.scaled_dot_product_attention(*qkv, **o), *heads)
    step(nn.Embedding(50, 64), randint(0, 50, (4, 32)))


def recurrent() -> None:
    for layer in (nn.LSTM(32, 64), nn.GRU(32, 64)):
        step(lambda x, layer=layer: layer(x)[0], randn(12, 16, 32))


def gathers() -> None:
    rows = randint(0, 60, (40,))
    step(lambda x: x[rows], randn(60, 64))
    step(lambda x: minidl.index_select(x, 0, rows), randn(60, 64))
    step(lambda x: x.gather(0, rows[:, None].expand(40, 64)), randn(60, 64))
    step(lambda x: x.scatter_add(0, rows[:, None].expand(40, 64), randn(40, 64)), randn(60, 64))
    step(lambda x: x.index_add(0, rows, randn(40, 64)), randn(60, 64))


def random_numbers() -> None:
    step(nn.Dropout(0.5), randn(64, 64))
    minidl.randperm(100)


CASES: tuple[Callable[[], None], ...] = (
    linear_layers,
    optimizers,
    activations,
    losses,
    convolutions,
    images,
    transformers,
    recurrent,
    gathers,
    random_numbers,
)


@contextmanager
def every_loop(on_all_threads: bool) -> Iterator[None]:
    before = threads.GRAIN
    threads.GRAIN = 0 if on_all_threads else 2**62
    try:
        yield
    finally:
        threads.GRAIN = before


def steps() -> Iterator[tuple[str, Callable[[], None]]]:
    """(what it compiles, what to call) one after the other."""
    for case in CASES:
        for on_all_threads in (False, True):

            def run(case: Callable = case, on_all_threads: bool = on_all_threads) -> None:
                with every_loop(on_all_threads):
                    case()

            yield case.__name__.replace("_", " "), run
