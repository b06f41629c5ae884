"""Tensors on the CPU, on a GPU and on another one: what goes from one to the other, what is refused
and how, and what stays where it is. The GPUs are the stand-in's.

https://docs.pytorch.org/docs/stable/notes/cuda.html
"""

import copy
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.device import device as Device
from minidl.errors import DeviceError
from minidl.kernels.cuda import TYPES
from minidl.kernels.cuda.elementwise import SOURCE
from minidl.nn import functional as F
from minidl.testing import standin, standin_module
from tests.gpu import shim
from tests.gpu.sources import needs_gxx


@pytest.fixture(autouse=True)
def gpus():
    """Two of them."""
    with standin_module.registered():
        yield


FOLDER = Path(__file__).parent
PLACES = ["cpu", "cuda:0", "cuda:1"]
ways = pytest.mark.parametrize(
    ("there", "here"), [(a, b) for a in PLACES for b in PLACES if a != b]
)

# --------------------------------------------------------------- an assignment copies from anywhere


@ways
def test_copy_copies_from_another_device(there, here):
    x, y = minidl.zeros(2, 3, device=here), minidl.arange(3, device=there)
    assert x.copy_(y) is x
    assert str(x.device) == here and x.tolist() == [[0.0, 1.0, 2.0]] * 2


@ways
def test_a_gradient_goes_back_through_a_copy(there, here):
    x = minidl.zeros(3, device=here)
    y = minidl.ones(3, device=there, requires_grad=True)
    x.copy_(y)
    with minidl.cuda.device(1 if here == "cuda:1" else 0):
        (x * 2).sum().backward()
    assert str(y.grad.device) == there and y.grad.tolist() == [2.0, 2.0, 2.0]


@ways
@pytest.mark.parametrize(
    "index", [0, -1, (0,), slice(1), ..., None, (slice(1), slice(None))], ids=str
)
def test_an_index_of_numbers_takes_a_value_from_another_device(index, there, here):
    x, y = minidl.zeros(2, 3, device=here), minidl.arange(3.0, device=there)
    expected = np.zeros((2, 3))
    expected[index] = np.arange(3.0)
    x[index] = y
    assert str(x.device) == here and x.tolist() == expected.tolist()


@ways
def test_where_tensors_are_the_index_only_a_number_comes_from_another_device(there, here):
    x, y = minidl.zeros(3, device=here), minidl.tensor(4.0, device=there)
    at = minidl.tensor([0, 2], device=here)
    x[at] = y
    assert x.tolist() == [4.0, 0.0, 4.0]
    pair = minidl.ones(2, device=there)
    words = rf"on {here}.* a value of shape \(2,\) on {there}.*value\.to\('{here}'\)"
    with pytest.raises(DeviceError, match=words):
        x[at] = pair
    with minidl.cuda.device(1 if here == "cuda:1" else 0):
        mask = x > 5
        with pytest.raises(DeviceError, match=words):
            x[mask] = pair
    assert x.tolist() == [4.0, 0.0, 4.0]


def test_assigning_to_a_tensor_on_another_gpu_needs_no_change_of_the_current_one():
    x = minidl.zeros(3, device="cuda:1")
    x[0] = 2.0
    x[[1]] = 3.0
    x[np.array([2])] = np.array([4.0], np.float32)
    assert x.tolist() == [2.0, 3.0, 4.0] and x[1:].fill_(1.0).tolist() == [1.0, 1.0]
    assert str(x.device) == "cuda:1"


@ways
def test_a_state_dict_is_loaded_onto_another_device(there, here):
    net, other = nn.BatchNorm1d(3).to(here), nn.BatchNorm1d(3)
    with minidl.no_grad():
        other.weight.copy_(minidl.tensor([1.0, 2.0, 3.0]))
    other.num_batches_tracked += 5
    net.load_state_dict(other.to(there).state_dict())
    assert net.weight.tolist() == [1.0, 2.0, 3.0] and int(net.num_batches_tracked) == 5
    assert {str(t.device) for t in net.state_dict().values()} == {here}


def test_a_file_of_a_cpu_is_loaded_into_a_model_on_a_gpu(tmp_path):
    path = tmp_path / "net.safetensors"
    minidl.save(nn.Linear(2, 3).cuda().state_dict(), path)
    net = nn.Linear(2, 3).cuda()
    net.load_state_dict(minidl.load(path))
    assert net.weight.is_cuda and net.weight.tolist() == minidl.load(path)["weight"].tolist()


# ----------------------------------------------------------------------------------------- an index


def test_an_index_on_the_cpu_picks_from_a_gpu():
    at = minidl.tensor([2, 0])
    for place in ("cuda:0", "cuda:1"):
        x = minidl.arange(3.0, device=place)
        with minidl.cuda.device(x.device):
            assert x[at].tolist() == [2.0, 0.0] and x[minidl.tensor(1)].item() == 1.0
            assert x[[1, 0]].tolist() == [1.0, 0.0]
            assert x[minidl.tensor(True)].tolist() == [[0.0, 1.0, 2.0]]


