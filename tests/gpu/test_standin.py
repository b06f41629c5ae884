"""The stand-in refuses what CuPy refuses, shows what CuPy leaves undefined, and counts.

https://docs.cupy.dev/en/stable/user_guide/difference.html
"""

import importlib
import sys

import numpy as np
import pytest

import minidl
from minidl.errors import DeviceError
from minidl.testing import standin, standin_module

cp = standin_module.MODULE
ndarray = standin.ndarray


@pytest.fixture
def a():
    return cp.asarray(np.arange(6.0).reshape(2, 3))


# ------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("act", "error", "words"),
    [
        (lambda a: np.asarray(a), TypeError, "Implicit conversion to a NumPy array"),
        (lambda a: np.array([a, a]), TypeError, "Implicit conversion to a NumPy array"),
        (lambda a: a + np.ones(3), TypeError, "Unsupported type <class 'numpy.ndarray'>"),
        (lambda a: np.ones(3) * a, TypeError, "Unsupported type <class 'numpy.ndarray'>"),
        (lambda a: np.ones(3) > a, TypeError, "Unsupported type <class 'numpy.ndarray'>"),
        (lambda a: cp.where(a > 0, a, np.ones(3)), TypeError, "numpy.ndarray"),
        (lambda a: cp.concatenate([a, np.ones((2, 3))]), TypeError, "numpy.ndarray"),
        (lambda a: a.__iadd__(np.ones(3)), TypeError, "numpy.ndarray"),
        (lambda a: a.__setitem__(..., np.ones((2, 3))), ValueError, "cannot be used for fill"),
        (lambda a: a.__setitem__(0, [1.0, 2.0, 3.0]), ValueError, "cannot be used for fill"),
        (lambda a: cp.exp([1.0, 2.0]), TypeError, "Unsupported type <class 'list'>"),
        (lambda a: cp.exp(np.ones(3)), TypeError, "Unsupported type <class 'numpy.ndarray'>"),
        (lambda a: a * [1, 2, 3], TypeError, "list"),
        (lambda a: cp.sum([1, 2]), TypeError, "expected an array of the device"),
        (lambda a: cp.sum(np.ones(3)), TypeError, "expected an array of the device"),
        (lambda a: cp.vecdot(a, a), AttributeError, "vecdot"),
        (lambda a: cp.linalg.svdvals(a), AttributeError, "svdvals"),
        (lambda a: cp.random.rand(3), AttributeError, "random"),
        (lambda a: a.setflags(write=False), AttributeError, "setflags"),
        (lambda a: a.ctypes, AttributeError, "ctypes"),
        (lambda a: a.flags.writeable, AttributeError, "writeable"),
        (lambda a: cp.sum(a, where=a > 0), TypeError, "where"),
        (lambda a: a.max(initial=0), TypeError, "initial"),
        (lambda a: cp.exp(a, where=a > 0), TypeError, "Wrong arguments"),
        (lambda a: cp.var(a, correction=1), TypeError, "correction"),
        (lambda a: cp.take(a, cp.zeros(1, int), mode="wrap"), TypeError, "mode"),
        (lambda a: cp.sort(a, stable=True), TypeError, "stable"),
        (lambda a: cp.zeros(3, device="cpu"), TypeError, "device"),
        (lambda a: cp.multiply.at(a, 0, 2.0), NotImplementedError, "multiply.at"),
        (lambda a: cp.maximum.accumulate(a), NotImplementedError, "maximum.accumulate"),
        (lambda a: cp.maximum.reduce(a), NotImplementedError, "maximum.reduce"),
        (lambda a: cp.add.at(cp.zeros(3, "int64"), cp.zeros(1, int), 1), TypeError, "int64"),
        (lambda a: a[cp.zeros(2)], IndexError, "integer or boolean"),
        (lambda a: a[2], IndexError, "out of bounds"),
        (lambda a: range(cp.asarray(3)), TypeError, "integer"),
        (lambda a: {a: 1}, TypeError, "unhashable"),
        (lambda a: bool(a), ValueError, "size"),
        (lambda a: cp.from_dlpack(np.ones(3)), BufferError, "CUDA"),
    ],
)  # fmt: skip
def test_refuses(act, error, words, a):
    with pytest.raises(error, match=words):
        act(a)


def test_a_tensor_gets_its_turn(a):
    class Other:
        __array_ufunc__ = None

        def __rmul__(self, array):
            return "mine"

    assert a * Other() == "mine"


# --------------------------------------------------------------------------- what is different


def test_reductions_and_elements_are_arrays(a):
    for value in (a.sum(), cp.mean(a), a[0, 0], a.max(), cp.linalg.norm(a), a.sum() + 1):
        assert type(value) is ndarray and value.shape == ()


