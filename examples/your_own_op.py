"""Your own op
Idea     An op is a formula and the rule that pulls a gradient back through it; a rule is checked.
Run      python examples/your_own_op.py      (1 s)
You will see
    slope of softplus:         tensor([0.1192, 0.5   , 0.9526], dtype=minidl.float64)
    against finite differences: True
    second derivative as well:  True
    slope without g:           tensor([0.1192, 0.5   , 0.9526], dtype=minidl.float64)
    Forgetful: wrong derivative with respect to x
      input
        x = minidl.tensor([-2.0, 0.0, 3.0], dtype=minidl.float64)
        Forgetful.apply(x)
      d out[1] / d x[2]:  backward 0.59750805, finite differences 0
      in words: the gradient of x does not depend on g, the gradient that comes in: multiply by it
      the rule: Forgetful.backward (examples/your_own_op.py:39)
Try      Return `g / 2 * (1 + torch.tanh(x / 2))` from backward. Is that rule wrong?
Next     train_digits.py; CONTRIBUTING.md adds an op to minidl itself
"""

import minidl as torch
from minidl.testing import GradientError, gradcheck, gradgradcheck


class Softplus(torch.autograd.Function):
    """y = log(1 + exp(x)), a relu without the corner"""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.log(1 + torch.exp(x))

    @staticmethod
    def backward(ctx, g):  # g: the gradient of y; returns the gradient of x
        (x,) = ctx.saved_tensors
        return g * torch.sigmoid(x)


class Forgetful(Softplus):
    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return torch.sigmoid(x)  # the slope alone: g is forgotten


x = torch.tensor([-2.0, 0.0, 3.0], dtype=torch.float64, requires_grad=True)
Softplus.apply(x).sum().backward()
print("slope of softplus:        ", x.grad)
print("against finite differences:", gradcheck(Softplus.apply, x))
print("second derivative as well: ", gradgradcheck(Softplus.apply, x))

# The sum hands down g = 1, so a rule that forgets g looks right here ...
x.grad = None
Forgetful.apply(x).sum().backward()
print("slope without g:          ", x.grad)
# ... and wrong in every other program. gradcheck sends random numbers down.
try:
    gradcheck(Forgetful.apply, x)
except GradientError as error:
    print(error)
