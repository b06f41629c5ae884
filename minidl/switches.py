"""Switches of PyTorch that ask for speed, for determinism, or for what is not here anyway.

Code written for PyTorch sets them; minidl accepts them and computes the same numbers with or
without. Each stands here with its reason. What would change numbers is not here: it raises.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from types import ModuleType
from typing import Any, Final

__all__ = """
    backends channels_last channels_last_3d compile compiler contiguous_format distributed
    get_float32_matmul_precision get_num_interop_threads jit memory_format preserve_format
    set_float32_matmul_precision set_num_interop_threads set_printoptions strided
    use_deterministic_algorithms
    are_deterministic_algorithms_enabled is_deterministic_algorithms_warn_only_enabled
""".split()


class memory_format:
    """How an image lies in memory. minidl's kernels choose that themselves; values are the same."""

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return f"minidl.{self.name}"


channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")
contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
strided = memory_format("strided")  # the one layout that there is


def compile(model: Callable | None = None, **options: Any) -> Callable:
    """The function or module itself, or a decorator that returns it: there is no compiler."""
    return _itself(model)


def _itself(function: Callable | None = None, *args: Any, **options: Any) -> Any:
    return function if function is not None else _itself


def set_float32_matmul_precision(precision: str) -> None:
    """float32 products are always computed in float32, which is "highest"."""


def get_float32_matmul_precision() -> str:
    return "highest"


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Two equal runs always give equal bits."""


def are_deterministic_algorithms_enabled() -> bool:
    return True


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    return False


def set_printoptions(*args: Any, **options: Any) -> None:
    """Tensors are printed with four digits."""


def set_num_interop_threads(number: int) -> None:
    """Operations never run beside each other."""


def get_num_interop_threads() -> int:
    return 1


def _module(name: str, reason: str, **members: Any) -> ModuleType:
    """A module under minidl that `import minidl.name` finds."""
    module = ModuleType(f"{__package__}.{name}", reason)
    vars(module).update(members)
    module.__path__ = []  # it may have submodules
    sys.modules[module.__name__] = module
    return module


def _no(*args: Any) -> bool:
    return False


_fast = {"enabled": False, "benchmark": False, "deterministic": True, "allow_tf32": False}
cudnn = _module(
    "backends.cudnn",
    "cuDNN is not used; all algorithms are deterministic and in float32.",
    is_available=_no,
    version=lambda: None,
    flags=lambda *args, **options: nullcontext(),
    **_fast,
)
_cuda = _module(
    "backends.cuda",
    "Products are computed in float32; attention chooses its kernel by shape.",
    matmul=_module("backends.cuda.matmul", "float32 always.", **_fast),
    enable_flash_sdp=_no,
    enable_mem_efficient_sdp=_no,
    enable_math_sdp=_no,
    is_built=_no,
    sdp_kernel=lambda *args, **options: nullcontext(),
)
_mps = _module("backends.mps", "No Apple GPU.", is_available=_no, is_built=_no)
_mkldnn = _module("backends.mkldnn", "oneDNN is not used.", is_available=_no, enabled=False)
backends = _module(
    "backends",
    "Libraries that PyTorch can use; minidl does not.",
    cudnn=cudnn,
    cuda=_cuda,
    mps=_mps,
    mkldnn=_mkldnn,
)
jit = _module(
    "jit",
    "Functions and modules run as they are: there is no compiler.",
    script=_itself,
    script_method=_itself,
    script_if_tracing=_itself,
    ignore=_itself,
    unused=_itself,
    export=_itself,
    interface=_itself,
    trace=_itself,
    is_scripting=_no,
    is_tracing=_no,
    annotate=lambda kind, value: value,
    Final=Final,
)
compiler = _module(
    "compiler",
    "There is no compiler.",
    disable=_itself,
    allow_in_graph=_itself,
    is_compiling=_no,
    cudagraph_mark_step_begin=lambda: None,
)
distributed = _module(
    "distributed",
    "One process on one machine.",
    is_available=_no,
    is_initialized=_no,
    get_rank=lambda: 0,
    get_world_size=lambda: 1,
)
