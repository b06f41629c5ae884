"""Tensors from data and from nothing."""

import inspect

import numpy as np
import pytest

import minidl
from minidl.ops import create, new
from minidl.testing import to_numpy

pytestmark = pytest.mark.smoke


def same(t, expected, dtype):
    assert t.dtype == dtype
    np.testing.assert_array_equal(to_numpy(t), np.array(expected))


CREATED = {
    "zeros": (lambda **k: minidl.zeros(2, 3, **k), np.zeros((2, 3))),
    "zeros of a tuple": (lambda **k: minidl.zeros((2, 3), **k), np.zeros((2, 3))),
    "zeros without dimensions": (lambda **k: minidl.zeros((), **k), 0.0),
    "ones": (lambda **k: minidl.ones(2, **k), [1.0, 1.0]),
    "full": (lambda **k: minidl.full((2,), 0.5, **k), [0.5, 0.5]),
    "arange": (lambda **k: minidl.arange(0.0, 1.0, 0.25, **k), [0.0, 0.25, 0.5, 0.75]),
    "linspace": (lambda **k: minidl.linspace(0, 1, 5, **k), [0.0, 0.25, 0.5, 0.75, 1.0]),
    "linspace of tensors": (lambda **k: minidl.linspace(minidl.tensor(0), 1, 2, **k), [0.0, 1.0]),
    "logspace": (lambda **k: minidl.logspace(0, 2, 3, **k), [1.0, 10.0, 100.0]),
    "logspace of base 2": (lambda **k: minidl.logspace(-1, 2, 4, 2, **k), [0.5, 1.0, 2.0, 4.0]),
    "scalar_tensor": (lambda **k: minidl.scalar_tensor(2, **k), 2.0),
    "asarray": (lambda **k: minidl.asarray([0.5, 1.0], **k), [0.5, 1.0]),
    "asarray with a copy": (lambda **k: minidl.asarray([0.5], copy=True, **k), [0.5]),
    "zeros of size=": (lambda **k: minidl.zeros(size=(2, 3), **k), np.zeros((2, 3))),
    "new_tensor": (lambda **k: minidl.zeros(3).new_tensor([0.5], **k), [0.5]),
    "new_zeros": (lambda **k: minidl.ones(3).new_zeros(2, 3, **k), np.zeros((2, 3))),
    "new_zeros of size=": (lambda **k: minidl.ones(3).new_zeros(size=(2,), **k), [0.0, 0.0]),
    "new_ones": (lambda **k: minidl.ones(3).new_ones((2,), **k), [1.0, 1.0]),
    "new_full": (lambda **k: minidl.ones(3).new_full((2,), 0.5, **k), [0.5, 0.5]),
    "eye": (lambda **k: minidl.eye(2, 3, **k), [[1.0, 0, 0], [0, 1, 0]]),
    "zeros_like": (lambda **k: minidl.zeros_like(minidl.ones(2), **k), [0.0, 0.0]),
    "ones_like": (lambda **k: minidl.ones_like(minidl.zeros(2), **k), [1.0, 1.0]),
    "full_like": (lambda **k: minidl.full_like(minidl.zeros(2), 3.0, **k), [3.0, 3.0]),
    "tensor": (lambda **k: minidl.tensor([[0.5], [1.0]], **k), [[0.5], [1.0]]),
}


@pytest.mark.parametrize("name", CREATED)
def test_values_type_and_gradient(name, device):
    call, expected = CREATED[name]
    same(call(device=device), expected, minidl.float32)
    same(call(device=device, dtype=minidl.float64), expected, minidl.float64)
    t = call(device=device, requires_grad=True)
    assert t.requires_grad and t.is_leaf
    assert t.device.type == device
    assert to_numpy(t).flags.writeable


def test_every_creation_function_is_tested():
    elsewhere = {"as_tensor", "from_numpy", "from_dlpack", "frombuffer", *EMPTY}
    elsewhere |= {"tril_indices", "triu_indices"}
    made = {*create.__all__, *new.METHODS}
    assert made - elsewhere == {name.split()[0] for name in CREATED}


EMPTY = {
    "empty": lambda **k: minidl.empty(2, 3, **k),
    "empty_like": lambda **k: minidl.empty_like(minidl.zeros(2, 3), **k),
    "empty_strided": lambda **k: minidl.empty_strided((2, 3), (1, 4), **k),
    "empty_permuted": lambda **k: minidl.empty_permuted((2, 3), (1, 0), **k),
    "new_empty": lambda **k: minidl.zeros(5).new_empty(2, 3, **k),
    "new_empty_strided": lambda **k: minidl.zeros(5).new_empty_strided((2, 3), (1, 4), **k),
}


@pytest.mark.parametrize("name", EMPTY)
def test_empty(name, device):
    t = EMPTY[name](device=device, requires_grad=True)
    assert (t.shape, t.dtype, t.device.type) == ((2, 3), minidl.float32, device)
    assert t.requires_grad
    assert EMPTY[name](dtype=minidl.int32).dtype == minidl.int32
    stride = {"empty_permuted": (1, 2)}.get(name, (1, 4) if "strided" in name else (3, 1))
    assert t.stride() == stride
    t.detach().fill_(2)  # it is memory to write into


