"""`Module.state_dict` and `Module.load_state_dict`: names to tensors, and back."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..autograd import no_grad
from ..tensor import Tensor
from .parameter import Parameter

if TYPE_CHECKING:
    from .module import Module


class IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What `load_state_dict` returns: names the state dict did not have, and had too many."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


def save(module: Module, destination: Any, prefix: str, keep_vars: bool) -> Any:
    """Put the parameters and persistent buffers of `module` and its children into `destination`.

    The order is PyTorch's: a module's parameters, its buffers, then its children in their order.
    `destination._metadata` notes the version of each module's layout.
    """
    if destination is None:
        destination = OrderedDict()
        destination._metadata = OrderedDict()
    if hasattr(destination, "_metadata"):
        destination._metadata[prefix[:-1]] = {"version": module._version}
    for name, tensor in _own_state(module):
        destination[prefix + name] = tensor if keep_vars else tensor.detach()
    for name, child in module._modules.items():
        if child is not None:
            child.state_dict(
                destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars
            )
    return destination


def load(module: Module, state_dict: Mapping, strict: bool, assign: bool) -> IncompatibleKeys:
    """Copy the tensors of `state_dict` into `module`, after everything was checked."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
    metadata = getattr(state_dict, "_metadata", {})
    state_dict = dict(state_dict)
    plan: list[tuple[Module, str, Tensor, Tensor]] = []
    missing: list[str] = []
    unexpected: list[str] = []
    errors: list[str] = []

    for prefix, owner in _owners(module):
        owner._upgrade_state(state_dict, prefix, metadata.get(prefix[:-1], {}).get("version"))
        own = dict(_own_state(owner))
        for name, tensor in own.items():
            key = prefix + name
            if key not in state_dict:
                missing.append(key)
                continue
            problem = _problem(key, state_dict[key], tensor)
            if problem:
                errors.append(problem)
            else:
                plan.append((owner, name, tensor, state_dict[key]))
        unexpected += _unexpected(owner, own, state_dict, prefix)

    if strict:
        errors = [*_listed("Missing", missing), *_listed("Unexpected", unexpected), *errors]
    if errors:
        raise RuntimeError(
            f"Error(s) in loading state_dict for {type(module).__name__}:\n\t" + "\n\t".join(errors)
        )
    with no_grad():
        for owner, name, tensor, source in plan:
            if not assign:
                tensor.copy_(source)
            elif isinstance(tensor, Parameter):
                setattr(owner, name, Parameter(source.detach(), tensor.requires_grad))
            else:
                setattr(owner, name, source)
    return IncompatibleKeys(missing, unexpected)


def _own_state(module: Module) -> Iterator[tuple[str, Tensor]]:
    """The parameters and persistent buffers of `module` itself that are not None."""
    for name, param in module._parameters.items():
        if param is not None:
            yield name, param
    for name, buffer in module._buffers.items():
        if buffer is not None and name not in module._non_persistent_buffers_set:
            yield name, buffer


def _owners(module: Module, prefix: str = "") -> Iterator[tuple[str, Module]]:
    """`module` and all below it with the prefixes of their keys; a shared one comes up twice."""
    yield prefix, module
    for name, child in module._modules.items():
        if child is not None:
            yield from _owners(child, f"{prefix}{name}.")


def _problem(key: str, source: Any, tensor: Tensor) -> str | None:
    if not isinstance(source, Tensor):
        return (
            f'While copying the parameter named "{key}", expected a Tensor from the checkpoint but '
            f"received {type(source)}; minidl.tensor(...) makes one."
        )
    if source.shape != tensor.shape:
        return (
            f"size mismatch for {key}: copying a param with shape {source.shape} from checkpoint, "
            f"the shape in current model is {tensor.shape}."
        )
    return None


def _unexpected(owner: Module, own: dict, state_dict: dict, prefix: str) -> Iterator[str]:
    """Keys under `prefix` that name neither a tensor of `owner` nor something in a child of it."""
    for key in state_dict:
        if key.startswith(prefix):
            name, *below = key[len(prefix) :].split(".", 1)
            if name not in (owner._modules if below else own):
                yield key


def _listed(what: str, keys: list[str]) -> list[str]:
    names = ", ".join(f'"{key}"' for key in keys)
    return [f"{what} key(s) in state_dict: {names}. "] if keys else []
