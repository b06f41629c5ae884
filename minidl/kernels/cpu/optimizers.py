"""The steps of the optimizers: one pass over a parameter, its gradient and its state.

NumPy computes an update rule operation by operation, and each one reads and writes the whole
parameter: Adam's dozen operations move some thirty numbers through the memory for every weight,
where seven would do (read the weight, the gradient and two averages, write all but the gradient).
With millions of weights, memory is all that counts; with a hundred weights, the dozen calls are.
A kernel makes it one call, and one pass.

Each function named `..._step` here takes the arguments of the one of the same name in minidl/optim,
where its formula stands. It works out in Python, in double precision, what is the same for all
weights (the learning rate over Adam's bias correction, say), and leaves the rest to a loop over
the elements. Weights do not depend on each other, so a long parameter is cut into blocks for the
threads; where it is cut depends on its size alone, so that the same weight is always computed by
the same instructions.

A block is short enough to stay in the cache, so a rule may go over it more than once: two loops
over few arrays are compiled to better code than one loop over many.

These loops hold no sums, so nothing is gained by letting the compiler reorder their arithmetic
(`fastmath`): without it they are vectorised just as well, and every operation is rounded as
IEEE 754 says, whatever the compiler makes of the loop around it.
"""

from __future__ import annotations

import math

import numpy as np

from . import jit, parallel, prange
from .functions import inlined

BLOCK = 4096
F = np.float32
ZERO, ONE = F(0), F(1)
NOTHING = np.empty(0, np.float32)  # for an array that a rule does without
exact = jit(fastmath=False)


@jit
def _blocks(n):
    return (n + BLOCK - 1) // BLOCK


@jit
def _block(x, i):
    return x[i * BLOCK : (i + 1) * BLOCK]


@inlined
def _gradient(g, p, decay, maximize):
    """The gradient of one weight, upwards if that is wanted, with the weight decay."""
    g = -g if maximize else g
    return g + decay * p if decay != ZERO else g


@inlined
def _maximum(a, b):
    """The larger of two; nan if one is."""
    larger = a if a > b else b  # b also if that is nan
    return larger if a == a else a


# --------------------------------------------------------------------------------------- SGD


@exact
def _sgd(param, grad, buffer, rate, momentum, new, decay, nesterov, maximize):
    rate, momentum, new, decay = F(rate), F(momentum), F(new), F(decay)
    if not buffer.size:
        for i in range(param.size):
            param[i] -= rate * _gradient(grad[i], param[i], decay, maximize)
    elif nesterov:
        for i in range(param.size):
            g = _gradient(grad[i], param[i], decay, maximize)
            buffer[i] = momentum * buffer[i] + new * g
            param[i] -= rate * (g + momentum * buffer[i])
    else:
        for i in range(param.size):
            g = _gradient(grad[i], param[i], decay, maximize)
            buffer[i] = momentum * buffer[i] + new * g
            param[i] -= rate * buffer[i]


@parallel
def _sgd_all(param, grad, buffer, rate, momentum, new, decay, nesterov, maximize):
    for i in prange(_blocks(param.size)):
        _sgd(
            _block(param, i), _block(grad, i), _block(buffer, i),
            rate, momentum, new, decay, nesterov, maximize,
        )  # fmt: skip


def sgd_step(
    param, grad, momentum_buffer, *, lr, momentum, dampening, weight_decay, nesterov, maximize
):
    buffer = NOTHING if momentum_buffer is None else momentum_buffer
    _sgd_all(
        param.size, param, grad, buffer,
        lr, float(momentum), 1.0 - dampening, float(weight_decay), nesterov, maximize,
    )  # fmt: skip


# -------------------------------------------------------------------------------------- Adam


@exact
def _averages(param, grad, mean, square, beta1, beta2, decay, maximize):
    """The running means of the gradient and of its square."""
    new1, new2 = F(ONE - beta1), F(ONE - beta2)
    decay, beta2 = F(decay), F(beta2)
    for i in range(param.size):
        g = _gradient(grad[i], param[i], decay, maximize)
        mean[i] += new1 * (g - mean[i])
        square[i] = beta2 * square[i] + new2 * (g * g)


