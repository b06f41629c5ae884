"""A module to check: how it is made, what is declared about it, and what it gives."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

import minidl
from minidl import Tensor
from minidl.nn import Module
from minidl.testing import trees
from minidl.testing.compare import to_numpy
from minidl.testing.errors import SetupError

EXACT = {"rtol": 1e-9, "atol": 1e-11}  # float64, the same sums in another order


@dataclass(frozen=True)
class Case:
    """What a module's maker declares."""

    make: Callable[[], Module]
    train_differs: bool
    permutation_equivariant: int | None
    causal: int | None
    ignores_padding: Callable | None
    device: str
    shown: set[str] = field(default_factory=set)  # what some input could have refuted

    def module(self, seed: int = 0) -> Module:
        """A new module, in the type it was made in; minidl's generator is where that left it."""
        minidl.manual_seed(seed)
        module = self.make()
        if not isinstance(module, Module):
            raise SetupError(f"check_module: make() must give a Module, it gave {module!r}")
        return module.to(self.device)

    def tensor(self, array: np.ndarray) -> Tensor:
        return minidl.tensor(array, device=self.device)


def results_of(module: Module, inputs: tuple, seed: int = 2) -> list[np.ndarray]:
    """What a call gives, with the same random numbers for the same seed."""
    minidl.manual_seed(seed)
    with minidl.no_grad():
        return [to_numpy(t).copy() for t in trees.tensors([module(*inputs)])]
