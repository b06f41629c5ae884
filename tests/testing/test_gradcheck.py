"""The gradient checks catch planted bugs, name them, and pass right derivatives."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted import (
    as_laid_out_in_memory,
    custom,
    leaf,
    normalized,
    normalized_backward,
    second_ignores_incoming,
    softmax_backward,
)

import minidl
from minidl.testing import (
    CheckError,
    GradientError,
    check_op,
    gradcheck,
    gradgradcheck,
    to_numpy,
)


def softmax(x):
    return minidl.softmax(x, -1)


def tanh_rule(g, y, x):
    return g * (1 - y * y)


def wrong_once(g, y, x):
    """tanh's derivative, one element off by 1 percent."""
    right = to_numpy(tanh_rule(g, y, x)).copy()
    right[-1, 3] *= 1.01
    return minidl.tensor(right)


RIGHT = {
    "tanh": (custom(minidl.tanh, tanh_rule), (leaf(3, 4),)),
    "softmax": (custom(softmax, softmax_backward), (leaf(3, 4),)),
    "batch norm": (custom(normalized, normalized_backward), (leaf(5, 3),)),
    "sub": (custom(lambda x, y: x - y, lambda g, out, x, y: (g, -g)), (leaf(3), leaf(3, seed=1))),
    "matmul": (
        custom(lambda x, y: x @ y, lambda g, out, x, y: (g @ y.t(), x.t() @ g)),
        (leaf(3, 3), leaf(3, 3, seed=1)),
    ),
}


def increased(x):
    """x after its numbers were raised by 1 behind the back of the tape."""
    array = to_numpy(x)
    array += 1
    return x


