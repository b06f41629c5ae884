"""L-BFGS: Newton's method with curvature learned from the last gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..autograd import enable_grad, no_grad
from ..ops import cat, zeros
from ..tensor import Tensor
from .line_search import Point, strong_wolfe
from .optimizer import Optimizer
from .options import check_lr


def newton_direction(grad: Tensor, steps: list, changes: list, ro: list, scale: float) -> Tensor:
    """-H grad, where H estimates the inverse Hessian from steps s and changes y of the gradient.

        q = -grad
        newest pair first:  a_i = ro_i * (s_i . q),         q = q - a_i * y_i
        q = scale * q
        oldest pair first:  q = q + (a_i - ro_i * (y_i . q)) * s_i

    with ro_i = 1 / (s_i . y_i).

    Source: Nocedal and Wright, "Numerical Optimization", 2nd edition, 2006, algorithm 7.4.
    """
    pairs = list(zip(steps, changes, map(float, ro), strict=True))
    q, factors = -grad, []
    for s, y, r in reversed(pairs):
        factors.append(r * _dot(s, q))
        q = q - factors[-1] * y
    q = scale * q
    for (s, y, r), a in zip(pairs, reversed(factors), strict=True):
        q = q + (a - r * _dot(y, q)) * s
    return q


def _dot(a: Tensor, b: Tensor) -> float:
    return (a @ b).item()


class LBFGS(Optimizer):
    """L-BFGS, for losses of the whole data set: a step is up to `max_iter` iterations.

        direction = newton_direction(gradient, last history_size steps and changes of gradient)
        param = param + t * direction

    t is lr (in the very first iteration lr * min(1, 1 / sum(|gradient|))), or, with
    line_search_fn="strong_wolfe", what `strong_wolfe` finds from there. A step ends early after
    `max_eval` calls of the closure (default: 5 / 4 of max_iter), when no entry of the gradient is
    above tolerance_grad, and when the loss or all weights change by less than tolerance_change.

    One group only. State, under the first parameter: `func_evals`, `n_iter`, `d` (direction), `t`,
    `old_dirs` (changes of the gradient), `old_stps` (steps), `ro` (1 / (step . change)), `H_diag`,
    `prev_flat_grad`, `prev_loss`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.LBFGS.html
    """

    def __init__(
        self,
        params: Iterable,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    def _check_options(self, options: dict[str, Any]) -> None:
        check_lr(options["lr"])

    @property
    def _params(self) -> list[Tensor]:
        return self.param_groups[0]["params"]

    def _flat_grad(self) -> Tensor:
        return cat(
            [
                zeros(p.numel(), dtype=p.dtype, device=p.device)
                if p.grad is None
                else p.grad.detach().reshape(-1)
                for p in self._params
            ]
        )

    def _move(self, t: float, direction: Tensor) -> None:
        offset = 0
        for p in self._params:
            p.add_(direction[offset : offset + p.numel()].reshape(p.shape), alpha=t)
            offset += p.numel()

    def step(self, closure: Callable[[], Any]) -> Any:
        """Take up to max_iter iterations. Returns the loss at the beginning.

        closure: clears the gradients, computes the loss and its gradients, returns the loss.
        """
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        with no_grad():
            return self._iterate(enable_grad()(closure))

    def _iterate(self, closure: Callable[[], Any]) -> Any:
        group = self.param_groups[0]
        state = self.state[self._params[0]]
        first_loss = closure()
        state["func_evals"] = state.get("func_evals", 0) + 1
        state.setdefault("n_iter", 0)
        evals, loss, grad = 1, float(first_loss), self._flat_grad()
        if _largest(grad) <= group["tolerance_grad"]:
            return first_loss

        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            self._turn(state, grad, group["history_size"])
            direction, t = state["d"], float(group["lr"])
            if state["n_iter"] == 1:
                t *= min(1.0, 1.0 / grad.abs().sum().item())
            state.update(t=t, prev_flat_grad=grad, prev_loss=loss)
            here = Point(0.0, loss, grad, _dot(grad, direction))
            if here.slope > -group["tolerance_change"]:
                break

            if group["line_search_fn"] is not None:
                there, new_evals = self._search(closure, here, group["max_eval"] - evals)
                state["t"], loss, grad = there.t, there.loss, there.grad
                self._move(there.t, direction)
            else:
                self._move(t, direction)
                new_evals = int(iteration < group["max_iter"])  # the last one needs no gradient
                if new_evals:
                    loss, grad = float(closure()), self._flat_grad()
            evals += new_evals
            state["func_evals"] += new_evals

            if (
                evals >= group["max_eval"]
                or _largest(grad) <= group["tolerance_grad"]
                or _largest(direction) * abs(state["t"]) <= group["tolerance_change"]
                or abs(loss - here.loss) < group["tolerance_change"]
            ):
                break
        return first_loss

    def _turn(self, state: dict[str, Any], grad: Tensor, history_size: int) -> None:
        """Remember the last step and change of the gradient, and set the new direction `d`."""
        if state["n_iter"] == 1:
            state.update(d=-grad, old_dirs=[], old_stps=[], ro=[], H_diag=1)
            return
        change = grad - state["prev_flat_grad"]
        step = state["d"] * float(state["t"])
        product = _dot(change, step)
        if product > 1e-10:  # otherwise H would not be positive definite
            for name, new in ("old_dirs", change), ("old_stps", step), ("ro", 1 / product):
                state[name] = [*state[name], new][-history_size:]
            state["H_diag"] = product / _dot(change, change)
        pairs = state["old_stps"], state["old_dirs"], state["ro"]
        state["d"] = newton_direction(grad, *pairs, float(state["H_diag"]))

    def _search(self, closure: Callable, here: Point, max_tries: int) -> tuple[Point, int]:
        group, direction = self.param_groups[0], self.state[self._params[0]]["d"]
        if group["line_search_fn"] != "strong_wolfe":
            raise RuntimeError(
                f"LBFGS: line_search_fn={group['line_search_fn']!r}: "
                "only 'strong_wolfe' is supported"
            )
        saved = [p.clone() for p in self._params]

        def evaluate(t: float) -> Point:
            self._move(t, direction)
            loss, grad = float(closure()), self._flat_grad()
            for p, value in zip(self._params, saved, strict=True):
                p.copy_(value)
            return Point(t, loss, grad, _dot(grad, direction))

        return strong_wolfe(
            evaluate,
            here,
            float(self.state[self._params[0]]["t"]),
            reach=_largest(direction),
            max_tries=max_tries,
        )


def _largest(x: Tensor) -> float:
    return x.abs().max().item()
