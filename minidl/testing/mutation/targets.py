"""What of minidl is damaged: every derivative rule, every kernel, and what they call."""

from __future__ import annotations

import ast
import importlib
import sys
from dataclasses import dataclass, field
from types import CodeType, FunctionType, ModuleType
from typing import Any

from numba.core.extending import _Intrinsic
from numba.core.types import ExternalFunction

from minidl import kernels, ops
from minidl.kernels.cpu import parallel
from minidl.testing.mutation.intrinsics import in_python
from minidl.testing.mutation.places import places
from minidl.testing.mutation.recompile import node_of


@dataclass
class Target:
    """A piece of code to damage.

    owner: the op that it belongs to, or the name of a helper that several ops share.
    functions: those that run it (the same lambda may be the rule of several ops).
    ops: whose records can notice. kernel: the module, if it is code of a kernel.
    """

    owner: str
    code: CodeType
    functions: list[FunctionType] = field(default_factory=list)
    ops: list[str] = field(default_factory=list)
    kernel: ModuleType | None = None


def targets(names: list[str] | None = None) -> list[Target]:
    """All of minidl's derivative code and kernels, or what the ops of these names run.

    Raises LookupError for a name that is not an op's.
    """
    found = rules() + kernel_code()
    if names is None:
        return found
    unknown = sorted(set(names) - {op for target in found for op in target.ops})
    if unknown:
        raise LookupError(f"no op {', '.join(unknown)} with a rule or a kernel")
    return [target for target in found if set(names) & set(target.ops)]


def rules() -> list[Target]:
    """The rules of all ops, and what they call that serves only derivatives.

    That is: helper functions, and ops that are not public, as the inverse of indexing.
    """
    found: dict[CodeType, Target] = {}
    inner = {call.op.forward: name for name, call in ops.all_ops().items()}
    for name, call in ops.all_ops().items():
        for rule in (*call.op.rules, call.op.rule_of_all):
            if rule is not None and rule.function.__module__.startswith("minidl."):
                _add(found, name, rule.function)
                for helper in _helpers(rule.function):
                    _add(found, inner.get(helper, helper.__name__), helper, name)
    return list(found.values())


def _add(
    found: dict[CodeType, Target], owner: str, function: FunctionType, user: str | None = None
) -> None:
    target = found.setdefault(function.__code__, Target(owner, function.__code__))
    if function not in target.functions:
        target.functions.append(function)
    for op in (owner, user):
        if op in ops.all_ops() and op not in target.ops:
            target.ops.append(op)


def _helpers(function: FunctionType) -> list[FunctionType]:
    """The private functions of minidl.ops that a rule calls, and those that they call."""
    found = [function]
    for f in found:
        for called in _called(f):
            op = getattr(called, "op", None)
            if op is not None:
                called = None if op.name in ops.__all__ else op.forward
            private = isinstance(called, FunctionType) and called.__name__.startswith("_")
            if private and called.__module__.startswith("minidl.ops") and called not in found:
                found.append(called)
    return found[1:]


def _called(function: FunctionType) -> list[Any]:
    """The global objects that the body names, except in the words of errors."""
    nodes = [place.node for place, _ in places(node_of(function.__code__))]
    names = sorted({node.id for node in nodes if isinstance(node, ast.Name)})
    found = [function.__globals__[name] for name in names if name in function.__globals__]
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    for module in [value for value in found if isinstance(value, ModuleType)]:
        if module.__name__.startswith(CPU):
            found += [getattr(module, node.attr, None) for node in attributes]
    return found


CPU = "minidl.kernels.cpu."
# They decide how the work is cut, and how it is run: no result depends on them.
NOT_DAMAGED = {CPU + name for name in ("cache", "conv_plan", "malloc", "threads")}


def kernel_code() -> list[Target]:
    """The functions of each kernel, compiled or not, but not the conditions for using it."""
    found: dict[CodeType, Target] = {}
    for name, file in {**kernels.CPU, **kernels.FUNCTIONS}.items():
        module = importlib.import_module(CPU + file)
        kernel = kernels.load(name) if name in kernels.CPU else None
        start = [kernel.forward, kernel.backward] if kernel else [getattr(module, name)]
        reached = [plain(f) for f in start if f is not None]
        for f in reached:
            reached += [c for c in _held(f) if _is_of_kernels(c) and c not in reached]
        for f in reached:
            owner = name if f.__module__ == module.__name__ else f.__module__.removeprefix(CPU)
            target = found.setdefault(f.__code__, Target(f"{owner} kernel", f.__code__))
            target.kernel = sys.modules[f.__module__]
            if f not in target.functions:
                target.functions.append(f)
            if name not in target.ops:
                target.ops.append(name)
            if len(target.ops) > 1:
                target.owner = f"{f.__module__.removeprefix(CPU)} kernels"
    return list(found.values())


def _is_of_kernels(value: object) -> bool:
    if not isinstance(value, FunctionType) or value.__module__ in NOT_DAMAGED:
        return False
    return value.__module__.startswith(CPU)


def _held(function: FunctionType) -> list[object]:
    """What a kernel's function names or closes over, and what is in tables of these; each plain."""
    found = [*_called(function), *[cell.cell_contents for cell in function.__closure__ or ()]]
    for value in found:
        if isinstance(value, dict):
            found += value.values()
        elif isinstance(value, tuple | list):
            found += value
    return [plain(value) for value in found]


def plain(value: object) -> object:
    """The Python function that Numba compiled, or that does what an intrinsic does."""
    if isinstance(value, _Intrinsic | ExternalFunction):
        return in_python(value)
    function = value.function if isinstance(value, parallel) else getattr(value, "py_func", value)
    return function if isinstance(function, FunctionType) else value


def users(module: ModuleType) -> list[ModuleType]:
    """The files of kernels whose code runs code of this one, and itself."""
    files = [m for name, m in sys.modules.items() if name.startswith(CPU) and m is not module]
    found = [module]
    for used in found:
        found += [m for m in files if m not in found and _uses(m, used)]
    return found


def _uses(module: ModuleType, used: ModuleType) -> bool:
    values = [plain(value) for value in vars(module).values()]
    return any(v is used or getattr(v, "__module__", "") == used.__name__ for v in values)
