"""Values and calls as code to paste, and the message of a failed check."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl.testing import CheckError, GradientError, as_code, call_as_code
from minidl.testing.strategies import arrays

NAMES = {"minidl": minidl, "np": np}
SPECIAL = st.sampled_from([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-300, 0.1, 1 / 3])
DTYPES = ["float64", "float32", "float16", "int64", "int8", "uint8", "bool"]


def same(a, b):
    """Equal in every bit that counts, and of the same type and shape."""
    assert type(a) is type(b)
    a, b = np.asarray(a), np.asarray(b)
    assert (a.dtype, a.shape) == (b.dtype, b.shape)
    np.testing.assert_array_equal(a, b)
    if a.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(a), np.signbit(b))


@given(array=arrays(), dtype=st.sampled_from(DTYPES), special=SPECIAL)
def test_an_array_or_tensor_comes_back(array, dtype, special):
    array = np.asarray(3 * array).astype(dtype)
    if array.size and array.dtype.kind == "f":
        array.flat[0] = special
    same(eval(as_code(array), NAMES), array)
    t = minidl.from_numpy(array)
    back = eval(as_code(t), NAMES)
    assert back.dtype == t.dtype
    same(back.numpy(), t.numpy())


@pytest.mark.parametrize(
    "value",
    [
        1,
        -2.5,
        float("-inf"),
        True,
        None,
        "tanh",
        (1,),
        (),
        [slice(None), slice(1, None, 2), ...],
        {"dim": -1, "sizes": (2, 3)},
        np.float32(0.1),
        np.int8(3),
        np.bool_(True),
        minidl.float64,
        np.float32,
    ],
    ids=repr,
)
def test_a_value_comes_back(value):
    assert eval(as_code(value), NAMES) == value


def test_the_default_type_is_left_out_only_where_it_is_the_default():
    assert as_code(minidl.tensor([0.5])) == "minidl.tensor([0.5])"
    assert as_code(minidl.tensor([1])) == "minidl.tensor([1])"
    assert as_code(minidl.tensor([0.5]).double()) == "minidl.tensor([0.5], dtype=minidl.float64)"
    minidl.set_default_dtype(minidl.float64)
    try:
        t = minidl.tensor([0.5], dtype=minidl.float32)
        assert as_code(t) == "minidl.tensor([0.5], dtype=minidl.float32)"
    finally:
        minidl.set_default_dtype(minidl.float32)


def test_long_arrays_are_broken_into_lines():
    array = np.random.default_rng(0).standard_normal((2, 3, 9))
    text = as_code(array)
    assert max(map(len, text.splitlines())) <= 100
    same(eval(text, NAMES), array)


def test_calls():
    x = minidl.tensor([0.0, 1.0], dtype=minidl.float64)
    code = "minidl.tensor([0.0, 1.0], dtype=minidl.float64)"
    assert call_as_code("softmax", (x,), {"dim": -1}) == f"softmax({code}, dim=-1)"
    assert call_as_code("f", (x, 2), {}, ["x", "n"]) == f"x = {code}\nf(x, 2)"
    assert call_as_code("f", ([x],), {}, ["parts"]) == f"f([{code}])"
    assert call_as_code("f", (x,), {}, ["input 0"]) == f"f({code})"


# ------------------------------------------------------------------------------------- the message


def example(**fields):
    return CheckError(
        "softmax",
        "wrong derivative with respect to x",
        "x",
        (1,),
        0.5,
        -0.25,
        **{
            "gap": "d (v . out) / d x[1]:  backward 0.5, finite differences -0.25",
            "code": "x = minidl.tensor([0.0, 0.0])\nsoftmax(x, dim=-1)",
            "words": "your rule treats each element alone",
            "rule": "'x' of softmax (my_ops.py:12)",
        }
        | fields,
    )


def test_the_whole_message():
    error = example()
    error.smallest = True
    assert str(error) == (
        "softmax: wrong derivative with respect to x\n"
        "  smallest input found\n"
        "    x = minidl.tensor([0.0, 0.0])\n"
        "    softmax(x, dim=-1)\n"
        "  d (v . out) / d x[1]:  backward 0.5, finite differences -0.25\n"
        "  in words: your rule treats each element alone\n"
        "  the rule: 'x' of softmax (my_ops.py:12)"
    )
    assert (error.op, error.input, error.index) == ("softmax", "x", (1,))
    assert (error.analytic, error.numeric) == (0.5, -0.25)


def test_what_is_not_known_is_left_out():
    assert str(CheckError("exp", "is random")) == "exp: is random"
    assert str(example(words="", rule="", gap="", code="f()")).splitlines()[1:] == [
        "  input",
        "    f()",
    ]


def test_words_and_code_are_made_once_and_only_when_read():
    made = []
    error = example(words=lambda: made.append("words") or "it is wrong", code=lambda: "f()")
    assert error.message("gap") and made == []
    assert "in words: it is wrong" in str(error) and str(error)
    assert made == ["words"]
    error.words = "something else"
    assert error.words == "something else"


def test_long_words_are_wrapped_and_long_code_is_cut():
    error = example(words="a b c " * 60, code="\n".join(map(str, range(100))))
    lines = str(error).splitlines()
    assert max(map(len, lines)) <= 100
    assert "    ... (76 lines more)" in lines
    assert len(lines) < 40


def test_errors_cross_processes():
    for kind in (CheckError, GradientError):
        error = kind("f", "is wrong", "x", (0,), 1.0, 2.0, words=lambda: "by 1")
        error.smallest = True
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is kind
        assert str(again) == str(error)
        assert again.__dict__ == error.__dict__


def test_a_gradient_error_is_a_check_error_is_an_assertion_error():
    assert issubclass(GradientError, CheckError)
    assert issubclass(CheckError, AssertionError)
