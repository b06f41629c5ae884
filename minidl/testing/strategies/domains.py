"""Where numbers may lie: away from kinks, poles and each other."""

import math
from dataclasses import dataclass

import numpy as np

SHORT_STEPS = [0.5**k for k in range(1, 24)]


@dataclass(frozen=True)
class Domain:
    """Numbers from [low, high], at least `gap` away from every kink; `distinct`: no two close.

        Domain(0.3, 3.0)            # for log
        Domain(kinks=(0.0,))        # for relu
        x in Domain(kinks=(0.0,))   # whether all numbers of an array are that far from 0

    distinct: any two of n numbers are at least (high - low) / (2n + 2) or 1/2 apart.
    """

    low: float = -2.0
    high: float = 2.0
    kinks: tuple[float, ...] = ()
    gap: float = 0.05
    distinct: bool = False

    def array(
        self, rng: np.random.Generator, shape: tuple[int, ...], short: bool = False
    ) -> np.ndarray:
        """float64 numbers of this domain; `short`: ones with few digits, no two of them equal."""
        size = math.prod(shape)
        grid = self._grid(size) if short else None
        if grid is not None:
            return rng.choice(grid, size, replace=False).reshape(shape)
        if self.distinct:
            steps = rng.permutation(size) + rng.uniform(-0.2, 0.2, size)
            return (self.low + (self.high - self.low) * (steps + 0.5) / max(size, 1)).reshape(shape)
        x = rng.uniform(self.low, self.high, shape)
        for kink in self.kinks:
            near = np.abs(x - kink) < self.gap
            x = np.where(near, kink + np.where(x < kink, -self.gap, self.gap) * 1.5, x)
        return np.asarray(x)

    def _grid(self, size: int) -> np.ndarray | None:
        """The multiples of 1/2, or of 1/4, ... in the domain: the first that are enough, if any."""
        enough = size if self.distinct else 2 * size
        for step in SHORT_STEPS:
            grid = np.arange(math.ceil(self.low / step), math.floor(self.high / step) + 1) * step
            grid = grid[[self._far(x) for x in grid]] if self.kinks else grid
            if len(grid) >= enough:
                return grid
        return None

    def _far(self, x: np.ndarray) -> bool:
        return all((np.abs(x - kink) >= self.gap).all() for kink in self.kinks)

    def __contains__(self, x: np.ndarray) -> bool:
        x = np.asarray(x)
        if not self._far(x) or (x < self.low).any() or (x > self.high).any():
            return False
        return not self.distinct or (np.diff(np.sort(x.ravel())) >= self._apart(x.size)).all()

    def _apart(self, count: int) -> float:
        return min(0.5, (self.high - self.low) / (2 * count + 2))


ANY = Domain()
POSITIVE = Domain(0.3, 3.0)
NOT_ZERO = Domain(kinks=(0.0,), gap=0.3)
DISTINCT = Domain(distinct=True)
