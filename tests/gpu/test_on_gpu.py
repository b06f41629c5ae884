"""What a machine with a GPU is asked: is every op the same there as on the CPU, do networks train
the same, does a step wait for nothing, do the papers run, how fast is it.

    pytest -m gpu -n 0 -s

Elsewhere none of it runs: it is deselected, and fails, saying what is missing, if asked for. `-s`
shows the table of the benchmark; keep the whole output, with the date, as the log.
"""

import json
import os
import platform
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib import util
from pathlib import Path
from unittest import mock

import networks
import numpy as np
import pytest

import minidl
from minidl import kernels, testing
from minidl.device import backend
from minidl.errors import DeviceError
from minidl.testing import OP_CHECKS, to_numpy
from minidl.testing.checks import call, run
from minidl.testing.checks.search import search
from tests.gpu import parity
from tests.gpu.cases import CASES, FUNCTIONS

pytestmark = pytest.mark.gpu

ROOT = Path(__file__).parents[2]
RECORDS = list(testing.ops())
SAMPLES = 5


@pytest.fixture(scope="session", autouse=True)
def gpu():
    """The GPU: not the stand-in. Without one the run ends, saying in a line what is missing."""
    os.environ.pop("MINIDL_CUDA", None)
    try:
        cupy = backend("cuda").module
    except DeviceError as error:
        if "PYTEST_XDIST_WORKER" in os.environ:  # which cannot end the run
            pytest.fail(str(error), pytrace=False)
        pytest.exit(f"pytest -m gpu: {error}", returncode=1)
    name, driver = minidl.cuda.get_device_name(), cupy.cuda.runtime.driverGetVersion()
    print(f"\n{name}, driver {driver}, CuPy {cupy.__version__}, {platform.platform()}")
    return "cuda"


