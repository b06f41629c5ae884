"""autograd.Function: operations of the user."""

import pytest
from leaves import ones

import minidl
from minidl import GraphError, autograd
from minidl.testing import gradcheck

pytestmark = pytest.mark.smoke


class Cube(autograd.Function):
    @staticmethod
    def forward(ctx, x, scale):
        ctx.save_for_backward(x)
        ctx.scale = scale
        return scale * x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        assert ctx.needs_input_grad == (True, False)
        return g * ctx.scale * 3 * x**2, None


def test_a_function_has_derivatives_of_any_order(device):
    x = minidl.tensor([1.0, 2.0], dtype=minidl.float64, device=device, requires_grad=True)
    y = Cube.apply(x, 2.0)
    for expected in ([6.0, 24.0], [12.0, 24.0], [12.0, 12.0]):
        (y,) = autograd.grad(y.sum(), x, create_graph=True)
        assert y.tolist() == expected
    assert gradcheck(Cube.apply, (x, 2.0))


def test_a_function_that_returns_its_input(device):
    class Same(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return 5 * g

    x = ones(2, device=device)
    Same.apply(x).sum().backward()
    assert x.grad.tolist() == [5.0, 5.0]


def test_a_function_is_not_recorded_without_need(device):
    assert not Cube.apply(ones(2, device=device, requires_grad=False), 2.0).requires_grad
    with minidl.no_grad():
        assert not Cube.apply(ones(2, device=device), 2.0).requires_grad


def test_a_saved_tensor_that_was_changed_is_noticed(device):
    x = ones(2, device=device)
    y = x * 1
    z = Cube.apply(y, 1.0)
    y.add_(1)
    with pytest.raises(GraphError, match=r"Cube.*changed in place"):
        z.sum().backward()


def test_a_freed_function_says_so(device):
    z = Cube.apply(ones(2, device=device), 1.0).sum()
    z.backward()
    with pytest.raises(GraphError, match="second time"):
        z.backward()


def test_wrong_number_of_gradients(device):
    class Bad(autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, g):
            return g

    x = ones(2, device=device)
    with pytest.raises(GraphError, match=r"Bad.backward returned 1 gradients.*2"):
        Bad.apply(x, x).sum().backward()


def test_wrong_shape_of_a_gradient(device):
    class Bad(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g[:1].expand(3)

    with pytest.raises(minidl.ShapeError, match=r"Bad.*\(3,\).*\(2,\)"):
        Bad.apply(ones(2, device=device)).sum().backward()


def test_a_gradient_is_converted_to_the_type_of_its_input(device):
    class Single(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g.float()

    x = ones(2, device=device)
    Single.apply(x).sum().backward()
    assert x.grad.dtype == minidl.float64


def test_outputs_without_gradient(device):
    class ValueAndIndex(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            values, indices = x.max(0)
            ctx.save_for_backward(indices)
            ctx.mark_non_differentiable(indices)
            return values, indices

        @staticmethod
        def backward(ctx, g, _):
            (indices,) = ctx.saved_tensors
            return minidl.ops.one_hot(indices, 3).double() * g

    x = minidl.tensor([1.0, 5.0, 2.0], dtype=minidl.float64, device=device, requires_grad=True)
    value, index = ValueAndIndex.apply(x)
    assert value.requires_grad and not index.requires_grad
    (value * 2).backward()
    assert x.grad.tolist() == [0.0, 2.0, 0.0]
