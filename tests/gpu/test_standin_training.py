"""Training on the stand-in: as on the CPU, and without a transfer or a wait in a step."""

import networks
import numpy as np
import pytest

import minidl
from minidl import kernels
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
