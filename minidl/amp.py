"""Mixed precision as PyTorch spells it: products in float16 on a GPU, weights in float32.

    scaler = GradScaler()
    with autocast("cuda"):
        loss = criterion(model(x), y)       # products in float16, see minidl/autocasting.py
    scaler.scale(loss).backward()           # float16 has no number below 6e-8: small gradients
    scaler.step(optimizer)                  # would vanish, so all are made larger, and divided by
    scaler.update()                         # the scale again before the step

Without a GPU both do nothing, as in PyTorch, and everything is float32.
Micikevicius et al., Mixed Precision Training, 2018, https://arxiv.org/abs/1710.03740;
https://docs.pytorch.org/docs/stable/amp.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from . import cuda, dtypes
from .autograd import no_grad
from .device import device_of, xp
from .tape import Tensor, bump, mode, named_like

__all__ = ["GradScaler", "autocast", "is_autocast_available"]


def is_autocast_available(device_type: str) -> bool:
    """Whether autocast works on a kind of device: on "cuda", if there is a GPU."""
    return device_type == "cuda" and cuda.is_available()


class autocast:
    """Within it, ops on tensors of a GPU choose their type; a context manager and a decorator.

    Products of matrices, convolutions and attention cast float32 operands to float16; softmax,
    losses, sums and norms cast float16 to float32. float64 stays. enabled=False switches it off
    within. dtype: float16 only; cache_enabled is taken for PyTorch's sake: weights are cast anew.
    Raises NotImplementedError for another dtype, and where it would have to compute in lower
    precision on the CPU.
    """

    def __init__(
        self,
        device_type: str,
        dtype: Any = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ):
        if enabled and device_type != "cuda":
            raise NotImplementedError(
                f"autocast({device_type!r}): on the CPU minidl computes in float32 only; pass "
                "enabled=False."
            )
        enabled = enabled and cuda.is_available()
        if enabled and dtype not in (None, dtypes.float16, "float16"):
            raise NotImplementedError(
                f"autocast: expected dtype=minidl.float16, got {dtype}; CuPy multiplies in no "
                "other type of 16 bits."
            )
        self._switches = device_type == "cuda"
        self._dtype = dtypes.F16 if enabled else None
        self._before: list[Any] = []

    def __enter__(self) -> autocast:
        self._before.append(mode.autocast)
        if self._switches:
            mode.autocast = self._dtype
        return self

    def __exit__(self, *exc: object) -> None:
        mode.autocast = self._before.pop()

    def __call__(self, function: Callable) -> Callable:
        def call(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return named_like(function, call)


class GradScaler:
    """Keeps small gradients from vanishing in float16.

    The loss is multiplied by a scale, and so are all gradients; `step` divides them by it. A step
    whose gradients hold inf or nan is left out, and the scale becomes backoff_factor times as
    large; after growth_interval steps without, growth_factor times as large.

    Whether to leave out a step has to be known on the host: `step` waits for the GPU, once.
    https://docs.pytorch.org/docs/stable/amp.html#gradient-scaling
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ):
        self._enabled = enabled and (device != "cuda" or cuda.is_available())
        if self._enabled and not (growth_factor > 1.0 and 0.0 < backoff_factor < 1.0):
            raise ValueError(
                f"GradScaler: expected backoff_factor < 1 < growth_factor, got {backoff_factor} "
                f"and {growth_factor}."
            )
        self._scale = float(init_scale)
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval, self._growth_tracker = growth_interval, 0
        # Since the last update, for each optimizer by its id: 0-d arrays that say whether a
        # gradient is finite, whether all are (once that is known here), and who made the step.
        self._checks: dict[int, list[Any]] = {}
        self._finite: dict[int, bool] = {}
        self._stepped: set[int] = set()

    def scale(self, outputs: Any) -> Any:
        """The outputs, a tensor or several in lists or tuples, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            return outputs * self._scale
        if isinstance(outputs, Iterable):
            scaled = [self.scale(x) for x in outputs]
            return scaled if isinstance(outputs, list) else tuple(scaled)
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    @no_grad()
    def unscale_(self, optimizer: Any) -> None:
        """Divides the gradients by the scale, in place: to be called by hand before clipping.

        Raises RuntimeError when called twice for a step, ValueError for gradients in float16.
        """
        if not self._enabled:
            return
        key = id(optimizer)
        if key in self._stepped:
            raise RuntimeError("unscale_() is being called after step().")
        if key in self._checks:
            raise RuntimeError(
                "unscale_() has already been called on this optimizer since the last update()."
            )
        checks = self._checks[key] = []
        for p in (p for group in optimizer.param_groups for p in group["params"]):
            if p._grad is None:
                continue
            array = p._grad._array
            if array.dtype == dtypes.F16:
                raise ValueError("Attempting to unscale FP16 gradients.")
            checks.append(xp(array).isfinite(array).all())
            array *= 1 / self._scale
            bump(p._grad)

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """optimizer.step(*args, **kwargs), unless a gradient is inf or nan: then None.

        Raises RuntimeError when called twice before `update`, and without any gradient.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        key = id(optimizer)
        if key in self._stepped:
            raise RuntimeError("step() has already been called since the last update().")
        if key not in self._checks:
            self.unscale_(optimizer)
        if not self._checks[key]:
            raise RuntimeError("No inf checks were recorded for this optimizer.")
        self._stepped.add(key)
        return optimizer.step(*args, **kwargs) if self._is_finite(key) else None

    def _is_finite(self, key: int) -> bool:
        """Whether all gradients of an optimizer are finite; waits once for each GPU they are on."""
        if key not in self._finite:
            on: dict[Any, list[Any]] = {}
            for check in self._checks[key]:
                on.setdefault(device_of(check), []).append(check)
            found = [xp(checks[0]).stack(checks).all().item() for checks in on.values()]
            self._finite[key] = all(found)
        return self._finite[key]

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Adapts the scale to what was found, or sets it; to be called once, after all steps.

        Raises RuntimeError if no gradients were unscaled since the last update.
        """
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = float(new_scale)
        elif not self._checks:
            raise RuntimeError("No inf checks were recorded prior to update.")
        elif not all(self._is_finite(key) for key in self._checks):
            self._scale *= self._backoff_factor
            self._growth_tracker = 0
        else:
            self._growth_tracker += 1
            if self._growth_tracker == self._growth_interval:
                larger = self._scale * self._growth_factor
                self._scale = larger if larger < 2.0**128 else self._scale  # it is to be a float32
                self._growth_tracker = 0
        self._checks.clear()
        self._finite.clear()
        self._stepped.clear()

    def is_enabled(self) -> bool:
        """Whether it scales at all."""
        return self._enabled

    def get_scale(self) -> float:
        """The scale; 1 if disabled."""
        return self._scale if self._enabled else 1.0

    def state_dict(self) -> dict[str, Any]:
        """Scale, factors, interval, and the steps since the scale changed; {} if disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale,
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave. Raises RuntimeError for that of a disabled one."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled "
                "instance of GradScaler."
            )
        self._scale = float(state_dict["scale"])
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._growth_tracker = state_dict["_growth_tracker"]
