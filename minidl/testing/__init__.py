"""Checks for ops: derivatives against finite differences, comparisons, one record per op.

`ops` and `OpRecord` need hypothesis (`pip install "minidl[test]"`); it is imported when they are.
"""

from typing import Any

from minidl.testing.compare import TOLERANCES, assert_close, to_numpy
from minidl.testing.gradcheck import GradientError, gradcheck, gradgradcheck

__all__ = [
    "TOLERANCES",
    "GradientError",
    "OpRecord",
    "assert_close",
    "gradcheck",
    "gradgradcheck",
    "ops",
    "to_numpy",
]


def __getattr__(name: str) -> Any:
    if name in ("ops", "OpRecord"):
        from minidl.testing import records

        return getattr(records, name)
    raise AttributeError(f"module 'minidl.testing' has no attribute {name!r}")
