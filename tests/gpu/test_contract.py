"""Every call of an array module in minidl, held to the real CuPy: the name exists, the arguments
bind. CuPy imports and tells its signatures without a GPU and a driver.

A call is found where its module is: `xp(x).sum(...)`, `home.module.zeros(...)`, `m = xp(x)` and
then `m.sum(...)`, `special(x).erf(...)`, and `x._array.sum(...)` for methods. Names that are
computed (`getattr(xp, name)`) and methods of arrays in local variables are left to the stand-in.
"""

import ast
import inspect
from pathlib import Path

import make_names
import pytest

import minidl

cupy = pytest.importorskip("cupy", reason="the contract is CuPy's: pip install cupy-cuda12x")

ROOT = Path(minidl.__file__).parent
FOLDERS = ["ops", "kernels/cuda", "nn", "optim", "utils", "distributions", "autograd", "."]
FILES = [
    path
    for folder in FOLDERS
    for path in sorted((ROOT / folder).glob("*.py" if folder == "." else "**/*.py"))
]
MAKERS = {"xp", "module_of"}  # functions that return the array module
SPECIAL = {"special"}  # and the one that returns scipy.special
NAMES = {"xp", "m", "module"}  # parameters that it is passed in
UFUNC_OPTIONS = {"out", "dtype", "casting"}


def called(source: str) -> list[tuple[int, str, ast.Call]]:
    """(line, dotted name in CuPy, call) of each call that is found."""
    found = []
    for function in _scopes(_OnDevice().visit(ast.parse(source))):
        modules = _modules(function)
        for node in _own(function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                name = _name(node.func, modules)
                if name is not None:
                    found.append((node.lineno, name, node))
    return found


class _OnDevice(ast.NodeTransformer):
    """Without what `on_host` is given: that is for NumPy and SciPy."""

    def visit_Call(self, node):
        if getattr(node.func, "id", "") == "on_host":
            return ast.copy_location(ast.Constant(None), node)
        return self.generic_visit(node)


def _scopes(tree):
    return [tree] + [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.Lambda)]


def _own(scope):
    """The nodes of a function that are not those of a function inside it."""
    stack = list(ast.iter_child_nodes(scope))
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            stack += ast.iter_child_nodes(node)


def _modules(scope) -> set[str]:
    """The names that stand for the array module in this function."""
    names = {n.arg for n in _parameters(scope) if n.arg in NAMES and _untyped(n)}
    for node in _own(scope):
        if isinstance(node, ast.Assign) and _is_module(node.value, names):
            names |= {t.id for t in node.targets if isinstance(t, ast.Name)}
    return names


def _parameters(scope):
    return [] if isinstance(scope, ast.Module) else [*scope.args.args, *scope.args.kwonlyargs]


def _untyped(parameter) -> bool:
    return parameter.annotation is None or getattr(parameter.annotation, "id", "") == "Any"


def _is_module(node, names) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in MAKERS
    if isinstance(node, ast.Attribute):
        return node.attr == "module" and _is_backend(node.value)
    return isinstance(node, ast.Name) and node.id in names


def _is_backend(node) -> bool:
    if isinstance(node, ast.Call):
        return getattr(node.func, "id", "") in ("backend", "of")
    return isinstance(node, ast.Name) and node.id in ("home", "target")