@exact
def _adam(param, mean, square, largest, shrink, rate, root, eps):
    shrink, rate, root, eps = F(shrink), F(rate), F(root), F(eps)
    if largest.size:
        for i in range(param.size):
            largest[i] = _maximum(largest[i], square[i])
        square = largest
    for i in range(param.size):
        param[i] = shrink * param[i] - rate * mean[i] / (root * math.sqrt(square[i]) + eps)


@parallel
def _adam_all(
    param, grad, mean, square, largest, beta1, beta2, decay, maximize, shrink, rate, root, eps
):
    for i in prange(_blocks(param.size)):
        p, m, v = _block(param, i), _block(mean, i), _block(square, i)
        _averages(p, _block(grad, i), m, v, beta1, beta2, decay, maximize)
        _adam(p, m, v, _block(largest, i), shrink, rate, root, eps)


def adam_step(
    param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq, *,
    step, lr, beta1, beta2, eps, weight_decay, decoupled_weight_decay, maximize,
):  # fmt: skip
    decay, shrink = _decays(lr, weight_decay, decoupled_weight_decay)
    largest = NOTHING if max_exp_avg_sq is None else max_exp_avg_sq
    rate, root = lr / (1 - beta1**step), (1 - beta2**step) ** -0.5
    _adam_all(
        param.size, param, grad, exp_avg, exp_avg_sq, largest,
        beta1, beta2, decay, maximize, shrink, rate, root, float(eps),
    )  # fmt: skip


def _decays(lr, weight_decay, decoupled):
    """What of the weight is added to the gradient, and by what the weight is multiplied."""
    return (0.0, 1.0 - lr * weight_decay) if decoupled else (float(weight_decay), 1.0)


@exact
def _nadam(param, grad, mean, square, decay, maximize, shrink, now, later, root, eps):
    shrink, now, later = F(shrink), F(now), F(later)
    decay, root, eps = F(decay), F(root), F(eps)
    for i in range(param.size):
        g = _gradient(grad[i], param[i], decay, maximize)
        below = root * math.sqrt(square[i]) + eps
        param[i] = shrink * param[i] - (now * g + later * mean[i]) / below


@parallel
def _nadam_all(
    param, grad, mean, square, beta1, beta2, decay, maximize, shrink, now, later, root, eps
):
    for i in prange(_blocks(param.size)):
        p, g, m, v = _block(param, i), _block(grad, i), _block(mean, i), _block(square, i)
        _averages(p, g, m, v, beta1, beta2, decay, maximize)
        _nadam(p, g, m, v, decay, maximize, shrink, now, later, root, eps)


def nadam_step(
    param, grad, exp_avg, exp_avg_sq, *, mu_product,
    step, lr, beta1, beta2, eps, weight_decay, momentum_decay, decoupled_weight_decay, maximize,
):  # fmt: skip
    decay, shrink = _decays(lr, weight_decay, decoupled_weight_decay)
    mu = beta1 * (1 - 0.5 * 0.96 ** (step * momentum_decay))
    next_mu = beta1 * (1 - 0.5 * 0.96 ** ((step + 1) * momentum_decay))
    mu_product *= mu
    product = float(mu_product)
    now, later = lr * (1 - mu) / (1 - product), lr * next_mu / (1 - product * next_mu)
    _nadam_all(
        param.size, param, grad, exp_avg, exp_avg_sq, beta1, beta2,
        decay, maximize, shrink, now, later, (1 - beta2**step) ** -0.5, float(eps),
    )  # fmt: skip


@exact
def _descend(param, mean, shrink, rate):
    shrink, rate = F(shrink), F(rate)
    for i in range(param.size):
        param[i] = shrink * param[i] - rate * mean[i]


@parallel
def _radam_all(
    param, grad, mean, square, beta1, beta2, decay, maximize, shrink, rate, root, eps, rectified
):
    for i in prange(_blocks(param.size)):
        p, m, v = _block(param, i), _block(mean, i), _block(square, i)
        _averages(p, _block(grad, i), m, v, beta1, beta2, decay, maximize)
        if rectified:
            _adam(p, m, v, v[:0], shrink, rate, root, eps)
        else:
            _descend(p, m, shrink, rate)


