"""A function at one point: its Jacobian by finite differences and by backward."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from minidl.errors import ShapeError
from minidl.testing.finite import slope
from minidl.testing.function import Function

SEED = 0
ENOUGH = 24  # elements: points are added until their inputs together have as many,
MOST_POINTS = 12  # but no more points than these
MANY = 200  # elements, and points, to look closer


def near(a, b) -> bool:
    """Arrays equal to 1e-5."""
    if np.shape(a) != np.shape(b):
        return False
    scale = np.abs(b).max(initial=0.0)
    allowed = 1e-5 * np.maximum(np.abs(a), np.abs(b)) + 1e-7 * scale + 1e-9
    return bool(np.all(np.abs(a - b) <= allowed))


@dataclass
class Probe:
    """A function at one point, looked at as a function of one input."""

    function: Function
    point: list[np.ndarray]
    k: int
    complaint: str = ""  # what backward says of a wrong shape

    @property
    def name(self) -> str:
        return self.function.names[self.k]

    @property
    def x(self) -> np.ndarray:
        return self.point[self.k]

    @cached_property
    def flat(self) -> np.ndarray:
        return self.function.value(self.point)

    @property
    def y(self) -> np.ndarray | None:
        """The output, None if there are several."""
        shapes = self.function.shapes
        return self.flat.reshape(shapes[0]) if len(shapes) == 1 else None

    @cached_property
    def numeric(self) -> np.ndarray:
        """The Jacobian by finite differences, (elements of the outputs, elements of x)."""
        return self.jacobian(self.k)

    def jacobian(self, k: int, point: list | None = None) -> np.ndarray:
        return _jacobian(self.function, point or self.point, k)

    @cached_property
    def settles(self) -> bool:
        """Whether the function is defined here, and the finite differences settle."""
        try:
            defined = np.isfinite(self.flat).all() and np.isfinite(self.numeric).all()
            _ = self.pulled
            return bool(defined)
        except Exception:  # user code: whatever it raises, it is not defined here
            return False

    @cached_property
    def pull(self) -> Callable:
        """v -> the gradient of v . outputs by backward."""
        pull = self.function.puller(self.point, self.k)

        def pull_or_zeros(v):
            gradient = pull(v)
            return np.zeros(self.x.shape) if gradient is None else gradient

        return pull_or_zeros

    @cached_property
    def v(self) -> np.ndarray:
        """A random incoming gradient."""
        return np.random.default_rng(1).standard_normal(self.flat.shape)

    @cached_property
    def pulled(self) -> np.ndarray | None:
        """The gradient for v; None if backward fails because a shape is wrong."""
        try:
            return self.pull(self.v)
        except ShapeError as error:
            self.complaint = str(error)
            return None

    @cached_property
    def has_right_shape(self) -> bool:
        return self.pulled is not None and self.pulled.shape == self.x.shape

    @cached_property
    def analytic(self) -> np.ndarray:
        """The Jacobian by backward, from one-hot incoming gradients."""
        rows = [self.pull(one).ravel() for one in np.eye(self.flat.size)]
        return np.array(rows).reshape(self.flat.size, self.x.size)

    @property
    def difference(self) -> np.ndarray:
        return self.analytic - self.numeric

    @cached_property
    def is_wrong(self) -> bool:
        if not self.has_right_shape:
            return True
        allowed = 1e-6 + 1e-5 * np.abs(self.numeric)
        combined = np.abs(self.pulled.ravel() - self.v @ self.numeric)
        is_right = (np.abs(self.difference) <= allowed).all()
        is_odd = near(self.pull(-self.v), -self.pulled)
        return not (is_right and is_odd and (combined <= np.abs(self.v) @ allowed).all())

    def fits(self, point: list | None = None, sign: float = 1.0) -> bool:
        """Whether backward agrees with the slope at `point` in one direction: a quick look."""
        u = np.random.default_rng(2).standard_normal(self.x.shape)
        point = point or self.point
        slopes = _slope(self.function, point, self.k, u, self.function.value(point))
        return bool(near((self.pulled * u).sum(), sign * (self.v @ slopes)))

    def worst(self) -> str:
        if not self.has_right_shape:
            return "the gradient has the wrong shape"
        gap = np.nan_to_num(np.abs(self.difference), nan=np.inf)
        o, i = np.unravel_index(gap.argmax(), gap.shape)
        return (
            f"d out{_brackets(o, self.y)} / d {self.name}{_brackets(i, self.x)}:  "
            f"backward {self.analytic[o, i]:.6g}, finite differences {self.numeric[o, i]:.6g}"
        )


def _jacobian(function, point, k) -> np.ndarray:
    f0 = function.value(point)
    ones = np.eye(point[k].size).reshape(-1, *point[k].shape)
    columns = [_slope(function, point, k, one, f0) for one in ones]
    return np.array(columns).T.reshape(f0.size, point[k].size)


def _slope(function, point, k, direction, f0) -> np.ndarray:
    def along(t):
        return function.value([x + t * direction if i == k else x for i, x in enumerate(point)])

    return slope(along, f0, 1e-3, lambda n: 1e-6 + 1e-6 * np.abs(n))[0]


def _brackets(i, array) -> str:
    if array is None:
        return f"[{i}]"
    index = [int(j) for j in np.unravel_index(i, array.shape)]
    return str(index) if index else ""


# --------------------------------------------------------------------------------- where to look


def _near(rng, x):
    return x + 0.2 * rng.uniform(-1, 1, x.shape) * np.maximum(np.abs(x), 0.05)


# Numbers of both signs, then what logarithms and roots, then what probabilities need, then large
# ones, at last the region of the inputs that were given.
REGIONS: tuple[Callable, ...] = (
    lambda rng, x: 1.5 * rng.standard_normal(x.shape),
    lambda rng, x: rng.uniform(0.4, 2.5, x.shape),
    lambda rng, x: rng.uniform(0.1, 0.9, x.shape),
    lambda rng, x: 5 * rng.standard_normal(x.shape),
    _near,
)


def draw(function: Function, k: int, region: Callable, many: bool = False) -> list[Probe]:
    """Points of this kind where the function is defined and smooth, none if there seem to be none.

    At least two, and so many that their elements are enough.
    """
    rng = np.random.default_rng(SEED)
    size = max(function.point[k].size, 1)
    wanted = max(2, MANY // size if many else min(ENOUGH // size, MOST_POINTS))
    probes: list[Probe] = []
    for tries in range(2 * wanted + 4):
        probe = Probe(function, [region(rng, x) for x in function.point], k)
        if probe.settles:
            probes.append(probe)
        if len(probes) == wanted or (tries == 5 and not probes):
            break
    return probes