def test_an_index_on_a_gpu_does_not_pick_from_elsewhere():
    x, at = minidl.arange(3.0), minidl.tensor([2, 0], device="cuda")
    words = "an index on cuda:0 for a tensor on cpu.*on the tensor's device or on the CPU"
    with pytest.raises(DeviceError, match=words):
        x[at]
    with pytest.raises(DeviceError, match=words):
        x[at] = 1.0
    with pytest.raises(DeviceError, match="cuda:0 for a tensor on cuda:1"):
        x.to("cuda:1")[at]
    with pytest.raises(DeviceError, match=words):
        x[minidl.tensor(True, device="cuda")]
    assert x[minidl.tensor(2, device="cuda")].item() == 2.0  # one position is a number


@pytest.mark.parametrize(
    "write",
    [
        lambda x, at: x.__setitem__(at, 1.0),
        lambda x, at: x.__setitem__((at, 0), 1.0),
        lambda x, at: x.__setitem__((0, at), 1.0),
        lambda x, at: x.__setitem__([9, 1], 1.0),
        lambda x, at: x.index_put_((at,), minidl.tensor(1.0, device="cuda")),
        lambda x, at: x.index_put((at,), minidl.ones(1, 2, device="cuda")),
        lambda x, at: x.index_put_((at,), minidl.ones(1, 2, device="cuda"), accumulate=True),
    ],
)
def test_positions_of_a_write_are_checked_in_anomaly_mode(write):
    x = minidl.zeros(4, 2, device="cuda")
    at = minidl.tensor([9], device="cuda")
    with (
        minidl.autograd.detect_anomaly(),
        pytest.raises(IndexError, match=r"index 9 is out of bounds for axis . with size [42]"),
    ):
        write(x, at)
    assert not x.any()


def test_the_check_of_a_write_waits_for_nothing_outside_anomaly_mode():
    x, at = minidl.zeros(4, 2, device="cuda"), minidl.tensor([3], device="cuda")
    with standin.counted() as counts:
        x[at] = 1.0
    assert (counts.transfers, counts.synchronisations) == (0, 0)
    with minidl.autograd.detect_anomaly():
        x[at] = 2.0
        x[1, minidl.tensor([-1], device="cuda")] = 3.0
    assert x.tolist() == [[0, 0], [0, 3], [0, 0], [2, 2]]


# ------------------------------------------------------------------------------ what stays there


def test_copies_stay_on_their_gpu():
    x = minidl.arange(3.0, device="cuda:1").requires_grad_()
    x.grad = minidl.ones(3, device="cuda:1")
    twin = copy.deepcopy(x)
    for y in (x.clone(), twin, twin.grad, x.to("cuda:1", copy=True)):
        assert str(y.device) == "cuda:1"
    assert twin.tolist() == [0.0, 1.0, 2.0] and twin.data_ptr() != x.data_ptr()
    with minidl.cuda.device(1):
        x.clone().backward(minidl.ones(3, device="cuda:1"))
    assert str(x.grad.device) == "cuda:1" and x.grad.tolist() == [2.0, 2.0, 2.0]


def test_a_copy_of_a_model_stays_on_its_gpu():
    net = copy.deepcopy(nn.BatchNorm1d(3).to("cuda:1"))
    assert {str(t.device) for t in net.state_dict().values()} == {"cuda:1"}


def test_lengths_of_ctc_may_be_on_the_cpu():
    minidl.manual_seed(0)
    said = minidl.randn(6, 1, 4).log_softmax(2)
    lengths = minidl.tensor([6]), minidl.tensor([2])
    expected = F.ctc_loss(said, minidl.tensor([[1, 2]]), *lengths)
    got = F.ctc_loss(said.cuda(), minidl.tensor([[1, 2]]).cuda(), *lengths)
    assert got.is_cuda and got.item() == pytest.approx(expected.item())


# -------------------------------------------------------------------------------- names of devices


@pytest.mark.parametrize("where", [1, "cuda:1", Device("cuda:1"), Device("cuda", 1)], ids=repr)
def test_a_gpu_by_number_name_or_device(where):
    for x in (
        minidl.ones(2).cuda(where),
        minidl.ones(2).to(where),
        minidl.zeros(2, device=where),
        nn.Linear(2, 2).cuda(where).weight,
        nn.Linear(2, 2).to(where).weight,
    ):
        assert str(x.device) == "cuda:1"
    with minidl.cuda.device(where):
        assert minidl.cuda.current_device() == 1
    minidl.cuda.synchronize(where)
    assert Device(1) == Device("cuda:1") and minidl.zeros(1, device=0).is_cuda


