"""minidl.scalar against finite differences, the real engine, and its own promises."""

import ast
import doctest
import gc
import math
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import scalar
from minidl.scalar import Value, grad

# An expression is a tree of (name, child, child), its leaves are 0..LEAVES-1. The same tree is
# evaluated on floats, on Values and on 0-d tensors. Every operation keeps its result in (-4, 4) and
# inside the domain of the next one, so that values and derivatives of any depth stay moderate.
LEAVES = 3


def squash(x):
    return x.tanh() * 2


OPERATIONS = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / (squash(y) + 3),
    "pow": lambda x, y: (squash(x) + 3) ** squash(y),
    "cube": lambda x, y: x**3 - y,
    "two_to": lambda x, y: 2 ** squash(x) + y,
    "from_one": lambda x, y: 1 - x + y,
    "one_over": lambda x, y: 1 / (squash(x) + 3) - y,
    "neg": lambda x, y: -x + 0.5 * y,
    "tanh": lambda x, y: (x + y).tanh(),
    "exp": lambda x, y: squash(x).exp() + y,
    "log": lambda x, y: (squash(x) + 3).log() * y,
    "relu": lambda x, y: x.relu() + y,
}
expressions = st.recursive(
    st.integers(0, LEAVES - 1),
    lambda inner: st.tuples(st.sampled_from(sorted(OPERATIONS)), inner, inner),
    max_leaves=12,
)
numbers = st.lists(st.floats(-2, 2, width=32), min_size=LEAVES, max_size=LEAVES)


def evaluate(tree, leaves):
    if isinstance(tree, int):
        return leaves[tree]
    name, left, right = tree
    return squash(OPERATIONS[name](evaluate(left, leaves), evaluate(right, leaves)))


def close(ours, theirs, tolerance):
    return abs(ours - theirs) <= tolerance * (1 + abs(theirs))


@given(expressions, numbers)
def test_gradients_match_finite_differences(tree, at):
    leaves = [Value(x) for x in at]
    evaluate(tree, leaves).backward()

    def slope(i, low, high):
        low, high = ([Value(x + h * (i == k)) for k, x in enumerate(at)] for h in (low, high))
        nudge = high[i].number - low[i].number
        return (evaluate(tree, high).number - evaluate(tree, low).number) / nudge

    for i, leaf in enumerate(leaves):
        h = 1e-5
        if not close(slope(i, 0, h), slope(i, -h, 0), 1e-2):
            continue  # relu has its kink between the two: no one slope to compare with
        measured = slope(i, -h, h)
        own_error = abs(measured - slope(i, -2 * h, 2 * h))  # three times that of the smaller step
        assert abs(leaf.grad - measured) <= own_error + 1e-6 * (1 + abs(measured))


@given(expressions, numbers)
def test_value_and_two_derivatives_match_the_engine(tree, at):
    values = [Value(x) for x in at]
    tensors = [minidl.tensor(x, dtype=minidl.float64, requires_grad=True) for x in at]
    out, expected = evaluate(tree, values), evaluate(tree, tensors)
    assert close(out.number, expected.item(), 1e-12)

    ours = grad(out, values, create_graph=True)
    theirs = minidl.autograd.grad(expected, tensors, create_graph=True, allow_unused=True)
    # A leaf that the expression does not hold: 0 here, None there.
    theirs = [0 * x if g is None else g for x, g in zip(tensors, theirs, strict=True)]
    for a, b in zip(ours, theirs, strict=True):
        assert close(a.number, b.item(), 1e-9)

    ours = grad(sum(ours), values)
    theirs = minidl.autograd.grad(sum(theirs), tensors, allow_unused=True)
    for a, b in zip(ours, theirs, strict=True):
        assert close(a, 0.0 if b is None else b.item(), 1e-7)