def test_places_of_triangles(device):
    for name in ("tril", "triu"):
        for row, col, offset in [(3, 4, 0), (4, 2, -1), (2, 3, 1), (0, 2, 0)]:
            places = getattr(minidl, f"{name}_indices")(row, col, offset, device=device)
            expected = np.array(getattr(np, f"{name}_indices")(row, offset, col))
            same(places, expected, minidl.int64)
    assert minidl.tril_indices(2, 2, dtype=minidl.int32).dtype == minidl.int32


def test_integer_steps(device):
    """PyTorch's numbers: the ends become integers first, the steps stay fractions."""
    kind = {"dtype": minidl.int64, "device": device}
    same(minidl.linspace(0, 4.3, 4, **kind), [0, 1, 2, 4], minidl.int64)
    same(minidl.logspace(-3, 4.3, 5, 3.0, **kind), [0, 0, 1, 11, 81], minidl.int64)
    same(minidl.arange(0.0, -8.000001, -4.0, **kind), [0, -4], minidl.int64)


def test_a_buffer_is_shared():
    memory = bytearray(np.arange(4, dtype=np.float32).tobytes())
    t = minidl.frombuffer(memory, dtype=minidl.float32, count=2, offset=4)
    t[0] = 7.0
    assert np.frombuffer(memory, np.float32).tolist() == [0.0, 7.0, 2.0, 3.0]


def test_asarray_says_when_it_must_copy():
    memory = np.zeros(2)
    minidl.asarray(memory, copy=False)[0] = 1.0
    assert memory.tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match="copy=False"):
        minidl.asarray([1.0], copy=False)


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1, "int64"),
        (1.0, "float32"),
        (True, "bool"),
        ([1, 2], "int64"),
        ([1, 2.5], "float32"),
        ([True, False], "bool"),
        ([], "float32"),
        ([[], []], "float32"),
        (np.array([1, 2], np.int32), "int32"),
        (np.array([1.0]), "float64"),
        (np.float64(1.0), "float64"),
        (np.float32(1.0), "float32"),
        (np.int16(3), "int16"),
        ([np.float64(1.0)], "float64"),
        (range(3), "int64"),
    ],
)
def test_type_from_data(data, dtype):
    assert minidl.tensor(data).dtype.name == dtype


def test_tensor_copies(device):
    array = np.zeros(2)
    t = minidl.tensor(array, device=device)
    array[0] = 1.0
    assert t.tolist() == [0.0, 0.0]
    again = minidl.tensor(t)
    t[0] = 5.0
    assert again.tolist() == [0.0, 0.0]


def test_tensor_of_tensors(device):
    x = minidl.tensor(2.0, device=device)
    assert minidl.tensor([x, 1.0], device=device).tolist() == [2.0, 1.0]


def test_as_tensor_copies_only_if_it_must():
    t = minidl.ones(2)
    assert minidl.as_tensor(t) is t
    assert minidl.as_tensor(t, dtype=minidl.float64) is not t
    array = np.zeros(2)
    assert np.shares_memory(minidl.as_tensor(array).numpy(), array)


def test_dlpack_both_ways():
    array = np.arange(3.0)
    t = minidl.from_dlpack(array)
    t[0] = 5.0
    assert array[0] == 5.0
    assert np.shares_memory(np.from_dlpack(t), array)


@pytest.mark.parametrize(
    "arguments", [(5,), (2, 5), (1, 6, 2), (5, 0, -2), (0.0, 1.0, 0.3), (3, 3), (0,), (2.5,)]
)
def test_arange_matches_numpy(arguments):
    t = minidl.arange(*arguments)
    np.testing.assert_allclose(to_numpy(t), np.arange(*arguments), rtol=1e-6)
    is_float = any(isinstance(a, float) for a in arguments)
    assert t.dtype == (minidl.float32 if is_float else minidl.int64)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: minidl.zeros(-1), minidl.ShapeError, "negative"),
        (lambda: minidl.arange(0, 5, -1), ValueError, "arange"),
        (lambda: minidl.arange(0, 5, 0), ValueError, "arange"),
        (lambda: minidl.tensor([[1], [1, 2]]), (ValueError, minidl.DTypeError), "shape"),
        (lambda: minidl.tensor("abc"), (TypeError, minidl.DTypeError), "str"),
        (lambda: minidl.tensor(1j), minidl.DTypeError, "complex"),
        (lambda: minidl.tensor([1], dtype=minidl.bfloat16), minidl.DTypeError, "float32"),
        (lambda: minidl.tensor([1], device="tpu"), minidl.DeviceError, "tpu"),
        (lambda: minidl.zeros(2, dtype="float99"), minidl.DTypeError, "float99"),
        (lambda: minidl.tensor([1], requires_grad=True), minidl.DTypeError, "float"),
        (lambda: minidl.from_numpy([1, 2]), TypeError, "ndarray"),
    ],
)
def test_bad_calls(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert words in str(caught.value)


def test_a_missing_gpu_names_the_extra_to_install():
    with pytest.raises(minidl.DeviceError, match=r"cuda.*(minidl\[cuda|driver)"):
        minidl.zeros(2, device="cuda")


def test_signatures_name_dtype_device_and_requires_grad():
    for name in (
        "zeros",
        "ones",
        "full",
        "arange",
        "linspace",
        "eye",
        "zeros_like",
        "rand",
        "randn",
    ):
        parameters = inspect.signature(getattr(minidl, name)).parameters
        assert {"dtype", "requires_grad"} <= set(parameters), name
