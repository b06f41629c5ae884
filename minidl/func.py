"""Transformations of functions: their gradients, products with Jacobians, and loops over batches.

`grad(f)` is a function again, so they nest: `grad(grad(f))`, `vmap(grad(f))`. Arguments may be
tensors in tuples, lists and dicts, such as a module's parameters. `vmap` is a loop and a stack:
right, differentiable, and no faster than the loop.
https://docs.pytorch.org/docs/stable/func.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import autograd, tree
from .errors import ShapeError
from .names import lookup
from .ops import stack, unbind, zeros_like
from .random import default_generator
from .tape import Leaf, Node, Tensor, grad_mode
from .views import edge_of

__all__ = """
    functional_call grad grad_and_value hessian jacfwd jacrev jvp stack_module_state vjp vmap
""".split()

Argnums = int | tuple[int, ...]


# ------------------------------------------------------------------------------------- gradients


def grad(func: Callable, argnums: Argnums = 0, has_aux: bool = False) -> Callable:
    """The gradient of `func`, which returns one element, as a function of the same arguments.

    argnums: by which arguments; a tuple gives a tuple. An argument may be a tree of tensors, and so
        is then its gradient. has_aux: func returns (value, more), the gradient comes with `more`.
    """
    both = grad_and_value(func, argnums, has_aux)

    def gradient(*args: Any, **kwargs: Any) -> Any:
        found, value = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return gradient


def grad_and_value(func: Callable, argnums: Argnums = 0, has_aux: bool = False) -> Callable:
    """As `grad`, returning (gradient, value), or with has_aux (gradient, (value, more))."""

    def both(*args: Any, **kwargs: Any) -> Any:
        with _Level(args, argnums) as level:
            out = func(*level.args, **kwargs)
            value, aux = out if has_aux else (out, None)
            if not isinstance(value, Tensor) or value.numel() != 1:
                raise ShapeError("grad: the function must return one tensor with one element.")
            found = level.result(level.pull([value], None))
            value, aux = level.outside(value), tree.replace(level.outside, aux)
        return found, (value, aux) if has_aux else value

    return both


def vjp(func: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """(func(*primals), pull) with pull(v) = v^T J as a tuple, one per primal.

    v: like the output. has_aux: func returns (output, more); `more` is the third result.
    """
    with _Level(primals, tuple(range(len(primals)))) as level:
        out = func(*level.args)
        out, aux = out if has_aux else (out, None)
        outputs = tree.leaves(out)

    def pull(cotangents: Any) -> tuple:
        vs = tree.leaves(cotangents)
        if len(vs) != len(outputs):
            raise ShapeError(f"vjp: {len(outputs)} outputs, but {len(vs)} cotangents.")
        with grad_mode(True):
            return level.result(level.pull(outputs, vs))

    shown = tree.replace(level.outside, out)
    return (shown, pull, tree.replace(level.outside, aux)) if has_aux else (shown, pull)


def jvp(
    func: Callable, primals: tuple, tangents: tuple, *, strict: bool = False, has_aux: bool = False
) -> tuple:
    """(func(*primals), J tangents), by two backwards: u^T J is linear in u, its derivative is J v.

    has_aux: func returns (output, more); `more` is the third result.
    """
    vs = tree.leaves(tuple(tangents))
    with _Level(tuple(primals), tuple(range(len(primals)))) as level:
        if len(vs) != len(level.fresh):
            raise ShapeError(f"jvp: {len(level.fresh)} primals, but {len(vs)} tangents.")
        out = func(*level.args)
        out, aux = out if has_aux else (out, None)
        outputs = tree.leaves(out)
        dummies = [zeros_like(o).requires_grad_() for o in outputs]
        linear = level.pull(outputs, dummies, outside=False)
        pairs = [(x, v) for x, v in zip(linear, vs, strict=True) if x.requires_grad]
        found = [None] * len(dummies)
        if pairs:
            xs, us = zip(*pairs, strict=True)
            found = autograd.grad(xs, dummies, us, create_graph=True, allow_unused=True)
        filled = [zeros_like(o) if g is None else g for g, o in zip(found, outputs, strict=True)]
        tangent = tree.rebuild(out, [level.outside(g, dummies) for g in filled])
        shown, aux = tree.replace(level.outside, out), tree.replace(level.outside, aux)
    return (shown, tangent, aux) if has_aux else (shown, tangent)


def jacrev(
    func: Callable, argnums: Argnums = 0, *, has_aux: bool = False, chunk_size: int | None = None
) -> Callable:
    """The Jacobian of `func`: (*output shape, *input shape), one backward per output element.

    Trees of outputs and arguments give trees of trees. chunk_size asks for speed only.
    """

    def jacobian(*args: Any, **kwargs: Any) -> Any:
        with _Level(args, argnums) as level:
            out = func(*level.args, **kwargs)
            out, aux = out if has_aux else (out, None)
            blocks = tree.replace(level.rows, out)
            aux = tree.replace(level.outside, aux)
        return (blocks, aux) if has_aux else blocks

    return jacobian


def jacfwd(
    func: Callable,
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    chunk_size: int | None = None,
    randomness: str = "error",
) -> Callable:
    """The same Jacobian as `jacrev`, computed in the same way."""
    return jacrev(func, argnums, has_aux=has_aux)


def hessian(func: Callable, argnums: Argnums = 0) -> Callable:
    """The second derivatives of `func`: the Jacobian of the Jacobian."""
    return jacrev(jacrev(func, argnums), argnums)


class _Level:
    """One transformation: fresh inputs to differentiate by, cut off from the caller's tensors.

    A tensor that the caller differentiates by gets a new node on his graph, any other a new leaf.
    What is returned keeps its history if there is more in it than the new leaves.
    """

    def __init__(self, args: tuple, argnums: Argnums):
        self.argnums = argnums
        self.args = list(args)
        self.fresh: list[Tensor] = []
        self.mode = grad_mode(True)
        for i in self._numbers():
            self.args[i] = tree.replace(self._renewed, args[i])

    def _numbers(self) -> tuple[int, ...]:
        numbers = self.argnums if isinstance(self.argnums, tuple) else (self.argnums,)
        for n in numbers:
            if not -len(self.args) <= n < len(self.args):
                raise IndexError(f"argnums={n}, but the function was given {len(self.args)}.")
        return numbers

    def _renewed(self, x: Any) -> Tensor:
        if not isinstance(x, Tensor) or not x.is_floating_point():
            kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
            raise TypeError(f"only float tensors can be differentiated by, got {kind}.")
        with grad_mode(True):
            new = x.view_as(x) if x.requires_grad else x.detach().requires_grad_()
        self.fresh.append(new)
        return new

    def __enter__(self) -> _Level:
        self.mode.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.mode.__exit__(*exc)

    def pull(self, outputs: list, vs: list | None, outside: bool = True) -> list[Tensor]:
        """The gradients of the fresh inputs; zeros where there is none."""
        pairs = [(o, None if vs is None else vs[i]) for i, o in enumerate(outputs)]
        pairs = [(o, v) for o, v in pairs if o.requires_grad]
        found: Any = [None] * len(self.fresh)
        if pairs:
            used, given = zip(*pairs, strict=True)
            found = autograd.grad(
                used,
                self.fresh,
                None if vs is None else given,
                create_graph=True,
                allow_unused=True,
            )
        filled = [zeros_like(x) if g is None else g for g, x in zip(found, self.fresh, strict=True)]
        return [self.outside(g) for g in filled] if outside else filled

    def rows(self, output: Tensor) -> Any:
        """The Jacobian of one output: for each fresh input (*output shape, *input shape)."""
        flat = output.reshape(-1)
        rows = [self.pull([flat[i]], None) for i in range(flat.numel())]
        columns = (
            [stack(column) for column in zip(*rows, strict=True)]
            if rows
            else [x.detach().new_zeros(0, *x.shape) for x in self.fresh]
        )
        pairs = zip(columns, self.fresh, strict=True)
        return self.result([c.reshape((*output.shape, *x.shape)) for c, x in pairs])

    def result(self, gradients: list) -> Any:
        """Gradients in the structure of the arguments that they belong to."""
        rest = iter(gradients)
        numbers = self._numbers()
        found = tuple(tree.replace(lambda x: next(rest), self.args[i]) for i in numbers)
        return found if isinstance(self.argnums, tuple) else found[0]

    def outside(self, t: Any, more: list | None = None) -> Any:
        """`t` for the caller: without history, if that ends at leaves of this level only."""
        if not isinstance(t, Tensor) or not t.requires_grad:
            return t
        own = {edge_of(x) for x in [*self.fresh, *(more or [])]}
        return t if _reaches_others(edge_of(t), own) else t.detach()


def _reaches_others(edge: Node | Leaf | None, own: set) -> bool:
    """Whether a leaf that is not in `own` can be reached from here."""
    own_leaves = {e for e in own if isinstance(e, Leaf)}
    seen, stack = {edge}, [edge]
    while stack:
        at = stack.pop()
        if isinstance(at, Leaf):
            if at not in own_leaves:
                return True
            continue
        for below in at.edges:
            if below is not None and below not in seen:
                seen.add(below)
                stack.append(below)
    return False


# ----------------------------------------------------------------------------------------- loops


def vmap(
    func: Callable,
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable:
    """`func` for each slice of its arguments along `in_dims`, the results stacked along `out_dims`.

    in_dims: a dimension for all arguments, or one for each (a tree like the arguments); None passes
        an argument whole. randomness: "error" refuses random numbers in func, "different" draws for
        each slice, "same" repeats those of the first. chunk_size asks for speed only.
    """
    if randomness not in ("error", "different", "same"):
        raise ValueError(f"vmap: randomness is 'error', 'different' or 'same', not {randomness!r}.")

    def mapped(*args: Any, **kwargs: Any) -> Any:
        dims = _dims_like(in_dims, args)
        values = tree.leaves(args)
        sizes = {_size(x, d) for x, d in zip(values, dims, strict=True) if d is not None}
        if len(sizes) != 1:
            raise ShapeError(
                "vmap: the mapped dimensions must have one size, "
                + (f"got {sorted(sizes)}." if sizes else "and one argument must be mapped.")
            )
        count = sizes.pop()
        if count == 0:
            raise ShapeError("vmap: the mapped dimension is empty.")
        slices = [
            [x] * count if d is None else unbind(x, d) for x, d in zip(values, dims, strict=True)
        ]
        before = default_generator.get_state()
        results = []
        for row in zip(*slices, strict=True):
            if randomness == "same":
                default_generator.set_state(before)
            results.append(func(*tree.rebuild(args, list(row)), **kwargs))
        if randomness == "error" and (default_generator.get_state() != before).any():
            default_generator.set_state(before)
            raise RuntimeError(
                "vmap: the function draws random numbers; say randomness='different' or 'same'."
            )
        return _stacked(results, out_dims)

    return mapped


def _size(x: Any, dim: int) -> int:
    if not isinstance(x, Tensor) or not -x.ndim <= dim < x.ndim:
        what = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise ShapeError(f"vmap: in_dims asks for dimension {dim} of an argument of {what}.")
    return x.shape[dim]


def _dims_like(dims: Any, args: Any) -> list:
    """One dimension, or None, for each leaf of the arguments."""
    if dims is None or isinstance(dims, int):
        return [dims if isinstance(x, Tensor) else None for x in tree.leaves(args)]
    branches = list(args.values()) if isinstance(args, dict) else list(args)
    parts = [dims[key] for key in args] if isinstance(args, dict) else list(dims)
    if len(parts) != len(branches):
        raise ValueError(f"vmap: in_dims has {len(parts)} entries for {len(branches)} arguments.")
    return [d for part, arg in zip(parts, branches, strict=True) for d in _dims_of(part, arg)]


def _dims_of(part: Any, arg: Any) -> list:
    return (
        _dims_like(part, arg if isinstance(arg, (tuple, list, dict)) else (arg,))
        if (part is None or isinstance(part, int))
        else _dims_like(part, arg)
    )


def _stacked(results: list, out_dims: Any) -> Any:
    first = results[0]
    columns = list(zip(*(tree.leaves(r) for r in results), strict=True))
    for column in columns:
        if not isinstance(column[0], Tensor):
            raise TypeError(f"vmap: the function must return tensors, got {type(column[0])}.")
    several = isinstance(out_dims, (tuple, list))
    dims = list(out_dims) if several else [out_dims] * len(columns)
    if len(dims) != len(columns):
        raise ValueError(f"vmap: out_dims has {len(dims)} entries for {len(columns)} outputs.")
    stacked = [
        column[0] if d is None else stack(column, d)
        for column, d in zip(columns, dims, strict=True)
    ]
    return tree.rebuild(first, stacked)


# --------------------------------------------------------------------------------------- modules


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: dict | tuple | list,
    args: Any = None,
    kwargs: dict | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """module(*args, **kwargs) with these tensors in place of its parameters and buffers.

    parameter_and_buffer_dicts: names (as in `named_parameters`) to tensors; or several such dicts.
    tie_weights: a tensor that the module holds under two names is replaced under both.
    strict: all names must be given, and no others; without it others raise too.
    """
    from .nn.functional_call import called_with

    dicts = parameter_and_buffer_dicts
    merged: dict[str, Tensor] = {}
    for d in [dicts] if isinstance(dicts, dict) else dicts:
        twice = merged.keys() & d.keys()
        if twice:
            raise ValueError(f"functional_call: {sorted(twice)} are given twice.")
        merged.update(d)
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    return called_with(module, merged, args, kwargs or {}, tie_weights, strict)


def stack_module_state(models: list) -> tuple[dict, dict]:
    """(parameters, buffers) of equal modules, stacked under their names: for vmap over models."""
    if not models:
        raise ValueError("stack_module_state: expected at least one model.")
    if len({type(m) for m in models}) > 1:
        raise ValueError("stack_module_state: the models must be of one class.")
    parameters = [dict(m.named_parameters()) for m in models]
    buffers = [dict(m.named_buffers()) for m in models]
    return (
        {n: stack([p[n].detach() for p in parameters]).requires_grad_() for n in parameters[0]},
        {n: stack([b[n] for b in buffers]) for n in buffers[0]},
    )


__getattr__ = lookup(globals())