def _name(node, modules) -> str | None:
    """ "linalg.qr" for `xp(x).linalg.qr`, None for what is no call of an array module."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
        if _is_module(node, modules):
            return ".".join(reversed(parts))
        if parts[-1] == "_array":
            return f"ndarray.{parts[-2]}" if len(parts) == 2 else None
    special = isinstance(node, ast.Call) and getattr(node.func, "id", "") in SPECIAL
    return "special." + ".".join(reversed(parts)) if special and parts else None


def problem(name: str, call: ast.Call) -> str | None:
    """What CuPy would say to the call, or None."""
    import cupyx.scipy.special

    spaces = {"special": cupyx.scipy.special, "ndarray": cupy.ndarray}
    first, _, rest = name.partition(".")
    value, owner = (spaces[first], None) if first in spaces else (cupy, None)
    for part in (rest if first in spaces else name).split("."):
        owner, value = value, getattr(value, part, None)
        if value is None:
            return f"CuPy has no {name}"
    given = [a for a in call.args if not isinstance(a, ast.Starred)]
    starred = len(given) < len(call.args) or any(k.arg is None for k in call.keywords)
    keywords = {k.arg for k in call.keywords if k.arg}
    if isinstance(owner, cupy.ufunc):
        return _problem_of_method(owner, name)
    if isinstance(value, cupy.ufunc):
        wrong = keywords - UFUNC_OPTIONS
        return f"{name} takes no {sorted(wrong)}" if wrong else None
    if first == "ndarray":
        return _problem_of_words(name, make_names.from_docstring(value), given, keywords)
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return None  # not bindable: existence is all that can be checked
    bind = signature.bind_partial if starred else signature.bind
    try:
        bind(*given, **dict.fromkeys(keywords))
    except TypeError as error:
        return f"{name}: {error}"
    return None


def _problem_of_method(ufunc, name: str) -> str | None:
    method = name.rpartition(".")[2]
    allowed = {
        "at": ufunc._scatter_op is not None,
        "reduce": ufunc in (cupy.add, cupy.multiply),
        "accumulate": ufunc in (cupy.add, cupy.multiply),
        "reduceat": ufunc is cupy.add,
    }
    return None if allowed.get(method, True) else f"CuPy has not implemented {name}"


def _problem_of_words(name, words, given, keywords) -> str | None:
    if words is None or "*" in words:
        return None
    names = [w.rstrip("=") for w in words.split()]
    wrong = keywords - set(names)
    if wrong or len(given) > len(names):
        return f"{name}({words}) takes no {sorted(wrong) or len(given)}"
    return None


def problems(source: str) -> list[str]:
    found = ((line, problem(name, call)) for line, name, call in called(source))
    return [f"line {line}: {text}" for line, text in found if text]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_cupy_has_what_is_called(path):
    assert problems(path.read_text(encoding="utf-8")) == []


def test_calls_are_found():
    calls = [name for path in FILES for _, name, _ in called(path.read_text(encoding="utf-8"))]
    assert len(calls) > 400
    assert {"where", "linalg.qr", "special.erf", "lib.stride_tricks.as_strided"} <= set(calls)


@pytest.mark.parametrize(
    "call",
    [
        "xp(x).sum(x, where=mask)",
        "xp(x).exp(x, where=mask)",
        "xp(x).vecdot(x, y)",
        "xp(x).take(x, i, mode='clip')",
        "xp(x).max(x, initial=0)",
        "xp(x).sort(x, stable=True)",
        "xp(x).var(x, correction=1)",
        "xp(x).clip(x, min=0)",
        "xp(x).zeros(3, device='cpu')",
        "xp(x).maximum.accumulate(x)",
        "xp(x).multiply.at(x, i, y)",
        "xp(x).linalg.svdvals(x)",
        "xp(x).linalg.norm(x, axis=0, dims=1)",
        "xp(x).block([x])",
        "special(x).airy(x)",
        "special(x).erf(x, where=mask)",
        "home.module.insert(x, 0, 1)",
        "t._array.sum(0, where=mask)",
        "t._array.setflags(write=True)",
        "m.unstack(x)",
        "module.seterr(all='ignore')",
    ],
)
def test_what_cupy_refuses_is_caught(call):
    assert problems(f"def f(x, y, i, mask, home, t, m):\n    module = xp(x)\n    return {call}")


@pytest.mark.parametrize(
    "call",
    [
        "xp(x).sum(x, axis=0, keepdims=True)",
        "xp(x).add.at(x, i, y)",
        "xp(x).exp(x, out=y, dtype='float32')",
        "xp(x).linalg.qr(x, mode='reduced')",
        "t._array.sum(0, keepdims=True)",
        "m.einsum('ij->i', x)",
        "torch.vecdot(x, y)",
    ],
)
def test_what_cupy_takes_is_not(call):
    assert problems(f"def f(x, y, i, t, m, torch):\n    return {call}") == []


def test_the_stand_ins_table_is_cupys():
    if cupy.__version__ != make_names.VERSION:
        pytest.fail(
            f"the table is that of CuPy {make_names.VERSION}, installed is {cupy.__version__}: put "
            "that into tests/gpu/make_names.py and run it"
        )
    assert make_names.PATH.read_text(encoding="utf-8").splitlines() == make_names.lines()