def radam_step(
    param, grad, exp_avg, exp_avg_sq, *,
    step, lr, beta1, beta2, eps, weight_decay, decoupled_weight_decay, maximize,
):  # fmt: skip
    decay, shrink = _decays(lr, weight_decay, decoupled_weight_decay)
    rate = lr / (1 - beta1**step)
    most = 2 / (1 - beta2) - 1
    unbias = 1 - beta2**step
    length = most - 2 * step * beta2**step / unbias
    if length > 5:
        variance = (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)
        rate *= (variance * unbias) ** 0.5
    _radam_all(
        param.size, param, grad, exp_avg, exp_avg_sq, beta1, beta2,
        decay, maximize, shrink, rate, 1.0, float(eps), length > 5,
    )  # fmt: skip


@exact
def _adamax(param, grad, mean, largest, beta1, beta2, rate, eps, decay, maximize):
    new, beta2, rate = F(ONE - beta1), F(beta2), F(rate)
    eps, decay = F(eps), F(decay)
    for i in range(param.size):
        g = _gradient(grad[i], param[i], decay, maximize)
        mean[i] += new * (g - mean[i])
        largest[i] = _maximum(beta2 * largest[i], abs(g) + eps)
        param[i] -= rate * mean[i] / largest[i]


@parallel
def _adamax_all(param, grad, mean, largest, beta1, beta2, rate, eps, decay, maximize):
    for i in prange(_blocks(param.size)):
        _adamax(
            _block(param, i), _block(grad, i), _block(mean, i), _block(largest, i),
            beta1, beta2, rate, eps, decay, maximize,
        )  # fmt: skip


def adamax_step(
    param, grad, exp_avg, exp_inf, *, step, lr, beta1, beta2, eps, weight_decay, maximize
):
    _adamax_all(
        param.size, param, grad, exp_avg, exp_inf,
        beta1, beta2, lr / (1 - beta1**step), float(eps), float(weight_decay), maximize,
    )  # fmt: skip


# ----------------------------------------------------------------------------------- RMSprop


@exact
def _rmsprop(
    param, grad, square, buffer, mean, rate, alpha, eps, decay, momentum, maximize, update
):
    """update: room for one block."""
    new = F(ONE - alpha)
    rate, alpha, eps, decay, momentum = F(rate), F(alpha), F(eps), F(decay), F(momentum)
    if mean.size:
        for i in range(param.size):
            g = _gradient(grad[i], param[i], decay, maximize)
            square[i] = alpha * square[i] + new * (g * g)
            mean[i] += new * (g - mean[i])
            update[i] = g / (math.sqrt(square[i] - mean[i] * mean[i]) + eps)
    else:
        for i in range(param.size):
            g = _gradient(grad[i], param[i], decay, maximize)
            square[i] = alpha * square[i] + new * (g * g)
            update[i] = g / (math.sqrt(square[i]) + eps)
    if buffer.size:
        for i in range(param.size):
            buffer[i] = momentum * buffer[i] + update[i]
        update = buffer
    for i in range(param.size):
        param[i] -= rate * update[i]


@parallel
def _rmsprop_all(param, grad, square, buffer, mean, rate, alpha, eps, decay, momentum, maximize):
    for i in prange(_blocks(param.size)):
        p = _block(param, i)
        _rmsprop(
            p, _block(grad, i), _block(square, i), _block(buffer, i), _block(mean, i),
            rate, alpha, eps, decay, momentum, maximize, np.empty(p.size, np.float32),
        )  # fmt: skip


def rmsprop_step(
    param, grad, square_avg, momentum_buffer, grad_avg, *,
    lr, alpha, eps, weight_decay, momentum, maximize,
):  # fmt: skip
    _rmsprop_all(
        param.size, param, grad, square_avg,
        NOTHING if momentum_buffer is None else momentum_buffer,
        NOTHING if grad_avg is None else grad_avg,
        lr, float(alpha), float(eps), float(weight_decay), float(momentum), maximize,
    )  # fmt: skip


# ------------------------------------------------------------------------ Adagrad and Adadelta


@exact
def _adagrad(param, grad, total, rate, decay, eps, maximize):
    rate, decay, eps = F(rate), F(decay), F(eps)
    for i in range(param.size):
        g = _gradient(grad[i], param[i], decay, maximize)
        total[i] += g * g
        param[i] -= rate * g / (math.sqrt(total[i]) + eps)


