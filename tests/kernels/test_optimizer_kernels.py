"""Kernels of the optimizers' steps and of clipping."""

import numpy as np
import pytest

import minidl
from minidl import kernels, optim
from minidl.nn import Parameter, utils
from minidl.optim.sgd import sgd_step
from tests import parity

CASES = {
    "sgd": lambda p: optim.SGD(p, 0.1),
    "sgd-decay": lambda p: optim.SGD(p, 0.1, weight_decay=0.1, maximize=True),
    "sgd-momentum": lambda p: optim.SGD(p, 0.1, momentum=0.9, dampening=0.3, weight_decay=0.1),
    "sgd-nesterov": lambda p: optim.SGD(
        p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.1, maximize=True
    ),
    "adam": lambda p: optim.Adam(p, 0.1),
    "adam-decay": lambda p: optim.Adam(p, 0.1, betas=(0.5, 0.9), weight_decay=0.1, maximize=True),
    "adam-amsgrad": lambda p: optim.Adam(p, 0.1, betas=(0.5, 0.6), amsgrad=True),
    "adamw": lambda p: optim.AdamW(p, 0.1, weight_decay=0.3, eps=0.1),
    "rmsprop": lambda p: optim.RMSprop(p, 0.1, weight_decay=0.1),
    "rmsprop-momentum": lambda p: optim.RMSprop(p, 0.1, momentum=0.9, maximize=True),
    "rmsprop-centered": lambda p: optim.RMSprop(p, 0.1, alpha=0.5, eps=0.1, centered=True),
    "rmsprop-both": lambda p: optim.RMSprop(
        p, 0.1, eps=0.1, weight_decay=0.1, momentum=0.5, centered=True
    ),
    "adagrad": lambda p: optim.Adagrad(p, 0.1, lr_decay=0.1, weight_decay=0.1, eps=0.1),
    "adadelta": lambda p: optim.Adadelta(p, 0.5, rho=0.5, eps=0.1, weight_decay=0.1, maximize=True),
    "adamax": lambda p: optim.Adamax(p, 0.1, maximize=True),
    "adamax-decay": lambda p: optim.Adamax(p, 0.1, betas=(0.5, 0.6), weight_decay=0.1),
    "nadam": lambda p: optim.NAdam(p, 0.1, weight_decay=0.1, momentum_decay=0.5),
    "nadam-decoupled": lambda p: optim.NAdam(
        p, 0.1, weight_decay=0.1, decoupled_weight_decay=True, maximize=True
    ),
    "radam": lambda p: optim.RAdam(p, 0.1, weight_decay=0.1),
    "radam-decoupled": lambda p: optim.RAdam(
        p, 0.1, weight_decay=0.1, decoupled_weight_decay=True, maximize=True
    ),
    # In its seventh step the length is 5, not more: the limit at which the rule changes.
    "radam-limit": lambda p: optim.RAdam(p, 0.1, betas=(0.9, 0.7678067796924252)),
    "asgd": lambda p: optim.ASGD(p, 0.1, lambd=0.1, t0=2, weight_decay=0.1),
    "rprop": lambda p: optim.Rprop(p, 0.1, step_sizes=(0.05, 0.2)),
    "rprop-maximize": lambda p: optim.Rprop(p, 0.1, etas=(0.3, 1.5), maximize=True),
}
every_case = pytest.mark.parametrize("make", CASES.values(), ids=CASES)
STEPS = 8  # RAdam's rule changes at the sixth


def course(make, shape, dtype, lay=lambda array: array, steps=STEPS):
    """The parameter, and the numbers of its state, after some steps."""
    draw = np.random.default_rng(0).standard_normal
    p = Parameter(minidl.from_numpy(lay(draw(shape).astype(dtype))))
    optimizer = make([p])
    for _ in range(steps):
        p.grad = minidl.from_numpy(draw(shape).astype(dtype))
        optimizer.step()
    state = optimizer.state[p]
    return [p.detach().numpy(), *(state[name].numpy() for name in sorted(state))]


