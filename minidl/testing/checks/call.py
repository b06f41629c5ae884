"""From an op's record and a sample to a call of the op."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import minidl
from minidl import Tensor
from minidl.testing import trees
from minidl.testing.code import call_as_code
from minidl.testing.compare import to_numpy
from minidl.testing.records.record import OpRecord, Sample


def map_arrays(function: Callable, tree: Any) -> Any:
    """The same nested tuples, lists and dicts with `function` applied to every array."""
    if isinstance(tree, dict):
        return {key: map_arrays(function, value) for key, value in tree.items()}
    if isinstance(tree, tuple | list):
        return type(tree)(map_arrays(function, branch) for branch in tree)
    return function(tree) if isinstance(tree, np.ndarray) else tree


def as_tensor(array: np.ndarray, device: str = "cpu", dtype: Any = np.float64) -> Tensor:
    """Float arrays in `dtype`, others as they are."""
    kind = dtype if array.dtype.kind == "f" else array.dtype
    return minidl.tensor(np.asarray(array, kind), device=device)


def leaf(array: np.ndarray, device: str = "cpu", dtype: Any = np.float64) -> Tensor:
    """As `as_tensor`; float tensors require a gradient."""
    t = as_tensor(array, device, dtype)
    return t.requires_grad_() if array.dtype.kind == "f" else t


def arguments(record: OpRecord, sample: Sample, make: Callable) -> tuple:
    """The sample's positional arguments as tensors; constants of the op require no gradient."""
    names = trees.parameters(record.function)
    args = []
    for i, value in enumerate(sample.args):
        constant = i < len(names) and names[i] in record.constants
        args.append(map_arrays(lambda a, c=constant: make(a).detach() if c else make(a), value))
    return tuple(args)


def function_of(
    record: OpRecord, sample: Sample, device: str = "cpu", dtype: Any = np.float64
) -> Callable:
    """The op with the sample's keywords filled in."""
    if not sample.kwargs:
        return record.function
    kwargs = map_arrays(partial(as_tensor, device=device, dtype=dtype), sample.kwargs)
    return partial(record.function, **kwargs)


def outputs(result: Any) -> list[Tensor]:
    """The tensors of a result, in a list."""
    trees.check_result(result)
    return trees.tensors([result])


def gradients(function: Callable, args: tuple, seed: int = 0) -> tuple[list, list]:
    """Outputs, and the gradients of all inputs from one random cotangent, as arrays."""
    result = outputs(function(*args))
    leaves = [t for t in trees.tensors(args) if t.requires_grad]
    rng = np.random.default_rng(seed)
    values = [to_numpy(o) for o in result]
    result = [o for o in result if o.requires_grad]
    if not result:
        return values, []
    cotangents = [
        as_tensor(np.asarray(rng.standard_normal(o.shape)), o.device, o.dtype) for o in result
    ]
    grads = minidl.autograd.grad(result, leaves, cotangents, allow_unused=True)
    return values, [None if g is None else to_numpy(g) for g in grads]


def as_code(record: OpRecord, sample: Sample, dtype: Any = np.float64) -> str:
    """The call as Python to paste, floats in `dtype`."""
    name = trees.call(record.function, ())[0]
    args, kwargs = map_arrays(partial(as_tensor, dtype=dtype), (sample.args, sample.kwargs))
    return call_as_code(name, args, kwargs, trees.parameters(record.function))
