"""The tape against a naive oracle, on random programs with writes, views, hooks and two backwards.

The oracle carries with every number its derivatives with respect to every earlier tensor (forward
mode): no tape, no rules, no replay of views. A tensor of the oracle is a set of cells of a memory;
views are other sets of cells of the same memory. Whatever order of calls hypothesis finds, minidl's
values must be the oracle's, and each gradient must be right or the call must raise a GraphError
for which the oracle knows a reason: a saved value that was overwritten, or a graph that was freed.
"""

import math

import numpy as np
from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import minidl
from minidl import GraphError
from minidl.testing import to_numpy

COLUMNS = 900  # derivatives are kept with respect to this many numbers
SHAPE = (2, 3)

# ------------------------------------------------------------------------------------- the oracle


class Memory:
    """Numbers that several tensors may share, and how often they were written."""

    def __init__(self, values):
        self.values, self.version = values, 0


class Step:
    """What a backward has to visit: the steps before it, and the memory it will read."""

    def __init__(self, before=(), reads=()):
        self.before, self.is_leaf, self.freed = before, not before, False
        self.reads = [(memory, memory.version) for memory in reads]

    def path(self):
        """This step and all before it."""
        seen, stack = {self}, [self]
        while stack:
            new = [step for step in stack.pop().before if step not in seen]
            seen.update(new)
            stack += new
        return seen

    def may_raise(self):
        return self.freed or any(memory.version != version for memory, version in self.reads)


class Place:
    """A tensor at one moment of its life: where hooks sit, and what gradients are taken of."""

    def __init__(self, columns, upstream):
        self.columns, self.upstream, self.hooks = columns, upstream, []


class Base:
    """The history of a tensor and its views: derivatives of each cell, and the last step."""

    def __init__(self, derivatives, step):
        self.derivatives, self.step, self.place = derivatives, step, None


class Traced:
    """A tensor: cells `index` of `memory` with the history of `base`; `real` is minidl's."""

    def __init__(self, memory, base, index, real, is_view=False):
        self.memory, self.base, self.index, self.real = memory, base, index, real
        self.is_view, self.view_place, self.view_step = is_view, None, None
        self.retained, self.grad = False, None

    @property
    def value(self):
        return self.memory.values[self.index]

    @property
    def requires_grad(self):
        return self.base.step is not None

    @property
    def is_leaf(self):
        return self.base.step is None or (self.base.step.is_leaf and not self.is_view)


