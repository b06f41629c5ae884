"""From an op's record to a call of the op."""

import inspect
from functools import partial

import numpy as np
import pytest

import minidl
from minidl import testing

RECORDS = {record.name: record for record in testing.ops()}


def each_record(condition=lambda record: True):
    """Parametrises a test over the records for which `condition` holds."""
    chosen = [record for record in RECORDS.values() if condition(record)]
    return pytest.mark.parametrize("record", chosen, ids=lambda record: record.name)


def map_arrays(function, tree):
    """The same nested tuples, lists and dicts with `function` applied to every array."""
    if isinstance(tree, dict):
        return {key: map_arrays(function, value) for key, value in tree.items()}
    if isinstance(tree, tuple | list):
        return type(tree)(map_arrays(function, branch) for branch in tree)
    return function(tree) if isinstance(tree, np.ndarray) else tree


def as_tensor(array, device, dtype=np.float64):
    """Float arrays in `dtype`, others as they are."""
    kind = dtype if array.dtype.kind == "f" else array.dtype
    return minidl.tensor(np.asarray(array, kind), device=device)


def leaf(array, device, dtype=np.float64):
    """As `as_tensor`; float tensors require a gradient."""
    t = as_tensor(array, device, dtype)
    return t.requires_grad_() if array.dtype.kind == "f" else t


def arguments(record, sample, make):
    """The sample's positional arguments as tensors; constants of the op require no gradient."""
    names = list(inspect.signature(record.function).parameters)
    args = []
    for i, value in enumerate(sample.args):
        constant = i < len(names) and names[i] in record.constants
        args.append(map_arrays(lambda a, c=constant: make(a).detach() if c else make(a), value))
    return tuple(args)


def function_of(record, sample, device, dtype=np.float64):
    """The op with the sample's keywords filled in."""
    if not sample.kwargs:
        return record.function
    kwargs = map_arrays(partial(as_tensor, device=device, dtype=dtype), sample.kwargs)
    return partial(record.function, **kwargs)


def outputs(result):
    """The tensors of a result, in a list."""
    return testing.trees.tensors([result])


def gradients(function, args, seed=0):
    """Outputs, and the gradients of all inputs from one random cotangent, as arrays."""
    result = outputs(function(*args))
    leaves = [t for t in testing.trees.tensors(args) if t.requires_grad]
    rng = np.random.default_rng(seed)
    values = [testing.to_numpy(o) for o in result]
    result = [o for o in result if o.requires_grad]
    if not result:
        return values, []
    cotangents = [
        as_tensor(np.asarray(rng.standard_normal(o.shape)), o.device, o.dtype) for o in result
    ]
    grads = minidl.autograd.grad(result, leaves, cotangents, allow_unused=True)
    return values, [None if g is None else testing.to_numpy(g) for g in grads]
