"""An op that ignores its input does not pass, whatever shapes it is tried on."""

import pytest

from minidl.testing import CheckError, check_op
from minidl.testing.strategies import arrays, shapes


@pytest.mark.parametrize("shape", [(), (3,), shapes()], ids=["0-d", "1-d", "any"])
def test_a_constant_is_caught(shape):
    def constant(x):
        return x * 0 + 3

    with pytest.raises(CheckError, match="does not depend on x"):
        check_op(constant, samples=arrays(shape), max_examples=60)