class Oracle:
    def __init__(self):
        self.places, self.used = [], 0

    def new_place(self, upstream):
        """A variable; `upstream` is its derivative with respect to all earlier ones."""
        columns = slice(self.used, self.used + len(upstream))
        self.used += len(upstream)
        self.places.append(Place(columns, upstream))
        return self.places[-1]

    def settle(self, base, derivatives, step):
        """Give a base new derivatives and a new step; they include the base itself as variable."""
        base.derivatives, base.step = derivatives, step
        if step is not None:
            base.place = self.new_place(derivatives.copy())
            base.derivatives[:, base.place.columns] += np.eye(len(derivatives))

    def place_of(self, t):
        """The place of t now: a view is a new variable whenever its base was written."""
        if not t.is_view:
            return t.base.place
        if t.view_step is not t.base.step:
            self.set_view_place(t, t.base.derivatives[t.index.ravel()].copy())
        return t.view_place

    def set_view_place(self, t, upstream):
        t.view_place, t.view_step = self.new_place(upstream), t.base.step

    def derivatives(self, t):
        """Derivatives of the elements of t with respect to everything, t itself included."""
        if not t.requires_grad:
            return zeros(t.index.size)
        if not t.is_view:
            return t.base.derivatives[t.index.ravel()]
        place = self.place_of(t)
        found = place.upstream.copy()
        found[:, place.columns] += np.eye(t.index.size)
        return found

    def computed(self, value, operands, weights, reads, recording):
        """Derivatives and step of a result with d result / d operand = weight, elementwise."""
        found, before = zeros(value.size), []
        for t, weight in zip(operands, weights, strict=True):
            if t.requires_grad:
                elements = np.arange(t.index.size).reshape(t.index.shape)
                elements = np.broadcast_to(elements, value.shape).ravel()
                weight = np.broadcast_to(weight, value.shape).reshape(-1, 1)
                found += weight * self.derivatives(t)[elements]
                before.append(t.base.step)
        if not (recording and before):
            return zeros(value.size), None
        return found, Step(before, reads)

    def write(self, t, value, derivatives, step, recorded):
        """Write into the cells of t; if that is recorded, its base moves on to a new step."""
        t.memory.values[t.index.ravel()] = value.ravel()
        t.memory.version += 1
        if recorded:
            base = t.base
            changed = base.derivatives.copy()
            changed[t.index.ravel()] = derivatives
            self.settle(base, changed, Step([s for s in (base.step, step) if s is not None]))

    def gradients(self, t, cotangent):
        """Gradients of all variables, newest first so that hooks act on what is before them.

        Also what each hook is given: {(place, number of the hook): gradient}.
        """
        total = cotangent.ravel() @ self.derivatives(t)
        heard = {}
        for place in reversed(self.places):
            own = total[place.columns].copy()
            for number, (factor, _) in enumerate(place.hooks):
                heard[place, number] = own
                own = own if factor is None else own * factor
            change = own - total[place.columns]
            if change.any():
                total = total + change @ place.upstream
                total[place.columns] = own
        return total, heard


def zeros(count):
    return np.zeros((count, COLUMNS))


# ------------------------------------------------------------------------------------ what is done

# name: (function, its derivative from input and output, whether a rule reads input or output)
UNARY = {
    "neg": (np.negative, lambda x, y: -1.0, None),
    "tanh": (np.tanh, lambda x, y: 1 - y * y, "output"),
    "sin": (np.sin, lambda x, y: np.cos(x), "input"),
    "relu": (lambda x: np.maximum(x, 0), lambda x, y: (x > 0) * 1.0, "output"),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), lambda x, y: y * (1 - y), "output"),
    "clone": (np.copy, lambda x, y: 1.0, None),
}
IN_PLACE = ("neg", "tanh", "relu", "sigmoid")
# name: (function, its derivatives, whether each rule reads the other operand)
BINARY = {
    "add": (np.add, lambda a, b: (1.0, 1.0), False),
    "sub": (np.subtract, lambda a, b: (1.0, -1.0), False),
    "mul": (np.multiply, lambda a, b: (b, a), True),
}
VIEWS = {
    "[0]": lambda x: x[0],
    "[-1:]": lambda x: x[-1:],
    "[..., 1:]": lambda x: x[..., 1:],
    ".T": lambda x: x.T,
    "[None]": lambda x: x[None],
    "[..., ::2]": lambda x: x[..., ::2],
}
PARTS = {"...": ..., "0": 0, "..., 1:": (..., slice(1, None)), "[0]": [0]}
FLAG = st.sampled_from([True, True, True, False])


