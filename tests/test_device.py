"""The seam: a backend that is not NumPy's can be registered, and everything runs on its arrays.

The backend here is NumPy under another array class that refuses to mix with plain NumPy arrays.
It proves that nothing reaches around the seam; it says nothing about a GPU.
"""

import importlib
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl import device as device_class
from minidl.device import Backend, backend, register
from minidl.errors import DeviceError


class Strange(np.ndarray):
    """An array that only works with its own kind."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        for x in (*inputs, *(out or ())):
            if type(x) is np.ndarray and x.ndim:
                raise TypeError(f"{ufunc.__name__} of a strange and a NumPy array")
        plain = [x.view(np.ndarray) if isinstance(x, Strange) else x for x in inputs]
        if out:
            kwargs["out"] = tuple(x.view(np.ndarray) for x in out)
        return strange(getattr(ufunc, method)(*plain, **kwargs))


def strange(value):
    if isinstance(value, tuple):
        return tuple(strange(v) for v in value)
    if isinstance(value, (np.ndarray, np.generic)):
        return np.asarray(value).view(Strange)
    return value


def strange_module() -> types.ModuleType:
    """NumPy's functions, each returning strange arrays."""
    module = types.ModuleType("strange")

    def wrapped(function):
        return lambda *args, **kwargs: strange(function(*args, **kwargs))

    for name in dir(np):
        value = getattr(np, name)
        ufunc = isinstance(value, np.ufunc)
        function = callable(value) and not isinstance(value, type) and not ufunc
        setattr(module, name, wrapped(value) if function else value)
    module.asarray = lambda value, dtype=None: strange(np.asarray(value, dtype))
    module.lib = types.SimpleNamespace(
        stride_tricks=types.SimpleNamespace(as_strided=wrapped(np.lib.stride_tricks.as_strided))
    )
    return module


@pytest.fixture
def strange_device(monkeypatch):
    seam = importlib.import_module("minidl.device")  # `minidl.device` itself is the class
    monkeypatch.setattr(seam, "_by_type", dict(seam._by_type))
    monkeypatch.setattr(seam, "_by_class", dict(seam._by_class))
    register(
        Backend(
            "cuda",
            Strange,
            strange_module(),
            "scipy.special",
            lambda a: a.copy().view(Strange),
            lambda a: a.view(np.ndarray).copy(),
        )
    )
    return "cuda"