def names_of_kernels(monkeypatch):
    """A list that fills with the names of the kernels that are asked for and used."""
    used, find = [], kernels.function

    def noting(name, like=None):
        kernel = find(name, like)
        if kernel is None:
            return None
        return lambda *args, **options: (used.append(name), kernel(*args, **options))[1]

    monkeypatch.setattr(kernels, "function", noting)
    return used


@every_case
@pytest.mark.parametrize("shape", [(0,), (61, 53), (10007,)], ids=str)
def test_step(make, shape, monkeypatch):
    used = names_of_kernels(monkeypatch)
    got = course(make, shape, np.float32)
    assert len(used) == STEPS or shape == (0,)
    with kernels.disabled():
        exact = course(make, shape, np.float64)
    for a, b in zip(got, exact, strict=True):
        parity.close(a, b, rtol=5e-6)


@pytest.mark.parametrize("size", [1, 4096, 4097])
def test_a_block_and_one_more_weight(size):
    (got, *_) = course(CASES["adam"], (size,), np.float32, steps=1)
    with kernels.disabled():
        (exact, *_) = course(CASES["adam"], (size,), np.float64, steps=1)
    parity.close(got, exact)


def test_nesterov_with_dampening():
    """SGD refuses it; its rule, which anyone may call, has a value for it."""
    arrays = np.random.default_rng(0).standard_normal((3, 7)).astype(np.float32)
    exact = arrays.astype(np.float64)
    options = {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.2}
    options |= {"nesterov": True, "maximize": False}
    kernels.function("sgd_step")(*arrays, **options)
    sgd_step(*exact, **options)
    parity.close(arrays, exact)


@every_case
def test_special_values(make):
    """nan and infinities among the gradients go where the definition says, also when the gradients
    after them are finite."""

    def run(dtype):
        g = np.ones(3000)
        g[:4] = np.nan, np.inf, -np.inf, 0.0
        p = Parameter(minidl.ones(3000, dtype=dtype))
        optimizer = make([p])
        for gradient in (g, g, np.ones(3000)):
            p.grad = minidl.tensor(gradient, dtype=dtype)
            optimizer.step()
        state = optimizer.state[p]
        return [p.detach().numpy(), *(state[name].numpy() for name in sorted(state))]

    with kernels.disabled():
        exact = run(minidl.float64)
    for a, b in zip(run(minidl.float32), exact, strict=True):
        parity.close(a, b)


@every_case
def test_same_bits_for_any_number_of_threads(make):
    from minidl.kernels.cpu import threads

    before, found = threads.count(), []
    for count in (1, 2):
        threads.set_count(count)
        found.append(course(make, (50021,), np.float32, steps=2))
    threads.set_count(before)
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


LAYOUTS = {
    "transposed": np.asfortranarray,
    "gaps": lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
    "backwards": lambda array: array[::-1].copy()[::-1],
}


