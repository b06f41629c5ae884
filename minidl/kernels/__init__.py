"""Which calls run a compiled kernel, and which their definition.

Kernels exist for speed only: every op has a forward or a definition that says what it means, and
`MINIDL_KERNELS=off` (or `with kernels.disabled():`) runs everything from those. The choice depends
on the op's name, device, type, shape and layout, never on timing.
"""

from __future__ import annotations

import importlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from numpy import ndarray

from .. import dtypes
from ..device import of

# The files in kernels/cpu and the ops they have kernels for: known without importing Numba.
_FILES = {
    "attention": ["attention"],
    "layer_norm": ["layer_norm", "rms_norm"],
    "linear": ["linear", "matmul"],
    "conv": ["convolution", "convolution_input", "convolution_weight"],
    "batch_norm": ["batch_norm", "fixed_norm", "group_norm"],
    "dropout": ["dropout"],
    "elementwise": """
        exp tanh sigmoid relu erf logsigmoid silu mish hardswish gelu leaky_relu elu softplus
    """.split(),
    "layout": ["laid"],
    "local_response_norm": ["local_response_norm"],
    "pool": ["max_pool2d", "sum_pool", "spread_windows"],
    "loss": ["cross_entropy", "mse_loss", "binary_cross_entropy_with_logits"],
    "reduce": ["sum"],
    "scatter": ["unindex", "add_at", "gather", "scatter_add"],
    "recurrent": ["gru_sequence", "lstm_sequence"],
    "softmax": ["softmax", "log_softmax", "logsumexp"],
}
CPU = {op: file for file, ops in _FILES.items() for op in ops}

# The files in kernels/cuda, likewise.
_CUDA_FILES = {
    "attention": ["attention"],
    "conv": ["convolution", "convolution_input", "convolution_weight"],
    "dropout": ["dropout"],
    "elementwise": """
        exp tanh sigmoid relu erf logsigmoid silu mish hardswish gelu leaky_relu elu softplus
    """.split(),
    "local_response_norm": ["local_response_norm"],
    "loss": ["cross_entropy", "mse_loss", "binary_cross_entropy_with_logits"],
    "norms": ["layer_norm", "rms_norm", "batch_norm", "fixed_norm", "group_norm"],
    "pool": ["max_pool2d", "sum_pool", "spread_windows"],
    "recurrent": ["gru_sequence", "lstm_sequence"],
    "scatter": ["unindex", "add_at", "gather", "scatter_add"],
    "softmax": ["softmax", "log_softmax", "logsumexp"],
}
CUDA = {op: file for file, ops in _CUDA_FILES.items() for op in ops}
OPS = CPU.keys() | CUDA.keys()

# An elementwise op on fewer elements is as fast in NumPy.
LARGE = 2048


@dataclass(frozen=True)
class Kernel:
    """Fast code for one op, on arrays.

    forward(*inputs, **keywords) -> array; with `has_aux`, (array, what backward will read).
    backward(g, ...) -> one array or None per input; like a rule, it names what it reads.
    eligible(*inputs, **keywords): whether it can take this call. All arrays are on one device.
    Those of numbers with a fraction are float32 on the CPU; on a GPU they are all float32, all
    float64, or, for a kernel that can store `half`, all float16.
    """

    forward: Callable | None
    backward: Callable | None = None
    eligible: Callable[..., bool] = lambda *inputs, **keywords: True
    has_aux: bool = False
    half: bool = False


class _State(threading.local):
    enabled = os.environ.get("MINIDL_KERNELS", "on") != "off"
    reference = False


_state = _State()
_REFERENCE = Kernel(None)
_cache: dict[str, Kernel | None] = {}
_cuda_cache: dict[str, Kernel] = {}


@contextmanager
def disabled() -> Iterator[None]:
    """Runs everything from forwards and definitions, in this thread."""
    before = _state.enabled, _state.reference
    _state.enabled, _state.reference = False, False
    try:
        yield
    finally:
        _state.enabled, _state.reference = before


@contextmanager
def forced(reference: bool = True) -> Iterator[None]:
    """Records every definition as one node, in any type, the definition standing in for a kernel.

    So gradient checks in float64 reach the rules and the replay that kernels rely on.
    """
    before = _state.reference
    _state.reference = reference
    try:
        yield
    finally:
        _state.reference = before


