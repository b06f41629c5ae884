"""A module's forward with other tensors in place of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..tape import Tensor
from .module import Module


def called_with(
    module: Module, tensors: dict, args: tuple, kwargs: dict, tie_weights: bool, strict: bool
) -> Any:
    """See `minidl.func.functional_call`."""
    own = _places(module)
    unknown = [name for name in tensors if name not in own]
    tensors = {name: value for name, value in tensors.items() if name in own}
    if strict and unknown:
        raise RuntimeError(f"functional_call: the module has no {', '.join(unknown)}.")
    chosen = _with_ties(module, own, tensors) if tie_weights else dict(tensors)
    missing = [name for name in own if name not in chosen]
    if strict and missing:
        raise RuntimeError(f"functional_call: strict, and {', '.join(missing)} are not given.")
    with _replaced(own, chosen):
        return module(*args, **kwargs)


def _places(module: Module) -> dict[str, tuple[dict, str]]:
    """Where each parameter and buffer is held: its dict and its key there."""
    places = {}
    for prefix, part in module.named_modules():
        for held in (part._parameters, part._buffers):
            for key, value in held.items():
                if value is not None:
                    places[f"{prefix}.{key}" if prefix else key] = (held, key)
    return places


def _with_ties(module: Module, own: dict, tensors: dict) -> dict[str, Tensor]:
    by_tensor: dict[int, Tensor] = {}
    for name, value in tensors.items():
        held, key = own[name]
        known = by_tensor.setdefault(id(held[key]), value)
        if known is not value:
            raise ValueError(f"functional_call: {name} is tied to another name's tensor.")
    return {
        name: by_tensor[id(held[key])]
        for name, (held, key) in own.items()
        if id(held[key]) in by_tensor
    }


@contextmanager
def _replaced(own: dict, chosen: dict) -> Iterator[None]:
    before = {name: own[name][0][own[name][1]] for name in chosen}
    try:
        for name, value in chosen.items():
            held, key = own[name]
            held[key] = value
        yield
    finally:
        for name, value in before.items():
            held, key = own[name]
            held[key] = value
