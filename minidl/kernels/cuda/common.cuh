// What all kernels use: indices, the half-precision type, sums and maxima over a block.

// A number of 16 bits (IEEE half). It is only stored: kernels compute in float.
struct half_t {
#ifdef __CUDA_ARCH__
  unsigned short bits;
  half_t() = default;
  __device__ half_t(float x) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x)); }
  __device__ operator float() const {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
  }
#else  // the same sources on a CPU, for the tests
  _Float16 value;
  half_t() = default;
  half_t(float x) : value((_Float16)x) {}
  operator float() const { return (float)value; }
#endif
};

// The number of this thread in the whole grid.
__device__ inline long long thread_index() {
  return blockIdx.x * (long long)blockDim.x + threadIdx.x;
}

template <typename A>
__device__ A infinity() {
  return (A)__longlong_as_double(0x7ff0000000000000LL);
}

template <typename A>
__device__ A not_a_number() {
  return (A)__longlong_as_double(0x7ff8000000000000LL);
}

struct Sum {
  template <typename A>
  static __device__ A of(A a, A b) { return a + b; }
};

struct Largest {  // nan is left out
  template <typename A>
  static __device__ A of(A a, A b) { return a > b || b != b ? a : b; }
};

// Combines one value of each thread of a block; every thread gets the result. blockDim.x is a
// multiple of 32, at most 1024. The order is fixed, so the bits are the same each time.
template <typename Combine, typename A>
__device__ A over_block(A value) {
  __shared__ A parts[32];  // one for each warp
  for (int step = 16; step > 0; step /= 2)
    value = Combine::of(value, __shfl_xor_sync(0xffffffff, value, step));
  __syncthreads();  // another thread may still be reading the parts of the call before
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
  __syncthreads();
  value = parts[0];
  for (int warp = 1; warp < blockDim.x / 32; ++warp) value = Combine::of(value, parts[warp]);
  return value;
}
