"""What is damaged in a function: one small mistake at a time, made in its syntax tree.

The mistakes are those that people make in derivatives: a factor, a sign, a term left out, another
axis, an index that is off by one, a sum that is missing, operands the wrong way round. Each row of
`DAMAGES` takes a node and gives what to put in its place.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from minidl.testing.mutation.places import Place, is_negative_number, places, results


@dataclass(frozen=True)
class Damage:
    """One mistake. `before`, `after`: the statement (of a loop or an if, its first line)."""

    kind: str
    function: str
    line: int
    before: str
    after: str
    place: Place
    node: ast.AST


def damages(function: ast.AST, name: str) -> list[Damage]:
    """Every damage of a `def` or a lambda, of the functions inside it too; no two are equal."""
    found: dict[tuple, Damage] = {}
    for place, statement in places(function):
        for kind, where, node in _changes(place):
            ast.fix_missing_locations(ast.copy_location(node, where.node))
            before, line = _text(statement), where.node.lineno
            with where.holding(node):
                # A whole statement may have been replaced.
                after = _text(where.node if isinstance(node, ast.stmt) else statement)
            if after != before:
                key = statement.lineno, statement.col_offset, after
                found.setdefault(key, Damage(kind, name, line, before, after, where, node))
    return list(found.values())


def _changes(place: Place) -> Iterator[tuple[str, Place, ast.AST]]:
    if place.is_result:
        for value in results(place):
            if not _is_zero(value.node):
                for kind, row in OF_A_RESULT.items():
                    yield kind, value, row(value.node)
    for kind, rows in DAMAGES.items():
        for row in rows:
            for node in row(place.node):
                yield kind, place, node


def _text(node: ast.AST) -> str:
    return ast.unparse(node).splitlines()[0]


# -------------------------------------------------------------------------------- small trees


def _number(n: int) -> ast.AST:
    return ast.Constant(n)


def _binary(left: ast.AST, op: type, right: ast.AST) -> ast.AST:
    return ast.BinOp(left, op(), right)


def _is_zero(node: ast.AST) -> bool:
    """Whether it says `... * 0`: twice that is the same."""
    right = getattr(node, "right", None)
    return isinstance(right, ast.Constant) and right.value == 0 and isinstance(node.op, ast.Mult)


def _name_of(node: ast.AST) -> str:
    """The last part of a dotted name, "" for another expression."""
    return getattr(node, "id", getattr(node, "attr", ""))


# ------------------------------------------------------------------------------ of the result

OF_A_RESULT: dict[str, Callable[[ast.AST], ast.AST]] = {
    "times 2": lambda value: _binary(_number(2), ast.Mult, value),
    "sign": lambda value: ast.UnaryOp(ast.USub(), value),
    "zero": lambda value: _binary(_number(0), ast.Mult, value),
}


# ------------------------------------------------------------------------------- of arithmetic


def other_sign(node: ast.AST) -> Iterator[ast.AST]:
    """a + b: a - b, and the reverse; -a: a; x += a: x -= a"""
    other = {ast.Add: ast.Sub, ast.Sub: ast.Add}
    if isinstance(node, ast.BinOp) and type(node.op) in other:
        yield _binary(node.left, other[type(node.op)], node.right)
    if isinstance(node, ast.AugAssign) and type(node.op) in other:
        yield ast.AugAssign(node.target, other[type(node.op)](), node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield node.operand


def dropped_term(node: ast.AST) -> Iterator[ast.AST]:
    """a + b: a, b; a - b: a, -b; x += a: nothing, x = a"""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        yield node.left
        added = isinstance(node.op, ast.Add)
        yield node.right if added else ast.UnaryOp(ast.USub(), node.right)
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add | ast.Sub):
        yield ast.Pass()
        yield ast.Assign([node.target], node.value)


def dropped_factor(node: ast.AST) -> Iterator[ast.AST]:
    """a * b: a, b; a / b: a; a ** b: a; x *= a: nothing"""
    if isinstance(node, ast.BinOp) and isinstance(node.op, FACTORS):
        yield node.left
        if isinstance(node.op, ast.Mult):
            yield node.right
    if isinstance(node, ast.AugAssign) and isinstance(node.op, FACTORS):
        yield ast.Pass()


FACTORS = (ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)


def inverse_factor(node: ast.AST) -> Iterator[ast.AST]:
    """a * b: a / b, and the reverse; x *= a: x /= a"""
    other = {ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult}
    if isinstance(node, ast.BinOp) and type(node.op) in other:
        yield _binary(node.left, other[type(node.op)], node.right)
    if isinstance(node, ast.AugAssign) and type(node.op) in other:
        yield ast.AugAssign(node.target, other[type(node.op)](), node.value)


def swapped_operands(node: ast.AST) -> Iterator[ast.AST]:
    """a - b: b - a, and so for / // ** @; where(c, a, b): where(c, b, a)"""
    ordered = (ast.Sub, ast.Div, ast.FloorDiv, ast.Pow, ast.MatMult)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ordered):
        yield ast.BinOp(node.right, node.op, node.left)
    if isinstance(node, ast.Call):
        name, args = _name_of(node.func), node.args
        if name in ("where", "_where") and len(args) == 3:
            yield ast.Call(node.func, [args[0], args[2], args[1]], node.keywords)
        if name in ("matmul", "dot", "outer", "cross", "sub", "div") and len(args) == 2:
            yield ast.Call(node.func, args[::-1], node.keywords)