def train(device: str) -> tuple[list[float], np.ndarray]:
    minidl.manual_seed(3)
    nn = minidl.nn
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.GELU(),
        nn.MaxPool2d(2),
        nn.LocalResponseNorm(3),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(64, 10),
        nn.LayerNorm(10),
    ).to(device)
    optimizer = minidl.optim.Adam(net.parameters(), lr=0.01)
    x = minidl.randn(6, 1, 8, 8).to(device)
    labels = minidl.randint(0, 10, (6,)).to(device)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = minidl.nn.functional.cross_entropy(net(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, net(x).detach().cpu().numpy()


def test_a_model_trains_on_a_registered_backend_as_on_the_cpu(strange_device):
    with minidl.kernels.disabled():
        expected = train("cpu")
    got = train(strange_device)
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-6)
    np.testing.assert_allclose(got[1], expected[1], rtol=1e-4, atol=1e-6)


def test_tensors_say_where_they_are(strange_device):
    x = minidl.ones(2, 3, device=strange_device)
    assert x.is_cuda and x.device.type == "cuda"
    assert (x + 1).is_cuda and x.sum().is_cuda and not x.cpu().is_cuda
    assert type(x.sum()._array) is Strange


def test_mixing_devices_names_both_tensors(strange_device):
    x, y = minidl.ones(3, device=strange_device), minidl.ones(3)
    with pytest.raises(DeviceError, match=r"add.*'input' on cuda.*'other' on cpu"):
        x + y


def test_numpy_of_a_tensor_elsewhere_says_what_to_do(strange_device):
    with pytest.raises(DeviceError, match=r"x\.cpu\(\)\.numpy\(\)"):
        minidl.ones(3, device=strange_device).numpy()


def test_a_gradient_comes_back_to_the_device_of_its_leaf(strange_device):
    x = minidl.ones(3, requires_grad=True)
    (x.cuda() * 2).sum().backward()
    assert not x.grad.is_cuda
    assert x.grad.tolist() == [2.0, 2.0, 2.0]


@pytest.fixture
def no_device(monkeypatch):
    """A process that has not asked for the GPU yet."""
    seam = importlib.import_module("minidl.device")
    monkeypatch.setattr(seam, "_by_type", {"cpu": seam.CPU})
    monkeypatch.delenv("MINIDL_CUDA", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


class FakeRuntime:
    def __init__(self, driver, error=None):
        self.driver, self.error = driver, error

    def driverGetVersion(self):
        return self.driver

    def getDeviceCount(self):
        if self.error is not None:
            raise RuntimeError(self.error)
        return 0


@pytest.mark.parametrize(
    ("runtime", "words"),
    [
        (None, "CuPy, which is missing: pip install 'minidl[cuda12]' (CUDA 12)"),
        (FakeRuntime(0), "there is no NVIDIA driver. Install it from https"),
        (FakeRuntime(11040, "cudaErrorInsufficientDriver: ..."), "too old for the CuPy"),
        (FakeRuntime(12080, "cudaErrorNoDevice: ..."), "installed, but there is no GPU. See"),
        (FakeRuntime(12080), "installed, but there is no GPU. See"),
    ],
    ids=["CuPy", "driver", "old driver", "GPU", "no GPU counted"],
)
def test_the_error_says_what_is_missing(runtime, words, no_device, monkeypatch):
    fake = None
    if runtime is not None:
        fake = types.ModuleType("cupy")
        fake.cuda = types.SimpleNamespace(runtime=runtime, is_available=lambda: False)
    monkeypatch.setitem(sys.modules, "cupy", fake)
    for act in (lambda: minidl.ones(3, device="cuda"), lambda: minidl.ones(3).cuda()):
        with pytest.raises(DeviceError) as error:
            act()
        assert words in str(error.value)
    assert not minidl.cuda.is_available() and minidl.cuda.device_count() == 0
    assert minidl.cuda.memory_allocated() == 0
    minidl.cuda.empty_cache()
    with pytest.raises(DeviceError):
        minidl.cuda.synchronize()


@pytest.mark.parametrize(
    "error",
    [
        OSError("libcublas.so.12: cannot open\n shared object file"),
        ImportError("libcublas.so.12: cannot open\n shared object file"),
        ModuleNotFoundError("libcublas.so.12: cannot open shared object file", name="fastrlock"),
    ],
    ids=repr,
)
def test_a_cupy_that_cannot_be_imported_is_not_missing(error, no_device, monkeypatch, tmp_path):
    (tmp_path / "cupy.py").write_text(
        f"error = {error!r}\nerror.name = {getattr(error, 'name', None)!r}\nraise error"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    words = (
        "CuPy is installed, but cannot be imported: "
        f"{type(error).__name__}: libcublas.so.12: cannot open shared object file"
    )
    with pytest.raises(DeviceError, match=words):
        minidl.ones(3, device="cuda")
    assert not minidl.cuda.is_available()


@pytest.mark.parametrize("value", ["nonsense", "Standin"])
def test_what_minidl_cuda_may_be(value, no_device, monkeypatch):
    monkeypatch.setenv("MINIDL_CUDA", value)
    for act in (lambda: backend("cuda"), minidl.cuda.is_available):
        with pytest.raises(ValueError, match=f"MINIDL_CUDA is '{value}': expected 'standin'"):
            act()


def test_hidden_gpus_are_a_hint(no_device, monkeypatch):
    fake = types.ModuleType("cupy")
    fake.cuda = types.SimpleNamespace(runtime=FakeRuntime(12080), is_available=lambda: False)
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(DeviceError, match="CUDA_VISIBLE_DEVICES is ''"):
        backend("cuda")


def test_only_the_seam_imports_cupy():
    root = Path(minidl.__file__).parent
    found = [
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if re.search(r"^\s*(import|from) cupyx?\b|import_module\(.cupyx?\b", path.read_text(), re.M)
    ]
    assert found == ["device.py"]


def test_dlpack_shares_memory_with_numpy():
    array = np.arange(3.0)
    t = minidl.from_dlpack(array)
    t[0] = 9.0
    assert array[0] == 9.0
    back = np.from_dlpack(t)
    array[1] = 7.0
    assert back.tolist() == [9.0, 7.0, 2.0]
    with pytest.raises(minidl.errors.GraphError, match="detach"):
        np.from_dlpack(minidl.ones(3, requires_grad=True))


@pytest.mark.parametrize("name", ["gpu", "cuda:x", ""])
def test_unknown_devices_are_refused(name):
    with pytest.raises(DeviceError, match="expected 'cpu', 'cuda' or 'cuda:N'"):
        device_class(name)


def test_devices_compare_by_type_and_index():
    assert device_class("cuda:1") == device_class("cuda", 1) != device_class("cuda")
    assert device_class("cpu") == "cpu"
