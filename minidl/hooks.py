"""Hooks of tensors and modules, and the handle that removes one."""

from __future__ import annotations

import weakref
from itertools import count
from typing import Any


class RemovableHandle:
    """Removes the hook it stands for: `handle.remove()`, or at the end of a `with` block."""

    _next_id = count().__next__

    def __init__(self, hooks: Hooks):
        self.id = RemovableHandle._next_id()
        self._hooks = weakref.ref(hooks)

    def remove(self) -> None:
        hooks = self._hooks()
        if hooks is not None:
            hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


class Hooks(dict):
    """Hooks by number, in the order in which they run."""

    def add(self, hook: Any, prepend: bool = False) -> RemovableHandle:
        handle = RemovableHandle(self)
        others = dict(self) if prepend else {}
        if prepend:
            self.clear()
        self[handle.id] = hook
        self.update(others)
        return handle


def hooks_of(edge: Any) -> Hooks:
    """The hooks of a node or leaf of the tape."""
    if edge.hooks is None:
        edge.hooks = Hooks()
    return edge.hooks