def enabled() -> bool:
    return _state.enabled


def choose(op: Any, inputs: tuple, kwargs: dict) -> Kernel | None:
    """The kernel for this call of `op`, or None: then its forward or definition runs."""
    if _state.reference:
        return _REFERENCE if op.definition else None
    if not op.kernels or not _state.enabled:
        return None
    arrays = [None if x is None else x._array for x in inputs]
    for array in arrays:
        if array is None:
            continue
        if array.__class__ is not ndarray:  # on a GPU, or a class Numba does not know
            return _choose_cuda(op.name, arrays, kwargs)
        if array.dtype is not dtypes.F32 and (array is arrays[0] or array.dtype.kind == "f"):
            return None
    kernel = load(op.name)
    return kernel if kernel is not None and kernel.eligible(*arrays, **kwargs) else None


def _choose_cuda(name: str, inputs: list, kwargs: dict) -> Kernel | None:
    arrays = [x for x in inputs if x is not None]
    if name not in CUDA or not has_cuda(arrays[0]) or arrays[0].dtype.kind != "f":
        return None
    kernel = load_cuda(name)
    floats = {x.dtype for x in arrays if x.dtype.kind == "f"}
    if len(floats) > 1 or (dtypes.F16 in floats and not kernel.half):
        return None
    if any(x.__class__ is not arrays[0].__class__ for x in arrays):
        return None  # the definition will say that they are on different devices
    return kernel if kernel.eligible(*inputs, **kwargs) else None


def has_cuda(array: Any) -> bool:
    """Whether the array module of `array` can compile CUDA kernels."""
    return hasattr(of(array).module, "RawModule")


def load_cuda(name: str) -> Kernel:
    """The CUDA kernel of an op; compiled when it is first launched."""
    if name not in _cuda_cache:
        module = importlib.import_module(f".cuda.{CUDA[name]}", __name__)
        _cuda_cache[name] = module.KERNELS[name]
    return _cuda_cache[name]


def load(name: str) -> Kernel | None:
    """The CPU kernel of an op, imported (and with it Numba) at its first use."""
    if name not in CPU:
        return None
    if name not in _cache:
        try:
            module = importlib.import_module(f".cpu.{CPU[name]}", __name__)
            _cache[name] = module.KERNELS[name]
        except ImportError:
            logging.getLogger("minidl").info("numba is not installed: running from definitions")
            _cache.update(dict.fromkeys(CPU))
    return _cache[name]


# Fast code that is not an op: the random generator, the steps of optimizers, clipping.
_FUNCTION_FILES = {
    "clip": ["clamp", "scale", "square_sum"],
    "optimizers": """
        adadelta_step adagrad_step adam_step adamax_step asgd_step nadam_step radam_step
        rmsprop_step rprop_step sgd_step
    """.split(),
    "philox": ["philox"],
    "scatter": ["take"],
}
FUNCTIONS = {function: file for file, names in _FUNCTION_FILES.items() for function in names}


_CUDA_FUNCTION_FILES = {
    "clip": ["clamp", "scale", "square_sum"],
    "optimizers": _FUNCTION_FILES["optimizers"],
    "philox": ["words", "uniforms", "normals"],
}
CUDA_FUNCTIONS = {
    function: file for file, names in _CUDA_FUNCTION_FILES.items() for function in names
}


def function(name: str, like: Any = None) -> Callable | None:
    """The kernel of a plain function, or None when kernels are off or cannot be compiled.

    like: an array on the device that the kernel is for; without it, the CPU.
    """
    if not _state.enabled:
        return None
    if like is not None and like.__class__ is not ndarray:
        if name not in CUDA_FUNCTIONS or not has_cuda(like):
            return None
        return getattr(importlib.import_module(f".cuda.{CUDA_FUNCTIONS[name]}", __name__), name)
    if name not in FUNCTIONS:
        return None
    if name not in _functions:
        try:
            module = importlib.import_module(f".cpu.{FUNCTIONS[name]}", __name__)
            _functions[name] = getattr(module, name)
        except ImportError:
            _functions[name] = None
    return _functions[name]


_functions: dict[str, Callable | None] = {}
