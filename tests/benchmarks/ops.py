"""Op by op: the shapes that the workloads meet, each forward (f) and with its backward (fb)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .workloads import integers, normal


@dataclass
class Case:
    """A call on tensors; those that require a gradient get one in the backward."""

    function: Callable
    inputs: tuple

    def calls(self, torch: Any) -> dict[str, Callable]:
        """`f`: the forward alone, nothing recorded. `fb`: the forward recorded, and its backward
        from random gradients of the result."""
        wanted = [x for x in self.inputs if x.requires_grad]
        with torch.no_grad():
            shape = tuple(self.function(*self.inputs).shape)
        cotangent = normal(torch, *shape, name="cotangent")

        def forward() -> None:
            with torch.no_grad():
                self.function(*self.inputs)

        def both() -> None:
            torch.autograd.grad(self.function(*self.inputs), wanted, cotangent)

        return {"f": forward, "fb": both} if wanted else {"f": forward}


@dataclass
class Step:
    """One step of an optimizer."""

    optimizer: Any

    def calls(self, torch: Any) -> dict[str, Callable]:
        return {"step": self.optimizer.step}


def floats(torch: Any, *shapes: tuple[int, ...]) -> list:
    return [normal(torch, *s, name=f"input {i}").requires_grad_() for i, s in enumerate(shapes)]


def case(function: Callable, *shapes: tuple[int, ...], more: tuple = ()) -> Callable:
    """A case from a function of (torch, tensors...), the shapes, and integer (below, *shape)."""

    def make(torch: Any) -> Case:
        whole = [integers(torch, *numbers) for numbers in more]
        return Case(lambda *x: function(torch, *x), (*floats(torch, *shapes), *whole))

    return make


def functional(name: str, *arguments: Any, **keywords: Any) -> Callable:
    """torch.nn.functional.NAME(tensors..., *arguments, **keywords)."""
    return lambda torch, *x: getattr(torch.nn.functional, name)(*x, *arguments, **keywords)


def plain(name: str, *arguments: Any) -> Callable:
    return lambda torch, *x: getattr(torch, name)(*x, *arguments)


def conv(inputs: int, outputs: int, size: int, kernel: int = 3, **options: int) -> Callable:
    """A convolution at batch 64 that keeps the size, unless it has a stride."""
    weight = (outputs, inputs // options.get("groups", 1), kernel, kernel)
    call = functional("conv2d", padding=kernel // 2, **options)
    return case(call, (64, inputs, size, size), weight)


def optimizer(name: str, tensors: int, size: int, **options: float) -> Callable:
    def make(torch: Any) -> Step:
        parameters = [torch.nn.Parameter(normal(torch, size)) for _ in range(tensors)]
        for p in parameters:
            p.grad = normal(torch, size, name="gradient")
        return Step(getattr(torch.optim, name)(parameters, lr=1e-3, **options))

    return make


WIDE = (2048, 512)
IMAGES = (64, 64, 16, 16)
HEADS = (16, 4, 128, 32)


def group_norm(torch: Any, x: Any, weight: Any, bias: Any) -> Any:
    return torch.nn.functional.group_norm(x, 8, weight, bias)


def batch_norm(torch: Any, x: Any, weight: Any, bias: Any) -> Any:
    return torch.nn.functional.batch_norm(x, None, None, weight, bias, training=True)


def layer_norm(torch: Any, x: Any, weight: Any, bias: Any) -> Any:
    return torch.nn.functional.layer_norm(x, weight.shape, weight, bias)


def embedding(torch: Any, weight: Any, tokens: Any) -> Any:
    return torch.nn.functional.embedding(tokens, weight)


def recurrent(name: str) -> Callable:
    """nn.NAME, 128 wide, over 64 steps at batch 32."""

    def make(torch: Any) -> Case:
        module = getattr(torch.nn, name)(128, 128)
        x = normal(torch, 64, 32, 128).requires_grad_()
        return Case(lambda x, *_: module(x)[0], (x, *module.parameters()))

    return make


CASES = {
    "add 2048x512": case(plain("add"), WIDE, WIDE),
    "mul 2048x512": case(plain("mul"), WIDE, WIDE),
    "add row 2048x512": case(plain("add"), WIDE, (512,)),
    "relu 2048x512": case(functional("relu"), WIDE),
    "gelu 2048x512": case(functional("gelu"), WIDE),
    "gelu tanh 2048x512": case(functional("gelu", approximate="tanh"), WIDE),
    "silu 2048x512": case(functional("silu"), WIDE),
    "tanh 2048x512": case(plain("tanh"), WIDE),
    "sigmoid 2048x512": case(plain("sigmoid"), WIDE),
    "exp 2048x512": case(plain("exp"), WIDE),
    "sum 2048x512": case(plain("sum"), WIDE),
    "sum rows 2048x512": case(plain("sum", 0), WIDE),
    "softmax 2048x512": case(plain("softmax", -1), WIDE),
    "log_softmax 2048x512": case(plain("log_softmax", -1), WIDE),
    "layer_norm 2048x512": case(layer_norm, WIDE, (512,), (512,)),
    "layer_norm 2048x128": case(layer_norm, (2048, 128), (128,), (128,)),
    "group_norm 64x64x16x16": case(group_norm, IMAGES, (64,), (64,)),
    "batch_norm 64x64x16x16": case(batch_norm, IMAGES, (64,), (64,)),
    "batch_norm 64x16x32x32": case(batch_norm, (64, 16, 32, 32), (16,), (16,)),
    "linear 2048x128x512": case(functional("linear"), (2048, 128), (512, 128), (512,)),
    "linear 128x784x512": case(functional("linear"), (128, 784), (512, 784), (512,)),
    "matmul 512x512x512": case(plain("matmul"), (512, 512), (512, 512)),
    "cross_entropy 2048x256": case(functional("cross_entropy"), (2048, 256), more=((256, 2048),)),
    "cross_entropy 2048x8192": case(
        functional("cross_entropy"), (2048, 8192), more=((8192, 2048),)
    ),
    "conv 3-64 at 32": conv(3, 64, 32),
    "conv 64-128 at 16": conv(64, 128, 16),
    "conv 256-256 at 8": conv(256, 256, 8),
    "conv 16-16 at 32": conv(16, 16, 32),
    "conv 32-32 at 16": conv(32, 32, 16),
    "conv 64-64 at 8": conv(64, 64, 8),
    "conv 16-32 stride 2": conv(16, 32, 32, stride=2),
    "conv 1x1 128-128 at 16": conv(128, 128, 16, 1),
    "conv 5x5 32-64 at 14": conv(32, 64, 14, 5),
    "conv depthwise 128 at 16": conv(128, 128, 16, groups=128),
    "max_pool 64x64x32x32": case(functional("max_pool2d", 2), (64, 64, 32, 32)),
    "avg_pool 64x64x32x32": case(functional("avg_pool2d", 2), (64, 64, 32, 32)),
    "interpolate 32x64x14x14": case(
        functional("interpolate", scale_factor=2, mode="nearest"), (32, 64, 14, 14)
    ),
    "embedding 8192x128": case(embedding, (8192, 128), more=((8192, 16, 128),)),
    "attention 128 causal": case(
        functional("scaled_dot_product_attention", is_causal=True), HEADS, HEADS, HEADS
    ),
    "attention 128": case(functional("scaled_dot_product_attention"), HEADS, HEADS, HEADS),
    "attention 512 causal": case(
        functional("scaled_dot_product_attention", is_causal=True), *[(8, 4, 512, 32)] * 3
    ),
    "LSTM 64x32x128": recurrent("LSTM"),
    "GRU 64x32x128": recurrent("GRU"),
    "Adam 1M": optimizer("Adam", 1, 1_000_000),
    "Adam 50 x 20k": optimizer("Adam", 50, 20_000),
    "AdamW 50 x 20k": optimizer("AdamW", 50, 20_000),
    "SGD momentum 50 x 20k": optimizer("SGD", 50, 20_000, momentum=0.9),
}


def chosen(words: list[str]) -> list[str]:
    """The cases with one of the words in their names; all, if there are no words."""
    return [name for name in CASES if not words or any(word in name for word in words)]
