"""L-BFGS and its line search. Trajectories: `test_trajectories.py`."""

import copy

import numpy as np
import pytest

import minidl
from minidl.optim import LBFGS
from minidl.optim.lbfgs import newton_direction
from minidl.optim.line_search import Point, cubic_minimum, strong_wolfe
from minidl.testing import to_numpy


def valley(optimizer, x):
    def closure():
        optimizer.zero_grad()
        loss = (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
        loss.backward()
        return loss

    return closure


def make(device="cpu", dtype=minidl.float64, **options):
    x = minidl.tensor([-1.2, 1.0, 2.0], dtype=dtype, device=device, requires_grad=True)
    optimizer = LBFGS([x], line_search_fn="strong_wolfe", **options)
    return x, optimizer, valley(optimizer, x)


def test_it_finds_the_minimum_of_rosenbrocks_valley(device):
    x, optimizer, closure = make(device, max_iter=100)
    first = optimizer.step(closure).item()
    np.testing.assert_allclose(to_numpy(x.detach()), 1.0, atol=1e-5)
    assert first == pytest.approx(100 * (0.44**2 + 1) + 2.2**2)
    evaluations = optimizer.state[x]["func_evals"]
    optimizer.step(closure)  # nothing left to do: the gradient is below tolerance_grad
    assert optimizer.state[x]["func_evals"] == evaluations + 1


def test_float32_and_several_shapes(device):
    a = minidl.tensor([[1.0, -2.0], [3.0, 0.5]], device=device, requires_grad=True)
    b = minidl.tensor(4.0, device=device, requires_grad=True)
    unused = minidl.ones(3, device=device, requires_grad=True)
    optimizer = LBFGS([a, unused, b])

    def closure():
        optimizer.zero_grad()
        loss = ((a - 1) ** 2).sum() + 3 * (b + a[0, 0]) ** 2
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    np.testing.assert_allclose(to_numpy(a.detach()), 1.0, atol=1e-4)
    np.testing.assert_allclose(to_numpy(b.detach()), -1.0, atol=1e-4)
    assert unused.tolist() == [1, 1, 1]
    assert a.dtype == optimizer.state[a]["d"].dtype == minidl.float32
    assert a.is_leaf and a.requires_grad


def test_the_direction_of_a_quadratic_is_newtons():
    """After n steps along conjugate directions H is the inverse Hessian exactly."""
    rng = np.random.default_rng(0)
    root = rng.standard_normal((3, 3))
    hessian = root @ root.T + np.eye(3)
    grad, *steps = (minidl.tensor(v) for v in rng.standard_normal((4, 3)))
    conjugate = []
    for s in steps:
        for c in conjugate:
            s = s - c * ((s @ minidl.tensor(hessian) @ c) / (c @ minidl.tensor(hessian) @ c))
        conjugate.append(s)
    changes = [minidl.tensor(hessian) @ s for s in conjugate]
    ro = [1 / (s @ y).item() for s, y in zip(conjugate, changes, strict=True)]
    direction = newton_direction(grad, conjugate, changes, ro, 1.0)
    np.testing.assert_allclose(to_numpy(direction), -np.linalg.solve(hessian, to_numpy(grad)))


@pytest.mark.parametrize("first", [1e-3, 0.1, 1.0, 8.0])
def test_the_wolfe_conditions_hold(first):
    """On a wavy line, from starts that are too short and too long."""
    none = minidl.zeros(1)

    def evaluate(t):
        loss = (t - 2) ** 2 + 0.5 * np.sin(3 * t)
        return Point(t, loss, none, 2 * (t - 2) + 1.5 * np.cos(3 * t))

    start = evaluate(0.0)
    found, evaluations = strong_wolfe(evaluate, start, first, reach=1.0)
    assert found.loss <= start.loss + 1e-4 * found.t * start.slope
    assert abs(found.slope) <= 0.9 * abs(start.slope)
    assert 1 <= evaluations < 10


def test_the_line_search_ends_when_it_may_not_look_further():
    points = []

    def evaluate(t):
        points.append(t)
        return Point(t, -t, minidl.zeros(1), -1.0)  # falls for ever

    found, evaluations = strong_wolfe(
        evaluate, Point(0.0, 0.0, minidl.zeros(1), -1.0), 1.0, reach=1.0, max_tries=0
    )
    assert points == [1.0]
    assert (found.t, evaluations) == (1.0, 1)


def test_cubic_minimum():
    def point(t):
        return Point(t, t**3 - 3 * t, minidl.zeros(1), 3 * t**2 - 3)

    assert cubic_minimum(point(0.0), point(3.0), 0.0, 3.0) == pytest.approx(1.0)
    assert cubic_minimum(point(3.0), point(0.0), 0.0, 3.0) == pytest.approx(1.0)
    assert cubic_minimum(point(0.0), point(3.0), 1.5, 3.0) == 1.5
    steep = Point(0.0, 0.0, minidl.zeros(1), 1.0), Point(1.0, 1.0, minidl.zeros(1), 1.0)
    assert cubic_minimum(*steep, 0.0, 4.0) == 2.0  # a straight line has none


def test_a_resumed_run_goes_on_bit_for_bit(tmp_path):
    x, optimizer, closure = make(max_iter=2)
    for _ in range(4):
        optimizer.step(closure)
    minidl.save(optimizer.state_dict(), tmp_path / "state.safetensors")
    saved = copy.deepcopy(optimizer.state_dict())
    here = x.tolist()
    for _ in range(4):
        optimizer.step(closure)
    for state in (saved, minidl.load(tmp_path / "state.safetensors")):
        y, again, again_closure = make(max_iter=2)
        with minidl.no_grad():
            y.copy_(minidl.tensor(here, dtype=minidl.float64))
        again.load_state_dict(state)
        for _ in range(4):
            again.step(again_closure)
        assert y.tolist() == x.tolist()


def test_state_has_pytorchs_names():
    x, optimizer, closure = make(max_iter=3)
    optimizer.step(closure)
    assert set(optimizer.state_dict()["state"][0]) == {
        "func_evals",
        "n_iter",
        "d",
        "t",
        "old_dirs",
        "old_stps",
        "ro",
        "H_diag",
        "prev_flat_grad",
        "prev_loss",
    }
    assert optimizer.param_groups[0]["max_eval"] == 3
    assert LBFGS([x]).param_groups[0]["max_eval"] == 25


def test_a_loaded_state_takes_the_parameters_dtype():
    _, optimizer, closure = make(max_iter=3)
    optimizer.step(closure)
    y, other, _ = make(dtype=minidl.float32, max_iter=3)
    other.load_state_dict(optimizer.state_dict())
    state = other.state[y]
    assert {t.dtype for t in [state["d"], *state["old_dirs"]]} == {minidl.float32}


def test_refusals():
    p, q = (minidl.ones(1, requires_grad=True) for _ in range(2))
    with pytest.raises(ValueError, match="doesn't support per-parameter options"):
        LBFGS([{"params": [p]}, {"params": [q]}])
    optimizer = LBFGS([p], line_search_fn="armijo")
    with pytest.raises(RuntimeError, match="'armijo': only 'strong_wolfe' is supported"):
        optimizer.step(lambda: (p**2).sum().backward() or 1.0)
    with pytest.raises(TypeError, match="closure"):
        optimizer.step()
