"""Train on real digits
Idea     Every training run is this loop: take a batch, measure the loss, go back, take a step.
Run      python examples/train_digits.py      (2 s; on a GPU: --device cuda)
You will see
    1442 digits to learn from, 355 to be tested on
    epoch  1   loss ~1.809   right on unseen ~78.6%
    epoch  2   loss ~0.732   right on unseen ~83.1%
    epoch  3   loss ~0.343   right on unseen ~85.9%
    epoch  4   loss ~0.231   right on unseen ~86.8%
    epoch  5   loss ~0.169   right on unseen ~87.6%
    epoch  6   loss ~0.146   right on unseen ~87.3%
    epoch  7   loss ~0.121   right on unseen ~88.2%
    epoch  8   loss ~0.096   right on unseen ~88.2%
    epoch  9   loss ~0.088   right on unseen ~89.0%
    epoch 10   loss ~0.076   right on unseen ~89.9%
Try      Take out nn.ReLU(): how good is a network without a bend?
         Swap Adam for optim.SGD(model.parameters(), lr=0.5, momentum=0.9).
Next     python -m papers alexnet; the loop there is this one
"""

import argparse

import minidl as torch
from minidl import datasets, nn, optim
from minidl.nn import functional as F
from minidl.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser(description="A network learns to read digits.")
parser.add_argument("--device", default="cpu", help="cpu or cuda (cpu)")
device = parser.parse_args().device
torch.manual_seed(0)

data = datasets.load("digits")  # 8 x 8 scans of handwriting, inside scikit-learn
images = torch.tensor(data.train_images, device=device).float() / 255  # (N, 1, 8, 8)
labels = torch.tensor(data.train_labels, device=device)  # (N,)
test_images = torch.tensor(data.test_images, device=device).float() / 255
test_labels = torch.tensor(data.test_labels, device=device)
print(f"{len(images)} digits to learn from, {len(test_images)} to be tested on")

batches = DataLoader(TensorDataset(images, labels), batch_size=32, shuffle=True)

model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)).to(device)
optimizer = optim.Adam(model.parameters(), lr=3e-3)

for epoch in range(1, 11):
    total = 0.0
    for x, y in batches:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    with torch.no_grad():
        right = (model(test_images).argmax(dim=1) == test_labels).float().mean().item()
    print(f"epoch {epoch:2d}   loss {total / len(batches):.3f}   right on unseen {right:.1%}")
