"""`check_op`: passes what is right, and catches and names what students get wrong."""

import importlib
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from student_mistakes import MISTAKES, op

import minidl
from minidl import testing
from minidl.testing import OP_CHECKS, CheckError, OpRecord, Sample, check_op, ops
from minidl.testing.checks import run
from minidl.testing.errors import SetupError
from minidl.testing.strategies import NOT_ZERO, arrays, shapes

search = importlib.import_module("minidl.testing.checks.search")
RECORDS = {record.name: record for record in ops()}
SECONDS = 5.0  # of this process: other tests run beside it


@pytest.fixture
def no_shrinking(monkeypatch):
    """Where only the verdict counts."""
    monkeypatch.setattr(search, "SHRINK_SECONDS", 0.0)


def caught(function, *arguments, **options):
    """The error that check_op raises."""
    with pytest.raises(CheckError) as found:
        check_op(function, *arguments, **options)
    return found.value


@pytest.mark.parametrize("name", MISTAKES)
def test_a_typical_mistake_is_caught_and_named(name):
    mistake = MISTAKES[name]
    start = time.process_time()
    error = caught(mistake.function, **mistake.options)
    message = str(error)
    assert time.process_time() - start < SECONDS
    assert mistake.says in message.splitlines()[0]
    assert len(message.splitlines()) <= 20


def test_there_are_enough_mistakes():
    assert len(MISTAKES) >= 20