@pytest.mark.parametrize(
    "name", [("cuda", -1), (-1,), ("cuda:-1",), ("cuda", "1"), ("cuda", 1.5), (1.5,), (None,)]
)
def test_what_is_no_device_is_refused(name):
    shown = re.escape(", ".join(map(repr, name)))
    with pytest.raises(
        DeviceError, match=rf"device\({shown}\): expected 'cpu', 'cuda' or 'cuda:N'"
    ):
        Device(*name)


@pytest.mark.parametrize("cpu", ["cpu", Device("cpu")], ids=repr)
@pytest.mark.parametrize(
    "act",
    [
        lambda cpu: minidl.cuda.set_device(cpu),
        lambda cpu: minidl.cuda.device(cpu),
        lambda cpu: minidl.cuda.synchronize(cpu),
        lambda cpu: minidl.cuda.get_device_name(cpu),
        lambda cpu: minidl.cuda.memory_allocated(cpu),
        lambda cpu: minidl.ones(2).cuda(cpu),
        lambda cpu: nn.Linear(2, 2).cuda(cpu),
    ],
)
def test_the_cpu_is_no_gpu(act, cpu):
    with pytest.raises(DeviceError, match="expected a GPU, as 1 or 'cuda:1', got cpu"):
        act(cpu)


def test_joining_tensors_of_two_devices_names_each():
    x = minidl.ones(2)
    with pytest.raises(
        DeviceError,
        match=r"'tensors\[0\]' on cuda:0, 'tensors\[1\]' on cpu, 'tensors\[2\]' on cuda:1",
    ):
        minidl.cat([x.cuda(), x, x.cuda(1)])


def test_a_gradient_must_be_where_its_tensor_is():
    p = nn.Parameter(minidl.ones(2).cuda())
    for other in ("cpu", "cuda:1"):
        with pytest.raises(
            DeviceError, match=f"grad must be on the tensor's device, cuda:0.*{other}"
        ):
            p.grad = minidl.ones(2, device=other)
    assert p.grad is None
    p.grad = minidl.ones(2, device="cuda")
    net = nn.Linear(2, 2)
    net.weight.grad = minidl.ones(2, 2)
    assert net.cuda().weight.grad.is_cuda and not net.cpu().weight.grad.is_cuda


def test_types_by_pytorchs_names():
    x = minidl.ones(2)
    assert x.type() == "torch.FloatTensor" and x.cuda().type() == "torch.cuda.FloatTensor"
    assert x.type(x.cuda().double().type()).type() == "torch.cuda.DoubleTensor"
    assert x.cuda(1).type("torch.LongTensor").type() == "torch.LongTensor"
    assert x.cuda().type(minidl.int64).type() == "torch.cuda.LongTensor"
    assert x.cuda().type(minidl.IntTensor).type() == "torch.IntTensor"


# --------------------------------------------------------------------------------------- kernels


def launch(*arrays):
    with shim.device():
        SOURCE.launch(
            "values", f"{TYPES[np.dtype('float32')]}, Tanh", (1,), (32,), *arrays, 3, 0, 0
        )


@needs_gxx
def test_a_kernel_is_launched_on_the_gpu_of_its_arrays():
    x, y = (minidl.ones(3, device=f"cuda:{i}")._array for i in (0, 1))
    words = (
        r"values: .* on cuda:0, the current GPU.*'out' on cuda:1.*with minidl\.cuda\.device\(1\)"
    )
    with pytest.raises(DeviceError, match=words):
        launch(x, y)
    with minidl.cuda.device(1):
        launch(y, y)
        with pytest.raises(DeviceError, match=r"'x' on cuda:0.*minidl\.cuda\.device\(0\)"):
            launch(x, y)
    np.testing.assert_allclose(y._host, np.tanh(np.ones(3)), rtol=1e-6)


@needs_gxx
def test_the_shim_refuses_arrays_of_another_gpu():
    code = "__global__ void f(float* x) { x[0] = 1; }"
    function = shim.RawModule(code=code, name_expressions=["f"]).get_function("f")
    y = minidl.ones(3, device="cuda:1")._array
    with pytest.raises(shim.KernelError, match="argument 0 is on cuda:1, the launch on cuda:0"):
        function((1,), (1,), (y,))
    with minidl.cuda.device(1):
        function((1,), (1,), (y,))


# ------------------------------------------------------------------------------- the tests on a GPU


def test_without_a_gpu_the_tests_for_one_end_with_a_line():
    if cupy_finds_a_gpu():
        pytest.skip("there is a GPU")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-m",
        "gpu",
        "-n",
        "0",
        "-q",
        FOLDER / "test_on_gpu.py",
    ]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_XDIST")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 1 and "Traceback" not in done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if "pytest -m gpu: device 'cuda'" in line]
    assert len(lines) == 1 and len(done.stdout.splitlines()) < 10


def cupy_finds_a_gpu() -> bool:
    code = "import minidl; raise SystemExit(not minidl.cuda.is_available())"
    environment = {k: v for k, v in os.environ.items() if k != "MINIDL_CUDA"}
    return (
        subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
    )