class Tape(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.oracle = Oracle()
        self.tensors = []

    def room(self):
        return self.oracle.used + 40 < COLUMNS and len(self.tensors) < 40

    def pick(self, data, condition=lambda t: True):
        return data.draw(st.sampled_from([t for t in self.tensors if condition(t)]))

    def name(self, t):
        return f"t{self.tensors.index(t)}"

    def add(self, t, said):
        note(f"t{len(self.tensors)} = {said}")
        self.tensors.append(t)

    def result(self, value, derivatives, step, real, said):
        base = Base(derivatives, step)
        self.oracle.settle(base, derivatives, step)
        index = np.arange(value.size).reshape(value.shape)
        t = Traced(Memory(value.ravel().copy()), base, index, real)
        self.add(t, said)
        return t

    @initialize(seed=st.integers(0, 999))
    def start(self, seed):
        for value in np.random.default_rng(seed).uniform(-1, 1, (2, *SHAPE)):
            leaf = minidl.tensor(value, requires_grad=True)
            self.result(value, zeros(value.size), Step(), leaf, "a leaf")
        value = np.random.default_rng(seed + 1).uniform(-1, 1, SHAPE)
        self.result(value, zeros(value.size), None, minidl.tensor(value), "a constant")

    # ---- new tensors

    @precondition(room)
    @rule(data=st.data(), name=st.sampled_from(list(UNARY)), recording=FLAG)
    def unary(self, data, name, recording):
        x = self.pick(data)
        function, derivative, read = UNARY[name]
        value = function(x.value)
        reads = [x.memory] if read == "input" else []
        found, step = self.oracle.computed(
            value, [x], [derivative(x.value, value)], reads, recording
        )
        with minidl.set_grad_enabled(recording):
            real = getattr(minidl, name)(x.real)
        t = self.result(value, found, step, real, f"{name}({self.name(x)})  {recording}")
        if step and read == "output":
            step.reads.append((t.memory, 0))

    @precondition(room)
    @rule(data=st.data(), name=st.sampled_from(list(BINARY)), recording=FLAG)
    def binary(self, data, name, recording):
        a = self.pick(data)
        b = self.pick(data, lambda t: fits(t.index.shape, a.index.shape))
        function, derivatives, reads_other = BINARY[name]
        value, weights = function(a.value, b.value), derivatives(a.value, b.value)
        reads = [y.memory for x, y in ((a, b), (b, a)) if x.requires_grad and reads_other]
        found, step = self.oracle.computed(value, [a, b], weights, reads, recording)
        with minidl.set_grad_enabled(recording):
            real = getattr(minidl, name)(a.real, b.real)
        said = f"{name}({self.name(a)}, {self.name(b)})  {recording}"
        self.result(value, found, step, real, said)

    @precondition(room)
    @rule(data=st.data(), factor=st.sampled_from([2.0, -0.5, 3]))
    def times_a_number(self, data, factor):
        x = self.pick(data)
        value = x.value * factor
        found, step = self.oracle.computed(value, [x], [factor], [], True)
        self.result(value, found, step, factor * x.real, f"{factor} * {self.name(x)}")

    @precondition(room)
    @rule(data=st.data())
    def total(self, data):
        x = self.pick(data)
        found = self.oracle.derivatives(x).sum(0, keepdims=True)
        step = Step([x.base.step]) if x.requires_grad else None
        self.result(x.value.sum(), found, step, x.real.sum(), f"{self.name(x)}.sum()")

    @precondition(room)
    @rule(data=st.data(), name=st.sampled_from(list(VIEWS)))
    def view(self, data, name):
        x = self.pick(data, lambda t: t.index.ndim in (1, 2))
        index = VIEWS[name](x.index)
        if not index.size or (name == ".T" and x.index.ndim == 1):
            return
        t = Traced(x.memory, x.base, index, VIEWS[name](x.real), is_view=True)
        if x.requires_grad:  # until the base is written, a view of a view hangs on that view
            elements = VIEWS[name](np.arange(x.index.size).reshape(x.index.shape)).ravel()
            self.oracle.set_view_place(t, self.oracle.derivatives(x)[elements])
        self.add(t, f"{self.name(x)}{name}")

    @precondition(room)
    @rule(data=st.data())
    def detach(self, data):
        x = self.pick(data, lambda t: not t.is_view)
        base = Base(zeros(x.memory.values.size), None)
        self.add(Traced(x.memory, base, x.index, x.real.detach()), f"{self.name(x)}.detach()")

    # ---- writes

    def write(self, t, value, found, step, recorded, recording, action):
        """A write in both worlds; while recording, a leaf that requires a gradient refuses it."""
        refused = recording and t.requires_grad and t.base.step.is_leaf
        try:
            with minidl.set_grad_enabled(recording):
                action()
        except GraphError as error:
            assert refused, f"refused without a reason: {error}"
        else:
            assert not refused, "a leaf that requires a gradient accepted a write"
            self.oracle.write(t, value, found, step, recorded)

    @precondition(room)
    @rule(data=st.data(), name=st.sampled_from(IN_PLACE), recording=FLAG)
    def unary_in_place(self, data, name, recording):
        t = self.pick(data)
        function, derivative, read = UNARY[name]
        value = function(t.value)
        found, step = self.oracle.computed(value, [t], [derivative(t.value, value)], [], recording)
        if step and read == "output":
            step.reads.append((t.memory, t.memory.version + 1))
        note(f"{self.name(t)}.{name}_()  {recording}")
        action = getattr(t.real, f"{name}_")
        self.write(t, value, found, step, step is not None, recording, action)

    @precondition(room)
    @rule(data=st.data(), name=st.sampled_from(list(BINARY)), recording=FLAG)
    def binary_in_place(self, data, name, recording):
        t = self.pick(data)
        b = self.pick(data, lambda x: fits(x.index.shape, t.index.shape, into=True))
        function, derivatives, reads_other = BINARY[name]
        value, weights = function(t.value, b.value), derivatives(t.value, b.value)
        # minidl keeps a copy of old values that the write itself overwrites: no reason to raise
        reads = [b.memory] if reads_other and t.requires_grad and b.memory is not t.memory else []
        found, step = self.oracle.computed(value, [t, b], weights, reads, recording)
        note(f"{self.name(t)}.{name}_({self.name(b)})  {recording}")
        self.write(
            t, value, found, step, step is not None, recording,
            lambda: getattr(t.real, f"{name}_")(b.real),
        )  # fmt: skip

    @precondition(room)
    @rule(data=st.data(), part=st.sampled_from(list(PARTS)), number=st.booleans(), recording=FLAG)
    def assign(self, data, part, number, recording):
        t = self.pick(data, lambda t: t.index.ndim or part == "...")
        target = Traced(t.memory, t.base, t.index[PARTS[part]], None, is_view=True)
        shape = target.index.shape
        number = number or not any(fits(x.index.shape, shape, into=True) for x in self.tensors)
        b = None if number else self.pick(data, lambda x: fits(x.index.shape, shape, into=True))
        value = np.broadcast_to(0.5 if number else b.value, shape).copy()
        operands = [] if number else [b]
        found, step = self.oracle.computed(value, operands, [1.0] * len(operands), [], recording)
        recorded = recording and (t.requires_grad or step is not None)
        note(f"{self.name(t)}[{part}] = {0.5 if number else self.name(b)}  {recording}")
        self.write(
            target, value, found, step, recorded, recording,
            lambda: t.real.__setitem__(PARTS[part], 0.5 if number else b.real),
        )  # fmt: skip

    # ---- gradients

    def some_require_grad(self):
        return self.room() and any(t.requires_grad for t in self.tensors)

    @precondition(some_require_grad)
    @rule(data=st.data(), factor=st.sampled_from([None, 2.0, -1.0]))
    def hook(self, data, factor):
        t = self.pick(data, lambda t: t.requires_grad)
        note(f"a hook on {self.name(t)}, factor {factor}")
        heard = []
        self.oracle.place_of(t).hooks.append((factor, heard))

        def hook(gradient):
            heard.append(to_numpy(gradient).ravel().copy())
            return None if factor is None else gradient * factor

        t.real.register_hook(hook)

    @precondition(some_require_grad)
    @rule(data=st.data())
    def retain_grad(self, data):
        t = self.pick(data, lambda t: t.requires_grad and not t.is_view)
        note(f"{self.name(t)}.retain_grad()")
        t.real.retain_grad()
        t.retained = True

    def check_hooks(self, expected, all_visited):
        """What hooks were given; a hook that was not called would have been given zeros."""
        for place in self.oracle.places:
            for number, (_, heard) in enumerate(place.hooks):
                assert len(heard) <= 1, "a hook ran twice in one backward"
                if heard or all_visited:
                    close(heard[0] if heard else 0.0, expected[place, number])
                heard.clear()

    def run(self, data, keep, call, all_visited):
        """One backward in both worlds: `call(t.real, cotangent)`; None if it raised."""
        t = self.pick(data, lambda t: t.requires_grad)
        cotangent = np.random.default_rng(data.draw(st.integers(0, 99))).uniform(
            -1, 1, t.index.shape
        )
        self.oracle.place_of(t)
        path = t.base.step.path()
        may_raise = any(step.may_raise() for step in path)
        total, heard = self.oracle.gradients(t, cotangent)
        note(f"{'backward' if all_visited else 'grad'} of {self.name(t)}, retain_graph={keep}")
        try:
            got = call(t.real, minidl.tensor(cotangent))
        except GraphError as error:
            assert may_raise, f"raised without a reason: {error}"
            note(f"raised: {error}")
            total = got = None
            for place in self.oracle.places:
                for _, events in place.hooks:
                    events.clear()
        else:
            self.check_hooks(heard, all_visited)
        for step in path:
            step.freed |= not (keep or step.is_leaf)
        return total, got

    @precondition(some_require_grad)
    @rule(data=st.data(), keep=st.booleans())
    def backward(self, data, keep):
        total, _ = self.run(data, keep, lambda t, v: t.backward(v, retain_graph=keep), True)
        if total is None:
            return self.forget_gradients()
        for t in self.tensors:
            if t.requires_grad and not t.is_view and (t.is_leaf or t.retained):
                own = total[t.base.place.columns][t.index]
                t.grad = own if t.grad is None else t.grad + own

    @precondition(some_require_grad)
    @rule(data=st.data(), keep=st.booleans(), count=st.integers(1, 2))
    def grad(self, data, keep, count):
        inputs = [self.pick(data, lambda t: t.requires_grad) for _ in range(count)]
        note(f"grad with respect to {[self.name(x) for x in inputs]}")
        places = [self.oracle.place_of(x) for x in inputs]

        def call(t, v):
            reals = [x.real for x in inputs]
            return minidl.autograd.grad(t, reals, v, retain_graph=keep, allow_unused=True)

        total, got = self.run(data, keep, call, False)
        if total is not None:
            for x, place, gradient in zip(inputs, places, got, strict=True):
                own = total[place.columns]
                own = own[x.index.ravel()] if not x.is_view else own
                close(0.0 if gradient is None else to_numpy(gradient).ravel(), own)
        self.forget_gradients()

    @rule()
    def forget_gradients(self):
        for t in self.tensors:
            t.real.grad, t.grad = None, None

    # ---- what must always hold

    @invariant()
    def values_agree(self):
        for t in self.tensors:
            close(to_numpy(t.real), t.value)
            assert t.real.requires_grad == t.requires_grad
            assert t.real.is_leaf == t.is_leaf

    @invariant()
    def gradients_agree(self):
        for t in self.tensors:
            got = t.real.grad
            close(0.0 if got is None else to_numpy(got), 0.0 if t.grad is None else t.grad)


def close(got, expected):
    if not (np.abs(got - expected) <= 1e-10 + 1e-9 * np.abs(expected)).all():
        raise AssertionError(f"got {got}, expected {expected}")


def fits(shape, other, into=False):
    """Whether the shapes broadcast to a small result; with `into`, to the second."""
    try:
        common = np.broadcast_shapes(shape, other)
    except ValueError:
        return False
    return common == other if into else math.prod(common) <= 36


TestTape = Tape.TestCase
TestTape.settings = settings(max_examples=3 * settings().max_examples, stateful_step_count=40)
