"""Right and wrong derivatives to try the checkers on, each an autograd.Function."""

import numpy as np

import minidl
from minidl.autograd import Function
from minidl.testing import to_numpy


def leaf(*shape, seed=0, positive=False):
    values = np.random.default_rng(seed).standard_normal(shape)
    return minidl.tensor(np.abs(values) + 0.5 if positive else values, requires_grad=True)


def custom(forward, backward, name="custom"):
    """An op from `forward(*inputs)` and `backward(g, out, *inputs)`, both written in tensors."""

    class Custom(Function):
        @staticmethod
        def forward(ctx, *inputs):
            out = forward(*inputs)
            ctx.save_for_backward(out, *inputs)
            return out

        @staticmethod
        def backward(ctx, g):
            return backward(g, *ctx.saved_tensors)

    Custom.__name__ = name
    return Custom.apply


def softmax_backward(g, y, x):
    return y * (g - (g * y).sum(-1, keepdim=True))


def normalized(x):
    """Batch norm without weights: each column to mean 0 and variance 1."""
    centred = x - x.mean(0, keepdim=True)
    return centred / (centred * centred).mean(0, keepdim=True).sqrt()


def normalized_backward(g, y, x, mean_term=1.0, scale_term=1.0):
    centred = x - x.mean(0, keepdim=True)
    deviation = (centred * centred).mean(0, keepdim=True).sqrt()
    mean = g.mean(0, keepdim=True)
    along_y = y * (g * y).mean(0, keepdim=True)
    return (g - mean_term * mean - scale_term * along_y) / deviation


def as_laid_out_in_memory(t):
    """The elements of a tensor in memory order, as careless compiled code would read them."""
    array = to_numpy(t)
    start = array.base if array.base is not None else array
    return start.ravel()[: array.size].reshape(array.shape)


def second_ignores_incoming(g, y, x):
    """tanh's derivative by an op whose own derivative forgets the incoming gradient."""
    product = custom(lambda a, b: a * b, lambda h, out, a, b: (h * b, h.sign() * a))
    return product(g, 1 - y * y)
