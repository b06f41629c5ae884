"""Second derivatives against a committed table of PyTorch's.

`second_derivatives.json` holds for each case input arrays, two cotangents v and w, and
d(w . d(v . f)/dx)/dx as PyTorch computes it in float64. It is written by `make_tables.py`.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from second_derivative_cases import CASES

import minidl
from minidl import kernels
from minidl.testing import to_numpy

TABLE = json.loads(Path(__file__).with_name("second_derivatives.json").read_text())


@pytest.mark.smoke
def test_the_table_is_complete():
    assert set(TABLE) == set(CASES)
    assert len(CASES) >= 17


@pytest.mark.smoke
@pytest.mark.parametrize("fused", [False, True], ids=["parts", "fused"])
@pytest.mark.parametrize("name", CASES)
def test_agrees_with_pytorch(name, fused, device):
    case = TABLE[name]
    arrays = [np.array(a) for a in case["inputs"]]
    leaves = [minidl.tensor(a, device=device, requires_grad=True) for a in arrays]
    v = minidl.tensor(np.array(case["v"]), device=device)
    ws = [minidl.tensor(np.array(w), device=device) for w in case["w"]]
    with kernels.forced(reference=fused):
        out = CASES[name](minidl, minidl.ops, *leaves)
        first = minidl.autograd.grad((out * v).sum(), leaves, create_graph=True)
        total = sum(((g * w).sum() for g, w in zip(first, ws, strict=True)), 0.0)
        second = minidl.autograd.grad(total, leaves, allow_unused=True)
    for x, got, expected in zip(leaves, second, case["second"], strict=True):
        got = np.zeros(x.shape) if got is None else to_numpy(got)
        np.testing.assert_allclose(got, np.array(expected), rtol=1e-6, atol=1e-9)
