"""minidl.func: transformations and how they nest, against formulas."""

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.func import (
    functional_call,
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    stack_module_state,
    vjp,
    vmap,
)
from minidl.testing import to_numpy


def close(a, b):
    assert tuple(a.shape) == tuple(b.shape)
    np.testing.assert_allclose(to_numpy(a), to_numpy(b), rtol=1e-10, atol=1e-12)


@pytest.fixture
def x(device):
    return minidl.tensor([0.3, -1.2, 2.0], dtype=minidl.float64, device=device)


@pytest.fixture
def y(device):
    return minidl.tensor([1.5, 0.4, -0.7], dtype=minidl.float64, device=device)


def cube(x):
    return (x**3).sum()


def test_grad_is_a_function_again(x):
    close(grad(cube)(x), 3 * x**2)
    close(grad(lambda x: grad(cube)(x).sum())(x), 6 * x)
    close(grad(lambda x: grad(lambda x: grad(cube)(x).sum())(x).sum())(x), 6 + 0 * x)
    assert not grad(cube)(x).requires_grad
    assert x.grad is None and not x.requires_grad


def test_value_and_more(x, y):
    _, value = grad_and_value(cube)(x)
    close(value, cube(x))
    assert not value.requires_grad
    gradient, more = grad(lambda x: (cube(x), {"twice": 2 * x}), has_aux=True)(x)
    close(gradient, 3 * x**2)
    close(more["twice"], 2 * x)
    assert not more["twice"].requires_grad


def test_arguments_by_number_and_trees(x, y):
    def product(a, b):
        return (a * b).sum()

    close(grad(product, 1)(x, y), x)
    ga, gb = grad(product, (0, -1))(x, y)
    close(ga, y)
    close(gb, x)
    found = grad(lambda p: (p["w"] * y + p["rest"][0]).sum())({"w": x, "rest": [y, x]})
    close(found["w"], y)
    close(found["rest"][0], minidl.ones_like(y))
    close(found["rest"][1], minidl.zeros_like(x))


def test_a_tensor_of_the_code_around_it_keeps_its_history(x, y):
    z = y.clone().requires_grad_()
    out = grad(lambda x: (x * z).pow(2).sum())(x)  # 2 x z^2
    assert out.requires_grad
    out.sum().backward()
    close(z.grad, 4 * x * y)


def test_an_argument_that_requires_a_gradient(x):
    z = x.clone().requires_grad_()
    grad(cube)(z).sum().backward()
    close(z.grad, 6 * x)


def test_under_no_grad(x):
    with minidl.no_grad():
        close(grad(cube)(x), 3 * x**2)
        close(jvp(cube, (x,), (x,))[1], (3 * x**3).sum())


def test_vjp_and_jvp(x, y):
    out, pull = vjp(lambda a, b: (a * b, a.sum()), x, y)
    close(out[0], x * y)
    ga, gb = pull((x, minidl.ones_like(out[1])))
    close(ga, x * y + 1)
    close(gb, x * x)
    close(pull((2 * x, minidl.zeros_like(out[1])))[1], 2 * x * x)  # again
    out, tangent = jvp(lambda a, b: a * b.exp(), (x, y), (y, x))
    close(out, x * y.exp())
    close(tangent, y * y.exp() + x * y.exp() * x)
    assert not tangent.requires_grad


def test_jvp_of_a_part_that_does_not_depend(x, y):
    _, tangent = jvp(lambda a: {"a": a.detach() * 2, "b": a * 2}, (x,), (y,))
    close(tangent["a"], 0 * y)
    close(tangent["b"], 2 * y)


@pytest.mark.parametrize("jacobian", [jacrev, jacfwd])
def test_jacobians(jacobian, x, y):
    close(jacobian(lambda x: x**2)(x), minidl.diag(2 * x))
    close(jacobian(lambda x: x[:, None] * y)(x)[1, :, 1], y)
    blocks = jacobian(lambda a, b: {"p": a * b, "s": a.sum()}, (0, 1))(x, y)
    close(blocks["p"][0], minidl.diag(y))
    close(blocks["s"][1], 0 * y)
    close(hessian(cube)(x), minidl.diag(6 * x))


