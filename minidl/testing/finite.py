"""The slope of a function of one number, by finite differences that know their error.

Central differences at h and h/2 are extrapolated to an error of O(h^4); their disagreement bounds
the error. Where the one-sided slopes disagree, or the slope does not settle as h shrinks, there is
a kink.
"""

from collections.abc import Callable

import numpy as np

STEPS = (1.0, 0.1, 0.01, 0.001)  # times the largest step


class Kink(ArithmeticError):
    """Finite differences do not settle: the function has no derivative here."""


def slope(f: Callable, f0: np.ndarray, step: float, tolerance: Callable):
    """df/dt at t = 0 for an array-valued f, f0 = f(0): (slope, estimated error), both like f0.

    The steps shrink until every error is at most `tolerance(slope)`; raises Kink if none does.
    """
    best, best_error = np.zeros_like(f0), np.full_like(f0, np.inf)
    rounding = 1e-15 * np.where(np.isfinite(f0), np.abs(f0), 0.0)  # of each output
    for h in step * np.array(STEPS):
        up, down, half_up, half_down = f(h), f(-h), f(h / 2), f(-h / 2)
        coarse = _minus(up, down) / (2 * h)
        fine = _minus(half_up, half_down) / h
        estimate = fine + (fine - coarse) / 3
        # The two one-sided slopes differ by h f'' where f is smooth, by a constant at a kink.
        bend = (_minus(up, f0) - _minus(f0, down)) / h
        half_bend = (_minus(half_up, f0) - _minus(f0, half_down)) / (h / 2)
        moves = (up != f0) | (down != f0) | (half_up != f0) | (half_down != f0)
        error = np.abs(estimate - fine) + np.abs(2 * half_bend - bend) + moves * rounding / h
        better = error < best_error
        best[better], best_error[better] = estimate[better], error[better]
        if (best_error <= tolerance(best)).all():
            return best, best_error
    raise Kink(f"the slope is uncertain by {best_error.max():.3g}")


def _minus(a, b):
    """a - b, and zero for two equal infinities: such an output does not change."""
    with np.errstate(invalid="ignore"):
        return np.where(a == b, 0.0, a - b)