# ----------------------------------------------------------------------------- of calls and axes


def dropped_call(node: ast.AST) -> Iterator[ast.AST]:
    """f(x, ...): x; x.f(...): x; module.f(x, ...): x"""
    if isinstance(node, ast.Call) and not (_reduces(node) or _moves_axes(node) or _casts(node)):
        yield from _argument(node)


def missing_sum(node: ast.AST) -> Iterator[ast.AST]:
    """sum(x, ...): x, and so for mean, max and the like"""
    if isinstance(node, ast.Call) and _reduces(node):
        yield from _argument(node)


def _argument(call: ast.Call) -> Iterator[ast.AST]:
    """What a call works on, if that could stand for its result."""
    name = _name_of(call.func)
    if isinstance(call.func, ast.Name) and name in (*PYTHONS, *MODULE_OF):
        return
    if isinstance(call.func, ast.Attribute) and not _is_module(call.func.value):
        yield call.func.value
    elif call.args and not isinstance(call.args[0], ast.Starred):
        yield call.args[0]


# Python's own functions that give another kind of thing: len(x) cannot become x.
PYTHONS = set(dir(builtins)) - {"abs", "max", "min", "pow", "round", "sum"}
MODULES = ("np", "numpy", "math", "minidl", "torch", "F", "cp", "cupy", "scipy", "special", "ops")
MODULE_OF = ("xp", "_module", "special", "get_array_module")  # xp(x).exp(x)


def _is_module(node: ast.AST) -> bool:
    """Whether a name is that of a module, as in np.sum(x) or xp(x).sum(x)."""
    if isinstance(node, ast.Call):
        return _name_of(node.func) in MODULE_OF
    if isinstance(node, ast.Attribute):
        return _is_module(node.value)
    return _name_of(node) in MODULES


def _casts(call: ast.Call) -> bool:
    """Whether it changes only the type or where the numbers lie."""
    return _name_of(call.func) in CASTS or _name_of(call.func).startswith(("float", "int", "uint"))


# F and DOUBLE are what the kernels call np.float32 and np.float64.
CASTS = ("ascontiguousarray", "contiguous", "asarray", "astype", "array", "cast", "F", "DOUBLE")


def _reduces(call: ast.Call) -> bool:
    return _name_of(call.func).strip("_") in REDUCTIONS


REDUCTIONS = ("sum", "mean", "prod", "max", "min", "amax", "amin", "sum_to_shape", "unbroadcast")


def other_reduction(node: ast.AST) -> Iterator[ast.AST]:
    """x.sum(): x.mean(), and the reverse; max: min, and the reverse"""
    other = {"sum": "mean", "mean": "sum", "max": "min", "min": "max", "amax": "amin"}
    other |= {"amin": "amax", "maximum": "minimum", "minimum": "maximum"}
    other |= {"argmax": "argmin", "argmin": "argmax"}
    if isinstance(node, ast.Attribute) and node.attr in other:
        yield ast.Attribute(node.value, other[node.attr], node.ctx)


def other_axis(node: ast.AST) -> Iterator[ast.AST]:
    """dim=0: dim=-1; dim=(0, 1): dim=(0,), dim=(1,); the name `dim` as an argument: -1 - dim"""
    if isinstance(node, ast.Call):
        for i, value in enumerate(node.args):
            if _name_of(value) in AXES:
                args = [*node.args[:i], _mirrored(value), *node.args[i + 1 :]]
                yield ast.Call(node.func, args, node.keywords)
    if isinstance(node, ast.keyword) and node.arg in (*AXES, "dims", "axes"):
        for value in _other_axes(node.value):
            yield ast.keyword(node.arg, value)


AXES = ("dim", "dim0", "dim1", "dim2", "axis")


def _other_axes(value: ast.AST) -> Iterator[ast.AST]:
    if isinstance(value, ast.Tuple):
        for i in range(len(value.elts)):
            yield ast.Tuple([*value.elts[:i], *value.elts[i + 1 :]], ast.Load())
        return
    try:
        axis = ast.literal_eval(value)
    except ValueError:
        yield _mirrored(value)
        return
    if isinstance(axis, int):
        yield ast.parse("0" if axis == -1 else str(axis - 1), mode="eval").body


