"""Every op's first and second derivative against finite differences, from its record.

Ops with a definition or a kernel are checked twice: as they are in float64 (the definition runs and
its parts are recorded), and with one fused node recorded per call (the rules and the replay run).
"""

from contextlib import nullcontext

import pytest
from calls import arguments, each_record, function_of, leaf
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl import kernels, ops, testing
from minidl.testing import gradcheck, gradgradcheck

EXAMPLES = settings().max_examples


def fused(record):
    op = getattr(ops.all_ops().get(record.name), "op", None)
    return op is not None and (op.definition or op.kernels)


def check(check, record, device, data, context):
    sample = data.draw(record.samples)
    args = arguments(record, sample, lambda a: leaf(a, device))
    if any(t.requires_grad for t in testing.trees.tensors(args)):
        with context:
            check(function_of(record, sample, device), args)


@each_record(lambda record: record.order >= 1)
@settings(max_examples=max(EXAMPLES // 2, 1))
@given(data=st.data())
def test_first_derivative(record, device, data):
    check(gradcheck, record, device, data, nullcontext())


@each_record(lambda record: record.order >= 2)
@settings(max_examples=max(EXAMPLES // 3, 1))
@given(data=st.data())
def test_second_derivative(record, device, data):
    check(gradgradcheck, record, device, data, nullcontext())


@each_record(lambda record: record.order >= 1 and fused(record))
@settings(max_examples=max(EXAMPLES // 2, 1))
@given(data=st.data())
def test_first_derivative_of_the_fused_node(record, device, data):
    check(gradcheck, record, device, data, kernels.forced(reference=True))


@each_record(lambda record: record.order >= 2 and fused(record))
@settings(max_examples=max(EXAMPLES // 3, 1))
@given(data=st.data())
def test_second_derivative_of_the_fused_node(record, device, data):
    check(gradgradcheck, record, device, data, kernels.forced(reference=True))


@pytest.mark.smoke
def test_some_ops_are_fused():
    names = {name for name, function in ops.all_ops().items() if function.op.definition}
    assert {"softmax", "layer_norm", "batch_norm", "local_response_norm"} <= names