# name: (function, inputs, name of the input that must be named or None, words that must appear)
WRONG = {
    "softmax times 100": (
        custom(softmax, lambda g, y, x: 100 * softmax_backward(g, y, x)),
        (leaf(3, 4),),
        "input 0",
        "wrong derivative",
    ),
    "batch norm times 100": (
        custom(normalized, lambda g, y, x: 100 * normalized_backward(g, y, x)),
        (leaf(5, 3),),
        "input 0",
        "wrong derivative",
    ),
    "batch norm without the mean term": (
        custom(normalized, lambda g, y, x: normalized_backward(g, y, x, mean_term=0.0)),
        (leaf(5, 3),),
        "input 0",
        "wrong derivative",
    ),
    "batch norm without the scale term": (
        custom(normalized, lambda g, y, x: normalized_backward(g, y, x, scale_term=0.0)),
        (leaf(5, 3),),
        "input 0",
        "wrong derivative",
    ),
    "softmax without the sum": (
        custom(softmax, lambda g, y, x: g * y),
        (leaf(3, 4),),
        "input 0",
        "wrong derivative",
    ),
    "wrong sign": (
        custom(lambda x, y: x - y, lambda g, out, x, y: (g, g)),
        (leaf(3), leaf(3, seed=1)),
        "input 1",
        "backward 1, finite differences -1",
    ),
    "dropped term": (
        custom(lambda x: x * x.exp(), lambda g, y, x: g * x * x.exp()),
        (leaf(4),),
        "input 0",
        "wrong derivative",
    ),
    "transposed result": (
        custom(lambda x, y: x @ y, lambda g, out, x, y: ((g @ y.t()).t(), x.t() @ g)),
        (leaf(3, 3), leaf(3, 3, seed=1)),
        "input 0",
        "wrong derivative",
    ),
    "missing sum over a new axis": (
        custom(lambda x, y: x * y, lambda g, out, x, y: (g * y, (g * x)[0])),
        (leaf(3, 4), leaf(4, seed=1)),
        "input 1",
        "wrong derivative",
    ),
    "missing sum over an axis of one": (
        custom(lambda x, y: x * y, lambda g, out, x, y: (g * y, (g * x)[:, :1])),
        (leaf(3, 4), leaf(3, 1, seed=1)),
        "input 1",
        "wrong derivative",
    ),
    "mean in place of sum": (
        custom(lambda x: x.sum(0), lambda g, out, x: (g / 3).expand(3, 4).clone()),
        (leaf(3, 4),),
        "input 0",
        "wrong derivative",
    ),
    "detached output": (lambda x: x.tanh().detach(), (leaf(3),), None, "no output requires"),
    "constant output": (
        lambda x: minidl.ones(3, dtype=minidl.float64),
        (leaf(3),),
        None,
        "no output requires",
    ),
    "new tensor made from numbers": (
        lambda x: minidl.tensor(np.tanh(to_numpy(x))),
        (leaf(3),),
        None,
        "no output requires",
    ),
    "one input detached": (
        lambda x, y: x * y.detach(),
        (leaf(3), leaf(3, seed=1)),
        "y",
        "no gradient reaches y",
    ),
    "half detached": (lambda x: x * x.detach(), (leaf(3),), "x", "wrong derivative"),
    "ignored input": (
        lambda x, y: 2 * x,
        (leaf(3), leaf(3, seed=1)),
        "y",
        "does not depend on y",
    ),
    "zero gradient": (custom(minidl.exp, lambda g, y, x: 0 * g), (leaf(3),), "input 0", "wrong"),
    "ignores the incoming gradient": (
        custom(minidl.exp, lambda g, y, x: y.clone()),
        (leaf(3),),
        "input 0",
        "wrong derivative",
    ),
    "not linear in the incoming gradient": (
        custom(lambda x: 2 * x, lambda g, y, x: 2 * g * g.abs()),
        (leaf(3),),
        "input 0",
        "wrong derivative",
    ),
    "linear for each output alone only": (
        custom(lambda x: x * 1, lambda g, y, x: g.sum() * (g != 0)),
        (leaf(3),),
        "input 0",
        "(v . out), v random",
    ),
    "not a number": (
        custom(lambda x: x * 1, lambda g, y, x: g * minidl.log(x)),
        (leaf(3),),
        "input 0",
        "backward nan",
    ),
    "input changed by the forward": (lambda x: x.detach().mul_(2) * x, (leaf(3),), None, "changed"),
    "input changed by backward": (
        custom(lambda x: x * 2, lambda g, y, x: 2 * g + 0 * increased(x)),
        (leaf(3),),
        None,
        "changed",
    ),
    "incoming gradient changed": (
        custom(lambda x: x * 2, lambda g, y, x: g.mul_(2)),
        (leaf(3),),
        None,
        "changed the incoming gradient",
    ),
    "float32 output": (lambda x: x.float(), (leaf(3),), None, "float32"),
    "reads past the strides": (
        custom(lambda x: x * 1, lambda g, y, x: minidl.tensor(as_laid_out_in_memory(g).copy())),
        (leaf(3, 4),),
        "input 0",
        "not contiguous",
    ),
    "random result": (
        lambda x: x * float(np.random.default_rng().uniform()),
        (leaf(3),),
        None,
        "two calls",
    ),
    "random gradient": (
        custom(lambda x: x * 1, lambda g, y, x: g * float(np.random.default_rng().uniform())),
        (leaf(3),),
        "input 0",
        "two equal backward calls",
    ),
    "one element of a large input": (
        custom(minidl.tanh, wrong_once),
        (leaf(40, 30),),
        "input 0",
        "input 0[39, 3]",
    ),
    "nan output": (lambda x: minidl.log(x - 100), (leaf(3),), None, "nan"),
}


@pytest.mark.smoke
@pytest.mark.parametrize("name", RIGHT)
def test_right_derivatives_pass(name):
    function, inputs = RIGHT[name]
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


@pytest.mark.smoke
@pytest.mark.parametrize("name", WRONG)
def test_planted_bug_is_caught_and_named(name):
    function, inputs, input, words = WRONG[name]
    with pytest.raises(GradientError) as caught:
        gradcheck(function, inputs)
    assert caught.value.input == input
    assert words.lower() in str(caught.value).lower()
    assert not gradcheck(function, inputs, raise_exception=False)


@pytest.mark.smoke
@pytest.mark.parametrize("seed", range(5))
def test_every_seed_catches_softmax_times_100(seed):
    function = custom(softmax, lambda g, y, x: 100 * softmax_backward(g, y, x))
    for shape in [(2,), (3, 4), (20, 10)]:  # entry by entry, and by random projections
        with pytest.raises(GradientError):
            gradcheck(function, (leaf(*shape, seed=seed),), seed=seed)


