"""Jacobians, Hessians and their products with vectors, of functions of tensors.

`func` takes tensors and returns tensors. inputs: a tensor or a tuple of them; a result has the
structure of what it is a derivative of, and by. A Jacobian costs one backward for each element of
the output, a product with a vector (`vjp`, `hvp`) one backward: use it where it is enough.
https://docs.pytorch.org/docs/stable/autograd.html#functional-higher-level-api
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backward import grad
from ..errors import GraphError, ShapeError
from ..ops import ones_like, stack, zeros, zeros_like
from ..tape import Tensor, grad_mode, mode

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

Tensors = Tensor | tuple[Tensor, ...]


def vjp(
    func: Callable,
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Tensors, Tensors]:
    """(func(inputs), v^T J): the gradient of sum(v * func(inputs)).

    v: like the outputs; may be left out for an output with one element.
    strict: raise GraphError where an output does not depend on an input, instead of zeros.
    """
    with grad_mode(True):
        call = _Call("vjp", func, inputs, create_graph)
        call.check_depends(strict)
        cotangents = _vectors("vjp", v, call.outputs, "output")
        found = call.pull(cotangents, create_graph, strict)
    return call.results(create_graph), call.like_inputs(found, create_graph)


def jvp(
    func: Callable,
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Tensors, Tensors]:
    """(func(inputs), J v), by two backwards: u^T J is linear in u, and its derivative is J v.

    v: like the inputs; may be left out for an input with one element. strict: as in `vjp`.
    """
    with grad_mode(True):
        call = _Call("jvp", func, inputs, create_graph)
        call.check_depends(strict)
        tangents = _vectors("jvp", v, call.inputs, "input")
        dummies = tuple(zeros_like(o, requires_grad=True) for o in call.outputs)
        linear = call.pull(dummies, True, strict)
        pairs = [(x, t) for x, t in zip(linear, tangents, strict=True) if x.requires_grad]
        found = [None] * len(dummies)
        if pairs:
            xs, ts = zip(*pairs, strict=True)
            found = grad(xs, dummies, ts, create_graph=create_graph, allow_unused=True)
        found = _filled(found, call.outputs)
    return call.results(create_graph), call.like_outputs(found, create_graph)


def jacobian(
    func: Callable,
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """J[output index, input index] = d output / d input, one backward for each output element.

    For several outputs or inputs a tuple of (tuples of) such tensors. vectorize and strategy ask
    for speed only. strict: as in `vjp`.
    """
    with grad_mode(True):
        call = _Call("jacobian", func, inputs, create_graph)
        call.check_depends(strict)
        blocks = [call.rows(o, create_graph, strict) for o in call.outputs]
    blocks = [call.like_inputs(row, create_graph) for row in blocks]
    return tuple(blocks) if call.several_outputs else blocks[0]


def hessian(
    func: Callable,
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """H[i, j] = d^2 func / d input_i d input_j of a function with one output element."""

    def gradient(*tensors: Tensor) -> Tensors:
        found = jacobian(_scalar("hessian", func), tensors, create_graph=True, strict=strict)
        return tuple(found)

    several = isinstance(inputs, tuple)
    found = jacobian(gradient, _tuple(inputs), create_graph, strict)
    return found if several else found[0][0]


def vhp(
    func: Callable,
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Tensor, Tensors]:
    """(func(inputs), v^T H) of a function with one output element, by two backwards."""
    with grad_mode(True):
        call = _Call("vhp", _scalar("vhp", func), inputs, create_graph)
        call.check_depends(strict)
        first = call.pull(tuple(ones_like(o) for o in call.outputs), True, strict)
        vectors = _vectors("vhp", v, call.inputs, "input")
        pairs = [(x, w) for x, w in zip(first, vectors, strict=True) if x.requires_grad]
        found = [None] * len(call.inputs)
        if pairs:
            xs, ws = zip(*pairs, strict=True)
            found = grad(xs, call.inputs, ws, create_graph=create_graph, allow_unused=True)
        found = _filled(found, call.inputs)
    return call.results(create_graph), call.like_inputs(found, create_graph)


def hvp(
    func: Callable,
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Tensor, Tensors]:
    """(func(inputs), H v) of a function with one output element. H is symmetric: v^T H is H v."""
    return vhp(func, inputs, v, create_graph, strict)


class _Call:
    """One call of `func` on inputs that can be differentiated by."""

    def __init__(self, name: str, func: Callable, inputs: Tensors, create_graph: bool):
        self.name = name
        self.several_inputs = isinstance(inputs, tuple)
        given = _tuple(inputs)
        for i, x in enumerate(given):
            if not isinstance(x, Tensor):
                raise TypeError(f"{name}: input {i} must be a Tensor, got a {type(x).__name__}.")
        # A new node on the caller's graph, or a leaf of our own: `func` may not change theirs.
        self.inputs = tuple(
            x.view_as(x)
            if create_graph and x.requires_grad
            else x.detach().clone().requires_grad_()
            for x in given
        )
        outputs = func(*self.inputs)
        self.several_outputs = isinstance(outputs, tuple)
        self.outputs = _tuple(outputs)
        for i, o in enumerate(self.outputs):
            if not isinstance(o, Tensor):
                raise TypeError(f"{name}: output {i} must be a Tensor, got a {type(o).__name__}.")

    def check_depends(self, strict: bool) -> None:
        for i, o in enumerate(self.outputs):
            if strict and not o.requires_grad:
                raise GraphError(f"{self.name}: output {i} does not depend on the inputs (strict).")

    def pull(self, cotangents: tuple, create_graph: bool, strict: bool) -> tuple[Tensor, ...]:
        """The gradients of the inputs; zeros where there is none."""
        pairs = [(o, v) for o, v in zip(self.outputs, cotangents, strict=True) if o.requires_grad]
        found = [None] * len(self.inputs)
        if pairs:
            outputs, vs = zip(*pairs, strict=True)
            options = {"retain_graph": True, "create_graph": create_graph, "allow_unused": True}
            found = grad(outputs, self.inputs, vs, **options)
        for i, gradient in enumerate(found):
            if strict and gradient is None:
                raise GraphError(f"{self.name}: the outputs do not depend on input {i} (strict).")
        return _filled(found, self.inputs)

    def rows(self, output: Tensor, create_graph: bool, strict: bool) -> list[Tensor]:
        """The Jacobian of one output by each input: (*output shape, *input shape)."""
        basis = zeros(output.numel(), dtype=output.dtype, device=output.device)
        rows = []
        for i in range(output.numel()):
            one = basis.clone()
            one[i] = 1
            only = tuple(
                one.reshape(o.shape) if o is output else zeros_like(o) for o in self.outputs
            )
            rows.append(self.pull(only, create_graph, strict))
        if not rows:
            return [zeros(*output.shape, *x.shape, dtype=output.dtype) for x in self.inputs]
        return [
            stack(column).reshape((*output.shape, *x.shape))
            for column, x in zip(zip(*rows, strict=True), self.inputs, strict=True)
        ]

    def results(self, create_graph: bool) -> Tensors:
        return self.like_outputs(self.outputs, create_graph)

    def like_outputs(self, tensors: Any, create_graph: bool) -> Tensors:
        return _returned(tensors, self.several_outputs, create_graph)

    def like_inputs(self, tensors: Any, create_graph: bool) -> Tensors:
        return _returned(tensors, self.several_inputs, create_graph)


def _returned(tensors: Any, several: bool, create_graph: bool) -> Tensors:
    found = tuple(t if create_graph and mode.grad else t.detach() for t in tensors)
    return found if several else found[0]


def _filled(gradients: Any, like: tuple) -> tuple[Tensor, ...]:
    return tuple(zeros_like(x) if g is None else g for g, x in zip(gradients, like, strict=True))


def _tuple(tensors: Any) -> tuple:
    return tensors if isinstance(tensors, tuple) else (tensors,)


def _vectors(name: str, v: Tensors | None, like: tuple, what: str) -> tuple:
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise ShapeError(f"{name}: v may only be left out for one {what} with one element.")
        return (ones_like(like[0]),)
    vectors = _tuple(v)
    if len(vectors) != len(like):
        raise ShapeError(f"{name}: v has {len(vectors)} tensors, there are {len(like)} {what}s.")
    for i, (w, x) in enumerate(zip(vectors, like, strict=True)):
        if w.shape != x.shape:
            raise ShapeError(
                f"{name}: v[{i}] has shape {tuple(w.shape)}, the {what} {tuple(x.shape)}."
            )
    return vectors


def _scalar(name: str, func: Callable) -> Callable:
    def checked(*inputs: Tensor) -> Tensor:
        out = func(*inputs)
        if not isinstance(out, Tensor) or out.numel() != 1:
            raise ShapeError(f"{name}: the function must return one tensor with one element.")
        return out.reshape(())

    return checked
