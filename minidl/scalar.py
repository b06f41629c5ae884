"""Backpropagation on single numbers: the whole idea of minidl in one file.

Every operation writes a **node** on the **tape**: the number it gave, the inputs it was given, and
one **vjp** per input. A vjp answers one question: if the end result changes by g for each unit of
my output, by how much does it change for each unit of this input? That g is the output's
**cotangent**; the answer is the input's share of it. (For arrays the answer is a vector times a
Jacobian matrix, hence "vector-Jacobian product". For numbers it is g times a slope.)

    z = x * y + x ** 2        at x = 3, y = 2

    the tape, oldest first    the walk, newest first
    0  x = 3                  4  z has cotangent 1 and passes 1 to a, 1 to b
    1  y = 2                  3  b has cotangent 1 and passes 1 * 2x = 6 to x
    2  a = x * y  = 6         2  a has cotangent 1 and passes 1 * y = 2 to x, 1 * x = 3 to y
    3  b = x ** 2 = 9         1  y has cotangent 3          = dz/dy
    4  z = a + b  = 15        0  x has cotangent 6 + 2 = 8  = dz/dx

>>> x, y = Value(3.0), Value(2.0)
>>> z = x * y + x**2
>>> z.backward()
>>> x.grad, y.grad
(8.0, 3.0)

No list holds the tape: each node holds its inputs, and its `sequence` says where it stands (the
numbers on the left).

Why newest first: x was used twice, so two shares arrive. Whatever used x is newer than x, so when
the walk reaches x both are there. Gradients accumulate: a second backward adds to the first.

>>> (x * 10).backward()
>>> x.grad
18.0

The vjps are written with the same operations, so their work can go on the tape too, and be
differentiated again. The derivatives of x ** 3 at 2:

>>> x = Value(2.0)
>>> (first,) = grad(x**3, [x], create_graph=True)
>>> (second,) = grad(first, [x], create_graph=True)
>>> first, second, grad(second, [x])
(Value(12.0), Value(12.0), [6.0])

`minidl/tape.py` (what is remembered) and `minidl/backward.py` (the walk) are this file on arrays.
"""

import heapq
import itertools
import math
from collections.abc import Callable, Iterator, Sequence

next_sequence = itertools.count().__next__


class Value:
    """A number that remembers how it was made. Without inputs it is a leaf: it collects `grad`."""

    __slots__ = ("grad", "inputs", "number", "sequence", "vjps")

    def __init__(self, number: float, inputs: tuple = (), vjps: tuple = ()) -> None:
        self.number = float(number)
        self.grad = 0.0
        self.inputs = inputs  # Values and plain numbers
        self.vjps = vjps  # one for each input
        self.sequence = next_sequence()  # the place on the tape

    def backward(self) -> None:
        """Add d self / d leaf to the `grad` of every leaf that self was made from."""
        for node, cotangent in walk(self):
            if not node.inputs:
                node.grad += cotangent

    def __repr__(self) -> str:
        return f"Value({self.number})"


def op(forward: Callable, *vjps: Callable) -> Callable:
    """Make an operation: `forward` on plain numbers, and for each input a vjp(g, out, *inputs)."""

    def call(*inputs):
        out = forward(*map(number, inputs))
        if not any(isinstance(x, Value) for x in inputs):
            return out  # nothing to remember
        return Value(out, inputs, vjps)

    return call


def number(x: "Value | float") -> float:
    return x.number if isinstance(x, Value) else x


add = op(
    lambda x, y: x + y,
    lambda g, out, x, y: g,
    lambda g, out, x, y: g,
)
mul = op(
    lambda x, y: x * y,
    lambda g, out, x, y: g * y,
    lambda g, out, x, y: g * x,
)
power = op(  # at x = 0 the factors x**-1 and log(x) do not exist, but what they multiply is 0
    math.pow,
    lambda g, out, x, y: g * y * x ** (y - 1) if number(x) or number(y) else g * 0,
    lambda g, out, x, y: g * out * log(x) if number(x) else g * 0,
)
exp = op(math.exp, lambda g, out, x: g * out)
log = op(math.log, lambda g, out, x: g * x**-1)
tanh = op(math.tanh, lambda g, out, x: g * (1 - out * out))
relu = op(lambda x: max(x, 0.0), lambda g, out, x: g * (number(x) > 0))  # the slope at 0 is 0

# Operators are those operations. What is made from others needs no vjp: it follows.
Value.__add__ = Value.__radd__ = add
Value.__mul__ = Value.__rmul__ = mul
Value.__pow__ = power
Value.__rpow__ = lambda x, y: power(y, x)
Value.__neg__ = lambda x: x * -1
Value.__sub__ = lambda x, y: x + -y
Value.__rsub__ = lambda x, y: y + -x
Value.__truediv__ = lambda x, y: x * y**-1
Value.__rtruediv__ = lambda x, y: y * x**-1
Value.exp, Value.log, Value.tanh, Value.relu = exp, log, tanh, relu


def walk(output: Value, create_graph: bool = False) -> "Iterator[tuple[Value, Value | float]]":
    """Go back along the tape, newest first; give each node with its full cotangent.

    The heap hands out the newest node that has been reached: all its users are newer and are done.
    With `create_graph` the vjps run on Values and are recorded, else they run on plain numbers.
    """
    see = (lambda x: x) if create_graph else number
    cotangents = {output: Value(1.0) if create_graph else 1.0}
    waiting = [(-output.sequence, output)]
    while waiting:
        _, node = heapq.heappop(waiting)
        g = cotangents.pop(node)
        yield node, g
        for x, vjp in zip(node.inputs, node.vjps, strict=True):
            if not isinstance(x, Value):
                continue  # a constant
            share = vjp(g, see(node), *map(see, node.inputs))
            if x in cotangents:
                cotangents[x] += share
            else:
                cotangents[x] = share
                heapq.heappush(waiting, (-x.sequence, x))


def grad(output: Value, inputs: Sequence[Value], create_graph: bool = False) -> list:
    """Return d output / d input for each input: numbers, and `.grad` is left alone.

    With `create_graph` the results are Values, to be differentiated again.
    """
    cotangents = dict(walk(output, create_graph))
    return [cotangents.get(x, Value(0.0) if create_graph else 0.0) for x in inputs]