def test_results_are_in_row_major_order(a):
    columns = a.T
    assert not columns.flags.c_contiguous
    for value in (columns + 1, cp.exp(columns), -columns, columns[:, cp.asarray([1, 0])]):
        assert value.flags.c_contiguous


def test_integers_outside_wrap_around(a):
    at = cp.asarray(np.array([3, -4]))
    np.testing.assert_array_equal(a[:, at].get(), [[0, 2], [3, 5]])
    np.testing.assert_array_equal(cp.take(a, at, 1).get(), [[0, 2], [3, 5]])
    along = cp.take_along_axis(a, cp.asarray(np.array([[4], [5]])), 1)
    np.testing.assert_array_equal(along.get(), [[1], [5]])


def test_views_share_memory_and_know_their_base(a):
    row = a[1]
    row[0] = 9.0
    assert a.get()[1, 0] == 9.0 and row.base is a and a.reshape(3, 2).T.base is a
    assert a[cp.asarray([0])].base is None and cp.asarray(a) is a and a.copy().base is None


def test_uninitialised_memory_shows():
    assert np.isnan(cp.empty(3).get()).all() and np.isnan(cp.empty_like(cp.zeros(3)).get()).all()
    assert (cp.empty(2, "int32").get() == np.iinfo(np.int32).max).all()


def test_two_values_for_one_place_show(a):
    twice = cp.asarray(np.array([0, 0]))
    with pytest.raises(standin.Undefined):
        a[twice] = a.copy()
    with pytest.raises(standin.Undefined):  # 0 and 3 are one place in an axis of 3
        a[0, cp.asarray(np.array([0, 3]))] = cp.asarray(np.array([1.0, 2.0]))
    a[twice] = 1.0  # whoever wins
    cp.add.at(a, twice, 1.0)
    np.testing.assert_array_equal(a.get()[0], [3, 3, 3])


# ------------------------------------------------------------------------------------- counting


@pytest.mark.parametrize(
    ("act", "transfers", "synchronisations"),
    [
        (lambda a: a.get(), 1, 0),
        (lambda a: cp.asnumpy(a), 1, 0),
        (lambda a: a.tolist(), 1, 0),
        (lambda a: cp.asarray(np.ones(3)), 1, 0),
        (lambda a: cp.asarray(2.0), 1, 0),
        (lambda a: a[[0, 1]], 1, 0),
        (lambda a: a[np.array([0, 1])], 1, 0),
        (lambda a: a.sum().item(), 0, 1),
        (lambda a: float(a.sum()), 0, 1),
        (lambda a: bool(a.sum()), 0, 1),
        (lambda a: int(a.sum()), 0, 1),
        (lambda a: a[a > 1], 0, 1),
        (lambda a: a.__setitem__(a > 1, 0.0), 0, 1),
        (lambda a: cp.nonzero(a), 0, 1),
        (lambda a: a.nonzero(), 0, 1),
        (lambda a: cp.unique(a), 0, 1),
        (lambda a: cp.linalg.inv(a @ a.T), 0, 1),
        (lambda a: cp.exp(a * 2 + 1).sum(0, keepdims=True)[0, 1:], 0, 0),
        (lambda a: cp.where(a > 1, a, 0.0), 0, 0),
        (lambda a: a.__setitem__((0, slice(1)), 3.0), 0, 0),
        (lambda a: cp.full((), 3.0), 0, 0),
    ],
)
def test_counts(act, transfers, synchronisations, a):
    with standin.counted() as counts:
        act(a)
    assert (counts.transfers, counts.synchronisations) == (transfers, synchronisations)


# ------------------------------------------------------------------------------------- as device


def test_the_environment_chooses_it(monkeypatch):
    seam = importlib.import_module("minidl.device")
    monkeypatch.setattr(seam, "_by_type", {"cpu": seam.CPU})
    monkeypatch.setenv("MINIDL_CUDA", "standin")
    x = minidl.ones(2, device="cuda")
    assert type(x._array) is ndarray and minidl.cuda.is_available()
    assert not any("cupy" in name and "standin" in repr(m) for name, m in sys.modules.items())


def test_it_is_offered_no_kernels():
    with standin_module.registered():
        x = minidl.ones(64, 64, device="cuda", requires_grad=True)
        assert minidl.kernels.choose(minidl.ops.all_ops()["softmax"].op, (x,), {"dim": 1}) is None


def test_tensors_on_two_gpus():
    with standin_module.registered():
        x, y = minidl.ones(3, device="cuda"), minidl.ones(3, device="cuda:1")
        assert (str(x.device), str(y.device)) == ("cuda:0", "cuda:1")
        with pytest.raises(DeviceError, match="'input' on cuda:0, 'other' on cuda:1"):
            x + y
        with pytest.raises(DeviceError, match=r"on cuda:1, which is not the current device"):
            y + 1
        with minidl.cuda.device(1):
            assert str((y + minidl.rand(3, device="cuda")).device) == "cuda:1"
        moved = y.to("cuda:0")
        assert str(moved.device) == "cuda:0" and moved.tolist() == [1.0, 1.0, 1.0]
        assert y.to("cuda") is y and y.to("cuda:1") is y and str(y.cuda(0).device) == "cuda:0"
        for make in (minidl.zeros_like, minidl.rand_like):
            assert str(make(y).device) == "cuda:1"
        with pytest.raises(DeviceError, match="there are 2 GPUs, counted from 0"):
            minidl.ones(3, device="cuda:2")