def test_error_has_element_and_values():
    def third_is_tripled(g, y, x):
        return g * y * minidl.tensor([1.0, 1.0, 3.0, 1.0], dtype=minidl.float64)

    x = leaf(4)
    with pytest.raises(GradientError) as caught:
        gradcheck(custom(minidl.exp, third_is_tripled, "my_exp"), (x,))
    error = caught.value
    assert (error.op, error.input, error.index) == ("my_exp", "input 0", (2,))
    assert error.numeric == pytest.approx(np.exp(to_numpy(x)[2]), rel=1e-6)
    assert error.analytic == pytest.approx(3 * error.numeric, rel=1e-6)
    assert "my_exp: wrong derivative with respect to input 0" in str(error)
    assert "d out[2] / d input 0[2]:  backward" in str(error)


def first_right_second_detached(g, y, x):
    return g * (1 - y.detach() * y.detach())


@pytest.mark.smoke
@pytest.mark.parametrize("backward", [first_right_second_detached, second_ignores_incoming])
def test_wrong_second_derivative_under_a_right_first(backward):
    function = custom(minidl.tanh, backward)
    assert gradcheck(function, (leaf(3),))
    with pytest.raises(GradientError, match=r"derivative of (custom|Custom)"):
        gradgradcheck(function, (leaf(3),))


def test_gradient_without_graph_must_equal_gradient_with_graph():
    def backward(g, y, x):
        return g * (1 - y * y) * (1.0 if minidl.is_grad_enabled() else 1.001)

    with pytest.raises(GradientError, match="two calls"):
        gradgradcheck(custom(minidl.tanh, backward), (leaf(3),))


def test_planted_bug_in_a_rule_of_minidl(monkeypatch):
    """The rule of exp itself, damaged: the op's own record of rules is what gradcheck tests."""
    from minidl.tape import Rule

    op = minidl.exp.op
    assert gradcheck(minidl.exp, (leaf(3),))
    monkeypatch.setattr(op, "rules", [Rule(op, lambda g, out: g)])
    with pytest.raises(GradientError) as caught:
        gradcheck(minidl.exp, (leaf(3),))
    assert caught.value.op == "exp"
    assert caught.value.input == op.inputs[0]


def test_kinks_are_left_alone():
    """At a kink there is no derivative to compare with: the check moves, and passes."""
    zeros = minidl.zeros(5, dtype=minidl.float64, requires_grad=True)
    near = minidl.tensor([1e-9, -1e-7, 1e-5, 0.0], dtype=minidl.float64, requires_grad=True)
    ties = minidl.tensor([[1.0, 1.0, 0.0], [2.0, 2.0, 2.0]], dtype=minidl.float64)
    for function in (minidl.relu, minidl.abs, lambda x: minidl.clamp(x, 0.0, 1.0)):
        assert gradcheck(function, (zeros,))
        assert gradcheck(function, (near,))
    assert gradcheck(lambda x: x.max(1)[0], (ties.requires_grad_(),))
    assert gradcheck(lambda x: x.amax(1), (ties,))


def test_a_kink_does_not_hide_a_wrong_derivative():
    leaky = custom(minidl.relu, lambda g, y, x: g * (y > 0) + 0.1 * g * (y <= 0))
    zeros = minidl.zeros(5, dtype=minidl.float64, requires_grad=True)
    with pytest.raises(GradientError):
        gradcheck(leaky, (zeros,))


def test_nowhere_smooth_is_refused():
    def sawtooth(x):
        return x * 0 + minidl.tensor(np.modf(1e9 * np.sin(1e4 * to_numpy(x.detach())))[0])

    with pytest.raises(GradientError, match="no derivative to compare with"):
        gradcheck(sawtooth, (leaf(3),))


def test_hidden_rounding_to_float32_is_caught():
    with pytest.raises(GradientError):
        gradcheck(lambda x: x.float().double(), (leaf(3),))


def test_steep_and_flat_functions_pass():
    near_zero = minidl.tensor([0.003, 0.02, 0.7], dtype=minidl.float64, requires_grad=True)
    for function in (minidl.log, minidl.sqrt, minidl.reciprocal):
        assert gradcheck(function, (near_zero,))
        assert gradgradcheck(function, (near_zero,))
    assert gradcheck(lambda x: (1e3 * x).sin(), (leaf(3),))
    assert gradcheck(lambda x: 1e5 + x, (leaf(3),))
    assert gradcheck(lambda x: minidl.floor(x), (leaf(3),))
    assert gradcheck(lambda x: x.masked_fill(x > 0, -float("inf")), (leaf(6),))


