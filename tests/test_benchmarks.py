"""The benchmarks: that they compare equal work, and report what they measured."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl.testing import to_numpy
from tests.benchmarks import __main__ as command
from tests.benchmarks import chart, child, machine, memory, ops, report
from tests.benchmarks.workloads import WORKLOADS, Workload

# What PyTorch 2.13 computes in the first two steps, from the same weights and batches.
PYTORCH = {
    "mlp": (2.390768, 1.604941),
    "cnn": (2.363129, 2.491435),
    "resnet20": (3.400427, 3.131804),
    "gpt": (6.029289, 5.787239),
    "lstm": (2.338491, 2.232023),
    "unet": (1.235817, 1.611866),
    "vit": (2.902808, 2.546525),
    "dqn": (0.429124, 0.383629),
    "tiny": (-4.253948, -4.253948),
}

MISSING = "raise ModuleNotFoundError(\"No module named 'torch'\")"
MINIDL = "import sys, minidl; sys.modules['torch'] = minidl"
BROKEN = "raise RuntimeError('this PyTorch does not load')"


@pytest.fixture
def smoke(tmp_path, monkeypatch, capsys):
    """smoke(source of a module torch, arguments...) -> exit code, printed, errors."""

    def run(torch: str, *arguments: str) -> tuple[int, str, str]:
        (tmp_path / "torch.py").write_text(torch)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        code = command.main(["--smoke", *arguments])
        return code, *capsys.readouterr()

    return run


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_workload_computes_what_pytorch_computes(name):
    workload = WORKLOADS[name](minidl)
    losses = [workload.step().item() for _ in PYTORCH[name]]
    np.testing.assert_allclose(losses, PYTORCH[name], rtol=1e-4)


def test_two_contenders_are_compared(smoke, tmp_path):
    code, printed, _ = smoke(MINIDL, "tiny", "--out", str(tmp_path / "out"))
    assert code == 0
    head, _, tiny, mean = printed.splitlines()[:4]
    assert "torch ms" in head and mean.startswith("geometric mean ")
    assert tiny.split()[5] == "0.80" and tiny.split()[6] in ("met", "missed")
    assert "agree to 0e+00" in tiny
    assert "blas" in printed and "numpy" in printed
    written = json.loads((tmp_path / "out" / "benchmarks.json").read_text())
    assert [(r["work"], r["contender"]) for r in written["runs"]] == [
        ("tiny", "minidl"),
        ("tiny", "torch"),
    ]
    assert (tmp_path / "out" / "benchmarks.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_not_installed_is_left_out(smoke):
    code, printed, errors = smoke(MISSING, "dqn")
    assert code == 0
    assert errors.splitlines() == [
        "torch is left out: ModuleNotFoundError: No module named 'torch'"
    ]
    assert "torch" not in printed and "dqn" in printed


def test_what_fails_is_not_left_out(smoke):
    code, _, errors = smoke(BROKEN, "dqn")
    assert code == 1
    assert "torch failed at dqn" in errors and "this PyTorch does not load" in errors


def test_images_alone_run_in_channels_last(smoke):
    _, printed, _ = smoke(MINIDL, "dqn", "--against", "torch", "channels-last")
    assert printed.splitlines()[2].split()[-5:-2] == ["-", "-", "agree"]


def test_op_by_op(smoke):
    code, printed, _ = smoke(MINIDL, "--ops", "embedding", "Adam 50")
    assert code == 0
    names = [line.split("  ")[0] for line in printed.splitlines()[2:6]]
    assert names == [
        "embedding 8192x128 f",
        "embedding 8192x128 fb",
        "Adam 50 x 20k step",
        "geometric mean",
    ]


def test_the_peak_of_memory_has_everything_that_is_live():
    """A product of large matrices: its inputs, its result, the gradients of result and weight."""
    side, model = 1000, minidl.nn.Linear(1000, 1000, bias=False)
    x = minidl.randn(side, side)
    workload = Workload(model, (x,), lambda model, x: (model(x) ** 2).mean())
    square = 4 * side * side
    assert 4 * square <= memory.peak(minidl, workload) <= 7 * square


def test_memory_is_compared():
    runs = [
        {"work": "memory,cnn", "contender": "minidl", "peak": 60e6},
        {"work": "memory,cnn", "contender": "torch", "peak": 80e6},
        {"work": "memory,tiny", "contender": "minidl", "peak": 1e6},
    ]
    lines = report.memory(runs).splitlines()
    assert lines[2].split() == ["cnn", "60", "80", "0.75"]
    assert lines[3].split() == ["tiny", "1", "-", "-"]


def test_unknown_names_are_refused(capsys):
    assert command.main(["resnet"]) == 2
    assert "no 'resnet'; there are: mlp, cnn, resnet20" in capsys.readouterr().err
    assert command.main(["--ops", "gelu", "sofmax"]) == 2


@pytest.mark.parametrize(
    "name",
    ["add row 2048x512", "layer_norm 2048x128", "conv 64-64 at 8", "cross_entropy 2048x256"],
)
def test_an_op_runs_forward_and_backward(name, monkeypatch):
    case = ops.CASES[name](minidl)
    seen = []
    function = case.function
    case.function = lambda *x: seen.append(function(*x)) or seen[-1]
    calls = case.calls(minidl)
    calls["f"]()
    assert not seen[-1].requires_grad
    calls["fb"]()
    assert seen[-1].requires_grad
    assert np.isfinite(to_numpy(seen[-1].detach())).all()


def test_the_settings_of_openblas_are_dropped_or_kept(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert "OPENBLAS_CORETYPE" not in command.environment(2, default_blas=False)
    kept = command.environment(3, default_blas=True)
    assert kept["OPENBLAS_CORETYPE"] == "Haswell"
    assert kept["OPENBLAS_NUM_THREADS"] == kept["OMP_NUM_THREADS"] == kept["NPROC"] == "3"


def test_the_time_of_a_call_is_the_median(monkeypatch):
    clock = iter([0, 0, 5, 9, 9, 9, 10, 10, 13, 13, 20, 20])
    monkeypatch.setattr(child.time, "perf_counter", lambda: next(clock))
    calls = []
    # Warm-up: one call of 5 s, longer than the half second. Then calls of 1 s, 3 s and 7 s.
    assert child.median_time(lambda: calls.append(1), 1.0) == 3
    assert len(calls) == 4


def test_blas_kernels_are_named():
    assert "openblas" in machine.numpy_blas() or "unknown" in machine.numpy_blas()
    assert machine.openblas_kernels(Path("/no/such/folder")) == "unknown"


def run(work: str, contender: str, number: int, time: float, **more) -> dict:
    return {"work": work, "contender": contender, "round": number, "time": time} | more


RUNS = [
    run("mlp", "minidl", 0, 0.001, losses=[2.0, 1.0]),
    run("mlp", "torch", 0, 0.004, losses=[2.0, 1.00001]),
    run("mlp", "minidl", 1, 0.002, losses=[2.0, 1.0]),
    run("mlp", "torch", 1, 0.004, losses=[2.0, 1.0]),
    run("mlp", "minidl", 2, 0.003, losses=[2.0, 1.0]),
    run("mlp", "torch", 2, 0.010, losses=[2.0, 1.0]),
    run("gpt", "minidl", 0, 0.040, losses=[6.0]),
    run("gpt", "torch", 0, 0.050, losses=[6.1]),
]


def results(runs: list[dict]) -> dict:
    about = {c: {"python": "3.11"} for c in dict.fromkeys(r["contender"] for r in runs)}
    described = machine.describe(2, {"OPENBLAS_NUM_THREADS": "2", "HOME": "/root"})
    return {"date": "2025-01-31", "machine": described, "about": about, "runs": runs}


def test_a_ratio_is_that_of_one_round():
    assert report.ratios(RUNS, "mlp", "torch") == pytest.approx([0.25, 0.5, 0.3])
    assert report.medians(RUNS, "torch") == pytest.approx({"mlp": 0.3, "gpt": 0.8})
    lines = report.text(results(RUNS)).splitlines()
    assert lines[2].split("  ")[0] == "mlp"
    assert " ".join(lines[2].split()) == "mlp 2 4 0.30 (0.25-0.50) 0.40 met agree to 1e-05"
    assert " ".join(lines[3].split()) == "gpt 40 50 0.80 (0.80-0.80) 0.55 missed DIFFER by 2e-02"
    assert f"{math.sqrt(0.3 * 0.8):.2f}" == "0.49"
    assert " ".join(lines[4].split()) == "geometric mean 0.49 0.60 met"
    assert "set: OPENBLAS_NUM_THREADS=2" in lines
    assert lines[-1] == "minidl, torch: python 3.11"


def test_the_chart_takes_every_contender(tmp_path):
    others = [
        run("mlp", other, number, 0.004)
        for other in ("channels-last", "compile", "jax")
        for number in range(3)
    ]
    chart.draw(results(RUNS + others), tmp_path / "chart.png")
    assert (tmp_path / "chart.png").stat().st_size > 5_000


def test_jax_is_asked_for_what_is_written_for_it():
    source = (Path(child.__file__).parent / "in_jax.py").read_text()
    written = [name for name in WORKLOADS if f"\ndef {name}() ->" in source]
    assert written == ["mlp", "cnn", "resnet20", "gpt", "lstm"]
