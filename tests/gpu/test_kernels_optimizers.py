"""The steps of the optimizers and clipping by CUDA kernels, run by the shim."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import kernels
from minidl.nn import Parameter, utils
from minidl.testing import standin, to_numpy
from tests.gpu import shim
from tests.gpu.parity import TOLERANCES, on_shim
from tests.gpu.sources import needs_gxx
from tests.kernels.test_optimizer_kernels import CASES
from tests.parity import close

pytestmark = needs_gxx
STEPS = 7  # RAdam's rule changes at the sixth
SHAPES = [(1,), (3, 5), (255,), (257,), (2, 513)]


@pytest.fixture
def launched():
    """The instances launched within the test."""
    shim.launched.clear()
    return lambda: {instance.split("<")[0] for _, instance in shim.launched}


def course(make, shape, kind, device, gradients):
    """The parameter and the numbers of its state, after a step for each gradient."""
    p = Parameter(minidl.full(shape, 0.5, dtype=kind, device=device))
    optimizer = make([p])
    for g in gradients:
        p.grad = minidl.tensor(g.astype("float32"), device=device).to(kind)
        optimizer.step()
    state = optimizer.state[p]
    return [to_numpy(p.detach()), *(to_numpy(state[name]) for name in sorted(state))]


def compare(make, shape, kind, gradients):
    with on_shim() as device:
        got = course(make, shape, kind, device, gradients)
    with kernels.disabled():
        exact = course(make, shape, minidl.float64, "cpu", gradients)
    for a, b in zip(got, exact, strict=True):
        close(a, b, *TOLERANCES[str(kind)[7:]])


@pytest.mark.parametrize("kind", [minidl.float32, minidl.float64], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_courses(name, kind, launched):
    draw = np.random.default_rng(0).standard_normal
    compare(CASES[name], (3, 11), kind, draw((STEPS, 3, 11)))
    assert launched() == {name.replace("adamw", "adam").split("-")[0]}


@pytest.mark.parametrize("name", CASES)
@given(shape=st.sampled_from(SHAPES), seed=st.integers(0, 99))
def test_sizes(name, shape, seed):
    """Two steps, around the size of a block."""
    draw = np.random.default_rng(seed).standard_normal
    compare(CASES[name], shape, minidl.float32, draw((2, *shape)))


@pytest.mark.parametrize("name", CASES)
def test_special_values(name):
    """nan and infinities among the gradients go where the definition says, and stay there."""
    g = np.ones((3, 40))
    g[:2, :4] = np.nan, np.inf, -np.inf, 0.0
    compare(CASES[name], (40,), minidl.float32, g)


def test_nan_is_the_largest_number():
    g = np.ones((2, 40))
    g[0, 3] = np.nan
    compare(lambda p: minidl.optim.Adamax(p, 0.1), (40,), minidl.float32, g)


@pytest.mark.parametrize("name", ["sgd-momentum", "adam", "rmsprop"])
def test_a_step_neither_transfers_nor_waits(name):
    with on_shim() as device:
        p = Parameter(minidl.ones(300, device=device))
        optimizer = CASES[name]([p])
        p.grad = minidl.ones(300, device=device)
        optimizer.step()  # makes the state
        with standin.counted() as counts:
            optimizer.step()
    assert (counts.transfers, counts.synchronisations) == (0, 0)


def test_gradients_in_another_order_are_copied_and_parameters_left_to_the_definition(launched):
    with on_shim() as device:
        p = Parameter(minidl.ones(4, 6, device=device))
        q = Parameter(minidl.ones(6, 4, device=device).t())
        for parameter in (p, q):
            parameter.grad = minidl.arange(24.0, device=device).reshape(6, 4).t()
        minidl.optim.Adam([q], 0.1).step()
        assert not launched() & {"adam"}
        minidl.optim.Adam([p], 0.1).step()
        assert "adam" in launched()
        np.testing.assert_allclose(to_numpy(p.detach()), to_numpy(q.detach()), rtol=1e-6)


# ----------------------------------------------------------------------------------- clipping

SIZES = [(), (1,), (33, 17), (0,), (4097,)]


def with_gradients(device, kind, scale=1.0):
    draw = np.random.default_rng(0).standard_normal
    params = [Parameter(minidl.zeros(shape, dtype=kind, device=device)) for shape in SIZES]
    for p in params:
        g = np.asarray(scale * draw(p.shape)).astype("float32")
        p.grad = minidl.tensor(g, device=device).to(kind)
    return params


@pytest.mark.parametrize("kind", [minidl.float32, minidl.float64], ids=str)
@pytest.mark.parametrize("most", [1.0, 1e6])
@pytest.mark.parametrize("scale", [1, 1e30])
def test_clip_by_norm(most, scale, kind, launched):
    with on_shim() as device:
        params = with_gradients(device, kind, scale)
        before = [to_numpy(p.grad).astype(float) for p in params]
        versions = [p.grad._version[0] for p in params]
        with standin.counted() as counts:
            total = utils.clip_grad_norm_(params, most)
        after = [to_numpy(p.grad) for p in params]
    assert (counts.transfers, counts.synchronisations) == (0, 0)
    assert launched() >= {"square_sum", "scale"}
    norm = np.sqrt(sum((g**2).sum() for g in before))
    assert total.dtype == kind
    assert total.item() == pytest.approx(norm, rel=1e-6)
    for p, a, g, version in zip(params, after, before, versions, strict=True):
        close(a, g * min(1, most / (norm + 1e-6)), 1e-5, 0)
        assert p.grad._version[0] == version + 1


@pytest.mark.parametrize("special", [np.nan, np.inf])
def test_a_norm_that_is_not_finite(special):
    def run(device):
        params = with_gradients(device, minidl.float32)
        params[2].grad[3, 3] = special
        total = utils.clip_grad_norm_(params, 1.0)
        return [to_numpy(total), *(to_numpy(p.grad) for p in params)]

    with on_shim() as device:
        got = run(device)
    with kernels.disabled():
        exact = run("cpu")
    for a, b in zip(got, exact, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", [minidl.float32, minidl.float64], ids=str)
def test_clip_by_value(kind, launched):
    with on_shim() as device:
        params = with_gradients(device, kind)
        params[2].grad[1, :3] = minidl.tensor([np.nan, np.inf, -np.inf], device=device)
        expected = [np.clip(to_numpy(p.grad), -0.5, 0.5) for p in params]
        with standin.counted() as counts:
            utils.clip_grad_value_(params, 0.5)
        got = [to_numpy(p.grad) for p in params]
    assert (counts.transfers, counts.synchronisations) == (0, 0)
    assert launched() == {"clamp"}
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_gradients_left_to_the_definition(launched):
    with on_shim() as device:
        p = Parameter(minidl.zeros(40, 50, device=device))
        p.grad = minidl.ones(50, 40, device=device).t()
        q = Parameter(minidl.zeros(3, dtype=minidl.float64, device=device))
        q.grad = minidl.ones(3, dtype=minidl.float64, device=device)
        utils.clip_grad_norm_([p, q], 1.0)
        assert p.grad[3, 4].item() == pytest.approx(2003**-0.5, rel=1e-5)
        assert not launched() & {"square_sum", "scale"}