def test_lists_several_outputs_and_other_arguments():
    a, b = leaf(2, 3), leaf(4, 3, seed=1)
    assert gradcheck(minidl.cat, ([a, b], 0))
    assert gradcheck(lambda x, y: (x * y, y.exp(), x.argmax()), (leaf(3), leaf(3, seed=1)))
    assert gradcheck(partial(minidl.sum, dim=0), (a,))
    assert gradcheck(lambda x, n: x * n, (a, minidl.tensor([1, 2, 3])))
    assert gradgradcheck(minidl.cat, ([a, b], 0))


def test_names_inside_lists():
    def backward(g, out, x, y):
        return g[:2], 2 * g[2:]

    def cat(tensors):
        return custom(lambda x, y: minidl.cat([x, y]), backward)(*tensors)

    with pytest.raises(GradientError) as caught:
        gradcheck(cat, ([leaf(2), leaf(3, seed=1)],))
    assert caught.value.input == "tensors[1]"


def test_zero_size_and_zero_dimensions():
    assert gradcheck(minidl.tanh, (leaf(0, 3),))
    assert gradcheck(minidl.tanh, (leaf(),))
    assert gradgradcheck(lambda x: x.sum() * x.sum(), (leaf(0, 3),))


def test_misuse_says_what_to_do():
    with pytest.raises(ValueError, match="no input of tanh requires a gradient"):
        gradcheck(minidl.tanh, (minidl.zeros(3, dtype=minidl.float64),))
    with pytest.raises(ValueError, match="need float64"):
        gradcheck(minidl.tanh, (minidl.zeros(3, requires_grad=True),))


def test_inputs_are_left_alone():
    x = leaf(3)
    before = to_numpy(x).copy()
    gradcheck(minidl.tanh, x)
    gradgradcheck(minidl.tanh, x)
    assert x.grad is None
    assert (to_numpy(x) == before).all()


def test_global_random_state_is_left_alone():
    minidl.manual_seed(0)
    state = to_numpy(minidl.get_rng_state()).copy()
    numpy_state = np.random.get_state()[1].copy()
    gradcheck(minidl.tanh, leaf(3))
    assert (to_numpy(minidl.get_rng_state()) == state).all()
    assert (np.random.get_state()[1] == numpy_state).all()


def random_program(rng):
    """A right function of two inputs out of smooth and kinked ops."""
    steps = [
        lambda x, y: x * y,
        lambda x, y: x + y.tanh(),
        lambda x, y: (x - y).abs(),
        lambda x, y: minidl.relu(x) - y,
        lambda x, y: minidl.maximum(x, y),
        lambda x, y: x / (1 + y * y),
        lambda x, y: minidl.softmax(x, -1) * y,
        lambda x, y: (x @ y.t()) @ y,
        lambda x, y: x - x.mean(0, keepdim=True) + y.exp().log(),
    ]
    chosen = [steps[i] for i in rng.integers(len(steps), size=3)]

    def program(x, y):
        for step in chosen:
            x, y = step(x, y), x
        return x + y

    return program


@given(seed=st.integers(0, 2**32))
def test_no_false_alarm_on_random_programs(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 5, size=2))
    inputs = leaf(*shape, seed=seed), leaf(*shape, seed=seed + 1)
    assert gradcheck(random_program(rng), inputs, seed=seed)


def test_an_output_is_measured_by_its_own_size():
    """Finite differences lose the digits of the large output only."""
    assert gradcheck(lambda x: (x.sin(), 1e8 * x + 1e9), leaf(3))
    wrong = custom(minidl.sin, lambda g, y, x: g * (x.cos() + 1e-3))
    with pytest.raises(GradientError, match="wrong derivative"):
        gradcheck(lambda x: (wrong(x), 1e8 * x), leaf(3))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.float().sin().double(),
        lambda x: x * x.abs().float().sqrt().double(),
        lambda x: minidl.softmax(x.float(), -1).double(),
    ],
    ids=["sin", "root times x", "softmax"],
)
def test_float32_inside_is_named(function):
    with pytest.raises(GradientError, match="has the digits of float32 only") as caught:
        gradcheck(function, leaf(3, 4))
    assert caught.value.words == ""


@pytest.mark.parametrize(("result", "said"), [(None, "None"), ({}, "a dict"), (1.0, "a float")])
def test_a_result_that_is_no_tensor(result, said):
    with pytest.raises(GradientError, match=f"it returns {said}: return a tensor"):
        gradcheck(lambda x: result, leaf(3))
    with pytest.raises(CheckError, match=f"it returns {said}: return a tensor"):
        check_op(lambda x: result, reference=np.exp, max_examples=2)
