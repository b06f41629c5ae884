"""Anomaly mode: which op, on which line, made the first nan. See autograd.detect_anomaly."""

from __future__ import annotations

import sys
from typing import Any

from . import device
from .errors import GraphError
from .tape import Node, Op, Tensor, make_node, mode


def record_with_line(
    op: Op, edges: tuple, needs: Any, inputs: tuple, out: Tensor, kwargs: dict | None
) -> Node:
    """`make_node` for anomaly mode: notes the user's line and stops at the first bad value."""
    node = make_node(op, edges, needs, inputs, out, kwargs)
    if mode.anomaly:
        node.where = user_line()
        if has_nan(out) and not any(isinstance(x, Tensor) and has_nan(x) for x in inputs):
            raise GraphError(f"{op.name} at {node.where} computed nan from inputs without nan.")
    return node


def has_nan(t: Tensor) -> bool:
    array = t._array
    return array.dtype.kind == "f" and bool(device.xp(array).isnan(array).any())


def user_line() -> str:
    """file:line of the newest frame outside minidl."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("minidl."):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
