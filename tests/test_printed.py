"""The comparison that README and examples are checked with must itself see differences."""

import pytest
from printed import differences

SAME = [
    ("loss 0.123", "loss 0.125"),
    ("loss 0.123", "loss   0.121\n"),
    ("took 3 s", "took 11.5 s"),
    ("accuracy ~0.95", "accuracy 0.81"),
    ("1.2e-05 at x[3]", "1.4e-05 at x[3]"),
    ("tensor([0.1000, -2.])", "tensor([ 0.1001, -2.])"),
    ("12 ops, float32", "12 ops, float32"),
    ("", "\n\n"),
]
DIFFERENT = [
    ("loss 0.123", "loss 0.126"),
    ("loss 0.123", "Loss 0.123"),
    ("loss 0.123", "loss nan"),
    ("loss 0.123", "loss 0.123\nmore"),
    ("12 ops", "13 ops"),
    ("12 ops, float32", "12 ops, float64"),
    ("accuracy ~0.95", "accuracy 0.75"),
    ("1.2e-05 at x[3]", "1.5e-05 at x[3]"),
    ("1.2e-05 at x[3]", "1.2e-05 at x[4]"),
    ("took 3 s", "took a while"),
    ("took 3 s", "took 3 min"),
    ("-0.5", "0.5"),
]


@pytest.mark.parametrize(("promised", "printed"), SAME)
def test_same(promised, printed):
    assert differences(promised, printed) == []


@pytest.mark.parametrize(("promised", "printed"), DIFFERENT)
def test_different(promised, printed):
    assert differences(promised, printed)
