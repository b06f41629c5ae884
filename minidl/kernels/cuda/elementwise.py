"""Functions of one number, and their derivatives: one pass over memory each."""

from __future__ import annotations

from ...device import Array, xp
from .. import Kernel
from . import TYPES, Source, blocks, contiguous, inverse, memory_order

THREADS = 256
GELU = {"none": "Gelu", "tanh": "GeluTanh"}
FUNCTIONS = """
    Exp Tanh Sigmoid Relu Erf LogSigmoid Silu Mish HardSwish Gelu GeluTanh LeakyRelu Elu Softplus
""".split()
SOURCE = Source(
    "elementwise.cu",
    {
        kernel: [f"{types}, {function}" for types in TYPES.values() for function in FUNCTIONS]
        for kernel in ("values", "gradients")
    },
)


def values(function: str, x: Array, a: float = 0.0, b: float = 0.0) -> Array:
    """The values, in the memory order of x."""
    order = memory_order(x)
    row = contiguous(x.transpose(order))
    out = xp(x).empty_like(row)
    arguments = f"{TYPES[x.dtype]}, {function}"
    SOURCE.launch("values", arguments, blocks(x.size, THREADS), (THREADS,), row, out, x.size, a, b)
    return out.transpose(inverse(order))


def gradients(
    function: str, g: Array, x_or_y: Array, a: float = 0.0, b: float = 0.0
) -> tuple[Array]:
    """The gradient, in the memory order of the function's input, or output."""
    order, n = memory_order(x_or_y), g.size
    g, row = contiguous(g.transpose(order)), contiguous(x_or_y.transpose(order))
    dx = xp(g).empty_like(row)
    arguments = f"{TYPES[g.dtype]}, {function}"
    SOURCE.launch("gradients", arguments, blocks(n, THREADS), (THREADS,), g, row, dx, n, a, b)
    return (dx.transpose(inverse(order)),)


def _takes(x: Array, *numbers: float) -> bool:
    return x.size > 0 and all(isinstance(n, (int, float)) for n in numbers)


def _of_output(function: str) -> Kernel:
    return Kernel(
        lambda x: values(function, x),
        lambda g, out: gradients(function, g, out),
        _takes,
        half=True,
    )


def _of_input(function: str) -> Kernel:
    return Kernel(
        lambda x: values(function, x),
        lambda g, input: gradients(function, g, input),
        _takes,
        half=True,
    )


KERNELS = {
    "exp": _of_output("Exp"),
    "tanh": _of_output("Tanh"),
    "sigmoid": _of_output("Sigmoid"),
    "relu": _of_output("Relu"),
    "erf": _of_input("Erf"),
    "logsigmoid": _of_input("LogSigmoid"),
    "silu": _of_input("Silu"),
    "mish": _of_input("Mish"),
    "hardswish": _of_input("HardSwish"),
    "gelu": Kernel(
        lambda x, approximate: values(GELU[approximate], x),
        lambda g, input, approximate: gradients(GELU[approximate], g, input),
        lambda x, approximate: _takes(x) and approximate in GELU,
        half=True,
    ),
    "leaky_relu": Kernel(
        lambda x, negative_slope: values("LeakyRelu", x, negative_slope),
        lambda g, input, negative_slope: gradients("LeakyRelu", g, input, negative_slope),
        lambda x, negative_slope: _takes(x, negative_slope),
        half=True,
    ),
    "elu": Kernel(
        lambda x, alpha: values("Elu", x, alpha),
        lambda g, input, alpha: gradients("Elu", g, input, alpha),
        lambda x, alpha: _takes(x, alpha),
        half=True,
    ),
    "softplus": Kernel(
        lambda x, beta, threshold: values("Softplus", x, beta, threshold),
        lambda g, input, beta, threshold: gradients("Softplus", g, input, beta, threshold),
        lambda x, beta, threshold: _takes(x, beta, threshold),
        half=True,
    ),
}
