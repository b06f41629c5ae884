"""The shim runs correct kernels correctly, and catches each kind of bug that is planted in one."""

import ctypes

import numpy as np
import pytest

from minidl.testing.standin import ndarray
from tests.gpu import shim
from tests.gpu.sources import needs_gxx

pytestmark = needs_gxx


def run(code, grid, block, *args, name="f", shared=0):
    """Launches the kernel on NumPy arrays, which it writes to."""
    args = [ndarray(a) if isinstance(a, np.ndarray) else a for a in args]
    module = shim.RawModule(code=code, options=("-std=c++17",), name_expressions=[name])
    module.get_function(name)(grid, block, tuple(args), shared_mem=shared)


def numbers(*shape, dtype=np.float32):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


# ------------------------------------------------------------------------------ correct kernels

REVERSE = """
__global__ void f(const float* x, float* out) {
  __shared__ float part[64];
  part[threadIdx.x] = x[blockIdx.x * 64 + threadIdx.x];
  %s
  out[blockIdx.x * 64 + threadIdx.x] = part[63 - threadIdx.x];
}
"""


def test_shared_memory_and_barrier():
    x, out = numbers(3, 64), np.empty((3, 64), np.float32)
    run(REVERSE % "__syncthreads();", (3,), (64,), x, out)
    np.testing.assert_array_equal(out, x[:, ::-1])


def test_indices_in_three_dimensions():
    code = """
    __global__ void f(int* out) {
      int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
      int z = blockIdx.z * blockDim.z + threadIdx.z;
      out[(z * gridDim.y * blockDim.y + y) * gridDim.x * blockDim.x + x] = 10000 * z + 100 * y + x;
    }"""
    out = np.zeros((4, 9, 10), np.int32)
    run(code, (2, 3, 1), (5, 3, 4), out)
    z, y, x = np.indices(out.shape)
    np.testing.assert_array_equal(out, 10000 * z + 100 * y + x)


