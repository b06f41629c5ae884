"""autograd's edges: Functions with several outputs, decorators, hooks that return nonsense."""

import gc
import weakref

import pytest

import minidl
from minidl.autograd import Function, grad
from minidl.errors import DTypeError, GraphError, ShapeError


class ExpAndDouble(Function):
    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y, x * 2

    @staticmethod
    def backward(ctx, g, h):
        (y,) = ctx.saved_tensors
        return g * y + h * 2


def test_a_function_that_saves_one_of_its_outputs_has_second_derivatives():
    x = minidl.tensor(0.5, dtype=minidl.float64, requires_grad=True)
    y, _ = ExpAndDouble.apply(x)
    (g,) = grad(y, x, create_graph=True)
    (h,) = grad(g, x)
    assert h.item() == pytest.approx(y.item(), rel=1e-12)


def test_a_function_leaves_no_cycle_behind():
    gc.collect()
    gc.disable()
    try:
        x = minidl.ones(3, requires_grad=True)
        y, _ = ExpAndDouble.apply(x)
        node = weakref.ref(y.grad_fn)
        y.sum().backward(retain_graph=True)
        del y, _
        assert node() is None
    finally:
        gc.enable()


def test_a_function_may_return_none_for_arguments_that_are_not_there():
    class Double(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2, None

    x = minidl.ones(1, requires_grad=True)
    Double.apply(x).backward()
    assert x.grad.tolist() == [2.0]


def test_grad_modes_as_decorators():
    @minidl.set_grad_enabled(False)
    def off():
        return minidl.is_grad_enabled()

    @minidl.no_grad
    def bare():
        return minidl.is_grad_enabled()

    assert minidl.is_grad_enabled()
    assert not off() and not bare()
    assert minidl.is_grad_enabled()


def test_no_grad_on_a_generator_holds_while_its_body_runs_only():
    @minidl.no_grad()
    def states():
        yield minidl.is_grad_enabled()
        yield minidl.is_grad_enabled()

    running = states()
    assert next(running) is False
    assert minidl.is_grad_enabled()
    assert next(running) is False


@pytest.mark.parametrize(
    ("returned", "error"), [(3, TypeError), (minidl.ones(1), ShapeError)], ids=["number", "shape"]
)
def test_a_hook_that_returns_nonsense_is_refused(returned, error):
    x = minidl.ones(2, requires_grad=True)
    x.register_hook(lambda g: returned)
    with pytest.raises(error, match="a hook"):
        (x * 2).sum().backward()


def test_grad_takes_only_what_fits():
    x = minidl.ones(2, requires_grad=True)
    with pytest.raises(TypeError, match="Tensor or None"):
        x.grad = 5
    for bad in (minidl.ones(3), minidl.ones(2, dtype=minidl.float64)):
        with pytest.raises(ShapeError, match="shape"):
            x.grad = bad
    x.grad = minidl.ones(2)
    (x * 2).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_data_of_a_leaf_stays_a_float():
    x = minidl.ones(2, requires_grad=True)
    with pytest.raises(DTypeError, match="requires a gradient"):
        x.data = minidl.zeros(2, dtype=minidl.int64)


def test_backward_to_no_inputs_is_refused():
    x = minidl.ones(2, requires_grad=True)
    with pytest.raises(GraphError, match="inputs"):
        (x * 2).sum().backward(inputs=[])


def test_an_op_in_place_may_need_what_it_overwrites():
    x = minidl.tensor([2.0, 3.0], requires_grad=True)
    w = minidl.tensor([5.0, 7.0], requires_grad=True)
    y = x.clone()
    y.mul_(w)  # the gradient of w needs y as it was
    y.sum().backward()
    assert w.grad.tolist() == [2.0, 3.0]
    assert x.grad.tolist() == [5.0, 7.0]


def test_a_first_gradient_is_never_shared():
    a, b = (minidl.ones(3, requires_grad=True) for _ in range(2))
    (a + b).sum().backward()
    a.grad.mul_(5)
    assert b.grad.tolist() == [1.0, 1.0, 1.0]
    cotangent = minidl.ones(3)
    a.grad = b.grad = None
    (a + b).backward(cotangent)
    a.grad.mul_(5)
    assert b.grad.tolist() == cotangent.tolist() == [1.0, 1.0, 1.0]


def test_a_function_may_return_more_than_tensors_and_says_what_its_gradient_must_be():
    class Mixed(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2, 5

        @staticmethod
        def backward(ctx, g, _):
            return 1.0 if g is None else g * 2

    class Wrong(Mixed):
        @staticmethod
        def backward(ctx, g, _):
            return 2.0

    x = minidl.ones(1, requires_grad=True)
    y, five = Mixed.apply(x)
    assert five == 5
    y.backward()
    assert x.grad.tolist() == [2.0]
    with pytest.raises(TypeError, match=r"Wrong\.backward must return tensors"):
        Wrong.apply(x)[0].backward()
