"""Anomaly mode: which op, on which line, made the first nan. See autograd.detect_anomaly."""

from __future__ import annotations

import sys
from typing import Any

from . import device
from .errors import GraphError
from .tape import Leaf, Node, Op, Tensor, make_node, mode


def record_with_line(
    op: Op, edges: tuple, saved: Any, saves_out: bool, out: Tensor, kwargs: dict | None
) -> Node:
    """`make_node` for anomaly mode: notes the user's line, and whether the value has a nan."""
    node = make_node(op, edges, saved, saves_out, out, kwargs)
    if mode.anomaly:
        node.where = user_line()
        node.made_nan = has_nan(out)
    return node


def check_value(t: Tensor, edge: Node | Leaf) -> None:
    """Raises GraphError naming the first op that computed a nan, if `t` has one."""
    if not has_nan(t):
        return
    seen, stack, guilty = {edge}, [edge], []
    while stack:
        node = stack.pop()
        if node.__class__ is Node:
            if getattr(node, "made_nan", False):
                guilty.append(node)
            new = [e for e in node.edges if e is not None and e not in seen]
            seen.update(new)
            stack += new
    if guilty:
        first = min(guilty, key=lambda node: node.sequence)
        raise GraphError(
            f"backward: the value is nan; the first nan was computed by {first.op.name} "
            f"(recorded at {first.where})."
        )


def has_nan(t: Tensor) -> bool:
    array = t._array
    return array.dtype.kind == "f" and bool(device.xp(array).isnan(array).any())


def user_line() -> str:
    """file:line of the newest frame outside minidl."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("minidl."):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
