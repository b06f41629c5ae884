"""Checks for ops, modules and optimizers: yours and minidl's own.

What needs hypothesis and pytest (`pip install "minidl[test]"`) is imported when it is first used:
the strategies, the records, `check_op` and its like, `register` and `task`.
"""

import importlib
from typing import Any

from minidl.testing.code import as_code, call_as_code
from minidl.testing.compare import TOLERANCES, assert_close, to_numpy
from minidl.testing.errors import CheckError
from minidl.testing.explain import Finding, assert_vjp, explain
from minidl.testing.gradcheck import GradientError, gradcheck, gradgradcheck

_MODULE_OF = {
    "OP_CHECKS": "checks",
    "OpRecord": "records",
    "Sample": "records",
    "check_module": "checks",
    "check_op": "checks",
    "check_optimizer": "checks",
    "ops": "records",
    "register": "registry",
    "task": "tasks",
}

__all__ = [
    "OP_CHECKS",
    "TOLERANCES",
    "CheckError",
    "Finding",
    "GradientError",
    "OpRecord",
    "Sample",
    "as_code",
    "assert_close",
    "assert_vjp",
    "call_as_code",
    "check_module",
    "check_op",
    "check_optimizer",
    "explain",
    "gradcheck",
    "gradgradcheck",
    "ops",
    "register",
    "strategies",
    "task",
    "to_numpy",
]


def __getattr__(name: str) -> Any:
    if name == "strategies":
        return importlib.import_module("minidl.testing.strategies")
    if name in _MODULE_OF:
        module = importlib.import_module(f"minidl.testing.{_MODULE_OF[name]}")
        return getattr(module, name)
    raise AttributeError(f"module 'minidl.testing' has no attribute {name!r}")