@pytest.mark.parametrize("lay", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("name", ["sgd-momentum", "adam", "rmsprop"])
def test_parameters_anywhere_in_memory(name, lay):
    got = course(CASES[name], (60, 50), np.float32, lay)
    with kernels.disabled():
        exact = course(CASES[name], (60, 50), np.float64)
    for a, b in zip(got, exact, strict=True):
        parity.close(a, b, rtol=5e-6)


def test_two_parameters_on_the_same_memory():
    """One moves what the other one sees: each in turn, in their order."""

    def run(dtype):
        data = minidl.ones(3000, dtype=dtype)
        params = [Parameter(data), Parameter(data[:2500])]
        optimizer = optim.AdamW(params, 0.1, weight_decay=0.5)
        for p in params:
            p.grad = minidl.ones_like(p) * 0.3
        optimizer.step()
        return data.numpy()

    with kernels.disabled():
        exact = run(minidl.float64)
    assert exact[0] != exact[-1]
    parity.close(run(minidl.float32), exact)


def test_a_parameter_without_a_gradient_is_left_alone():
    p, q = Parameter(minidl.ones(3000)), Parameter(minidl.ones(3000))
    p.grad = minidl.ones(3000)
    optimizer = optim.Adam([p, q], 0.1)
    optimizer.step()
    assert (p != 1).all() and (q == 1).all()
    assert q not in optimizer.state


def test_a_state_of_another_shape_does_not_reach_the_kernel():
    p = Parameter(minidl.ones(3000))
    p.grad = minidl.ones(3000)
    optimizer = optim.Adam([p])
    optimizer.step()
    optimizer.state[p]["exp_avg"] = minidl.zeros(5)
    with pytest.raises(ValueError, match="broadcast"):
        optimizer.step()


# ----------------------------------------------------------------------------------- clipping


def with_gradients(*shapes, scale=1.0):
    draw = np.random.default_rng(0).standard_normal
    params = [Parameter(minidl.zeros(shape)) for shape in shapes]
    for p in params:
        p.grad = minidl.tensor(scale * draw(p.shape), dtype=minidl.float32)
    return params


SIZES = [(), (1,), (33, 17), (0,), (100003,)]


@pytest.mark.parametrize("most", [1.0, 1e6])
def test_clip_by_norm(most, monkeypatch):
    params = with_gradients(*SIZES)
    before = [p.grad.numpy().astype(np.float64) for p in params]
    norm = np.sqrt(sum((g**2).sum() for g in before))
    used = names_of_kernels(monkeypatch)
    total = utils.clip_grad_norm_(params, most)
    assert "square_sum" in used and total.dtype == minidl.float32
    assert total.item() == pytest.approx(norm, rel=1e-7)
    for p, g in zip(params, before, strict=True):
        parity.close(p.grad.numpy(), g * min(1, most / (norm + 1e-6)), atol=0)


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 8193])
def test_the_sum_of_squares_leaves_none_out(size):
    assert kernels.function("square_sum")(np.ones(size, np.float32)) == size


@pytest.mark.parametrize("factor", [0.0, 1.0, 2.0, -3.0])
def test_scale(factor):
    x = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
    expected = x * np.float32(factor)
    kernels.function("scale")(x, factor)
    np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_squares_neither_vanish_nor_overflow(scale):
    (p,) = with_gradients((5000,), scale=scale)
    exact = np.linalg.norm(p.grad.numpy().astype(np.float64))
    assert utils.clip_grad_norm_(p, 1.0).item() == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("special", [np.nan, np.inf])
def test_a_norm_that_is_not_finite(special):
    def run():
        params = with_gradients((3, 3), (5000,))
        params[1].grad[7] = special
        total = utils.clip_grad_norm_(params, 1.0)
        return [total.numpy(), *(p.grad.numpy() for p in params)]

    got = run()
    with kernels.disabled():
        exact = run()
    for a, b in zip(got, exact, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_norm_has_the_same_bits_for_any_number_of_threads():
    from minidl.kernels.cpu import threads

    before, found = threads.count(), []
    for count in (1, 2):
        threads.set_count(count)
        found.append(utils.get_total_norm([p.grad for p in with_gradients((300007,))]).item())
    threads.set_count(before)
    assert found[0] == found[1]


def test_clip_by_value(monkeypatch):
    params = with_gradients(*SIZES)
    params[2].grad[1, :3] = minidl.tensor([np.nan, np.inf, -np.inf])
    expected = [np.clip(p.grad.numpy(), -0.5, 0.5) for p in params]
    versions = [p.grad._version[0] for p in params]
    used = names_of_kernels(monkeypatch)
    utils.clip_grad_value_(params, 0.5)
    assert used
    for p, g, version in zip(params, expected, versions, strict=True):
        np.testing.assert_array_equal(p.grad.numpy(), g)
        assert p.grad._version[0] == version + 1


def test_gradients_left_to_the_definition():
    p = Parameter(minidl.zeros(40, 50))
    p.grad = minidl.ones(50, 40).t()
    q = Parameter(minidl.zeros(3, dtype=minidl.float64))
    q.grad = minidl.ones(3, dtype=minidl.float64)
    norm = np.sqrt(2003)
    assert utils.clip_grad_norm_([p, q], 1.0).item() == pytest.approx(norm)
    assert p.grad[3, 4].item() == pytest.approx(1 / norm, rel=1e-5)
    utils.clip_grad_value_([p, q], 1e-3)
    assert p.grad.max().item() == pytest.approx(1e-3)
