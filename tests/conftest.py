"""Fixtures and settings for every test.

A test that takes the `device` fixture runs three times: on the CPU, on the CPU with kernels off,
and on a stand-in for CuPy that has its rules (`minidl/testing/standin.py`). No GPU code runs in any
of them; `pytest -m gpu` is for a machine that has a GPU.
"""

import gc
import os
import re
from collections import Counter
from collections.abc import Iterable
from contextlib import nullcontext

if "PYTEST_XDIST_WORKER" in os.environ:  # before NumPy is imported: one thread for each worker
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
from hypothesis import settings

from minidl import kernels
from minidl.testing import profiles, standin_module

# Chosen by `pytest --hypothesis-profile=ci`.
profiles.register()
settings.register_profile("nightly", settings.get_profile("ci"), max_examples=2000)
settings.load_profile("dev")

# The three passes of the `device` fixture, and the device that a test is given in each.
PASSES = {"cpu": "cpu", "definitions": "cpu", "standin": "cuda"}


def pytest_configure(config):
    config.addinivalue_line("markers", "smoke: a few seconds of the most telling tests (-m smoke)")


def pytest_collection_finish():
    gc.freeze()  # thousands of tests stay: `gc.collect()` need not walk through them each time


@pytest.fixture(params=PASSES, scope="session")
def device(request):
    """The device that tensors of ops, nn and optim tests live on; read them with `to_numpy`."""
    return PASSES[request.param]


@pytest.fixture
def examples(request):
    """How many samples a check of the records is tried on: the passes after the first, which look
    for other mistakes than those of formulas, make do with fewer."""
    most = settings().max_examples // 2  # there are thousands of these tests
    return most if pass_of(request.node) == "cpu" else max(most // 4, 1)


def pass_of(item) -> str | None:
    return item.callspec.params.get("device") if hasattr(item, "callspec") else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    found = pass_of(item)
    if found == "standin":
        with standin_module.registered():
            return (yield)
    with kernels.disabled() if found == "definitions" else nullcontext():
        return (yield)


def line_of_passes(names: Iterable[str]) -> str:
    count = Counter(names)
    counts = ", ".join(f"{count[name]} {name}" for name in PASSES)
    return f"tests of the device fixture: {counts} (a stand-in for CuPy: no GPU code runs)"


def pytest_report_collectionfinish(config, items):
    return line_of_passes(name for item in items if (name := pass_of(item)))


class Distributed:
    """With pytest-xdist the workers collect; the first of them to say what it found is believed."""

    said = False

    def pytest_xdist_node_collection_finished(self, node, ids):
        if not self.said:
            self.said = True
            words = (set(re.split(r"[\[\]-]", name)) for name in ids)
            found = [name for some in words for name in PASSES if name in some]
            node.config.get_terminal_writer().line(line_of_passes(found))


def pytest_plugin_registered(plugin, plugin_name, manager):
    if plugin_name == "dsession":
        manager.register(Distributed())