def _mirrored(value: ast.AST) -> ast.AST:
    """The axis that is as far from the other end; what is not a number stays."""
    code = ast.parse("-1 - axis if isinstance(axis, int) else axis", mode="eval").body
    return _Named("axis", value).visit(code)


class _Named(ast.NodeTransformer):
    def __init__(self, name: str, value: ast.AST):
        self.name, self.value = name, value

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return self.value if node.id == self.name else node


def dropped_transpose(node: ast.AST) -> Iterator[ast.AST]:
    """x.T: x; x.transpose(...), swapaxes(x, ...), permute: x"""
    if isinstance(node, ast.Attribute) and node.attr in ("T", "mT"):
        yield node.value
    if isinstance(node, ast.Call) and _moves_axes(node):
        yield from _argument(node)


def _moves_axes(call: ast.Call) -> bool:
    return _name_of(call.func) in ("transpose", "swapaxes", "permute", "t", "moveaxis", "movedim")


def other_keepdim(node: ast.AST) -> Iterator[ast.AST]:
    """True: False, and the reverse (keepdim, and every other switch)"""
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)


# ------------------------------------------------------------------- of numbers, indices, loops


def other_constant(node: ast.AST) -> Iterator[ast.AST]:
    """1: 2; 0.5: 1.5; -1: 0"""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield ast.Constant(node.value + 1)
    if is_negative_number(node):
        yield ast.parse(str(1 - node.operand.value), mode="eval").body


def other_index(node: ast.AST) -> Iterator[ast.AST]:
    """x[i]: x[i - 1]; x[a:b]: x[a - 1:b], x[a:b - 1]; range(n): range(n - 1)"""
    if isinstance(node, ast.Subscript):
        entries = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        for i, entry in enumerate(entries):
            for changed in _other_entries(entry):
                index = [*entries[:i], changed, *entries[i + 1 :]]
                whole = ast.Tuple(index, ast.Load()) if len(index) > 1 else index[0]
                yield ast.Subscript(node.value, whole, node.ctx)
    if isinstance(node, ast.Call) and _name_of(node.func) in ("range", "prange"):
        stop = min(len(node.args), 2) - 1
        args = [_one_less(a) if i == stop else a for i, a in enumerate(node.args)]
        yield ast.Call(node.func, args, node.keywords)


def _other_entries(entry: ast.AST) -> Iterator[ast.AST]:
    if isinstance(entry, ast.Slice):
        if entry.lower is not None:
            yield ast.Slice(_one_less(entry.lower), entry.upper, entry.step)
        if entry.upper is not None:
            yield ast.Slice(entry.lower, _one_less(entry.upper), entry.step)
    elif isinstance(entry, ast.Name | ast.BinOp):
        yield _one_less(entry)


def _one_less(node: ast.AST) -> ast.AST:
    return _binary(node, ast.Sub, _number(1))


# ------------------------------------------------------------------------------- of conditions


def turned_comparison(node: ast.AST) -> Iterator[ast.AST]:
    """a < b: a > b; a == b: a != b; a and b: a or b; not a: a; `if a`: `if not a`"""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in TURNED:
        yield ast.Compare(node.left, [TURNED[type(node.ops[0])]()], node.comparators)
    if isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    if isinstance(node, ast.Call) and _name_of(node.func) in ("logical_and", "logical_or"):
        other = "logical_or" if _name_of(node.func) == "logical_and" else "logical_and"
        field = "id" if isinstance(node.func, ast.Name) else "attr"
        func = type(node.func)(**{**dict(ast.iter_fields(node.func)), field: other})
        yield ast.Call(func, node.args, node.keywords)


TURNED = {
    ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.GtE, ast.GtE: ast.LtE,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip


def moved_edge(node: ast.AST) -> Iterator[ast.AST]:
    """a < b: a <= b, and so for the others"""
    other = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            if type(op) in other:
                ops = [*node.ops[:i], other[type(op)](), *node.ops[i + 1 :]]
                yield ast.Compare(node.left, ops, node.comparators)


def one_branch(node: ast.AST) -> Iterator[ast.AST]:
    """a if c else b: a, b"""
    if isinstance(node, ast.IfExp):
        yield node.body
        yield node.orelse


DAMAGES: dict[str, tuple[Callable[[ast.AST], Iterator[ast.AST]], ...]] = {
    "sign": (other_sign,),
    "dropped term": (dropped_term,),
    "dropped factor": (dropped_factor,),
    "inverse factor": (inverse_factor,),
    "swapped operands": (swapped_operands,),
    "missing sum": (missing_sum,),
    "other reduction": (other_reduction,),
    "swapped axis": (other_axis, dropped_transpose),
    "keepdim": (other_keepdim,),
    "dropped call": (dropped_call,),
    "off by one": (other_constant, other_index),
    "comparison": (turned_comparison, one_branch),
    "edge": (moved_edge,),
}
KINDS = list(dict.fromkeys([*OF_A_RESULT, *DAMAGES]))
