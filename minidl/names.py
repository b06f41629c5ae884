"""What to say of a name that is not there: the nearest that is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches


def unknown(owner: str, name: str, known: Iterable[str], instead: str = "") -> AttributeError:
    """The error for `owner.name`. instead: what to use in its place, where that is known."""
    near = [] if name.startswith("_") else get_close_matches(name, known, 3, 0.6)
    near = [n for n in near if not n.startswith("_")]
    hint = instead or (f"Did you mean {' or '.join(near)}?" if near else "")
    return AttributeError(f"{owner} has no {name!r}." + (f" {hint}" if hint else ""))


def lookup(namespace: dict, instead: dict[str, str] | None = None) -> Callable:
    """The `__getattr__` of a module whose globals are `namespace`."""

    def __getattr__(name: str) -> object:
        raise unknown(namespace["__name__"], name, namespace, (instead or {}).get(name, ""))

    return __getattr__
