"""`Module.state_dict` and `Module.load_state_dict`: names to tensors, and back."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ..autograd import no_grad
from ..tensor import Tensor
from .parameter import Parameter

if TYPE_CHECKING:
    from .module import Module

EXTRA = "_extra_state"  # the key of what `get_extra_state` gives


class IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What `load_state_dict` returns: names the state dict did not have, and had too many."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


class Stateful:
    """The part of Module that names its tensors, and takes tensors by name."""

    _version = 1  # of the layout of the state dict

    def state_dict(
        self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Tensor]:
        """All parameters and persistent buffers by dotted name.

        The order is PyTorch's: a module's parameters, its buffers, then its children in their
        order. The tensors share memory with the module's own; keep_vars gives those themselves.
        `_metadata` of the result notes the version of each module's layout.
        """
        named = dict(zip(("destination", "prefix", "keep_vars"), args, strict=False))
        destination = named.get("destination", destination)
        prefix, keep_vars = named.get("prefix", prefix), named.get("keep_vars", keep_vars)
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, child in self._modules.items():
            if child is not None:
                child.state_dict(
                    destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars
                )
        for hook in self._state_dict_hooks.values():
            changed = hook(self, destination, prefix, metadata)
            destination = destination if changed is None else changed
        return destination

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy the tensors of `state_dict` into the parameters and buffers of the same names.

        strict: every name must occur on both sides. assign: take the tensors themselves instead of
        copying; make the optimizer afterwards then. Raises RuntimeError listing all missing and
        unexpected names and all wrong shapes; in that case nothing was loaded.
        """
        return load(self, state_dict, strict, assign)

    def get_extra_state(self) -> Any:
        """What else belongs into the state dict; a subclass that has it defines both methods."""
        raise RuntimeError("get_extra_state: define it in the subclass, with set_extra_state.")

    def set_extra_state(self, state: Any) -> None:
        """Takes what `get_extra_state` gave."""
        raise RuntimeError("set_extra_state: define it in the subclass, with get_extra_state.")

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Put the module's own tensors into `destination`; the children follow."""
        for name, tensor in _own_state(self):
            destination[prefix + name] = tensor if keep_vars else tensor.detach()
        if type(self).get_extra_state is not Stateful.get_extra_state:
            destination[prefix + EXTRA] = self.get_extra_state()

    def _load_from_state_dict(
        self,
        state_dict: dict,
        prefix: str,
        local_metadata: dict,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Take the module's own tensors from `state_dict`; the children follow.

        `load` gives `local_metadata` a list "steps" of what is to be done if all is well.
        """
        for hook, with_module in self._load_state_dict_pre_hooks.values():
            module = (self,) if with_module else ()
            notes = (missing_keys, unexpected_keys, error_msgs)
            hook(*module, state_dict, prefix, local_metadata, strict, *notes)
        self._upgrade_state(state_dict, prefix, local_metadata.get("version"))
        steps: list[Callable[[], Any]] = []
        own = dict(_own_state(self))
        for name, tensor in own.items():
            source = state_dict.get(prefix + name)
            if prefix + name not in state_dict:
                missing_keys.append(prefix + name)
                continue
            problem = _problem(prefix + name, source, tensor)
            if problem:
                error_msgs.append(problem)
            elif local_metadata.get("assign_to_params_buffers"):
                steps.append(partial(_assign, self, name, tensor, source))
            else:
                steps.append(partial(tensor.copy_, source))
        if type(self).set_extra_state is not Stateful.set_extra_state:
            own[EXTRA] = None
            if prefix + EXTRA in state_dict:
                steps.append(partial(self.set_extra_state, state_dict[prefix + EXTRA]))
            else:
                missing_keys.append(prefix + EXTRA)
        unexpected_keys += _unexpected(self, own, state_dict, prefix)
        if "steps" in local_metadata:
            local_metadata["steps"] += steps
        else:
            _do(steps)

    def _upgrade_state(self, state_dict: dict, prefix: str, version: int | None) -> None:
        """Add to `state_dict` what layouts before `_version` did not have. None: not recorded."""


def load(module: Module, state_dict: Mapping, strict: bool, assign: bool) -> IncompatibleKeys:
    """Copy the tensors of `state_dict` into `module`, after everything was checked."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
    metadata = getattr(state_dict, "_metadata", {})
    state_dict = OrderedDict(state_dict)
    missing: list[str] = []
    unexpected: list[str] = []
    errors: list[str] = []
    steps: list[Callable[[], Any]] = []
    owners = list(_owners(module))
    for prefix, owner in owners:
        notes = dict(metadata.get(prefix[:-1], {}), steps=steps)
        if assign:
            notes["assign_to_params_buffers"] = True
        owner._load_from_state_dict(state_dict, prefix, notes, True, missing, unexpected, errors)
    keys = IncompatibleKeys(missing, unexpected)
    hooks = [
        (hook, m) for _, m in reversed(owners) for hook in m._load_state_dict_post_hooks.values()
    ]
    if hooks and not errors:  # they may look at what was loaded, and change the lists of keys
        _do(steps)
        steps = []
    for hook, owner in hooks:
        hook(owner, keys)
    if strict:
        errors = [*_listed("Missing", missing), *_listed("Unexpected", unexpected), *errors]
    if errors:
        raise RuntimeError(
            f"Error(s) in loading state_dict for {type(module).__name__}:\n\t" + "\n\t".join(errors)
        )
    _do(steps)
    return keys


def _do(steps: list[Callable[[], Any]]) -> None:
    with no_grad():
        for step in steps:
            step()


def _assign(owner: Module, name: str, tensor: Tensor, source: Tensor) -> None:
    if isinstance(tensor, Parameter):
        source = Parameter(source.detach(), tensor.requires_grad)
    setattr(owner, name, source)


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
    if tensor.shape == () and source.shape == (1,):  # as numbers were once saved
        source = source[0]
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
