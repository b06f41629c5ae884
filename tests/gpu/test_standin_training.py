"""Training on the stand-in: as on the CPU, and without a transfer or a wait in a step."""

import networks
import numpy as np
import pytest

import minidl
from minidl import kernels, nn, optim
from minidl.errors import DeviceError, ShapeError
from minidl.nn import functional as F
from minidl.testing import standin, standin_module


@pytest.fixture(autouse=True)
def cuda():
    with standin_module.registered():
        yield "cuda"


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_trains_as_on_the_cpu(name, cuda):
    with kernels.disabled():
        expected = networks.Training(name, "cpu")
        losses = [expected.step().item() for _ in range(5)]
    got = networks.Training(name, cuda)
    np.testing.assert_allclose([got.step().item() for _ in range(5)], losses, rtol=1e-5)
    for a, b in zip(got.parameters(), expected.parameters(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_a_step_neither_transfers_nor_waits(name, cuda):
    training = networks.Training(name, cuda)
    training.step()  # the optimizer makes its state
    with standin.counted() as counts:
        training.step()
        training.step()
    assert (counts.transfers, counts.synchronisations) == (0, 0)


def test_what_is_hidden_is_counted(cuda):
    x = minidl.ones(3, device=cuda)
    with standin.counted() as counts:
        x.sum().item()
        x.cpu()
        x[x > 0]
        minidl.tensor([1.0]).to(cuda)
    assert (counts.transfers, counts.synchronisations) == (2, 2)


# --------------------------------------------------------- steps that once waited or transferred

numbers = np.random.default_rng(0)


class Of(nn.Module):
    """A function of a linear layer's output, and of what else it needs on the device."""

    def __init__(self, function, *others):
        super().__init__()
        self.function, self.first = function, nn.Linear(4, 4)
        for i, other in enumerate(others):
            self.register_buffer(f"other{i}", minidl.tensor(other))

    def forward(self, x):
        return self.function(self.first(x), *self.buffers())


class Bags(nn.Module):
    """Bags of equal length, and of any length: 0 and 2 begin after it."""

    def __init__(self, **options):
        super().__init__()
        self.table = nn.EmbeddingBag(6, 4, **options)
        self.register_buffer("offsets", minidl.tensor([0, 2, 2]))
        self.register_buffer("rows", minidl.tensor([[0, 5, 1], [1, 1, 3]]))

    def forward(self, x):
        bags = self.table(self.rows.flatten(), self.offsets)
        return x[0, 0] * self.table(self.rows).sum() + bags.sum()


def resized(**options):
    return Of(lambda x: F.interpolate(x.reshape(1, 1, 4, 4), **options))


def ctc(x, targets, times, sizes):
    return F.ctc_loss(x.reshape(4, 1, 4).expand(4, 2, 4).log_softmax(-1), targets, times, sizes)


CTC = [[1, 2], [3, 0]], [4, 3], [2, 1]
MODULES = {
    "batch norm of all batches": lambda: nn.Sequential(
        nn.Linear(4, 4), nn.BatchNorm1d(4, momentum=None)
    ),
    **{
        f"interpolate {options}": lambda options=options: resized(**options)
        for options in (
            {"size": 7},
            {"scale_factor": 1.5},
            {"scale_factor": 2},
            {"size": 7, "mode": "nearest-exact"},
            {"size": 7, "mode": "bilinear"},
            {"size": 3, "mode": "bilinear", "antialias": True},
            {"size": 7, "mode": "bicubic"},
            {"size": 3, "mode": "area"},
        )
    },
    "as_strided": lambda: Of(lambda x: x.as_strided((3, 3), (1, 2), 1)),
    "cumprod": lambda: Of(lambda x: x.cumprod(1)),
    "repeat_interleave": lambda: Of(lambda x: x.repeat_interleave(2, 0)),
    "repeat_interleave of a given size": lambda: Of(
        lambda x, times: x.repeat_interleave(times, 1, output_size=5), [2, 0, 1, 2]
    ),
    **{f"bags, {mode}": lambda mode=mode: Bags(mode=mode) for mode in ("sum", "mean", "max")},
    "bags with padding": lambda: Bags(padding_idx=1),
    "bags of short vectors": lambda: Bags(max_norm=0.5),
    "bags by frequency": lambda: Bags(scale_grad_by_freq=True),
    "ctc": lambda: Of(ctc, *CTC),
}


class Running:
    """Steps of a module on the device."""

    def __init__(self, module, cuda, optimizer=optim.SGD):
        self.module = module.to(cuda)
        self.x = minidl.tensor(numbers.standard_normal((4, 4)), dtype=minidl.float32).to(cuda)
        self.optimizer = optimizer(self.module.parameters(), lr=0.1)

    def step(self):
        self.optimizer.zero_grad()
        self.module(self.x).sum().backward()
        self.optimizer.step()

    def counted(self):
        with standin.counted() as counts:
            self.step()
        return counts.transfers, counts.synchronisations


@pytest.mark.parametrize("name", MODULES)
def test_these_neither_transfer_nor_wait(name, cuda):
    running = Running(MODULES[name](), cuda)
    running.step()
    assert running.counted() == (0, 0)


OPTIMIZERS = [
    optim.Adadelta, optim.Adafactor, optim.Adagrad, optim.Adam, optim.AdamW, optim.Adamax,
    optim.ASGD, optim.NAdam, optim.RAdam, optim.RMSprop, optim.Rprop, optim.SGD,
]  # fmt: skip


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers_neither_transfer_nor_wait(optimizer, cuda):
    running = Running(nn.Linear(4, 3), cuda, optimizer)
    running.step()
    assert running.counted() == (0, 0)
    saved = running.optimizer.state_dict()
    for of_param in saved["state"].values():  # as if it was loaded with map_location="cuda"
        of_param.update({name: value.to(cuda) for name, value in of_param.items()})
    running.optimizer.load_state_dict(saved)
    assert running.counted() == (0, 0)


def test_single_numbers_of_an_optimizer_keep_their_type(cuda):
    p = nn.Parameter(minidl.ones(2, dtype=minidl.float64, device=cuda))
    optimizer = optim.NAdam([p])
    p.grad = minidl.ones(2, dtype=minidl.float64, device=cuda)
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    state = optimizer.state[p]
    assert {(v.device.type, v.dtype) for v in (state["step"], state["mu_product"])} == {
        ("cpu", minidl.float32)
    }
    assert (state["exp_avg"].device.type, state["exp_avg"].dtype) == (cuda, minidl.float64)


def test_numbers_of_rows_on_the_cpu_are_refused(cuda):
    rows, table = minidl.tensor([[0, 1]]), minidl.ones(3, 2, device=cuda)
    for function in (F.embedding, F.embedding_bag):
        with pytest.raises(DeviceError, match="input on cpu and weight on cuda:0; move one"):
            function(rows, table)
        with pytest.raises(DeviceError, match="input on cuda:0 and weight on cpu"):
            function(rows.to(cuda), table.cpu())


def test_repeat_interleave_of_a_given_size(cuda):
    for device in ("cpu", cuda):
        x, times = minidl.arange(4, device=device), minidl.tensor([2, 0, 1, 2], device=device)
        assert x.repeat_interleave(times, output_size=5).tolist() == [0, 0, 2, 3, 3]
        assert minidl.repeat_interleave(times, output_size=5).tolist() == [0, 0, 2, 3, 3]
        assert x.repeat_interleave(0).tolist() == []
        with pytest.raises(ValueError, match="negative"):
            x.repeat_interleave(-1)
        with pytest.raises(ShapeError, match="output_size is 7, but there are 8"):
            x.repeat_interleave(2, output_size=7)
    with pytest.raises(ShapeError, match="output_size is 6, but there are 5"):
        x.cpu().repeat_interleave(times.cpu(), output_size=6)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 5, 8])
@pytest.mark.parametrize("zeros", [[], [0], [1], [1, 3], [4]])
def test_the_gradient_of_cumprod_is_that_of_products(size, zeros, cuda):
    values, weights = numbers.standard_normal((2, 2, size))
    values[:, [z for z in zeros if z < size]] = 0.0
    x = minidl.tensor(values, device=cuda, requires_grad=True)
    g = minidl.tensor(weights, device=cuda, requires_grad=True)
    products = [x[:, :1]]
    for i in range(1, size):
        products.append(products[-1] * x[:, i : i + 1])
    for found, right in zip(
        derivatives(x.cumprod(1), x, g), derivatives(minidl.cat(products, 1), x, g), strict=True
    ):
        np.testing.assert_allclose(found.cpu().numpy(), right.cpu().numpy(), atol=1e-12)


def derivatives(out, x, g):
    """Of the first and of the second order."""
    (first,) = minidl.autograd.grad((out * g).sum(), x, create_graph=True)
    return first.detach(), *minidl.autograd.grad((first**2).sum(), (x, g), materialize_grads=True)
