"""Values and gradients do not depend on how inputs lie in memory."""

import numpy as np
import pytest
from calls import arguments, each_record, function_of, gradients, leaf
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import testing

LAYOUTS = {
    "column-major": lambda a: np.asarray(a, order="F"),
    "every second element": lambda a: np.repeat(a[..., None], 2, -1)[..., 0],
    "negative strides": lambda a: np.flip(np.array(np.flip(a))),
    "inside a larger array": lambda a: np.pad(a, 1)[(slice(1, -1),) * a.ndim],
}


def relaid(t, layout):
    """The same tensor, a leaf like before, on memory of another layout."""
    moved = minidl.from_numpy(np.asarray(LAYOUTS[layout](testing.to_numpy(t))))
    return moved.to(t.device).requires_grad_(t.requires_grad)


@each_record(lambda record: record.name != "view")  # view is about layout: test_views.py
@pytest.mark.parametrize("layout", LAYOUTS)
@given(data=st.data())
def test_layout_of_inputs_does_not_show(record, layout, device, data):
    sample = data.draw(record.samples)
    function = function_of(record, sample, device)
    plain = arguments(record, sample, lambda a: leaf(a, device))
    moved = testing.trees.replace(
        plain, iter([relaid(t, layout) for t in testing.trees.tensors(plain)])
    )
    values, grads = gradients(function, plain)
    same_values, same_grads = gradients(function, moved)
    for a, b in zip(same_values, values, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    for a, b in zip(same_grads, grads, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
