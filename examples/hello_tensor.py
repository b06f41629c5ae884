"""Hello, tensor
Idea     Write the formula, ask for the slopes, walk downhill: a network learns the sine.
Run      python examples/hello_tensor.py      (1 s; on a GPU: --device cuda)
You will see
    step   0   mean squared error 0.5150
    step 100   mean squared error 0.0019
    step 200   mean squared error 0.0009
    step 300   mean squared error 0.0005
    step 400   mean squared error 0.0003
    step 500   mean squared error 0.0002
    sin(1) is 0.841, the network says 0.849
Try      `import torch` in the first line of code: the same text prints the same numbers.
         Leave out `parameter.grad = None`. What do the gradients do, and what does the error do?
Next     your_own_op.py
"""

import argparse

import minidl as torch

parser = argparse.ArgumentParser(description="A network learns the sine.")
parser.add_argument("--device", default="cpu", help="cpu or cuda (cpu)")
device = parser.parse_args().device

x = torch.linspace(-3, 3, 61, device=device).reshape(61, 1)  # (N, 1)
y = torch.sin(x)  # (N, 1)

# Sixteen smooth steps along the x axis. What is learned: how steep, where, how high.
slope = torch.ones(1, 16, device=device, requires_grad=True)
place = torch.linspace(-3, 3, 16, device=device, requires_grad=True)
height = torch.zeros(16, 1, device=device, requires_grad=True)


def network(x):
    return torch.tanh(x @ slope + place) @ height  # (N, 1) -> (N, 16) -> (N, 1)


for step in range(501):
    loss = ((network(x) - y) ** 2).mean()
    if step % 100 == 0:
        print(f"step {step:3d}   mean squared error {loss.item():.4f}")
    loss.backward()
    with torch.no_grad():
        for parameter in (slope, place, height):
            parameter -= 0.1 * parameter.grad
            parameter.grad = None

one = torch.ones(1, 1, device=device)
print(f"sin(1) is {torch.sin(one).item():.3f}, the network says {network(one).item():.3f}")
