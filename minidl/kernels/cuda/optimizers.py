"""The steps of the optimizers, one launch each.

Each function named `..._step` takes the arguments of the one of the same name in minidl/optim,
where its formula stands: contiguous arrays of one size and of float32 or float64.
"""

from __future__ import annotations

from ... import dtypes
from ...device import Array
from . import TYPES, Source, blocks

THREADS = 256
FLOATS = [TYPES[dtypes.F32], TYPES[dtypes.F64]]
RULES = "sgd adam nadam radam adamax rmsprop adagrad adadelta asgd rprop".split()
SOURCE = Source("optimizers.cu", dict.fromkeys(RULES, FLOATS))


def _launch(rule: str, arrays: tuple[Array | None, ...], *numbers: float) -> None:
    """arrays: the parameter, its gradient, its state; numbers: what is the same for all weights."""
    param = arrays[0]
    grid = blocks(param.size, THREADS)
    SOURCE.launch(rule, TYPES[param.dtype], grid, (THREADS,), *arrays, param.size, *numbers)


def sgd_step(
    param, grad, momentum_buffer, *, lr, momentum, dampening, weight_decay, nesterov, maximize
):
    arrays = param, grad, momentum_buffer
    _launch("sgd", arrays, lr, momentum, 1 - dampening, weight_decay, nesterov, maximize)


def _averaging(
    lr: float, beta1: float, beta2: float, weight_decay: float, decoupled: bool, maximize: bool
) -> tuple[float, ...]:
    """What Adam and its kin share: how they average gradients, and two kinds of weight decay."""
    decay, shrink = (0.0, 1 - lr * weight_decay) if decoupled else (weight_decay, 1.0)
    return 1 - beta1, beta2, 1 - beta2, decay, maximize, shrink


def adam_step(
    param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq, *,
    step, lr, beta1, beta2, eps, weight_decay, decoupled_weight_decay, maximize,
):  # fmt: skip
    averaging = _averaging(lr, beta1, beta2, weight_decay, decoupled_weight_decay, maximize)
    rate, root = lr / (1 - beta1**step), (1 - beta2**step) ** -0.5
    arrays = param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq
    _launch("adam", arrays, *averaging, rate, root, eps)


def nadam_step(
    param, grad, exp_avg, exp_avg_sq, *, mu_product,
    step, lr, beta1, beta2, eps, weight_decay, momentum_decay, decoupled_weight_decay, maximize,
):  # fmt: skip
    averaging = _averaging(lr, beta1, beta2, weight_decay, decoupled_weight_decay, maximize)
    mu = beta1 * (1 - 0.5 * 0.96 ** (step * momentum_decay))
    next_mu = beta1 * (1 - 0.5 * 0.96 ** ((step + 1) * momentum_decay))
    mu_product *= mu
    product = float(mu_product)  # which lies on the CPU
    now, later = lr * (1 - mu) / (1 - product), lr * next_mu / (1 - product * next_mu)
    arrays = param, grad, exp_avg, exp_avg_sq
    _launch("nadam", arrays, *averaging, now, later, (1 - beta2**step) ** -0.5, eps)


def radam_step(
    param, grad, exp_avg, exp_avg_sq, *,
    step, lr, beta1, beta2, eps, weight_decay, decoupled_weight_decay, maximize,
):  # fmt: skip
    averaging = _averaging(lr, beta1, beta2, weight_decay, decoupled_weight_decay, maximize)
    rate = lr / (1 - beta1**step)
    most = 2 / (1 - beta2) - 1
    unbias = 1 - beta2**step
    length = most - 2 * step * beta2**step / unbias
    if length > 5:
        variance = (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)
        rate *= (variance * unbias) ** 0.5
    _launch("radam", (param, grad, exp_avg, exp_avg_sq), *averaging, rate, length > 5, eps)


def adamax_step(
    param, grad, exp_avg, exp_inf, *, step, lr, beta1, beta2, eps, weight_decay, maximize
):
    rate = lr / (1 - beta1**step)
    arrays = param, grad, exp_avg, exp_inf
    _launch("adamax", arrays, 1 - beta1, beta2, weight_decay, maximize, rate, eps)


def rmsprop_step(
    param, grad, square_avg, momentum_buffer, grad_avg, *,
    lr, alpha, eps, weight_decay, momentum, maximize,
):  # fmt: skip
    arrays = param, grad, square_avg, momentum_buffer, grad_avg
    _launch("rmsprop", arrays, lr, alpha, 1 - alpha, eps, weight_decay, momentum, maximize)


def adagrad_step(param, grad, sum, *, step, lr, lr_decay, weight_decay, eps, maximize):
    rate = lr / (1 + (step - 1) * lr_decay)
    _launch("adagrad", (param, grad, sum), rate, weight_decay, eps, maximize)


def adadelta_step(param, grad, square_avg, acc_delta, *, lr, rho, eps, weight_decay, maximize):
    arrays = param, grad, square_avg, acc_delta
    _launch("adadelta", arrays, lr, rho, 1 - rho, eps, weight_decay, maximize)


def asgd_step(
    param, grad, ax, *, step, eta, mu, lr, lambd, alpha, t0, weight_decay, maximize
) -> tuple[float, float]:
    _launch("asgd", (param, grad, ax), eta, mu, 1 - lambd * eta, weight_decay, maximize)
    return lr / (1 + lambd * lr * step) ** alpha, 1 / max(1, step - t0)


def rprop_step(param, grad, prev, step_size, *, etas, step_sizes, maximize):
    _launch("rprop", (param, grad, prev, step_size), *etas, *step_sizes, maximize)
