"""The three passes of the `device` fixture: each has every test, on what it says."""

from collections import Counter

import pytest

import minidl
from minidl import kernels
from minidl.testing import standin


def test_each_pass_has_every_test(request):
    """Of the tests that are run; not where some were chosen by name."""
    config = request.config
    if config.option.keyword or any("::" in argument for argument in config.args):
        pytest.xfail("tests were chosen by name: the counts may differ")
    found = Counter(
        item.callspec.params["device"]
        for item in request.session.items
        if hasattr(item, "callspec") and "device" in item.callspec.params
    )
    assert found["cpu"] == found["definitions"] == found["standin"] > 0


def test_a_pass_is_what_it_says(device, request):
    name = request.node.callspec.params["device"]
    x = minidl.ones(100, 100, device=device)
    assert (name == "standin") == (type(x._array) is standin.ndarray)
    assert kernels.enabled() == (name != "definitions")
