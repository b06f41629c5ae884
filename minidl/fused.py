"""Ops that a kernel runs whole: one node, and three ways back.

A plain backward runs the kernel's backward. Under create_graph, or if there is none, the op's rules
run. Without rules, the definition is replayed on the saved inputs and differentiated.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from . import kernels
from .backward import grad
from .tape import Leaf, Node, Op, Rule, Tensor, argument, grad_mode, named, wrap


class Fused(Op):
    """An op run by a kernel: one node, whose plain backward is the kernel's."""

    def __init__(self, source: Op, kernel: kernels.Kernel):
        self.__dict__.update(source.__dict__)
        self.kernel = kernel
        reads = {r for rule in (*source.rules, source.rule_of_all) if rule for r in rule.reads}
        if kernel.backward is not None:
            self.kernel_rule = Rule(source, kernel.backward)
            reads |= set(self.kernel_rule.reads)
        if not source.has_rules:
            reads |= set(range(len(source.inputs)))  # the definition will be replayed on them
        self.all_reads = list(reads)
        self.plans = {}

    def reads(self, needs: int) -> list:
        return self.all_reads

    def pull(self, node: Node, g: Any, edges: Iterable, create_graph: bool) -> Iterable:
        if self.kernel.backward is not None and not create_graph:
            return self._kernel_pull(node, g, edges)
        if self.has_rules:
            return super().pull(node, g, edges, create_graph)
        return self._replayed(node, g, edges, create_graph)

    def _kernel_pull(self, node: Node, g: Any, edges: Iterable) -> list:
        saved, raw = node.saved, []
        for read in self.kernel_rule.reads:
            if read.__class__ is int and saved is not None:
                array, cell, version = saved[3 * read : 3 * read + 3]
                if cell is None or cell[0] == version:  # what `argument` says, without a Tensor
                    raw.append(array)
                    continue
            raw.append(_raw(argument(node, read, edges, False)))
        g = g._array if isinstance(g, Tensor) else [x if x is None else x._array for x in g]
        grads = self.kernel.backward(g, *raw)
        return [None if x is None else wrap(x) for x in grads]

    def _replayed(self, node: Node, g: Any, edges: Iterable, create_graph: bool) -> list:
        """Without rules: runs the definition again on the saved inputs and differentiates that.

        Each input becomes a fresh alias node first, so that an input which was computed from
        another one does not pass its gradient on to it here.
        """
        with grad_mode(True):
            saved = [argument(node, i, edges, create_graph) for i in range(len(node.edges))]
            inputs = [_fresh_source(x) for x in saved]
            out = self.forward(*inputs, **node.kwargs)
            wanted = [x for x, edge in zip(inputs, edges, strict=True) if edge is not None]
            pairs = [(out, g)] if self.outputs == 1 else list(zip(out, g, strict=True))
            pairs = [(o, x) for o, x in pairs if x is not None and o._node is not None]
            found = iter(
                grad(
                    [o for o, _ in pairs],
                    wanted,
                    [x for _, x in pairs],
                    create_graph=create_graph,
                    allow_unused=True,
                )
            )
        return [None if edge is None else next(found) for edge in edges]


def _raw(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return type(value)(_raw(v) for v in value)
    return value._array if isinstance(value, Tensor) else value


def _fresh_source(x: Any) -> Any:
    if not isinstance(x, Tensor):
        return x
    if x._node is not None:
        return named("identity")(x)
    source = wrap(x._array)
    if x._array.dtype.kind == "f":
        source._node = Leaf(source)
    return source


_fused_ops: dict[tuple[str, int], Fused] = {}


def run_fused(source: Op, kernel: kernels.Kernel, inputs: tuple, kwargs: dict) -> tuple:
    """Runs the kernel: (the op to record, its inputs, their arrays, the result, what backward
    reads)."""
    key = (source.name, id(kernel))
    if key not in _fused_ops:
        _fused_ops[key] = Fused(source, kernel)
    arrays = tuple([x._array if isinstance(x, Tensor) else x for x in inputs])
    aux = None
    if kernel.forward is None:  # forced(reference=True): the definition stands in for the kernel
        with grad_mode(False), kernels.disabled():
            out = source.forward(*inputs, **kwargs)
        out = out._array if source.outputs == 1 else [o._array for o in out]
    else:
        out = kernel.forward(*arrays, **kwargs)
        if kernel.has_aux:
            out, aux = out
    return _fused_ops[key], inputs, arrays, out, aux
