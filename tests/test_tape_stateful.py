"""The tape against a naive oracle, on random programs with writes, views, hooks and two backwards.

The oracle carries with every number its derivatives with respect to every earlier tensor (forward
mode): no tape, no rules, no replay of views. A tensor of the oracle is a set of cells of a memory;
views are other sets of cells of the same memory. Whatever order of calls hypothesis finds, minidl's
values must be the oracle's, and each gradient must be right or the call must raise a GraphError
for which the oracle knows a reason: a saved value that was overwritten, or a graph that was freed.
"""

import numpy as np
from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import minidl
from minidl import GraphError
from minidl.testing import to_numpy

COLUMNS = 900  # derivatives are kept with respect to this many numbers
SHAPE = (2, 3)


class Memory:
    """Numbers that several tensors may share, and how often they were written."""

    def __init__(self, values):
        self.values, self.version = values, 0


class Step:
    """What a backward must visit: the steps before it, and the memory it will read."""

    def __init__(self, before, reads=()):
        self.before = before
        self.reads = [(memory, memory.version) for memory in reads]
        self.freed = False
        self.is_leaf = not before

    def path(self):
        """This step and all before it."""
        seen, stack = {self}, [self]
        while stack:
            for step in stack.pop().before:
                if step not in seen:
                    seen.add(step)
                    stack.append(step)
        return seen

    def may_raise(self):
        return self.freed or any(memory.version != version for memory, version in self.reads)


class Place:
    """A tensor at one moment of its life: where hooks sit and what gradients are taken of."""

    def __init__(self, columns, upstream, shape):
        self.columns, self.upstream, self.shape = columns, upstream, shape
        self.hooks = []
        self.retained_by = None


class Base:
    """The history shared by a tensor and its views: derivatives of each cell, and the last step."""

    def __init__(self, derivatives, step):
        self.derivatives, self.step = derivatives, step


class Traced:
    """A tensor: cells `index` of `memory`, with the history of `base`."""

    def __init__(self, memory, base, index, is_view=False):
        self.memory, self.base, self.index, self.is_view = memory, base, index, is_view
        self.place, self.place_step = None, None
        self.grad = None
        self.real = None  # minidl's tensor

    @property
    def value(self):
        return self.memory.values[self.index]

    @property
    def requires_grad(self):
        return self.base.step is not None

    @property
    def is_leaf(self):
        return self.base.step is None or (self.base.step.is_leaf and not self.is_view)


def rows(count):
    return np.zeros((count, COLUMNS))


# name: (function of the values, its derivatives, which operands and whether the output is saved)
UNARY = {
    "neg": (np.negative, lambda x, y: -np.ones_like(x), "", False),
    "tanh": (np.tanh, lambda x, y: 1 - y * y, "", True),
    "sin": (np.sin, lambda x, y: np.cos(x), "x", False),
    "relu": (lambda x: np.maximum(x, 0), lambda x, y: (x > 0) * 1.0, "", True),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), lambda x, y: y * (1 - y), "", True),
    "clone": (np.copy, lambda x, y: np.ones_like(x), "", False),
}
IN_PLACE_UNARY = ("neg", "tanh", "relu", "sigmoid")
BINARY = {
    "add": (np.add, lambda a, b: (1.0 + 0 * b, 1.0 + 0 * a), ("", "")),
    "sub": (np.subtract, lambda a, b: (1.0 + 0 * b, -1.0 + 0 * a), ("", "")),
    "mul": (np.multiply, lambda a, b: (b, a), ("b", "a")),
}
VIEWS = {
    "first row": lambda x: x[0],
    "last": lambda x: x[-1:],
    "without the first": lambda x: x[..., 1:],
    "transposed": lambda x: x.T,
    "new dimension": lambda x: x[None],
    "every second": lambda x: x[..., ::2],
}
PARTS = {"all": (...,), "first": (0,), "slice": (..., slice(1, None)), "list": ([0],)}


