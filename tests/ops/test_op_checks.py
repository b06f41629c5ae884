"""Every op through every check of `minidl.testing`, on samples of its record."""

import pytest

from minidl import ops, testing
from minidl.testing import OP_CHECKS
from minidl.testing.checks import run

PAIRS = [
    pytest.param(check, record, id=f"{check.__name__}-{record.name}")
    for check in OP_CHECKS
    for record in testing.ops()
    if check.applies(record)
]


@pytest.mark.parametrize(("check", "record"), PAIRS)
def test_holds(check, record, device, examples):
    run(check, record, device=device, max_examples=examples)


@pytest.mark.smoke
def test_some_ops_are_fused():
    names = {name for name, function in ops.all_ops().items() if function.op.definition}
    assert {"softmax", "layer_norm", "batch_norm", "local_response_norm"} <= names


@pytest.mark.smoke
def test_every_check_applies_to_some_op():
    assert {pair.values[0].__name__ for pair in PAIRS} == {check.__name__ for check in OP_CHECKS}
