"""Writes promotion.json and second_derivatives.json from PyTorch's answers.

Not run by the tests, which never need PyTorch. To write the tables again, in an environment with
PyTorch (2.13 wrote the committed ones):

    python tests/ops/make_tables.py
"""

import json
from pathlib import Path

import numpy as np
import torch
from promotion_cases import CODES, DTYPES, OPERANDS, PAIRED, SINGLE, call_pair, call_single
from second_derivative_cases import CASES

HERE = Path(__file__).parent


def second_derivatives():
    table = {}
    for number, (name, function) in enumerate(CASES.items()):
        rng = np.random.default_rng(number)
        leaves = [
            torch.tensor(rng.uniform(-1.5, 1.5, (3, 4)).round(3), requires_grad=True)
            for _ in range(2)
        ]
        out = function(torch, torch.nn.functional, *leaves)
        v = torch.tensor(rng.uniform(-2, 2, tuple(out.shape)).round(3))
        ws = [torch.tensor(rng.uniform(-2, 2, (3, 4)).round(3)) for _ in leaves]
        first = torch.autograd.grad((out * v).sum(), leaves, create_graph=True)
        total = sum((g * w).sum() for g, w in zip(first, ws, strict=True))
        second = torch.autograd.grad(total, leaves, materialize_grads=True)
        table[name] = {
            "inputs": [x.tolist() for x in leaves],
            "v": v.tolist(),
            "w": [w.tolist() for w in ws],
            "second": [g.tolist() for g in second],
        }
    return table


def answer(call, *arguments):
    """The code of the type of the result's elements, or of an error."""
    try:
        result = call(torch, *arguments)
    except (RuntimeError, TypeError, NotImplementedError, ValueError, IndexError):
        return CODES["error"]
    return CODES[str(result.dtype).removeprefix("torch.")]


def promotion():
    """One letter for each second operand (or type), in the order of OPERANDS (or DTYPES)."""
    return {
        "pairs": {
            name: {a: "".join(answer(call_pair, name, a, b) for b in OPERANDS) for a in OPERANDS}
            for name in PAIRED
        },
        "single": {
            name: "".join(answer(call_single, name, dtype) for dtype in DTYPES) for name in SINGLE
        },
    }


def write(name, table):
    (HERE / name).write_text(json.dumps(table, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    write("second_derivatives.json", second_derivatives())
    write("promotion.json", promotion())