def test_vmap(x, y):
    rows = minidl.stack([x, y])
    close(vmap(minidl.dot)(rows, rows.flip(0)), minidl.dot(x, y) * minidl.ones_like(rows[:, 0]))
    close(vmap(lambda a, b: a * b, (0, None), 1)(rows, y), (rows * y).T)
    close(vmap(vmap(lambda a: a * a))(rows), rows * rows)
    close(vmap(grad(cube))(rows), 3 * rows**2)
    close(grad(lambda r: vmap(cube)(r).sum())(rows), 3 * rows**2)
    close(vmap(lambda d: d["a"] + d["b"], ({"a": 1, "b": None},))({"a": rows.T, "b": y}), rows + y)
    sums, parts = vmap(lambda a: (a.sum(), a), out_dims=(0, 1))(rows)
    close(sums, rows.sum(1))
    close(parts, rows.T)


def test_vmap_and_random_numbers(x):
    rows = minidl.stack([x, x, x])

    def noisy(a):
        return a + minidl.rand(3, dtype=minidl.float64, device=a.device)

    with pytest.raises(RuntimeError, match="random numbers"):
        vmap(noisy)(rows)
    same = vmap(noisy, randomness="same")(rows)
    close(same[0], same[2])
    different = vmap(noisy, randomness="different")(rows)
    assert (different[0] != different[1]).all()


def test_functional_call(device):
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).to(device)
    x = minidl.randn(4, 3, device=device)
    weights = {name: p.detach() * 2 for name, p in model.named_parameters()}
    out = functional_call(model, weights, x)
    before = [p.detach().clone() for p in model.parameters()]
    other = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).to(device)
    other.load_state_dict({**other.state_dict(), **weights})
    np.testing.assert_allclose(to_numpy(out), to_numpy(other(x)), rtol=1e-5, atol=1e-6)
    for p, b in zip(model.parameters(), before, strict=True):
        assert (p == b).all()  # the module has its own again
    gradients = grad(lambda w: functional_call(model, w, (x,)).pow(2).sum())(weights)
    assert gradients.keys() == weights.keys()
    with pytest.raises(RuntimeError, match=r"no 2\.weight"):
        functional_call(model, {"2.weight": x}, x, strict=True)
    assert functional_call(model, {"2.weight": x}, x).shape == (4, 2)
    with pytest.raises(RuntimeError, match=r"strict.*bias"):
        functional_call(model, {"0.weight": weights["0.weight"]}, x, strict=True)


def test_tied_weights_are_replaced_under_both_names():
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    model[1].weight = model[0].weight
    x, w = minidl.randn(2, 3), minidl.randn(3, 3)
    close(functional_call(model, {"0.weight": w}, x), x @ w.T @ w.T)
    once = functional_call(model, {"0.weight": w}, x, tie_weights=False)
    close(once, x @ w.T @ model[1].weight.T)


def test_an_ensemble_of_models(device):
    models = [nn.Linear(3, 2).to(device) for _ in range(4)]
    parameters, buffers = stack_module_state(models)
    x = minidl.randn(5, 3, device=device)
    out = vmap(lambda p: functional_call(models[0], p, x))(parameters)
    for row, model in zip(out, models, strict=True):
        np.testing.assert_allclose(to_numpy(row), to_numpy(model(x)), rtol=1e-5, atol=1e-6)
    assert buffers == {}


BAD = {
    "more than one element": (lambda x: grad(lambda x: x)(x), RuntimeError, "one element"),
    "no such argument": (lambda x: grad(cube, 1)(x), IndexError, "argnums=1"),
    "integers": (lambda x: grad(cube)(x.long()), TypeError, "float tensors"),
    "other sizes": (
        lambda x: vmap(lambda a, b: a)(minidl.stack([x, x]), x),
        ValueError,
        "one size",
    ),
    "nothing to map": (lambda x: vmap(cube, None)(x), ValueError, "one argument must be mapped"),
    "no such dimension": (lambda x: vmap(cube, 3)(x), ValueError, "dimension 3"),
    "not a tensor": (lambda x: vmap(lambda a: 1)(x), TypeError, "return tensors"),
    "too few tangents": (lambda x: jvp(minidl.mul, (x, x), (x,)), ValueError, "tangents"),
}


@pytest.mark.parametrize("case", BAD)
def test_errors(case, x):
    call, error, words = BAD[case]
    with pytest.raises(error, match=words):
        call(x)
