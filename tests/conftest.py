"""Fixtures and settings for every test."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # before NumPy is imported: one thread for each worker
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
from hypothesis import settings

from minidl.testing import profiles

# Chosen by `pytest --hypothesis-profile=ci`.
profiles.register()
settings.register_profile("nightly", settings.get_profile("ci"), max_examples=2000)
settings.load_profile("dev")

# A stand-in for the GPU registers itself in `minidl.device` and adds its device here.
DEVICES = os.environ.get("MINIDL_TEST_DEVICES", "cpu").split(",")


def pytest_configure(config):
    config.addinivalue_line("markers", "smoke: a few seconds of the most telling tests (-m smoke)")


@pytest.fixture(params=DEVICES, scope="session")
def device(request):
    """The device that tensors of ops, nn and optim tests live on; read them with `to_numpy`."""
    return request.param
