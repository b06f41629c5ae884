"""Wrong derivatives are caught, and what is wrong with them is said in words that are true."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from planted import custom, softmax_backward
from planted_formulas import SAID
from planted_vjps import ELEMENTWISE, MUTANTS, RIGHT, A, any_of

import minidl
from minidl import testing
from minidl.testing import GradientError, probe
from minidl.testing.checks.call import arguments, function_of, leaf
from minidl.testing.explain import assert_vjp, explain, findings
from minidl.testing.function import ArrayFunction


def of(forward, vjp, inputs):
    return findings(ArrayFunction(forward, vjp, inputs))


def tensor(*shape):
    return minidl.tensor(any_of(*shape), requires_grad=True)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_mistake_is_caught_and_explained(name):
    forward, vjp, inputs, kinds = MUTANTS[name]
    found = of(forward, vjp, inputs)
    assert [f.kind for f in found] == kinds.split()
    with pytest.raises(GradientError) as caught:
        assert_vjp(forward, vjp, *inputs)
    assert caught.value.input == found[0].input


@pytest.mark.parametrize("name", RIGHT)
def test_no_false_alarm_on_a_right_derivative(name):
    forward, vjp, inputs = RIGHT[name]
    assert of(forward, vjp, inputs) == []
    assert_vjp(forward, vjp, *inputs)


@pytest.mark.parametrize(
    "record", [r for r in testing.ops() if r.order >= 1], ids=lambda record: record.name
)
def test_no_false_alarm_on_an_op(record):
    @settings(
        max_examples=2,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(sample=record.samples)
    def check(sample):
        args = arguments(record, sample, leaf)
        if any(t.requires_grad for t in testing.trees.tensors(args)):
            assert explain(function_of(record, sample), args) == []

    check()


SENTENCES = {
    "tanh: 1 - y": "a factor (1 + out) is missing",
    "sigmoid: no 1 - y": "a factor (1 - out) is missing",
    "log: times x": "a factor x stands where 1 / x belongs",
    "tan: minus": (
        "your rule is the right one minus g * 2 * out**2 (is the sign of g * out**2 wrong?)"
    ),
    "arctan: as log1p": "this is the derivative of log1p",
    "silu: as softplus": (
        "your rule differentiates x only, as if out / x were a constant: the term with the "
        "derivative of out / x is missing"
    ),
    "softplus: tanh": "a factor tanh(x) stands where sigmoid(x) belongs",
    "relu: all": "right elsewhere, wrong exactly where x < 0: not zero there, and should be",
    "relu: above 1": (
        "right elsewhere, wrong exactly where x is between 0 and 1: zero there, and should not be"
    ),
    "relu: inverted": (
        "the mask is wrong: your gradient is not zero where x < 0, and should be not zero where "
        "x > 0"
    ),
    "clip: all": (
        "right elsewhere, wrong exactly where x is not between low and high: not zero there, and "
        "should be"
    ),
    "div: exchanged": "this is the derivative for x and y exchanged",
    "matmul: g b": "this is the derivative for y transposed",
    "broadcast: no factor": "a factor x is missing (on g, inside the sum)",
    "mean: as sum": (
        "everywhere proportional to the right one: it is 4 times too large (4 is the number of "
        "elements of x for each one of out: a mean treated as a sum, or a sum as a mean?)"
    ),
    "softmax: elementwise": (
        "your rule treats each element alone, but each output depends on several inputs (a sum "
        "over axis 1 is missing)"
    ),
    "softmax: plus": "the term sum(g * out) * out should be -sum(g * out) * out (over axis 1)",
    "log softmax: no p": "the term -sum(g) should be -sum(g) * exp(out) (over axis 1)",
    "layer norm: no mean": (
        "a term with sum(g) over axis 1 is missing (up to a factor for each row)"
    ),
    "rms norm: sign": (
        "the term sum(g * out) * out / (2 * norm(x)) should be -sum(g * out) * out / (2 * norm(x)) "
        "(over axis 1)"
    ),
    "centre: plus": "the term mean(g) should be -mean(g) (over axis 1)",
    "max pool: all": (
        "right elsewhere, wrong exactly where x is not the largest of those that the output sees: "
        "not zero there, and should be"
    ),
    "index: overwritten": (
        "an element of x that is read several times gets the gradient of its last use only: add "
        "them up"
    ),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_the_sentence(name):
    forward, vjp, inputs, _ = MUTANTS[name]
    assert of(forward, vjp, inputs)[0].sentence == SENTENCES[name]


@pytest.mark.parametrize("name", SAID)
def test_what_is_said_of_a_formula(name):
    forward, vjp, inputs, sentence = SAID[name]
    assert sentence in [f.sentence for f in of(forward, vjp, inputs)]


@pytest.mark.parametrize("name", MUTANTS)
def test_a_sentence_is_true_at_other_points_too(name, monkeypatch):
    forward, vjp, inputs, _ = MUTANTS[name]
    said = [f.sentence for f in of(forward, vjp, inputs)]
    monkeypatch.setattr(probe, "SEED", 11)
    assert [f.sentence for f in of(forward, vjp, inputs)] == said


# Of one number more is true than of many.
SMALL_ALSO = {
    "sin: cos(y)": ["wrong-factor"],
    "leaky: inverted": ["pieces"],
    "log: times x": ["missing-factor"],
    "square: x squared": ["missing-factor"],
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_the_smallest_input_is_explained_as_well(name):
    """What hypothesis shrinks to, as [0.], says little; its shape and generic numbers suffice."""
    forward, vjp, inputs, kind = ELEMENTWISE[name]
    if name in ("exp: sum of g", "nan"):
        return  # one element has no sum, and one of two points no nan
    numbers = [x for x in inputs if isinstance(x, float)]
    small = (inputs[0][:1, 0], *numbers)
    (finding,) = of(forward, vjp, small)
    assert finding.kind in (kind, *SMALL_ALSO.get(name, ()))


def test_a_relation_that_holds_at_one_point_only_is_not_told():
    """At each point the factor is another: there is no sentence about a factor."""

    def vjp(g, y, x):
        return g * y * np.exp(np.sin(1e3 * x.sum()))

    (finding,) = of(np.exp, vjp, (A,))
    assert (finding.kind, finding.sentence) == ("unknown", "")


def test_a_threshold_that_is_only_near_is_not_told():
    """Wrong above 1.01: that no point lies between 1 and 1.01 does not make it 1."""

    def vjp(g, y, x):
        return g * np.where(np.abs(x) > 1.01, 2 * y, y)

    (finding,) = of(np.exp, vjp, (A,))
    assert "1" not in finding.sentence.replace("2 times", "")
    (finding,) = of(np.exp, lambda g, y, x: g * np.where(np.abs(x) > 1, 2 * y, y), (A,))
    assert finding.sentence.startswith("right elsewhere, wrong exactly where |x| > 1: it is 2")


def test_a_place_is_told_only_if_all_of_it_is_wrong():
    """The first element of x is read by two outputs, and wrong for one of them."""
    weights = np.array([[1.0, 2.0, 0.0], [3.0, 0.0, 4.0]])

    def vjp(g, y, x):
        gradient = weights.T @ g
        gradient[0] += g[0] * np.sin(9 * x[1])
        return gradient

    (finding,) = of(lambda x: weights @ x, vjp, (any_of(3),))
    assert finding.sentence in (
        "",
        "right elsewhere, wrong exactly where x is the first along axis 0",
    )


def test_unknown_shows_the_worst_entry_and_no_words():
    def vjp(g, y, x):
        return g * y * (1 + 0.3 * np.sin(17 * x**3))

    (finding,) = of(np.exp, vjp, (A,))
    assert finding.kind == "unknown"
    assert finding.worst.startswith("d out[")
    with pytest.raises(GradientError) as caught:
        assert_vjp(np.exp, vjp, A)
    assert "in words" not in str(caught.value)


def test_functions_of_minidl():
    def softmax(x):
        return minidl.softmax(x, -1)

    function = custom(softmax, lambda g, y, x: g * y * (1 - y), "my_softmax")
    (finding,) = explain(function, tensor(3, 4))
    assert (finding.input, finding.kind) == ("input 0", "elementwise")
    right = custom(softmax, softmax_backward)
    assert explain(right, tensor(3, 4)) == []


def test_each_input_has_its_finding():
    function = custom(lambda a, b: a @ b, lambda g, y, a, b: (g @ b, -(a.t() @ g)))
    found = explain(function, (tensor(3, 3), tensor(3, 3)))
    assert [(f.input, f.kind) for f in found] == [("input 0", "elsewhere"), ("input 1", "factor")]
    assert found[1].sentence.endswith("the sign is wrong")


def test_several_outputs():
    function = custom(lambda x: x.exp(), lambda g, y, x: 2 * g * y)
    (finding,) = explain(lambda x: (function(x), x * x), tensor(3))
    assert finding.kind == "unknown"
    (finding,) = explain(lambda x: (function(x), function(2 * x)), tensor(3))
    assert finding.sentence.endswith("it is 2 times too large")


def test_a_wrong_shape_in_minidl():
    function = custom(lambda x: x.t() * 1, lambda g, y, x: g)
    (finding,) = explain(function, tensor(3, 4))
    assert finding.kind == "shape"
    assert "(4, 3)" in finding.sentence and "(3, 4)" in finding.sentence


def test_an_argument_is_named():
    def scaled(x, alpha):
        return alpha * x

    (finding,) = of(scaled, lambda g, y, x, alpha: (g,), (A, 0.7))
    assert finding.sentence.endswith("it is 1.429 times too large (by alpha)")


def test_masks_among_the_arguments():
    mask = np.arange(12).reshape(3, 4) % 3 == 0

    def chosen(x, mask):
        return np.where(mask, 2 * x, x)

    (finding,) = of(chosen, lambda g, y, x, mask: (2 * g,), (A, mask))
    assert "wrong exactly where mask is False" in finding.sentence


def test_what_is_too_large_is_not_explained_but_told():
    x = any_of(40, 30)
    (finding,) = of(np.exp, lambda g, y: 2 * g * y, (x,))
    assert finding.kind == "unknown"
    assert of(np.exp, lambda g, y: g * y, (x,)) == []


def test_code_that_fails_at_other_points_does_not_hide_the_failure():
    def vjp(g, y, x):
        if not (x == A).all():
            raise ValueError("only here")
        return 2 * g * y

    with pytest.raises(GradientError, match="wrong derivative with respect to x") as caught:
        assert_vjp(lambda x: np.exp(x), vjp, A)
    assert caught.value.words == ""


# ------------------------------------------------------------------------------------ assert_vjp


def test_the_message_of_assert_vjp():
    def double(x):
        return 2 * x

    def double_vjp(g):
        return g

    with pytest.raises(GradientError) as caught:
        assert_vjp(double, double_vjp, np.array([0.5, 1.0]))
    lines = str(caught.value).splitlines()
    assert lines[:6] == [
        "double: wrong derivative with respect to x",
        "  input",
        "    x = np.array([0.5, 1.0], np.float64)",
        "    double(x)",
        "  d out[0] / d x[0]:  backward 1, finite differences 2",
        "  in words: everywhere proportional to the right one: it is 2 times too small",
    ]
    assert lines[6].startswith("  the rule: double_vjp (") and "test_explain.py:" in lines[6]


def test_a_gradient_for_each_input_that_is_an_array_of_floats():
    def take(x, places, scale):
        return scale * x[places]

    def vjp(g, y, x, places, scale):
        gradient = np.zeros_like(x)
        np.add.at(gradient, places, scale * g)
        return gradient

    x, places = any_of(5), np.array([0, 2, 2])
    assert_vjp(take, vjp, x, places, 0.5)
    assert_vjp(take, lambda *a: (vjp(*a), None, None), x, places, 0.5)
    assert_vjp(take, vjp, x.astype(np.float32), places, 0.5)
    with pytest.raises(GradientError, match="returns 2 gradients"):
        assert_vjp(take, lambda *a: (vjp(*a), vjp(*a)), x, places, 0.5)
    with pytest.raises(ValueError, match="take was given no array of floats"):
        assert_vjp(take, vjp, [1.0], places, 0.5)


def test_assert_vjp_checks_what_gradcheck_checks():
    def grows(g, y, x):
        x += 1
        return g * y

    with pytest.raises(GradientError, match="changed x in place"):
        assert_vjp(np.exp, grows, A.copy())

    def into_the_output(g, y):
        y *= g
        return y

    with pytest.raises(GradientError, match="changed the output in place"):
        assert_vjp(np.exp, into_the_output, A)
    with pytest.raises(GradientError, match="changed the incoming gradient"):
        assert_vjp(lambda x: 2 * x, lambda g: np.multiply(g, 2, out=g), A)
    noise = np.random.default_rng(0)
    with pytest.raises(GradientError, match="two equal backward calls"):
        assert_vjp(lambda x: 2 * x, lambda g: 2 * g * noise.uniform(), A)


def test_inputs_are_left_alone():
    x = A.copy()
    assert_vjp(np.exp, lambda g, y: g * y, x)
    assert (x == A).all()
