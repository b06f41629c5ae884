"""What a failing gradient check says."""

import re

import pytest
from planted import custom, leaf, second_ignores_incoming

import minidl
from minidl.testing import GradientError, gradcheck, gradgradcheck

pytest_plugins = ["pytester"]


def test_a_failure_names_the_rule_and_its_line(monkeypatch):
    from minidl.tape import Rule

    op = minidl.tanh.op
    monkeypatch.setattr(op, "rules", [Rule(op, lambda g, out: g * (1 - out))])
    x = minidl.tensor([0.5, 1.0], dtype=minidl.float64, requires_grad=True)
    with pytest.raises(GradientError) as caught:
        gradcheck(minidl.tanh, x)
    lines = str(caught.value).splitlines()
    assert lines[:4] == [
        "tanh: wrong derivative with respect to input",
        "  input",
        "    input = minidl.tensor([0.5, 1.0], dtype=minidl.float64)",
        "    tanh(input)",
    ]
    assert lines[4] == (
        "  d out[1] / d input[1]:  backward 0.238405844, finite differences 0.419974342"
    )
    assert lines[5] == "  in words: a factor (1 + out) is missing"
    rule = r"  the rule: 'input' of tanh \(.*test_gradient_messages.py:\d+\)"
    assert re.fullmatch(rule, lines[6])
    assert len(lines) == 7


class Leaky(minidl.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return minidl.relu(x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * (x > 0) + 0.1 * g * (x <= 0)


class Cube(minidl.autograd.Function):
    @staticmethod
    def forward(ctx, x, shift):
        ctx.save_for_backward(x)
        return x * x * x + shift

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * x * x * g, None


def test_a_function_is_named_by_its_forward_and_backward():
    with pytest.raises(GradientError) as caught:
        gradcheck(Cube.apply, (leaf(3), 0.5))
    assert caught.value.input == "x"
    assert "x = minidl.tensor(" in caught.value.code
    assert "Cube.apply(x, 0.5)" in caught.value.code
    assert re.search(r"Cube.backward \(.*test_gradient_messages.py:\d+\)", caught.value.rule)
    assert caught.value.words.endswith("it is 1.5 times too small")


def test_the_code_of_a_failure_fails_again():
    """Also where the check moved away from a kink."""
    with pytest.raises(GradientError) as caught:
        gradcheck(Leaky.apply, minidl.zeros(3, dtype=minidl.float64, requires_grad=True))
    names = {"minidl": minidl, "Leaky": Leaky}
    exec(caught.value.code, names)
    assert (names["x"] != 0).all()
    with pytest.raises(GradientError):
        gradcheck(Leaky.apply, names["x"].requires_grad_())


def test_words_are_made_only_when_they_are_read():
    calls = []

    def counted(x):
        calls.append(1)
        return minidl.exp(x)

    function = custom(counted, lambda g, y, x: -g * y)
    with pytest.raises(GradientError) as caught:
        gradcheck(function, leaf(3))
    before = len(calls)
    assert caught.value.args
    assert len(calls) == before
    assert "the sign is wrong" in str(caught.value)
    assert len(calls) > before
    after = len(calls)
    assert str(caught.value) and len(calls) == after


def test_pytest_shows_no_frame_of_the_kit(pytester):
    pytester.makepyfile(
        """
        import minidl
        from minidl.testing import gradcheck

        class Wrong(minidl.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return 2 * x

            @staticmethod
            def backward(ctx, g):
                return g

        def test_it():
            x = minidl.tensor([1.0, 2.0], dtype=minidl.float64, requires_grad=True)
            gradcheck(Wrong.apply, x)
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    text = result.stdout.str()
    assert "it is 2 times too small" in text
    assert "gradcheck.py" not in text
    assert "_Check" not in text


def test_a_wrong_shape_is_a_wrong_derivative():
    function = custom(lambda x: x.t() * 1, lambda g, y, x: g)
    with pytest.raises(GradientError, match=r"backward fails: .* returned a gradient of shape"):
        gradcheck(function, leaf(2, 3))


def test_second_derivative_names_what_was_differentiated():
    with pytest.raises(GradientError) as caught:
        gradgradcheck(custom(minidl.tanh, second_ignores_incoming), leaf(2))
    lines = str(caught.value).splitlines()
    assert lines[0] == "derivative of custom: wrong derivative with respect to input 0"
    assert lines[2].startswith("    g = minidl.tensor(")
    assert "d input 0.grad[" in lines[4] and "] / d input 0[" in lines[4]
