"""Nested tuples, lists and dicts, under the names that PyTorch's `utils._pytree` has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import tree

__all__ = ["tree_flatten", "tree_leaves", "tree_map", "tree_unflatten"]


def tree_leaves(nested: Any) -> list:
    """What stands in the tree, in order."""
    return tree.leaves(nested)


def tree_flatten(nested: Any) -> tuple[list, Any]:
    """(the leaves, what `tree_unflatten` needs to build the tree again)."""
    return tree.leaves(nested), tree.replace(lambda leaf: None, nested)


def tree_unflatten(leaves: list, spec: Any) -> Any:
    """The tree with these leaves."""
    return tree.rebuild(spec, list(leaves))


def tree_map(function: Callable, nested: Any, *others: Any) -> Any:
    """The tree of function(leaf, *the leaves of other trees in the same place)."""
    rest = zip(*map(tree.leaves, others), strict=True) if others else None
    return tree.replace(lambda leaf: function(leaf, *(next(rest) if rest else ())), nested)