def test_a_hundred_thousand_operations_in_a_row():
    x = Value(1.0)
    y = x
    for _ in range(100_000):
        y = y * 1.00001
    y.backward()
    assert close(x.grad, 1.00001**100_000, 1e-9)
    (dy,) = grad(y, [x], create_graph=True)
    assert close(dy.number, x.grad, 1e-12)
    del y, dy  # a chain this long must also be freed without recursion


def test_every_node_is_visited_once_however_often_it_forks():
    x = Value(1.0)
    y = x
    for _ in range(40):
        y = y + y  # 2 ** 40 paths lead back to x
    visits = list(scalar.walk(y))
    assert len(visits) == 41
    assert visits[-1] == (x, 2.0**40)
    assert [node.sequence for node, _ in visits] == sorted(
        (n.sequence for n, _ in visits), reverse=True
    )


def test_an_input_used_twice_gets_both_shares():
    x = Value(3.0)
    (x * x * x).backward()
    assert x.grad == 27.0


def test_gradients_accumulate_and_grad_leaves_them_alone():
    x = Value(2.0)
    y = x**2
    y.backward()
    y.backward()
    assert x.grad == 8.0
    assert grad(y, [x]) == [4.0]
    assert x.grad == 8.0


def test_only_leaves_collect_a_gradient():
    x = Value(2.0)
    middle = x * 3
    (middle * middle).backward()
    assert middle.grad == 0.0
    assert x.grad == 36.0


def test_grad_of_what_is_in_the_middle_and_of_what_is_not_there():
    x, elsewhere = Value(2.0), Value(5.0)
    middle = x * 3
    assert grad(middle * middle, [middle, elsewhere]) == [12.0, 0.0]


def test_derivatives_of_order_seven():
    """exp(2x): the n-th derivative is 2 ** n exp(2x)."""
    x = Value(0.5)
    y = (2 * x).exp()
    for order in range(1, 8):
        (y,) = grad(y, [x], create_graph=True)
        assert close(y.number, 2**order * math.e, 1e-12)


def test_powers_at_zero():
    x = Value(0.0)
    derivatives = []
    y = x**2
    for _ in range(4):
        (y,) = grad(y, [x], create_graph=True)
        derivatives.append(y.number)
    assert derivatives == [0.0, 2.0, 0.0, 0.0]


def test_a_power_of_zero_has_no_slope_in_its_exponent():
    base, exponent = Value(0.0), Value(2.0)
    assert grad(base**exponent, [base, exponent]) == [0.0, 0.0]


def test_mixed_derivative_of_a_power_at_exponent_zero():
    """d/dy (y x ** (y - 1)) = 1 / x at y = 0: the slope 0 there is not a constant."""
    x, y = Value(4.0), Value(0.0)
    (slope,) = grad(x**y, [x], create_graph=True)
    assert slope.number == 0.0
    assert grad(slope, [y]) == [0.25]


def test_relu_has_slope_zero_at_zero():
    for at, slope in (-1.0, 0.0), (0.0, 0.0), (2.0, 1.0):
        x = Value(at)
        x.relu().backward()
        assert x.grad == slope


def test_outside_the_domain_is_an_error():
    for call in (lambda: Value(-1.0).log(), lambda: Value(-1.0) ** 0.5, lambda: 1 / Value(0.0)):
        with pytest.raises(ValueError, match="math domain error"):
            call()


def test_dropping_the_result_frees_the_graph_without_the_collector():
    gc.collect()
    gc.disable()
    try:
        x = Value(1.0)
        y = (x * 2).tanh()
        before = sum(type(o) is Value for o in gc.get_objects())
        y.backward()
        (dy,) = grad(y, [x], create_graph=True)
        del y, dy
        assert sum(type(o) is Value for o in gc.get_objects()) == before - 2
    finally:
        gc.enable()


def test_docstring():
    result = doctest.testmod(scalar)
    assert result.attempted >= 8
    assert result.failed == 0


def test_needs_only_the_standard_library_and_stays_short():
    source = Path(scalar.__file__).read_text()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names = [node.module]
        else:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            assert name.split(".")[0] in sys.stdlib_module_names
    assert len(source.splitlines()) <= 160
