"""Hypothesis strategies for what ops are called with.

    from hypothesis import given
    from minidl.testing import gradcheck, strategies

    @given(x=strategies.tensors(strategies.shapes(min_dims=1), requires_grad=True))
    def test_softmax(x):
        assert gradcheck(lambda x: my_softmax(x, -1), (x,))

A strategy `thing` gives valid things only; `invalid_thing` gives calls that must be refused.
"""

from minidl.testing.strategies.arrays import arrays, integer_arrays, masks, tensors
from minidl.testing.strategies.domains import ANY, DISTINCT, NOT_ZERO, POSITIVE, Domain
from minidl.testing.strategies.indices import (
    advanced_indices,
    basic_indices,
    invalid_advanced_indices,
    invalid_basic_indices,
)
from minidl.testing.strategies.layouts import LAYOUTS, layouts, relaid
from minidl.testing.strategies.products import (
    EinsumCall,
    einsum_calls,
    invalid_einsum_calls,
    invalid_matmul_shapes,
    matmul_shapes,
    sides,
)
from minidl.testing.strategies.programs import Program, programs
from minidl.testing.strategies.shapes import (
    axes,
    axis,
    broadcastable_shapes,
    invalid_axes,
    invalid_broadcastable_shapes,
    shapes,
)
from minidl.testing.strategies.windows import (
    ConvCall,
    PoolCall,
    conv_calls,
    invalid_conv_calls,
    invalid_pool_calls,
    pool_calls,
    windows,
)

__all__ = [
    "ANY",
    "DISTINCT",
    "LAYOUTS",
    "NOT_ZERO",
    "POSITIVE",
    "ConvCall",
    "Domain",
    "EinsumCall",
    "PoolCall",
    "Program",
    "advanced_indices",
    "arrays",
    "axes",
    "axis",
    "basic_indices",
    "broadcastable_shapes",
    "conv_calls",
    "einsum_calls",
    "integer_arrays",
    "invalid_advanced_indices",
    "invalid_axes",
    "invalid_basic_indices",
    "invalid_broadcastable_shapes",
    "invalid_conv_calls",
    "invalid_einsum_calls",
    "invalid_matmul_shapes",
    "invalid_pool_calls",
    "layouts",
    "masks",
    "matmul_shapes",
    "pool_calls",
    "programs",
    "relaid",
    "shapes",
    "sides",
    "tensors",
    "windows",
]
