"""An op of the user cannot take the place of one of minidl's."""

import pytest

import minidl
from minidl.makers import op


def test_a_name_of_minidls_is_refused():
    def mul(input, other):
        return input - other

    mul.__annotations__ = {"input": "Array", "other": "Array"}
    with pytest.raises(ValueError, match="'mul' in minidl already"):
        op(mul)
    assert (minidl.tensor(2.0) * minidl.tensor(3.0)).item() == 6


def test_a_users_op_can_be_written_again():
    def tripled(input):
        return input * 3

    tripled.__annotations__ = {"input": "Array"}
    op(tripled)
    assert op(tripled)(minidl.tensor(2.0)).item() == 6
