"""`check_optimizer`: passes right optimizers, and catches and names what students get wrong."""

import numpy as np
import pytest

import minidl
from minidl.optim import SGD, Adam, Optimizer
from minidl.testing import CheckError, check_optimizer
from minidl.testing.errors import SetupError

LR, BETA = 0.1, 0.9


def momentum(params, grads, state):
    """v = 0.9 v + g; p = p - 0.1 v"""
    new = []
    for i, (p, g) in enumerate(zip(params, grads, strict=True)):
        if g is not None:
            state[i] = BETA * state[i] + g if i in state else g
            p = p - LR * state[i]
        new.append(p)
    return new


class Momentum(Optimizer):
    """Written as a student writes it; the subclasses each get one thing wrong."""

    def __init__(self, params):
        super().__init__(params, {"lr": LR})

    @minidl.no_grad()
    def step(self):
        for p in self.param_groups[0]["params"]:
            if p.grad is not None:
                self._update(p)

    def _update(self, p):
        state = self.state[p]
        state["v"] = p.grad.clone() if "v" not in state else BETA * state["v"] + p.grad
        p.sub_(LR * state["v"])


def test_right_ones_pass():
    check_optimizer(Momentum, momentum)
    check_optimizer(lambda params: SGD(params, lr=LR, momentum=BETA), momentum)


def test_no_parameter_has_to_have_a_gradient():
    def nothing(params, grads, state):
        return params

    with pytest.raises(CheckError):
        check_optimizer(Momentum, nothing)


class WrongSign(Momentum):
    def _update(self, p):
        p.add_(LR * p.grad)


class Rebinds(Momentum):
    """Makes a new tensor: the model keeps the old one."""

    def _update(self, p):
        p = p - LR * p.grad


class KeepsStateInLocals(Momentum):
    def __init__(self, params):
        super().__init__(params)
        self.v = {}

    def _update(self, p):
        self.v[p] = p.grad.clone() if p not in self.v else BETA * self.v[p] + p.grad
        p.sub_(LR * self.v[p])


class SharesState(Momentum):
    """Loading a state dict does not copy it."""

    def _update(self, p):
        state = self.state[p]
        if "v" in state:
            state["v"].mul_(BETA).add_(p.grad)
        else:
            state["v"] = p.grad.clone()
        p.sub_(LR * state["v"])

    def load_state_dict(self, state_dict):
        own = [p for group in self.param_groups for p in group["params"]]
        for i, state in state_dict["state"].items():
            self.state[own[i]] = state


class ChangesGradients(Momentum):
    def _update(self, p):
        state = self.state[p]
        if "v" in state:
            p.grad.add_(BETA * state["v"])
        state["v"] = p.grad.clone()
        p.sub_(LR * p.grad)


class MovesWithoutGradient(Momentum):
    @minidl.no_grad()
    def step(self):
        super().step()
        for p in self.param_groups[0]["params"]:
            if p.grad is None and "v" in self.state[p]:
                p.sub_(LR * self.state[p]["v"])


class OneStateForAll(Momentum):
    def _update(self, p):
        state = self.state[self.param_groups[0]["params"][0]]
        v = state.get("v")
        fits = v is not None and v.shape == p.shape
        state["v"] = BETA * v + p.grad if fits else p.grad.clone()
        p.sub_(LR * state["v"])


class Records(Momentum):
    """Forgets no_grad."""

    def step(self):
        for p in self.param_groups[0]["params"]:
            if p.grad is not None:
                self._update(p)


class NoStateDict:
    def __init__(self, params):
        self.inner = Momentum(params)

    def step(self):
        self.inner.step()


MISTAKES = {
    WrongSign: "wrong parameter after step 1 in float64",
    Rebinds: "wrong parameter after step 1 in float64",
    KeepsStateInLocals: "a new optimizer with the state dict after step 1 continues differently",
    SharesState: "loaded elsewhere after step 1 continues differently",
    ChangesGradients: "a step changes the gradient of params[0]",
    MovesWithoutGradient: "a step changes a parameter that has no gradient",
    OneStateForAll: "wrong parameter after step",
    Records: "raises GraphError for a valid call",
    NoStateDict: "raises AttributeError",
}


@pytest.mark.parametrize("wrong", MISTAKES, ids=lambda wrong: wrong.__name__)
def test_a_mistake_is_caught_and_named(wrong):
    with pytest.raises(CheckError) as found:
        check_optimizer(wrong, momentum)
    assert MISTAKES[wrong] in str(found.value).splitlines()[0]
    assert found.value.op == wrong.__name__


def test_the_message_shows_the_steps():
    with pytest.raises(CheckError) as found:
        check_optimizer(WrongSign, momentum)
    error = found.value
    assert "optimizer = make(params)" in str(error)
    params = []
    program = error.code.replace("make(params)", "WrongSign(params)")
    names = {"minidl": minidl, "WrongSign": WrongSign}
    exec(program, names)
    params = names["params"]
    value = params[int(error.input[7])].detach().numpy()[error.index]
    assert value == pytest.approx(error.analytic)


def test_adam():
    def adam(params, grads, state):
        new = []
        for i, (p, g) in enumerate(zip(params, grads, strict=True)):
            if g is not None:
                m, v, t = state.get(i, (0 * p, 0 * p, 0))
                m, v, t = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g, t + 1
                state[i] = m, v, t
                p = p - LR * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
            new.append(p)
        return new

    check_optimizer(lambda params: Adam(params, lr=LR), adam)
    with pytest.raises(CheckError, match="wrong parameter after step 1"):
        check_optimizer(lambda params: Adam(params, lr=LR, eps=1e-3), adam)


def test_a_wrong_reference_is_not_the_optimizers_fault():
    with pytest.raises(SetupError, match="reference of the optimizer fails"):
        check_optimizer(Momentum, lambda params, grads, state: 1 / 0)
    with pytest.raises(SetupError, match="must return"):
        check_optimizer(Momentum, lambda params, grads, state: [])
