"""minidl: a deep-learning framework you can read in a weekend.

PyTorch's names on NumPy, Numba and CuPy. Where to start reading: `scalar.py` (the idea on one
number), `tape.py`, `backward.py`, `ops/elementwise.py`, `tensor.py`.
"""

import importlib as _importlib
import os as _os
import warnings as _warnings
from math import e, inf, nan, pi

# After a product OpenBLAS's idle threads spin on the cores that everything else needs. With this,
# read when NumPy is imported, they sleep at once. Set it yourself to choose otherwise.
_os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")

__version__ = "0.1.0"

newaxis = None  # x[minidl.newaxis] has a new first dimension

# log(0), 0 / 0 and overflow give inf and nan as in PyTorch, without NumPy's warnings.
_warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"minidl\.")

from . import autograd, cuda, kernels, ops, random
from . import tensor as _methods  # before ops: `minidl.tensor` is the function
from .autograd import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from .device import device
from .dtypes import (
    bfloat16,
    complex64,
    complex128,
    dtype,
    float16,
    float32,
    float64,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    set_default_dtype,
    uint8,
)
from .dtypes import bool_ as bool
from .dtypes import float16 as half
from .dtypes import float32 as float
from .dtypes import float64 as double
from .dtypes import int16 as short
from .dtypes import int32 as int
from .dtypes import int64 as long
from .errors import DeviceError, DTypeError, GraphError, ShapeError
from .legacy import *
from .ops import *
from .random import (
    Generator,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)
from .size import Size
from .switches import *
from .tape import Tensor
from .threads import *
from .type_info import can_cast, finfo, iinfo, promote_types, result_type

# Imported when first used, so that `import minidl` stays quick.
_LATER = {
    name: f".{name}"
    for name in (
        "amp",
        "datasets",
        "distributions",
        "func",
        "io",
        "linalg",
        "nn",
        "optim",
        "profiler",
        "special",
        "testing",
        "utils",
    )
}
_LATER |= {"load": ".io", "save": ".io", "autocast": ".amp", "vmap": ".func"}


def __getattr__(name: str) -> object:
    if name in _LATER:
        module = _importlib.import_module(_LATER[name], __name__)
        return getattr(module, name) if name in ("load", "save", "autocast", "vmap") else module
    from .names import unknown

    raise unknown("minidl", name, [*globals(), *_LATER])