def test_a_number_on_the_cpu_joins_a_tensor_on_the_gpu():
    with standin_module.registered():
        x, n = minidl.ones(3, device="cuda"), minidl.tensor(2.0, requires_grad=True)
        y = x / n + n * x
        y.sum().backward()
        assert y.is_cuda and y.tolist() == [2.5] * 3
        assert not n.grad.is_cuda and n.grad.item() == 3 * (1 - 0.25)
        with pytest.raises(DeviceError, match="'input' on cuda:0, 'other' on cpu"):
            x + n.reshape(1)


def test_a_gradient_goes_back_to_the_gpu_it_came_from():
    with standin_module.registered():
        x = minidl.ones(3, device="cuda:1", requires_grad=True)
        (x.to("cuda:0") * 2).sum().backward()
        assert str(x.grad.device) == "cuda:1" and x.grad.tolist() == [2.0, 2.0, 2.0]


def test_the_functions_of_minidl_cuda():
    with standin_module.registered():
        cuda = minidl.cuda
        assert (cuda.device_count(), cuda.current_device()) == (2, 0)
        before = cuda.memory_allocated()
        x = minidl.ones(1000, device="cuda")
        assert cuda.memory_allocated() - before == 4000 == x.numel() * 4
        assert cuda.memory_reserved() >= 4000 and cuda.memory_allocated(1) == 0
        assert cuda.get_device_name("cuda:1") == "stand-in"
        with standin.counted() as counts:
            cuda.synchronize()
        assert counts.synchronisations == 1
        cuda.set_device(1)
        try:
            assert cuda.current_device() == 1 and str(minidl.ones(1).cuda().device) == "cuda:1"
        finally:
            cuda.set_device("cuda:0")
        cuda.empty_cache()
        with pytest.raises(DeviceError, match="there are 2 GPUs"):
            cuda.set_device(2)


def test_a_checkpoint_is_read_onto_the_device(tmp_path):
    path = tmp_path / "x.safetensors"
    with standin_module.registered():
        x = minidl.arange(6.0).reshape(2, 3).cuda()
        minidl.save({"x": x, "half": x[1]}, path)
        there = minidl.load(path, map_location="cuda:1")
        assert str(there["x"].device) == "cuda:1"
        assert minidl.load(path)["half"].tolist() == [3.0, 4.0, 5.0]
        assert str(minidl.load(path, map_location={"cpu": "cuda"})["x"].device) == "cuda:0"


def test_dlpack_shares_memory_both_ways():
    with standin_module.registered():
        array = cp.arange(3.0)
        t = minidl.from_dlpack(array)
        t += 1
        assert t.is_cuda and array.tolist() == [1.0, 2.0, 3.0]
        back = cp.from_dlpack(t)
        back[0] = 9.0
        assert t.tolist() == [9.0, 2.0, 3.0]


def test_a_loader_takes_pin_memory():
    data = minidl.utils.data.TensorDataset(minidl.arange(6.0))
    with standin_module.registered():
        for (batch,) in minidl.utils.data.DataLoader(data, 2, pin_memory=True):
            assert batch.pin_memory().to("cuda", non_blocking=True).is_cuda


# --------------------------------------------------------------------- two GPUs, as CuPy has them


def test_views_are_on_the_device_of_their_memory():
    with standin_module.Device(1):
        z = cp.zeros((2, 3))
    for part in (z[0], z[:, 1:], z[..., None], z.T, z.mT, z[0][0]):
        assert part.device.id == 1
    assert z.copy().device.id == 0  # CuPy's `copy` goes to the current device


def test_elements_of_another_device_are_not_written_and_not_picked():
    with standin_module.Device(1):
        z = cp.zeros((2, 3))
    for act in (
        lambda: z.__setitem__(0, 1.0),
        lambda: z.__setitem__(cp.asarray([0]), 1.0),
        lambda: z[cp.asarray([0])],
    ):
        with pytest.raises(ValueError, match="array device = 1 while current = 0"):
            act()


def test_numpy_takes_no_memory_of_the_device():
    with pytest.raises(BufferError, match="Unsupported device in DLTensor"):
        np.from_dlpack(cp.zeros(3))
    with standin_module.registered(), pytest.raises(BufferError, match="Unsupported device"):
        np.from_dlpack(minidl.ones(3, device="cuda"))
