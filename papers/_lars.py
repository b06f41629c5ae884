"""LARS, for large batches: You, Gitman, Ginsburg. arXiv:1708.03888, 2017."""

import minidl
from minidl import optim


class LARS(optim.Optimizer):
    """The step of every weight is as long, in proportion to the weight, as that of the others.

        g <- g + weight_decay w
        v <- momentum v + lr (eta |w| / |g|) g
        w <- w - v

    Vectors (biases, what batch normalization learns) have no decay, and 1 for eta |w| / |g|, as in
    the code of Chen et al. (2020), github.com/google-research/simclr, `lars_optimizer.py`. A group
    of parameters with `adapted=False` has 1 there too, but decay: their supervised head.
    """

    def __init__(self, params, lr, momentum=0.9, weight_decay=0.0, eta=1e-3, adapted=True):
        options = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "eta": eta}
        super().__init__(params, {**options, "adapted": adapted})

    @minidl.no_grad()
    def _update(self, p, group):
        g, rate = p.grad, group["lr"]
        if p.ndim > 1:
            g = g + group["weight_decay"] * p
            weight, gradient = p.norm().item(), g.norm().item()
            if weight and gradient and group["adapted"]:
                rate *= group["eta"] * weight / gradient
        if "velocity" not in self.state[p]:
            self.state[p]["velocity"] = minidl.zeros_like(p)
        velocity = self.state[p]["velocity"]
        velocity.mul_(group["momentum"]).add_(rate * g)
        p.sub_(velocity)