RIGHT = {
    "softmax": (
        op(
            "softmax",
            lambda x: minidl.softmax(x, -1),
            lambda g, y, x: y * (g - (g * y).sum(-1, keepdim=True)),
        ),
        {"samples": arrays(shapes(1, 3))},
    ),
    "tanh": (minidl.tanh, {"reference": np.tanh, "dtypes": "iuf", "result": "float"}),
    "mul": (lambda x, y: x * y, {"reference": np.multiply, "broadcasts": True, "dtypes": "if"}),
    "div": (
        lambda x, y: x / y,
        {"reference": np.divide, "samples": st.tuples(*[arrays((2, 3), NOT_ZERO)] * 2)},
    ),
    "two results": (
        lambda x: (x.sum(), x * x),
        {"reference": lambda x: (x.sum(), x * x)},
    ),
    "a list of tensors": (
        lambda parts: minidl.cat(parts),
        {"reference": np.concatenate, "samples": arrays((2, 2)).map(lambda a: ([a, 2 * a],))},
    ),
    "a constant": (
        lambda x, w: x * w.detach(),
        {"reference": lambda x, w: x * w, "constants": ("w",)},
    ),
    "argmax": (
        lambda x: x.argmax(-1),
        {
            "reference": lambda x: x.argmax(-1),
            "samples": arrays(shapes(1, 2, empty=False)),
            "order": 0,
            "result": "index",
        },
    ),
    "once differentiable": (
        op("cube", lambda x: x**3, lambda g, y, x: g * (3 * x**2).detach()),
        {"order": 1},
    ),
    "tensors as samples": (
        minidl.exp,
        {"samples": testing.strategies.tensors((2, 2), dtype=minidl.float32)},
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_op_passes(name):
    function, options = RIGHT[name]
    check_op(function, **options)


CHEATS = {
    "a constant": lambda x, y: minidl.ones((2, 3), dtype=x.dtype),
    "a constant that requires a gradient": lambda x, y: minidl.ones(
        (2, 3), dtype=x.dtype
    ).requires_grad_(),
    "ignores y": lambda x, y: x * 2,
    "ignores both": lambda x, y: x * 0 + y * 0 + 1,
    "detached": lambda x, y: (x * y).detach(),
    "detached and attached again": lambda x, y: (x * y).detach() + 0 * x + 0 * y,
    "one detached": lambda x, y: x * y.detach(),
    "no recording": lambda x, y: minidl.no_grad()(lambda: x * y)(),
}


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("constants", [(), ("y",)], ids=["", "constant y"])
@pytest.mark.parametrize("reference", [None, np.multiply], ids=["", "reference"])
@pytest.mark.parametrize("name", CHEATS)
def test_no_check_passes_on_what_ignores_its_input(name, reference, constants, order, no_shrinking):
    right_values = "detached" in name or name == "no recording"
    if right_values and (order == 0 or (constants and name == "one detached")):
        return  # then it is no cheat: no derivative of it was asked for
    samples = st.tuples(*[arrays((2, 3))] * 2)
    with pytest.raises((CheckError, SetupError)):
        check_op(CHEATS[name], reference, samples, order=order, constants=constants)


def test_nothing_to_check_is_no_pass():
    whole = st.just((np.array([1, 2]),))
    with pytest.raises(SetupError, match="nothing to differentiate"):
        check_op(lambda x: x * 2, samples=whole)
    with pytest.raises(SetupError, match="give a reference"):
        check_op(lambda x: x * 2, order=0)
    with pytest.raises(SetupError, match="give samples"):
        check_op(lambda *x: x[0])
    with pytest.raises(SetupError, match=r"reference of exp fails.*KeyError"):
        check_op(minidl.exp, lambda x: {}[0])


# ------------------------------------------------------------------------------------ the message

SOFTMAX = MISTAKES["softmax treats each element alone"]


def test_the_message_has_the_form():
    error = caught(SOFTMAX.function, samples=arrays(shapes(1, 1, empty=False)), seed=3)
    assert str(error).splitlines()[:5] == [
        "softmax: wrong derivative with respect to x",
        "  smallest input found",
        "    x = minidl.tensor([1.0, 0.5], dtype=minidl.float64)",
        "    softmax.apply(x)",
        "  d out[1] / d x[0]:  backward 0, finite differences -0.235003712",
    ]
    assert (error.op, error.input, error.index) == ("softmax", "x", (0,))
    assert error.analytic == 0
    assert error.numeric == pytest.approx(-0.235003712)
    assert not hasattr(error, "__notes__")


def test_the_code_to_paste_shows_the_failure():
    error = caught(lambda x: x.exp(), lambda x: np.exp(x) + (x > 1))
    program = f"import minidl\nfunction = minidl.exp\n{error.code}"
    *lines, last = program.splitlines()
    names = {}
    exec("\n".join(lines), names)
    assert (eval(last, names).numpy().flat[0]) == pytest.approx(error.analytic)
    assert error.numeric == pytest.approx(error.analytic + 1)


def test_words_come_from_a_rich_input_not_from_the_smallest():
    """At [0.], sigmoid without 1 - y is twice too large, which is not the mistake."""
    error = caught(MISTAKES["sigmoid without 1 - y"].function)
    assert "input" in str(error) and error.words
    assert "2 times" not in error.words
    assert "a factor (1 - out) is missing" in error.words


def test_words_are_those_of_the_failing_sample_with_the_most_numbers():
    def check(array):
        count = search.distinct_numbers(array)
        raise CheckError("f", "is wrong", words=lambda: f"{count} numbers", code=f"{array.size}")

    with pytest.raises(CheckError) as found:
        search.search(check, arrays(shapes()), max_examples=20)
    assert found.value.code in ("0", "1")
    assert int(found.value.words.split()[0]) >= 6


@pytest.mark.parametrize(
    ("function", "reference", "said"),
    [
        (lambda x: 2.5 * x, lambda x: x, "2.5 times the right one"),
        (lambda x: -x, lambda x: x, "wrong sign"),
        (lambda x: x + 0.25, lambda x: x, "too large by 0.25"),
        (lambda x: x * 0, lambda x: x, "0 everywhere"),
        (lambda x: x.t() * 1, lambda x: x, "transposed"),
        (lambda x: x.sum(0), lambda x: x.sum(1), "the other dimension"),
        (lambda x: x.sum(1), lambda x: x.mean(1), "a sum for a mean"),
        (lambda x: x.sum(1), lambda x: x.sum(1, keepdims=True), "keepdim"),
        (lambda x: 1 / (2 + x * x), lambda x: 2 + x * x, "1 divided by"),
        (lambda x: x.cumsum(0), lambda x: x, ""),
    ],
)
def test_what_is_wrong_with_a_value_is_said(function, reference, said):
    error = caught(function, reference, arrays((4, 4)), seed=0)
    assert said in error.words
    assert said or not error.words


def test_how_much_is_told():
    error = caught(lambda x: -x, lambda x: x)
    assert error.message("what") == "function: wrong result"
    assert "reference" in error.message("gap") and "in words" not in error.message("gap")
    assert "in words: your result has the wrong sign" in error.message("words")
    with pytest.raises(ValueError, match="what, gap, words"):
        error.message("all")


def test_an_error_of_the_op_says_where(monkeypatch):
    def broken(x):
        return x[5]

    error = caught(broken)
    assert error.what == "raises IndexError for a valid call"
    assert "in broken (test_checks.py:" in error.gap
    assert "return x[5]" in error.gap


def test_the_same_seed_finds_the_same():
    def wrong(x):
        return x.exp() * (1 + 1e-3 * (x > 1.3).to(x.dtype))

    first, second = (str(caught(wrong, np.exp, seed=7)) for _ in range(2))
    assert first == second


def test_the_search_for_a_small_input_has_an_end():
    """Slow ops do not keep it searching."""
    calls = []

    def slow(sample):
        calls.append(sample)
        time.sleep(0.1)
        raise CheckError("slow", "wrong")

    with pytest.raises(CheckError):
        search.search(slow, arrays((20, 20)), max_examples=20)
    assert len(calls) <= search.SHRINK_SECONDS / 0.1 + 2


# ------------------------------------------------------------------------------------- each check


def test_every_check_can_fail(no_shrinking):
    """Each of OP_CHECKS is red for some mistake; the rest have a test of their own."""
    below = ("first_derivative_fused", "second_derivative_fused", "kernel", "broadcasting")
    green = [check for check in OP_CHECKS if check.__name__ not in below]
    for mistake in MISTAKES.values():
        record = testing.checks.record_of(mistake.function, **mistake.options)
        for check in list(green):
            if check.applies(record):
                try:
                    run(check, record, max_examples=20, seed=0)
                except (CheckError, SetupError):
                    green.remove(check)
    assert green == []


def check_named(name):
    return next(check for check in OP_CHECKS if check.__name__ == name)


def test_broadcasting_can_fail():
    def first_row_only(x, y):
        return x * y if x.shape == y.shape else (x * y) * 2

    samples = st.just(Sample((np.ones((2, 3)), np.ones(3))))
    record = OpRecord("f", first_row_only, samples, None, why_none="test", broadcasts=True)
    with pytest.raises(CheckError, match="broadcasting is not copying"):
        check_named("broadcasting")(record, Sample((np.ones((2, 3)), np.ones(3))))


@pytest.mark.parametrize("name", ["first_derivative_fused", "second_derivative_fused"])
def test_the_rules_of_a_fused_op_are_reached(name, monkeypatch):
    """The definition of softmax is differentiated right even when its rule is wrong."""
    rule = minidl.ops.all_ops()["softmax"].op.rules[0]
    monkeypatch.setattr(rule, "function", lambda g, out, dim: g * out)
    record, sample = RECORDS["softmax"], Sample((np.array([0.5, -1.0]), 0))
    check_named(name.removesuffix("_fused"))(record, sample)
    with pytest.raises(CheckError, match=r"softmax: .*recorded as one node"):
        check_named(name)(record, sample)


def test_a_wrong_kernel_is_found(monkeypatch):
    kernel = minidl.kernels.load("softmax")
    broken = replace(kernel, forward=lambda x, dim: kernel.forward(x, dim) * 1.001)
    monkeypatch.setitem(minidl.kernels._cache, "softmax", broken)
    with pytest.raises(CheckError, match="the kernel differs from its definition"):
        run(check_named("kernel"), RECORDS["softmax"])


def test_the_kit_has_every_check_that_it_promises():
    names = [check.__name__ for check in OP_CHECKS]
    assert names == [
        "no_mutation",
        "determinism",
        "dtype",
        "values",
        "first_derivative",
        "second_derivative",
        "first_derivative_fused",
        "second_derivative_fused",
        "layouts",
        "broadcasting",
        "kernel",
    ]


# ---------------------------------------------------------------------------- never a false alarm


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_op_passes_with_many_seeds(name):
    function, options = RIGHT[name]
    for seed in range(max(settings().max_examples // 10, 1)):
        check_op(function, **options, seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", RIGHT)
def test_a_right_op_passes_in_2000_runs(name):
    """2,000 runs over the ops of RIGHT, each of all checks on 10 samples with a random seed."""
    function, options = RIGHT[name]
    for _ in range(2000 // len(RIGHT)):
        check_op(function, **options, max_examples=10)