WARP = {
    "__shfl_xor_sync(~0u, v, 5)": lambda i: i ^ 5,
    "__shfl_down_sync(~0u, v, 3)": lambda i: np.where(i % 32 + 3 < 32, i + 3, i),
    "__shfl_up_sync(~0u, v, 3)": lambda i: np.where(i % 32 >= 3, i - 3, i),
    "__shfl_sync(~0u, v, 7)": lambda i: i // 32 * 32 + 7,
    "__shfl_sync(~0u, v, 1, 8)": lambda i: i // 8 * 8 + 1,
    "__shfl_down_sync(~0u, v, 3, 8)": lambda i: np.where(i % 8 + 3 < 8, i + 3, i),
    "__ballot_sync(~0u, v % 3 == 0)": lambda i: np.array(
        [sum(1 << k for k in range(32) if (j // 32 * 32 + k) % 3 == 0) for j in i]
    ),
}


@pytest.mark.parametrize("expression", WARP)
def test_warp_operations(expression):
    code = "__global__ void f(unsigned* out) { unsigned v = threadIdx.x; out[v] = %s; }"
    out = np.zeros(96, np.uint32)
    run(code % expression, (1,), (96,), out)
    np.testing.assert_array_equal(out, WARP[expression](np.arange(96)))


def test_half_a_warp_may_exchange():
    code = """
    __global__ void f(int* out) {
      int v = threadIdx.x;
      if (v < 16) v = __shfl_xor_sync(0xffffu, v, 1);
      out[threadIdx.x] = v;
    }"""
    out = np.zeros(32, np.int32)
    run(code, (1,), (32,), out)
    np.testing.assert_array_equal(out, np.where(np.arange(32) < 16, np.arange(32) ^ 1, range(32)))


def test_exchanges_in_a_row_do_not_mix():
    code = """
    __global__ void f(float* x) {
      float v = x[threadIdx.x];
      for (int step = 16; step > 0; step /= 2) v += __shfl_xor_sync(~0u, v, step);
      x[threadIdx.x] = v;
    }"""
    x = np.arange(64, dtype=np.float32)
    run(code, (1,), (64,), x)
    np.testing.assert_array_equal(x, np.repeat([496, 1520], 32))


def test_dynamic_shared_memory():
    code = """
    template <typename T> __global__ void f(T* x) {
      extern __shared__ T part[];
      part[threadIdx.x] = x[threadIdx.x];
      __syncthreads();
      x[threadIdx.x] = part[blockDim.x - 1 - threadIdx.x];
    }"""
    x = numbers(50, dtype=np.float64)
    before = x.copy()
    run(code, (1,), (50,), x, name="f<double>", shared=400)
    np.testing.assert_array_equal(x, before[::-1])


def test_atomics():
    code = """
    __global__ void f(const float* x, float* sum, int* count, int* most) {
      atomicAdd(sum, x[threadIdx.x]);
      atomicAdd(count, 1);
      atomicMax(most, (int)threadIdx.x);
    }"""
    x, total = numbers(200), np.zeros(1, np.float32)
    count, most = np.zeros(1, np.int32), np.zeros(1, np.int32)
    run(code, (2,), (200,), x, total, count, most)
    np.testing.assert_allclose(total, 2 * x.sum(), rtol=1e-5)
    assert (count[0], most[0]) == (400, 199)


def test_an_array_may_be_given_twice():
    x = np.arange(8, dtype=np.float32)
    code = "__global__ void f(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x] + 1; }"
    run(code, (1,), (8,), x, x)
    np.testing.assert_array_equal(x, np.arange(1, 9))


def test_a_null_pointer():
    out = np.zeros(1, np.float32)
    code = "__global__ void f(const float* x, float* out) { *out = x ? 1 : 2; }"
    run(code, (1,), (1,), np.uint64(0), out)
    assert out[0] == 2


# ------------------------------------------------------------------------------------ planted bugs


def caught(what, code, grid, block, *args, **options):
    with pytest.raises(shim.KernelError, match=what):
        run(code, grid, block, *args, **options)


def test_missing_barrier():
    caught("a race: .* in shared memory", REVERSE % "", (1,), (64,), numbers(64), numbers(64))


def test_missing_barrier_between_two_uses_of_shared_memory():
    code = """
    __global__ void f(const float* x, float* out) {
      __shared__ float part;
      for (int i = 0; i < 2; ++i) {
        if (threadIdx.x == 0) part = x[i];
        __syncthreads();
        out[2 * threadIdx.x + i] = part;
      }
    }"""
    caught("a race: .* in shared memory", code, (1,), (64,), numbers(2), numbers(128))


def test_missing_barrier_shows_in_the_result(monkeypatch):
    monkeypatch.setattr(shim, "tracking", False)
    caught("barrier is missing", REVERSE % "", (1,), (64,), numbers(64), numbers(64))


@pytest.mark.parametrize(
    "body",
    [
        "if (threadIdx.x < 32) __syncthreads();",
        "if (threadIdx.x < 32) return; __syncthreads();",
        "if (threadIdx.x < 32)\n __syncthreads();\n else\n __syncthreads();",
        "for (int i = 0; i < threadIdx.x; ++i) __syncthreads();",
    ],
)
def test_divergent_barrier(body):
    code = "__global__ void f(float* x) { " + body + "\n x[threadIdx.x] = 0; }"
    caught("divergent barrier: .* threads", code, (1,), (64,), numbers(64))


def test_warp_exchange_that_some_lanes_do_not_reach():
    code = """
    __global__ void f(int* x) {
      int v = threadIdx.x;
      if (v < 16) v = __shfl_xor_sync(~0u, v, 1);
      x[threadIdx.x] = v;
    }"""
    caught("divergent barrier: .* their warp", code, (1,), (32,), np.zeros(32, np.int32))


def test_warp_exchange_in_a_block_that_is_no_multiple_of_a_warp():
    code = "__global__ void f(int* x) { x[threadIdx.x] = __shfl_xor_sync(~0u, 1, 1); }"
    caught("a lane that does not exist", code, (1,), (40,), np.zeros(40, np.int32))


@pytest.mark.parametrize("index", ["threadIdx.x + 1", "(int)threadIdx.x - 1", "threadIdx.x + 1000"])
def test_write_out_of_bounds(index):
    code = "__global__ void f(float* x) { x[" + index + "] = 1; }"
    caught("out of the bounds", code, (1,), (64,), numbers(64))


@pytest.mark.parametrize("index", ["threadIdx.x + 1", "(int)threadIdx.x - 1"])
def test_read_out_of_bounds(index):
    code = "__global__ void f(const float* x, float* y) { y[threadIdx.x] = x[" + index + "]; }"
    caught("a read out of the bounds", code, (1,), (64,), numbers(64), numbers(64))


def test_read_out_of_bounds_shows_in_the_result(monkeypatch):
    monkeypatch.setattr(shim, "tracking", False)
    code = "__global__ void f(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x + 1]; }"
    caught("outside of an array was read", code, (1,), (64,), numbers(64), numbers(64))


def test_write_out_of_bounds_of_shared_memory():
    code = """
    __global__ void f(float* x) {
      __shared__ float part[63];
      part[threadIdx.x] = x[threadIdx.x];
      __syncthreads();
      x[threadIdx.x] = part[threadIdx.x];
    }"""
    caught("bounds of an array in shared", code, (1,), (64,), numbers(64))


def test_shared_memory_is_not_zero_and_not_that_of_the_block_before():
    code = """
    __global__ void f(float* x) {
      __shared__ float part;
      if (blockIdx.x == 1 && x[1] == 0) part = 7;
      x[blockIdx.x] = part;
    }"""
    x = np.zeros(2, np.float32)
    run(code, (2,), (1,), x)
    assert np.isnan(x[0]) and x[1] == 7


def test_too_much_shared_memory():
    code = "__global__ void f(float* x) { __shared__ float a[12289]; a[0] = 0; *x = a[0]; }"
    caught("more than 48 KB", code, (1,), (1,), numbers(1))


@pytest.mark.parametrize(
    "wrong",
    [
        (numbers(4), 2.0, 4),  # a Python float is a double
        (numbers(4), np.float32(2), 4),  # a Python int is a long long
        (numbers(4), np.float32(2), np.int64(4)),
        (numbers(4, dtype=np.float64), np.float32(2), np.int32(4)),
        (np.zeros(4, np.int32), np.float32(2), np.int32(4)),
        (np.float32(2), numbers(4), np.int32(4)),
        (numbers(4), np.float32(2)),
    ],
)
def test_wrong_arguments(wrong):
    code = (
        "__global__ void f(float* x, float a, int n) { if (threadIdx.x < n) x[threadIdx.x] *= a; }"
    )
    run(code, (1,), (32,), numbers(4), np.float32(2), np.int32(4))
    caught("argument", code, (1,), (32,), *wrong)


def test_what_cupy_cannot_pass():
    code = "__global__ void f(float* x) { *x = 0; }"
    for value in (None, [1.0], "x"):
        with pytest.raises(TypeError, match="Unsupported type"):
            run(code, (1,), (1,), value)


RACES = {  # code: whether the result shows it
    "*x = threadIdx.x;": True,
    "*x = 1;": False,
    "*x += 1;": False,  # the atomicAdd that is missing: in a row, threads count correctly
    "x[threadIdx.x] = 1; x[threadIdx.x ^ 1] += 1;": True,
    "x[threadIdx.x] += 1; __syncwarp(); x[threadIdx.x ^ 32] += 1;": False,
    "if (blockIdx.x == 0) x[threadIdx.x] = 1; else x[threadIdx.x] *= 2;": True,
    "if (threadIdx.x == 0) atomicAdd(x, 1); else if (threadIdx.x == 1) *x += 1;": False,
    "__shared__ int n; if (threadIdx.x < 2) n = 3; __syncthreads(); x[threadIdx.x] = n;": False,
}


@pytest.mark.parametrize("body", RACES)
def test_races(body):
    code = "__global__ void f(int* x) { " + body + " }"
    caught("a race: ", code, (2,), (64,), np.zeros(128, np.int32))


@pytest.mark.parametrize("body", [body for body, shows in RACES.items() if shows])
def test_what_depends_on_the_order(body, monkeypatch):
    monkeypatch.setattr(shim, "tracking", False)
    code = "__global__ void f(int* x) { " + body + " }"
    caught("order of the threads", code, (2,), (64,), np.zeros(128, np.int32))


@pytest.mark.parametrize(
    "body",
    [
        "atomicAdd(x, 1);",
        "x[threadIdx.x] += 1; __syncthreads(); x[threadIdx.x ^ 32] += 1;",
        "x[threadIdx.x] += 1; __syncwarp(); x[threadIdx.x ^ 1] += 1;",
        "int n = x[0]; __syncthreads(); x[threadIdx.x] = n + x[65];",
    ],
)
def test_no_race(body):
    run("__global__ void f(int* x) { " + body + " }", (1,), (64,), np.zeros(128, np.int32))


def test_write_to_constants():
    code = "__global__ void f(const float* x, float* y) { *(float*)x = 1; *y = 1; }"
    caught("constants", code, (1,), (1,), numbers(1), numbers(1))


@pytest.mark.parametrize(
    ("grid", "block"), [((1,), (1025,)), ((1,), (1, 1, 65)), ((1, 65536), (1,))]
)
def test_sizes_that_no_gpu_takes(grid, block):
    caught("at most", "__global__ void f(float* x) {}", grid, block, numbers(1))


def test_source_that_does_not_compile():
    with pytest.raises(shim.KernelError, match=r"kernels.cu:2.*y. was not declared"):
        run("// one\n__global__ void f(float* x) { *x = y; }", (1,), (1,), numbers(1))


def test_after_a_failure_the_next_launch_is_clean():
    divergent = "__global__ void f(float* x) { if (threadIdx.x) __syncthreads(); *x = 1; }"
    caught("divergent", divergent, (1,), (64,), numbers(1))
    test_exchanges_in_a_row_do_not_mix()


def test_two_processes_do_not_build_at_once():
    """The library of a source is written aside and then renamed: what is there is whole."""
    path = shim.build("__global__ void f(float* x) {}", ["f"], ("-std=c++17",))
    assert ctypes.CDLL(str(path)).shim_launch
    assert not path.with_suffix(".part").exists()
