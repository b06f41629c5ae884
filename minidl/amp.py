"""Mixed precision as PyTorch spells it. There is none here yet: everything is float32.

`autocast` and `GradScaler` are accepted where they are switched off, as PyTorch switches them off
for "cuda" on a machine without a GPU; switched on they would change numbers, so they raise.
https://docs.pytorch.org/docs/stable/amp.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import cuda
from .tape import Tensor, named_like

__all__ = ["GradScaler", "autocast", "is_autocast_available"]


def is_autocast_available(device_type: str) -> bool:
    """Whether autocast works on a kind of device: nowhere."""
    return False


class autocast:
    """Does nothing; a context manager and a decorator.

    Raises NotImplementedError where it would have to compute in lower precision.
    """

    def __init__(
        self,
        device_type: str,
        dtype: Any = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ):
        if enabled and (device_type != "cuda" or cuda.is_available()):
            raise NotImplementedError(
                f"autocast({device_type!r}): minidl computes in float32 only; pass enabled=False."
            )

    def __enter__(self) -> autocast:
        return self

    def __exit__(self, *exc: object) -> None: ...

    def __call__(self, function: Callable) -> Callable:
        def call(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return named_like(function, call)


class GradScaler:
    """Steps the optimizer as it is: float32 gradients need no scale."""

    def __init__(self, device: str = "cuda", enabled: bool = True, **options: float):
        if enabled and (device != "cuda" or cuda.is_available()):
            raise NotImplementedError(
                f"GradScaler({device!r}): minidl computes in float32 only; pass enabled=False."
            )

    def scale(self, outputs: Tensor) -> Tensor:
        """The outputs themselves."""
        return outputs

    def unscale_(self, optimizer: Any) -> None:
        """Nothing to divide by."""

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """optimizer.step()"""
        return optimizer.step(*args, **kwargs)

    def update(self, new_scale: float | None = None) -> None:
        """Nothing to adapt."""

    def is_enabled(self) -> bool:
        return False

    def get_scale(self) -> float:
        return 1.0

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state_dict: dict) -> None:
        """Nothing to restore."""
