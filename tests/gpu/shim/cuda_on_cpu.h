// CUDA's language on a CPU, for tests: as much of it as minidl's kernels use, included before them.
// What happens behind it is in runtime.cpp.

#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct Dim {
  unsigned x, y, z;
};
extern Dim threadIdx, blockIdx, blockDim, gridDim;
static const int warpSize = 32;

namespace shim {

// ------------------------------------------------------------------------------- shared memory

void* in_shared(const void* key, size_t size);
void* dynamic_shared();

// `__shared__ float x[32];` becomes `auto& x = shim::shared<float[32]>([] {..});` (a key of its
// own for each place, and each instance of a template).
template <typename T, typename Key>
T& shared(Key key) {
  return *reinterpret_cast<T*>(in_shared(key(), sizeof(T)));
}

// ----------------------------------------------------------------------- barriers, and exchanges

void sync_threads(int line);
void sync_warp(int line, unsigned mask = 0xffffffff);
unsigned ballot(int line, unsigned mask, int predicate);
unsigned lane();
// Brings the `size` bytes at `value` to the others of the warp, and there those of a lane.
void exchange(int line, unsigned mask, void* value, size_t size, unsigned source_lane);

template <typename V>
V exchanged(int line, unsigned mask, V value, unsigned source_lane) {
  static_assert(sizeof(V) <= 8, "a warp exchanges numbers of up to 8 bytes");
  exchange(line, mask, &value, sizeof(V), source_lane);
  return value;
}

template <typename V>
V shfl_xor(int line, unsigned mask, V value, int step, int width = 32) {
  unsigned other = lane() ^ step;
  return exchanged(line, mask, value, other / width <= lane() / width ? other : lane());
}

template <typename V>
V shfl_down(int line, unsigned mask, V value, unsigned step, int width = 32) {
  unsigned other = lane() + step;
  return exchanged(line, mask, value, other / width == lane() / width ? other : lane());
}

template <typename V>
V shfl_up(int line, unsigned mask, V value, unsigned step, int width = 32) {
  unsigned other = lane() - step;
  return exchanged(line, mask, value, step <= lane() % width ? other : lane());
}

template <typename V>
V shfl(int line, unsigned mask, V value, int source, int width = 32) {
  return exchanged(line, mask, value, lane() / width * width + source % width);
}

// ------------------------------------------------------------------------------------- atomics

void begin_atomic(bool of_floats);
void end_atomic();

template <typename V, typename F>
V atomically(V* address, F change) {
  begin_atomic(std::is_floating_point_v<V>);
  V before = *address;
  *address = change(before);
  end_atomic();
  return before;
}

// -------------------------------------------------------------------------- kernels, by their types

template <typename T>
void append_type(char* text) {
  if constexpr (std::is_pointer_v<T>) {
    using Target = std::remove_pointer_t<T>;
    if (std::is_const_v<Target>) strcat(text, "const ");
    append_type<std::remove_const_t<Target>>(text);
    strcat(text, "*");
  } else if constexpr (std::is_same_v<T, bool>) {
    strcat(text, "b1");
  } else if constexpr (std::is_class_v<T>) {
    static_assert(sizeof(T) == 2, "the only class that kernels take is the half");
    strcat(text, "f2");
  } else {
    const char size[] = {'0' + sizeof(T), 0};
    strcat(text, std::is_floating_point_v<T> ? "f" : std::is_signed_v<T> ? "i" : "u");
    strcat(text, size);
  }
}

struct Instance {
  void* kernel;
  void (*run)(void* kernel, void** arguments);
  char signature[1000];
};

template <typename... P, size_t... I>
void call(void* kernel, void** arguments, std::index_sequence<I...>) {
  reinterpret_cast<void (*)(P...)>(kernel)(*reinterpret_cast<P*>(arguments[I])...);
}

template <typename... P>
Instance instance(void (*kernel)(P...)) {
  Instance made = {(void*)kernel, [](void* kernel, void** arguments) {
                     call<P...>(kernel, arguments, std::index_sequence_for<P...>());
                   }, ""};
  ((strcat(made.signature, *made.signature ? ", " : ""), append_type<P>(made.signature)), ...);
  return made;
}

}  // namespace shim