@parallel
def _adagrad_all(param, grad, total, rate, decay, eps, maximize):
    for i in prange(_blocks(param.size)):
        _adagrad(
            _block(param, i), _block(grad, i), _block(total, i), rate, decay, eps, maximize
        )  # fmt: skip


def adagrad_step(param, grad, sum, *, step, lr, lr_decay, weight_decay, eps, maximize):
    rate = lr / (1 + (step - 1) * lr_decay)
    _adagrad_all(param.size, param, grad, sum, rate, float(weight_decay), float(eps), maximize)


@exact
def _adadelta(param, grad, square, moved, rate, rho, eps, decay, maximize):
    new = F(ONE - rho)
    rate, rho, eps, decay = F(rate), F(rho), F(eps), F(decay)
    for i in range(param.size):
        g = _gradient(grad[i], param[i], decay, maximize)
        square[i] = rho * square[i] + new * (g * g)
        delta = math.sqrt(moved[i] + eps) / math.sqrt(square[i] + eps) * g
        moved[i] = rho * moved[i] + new * (delta * delta)
        param[i] -= rate * delta


@parallel
def _adadelta_all(param, grad, square, moved, rate, rho, eps, decay, maximize):
    for i in prange(_blocks(param.size)):
        _adadelta(
            _block(param, i), _block(grad, i), _block(square, i), _block(moved, i),
            rate, rho, eps, decay, maximize,
        )  # fmt: skip


def adadelta_step(param, grad, square_avg, acc_delta, *, lr, rho, eps, weight_decay, maximize):
    _adadelta_all(
        param.size, param, grad, square_avg, acc_delta,
        lr, float(rho), float(eps), float(weight_decay), maximize,
    )  # fmt: skip


# ----------------------------------------------------------------------------- ASGD and Rprop


@exact
def _asgd(param, grad, average, eta, mu, shrink, decay, maximize):
    eta, mu, shrink, decay = F(eta), F(mu), F(shrink), F(decay)
    for i in range(param.size):
        g = _gradient(grad[i], param[i], decay, maximize)
        p = shrink * param[i] - eta * g
        average[i] += mu * (p - average[i])
        param[i] = p


@parallel
def _asgd_all(param, grad, average, eta, mu, shrink, decay, maximize):
    for i in prange(_blocks(param.size)):
        _asgd(
            _block(param, i), _block(grad, i), _block(average, i),
            eta, mu, shrink, decay, maximize,
        )  # fmt: skip


def asgd_step(
    param, grad, ax, *, step, eta, mu, lr, lambd, alpha, t0, weight_decay, maximize
) -> tuple[float, float]:
    shrink = 1.0 - lambd * eta
    _asgd_all(param.size, param, grad, ax, eta, mu, shrink, float(weight_decay), maximize)
    return lr / (1 + lambd * lr * step) ** alpha, 1 / max(1, step - t0)


@exact
def _rprop(param, grad, prev, size, shrink, grow, least, most, maximize):
    shrink, grow, least, most = F(shrink), F(grow), F(least), F(most)
    for i in range(param.size):
        g = -grad[i] if maximize else grad[i]
        agree = g * prev[i]
        factor = grow if agree > ZERO else (shrink if agree < ZERO else ONE)
        size[i] = min(max(size[i] * factor, least), most)
        g = ZERO if agree < ZERO else g
        prev[i] = g
        param[i] -= size[i] * (ONE if g > ZERO else (-ONE if g < ZERO else g))


@parallel
def _rprop_all(param, grad, prev, size, shrink, grow, least, most, maximize):
    for i in prange(_blocks(param.size)):
        _rprop(
            _block(param, i), _block(grad, i), _block(prev, i), _block(size, i),
            shrink, grow, least, most, maximize,
        )  # fmt: skip


def rprop_step(param, grad, prev, step_size, *, etas, step_sizes, maximize):
    (shrink, grow), (least, most) = etas, step_sizes
    _rprop_all(
        param.size, param, grad, prev, step_size,
        float(shrink), float(grow), float(least), float(most), maximize,
    )  # fmt: skip