def both(function, sample, record, dtype, gpu):
    """Values and gradients of one call on the GPU and, from definitions, on the CPU in float64."""
    arguments = call.arguments(record, sample, lambda a: call.leaf(a, gpu, dtype))
    got = call.gradients(call.function_of(record, sample, gpu, dtype), arguments)
    with kernels.disabled():
        arguments = call.arguments(record, sample, call.leaf)
        expected = call.gradients(call.function_of(record, sample), arguments)
    return got[0] + got[1], expected[0] + expected[1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_an_op_gives_what_it_gives_on_the_cpu(record, dtype, gpu):
    rtol, atol = (1e-5, 1e-6) if dtype == "float32" else (1e-9, 1e-11)

    def compare(sample):
        exact = call.map_arrays(lambda a: _rounded(a, dtype), (sample.args, sample.kwargs))
        got, expected = both(record.function, type(sample)(*exact), record, np.dtype(dtype), gpu)
        for a, b in zip(got, expected, strict=True):
            if a is None or b is None:
                continue
            if b.dtype.kind != "f":
                np.testing.assert_array_equal(a, b)
                continue
            largest = np.abs(b[np.isfinite(b)]).max(initial=0.0)
            np.testing.assert_allclose(a, b, rtol=0, atol=rtol * largest + atol, equal_nan=True)

    search(compare, record.samples, max_examples=SAMPLES, seed=0)


def _rounded(array, dtype):
    """Numbers that both types have."""
    return array.astype(dtype).astype(array.dtype) if array.dtype.kind == "f" else array


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_every_check_of_an_op_holds(record, gpu):
    for check in OP_CHECKS:
        if check.applies(record):
            run(check, record, device=gpu, max_examples=SAMPLES)


@pytest.mark.parametrize("name", kernels.CUDA)
def test_a_kernel_gives_what_its_definition_gives_on_the_cpu(name, gpu):
    """In float64, and in the types of the kernel within their rounding; and it is the kernel."""
    x = np.random.default_rng(0).standard_normal((24, 40))
    types = ["float32", "float64", *["float16"] * kernels.load_cuda(name).half]
    array = backend("cuda").module.asarray
    for case in CASES[name]:
        parity.check(case, x, kernel=name, types=types, on=any_size, array=array)


@pytest.mark.parametrize("name", kernels.CUDA_FUNCTIONS)
def test_a_kernel_of_a_plain_function_gives_what_it_gives_on_the_cpu(name, gpu):
    x = np.random.default_rng(0).standard_normal((24, 40))
    for case in FUNCTIONS[name]:
        parity.check_function(case, x, backend("cuda").module.asarray)


@contextmanager
def any_size():
    """Kernels run however small the arrays are."""
    with mock.patch.object(kernels, "LARGE", 0):
        yield


@pytest.mark.parametrize("kernels_on", [True, False], ids=["kernels", "definitions"])
@pytest.mark.parametrize("name", networks.NETWORKS)
def test_a_network_trains_as_on_the_cpu(name, kernels_on, gpu):
    with kernels.disabled():
        expected = networks.Training(name, "cpu")
        losses = [expected.step().item() for _ in range(5)]
    if kernels_on:
        got = networks.Training(name, gpu)
        found = [got.step().item() for _ in range(5)]
    else:
        with kernels.disabled():
            got = networks.Training(name, gpu)
            found = [got.step().item() for _ in range(5)]
    np.testing.assert_allclose(found, losses, rtol=1e-4)
    for a, b in zip(got.gradients(), expected.gradients(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings("ignore:cupyx.allow_synchronize")  # it warns that it may miss some
@pytest.mark.parametrize("name", networks.NETWORKS)
def test_a_step_waits_for_nothing(name, gpu):
    """CuPy itself refuses to wait within."""
    training = networks.Training(name, gpu)
    training.step()
    import cupyx

    with cupyx.allow_synchronize(False):
        training.step()


def test_random_numbers_are_those_of_the_cpu(gpu):
    for draw in (minidl.rand, minidl.randn):
        minidl.manual_seed(3)
        expected = to_numpy(draw(1001))
        minidl.manual_seed(3)
        got = to_numpy(draw(1001, device=gpu))
        exact = 0.0 if draw is minidl.rand else 2e-6
        np.testing.assert_allclose(got, expected, rtol=0, atol=exact)


def test_memory_is_shared_by_dlpack(gpu):
    cupy = backend("cuda").module
    array = cupy.arange(3.0)
    t = minidl.from_dlpack(array)
    t += 1
    assert array.tolist() == [1.0, 2.0, 3.0]
    cupy.from_dlpack(t)[0] = 9.0
    assert t.tolist() == [9.0, 2.0, 3.0]
    if util.find_spec("torch"):
        import torch

        torch.from_dlpack(t)[1] = 7.0
        minidl.cuda.synchronize()
        assert t.tolist() == [9.0, 7.0, 3.0]


PAPERS = ["alexnet", "dropout", "resnet"]


@pytest.mark.parametrize("paper", PAPERS)
def test_a_paper_learns_as_on_the_cpu(paper, tmp_path, gpu):
    """Its first losses; rounding has grown beyond any bound after some hundred updates."""
    losses = []
    for device in ("cpu", gpu):
        command = [sys.executable, "-m", "papers", paper, "--smoke", "--device", device]
        done = subprocess.run(
            [*command, "--out", str(tmp_path / device)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert json.loads((tmp_path / device / "metrics.json").read_text())["claims"]
        lines = (tmp_path / device / "log.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["loss"] for line in lines if '"loss"' in line][:5])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-2)


# ------------------------------------------------------------------------------------ how fast

WIDTH, BATCH, LENGTH = 1024, 128, 256


def steps(torch, device: str) -> dict:
    """A training step of three networks at sizes that keep a GPU busy, in minidl or PyTorch."""
    nn, F = torch.nn, torch.nn.functional

    def trained(network, x, labels):
        network.to(device)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        x, labels = x.to(device), labels.to(device)

        def step():
            optimizer.zero_grad()
            F.cross_entropy(network(x).flatten(0, -2), labels.flatten()).backward()
            optimizer.step()

        return step

    image = torch.rand(BATCH, 3, 32, 32)
    rows, tokens = torch.rand(BATCH, WIDTH), torch.randint(0, 100, (32, LENGTH))
    labels = torch.randint(0, 10, (BATCH,))
    mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.ReLU(), nn.Linear(4 * WIDTH, 10))
    cnn = nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3, padding=1), nn.BatchNorm2d(128), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128 * 64, 10),
    )  # fmt: skip
    layer = nn.TransformerEncoderLayer(512, 8, 2048, dropout=0.0, batch_first=True)
    transformer = nn.Sequential(nn.Embedding(100, 512), layer, nn.Linear(512, 100))
    return {
        "MLP": trained(mlp, rows, labels),
        "CNN": trained(cnn, image, labels),
        "transformer layer": trained(transformer, tokens, tokens),
    }


def seconds(step, synchronize) -> float:
    """The median of 20 steps, each waited for."""
    times = []
    for i in range(25):
        synchronize()
        start = time.perf_counter()
        step()
        synchronize()
        times += [time.perf_counter() - start] if i >= 5 else []
    return float(np.median(times))


def test_how_fast_against_pytorch(gpu):
    """Prints a table; it fails only if minidl does not run."""
    rows = {
        name: [seconds(step, minidl.cuda.synchronize)] for name, step in steps(minidl, gpu).items()
    }
    if util.find_spec("torch"):
        import torch

        if torch.cuda.is_available():
            for name, step in steps(torch, gpu).items():
                rows[name].append(seconds(step, torch.cuda.synchronize))
    print(f"\n{'training step':20}  {'minidl':>9}  {'PyTorch':>9}  ratio")
    for name, times in rows.items():
        text = "".join(f"  {1e3 * t:6.2f} ms" for t in times)
        print(f"{name:20}{text}" + (f"  {times[0] / times[1]:.2f}" if len(times) == 2 else ""))
