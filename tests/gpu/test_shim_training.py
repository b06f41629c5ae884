"""Training as "cuda", by CUDA kernels on the shim: as on the CPU, and without a transfer."""

import numpy as np
import pytest

from minidl import kernels
from minidl.testing import standin
from tests.gpu import networks
from tests.gpu.parity import on_shim
from tests.gpu.shim import FORWARD
from tests.gpu.sources import needs_gxx
from tests.parity import kernels_used

pytestmark = needs_gxx


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_trains_as_on_the_cpu(name):
    with kernels.disabled():
        expected = networks.Training(name, "cpu")
        losses = [expected.step().item() for _ in range(5)]
    with on_shim(in_orders=[FORWARD]) as device, kernels_used() as used:
        got = networks.Training(name, device)
        np.testing.assert_allclose([got.step().item() for _ in range(5)], losses, rtol=1e-5)
        gradients = got.gradients()
    assert "cross_entropy" in used
    for a, b in zip(gradients, expected.gradients(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_a_step_neither_transfers_nor_waits(name):
    with on_shim(in_orders=[FORWARD]) as device:
        training = networks.Training(name, device)
        training.step()  # the optimizer makes its state
        with standin.counted() as counts:
            training.step()
    assert (counts.transfers, counts.synchronisations) == (0, 0)
