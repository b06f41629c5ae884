"""Random programs: what they promise, that they reach everything, and that they find bugs."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

import minidl
from minidl import kernels, ops
from minidl.testing import assert_close, gradcheck, gradgradcheck, strategies, to_numpy
from minidl.testing.strategies import forms, programs

EXAMPLES = settings().max_examples
QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


def agrees_with_its_reference(program, device="cpu"):
    got = program(*program.tensors(device=device))
    assert_close(list(got), list(program.reference(*program.arrays)), rtol=1e-8, atol=1e-9)


@settings(max_examples=5 * EXAMPLES)
@given(program=programs())
def test_values_are_those_of_the_reference(program, device):
    agrees_with_its_reference(program, device)


@settings(max_examples=2 * EXAMPLES)
@given(program=programs())
def test_first_derivative(program, device):
    assert gradcheck(program, program.tensors(device=device))


@settings(max_examples=max(EXAMPLES // 2, 1))
@given(program=programs(max_statements=4))
def test_second_derivative(program, device):
    assert gradgradcheck(program, program.tensors(device=device))


@given(program=programs())
def test_derivatives_of_fused_nodes(program, device):
    with kernels.forced(reference=True):
        agrees_with_its_reference(program, device)
        assert gradcheck(program, program.tensors(device=device))


@settings(max_examples=2 * EXAMPLES)
@given(program=programs())
def test_float32_kernels_against_float64_definitions(program, device):
    inputs = program.tensors(minidl.float32, device=device)
    exact = [x.detach().double().requires_grad_() for x in inputs]
    values, grads = run(program, inputs)
    with kernels.disabled():
        exact_values, exact_grads = run(program, exact)
    for a, b in zip(values + grads, exact_values + exact_grads, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * (1 + np.abs(b).max()))


def run(program, inputs):
    """Results, and the gradients of all inputs from one random cotangent."""
    rng = np.random.default_rng(0)
    results = program(*inputs)
    values = [to_numpy(x) for x in results]
    results = [x for x in results if x.requires_grad]
    cotangents = [
        minidl.tensor(rng.uniform(-1, 1, x.shape), dtype=x.dtype, device=x.device) for x in results
    ]
    grads = minidl.autograd.grad(results, inputs, cotangents, allow_unused=True)
    return values, [to_numpy(g) for g in grads]


@given(program=programs())
def test_what_is_printed_runs_and_gives_the_same(program):
    values = {}
    exec(str(program), values)
    got = program(*program.tensors())
    assert len(values["results"]) == len(got)
    for a, b in zip(values["results"], got, strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))
        assert a.dtype == b.dtype and a.requires_grad == b.requires_grad


@pytest.mark.parametrize("form", forms.FORMS, ids=lambda form: form.__qualname__.partition(".")[0])
@settings(max_examples=max(EXAMPLES // 4, 1), **QUIET)
@given(data=st.data())
def test_every_form_makes_statements(form, data):
    program = data.draw(programs(max_statements=1, forms=[form]))
    agrees_with_its_reference(program)
    assert gradcheck(program, program.tensors())


@given(program=programs(forms=forms.IN_PLACE))
def test_no_rule_reads_what_is_changed_in_place(program):
    agrees_with_its_reference(program)
    assert gradcheck(program, program.tensors())


# What occurs in at least so many of 500 programs.
REACHED = {
    "a value read twice": (100, lambda p: most_read(p) > 1),
    "several results of one op": (10, lambda p: re.search(r"^v\d+, v", "\n".join(p.lines), re.M)),
    "several results": (50, lambda p: "," in str(p).partition("results")[2]),
    "a change in place": (10, lambda p: re.search(r"\.\w+_\(", "\n".join(p.lines))),
    "an assignment": (5, lambda p: "] = " in "\n".join(p.lines)),
    "five statements": (50, lambda p: len(p.lines) >= 5),
    "three inputs": (50, lambda p: len(p.arrays) >= 3),
    "broadcasting": (50, lambda p: len({x.ndim for x in p.arrays}) > 1),
    "a convolution": (1, lambda p: "conv2d" in str(p)),
}


def most_read(program):
    read = Counter(
        re.findall(r"[xv]\d+", " ".join(line.partition("=")[2] for line in program.lines))
    )
    return max(read.values(), default=0)


def test_programs_reach_everything():
    found = Counter()
    called = set()

    @settings(max_examples=500, derandomize=True, **QUIET)
    @given(program=programs())
    def count(program):
        found.update(name for name, (_, holds) in REACHED.items() if holds(program))
        called.update(re.findall(r"minidl\.(\w+)\(", str(program)))

    count()
    assert not {name: found[name] for name, (least, _) in REACHED.items() if found[name] < least}
    assert len(called) > 55


# ------------------------------------------------------------------------------------ planted bugs


def smallest_failing(fails, tries=2000):
    return find(programs(), fails, settings=settings(max_examples=tries, derandomize=True, **QUIET))


# An op, a wrong rule for one of its inputs, and what programs that are worth a check contain.
WRONG = [
    ("sin", "input", lambda g, input: g * minidl.cos(input) * 2, "sin("),
    ("div", "other", lambda g, other, out: g * out / other, "div("),
    ("overwrite", "base", lambda g: g, "] = "),
    ("softmax", "input", lambda g, out: g * out, "softmax("),
    ("linear", "bias", lambda g: g * 0.5, "linear("),
    ("expand", "input", lambda g, input_shape: minidl.zeros(input_shape, dtype=g.dtype), "expand("),
]


@pytest.mark.parametrize(("name", "input", "rule", "said"), WRONG, ids=[row[0] for row in WRONG])
def test_a_wrong_rule_gives_a_program_of_few_lines(name, input, rule, said):
    def fails(program):
        if said not in "\n".join(program.lines):
            return False
        return not gradcheck(program, program.tensors(), raise_exception=False)

    op = ops.all_ops()[name].op
    right = list(op.rules)
    ops.all_ops()[name].vjp(**{input: rule})
    try:
        with kernels.forced(reference=True):
            program = smallest_failing(fails)
    finally:
        op.rules[:] = right
        op.plans.clear()
    assert len(program.lines) <= 2
    assert len(program.arrays) <= 3
    assert sum(x.size for x in program.arrays) <= 8


def test_a_wrong_value_gives_a_program_of_few_lines(monkeypatch):
    def wrong(input, dim):
        return cumsum(input, dim) * (2 if input.ndim > 1 else 1)

    cumsum = minidl.cumsum
    monkeypatch.setattr(minidl, "cumsum", wrong)

    def fails(program):
        if "cumsum" not in str(program):
            return False
        got, expected = program(*program.tensors()), program.reference(*program.arrays)
        return not all(np.allclose(to_numpy(a), b) for a, b in zip(got, expected, strict=True))

    program = smallest_failing(fails)
    assert len(program.lines) <= 2 and "cumsum" in program.lines[-1]
    assert sum(x.size for x in program.arrays) <= 4


def test_hypothesis_shows_the_program():
    @settings(max_examples=200, **QUIET)
    @given(program=programs())
    def test(program):
        assert "tanh" not in str(program)

    with pytest.raises(AssertionError) as caught:
        test()
    shown = "\n".join(caught.value.__notes__)
    assert re.search(r"\.tanh_?\(", shown)
    assert "x1 = minidl.tensor(" in shown


def test_the_strategy_says_what_it_is():
    program = find(programs(), lambda p: len(p.arrays) > 1, settings=settings(**QUIET))
    assert isinstance(program, strategies.Program)
    with pytest.raises(ValueError):
        program(*program.tensors()[1:])
