"""Training under autocast by CUDA kernels on the shim: float16 is stored, sums are float32."""

import numpy as np
import pytest

from minidl.amp import autocast
from minidl.testing import standin
from tests.gpu import networks
from tests.gpu.parity import on_shim
from tests.gpu.shim import FORWARD, launched
from tests.gpu.sources import needs_gxx

pytestmark = needs_gxx


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_trains_as_in_float32(name):
    with on_shim(in_orders=[FORWARD]) as device:
        expected = networks.Training(name, device)
        losses = [expected.step().item() for _ in range(4)]
        mixed = networks.Training(name, device)  # starts the random numbers of dropout anew
        with autocast(device):
            got = [mixed.step().item() for _ in range(4)]
            with standin.counted() as counts:
                mixed.step()
    np.testing.assert_allclose(got, losses, rtol=1e-3)
    assert got != losses
    assert (counts.transfers, counts.synchronisations) == (0, 0)


@pytest.mark.parametrize(("name", "kernel"), [("GPT", "attention"), ("LSTM", "lstm_cell")])
def test_kernels_run_in_float16(name, kernel):
    launched.clear()
    with on_shim(in_orders=[FORWARD]) as device, autocast(device):
        networks.Training(name, device).step()
    instances = {instance for _, instance in launched}
    assert f"{kernel}<half_t, float>" in instances
    assert f"{kernel}<float, float>" not in instances
