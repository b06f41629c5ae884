"""Tensors in nested tuples, lists and dicts: take them out, put others in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def leaves(tree: Any) -> list:
    """What stands in the tree, in order; dicts in the order of their keys' insertion."""
    if isinstance(tree, dict):
        return [leaf for branch in tree.values() for leaf in leaves(branch)]
    if isinstance(tree, (tuple, list)):
        return [leaf for branch in tree for leaf in leaves(branch)]
    return [tree]


def replace(function: Callable, tree: Any) -> Any:
    """The same tree with `function(leaf)` in place of each leaf."""
    if isinstance(tree, dict):
        return type(tree)((key, replace(function, branch)) for key, branch in tree.items())
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(replace(function, branch) for branch in tree))
    if isinstance(tree, (tuple, list)):
        return type(tree)(replace(function, branch) for branch in tree)
    return function(tree)


def rebuild(tree: Any, values: list) -> Any:
    """The same tree with these leaves."""
    rest = iter(values)
    return replace(lambda leaf: next(rest), tree)