class Tape(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.tensors, self.leaves = [], []
        self.places = []
        self.used = 0

    # ---- the oracle's bookkeeping

    def new_place(self, upstream, shape):
        """A variable: `upstream` is its own derivative with respect to all earlier ones."""
        count = int(np.prod(shape))
        columns = slice(self.used, self.used + count)
        self.used += count
        place = Place(columns, upstream, shape)
        self.places.append(place)
        return place

    def with_place(self, t):
        """The place of a tensor now: a view gets a new one whenever its base was written."""
        if t.place is None or t.place_step is not t.base.step:
            t.place = self.new_place(t.base.derivatives[t.index.ravel()].copy(), t.index.shape)
            t.place_step = t.base.step
        return t.place

    def derivatives(self, t):
        """Derivatives of the elements of t with respect to everything, t itself included."""
        if not t.requires_grad:
            return rows(t.index.size)
        if not t.is_view:
            return t.base.derivatives[t.index.ravel()].copy()
        place = self.with_place(t)
        found = place.upstream.copy()
        found[:, place.columns] += np.eye(t.index.size)
        return found

    def settle(self, base, size):
        """A tensor that is no view is its base: its place enters the base's derivatives."""
        place = self.new_place(base.derivatives.copy(), (size,))
        base.derivatives[:, place.columns] += np.eye(size)
        return place

    def result(self, value, derivatives, step, real):
        memory = Memory(value.ravel().copy())
        base = Base(derivatives if step else rows(value.size), step)
        t = Traced(memory, base, np.arange(value.size).reshape(value.shape))
        if step:
            t.place, t.place_step = self.settle(base, value.size), step
        t.real = real
        self.tensors.append(t)
        return t

    def computed(self, value, operands, weights, reads, out_read, recording):
        """Derivatives and step of a result; weights[i] are d result / d operand i, elementwise."""
        size = value.size
        found = rows(size)
        before = []
        for t, weight in zip(operands, weights, strict=True):
            if t.requires_grad:
                picked = np.broadcast_to(
                    np.arange(t.index.size).reshape(t.index.shape), value.shape
                )
                weight = np.broadcast_to(weight, value.shape).reshape(size, 1)
                found += weight * self.derivatives(t)[picked.ravel()]
                before.append(t.base.step)
        if not recording or not before:
            return found, None
        return found, Step(before, reads)

    def overwrite(self, t, value, derivatives, step, recorded):
        """Write into the cells of t; its base moves on to a new step if the write is recorded."""
        flat = t.index.ravel()
        t.memory.values[flat] = value.ravel()
        t.memory.version += 1
        if not recorded:
            return
        base = t.base
        before = [s for s in (base.step, step) if s is not None]
        base.derivatives = base.derivatives.copy()
        base.derivatives[flat] = derivatives
        base.step = Step(before)
        whole = next(x for x in self.tensors if x.base is base and not x.is_view)
        retained = whole.place.retained_by if whole.place else None
        if whole.place:
            whole.place.retained_by = None
        whole.place = self.settle(base, whole.index.size)
        whole.place.retained_by = retained
        whole.place_step = base.step

    # ---- choosing

    @initialize(data=st.data())
    def start(self, data):
        for _ in range(2):
            seed = data.draw(st.integers(0, 999))
            value = np.random.default_rng(seed).uniform(-1, 1, SHAPE)
            real = minidl.tensor(value, requires_grad=True)
            t = self.result(value, rows(value.size), Step([]), real)
            self.leaves.append(t)
        value = np.random.default_rng(5).uniform(-1, 1, SHAPE)
        self.result(value, rows(value.size), None, minidl.tensor(value))

    def pick(self, data, condition=lambda t: True):
        chosen = [i for i, t in enumerate(self.tensors) if condition(t)]
        return self.tensors[data.draw(st.sampled_from(chosen))] if chosen else None

    def room(self):
        return self.used + 40 < COLUMNS and len(self.tensors) < 40

    # ---- operations

    @precondition(room)
    @rule(data=st.data(), name=st.sampled_from(list(UNARY)), recording=st.integers(0, 4))
    def unary(self, data, name, recording):
        x = self.pick(data)
        function, derivative, reads, out_read = UNARY[name]
        value = function(x.value)
        found, step = self.computed(
            value,
            [x],
            [derivative(x.value, value)],
            [x.memory] if reads else [],
            out_read,
            recording,
        )
        with minidl.set_grad_enabled(bool(recording)):
            real = getattr(minidl, name)(x.real)
        t = self.result(value, found, step, real)
        if step and out_read:
            step.reads.append((t.memory, t.memory.version))

    @precondition(room)
    @rule(data=st.data(), name=st.sampled_from(list(BINARY)), recording=st.integers(0, 4))
    def binary(self, data, name, recording):
        a = self.pick(data)
        b = self.pick(data, lambda t: broadcasts(t, a))
        function, derivative, reads = BINARY[name]
        value = function(a.value, b.value)
        memories = [
            other.memory
            for t, other, read in ((a, b, reads[0]), (b, a, reads[1]))
            if t.requires_grad and read
        ]
        found, step = self.computed(
            value, [a, b], derivative(a.value, b.value), memories, False, recording
        )
        with minidl.set_grad_enabled(bool(recording)):
            real = getattr(minidl, name)(a.real, b.real)
        self.result(value, found, step, real)

    @precondition(room)
    @rule(data=st.data(), factor=st.sampled_from([2.0, -0.5, 3]))
    def times_a_number(self, data, factor):
        x = self.pick(data)
        found, step = self.computed(x.value * factor, [x], [factor], [], False, True)
        self.result(x.value * factor, found, step, factor * x.real)

    @precondition(room)
    @rule(data=st.data())
    def total(self, data):
        x = self.pick(data, lambda t: t.index.size)
        found = self.derivatives(x).sum(0, keepdims=True)
        step = Step([x.base.step]) if x.requires_grad else None
        self.result(x.value.sum(), found, step, x.real.sum())

    @precondition(room)
    @rule(data=st.data(), name=st.sampled_from(list(VIEWS)))
    def view(self, data, name):
        x = self.pick(data, lambda t: t.index.ndim in (1, 2))
        if name == "transposed" and x.index.ndim != 2:
            return
        t = Traced(x.memory, x.base, VIEWS[name](x.index), is_view=True)
        t.real = VIEWS[name](x.real)
        if not t.index.size:
            return
        if x.requires_grad:  # until the base is written, a view of a view hangs on that view
            picked = VIEWS[name](np.arange(x.index.size).reshape(x.index.shape))
            t.place = self.new_place(self.derivatives(x)[picked.ravel()], t.index.shape)
            t.place_step = t.base.step
        self.tensors.append(t)

    @precondition(room)
    @rule(data=st.data())
    def detach(self, data):
        x = self.pick(data)
        t = Traced(x.memory, Base(rows(x.memory.values.size), None), x.index)
        t.is_view = not np.array_equal(x.index.ravel(), np.arange(x.memory.values.size))
        t.real = x.real.detach()
        self.tensors.append(t)

    # ---- writes

    def write(self, t, value, derivatives, step, needs, action, recording):
        """Perform a write in both worlds; a leaf that requires a gradient refuses it."""
        refused = bool(recording) and t.base.step is not None and t.base.step.is_leaf
        try:
            with minidl.set_grad_enabled(bool(recording)):
                action()
        except GraphError as error:
            assert refused, f"refused without a reason: {error}"
            return
        assert not refused, "a leaf that requires a gradient accepted a write"
        self.overwrite(t, value, derivatives, step, recorded=bool(recording) and needs)

    def writable(self, t):
        """Detached parts of a memory write without a base of their own size: leave those out."""
        return t.is_view is False or any(x.base is t.base and not x.is_view for x in self.tensors)

    @rule(data=st.data(), name=st.sampled_from(IN_PLACE_UNARY), recording=st.integers(0, 4))
    @precondition(room)
    def unary_in_place(self, data, name, recording):
        t = self.pick(data, self.writable)
        function, derivative, _, out_read = UNARY[name]
        value = function(t.value)
        found, step = self.computed(
            value, [t], [derivative(t.value, value)], [], out_read, recording
        )
        if step and out_read:
            step.reads.append((t.memory, t.memory.version + 1))
        self.write(
            t,
            value,
            found,
            step,
            step is not None,
            lambda: getattr(t.real, f"{name}_")(),
            recording,
        )

    @rule(data=st.data(), name=st.sampled_from(list(BINARY)), recording=st.integers(0, 4))
    @precondition(room)
    def binary_in_place(self, data, name, recording):
        t = self.pick(data, self.writable)
        b = self.pick(data, lambda x: fits_into(x, t))
        function, derivative, reads = BINARY[name]
        value = function(t.value, b.value)
        memories = [b.memory] if t.requires_grad and reads[0] and b.memory is not t.memory else []
        found, step = self.computed(
            value, [t, b], derivative(t.value, b.value), memories, False, recording
        )
        self.write(
            t,
            value,
            found,
            step,
            step is not None,
            lambda: getattr(t.real, f"{name}_")(b.real),
            recording,
        )

    @rule(data=st.data(), part=st.sampled_from(list(PARTS)), recording=st.integers(0, 4))
    @precondition(room)
    def assign(self, data, part, recording):
        t = self.pick(data, lambda t: self.writable(t) and (t.index.ndim or part == "all"))
        part = PARTS[part]
        cells = t.index[part]
        target = Traced(t.memory, t.base, cells, is_view=True)
        b = self.pick(data, lambda x: fits_into(x, target))
        number = b is None or data.draw(st.booleans())
        value = np.broadcast_to(0.5 if number else b.value, cells.shape).copy()
        if number:
            found, step = rows(cells.size), None
        else:
            found, step = self.computed(value, [b], [1.0], [], False, recording)

        def action():
            t.real[part if len(part) > 1 else part[0]] = 0.5 if number else b.real

        needs = t.requires_grad or step is not None
        self.write(target, value, found, step, needs, action, recording)

    # ---- gradients

    @rule(data=st.data(), factor=st.sampled_from([None, 2.0, -1.0]))
    @precondition(room)
    def hook(self, data, factor):
        t = self.pick(data, lambda t: t.requires_grad)
        if t is None:
            return
        seen = []
        self.with_place(t).hooks.append((factor, seen))

        def hook(gradient):
            seen.append(to_numpy(gradient).copy())
            return None if factor is None else gradient * factor

        t.real.register_hook(hook)

    def expected(self, t, cotangent):
        """Gradients of all places: newest first, so that hooks act before what is upstream."""
        total = cotangent.ravel() @ self.derivatives(t)
        heard = {}
        for place in reversed(self.places):
            own = total[place.columns].copy()
            for number, (factor, _) in enumerate(place.hooks):
                heard[place, number] = own.reshape(place.shape)
                own = own if factor is None else own * factor
            change = own - total[place.columns]
            if change.any():
                total = total + change @ place.upstream
                total[place.columns] = own
        return total, heard

    def check_heard(self, heard, all_visited):
        for place in self.places:
            for number, (_, seen) in enumerate(place.hooks):
                if seen:
                    assert len(seen) == 1, "a hook ran twice in one backward"
                    close(seen[0].ravel(), heard[place, number].ravel())
                elif all_visited:
                    close(heard[place, number], 0)
                seen.clear()

    def clear_heard(self):
        for place in self.places:
            for _, seen in place.hooks:
                seen.clear()

    @rule(data=st.data(), keep=st.booleans())
    @precondition(lambda self: any(t.requires_grad for t in self.tensors))
    def backward(self, data, keep):
        t = self.pick(data, lambda t: t.requires_grad)
        cotangent = np.random.default_rng(data.draw(st.integers(0, 99))).uniform(
            -1, 1, t.index.shape
        )
        self.with_place(t)
        path = t.base.step.path()
        reasons = [step for step in path if step.may_raise()]
        total, heard = self.expected(t, cotangent)
        try:
            t.real.backward(minidl.tensor(cotangent), retain_graph=keep)
        except GraphError as error:
            note(f"raised: {error}")
            assert reasons, f"raised without a reason: {error}"
            self.clear_heard()
            for leaf in self.leaves:
                leaf.real.grad, leaf.grad = None, None
        else:
            self.check_heard(heard, all_visited=True)
            for leaf in self.leaves:
                own = total[leaf.place.columns].reshape(SHAPE)
                leaf.grad = own if leaf.grad is None else leaf.grad + own
        for step in path:
            step.freed = step.freed or (not keep and not step.is_leaf)

    @rule(data=st.data(), keep=st.booleans())
    @precondition(lambda self: any(t.requires_grad for t in self.tensors))
    def gradients_of(self, data, keep):
        t = self.pick(data, lambda t: t.requires_grad)
        inputs = [
            self.pick(data, lambda t: t.requires_grad) for _ in range(data.draw(st.integers(1, 2)))
        ]
        cotangent = np.random.default_rng(data.draw(st.integers(0, 99))).uniform(
            -1, 1, t.index.shape
        )
        places = [self.with_place(x) for x in inputs]
        self.with_place(t)
        path = t.base.step.path()
        reasons = [step for step in path if step.may_raise()]
        total, heard = self.expected(t, cotangent)
        try:
            got = minidl.autograd.grad(
                t.real, [x.real for x in inputs], minidl.tensor(cotangent),
                retain_graph=keep, allow_unused=True,
            )  # fmt: skip
        except GraphError as error:
            note(f"raised: {error}")
            assert reasons, f"raised without a reason: {error}"
            self.clear_heard()
        else:
            self.check_heard(heard, all_visited=False)
            for x, place, grad in zip(inputs, places, got, strict=True):
                own = total[place.columns].reshape(x.index.shape)
                close(np.zeros(x.index.shape) if grad is None else to_numpy(grad), own)
        for step in path:
            step.freed = step.freed or (not keep and not step.is_leaf)

    @rule()
    def forget_gradients(self):
        for leaf in self.leaves:
            leaf.real.grad, leaf.grad = None, None

    # ---- what must always hold

    @invariant()
    def values_agree(self):
        for t in self.tensors:
            close(to_numpy(t.real), t.value)

    @invariant()
    def requires_grad_agrees(self):
        for t in self.tensors:
            assert t.real.requires_grad == t.requires_grad
            assert t.real.is_leaf == t.is_leaf

    @invariant()
    def leaf_gradients_agree(self):
        for leaf in self.leaves:
            got = np.zeros(SHAPE) if leaf.real.grad is None else to_numpy(leaf.real.grad)
            close(got, np.zeros(SHAPE) if leaf.grad is None else leaf.grad)


def close(got, expected):
    np.testing.assert_allclose(got, np.broadcast_to(expected, np.shape(got)), rtol=1e-9, atol=1e-10)


def broadcasts(a, b):
    try:
        shape = np.broadcast_shapes(a.index.shape, b.index.shape)
    except ValueError:
        return False
    return int(np.prod(shape)) <= 36


def fits_into(a, t):
    try:
        return np.broadcast_shapes(a.index.shape, t.index.shape) == t.index.shape
    except ValueError:
        return False


TestTape = Tape.TestCase
TestTape.settings = settings(stateful_step_count=40)
