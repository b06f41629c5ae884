"""Writes minidl/testing/cupy14.txt: which names CuPy has, and what their arguments are called.

    pip install cupy-cuda12x==14.2.0
    python tests/gpu/make_names.py

CuPy imports without a GPU and a driver. A line is a name and its parameters as `parameters` writes
them; `ufunc` and, if it has that method, `at`; or `same` for what is NumPy's own object.
"""

import inspect
from pathlib import Path

import numpy as np

PATH = Path(__file__).parents[2] / "minidl" / "testing" / "cupy14.txt"
VERSION = "14.2.0"
# Functions of CuPy that NumPy has not, and that the backend calls.
OWN = ["asnumpy"]


def parameters(function) -> str:
    """`a axis= *rest * flag= **options`: those with `=` may be left out."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return "..."
    words, stars = [], False
    for p in found:
        if p.kind is p.VAR_POSITIONAL:
            words.append(f"*{p.name}")
            stars = True
        elif p.kind is p.VAR_KEYWORD:
            words.append(f"**{p.name}")
        else:
            if p.kind is p.KEYWORD_ONLY and not stars:
                words.append("*")
                stars = True
            words.append(p.name + ("" if p.default is p.empty else "="))
    return " ".join(words)


def from_docstring(method) -> str | None:
    """The parameters of a Cython method: the first line of its text is its signature."""
    line = (method.__doc__ or "").split("\n")[0]
    if "(self" not in line:
        return None
    inside = line[line.index("(self") + 5 : line.rindex(")")].lstrip(", ")
    words = []
    for part in filter(None, (p.strip() for p in inside.split(","))):
        name, equals, _ = part.partition("=")
        words.append(name.split()[-1] + equals)
    return " ".join(words)


def kind(cupy, name: str, numpys, cupys) -> str | None:
    if isinstance(cupys, cupy.ufunc):
        return "ufunc at" if cupys._scatter_op is not None else "ufunc"
    if cupys is numpys or isinstance(cupys, float | type(None) | bool):
        return "same"
    if inspect.ismodule(cupys) or not callable(cupys) or isinstance(cupys, type):
        return None
    return parameters(cupys)


def lines() -> list[str]:
    """The table, from the CuPy that is installed."""
    import cupy
    import cupyx.scipy.special
    import scipy.special

    spaces = [
        ("", np, cupy),
        ("linalg.", np.linalg, cupy.linalg),
        ("lib.stride_tricks.", np.lib.stride_tricks, cupy.lib.stride_tricks),
        ("special.", scipy.special, cupyx.scipy.special),
    ]
    found = []
    for prefix, numpys, cupys in spaces:
        names = OWN if not prefix else []
        for name in sorted(names + [n for n in dir(cupys) if hasattr(numpys, n)]):
            if not name.startswith("_"):
                text = kind(cupy, name, getattr(numpys, name, None), getattr(cupys, name))
                found += [f"{prefix}{name} {text}".rstrip()] if text is not None else []
    for name in dir(cupy.ndarray):
        if not name.startswith("_") and hasattr(np.ndarray, name):
            text = from_docstring(getattr(cupy.ndarray, name))
            found += [f"ndarray.{name} {text}".rstrip()] if text is not None else []
    return [f"# CuPy {VERSION}, written by tests/gpu/make_names.py", *found]


if __name__ == "__main__":
    PATH.write_text("\n".join(lines()) + "\n", encoding="utf-8")
    print(PATH)