extern const shim::Instance instances[];  // those of this library

#define __syncthreads() shim::sync_threads(__LINE__)
#define __syncwarp(...) shim::sync_warp(__LINE__ __VA_OPT__(, ) __VA_ARGS__)
#define __shfl_xor_sync(...) shim::shfl_xor(__LINE__, __VA_ARGS__)
#define __shfl_down_sync(...) shim::shfl_down(__LINE__, __VA_ARGS__)
#define __shfl_up_sync(...) shim::shfl_up(__LINE__, __VA_ARGS__)
#define __shfl_sync(...) shim::shfl(__LINE__, __VA_ARGS__)
#define __ballot_sync(...) shim::ballot(__LINE__, __VA_ARGS__)
#define __any_sync(...) (shim::ballot(__LINE__, __VA_ARGS__) != 0)

// CUDA's overloads of these, and no others, so that a wrong type does not compile here either.
#define SHIM_ATOMIC(NAME, TYPE, FORMULA)                                    \
  inline TYPE NAME(TYPE* address, TYPE value) {                             \
    return shim::atomically(address, [=](TYPE old) -> TYPE { return FORMULA; }); \
  }
SHIM_ATOMIC(atomicAdd, int, old + value)
SHIM_ATOMIC(atomicAdd, unsigned, old + value)
SHIM_ATOMIC(atomicAdd, unsigned long long, old + value)
SHIM_ATOMIC(atomicAdd, float, old + value)
SHIM_ATOMIC(atomicAdd, double, old + value)
SHIM_ATOMIC(atomicMax, int, old > value ? old : value)
SHIM_ATOMIC(atomicMax, unsigned, old > value ? old : value)
SHIM_ATOMIC(atomicMax, long long, old > value ? old : value)
SHIM_ATOMIC(atomicMax, unsigned long long, old > value ? old : value)
SHIM_ATOMIC(atomicMin, int, old < value ? old : value)
SHIM_ATOMIC(atomicMin, unsigned, old < value ? old : value)
SHIM_ATOMIC(atomicMin, long long, old < value ? old : value)
SHIM_ATOMIC(atomicMin, unsigned long long, old < value ? old : value)
SHIM_ATOMIC(atomicExch, int, value)
SHIM_ATOMIC(atomicExch, unsigned, value)
SHIM_ATOMIC(atomicExch, float, value)
template <typename V>
V atomicCAS(V* address, V expected, V value) {
  static_assert(!std::is_floating_point_v<V>, "CUDA compares and swaps integers only");
  return shim::atomically(address, [=](V old) { return old == expected ? value : old; });
}

// --------------------------------------------------------------------------------- mathematics

inline double __longlong_as_double(long long bits) {
  double x;
  memcpy(&x, &bits, 8);
  return x;
}
inline long long __double_as_longlong(double x) {
  long long bits;
  memcpy(&bits, &x, 8);
  return bits;
}
inline float __int_as_float(int bits) {
  float x;
  memcpy(&x, &bits, 4);
  return x;
}
inline int __float_as_int(float x) {
  int bits;
  memcpy(&bits, &x, 4);
  return bits;
}
inline unsigned __umulhi(unsigned a, unsigned b) { return (uint64_t)a * b >> 32; }
inline float rsqrt(float x) { return 1 / sqrt(x); }
inline double rsqrt(double x) { return 1 / sqrt(x); }
inline float rsqrtf(float x) { return rsqrt(x); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double max(double a, double b) { return fmax(a, b); }
inline int max(int a, int b) { return a > b ? a : b; }
inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
inline long long max(long long a, long long b) { return a > b ? a : b; }
inline float min(float a, float b) { return fminf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline int min(int a, int b) { return a < b ? a : b; }
inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
inline long long min(long long a, long long b) { return a < b ? a : b; }
inline void __threadfence() {}
inline void __threadfence_block() {}
template <typename V>
V __ldg(const V* address) {
  return *address;
}
